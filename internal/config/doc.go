// Package config is the configuration file: one typed tree, checked as a whole.
//
//	file ──▶ Load ──▶ Overrides.Apply ──▶ Resolve ──▶ *Config ──▶ cmd hands each room its part
//	          │              │               │
//	          ╰──────────────┴───────────────┴──▶ Problems: every mistake at once, with file, line, column and key
//
// One precedence holds for everything: a flag beats the environment variable TILLWATCH_<FLAG>, which beats the file,
// which beats the default. Load gives file over default; Overrides carries flags and environment.
//
// Parse and Validate are pure: they read no file, clock or environment. Load reads the file, Resolve the files that it
// names and the secrets of the environment. A relative path in the file counts from the file's own folder, a relative
// path in a flag from the working directory.
//
// Secrets are of type Secret, which masks itself wherever it is printed, and no value of a secret key appears in a
// problem. None has to stand in the file.
//
// Nothing here blocks but file reads, and a *Config has no lock: it is changed by its first owner only.
//
// Test with `go test ./internal/config`; the parser has a fuzz target.
package config
