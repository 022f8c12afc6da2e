// Package fleet holds the vocabulary of the payment fleet: terminals, merchants, heartbeats, transactions, response
// codes, and the bodies of everything that travels over the bus.
//
//	bytes + subject ──▶ ParseSubject, DecodeHeartbeat, DecodeTxn ──▶ Heartbeat, Txn ──▶ every other room
//	response code ──▶ Profile (LookupProfile, or ParseProfile of a file) ──▶ Code: meaning, domain, approved, watched
//
// The package is pure: no clock, no I/O, no logger. Decoders take a message as it came (JSON, at most MaxBody bytes)
// and return either a value that is valid throughout or an *Invalid error that names the field, what was found and
// what would be right. Strings of a decoded value share one copy of the message.
//
// Test with `go test ./internal/fleet`; every decoder has a fuzz target beside its tests.
package fleet
