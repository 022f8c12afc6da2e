// Package collector is the one road into InfluxDB.
//
//	TXN, HB ─▶ fetch ─▶ guard ─▶ decode ─▶ point ─▶ batch ─▶ Sink.Write (blocks) ─▶ ack
//	                      │         └ undecodable ─▶ DLQ, then terminate
//	                      └ card data ─▶ redacted copy into the stream, then erase the original
//	DERIVED ─▶ fetch ─▶ findings, incidents, rows ─▶ batch ─▶ Sink.Write ─▶ ack
//
// Each lane (one stream, one worker) holds at most one batch and is one goroutine: it fetches, writes and
// acknowledges in turn, so that nothing is fetched while the database is away and memory stays bounded however long
// that takes. A message is acknowledged after the database has its point, or after its dead letter is stored. What a
// killed process had written and not acknowledged comes again and overwrites itself. Any number of processes share
// the streams' durable consumers.
//
// Test with `go test ./collector`; the tests run NATS in the process and a real InfluxDB.
package collector
