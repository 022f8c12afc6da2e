package slack

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// delivery is one caller's work on one incident: a loop of steps, each of which loads the entry, decides by what it
// says, and does at most one request. Nothing but the ledger carries truth from one step to the next; the fields below
// only save time or noise.
type delivery struct {
	c  *Courier
	e  *errand
	id string

	shown  int    // the transition that is visible, or the newer one that somebody else answers for
	fails  int    // failures in a row, for the backoff
	plain  bool   // Slack refused our blocks; go on without
	unsent Entry  // a claim of ours whose write failed, so that nothing was sent under it
	told   string // the last failure logged
}

// step reports done where the newest transition is visible or superseded. The error is ctx's.
func (d *delivery) step(ctx context.Context) (done bool, err error) {
	t := d.c.queue.newest(d.e)
	entry, rev, err := d.c.o.Ledger.Load(ctx, d.id)
	if err != nil {
		return false, d.ledgerFailed(ctx, "load", err)
	}
	now := time.Now()
	busy := time.UnixMilli(entry.Deadline).Sub(now)
	switch {
	case rev == 0:
		return false, d.post(ctx, Entry{}, 0)
	case entry.N > t.N:
		// A newer transition is shown or claimed. It was published before it was claimed, so whoever takes over
		// from a claimant that died knows it and delivers it.
		d.c.stats.superseded.Add(1)
		d.shown = t.N
		return true, nil
	case entry.State == Posted && entry.N == t.N:
		d.shown = t.N
		return true, nil
	case entry.State == Claimed && entry.Owner != d.c.o.Owner && busy > 0:
		return false, sleep(ctx, min(busy, d.c.o.SearchEvery))
	case entry.TS != "":
		return false, d.update(ctx, entry, rev)
	case entry.MaybeSent && entry != d.unsent:
		return false, d.search(ctx, entry, rev)
	}
	return false, d.post(ctx, entry, rev)
}

// claim writes an entry that lets this process send until the deadline it carries. ok is false where the step is to be
// begun again.
func (d *delivery) claim(ctx context.Context, e Entry, rev uint64) (Entry, uint64, bool, error) {
	now := time.Now()
	deadline := now.Add(d.c.o.ClaimFor)
	if d.c.o.LeaseUntil != nil {
		if lease := d.c.o.LeaseUntil(); lease.Before(deadline) {
			deadline = lease
		}
		if deadline.Sub(now) < d.c.o.ClaimFor/2 {
			return e, 0, false, sleep(ctx, d.c.o.SearchEvery) // not ours, or too short to send anything
		}
	}
	e.Incident, e.State, e.Owner = d.id, Claimed, d.c.o.Owner
	e.Deadline = deadline.UnixMilli()
	got, err := d.c.o.Ledger.Save(ctx, e, rev)
	switch {
	case errors.Is(err, ErrConflict):
		return e, 0, false, ctx.Err()
	case err != nil:
		d.unsent = e
		return e, 0, false, d.ledgerFailed(ctx, "claim", err)
	}
	d.unsent = Entry{}
	d.c.o.Probe("claimed")
	return e, got, true, nil
}

// post sends the first message of an incident, or the one that replaces a message which is gone.
func (d *delivery) post(ctx context.Context, entry Entry, rev uint64) error {
	if err := d.c.o.Client.Ready(ctx, opPost); err != nil {
		return err
	}
	t := d.c.queue.newest(d.e) // the rate limit may have lasted
	if entry.ClaimedAt == 0 {
		entry.ClaimedAt = time.Now().UnixMilli()
	}
	entry.N, entry.Channel, entry.TS, entry.MaybeSent = t.N, d.c.o.Client.Channel(), "", true
	entry, rev, ok, err := d.claim(ctx, entry, rev)
	if err != nil || !ok {
		return err
	}
	send, cancel := context.WithDeadline(ctx, time.UnixMilli(entry.Deadline))
	channel, ts, err := d.c.o.Client.Post(send, d.message(&t))
	cancel()
	if err == nil {
		d.c.o.Probe("sent")
		d.c.stats.posted.Add(1)
		entry.Channel, entry.TS = channel, ts
		return d.record(ctx, entry, rev)
	}
	if ClassOf(err) != Uncertain {
		entry.MaybeSent = false
	}
	return d.failed(ctx, entry, rev, err)
}

// update replaces the incident's message.
func (d *delivery) update(ctx context.Context, entry Entry, rev uint64) error {
	if err := d.c.o.Client.Ready(ctx, opUpdate); err != nil {
		return err
	}
	t := d.c.queue.newest(d.e)
	entry.N = t.N
	entry, rev, ok, err := d.claim(ctx, entry, rev)
	if err != nil || !ok {
		return err
	}
	send, cancel := context.WithDeadline(ctx, time.UnixMilli(entry.Deadline))
	err = d.c.o.Client.Update(send, entry.Channel, entry.TS, d.message(&t))
	cancel()
	if err == nil {
		d.c.o.Probe("sent")
		d.c.stats.updated.Add(1)
		return d.record(ctx, entry, rev)
	}
	switch codeOf(err) {
	case "message_not_found": // deleted by a person
		return d.replace(ctx, entry, rev)
	case "cant_update_message", "edit_window_closed": // posted by another app, or too old to edit here
		if err := d.c.o.Client.Delete(ctx, entry.Channel, entry.TS); err != nil {
			d.c.stats.failed(err)
			d.log(slog.LevelWarn, "slack message can be neither updated nor deleted", err)
		}
		return d.replace(ctx, entry, rev)
	}
	return d.failed(ctx, entry, rev, err)
}

// replace forgets a message that can no longer be updated; the next step posts anew.
func (d *delivery) replace(ctx context.Context, entry Entry, rev uint64) error {
	d.c.stats.reposted.Add(1)
	entry.Abandoned, entry.TS = entry.TS, ""
	entry.ClaimedAt, entry.Deadline, entry.MaybeSent = time.Now().UnixMilli(), 0, false
	if _, err := d.c.o.Ledger.Save(ctx, entry, rev); err != nil && !errors.Is(err, ErrConflict) {
		return d.ledgerFailed(ctx, "replace", err)
	}
	return nil
}

// record writes down what is visible. It goes on until that is written or proves to be somebody else's business.
func (d *delivery) record(ctx context.Context, entry Entry, rev uint64) error {
	entry.State, entry.Deadline, entry.MaybeSent, entry.ClaimedAt = Posted, 0, false, 0
	for {
		_, err := d.c.o.Ledger.Save(ctx, entry, rev)
		switch {
		case err == nil:
			d.fails, d.plain = 0, false
			d.c.o.Probe("recorded")
			return nil
		case errors.Is(err, ErrConflict):
			return d.overtaken(ctx, entry)
		}
		if err := d.ledgerFailed(ctx, "record", err); err != nil {
			return err
		}
	}
}

// overtaken is reached when this process sent something and finds that another took over meanwhile, because it was
// slower than its own deadline. A message of its own that the other did not adopt is the duplicate: it goes.
func (d *delivery) overtaken(ctx context.Context, mine Entry) error {
	theirs, rev, err := d.c.o.Ledger.Load(ctx, d.id)
	if err != nil {
		return d.ledgerFailed(ctx, "load", err)
	}
	if rev == 0 || theirs.TS == "" || theirs.TS == mine.TS {
		return nil // theirs is still to be searched for, and will find mine
	}
	if err := d.c.o.Client.Delete(ctx, mine.Channel, mine.TS); err != nil {
		d.c.stats.failed(err)
		d.log(slog.LevelWarn, "duplicate slack message left for reconciliation", err)
		return ctx.Err()
	}
	d.c.stats.deleted.Add(1)
	return nil
}

// message renders, without blocks once Slack has refused them: an ugly page is better than none.
func (d *delivery) message(t *fleet.Transition) Message {
	m := d.c.o.Render(t)
	if d.plain {
		m.Blocks = nil
	}
	return m
}
