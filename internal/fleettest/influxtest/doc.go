// Package influxtest gives a test a real InfluxDB of its own.
//
//	test ─▶ Both, Start18, Start29 ─▶ influxd from the cache, own data, free port ─▶ Server{URL, Token, Org}
//
// A server starts in less than a second and ends with its test, data and all. The binaries are built on first use into
// the user's cache, behind a lock that holds across the test binaries of `go test ./...`; go test's own time limit
// covers that, and 2.9 on busy cores was seen to take eleven minutes; so once, before everything else, run
// `go test -timeout 40m ./internal/fleettest/influxtest`, which builds both. 2.9 needs cargo: without it the test is skipped
// with a line that starts with "SKIP:", and fails where the environment has CI=true.
package influxtest
