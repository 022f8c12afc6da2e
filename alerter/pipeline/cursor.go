package pipeline

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/tillwatch/tillwatch/internal/bus"
)

// The cursor is the instant of the stream's time up to which everything is decided and stored, in Unix nanoseconds. A
// process that takes over decides from there; what lies before only fills its window.
const cursorKey = "alerter.cursor"

// loadCursor returns the cursor; on the very first start it is one window ago.
func (f *fold) loadCursor(ctx context.Context) (time.Time, error) {
	b, err := f.p.o.Bus.Bucket(ctx, bus.KVClaims)
	if err != nil {
		return time.Time{}, err
	}
	v, _, err := b.Load(ctx, cursorKey)
	if err != nil {
		return time.Time{}, err
	}
	if n, err := strconv.ParseInt(string(v), 10, 64); err == nil && n > 0 {
		return time.Unix(0, n), nil
	}
	return time.Now().Add(-f.p.o.Window), nil
}

// offerCursor leaves the newest instant for saveCursor.
func (f *fold) offerCursor(at time.Time) {
	if !at.After(f.from) {
		return
	}
	select {
	case <-f.cursor:
	default:
	}
	f.cursor <- at
}

// saveCursor stores the offered instants beside the fold, so that no decision waits for it.
func (f *fold) saveCursor(ctx context.Context) error {
	b, err := f.p.o.Bus.Bucket(ctx, bus.KVClaims)
	if err != nil {
		return err
	}
	var revision uint64
	known := false
	for {
		var at time.Time
		select {
		case <-ctx.Done():
			return nil
		case at = <-f.cursor:
		}
		if !known {
			if _, revision, err = b.Load(ctx, cursorKey); err != nil {
				continue // the server is away: the next instant is tried
			}
			known = true
		}
		next, err := b.Save(ctx, cursorKey, strconv.AppendInt(nil, at.UnixNano(), 10), revision)
		switch {
		case err == nil:
			revision = next
		case errors.Is(err, bus.ErrConflict):
			known = false // our own write whose answer was lost, or a successor's; the lease decides which goes on
		default:
			known = false
			f.p.log.Debug("cursor not saved", "err", err)
		}
	}
}
