// Package simulate is a seeded fleet of POS terminals with faults that can be injected, and the acquirer that such a
// fleet would have.
//
//	Options, Scenario ──▶ New ──▶ Fleet ──┬▶ Events ──▶ WriteEvents (files) or Run (Publish, real time)
//	                                      ├▶ WriteRegistry, WriteTruth: the registry and the truth that fit
//	                                      └▶ AcquirerServer: merchant status, account, health over HTTP
//
// Order: events leave in the order of their time; two of one millisecond in the order of their terminals. The same
// Options give the same events, byte for byte. Every merchant and every terminal draws from random streams of its own,
// so one more terminal or one more fault leaves all others as they were.
//
// A Fleet is immutable once made and may be used by many goroutines; each range over Events walks on its own. Memory
// is bounded by the number of terminals (about 200 bytes each), never by the number of events. Only Run blocks: on its
// clock and on Publish.
//
// The distributions (sizes of merchants, sales, mix of response codes, hours) are ours, chosen to look like a Chinese
// acquirer's fleet; no published data set stands behind them. The code meanings are those of the unionpay profile.
//
// Test with `go test ./internal/simulate`; `-bench .` tells how many events a second are made.
package simulate
