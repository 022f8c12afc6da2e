// Package incident keeps one state machine per problem. It is pure: time comes in with every call.
//
//	holding series + findings + now ──▶ Book.Step ──▶ transitions, to be published before anybody is told
//	published transitions ──▶ Book.Restore, Book.Resume (after a restart), then Steps over the past give none
//
//	            ┌─ held (merchants, 20 s) ─┐
//	nothing ────┴──────────▶ opened ◀──────┘──▶ updated … ──▶ resolved
//	                            └──────────────────────────▶ absorbed by a wider incident
//
// For one code there is at most one wide incident an acquirer (its scope: the acquirer, regions, or models and
// versions, whichever explains most), and one incident a merchant. A merchant that a wide incident explains is
// absorbed, also when it was posted already. A Book is not safe for concurrent use.
//
// Test with `go test ./alerter/incident`.
package incident
