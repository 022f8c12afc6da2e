package collector

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/fleet"
)

// encoder turns one delivery into lines of the batch, or into an outcome of its own.
type encoder func(ctx context.Context, l *lane, msg int) outcome

// outcome is what becomes of a delivery.
type outcome uint8

const (
	stored    outcome = iota // its lines are in the batch: acknowledge after the write
	dropped                  // counted and not stored: acknowledge with the batch
	ended                    // dead-lettered or erased: nothing is left to do
	postponed                // could not be handled now: not acknowledged, it comes again
)

// lane is one worker of one stream.
type lane struct {
	c       *Collector
	stream  string
	name    string // of this lane among the stream's
	beat    func() // says that the lane turns
	durable string
	cons    *bus.Consumer
	encode  encoder

	batch    []bus.Delivery
	outcomes []outcome
	lines    map[string]*lines // by bucket
	dirty    []dirty           // messages with card data, handled after the write
	refused  bool              // a dead letter of this batch was not taken: the others are not tried
	copyFail time.Time         // when a redacted copy was last refused; zero: the condition does not hold
}

// lines is the line protocol of a batch for one bucket, with the message each part came from.
type lines struct {
	buf   []byte
	spans []span
}

type span struct {
	msg        int
	start, end int
	key        fleet.Key // of a heartbeat, whose facts are forgotten when the line is refused
}

var errDisconnected = errors.New("fetch: no connection to NATS, waiting for it")

// run works until ctx ends; what is in hand then is finished under finish.
func (l *lane) run(ctx, finish context.Context) {
	var stop func()
	l.beat, stop = l.c.o.Pulse(l.name)
	defer stop()
	failed := 0
	for ctx.Err() == nil {
		l.beat()
		var err error
		l.batch, err = l.cons.Fetch(ctx, l.batch[:0], l.c.o.Batch, l.c.o.Linger)
		if err == nil && len(l.batch) == 0 && !l.c.o.Bus.Connected() {
			err = errDisconnected // a request that nobody hears ends like one that finds nothing
		}
		if err != nil && ctx.Err() == nil {
			failed++
			if failed >= 3 { // one lost request is a reconnect, not a condition
				l.c.report("bus", l.name, err)
			}
			if failed%10 == 5 {
				l.reopen(ctx)
			}
			l.c.log.Debug("fetch failed", "stream", l.stream, "err", err)
		} else if failed > 0 {
			failed = 0
			l.c.report("bus", l.name, nil)
		}
		if len(l.batch) > 0 {
			l.handle(finish)
		}
		// The refused message may have been delivered to another lane or process and replaced there.
		if !l.copyFail.IsZero() && time.Since(l.copyFail) > 2*l.cons.AckWait() {
			l.copyFail = time.Time{}
			l.c.report("bus", l.name+" copies", nil)
		}
		if err != nil {
			pause(ctx, 200*time.Millisecond)
		}
	}
}

// reopen makes the lane's consumer again where somebody has deleted it.
func (l *lane) reopen(ctx context.Context) {
	if !l.c.o.Bus.Connected() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	cons, err := l.c.o.Bus.Consumer(ctx, l.stream, l.durable, bus.ConsumerOptions{AckWait: l.c.o.AckWait, MaxAckPending: l.c.o.MaxAckPending})
	if err != nil {
		l.c.log.Warn("consumer not opened", "stream", l.stream, "err", err)
		return
	}
	l.cons = cons
}

// handle takes one batch from bytes to acknowledgement.
func (l *lane) handle(ctx context.Context) {
	l.outcomes = slices.Grow(l.outcomes[:0], len(l.batch))[:len(l.batch)]
	for _, b := range l.lines {
		b.buf, b.spans = b.buf[:0], b.spans[:0]
	}
	stop := l.keepAlive()
	defer stop()
	l.dirty, l.refused = l.dirty[:0], false
	for i := range l.batch {
		l.beat()
		l.outcomes[i] = l.encode(ctx, l, i)
	}
	for bucket, b := range l.lines {
		if len(b.spans) > 0 {
			l.write(ctx, bucket, b, b.spans)
		}
	}
	l.c.o.Probe(ProbeWritten)
	l.replaceAll(ctx)
	for i, o := range l.outcomes {
		if o == stored || o == dropped {
			if err := l.batch[i].Ack(); err != nil {
				l.c.log.Debug("ack failed", "stream", l.stream, "err", err)
			}
		}
	}
	l.c.m.count(l.stream, l.outcomes)
}

// keepAlive tells the server, while a batch is being worked on, that its messages are in progress, so that they are
// not delivered to another process although this one only waits for the database.
func (l *lane) keepAlive() (stop func()) {
	done := make(chan struct{})
	exited := make(chan struct{})
	batch := l.batch
	go func() {
		defer close(exited)
		t := time.NewTicker(l.cons.AckWait() / 3)
		defer t.Stop()
		for {
			select {
			case <-done:
				return
			case <-t.C:
			}
			for i := range batch {
				// Refused for a message that has ended meanwhile, which is as well.
				_ = batch[i].InProgress()
			}
		}
	}()
	return func() { close(done); <-exited }
}

// bucket returns the lines of the batch for a bucket.
func (l *lane) bucket(name string) *lines {
	b := l.lines[name]
	if b == nil {
		b = &lines{}
		l.lines[name] = b
	}
	return b
}

// add notes that the lines from start to the end of the buffer came from msg.
func (b *lines) add(msg, start int, key fleet.Key) {
	b.spans = append(b.spans, span{msg, start, len(b.buf), key})
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
