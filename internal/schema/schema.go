// Package schema names everything that is stored: buckets, measurements, tags, fields, and what each means. The data
// dictionary (docs/data-dictionary.md) is generated from it, and every room that writes or queries takes its names
// from here.
//
// The identity of a point (measurement, tags, time) is frozen from the first release: nothing that is looked up is a
// tag of a point made from an event, and a version is never a tag of a per-terminal series.
package schema

import "time"

// Bucket names. A bucket is a database on InfluxDB 1.8; the names have no slash so that /api/v2/write?bucket= and
// /query?db= work unchanged on 1.8 and 2.x.
const (
	BucketRaw    = "pos_raw"
	BucketEvents = "pos_events"
	BucketRollup = "pos_rollup"
)

// Measurements.
const (
	Heartbeat = "heartbeat"
	Decline   = "decline"
	Finding   = "finding"
	Incident  = "incident"
	CheckRun  = "check_run"
)

// Bucket is one place of storage with its retention.
type Bucket struct {
	Name      string
	Retention time.Duration
	Doc       string
}

// Buckets lists the buckets that Tillwatch creates.
var Buckets = []Bucket{
	{BucketRaw, 14 * 24 * time.Hour, "heartbeats, one series a terminal"},
	{BucketEvents, 90 * 24 * time.Hour, "declines one by one, findings, incidents, runs of checks"},
	{BucketRollup, 400 * 24 * time.Hour, "counts per minute"},
}

// Retention returns how long a bucket keeps its points; 0 for one that is not in Buckets.
func Retention(bucket string) time.Duration {
	for _, b := range Buckets {
		if b.Name == bucket {
			return b.Retention
		}
	}
	return 0
}

// Type is a field's type in line protocol.
type Type string

// The field types in use.
const (
	Int    Type = "integer"
	Float  Type = "float"
	String Type = "string"
	Bool   Type = "boolean"
)

// Column is a tag or a field.
type Column struct {
	Name string
	Type Type   // empty for tags, which are strings
	Unit string // "", ms, dBm, %, …
	Doc  string
}

// Query is an example in InfluxQL that a reader may paste. Where it filters by time it looks at the last hours.
type Query struct {
	Doc      string
	InfluxQL string
}

// Measurement is one kind of row.
type Measurement struct {
	Name     string
	Bucket   string
	Doc      string
	Time     string // what the point's time is
	Tags     []Column
	Fields   []Column
	Examples []Query
}

// Field returns the column of a field and whether there is one.
func (m *Measurement) Field(name string) (Column, bool) {
	for _, c := range m.Fields {
		if c.Name == name {
			return c, true
		}
	}
	return Column{}, false
}

// Lookup returns a measurement by name and whether there is one.
func Lookup(name string) (*Measurement, bool) {
	for i := range Measurements {
		if Measurements[i].Name == name {
			return &Measurements[i], true
		}
	}
	return nil, false
}
