// Package bench measures whole processes: `tillwatch collect` draining streams that were filled before, beside the limit
// of the machine and its servers, in one run.
//
//	fill HB, TXN ─▶ collect (child process) ─▶ influxd     messages/s, CPU a message, allocations a message
//	fill HB, TXN ─▶ limit (child process)   ─▶ influxd     the same stream, lines prepared beforehand, as many writers
//
// It has no code of its own outside its benchmarks. Run them with `go test -run '^$' -bench . -benchtime 1x
// ./cmd/tillwatch/bench`; figures are ratios within one run, since machines are shared.
package bench
