// Package service is what a long-running command stands on: actors that live and stop together, a stack of teardown
// steps, a table of conditions, the HTTP server that shows them, the logger, the version.
//
//	rooms ──Add──▶ Group ──Run(ctx)──▶ first to return ──▶ the others stopped one by one, last added first
//	rooms ──Push─▶ StopStack ──Stop(ctx)──▶ steps one by one, last pushed first, one deadline
//	rooms ──Set, Beat──▶ Health ──Report(now)──▶ Server: /healthz, /readyz, /metrics
//
// Group.Run, Server.Run and StopStack.Stop block until they are done; everything else returns at once. All types may be
// used by several goroutines. Signals and exit codes are the command's affair, so tests can run everything here.
//
// Ordering: add what is depended on first. A sink is added before what feeds it, so that stopping flows downstream and
// the sink still takes what its feeder had in hand.
//
// Test with `go test ./internal/service`: groups, stacks and conditions in testing/synctest, HTTP over loopback.
package service
