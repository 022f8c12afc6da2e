package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Item is one step of the merged order: a message, or a tick when Tick is true.
type Item struct {
	Tick   bool
	At     time.Time // the stream's time: when the message was stored, or the whole second that was crossed
	Stream string
	Stored
}

// MergeOptions says what to read. The zero value of each field but Streams and From is usable.
type MergeOptions struct {
	Streams []string      // in the order that breaks ties of the stored time
	From    time.Time     // messages stored at or after this instant
	Poll    time.Duration // how often a quiet stream is asked for its end (100 ms)
	Margin  time.Duration // a stream read to its end at T is known to be past T − Margin (100 ms)
}

// Merge reads several streams as one, ordered by (stored time, stream, sequence), with a tick for every whole second
// crossed, placed before that second's messages. It calls handle from one goroutine and returns handle's first error,
// or ctx's. A message is handed on when every other stream is known to be past its time; with nothing arriving, ticks
// follow the server's time. It reconnects and goes on for ever.
func (c *Conn) Merge(ctx context.Context, o MergeOptions, handle func(Item) error) error {
	if o.Poll <= 0 {
		o.Poll = 100 * time.Millisecond
	}
	if o.Margin <= 0 {
		o.Margin = 100 * time.Millisecond
	}
	ctx, cancel := context.WithCancel(ctx)
	var readers sync.WaitGroup
	defer readers.Wait()
	defer cancel()

	m := &merge{o: o, heads: make([]*Stored, len(o.Streams)), known: make([]time.Time, len(o.Streams)), last: o.From.Truncate(time.Second)}
	feeds := make([]*feed, len(o.Streams))
	wake := make(chan struct{}, 1)
	for i, name := range o.Streams {
		feeds[i] = &feed{stream: name, messages: make(chan Stored, 1024), wake: wake}
		readers.Go(func() { c.follow(ctx, feeds[i], o.From) })
		readers.Go(func() { c.pollEnd(ctx, feeds[i], o) })
	}
	for {
		for i, f := range feeds {
			known := f.knownUntil() // before the channel is looked at: what was delivered by then is in it
			if m.heads[i] == nil {
				select {
				case s := <-f.messages:
					m.heads[i] = &s
				default:
					m.known[i] = later(m.known[i], known)
				}
			}
		}
		progressed, err := m.step(handle)
		if err != nil {
			return err
		}
		if progressed {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wake:
		}
	}
}

// merge is the ordering itself, without a server.
type merge struct {
	o     MergeOptions
	heads []*Stored   // the next message of each stream, nil where it has not come
	known []time.Time // everything stored before this instant, but not at it, has been handed on or is the head
	last  time.Time   // the last tick
}

// step hands on at most one message, with the ticks before it, or the ticks that time alone allows.
func (m *merge) step(handle func(Item) error) (progressed bool, err error) {
	next := -1
	for i, h := range m.heads {
		if h != nil && (next < 0 || h.Stored.Before(m.heads[next].Stored)) {
			next = i
		}
	}
	var horizon time.Time
	found := false // a stream of which nothing is known yet has the zero time, and holds everything back
	for i, h := range m.heads {
		t := m.known[i]
		if h != nil {
			t = h.Stored
		}
		if !found || t.Before(horizon) {
			horizon, found = t, true
		}
	}
	ready := next >= 0
	for i, h := range m.heads {
		// A stream that comes first at equal times could still bring one of this very instant.
		if ready && h == nil && (m.known[i].Before(m.heads[next].Stored) || i < next && m.known[i].Equal(m.heads[next].Stored)) {
			ready = false
		}
	}
	// Ticks up to the horizon come first: they lie before anything that can still arrive.
	for t := m.last.Add(time.Second); !t.After(horizon); t = t.Add(time.Second) {
		m.last, progressed = t, true
		if err := handle(Item{Tick: true, At: t}); err != nil {
			return true, err
		}
	}
	if !ready {
		return progressed, nil
	}
	s := m.heads[next]
	m.heads[next] = nil
	m.known[next] = later(m.known[next], s.Stored)
	return true, handle(Item{At: s.Stored, Stream: m.o.Streams[next], Stored: *s})
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// feed carries one stream from its reader to the merge.
type feed struct {
	stream   string
	messages chan Stored
	wake     chan struct{}

	mu        sync.Mutex // guards everything below
	delivered uint64     // last sequence put into messages
	cons      jetstream.Consumer
	until     time.Time // the stream is read to its end up to this instant
}

func (f *feed) knownUntil() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.until
}

func (f *feed) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// follow reads a stream for ever with an ordered consumer, starting a new one behind the last message whenever the
// old one is lost.
func (c *Conn) follow(ctx context.Context, f *feed, from time.Time) {
	for ctx.Err() == nil {
		if err := c.followOnce(ctx, f, from); err != nil && ctx.Err() == nil {
			c.log.Warn("stream reader starts again", "stream", f.stream, "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(250 * time.Millisecond):
			}
		}
	}
}

func (c *Conn) followOnce(ctx context.Context, f *feed, from time.Time) error {
	cfg := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &from}
	f.mu.Lock()
	if f.delivered > 0 {
		cfg = jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: f.delivered + 1}
	}
	f.mu.Unlock()
	cons, err := c.js.OrderedConsumer(ctx, f.stream, cfg)
	if err != nil {
		return fmt.Errorf("read stream %s: %w", f.stream, err)
	}
	it, err := cons.Messages()
	if err != nil {
		return fmt.Errorf("read stream %s: %w", f.stream, err)
	}
	f.mu.Lock()
	f.cons = cons
	f.mu.Unlock()
	stop := context.AfterFunc(ctx, it.Stop)
	defer stop()
	defer it.Stop()
	for {
		msg, err := it.Next()
		if err != nil {
			return fmt.Errorf("read stream %s: %w", f.stream, err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			return fmt.Errorf("read stream %s: %w", f.stream, err)
		}
		s := Stored{Message{Subject: msg.Subject(), ID: msg.Headers().Get(jetstream.MsgIDHeader), Data: msg.Data()}, meta.Sequence.Stream, meta.Timestamp}
		select {
		case f.messages <- s:
		case <-ctx.Done():
			return ctx.Err()
		}
		f.mu.Lock()
		f.delivered = meta.Sequence.Stream
		f.mu.Unlock()
		f.signal()
	}
}

// pollEnd asks for the end of a stream: when all of it has been delivered, the stream is known to be past the
// server's time of the answer, less the margin.
func (c *Conn) pollEnd(ctx context.Context, f *feed, o MergeOptions) {
	tick := time.NewTicker(o.Poll)
	defer tick.Stop()
	var s jetstream.Stream
	var quiet quietEnd
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		qctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		var info *jetstream.StreamInfo
		var err error
		if s == nil {
			s, err = c.js.Stream(qctx, f.stream)
		}
		if err == nil {
			info, err = s.Info(qctx)
		}
		cancel()
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) {
				c.log.Debug("end of stream not known", "stream", f.stream, "err", err)
			}
			continue
		}
		until, read := quiet.look(ctx, f, info)
		f.mu.Lock()
		if read {
			f.until = later(f.until, until.Add(-o.Margin))
		}
		// Before the first delivery nothing is known to be read but an empty remainder: all of it older than from.
		if f.delivered >= info.State.LastSeq || info.State.Msgs == 0 || info.State.LastTime.Before(o.From) {
			f.until = later(f.until, info.TimeStamp.Add(-o.Margin))
		}
		f.mu.Unlock()
		f.signal()
	}
}

// quietEnd finds out that a stream is read to its end although its last message will never be delivered, because it
// was erased: the server has nothing left to send, twice in a row, and nothing came between.
type quietEnd struct {
	delivered uint64
	at        time.Time // of the first of the two looks
}

// look returns the instant up to which the stream is known to be read.
func (q *quietEnd) look(ctx context.Context, f *feed, info *jetstream.StreamInfo) (time.Time, bool) {
	f.mu.Lock()
	delivered, cons := f.delivered, f.cons
	f.mu.Unlock()
	if cons == nil || delivered >= info.State.LastSeq {
		q.at = time.Time{}
		return time.Time{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	ci, err := cons.Info(ctx)
	if err != nil || ci.NumPending > 0 || len(f.messages) > 0 {
		q.at = time.Time{}
		return time.Time{}, false
	}
	first := q.at
	if first.IsZero() || q.delivered != delivered {
		q.at, q.delivered = info.TimeStamp, delivered
		return time.Time{}, false
	}
	q.at = info.TimeStamp
	return first, true
}
