// Package embedded runs, on one machine and without anything installed but Go, the two servers that Tillwatch stands
// on: NATS inside this process, and InfluxDB as a child of it.
//
//	BuildInflux18 ─▶ cache/influxd ─┐
//	FindInfluxd ────────────────────┴▶ NewInfluxd ─▶ Run: child process ─▶ Ready, URL, Token
//
// A build happens once for a user: it takes a file lock, so of two processes one builds and the other waits, and the
// binary appears in the cache by a rename, whole or not at all. Run blocks for as long as the child is wanted; it
// starts the child again, with a growing pause, when it dies, and stops it with SIGTERM, then SIGKILL. On Linux the
// kernel ends the child when this process dies, however it dies.
//
// Test with `go test ./internal/embedded`; the tests run the real servers.
package embedded
