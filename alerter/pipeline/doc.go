// Package pipeline wires the alerter: the streams in, the pure rooms in order, DERIVED and people out.
//
//	lease ─▶ restore from DERIVED ─▶ merge of TXN, HB, CONTROL ─▶ tally ─▶ detect ─▶ incident
//	                                                                                   │ transition
//	                                          Notifier ◀── after it is stored ◀── DERIVED (CAS)
//
// One process of several is active, by lease; the others stand by. Everything that decides runs in one goroutine, in
// the merged order of the streams, so that the same streams give the same transitions. A transition is stored before
// anybody is told; who takes over tells what was stored and not told. State is rebuilt from the streams: incidents
// and findings from DERIVED, the window by reading TXN and HB again from before the cursor. What lies before the cursor is
// looked at and not decided again, so that a restart gives the transitions that would have come without it.
//
// Test with `go test ./alerter/pipeline`; the tests run NATS in the process.
package pipeline
