// Package deploy is how Tillwatch is run with containers, and the tests that hold it to the truth.
//
//	.env ──▶ docker-compose.yml (root) ──▶ nats (nats/nats.conf) ◀──▶ collector, alerter (tillwatch.yaml, Dockerfile)
//	                                  ├──▶ influxdb (influx/*.sh) ◀── collector
//	                                  └──▶ grafana (grafana/provisioning, dashboards/*.json) ──▶ influxdb, read only
//
// Order: nats and influxdb, then collector, alerter and grafana, each when what it needs is healthy. The package has
// no code of its own and nothing in it blocks.
//
// Test with `go test ./deploy`, which needs no Docker: the compose file is loaded as Docker loads it, the
// configurations are read by the programs that will read them, and one test runs the whole of it in process, from
// NATS with this configuration to InfluxDB 2.9 with Grafana's credential.
package deploy
