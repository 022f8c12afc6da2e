package slack

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// ErrStopped is returned by Notify after Run has ended.
var ErrStopped = errors.New("the notifier has stopped")

// queue keeps the newest transition of every incident that is on its way, and works on each incident apart, so that
// none waits for another. Its size is the number of incidents that are not yet told.
//
//	Notify ─▶ errand of the incident ─▶ a goroutine of Run ─┐
//	Deliver ─────────────────────────▶ the caller's own ────┴─▶ work, one at a time per incident
type queue struct {
	// work tells people the errand's newest transition and returns the number of what is told now. Its error is ctx's:
	// everything else it retries.
	work func(context.Context, *errand) (told int, err error)

	mu      sync.Mutex // guards everything below
	pending map[string]*errand
	start   func(incident string) // set while Run runs
	stopped bool
}

// errand is the newest transition of one incident on its way.
type errand struct {
	newest fleet.Transition
	since  time.Time     // when it began to wait
	turn   chan struct{} // capacity 1: holds a token while somebody works on it
	users  int
	queued bool // a worker of Run has it, or will
}

func newQueue(work func(context.Context, *errand) (int, error)) *queue {
	return &queue{work: work, pending: map[string]*errand{}}
}

func (q *queue) notify(t fleet.Transition) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stopped {
		return ErrStopped
	}
	e := q.enlist(t)
	if e.queued {
		return nil
	}
	e.queued = true
	e.users++
	if q.start != nil {
		q.start(t.Incident)
	}
	return nil
}

func (q *queue) run(ctx context.Context) error {
	var wg sync.WaitGroup
	q.mu.Lock()
	if q.start != nil || q.stopped {
		q.mu.Unlock()
		return errors.New("it runs or has run already")
	}
	q.start = func(incident string) {
		e := q.pending[incident]
		wg.Go(func() { q.worker(ctx, incident, e) })
	}
	for incident, e := range q.pending {
		if e.queued {
			q.start(incident)
		}
	}
	q.mu.Unlock()

	<-ctx.Done()
	q.mu.Lock()
	q.stopped = true // no start, and so no wg.Go, after this
	q.mu.Unlock()
	wg.Wait()
	return nil
}

func (q *queue) worker(ctx context.Context, incident string, e *errand) {
	for {
		told, err := q.take(ctx, e)
		q.mu.Lock()
		// notify relies on queued to mean that a newer transition will still be seen, so both change under one lock.
		e.queued = err == nil && e.newest.N > told
		if !e.queued {
			q.leave(incident, e)
			q.mu.Unlock()
			return
		}
		q.mu.Unlock()
	}
}

func (q *queue) deliver(ctx context.Context, t fleet.Transition) error {
	q.mu.Lock()
	e := q.enlist(t)
	e.users++
	q.mu.Unlock()
	defer func() {
		q.mu.Lock()
		q.leave(t.Incident, e)
		q.mu.Unlock()
	}()
	_, err := q.take(ctx, e)
	return err
}

// take works on an errand when it is the caller's turn.
func (q *queue) take(ctx context.Context, e *errand) (int, error) {
	select {
	case e.turn <- struct{}{}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	defer func() { <-e.turn }()
	return q.work(ctx, e)
}

// enlist, with mu held, returns the incident's errand after t was taken into account.
func (q *queue) enlist(t fleet.Transition) *errand {
	e := q.pending[t.Incident]
	if e == nil {
		e = &errand{newest: t, since: time.Now(), turn: make(chan struct{}, 1)}
		q.pending[t.Incident] = e
	}
	if t.N > e.newest.N {
		e.newest = t
	}
	return e
}

// leave, with mu held, forgets the errand with its last user.
func (q *queue) leave(incident string, e *errand) {
	if e.users--; e.users == 0 {
		delete(q.pending, incident)
	}
}

func (q *queue) newest(e *errand) fleet.Transition {
	q.mu.Lock()
	defer q.mu.Unlock()
	return e.newest
}

// waiting returns how many incidents are on their way, and for how long the longest.
func (q *queue) waiting(now time.Time) (n int, oldest time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range q.pending {
		oldest = max(oldest, now.Sub(e.since))
	}
	return len(q.pending), oldest
}
