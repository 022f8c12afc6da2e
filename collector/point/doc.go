// Package point turns events into InfluxDB line protocol. It is pure.
//
//	Heartbeat + Facts (what was last written) ──▶ one line of pos_raw
//	Txn, Finding, Transition ──▶ one line of pos_events      Rows ──▶ the lines of their measurement
//
// The identity of a point (measurement, tags, time) is a function of the event and of its arrival alone, so that a
// second delivery overwrites the first. Every append function adds whole lines, each ended by \n, to a buffer of the
// caller's and allocates nothing else. Facts is not safe for concurrent use.
//
// Test with `go test ./collector/point`.
package point
