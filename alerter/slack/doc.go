// Package slack shows each incident in one Slack message that is kept up to date, whatever crashes or fails between.
//
//	fleet.Transition ─▶ Courier ─▶ Render ─▶ Client ─▶ Slack (chat.postMessage, chat.update)
//	                      │  ▲                  ▲
//	        claim, record ▼  │ revision         │ search by metadata after a crash or a lost answer, delete leftovers
//	                    Ledger (compare-and-set; NATS KV in production)
//
//	fleet.Transition ─▶ Webhook ─▶ an incoming webhook: at least once, no updates
//	fleet.Transition ─▶ Terminal ─▶ Text on an io.Writer
//
// Entering: transitions of incidents, in any order, any number of times; each is complete in itself. Leaving: for every
// incident one message that shows the newest transition.
//
// Ordering: within an incident the newest wins, older ones are skipped and never overwrite. Between incidents there is
// none. Blocking: Courier.Deliver blocks until its transition (or a newer one) is visible; Notify returns at once and
// Run delivers. One incident's trouble never holds up another's; only Slack's rate limit is shared.
//
// Exactly once: Slack has no idempotency key for a post, so each send is claimed in the ledger by compare-and-set, with
// a deadline after which the claimant sends no more. Whoever finds a claim without a message identity past that
// deadline cannot know whether the message was stored, and searches the channel for its metadata until the visibility
// window has passed before it posts again. What still gets through (history that shows a message later than the window,
// a process that was paused between its check and its request) is a duplicate, which the loser of the compare-and-set
// deletes at once or Reconcile deletes later; the recorded message stays.
//
// Secrets: the token is a Secret, which masks itself; request bodies carry it and are never logged; addresses of
// webhooks are secrets too and are cut out of errors.
//
// Render and Text are pure. Test with `go test ./alerter/slack`: golden files (rewritten by -update), properties over
// any transition, and the courier against a Slack server that misbehaves on purpose, with crashes at every point.
package slack
