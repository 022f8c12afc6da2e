package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// LeaseTTL is how long a lease lives without renewal: a holder that was killed is replaced within it.
const LeaseTTL = 10 * time.Second

// Lease makes one process of several the active one.
//
// It is a key of the bucket leases, created with a time to live and renewed by publishing to the key's subject with a
// time to live and the expected last sequence, because an ordinary update of a key drops its time to live and the
// key would then live for ever.
type Lease struct {
	c     *Conn
	kv    jetstream.KeyValue
	key   string
	owner string
	log   *slog.Logger
	until atomic.Int64 // Unix nanoseconds of our clock; 0 while it is not ours
}

// Until is the instant before which no other process can hold the lease; the zero time while it is not ours.
func (l *Lease) Until() time.Time {
	if n := l.until.Load(); n > 0 {
		return time.Unix(0, n)
	}
	return time.Time{}
}

// Lease names a lease and who wants it. It asks for nothing yet.
func (c *Conn) Lease(ctx context.Context, key, owner string) (*Lease, error) {
	kv, err := c.js.KeyValue(ctx, KVLeases)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", KVLeases, err)
	}
	return &Lease{c: c, kv: kv, key: key, owner: owner, log: c.log}, nil
}

// Hold waits until the lease is ours, runs work and keeps renewing meanwhile. work gets a context that ends when ctx
// ends or before the lease can pass to another process, and the epoch: the revision of the lease's creation, constant
// while it is held. When the lease was lost Hold waits for it again; when work returns, Hold releases the lease and
// returns work's error.
func (l *Lease) Hold(ctx context.Context, work func(ctx context.Context, epoch uint64) error) error {
	for {
		epoch, sent, err := l.acquire(ctx)
		if err != nil {
			return err
		}
		lost, err := l.run(ctx, epoch, sent.Add(LeaseTTL), work)
		l.until.Store(0)
		if !lost || ctx.Err() != nil {
			return err
		}
		l.log.Warn("lease lost, standing by", "lease", l.key, "epoch", epoch, "err", err)
	}
}

// acquire blocks until the key could be created.
func (l *Lease) acquire(ctx context.Context) (epoch uint64, sent time.Time, err error) {
	waiting := false
	for {
		sent := time.Now()
		rev, err := l.kv.Create(ctx, l.key, []byte(l.owner), jetstream.KeyTTL(LeaseTTL))
		if err == nil {
			l.log.Info("lease acquired", "lease", l.key, "epoch", rev)
			return rev, sent, nil
		}
		if ctx.Err() != nil {
			return 0, time.Time{}, ctx.Err()
		}
		if errors.Is(err, jetstream.ErrKeyExists) {
			if !waiting {
				waiting = true
				l.log.Info("lease is held elsewhere, standing by", "lease", l.key)
			}
		} else {
			l.log.Warn("lease not acquired", "lease", l.key, "err", err)
		}
		select {
		case <-ctx.Done():
			return 0, time.Time{}, ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// run renews beside work. The deadline counts from before the renewal was sent, so it is never later than the
// server's.
func (l *Lease) run(ctx context.Context, epoch uint64, deadline time.Time, work func(context.Context, uint64) error) (lost bool, err error) {
	wctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l.until.Store(deadline.UnixNano())
	done := make(chan error, 1)
	go func() { done <- work(wctx, epoch) }()

	revision := epoch
	tick := time.NewTicker(LeaseTTL / 5)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			l.release(revision)
			return false, err
		case <-tick.C:
		}
		sent := time.Now()
		next, stored, rerr := l.renew(ctx, revision, deadline.Add(-LeaseTTL/10))
		switch {
		case rerr == nil && !stored:
			// An earlier renewal was stored and its answer lost: the key lives from then on, and nobody knows when that
			// was. The deadline stays; a renewal that is answered moves it.
			revision = next
			tick.Reset(50 * time.Millisecond)
			continue
		case rerr == nil:
			revision, deadline = next, sent.Add(LeaseTTL)
			l.until.Store(deadline.UnixNano())
			tick.Reset(LeaseTTL / 5)
			continue
		case errors.Is(rerr, ErrConflict), time.Until(deadline) < LeaseTTL/5:
		default:
			l.log.Warn("lease not renewed, trying again", "lease", l.key, "err", rerr)
			continue
		}
		cancel()
		return true, errors.Join(rerr, <-done)
	}
}

// renew writes the key anew. stored is false where it only found out the revision of a renewal before.
func (l *Lease) renew(ctx context.Context, revision uint64, until time.Time) (next uint64, stored bool, err error) {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	ctx, cancel2 := context.WithTimeout(ctx, 2*time.Second)
	defer cancel2()
	next, err = l.c.renewKey(ctx, KVLeases, l.key, []byte(l.owner), revision, LeaseTTL)
	if err == nil {
		return next, true, nil
	}
	if errors.Is(err, ErrConflict) {
		// Either the key passed to another owner, or our own renewal was stored and its answer lost.
		e, gerr := l.kv.Get(ctx, l.key)
		if gerr == nil && string(e.Value()) == l.owner {
			return e.Revision(), false, nil
		}
		return 0, false, fmt.Errorf("renew lease %s: %w", l.key, ErrConflict)
	}
	return 0, false, fmt.Errorf("renew lease %s: %w", l.key, err)
}

// renewKey writes a key of a bucket that must still be at revision, with a time to live. The client's own update drops
// the time to live, so the message is made here.
func (c *Conn) renewKey(ctx context.Context, bucket, key string, value []byte, revision uint64, ttl time.Duration) (uint64, error) {
	m := nats.NewMsg("$KV." + bucket + "." + key)
	m.Data = value
	m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(revision, 10))
	ack, err := c.js.PublishMsg(ctx, m, jetstream.WithMsgTTL(ttl), jetstream.WithRetryAttempts(0))
	if isCode(err, jetstream.JSErrCodeStreamWrongLastSequence) {
		return 0, fmt.Errorf("renew %s/%s at revision %d: %w", bucket, key, revision, ErrConflict)
	}
	if err != nil {
		return 0, fmt.Errorf("renew %s/%s: %w", bucket, key, err)
	}
	return ack.Sequence, nil
}

// release gives the lease up so that a standby takes over at once.
func (l *Lease) release(revision uint64) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := l.kv.Delete(ctx, l.key, jetstream.LastRevision(revision)); err != nil {
		l.log.Warn("lease not released, it ends by itself", "lease", l.key, "err", err)
	}
}
