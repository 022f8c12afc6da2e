package slack

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Report says what Reconcile found in the channel.
type Report struct {
	Messages int      // our messages in the searched part of the channel
	Deleted  int      // duplicates deleted
	Adopted  int      // messages whose post was never recorded, or whose record named one that is gone
	Stale    []string // incidents whose message shows an older transition than recorded: deliver their newest again
	Unknown  int      // our messages of incidents that the ledger does not know; they are left alone
}

// Reconcile reads the channel's history since an instant (Slack's clock), keeps for every incident the message that the
// ledger records, and deletes the others. Where a message shows an older transition than recorded, the record is
// corrected, so that the next Deliver of that incident updates it. Sends under way are left alone. It may run beside
// Deliver, and again whenever it failed half-way.
//
// It returns what it did even with an error.
func (c *Courier) Reconcile(ctx context.Context, since time.Time) (Report, error) {
	var r Report
	channel := c.o.Client.Channel()
	began := time.Now()
	sent, err := c.o.Client.Find(ctx, channel, "", since)
	if err != nil {
		return r, fmt.Errorf("reconcile slack channel: %w", err)
	}
	r.Messages = len(sent)
	groups := map[string][]Sent{}
	var order []string
	for _, s := range sent {
		if groups[s.Incident] == nil {
			order = append(order, s.Incident)
		}
		groups[s.Incident] = append(groups[s.Incident], s)
	}
	var errs []error
	for _, incident := range order {
		if err := c.reconcile(ctx, incident, groups[incident], began, since, &r); err != nil {
			errs = append(errs, fmt.Errorf("reconcile incident %q: %w", incident, err))
		}
	}
	return r, errors.Join(errs...)
}

func (c *Courier) reconcile(ctx context.Context, incident string, sent []Sent, began, since time.Time, r *Report) error {
	entry, rev, err := c.o.Ledger.Load(ctx, incident)
	if err != nil {
		return err
	}
	if rev == 0 {
		r.Unknown += len(sent)
		return nil
	}
	at := find(sent, entry.TS)
	switch {
	case entry.State == Claimed && time.UnixMilli(entry.Deadline).After(began):
		return nil // under way
	case at < 0 && entry.State == Posted && c.mayBeGone(entry, began, since),
		at < 0 && entry.TS == "" && entry.MaybeSent:
		// The record names no message, or one that a person deleted: the oldest of ours takes its place.
		at = 0
		for at < len(sent) && sent[at].TS == entry.Abandoned {
			at++
		}
		if at == len(sent) {
			return nil
		}
		entry.TS, entry.Channel, entry.N = sent[at].TS, sent[at].Channel, sent[at].N
		entry.State, entry.Deadline, entry.MaybeSent, entry.ClaimedAt = Posted, 0, false, 0
		if ok, err := c.correct(ctx, entry, rev); !ok {
			return err
		}
		r.Adopted++
		c.stats.adopted.Add(1)
	case at >= 0 && entry.State == Posted && sent[at].N < entry.N:
		entry.N = sent[at].N
		if ok, err := c.correct(ctx, entry, rev); !ok {
			return err
		}
		r.Stale = append(r.Stale, entry.Incident)
	case entry.TS == "":
		return nil // the next Deliver posts
	}
	var errs []error
	for i, s := range sent {
		if i == at || s.TS == entry.TS {
			continue
		}
		if err := c.o.Client.Delete(ctx, s.Channel, s.TS); err != nil {
			c.stats.failed(err)
			errs = append(errs, err)
			continue
		}
		r.Deleted++
		c.stats.deleted.Add(1)
	}
	return errors.Join(errs...)
}

// correct writes a correction; ok is false where somebody else wrote first, who knows better.
func (c *Courier) correct(ctx context.Context, e Entry, rev uint64) (ok bool, err error) {
	switch _, err := c.o.Ledger.Save(ctx, e, rev); {
	case err == nil:
		return true, nil
	case errors.Is(err, ErrConflict):
		return false, nil
	default:
		return false, err
	}
}

// mayBeGone reports whether a recorded message that the history did not show was there to be seen: posted within the
// searched part, in this channel, and long enough ago.
func (c *Courier) mayBeGone(e Entry, began, since time.Time) bool {
	return e.Channel == c.o.Client.Channel() &&
		later(e.TS, stamp(since)) && later(stamp(began.Add(-c.o.Visibility-c.o.ClockSkew)), e.TS)
}

// later reports whether the timestamp a is not before b.
func later(a, b string) bool { return len(a) > len(b) || len(a) == len(b) && a >= b }

func find(sent []Sent, ts string) int {
	for i, s := range sent {
		if s.TS == ts {
			return i
		}
	}
	return -1
}
