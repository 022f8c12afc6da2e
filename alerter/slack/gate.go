package slack

import (
	"context"
	"sync"
	"time"
)

// Defaults for what Slack leaves unsaid: it allows about one message a second and channel, with bursts.
const (
	unsaidRetry = 5 * time.Second
	pace        = time.Second
)

// gate holds requests back while Slack's rate limit lasts. Limits are per method, so a slow history does not hold up a
// post. After a limit the waiters leave one by one, pace apart, until no limit was met for as long as the last one
// lasted: otherwise all would leave at once and meet the next.
type gate struct {
	mu   sync.Mutex // guards everything below
	lane map[string]*lane
}

type lane struct {
	until time.Time // told by Slack: nothing leaves before
	next  time.Time // the next free place of the queue
	calm  time.Time // pacing ends here
}

func newGate() *gate { return &gate{lane: map[string]*lane{}} }

func (g *gate) limited(op string, retryAfter time.Duration, now time.Time) {
	if retryAfter <= 0 {
		retryAfter = unsaidRetry
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.lane[op]
	if l == nil {
		l = new(lane)
		g.lane[op] = l
	}
	if until := now.Add(retryAfter); until.After(l.until) {
		l.until = until
		l.next = until
		l.calm = until.Add(retryAfter)
	}
}

// passed notes a success; a lane that has been calm is forgotten.
func (g *gate) passed(op string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l := g.lane[op]; l != nil && time.Now().After(l.calm) && time.Now().After(l.next) {
		delete(g.lane, op)
	}
}

// wait blocks until a request of this method may leave. Exactly the time Slack told is waited for, not less.
func (g *gate) wait(ctx context.Context, op string) error {
	for {
		wake, ok := g.reserve(op, time.Now())
		if !ok {
			return ctx.Err()
		}
		if err := sleep(ctx, time.Until(wake)); err != nil {
			return err
		}
		if g.open(op, time.Now()) {
			return nil
		}
	}
}

// reserve takes a place in the queue; ok is false where there is no queue.
func (g *gate) reserve(op string, now time.Time) (wake time.Time, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.lane[op]
	if l == nil || !now.Before(l.calm) && !now.Before(l.next) {
		return time.Time{}, false
	}
	wake = l.next
	if wake.Before(now) {
		wake = now
	}
	l.next = wake.Add(pace)
	return wake, true
}

// open reports whether Slack's limit is over; a new one may have been told while the caller slept.
func (g *gate) open(op string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.lane[op]
	return l == nil || !now.Before(l.until)
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
