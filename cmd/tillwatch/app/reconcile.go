package app

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tillwatch/tillwatch/alerter/slack"
	"github.com/tillwatch/tillwatch/internal/fleet"
)

// reconciling looks, beside the deliveries, for messages that a killed process left behind: soon after the start, when
// Slack's history shows what the last process sent, and then once in a while.
type reconciling struct {
	*slack.Courier
	f *frame

	mu     sync.Mutex // guards everything below
	newest map[string]fleet.Transition
}

const (
	reconcileFirst = 20 * time.Second
	reconcileEvery = 10 * time.Minute
	reconcileBack  = 24 * time.Hour
)

// Notify hands a transition to the courier and remembers it for as long as reconciliation looks back.
func (r *reconciling) Notify(ctx context.Context, t fleet.Transition) error {
	r.mu.Lock()
	if r.newest == nil {
		r.newest = map[string]fleet.Transition{}
	}
	r.newest[slack.MetadataIncident(t.Incident)] = t
	for id, old := range r.newest {
		if old.At < t.At-reconcileBack.Milliseconds() {
			delete(r.newest, id)
		}
	}
	r.mu.Unlock()
	return r.Courier.Notify(ctx, t)
}

// Run delivers and reconciles until ctx ends.
func (r *reconciling) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { r.watch(ctx) })
	wg.Go(func() {
		wait := reconcileFirst
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
			wait = reconcileEvery
			if !r.reconcile(ctx) {
				wait = reconcileFirst
			}
		}
	})
	return r.Courier.Run(ctx)
}

// slackLate is how long an incident may wait for Slack before it is a condition.
const slackLate = 2 * time.Minute

// watch reports when incidents do not reach Slack.
func (r *reconciling) watch(ctx context.Context) {
	t := time.NewTicker(5 * time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		var err error
		if s := r.Stats(); s.Oldest > slackLate {
			err = fmt.Errorf("%d incidents wait, the longest for %s", s.Waiting, s.Oldest.Round(time.Second))
		}
		r.f.health.Set(conditionSlack, err)
	}
}

// reconcile reports whether the channel could be searched.
func (r *reconciling) reconcile(ctx context.Context) bool {
	report, err := r.Reconcile(ctx, time.Now().Add(-reconcileBack))
	if err != nil {
		if ctx.Err() == nil {
			r.f.log.Warn("slack not reconciled", "err", err)
		}
		return false
	}
	if report.Deleted > 0 || report.Adopted > 0 || len(report.Stale) > 0 {
		r.f.log.Info("slack reconciled", "deleted", report.Deleted, "adopted", report.Adopted, "stale", len(report.Stale))
	}
	for _, id := range report.Stale {
		r.mu.Lock()
		t, ok := r.newest[id]
		r.mu.Unlock()
		if ok {
			if err := r.Courier.Notify(ctx, t); err != nil && ctx.Err() == nil {
				r.f.log.Warn("stale message not shown anew", "incident", t.Incident, "err", err)
			}
		}
	}
	return true
}
