package slack

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// failed says what follows from a request that did not succeed: it gives the claim back, so that nobody has to wait for
// its deadline, and waits as long as the failure's class asks for. The error is ctx's.
func (d *delivery) failed(ctx context.Context, entry Entry, rev uint64, cause error) error {
	d.c.stats.failed(cause)
	class := ClassOf(cause)
	entry.Deadline = 0
	if entry.MaybeSent {
		entry.Deadline = time.Now().UnixMilli() // the visibility window counts from here
	}
	if _, err := d.c.o.Ledger.Save(ctx, entry, rev); err != nil && !errors.Is(err, ErrConflict) {
		// The claim stands until its deadline, which is only slower.
		d.log(slog.LevelWarn, "slack ledger not written", err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if class == Refused && !d.plain && blockWords[codeOf(cause)] {
		d.log(slog.LevelError, "slack refused the message's blocks, sending plain text", cause)
		d.c.stats.plain.Add(1)
		d.plain = true
		return nil
	}
	switch class {
	case RateLimited: // Ready waits
		d.log(slog.LevelInfo, "slack rate limit", cause)
		return nil
	case Refused:
		d.log(slog.LevelError, "slack refused", cause)
		return sleep(ctx, d.c.o.RefusedRetry)
	case Uncertain:
		if entry.MaybeSent {
			d.log(slog.LevelWarn, "slack may have taken the message, searching", cause)
			return nil
		}
	}
	d.log(slog.LevelWarn, "slack not available", cause)
	return d.backoff(ctx)
}

// blockWords are Slack's words for a message whose blocks it does not like.
var blockWords = map[string]bool{
	"invalid_blocks": true, "invalid_blocks_format": true, "msg_blocks_too_long": true, "msg_too_long": true,
}

func (d *delivery) backoff(ctx context.Context) error {
	wait := d.c.o.RetryMax
	if d.fails < 20 { // beyond, the shift would overflow long after RetryMax was reached
		wait = min(wait, d.c.o.RetryMin<<d.fails)
	}
	d.fails++
	return sleep(ctx, wait)
}

func (d *delivery) ledgerFailed(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	d.log(slog.LevelWarn, "slack ledger not available", err, "op", op)
	return d.backoff(ctx)
}

// log writes a failure once, and again when it changes.
func (d *delivery) log(level slog.Level, msg string, err error, more ...any) {
	if text := msg + err.Error(); text != d.told {
		d.told = text
		d.c.o.Logger.Log(context.Background(), level, msg, append([]any{"incident", d.id, "error", err}, more...)...)
	}
}

// search looks for a message that a claim may have left in the channel. The channel is searched until a search that
// began after the visibility window found nothing; then the next step posts anew.
func (d *delivery) search(ctx context.Context, entry Entry, rev uint64) error {
	began := time.Now()
	window := time.UnixMilli(entry.Deadline).Add(d.c.o.Visibility)
	from := time.UnixMilli(entry.ClaimedAt).Add(-d.c.o.ClockSkew)
	found, err := d.c.o.Client.Find(ctx, entry.Channel, d.id, from)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		d.c.stats.failed(err)
		if ClassOf(err) != Refused {
			// A history that cannot be read says nothing; a post would not get through either.
			d.log(slog.LevelWarn, "slack history not available", err)
			return d.backoff(ctx)
		}
		// Without the right to read, a duplicate cannot be excluded. A missed page is worse.
		d.log(slog.LevelError, "slack refused the history, a duplicate is possible", err)
		found = nil
	}
	for _, s := range found {
		if s.TS == entry.Abandoned {
			continue
		}
		d.c.stats.adopted.Add(1)
		entry.Channel, entry.TS, entry.N = s.Channel, s.TS, s.N
		return d.record(ctx, entry, rev)
	}
	if began.Before(window) {
		return sleep(ctx, min(d.c.o.SearchEvery, max(time.Until(window), time.Millisecond)))
	}
	entry.MaybeSent, entry.Deadline = false, 0
	return d.post(ctx, entry, rev)
}
