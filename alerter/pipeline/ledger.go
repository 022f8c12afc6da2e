package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tillwatch/tillwatch/alerter/slack"
	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/fleet"
)

// Ledger keeps what Slack was sent in the bucket claims, read from the bucket's leader.
type Ledger struct{ b *bus.Bucket }

var _ slack.Ledger = (*Ledger)(nil)

// NewLedger opens the ledger.
func NewLedger(ctx context.Context, c *bus.Conn) (*Ledger, error) {
	b, err := c.Bucket(ctx, bus.KVClaims)
	if err != nil {
		return nil, err
	}
	return &Ledger{b}, nil
}

func ledgerKey(incident string) string { return "slack." + fleet.Escape(incident) }

// Load implements slack.Ledger.
func (l *Ledger) Load(ctx context.Context, incident string) (slack.Entry, uint64, error) {
	raw, rev, err := l.b.Load(ctx, ledgerKey(incident))
	if err != nil || rev == 0 {
		return slack.Entry{}, 0, err
	}
	var e slack.Entry
	if err := json.Unmarshal(raw, &e); err != nil {
		return slack.Entry{}, 0, fmt.Errorf("read ledger entry of incident %q: %w", incident, err)
	}
	return e, rev, nil
}

// Save implements slack.Ledger.
func (l *Ledger) Save(ctx context.Context, e slack.Entry, revision uint64) (uint64, error) {
	raw, err := json.Marshal(e)
	if err != nil {
		return 0, fmt.Errorf("encode ledger entry of incident %q: %w", e.Incident, err)
	}
	rev, err := l.b.Save(ctx, ledgerKey(e.Incident), raw, revision)
	if errors.Is(err, bus.ErrConflict) {
		return 0, fmt.Errorf("%w: %w", slack.ErrConflict, err)
	}
	return rev, err
}
