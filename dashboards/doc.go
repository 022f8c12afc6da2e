// Package dashboards holds the Grafana dashboards as files (Grafana's classic JSON model, InfluxQL in raw mode) and
// reads the queries out of them.
//
//	*.json (embedded) ──▶ Parse ──▶ Dashboard ──▶ Queries: place, database, InfluxQL with Grafana's variables in it
//
// Nothing blocks and nothing is dialled. Queries come in the order of the file: variables, annotations, panels. A
// dashboard names its data source by a variable, so that it can be imported anywhere; Datasources are those that
// deploy/grafana provisions, one a database, with fixed uids.
//
// No dashboard lists or aggregates terminals from pos_raw: one series a terminal makes such a query cost gigabytes.
//
// Test with `go test ./dashboards`: the shape of every file is checked, and every query is run, interpolated as
// Grafana does it, against real InfluxDBs of both generations that a simulated fleet has filled.
package dashboards
