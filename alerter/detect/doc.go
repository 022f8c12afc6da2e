// Package detect turns counts into alarms. It is pure.
//
//	Series + Counts ──▶ Floor ──▶ holds or not, with the reason
//
// Today it holds the rule floor, which is always on, also with nothing learned.
//
// Test with `go test ./alerter/detect`.
package detect
