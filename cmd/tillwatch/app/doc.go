// Package app is the command line of tillwatch: it reads flags, environment and file into a configuration and wires
// the rooms.
//
//	arguments, environment, file ─▶ config ─▶ collector | alerter | simulator | all of them (up)
//
// Signals stay in main: Run works until its context ends or its command is done, and returns the exit code (0 done,
// 1 failed, 2 wrong usage). Tests run it like main does.
//
// Test with `go test ./cmd/...`.
package app
