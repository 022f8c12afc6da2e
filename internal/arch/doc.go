// Package arch holds the architecture by tests: there is no code in it to import.
//
//	the repository's files ──▶ go/parser ──▶ rules ──▶ violations, each with file, line, rule and what to do
//
// What is held: the arrows between rooms, the purity of the pure ones, which room may know which vendor library, where
// a process may end itself, one package doc a folder, the length of files, and words that have no place in the
// repository. Nothing is built, loaded from the network or changed, and nothing blocks but reading files.
//
// Each rule is itself tested on small sources that break it. A rule that is wrong is changed here, with the reason in
// its row.
//
// Test with `go test ./internal/arch`.
package arch
