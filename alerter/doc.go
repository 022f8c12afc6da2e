// Package alerter holds the words that the alerter's rooms share: the table of causes, the next steps that follow from
// them, and the interface through which people are told.
//
//	tally ─▶ detect ─▶ localize ─▶ diagnose ─▶ incident ─▶ fleet.Transition ─▶ Notifier ─▶ Slack, webhook, terminal
//	                                   │                          │
//	                                   └──── Causes (ids) ────────┴──▶ NextSteps (words, en and zh)
//
// Entering: a fleet.Transition. Leaving: words in English or Chinese. Nothing here blocks, keeps state or looks at a
// clock; the rooms below import this package and it imports none of them.
//
// Test with `go test ./alerter`: the table is checked for completeness in both languages, and every kind of scope for
// steps of its own.
package alerter
