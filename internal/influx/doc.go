// Package influx is InfluxDB as everybody here uses it: blocking writes of line protocol with classed errors, InfluxQL
// queries, buckets and tokens, the same on 1.8 and on 2.x.
//
//	lines  ──▶ Write ───────▶ /api/v2/write ─▶ nil, or *Error: wait, bisect, split, or tell an operator
//	query  ──▶ Query, Stream ▶ /query ───────▶ Series
//	buckets ─▶ EnsureBuckets ▶ statements on 1.8, /api/v2/buckets on 2.x
//
// Every call blocks until the server has answered, ctx is done or Options.Timeout has passed; nothing is queued,
// retried or batched here, so what a nil error says is stored, and the caller keeps the order. A Client may be used by
// any number of goroutines. It keeps no reference to the bytes given to Write once Write has returned.
//
// A bucket is a database on 1.8. What differs between the two servers and is not hidden: 1.8 stores the good lines of a
// batch that it refuses for a bad one, 2.x stores none of them (see Error.Dropped).
//
// Test with `go test ./internal/influx`: one contract suite runs against both real servers, which are built once into
// the user's cache (about a minute for 1.8; 2.x takes four and needs cargo, and is skipped without it).
package influx
