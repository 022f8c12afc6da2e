// Package tally folds the streams into counts over a sliding window of the stream's time. It is pure: time comes in
// with every call.
//
//	Txn (in order), Heartbeat (latest facts), Advance (a tick) ──▶ Tally ──▶ Counts of each series, Volume of each place
//
// An event counts when it arrives. Its own clock only says whether it is late: events that are older, beyond their
// acquirer's usual delay, than 15 minutes are recognised and not counted. The same sequence of calls gives the same
// state. Nothing blocks; a Tally is not safe for concurrent use.
//
// Test with `go test ./alerter/tally`.
package tally
