// Package bus is the road that everything travels: NATS JetStream with the subjects, streams and guarantees of
// Tillwatch.
//
//	terminals, gateways ─▶ Publisher ─▶ TXN, HB ─▶ Consumer ─▶ collector
//	                                          └──▶ Merge ────▶ alerter ─▶ Append (CAS) ─▶ DERIVED
//	undecodable ──▶ DeadLetter ─▶ DLQ                         people ──▶ CONTROL
//	leases, claims, runs, registry: key-value buckets
//
// Publisher.Publish blocks while its window of unacknowledged events is full; it keeps an event until the server has
// it and sends it again with the same id. Consumer.Fetch blocks for the linger at most. Merge calls its handler from
// one goroutine, in the order (stored time, stream, sequence), with a tick for every whole second. Only this package,
// internal/embedded and tests know nats.go.
//
// Test with `go test ./internal/bus`; the tests run a real server in the process.
package bus
