package slack

import (
	"sync/atomic"
	"time"
)

// Stats counts what a notifier did since it was made. The last two are of the moment.
type Stats struct {
	Posted      int64 // messages posted
	Updated     int64 // messages replaced
	Adopted     int64 // messages found by a search after a crash or a lost answer
	Reposted    int64 // messages posted anew because a person had deleted the old one
	Deleted     int64 // duplicates deleted
	Superseded  int64 // transitions skipped because a newer one was shown or under way
	Plain       int64 // messages sent without blocks because Slack refused those
	RateLimited int64 // requests by their failure
	Refused     int64
	Unreached   int64
	Uncertain   int64

	Waiting int           // incidents whose newest transition is not yet visible
	Oldest  time.Duration // how long the longest of them has been waiting
}

type counters struct {
	posted, updated, adopted, reposted, deleted, superseded, plain atomic.Int64
	rateLimited, refused, unreached, uncertain                     atomic.Int64
}

func (c *counters) failed(err error) {
	switch ClassOf(err) {
	case RateLimited:
		c.rateLimited.Add(1)
	case Refused:
		c.refused.Add(1)
	case Unreached:
		c.unreached.Add(1)
	default:
		c.uncertain.Add(1)
	}
}

func (c *counters) snapshot() Stats {
	return Stats{
		Posted: c.posted.Load(), Updated: c.updated.Load(), Adopted: c.adopted.Load(), Reposted: c.reposted.Load(),
		Deleted: c.deleted.Load(), Superseded: c.superseded.Load(), Plain: c.plain.Load(),
		RateLimited: c.rateLimited.Load(), Refused: c.refused.Load(), Unreached: c.unreached.Load(),
		Uncertain: c.uncertain.Load(),
	}
}

// Stats returns the counts as they stand. Oldest is what a second path of alarms watches: Slack has not accepted for so
// long.
func (c *Courier) Stats() Stats {
	s := c.stats.snapshot()
	s.Waiting, s.Oldest = c.queue.waiting(time.Now())
	return s
}
