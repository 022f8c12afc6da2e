// Package check runs the periodic checks: by cron, in the process that holds the alerter's lease.
//
//	schedule ─tick─▶ claim (KV) ─▶ every merchant ─▶ Directory (HTTP) ─▶ answer ─▶ CONTROL
//	                                                     │             └▶ finding ─▶ DERIVED ─▶ database, incident
//	                                                     └ not answered: counted in the run's row, never silent
//
// A tick is claimed before it runs, so that two processes do not both run it. A finding that persists is one finding:
// only what changed is stored. Partial failure is a result. Run blocks until its context ends; a run under way is then
// broken off and its tick is not marked done.
//
// Test with `go test ./alerter/check`.
package check
