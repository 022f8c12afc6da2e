// Package slacktest is a Slack for tests: a real HTTP server that keeps messages and misbehaves on purpose.
//
//	chat.postMessage, chat.update, chat.delete ─▶ ┌────────┐ ◀─ SetFault: 429, 5xx, no answer, a dropped connection
//	conversations.history, .info, auth.test ────▶ │ Server │    before or after the message was stored, garbage
//	an incoming webhook ────────────────────────▶ └────────┘ ─▶ Messages, Posts, Requests
//
// It speaks as much of Slack's Web API as Tillwatch uses, over plain HTTP, so that a child process can be pointed at
// URL; Transport serves the same without a network, for use inside testing/synctest. Like Slack it answers errors with
// status 200 and ok:false, refuses messages beyond Block Kit's limits, pages its history newest first, shows metadata
// only when asked, and may show a message in its history later than it was posted.
//
// A request blocks only under the faults that never answer, until its caller gives up or the server closes. Requests
// are served in any order; each takes effect at one instant, under one lock.
//
// Test with `go test ./internal/fleettest/slacktest`.
package slacktest
