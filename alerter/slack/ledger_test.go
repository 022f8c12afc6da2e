package slack

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/internal/fleettest/slacktest"
)

// TestLedgerFailures fails every operation of the ledger at some time, before or after it took effect.
func TestLedgerFailures(t *testing.T) {
	for n := range 12 {
		for _, after := range []bool{false, true} {
			bubble(t, func(t *testing.T) {
				r := newRig(t, slacktest.Options{})
				p := r.process(processOptions{})
				shaky := &shakyLedger{Ledger: &r.ledger, at: n, after: after}
				p.ledg = shaky
				began := time.Now()
				r.deliver(p, transition("i", 1))
				if took := time.Since(began); took > time.Second {
					// Nothing was sent under a claim whose write failed, so nothing need be searched for.
					t.Errorf("operation %d failed (after: %v): posted after %s", n, after, took)
				}
				r.deliver(p, transition("i", 2))
				r.shows("i", 2)
				if r.slack.Posts() != 1 {
					t.Errorf("operation %d failed (after: %v): %d posts", n, after, r.slack.Posts())
				}
				if shaky.calls <= n && n < 8 {
					t.Errorf("only %d operations: nothing failed", shaky.calls)
				}
			})
		}
	}
}

type shakyLedger struct {
	Ledger
	at    int
	after bool
	calls int
}

var errShaky = errors.New("no answer from the ledger")

func (l *shakyLedger) fails() bool {
	l.calls++
	return l.calls-1 == l.at
}

func (l *shakyLedger) Load(ctx context.Context, incident string) (Entry, uint64, error) {
	if l.fails() {
		return Entry{}, 0, errShaky
	}
	return l.Ledger.Load(ctx, incident)
}

func (l *shakyLedger) Save(ctx context.Context, e Entry, rev uint64) (uint64, error) {
	if !l.fails() {
		return l.Ledger.Save(ctx, e, rev)
	}
	if l.after {
		if _, err := l.Ledger.Save(ctx, e, rev); err != nil {
			return 0, err
		}
	}
	return 0, errShaky
}
