package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Message is what travels: a body on a subject, with the id under which the server drops a second copy.
type Message struct {
	Subject string
	ID      string // Nats-Msg-Id; "" sends without one
	Data    []byte

	// Arrived is, on the redacted copy of a message, when the original had arrived; zero on everything else.
	Arrived time.Time
}

// arrivedHeader carries Message.Arrived in Unix milliseconds.
const arrivedHeader = "Tillwatch-Arrived"

// RedactedSuffix ends the id of a message that the guard has cleaned and published in the original's place.
const RedactedSuffix = ".redacted"

func (m Message) nats() *nats.Msg {
	msg := &nats.Msg{Subject: m.Subject, Data: m.Data}
	if m.ID != "" {
		msg.Header = nats.Header{jetstream.MsgIDHeader: []string{m.ID}}
	}
	if !m.Arrived.IsZero() {
		if msg.Header == nil {
			msg.Header = nats.Header{}
		}
		msg.Header.Set(arrivedHeader, strconv.FormatInt(m.Arrived.UnixMilli(), 10))
	}
	return msg
}

// PublisherOptions tunes a Publisher. The zero value is usable.
type PublisherOptions struct {
	Window  int           // unacknowledged messages kept, after which Publish blocks (4096)
	Timeout time.Duration // without an acknowledgement for so long, a message is sent again (5 s)
	Backoff time.Duration // pause before sending again what was refused or lost (250 ms)

	// Acked is called once for each message that the server has stored, from the connection's goroutine.
	Acked func(m Message)
	// Troubled is called whenever messages have to be sent again, with the reason: a full stream says so here. It is
	// called at most once a second.
	Troubled func(err error, waiting int)
}

// Publisher sends messages and keeps each until the server has acknowledged it; what was refused, timed out or lost
// with a connection is sent again with the same id. It is safe for concurrent use.
type Publisher struct {
	o       PublisherOptions
	js      jetstream.JetStream
	slots   chan struct{} // one token for each message that is kept
	acked   atomic.Uint64
	resent  atomic.Uint64
	stop    chan struct{}
	stopped sync.WaitGroup

	mu     sync.Mutex // guards everything below
	again  []*nats.Msg
	reason error
	wake   chan struct{}
	closed bool
}

// NewPublisher returns a publisher on c. Close it to end its goroutine.
func (c *Conn) NewPublisher(o PublisherOptions) (*Publisher, error) {
	if o.Window <= 0 {
		o.Window = 4096
	}
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Backoff <= 0 {
		o.Backoff = 250 * time.Millisecond
	}
	p := &Publisher{o: o, slots: make(chan struct{}, o.Window), stop: make(chan struct{}), wake: make(chan struct{}, 1)}
	js, err := jetstream.New(c.nc,
		jetstream.WithPublishAsyncTimeout(o.Timeout),
		jetstream.WithPublishAsyncMaxPending(o.Window+1),
		jetstream.WithPublishAsyncAckHandler(func(_ jetstream.JetStream, m *nats.Msg, _ *jetstream.PubAck) { p.done(m) }),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, m *nats.Msg, err error) { p.keep(m, err) }),
	)
	if err != nil {
		return nil, fmt.Errorf("open publisher: %w", err)
	}
	p.js = js
	p.stopped.Go(p.resend)
	return p, nil
}

// Publish takes responsibility for m and returns. It blocks while Window messages are unacknowledged and returns an
// error only when ctx ends first or m can never be sent (too large for the server, no subject); then m is not kept.
func (p *Publisher) Publish(ctx context.Context, m Message) error {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("publish on %q: %w", m.Subject, ctx.Err())
	case <-p.stop:
		return fmt.Errorf("publish on %q: publisher closed", m.Subject)
	}
	msg := m.nats()
	if _, err := p.js.PublishMsgAsync(msg); err != nil {
		if errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrBadSubject) {
			<-p.slots
			return fmt.Errorf("publish %d bytes on %q: %w", len(m.Data), m.Subject, err)
		}
		p.keep(msg, err)
	}
	return nil
}

func (p *Publisher) done(m *nats.Msg) {
	p.acked.Add(1)
	if p.o.Acked != nil {
		p.o.Acked(Message{Subject: m.Subject, ID: m.Header.Get(jetstream.MsgIDHeader), Data: m.Data})
	}
	<-p.slots
}

// keep queues a message whose fate is unknown or that was refused.
func (p *Publisher) keep(m *nats.Msg, err error) {
	// A message goes out again as a new request; the reply subject of the old one must not be reused.
	again := &nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data}
	p.mu.Lock()
	p.again = append(p.again, again)
	p.reason = err
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// resend sends the kept messages again, pausing after each round so that a full stream or a server that is away is
// asked a few times a second and not in a loop.
func (p *Publisher) resend() {
	var told time.Time
	for {
		select {
		case <-p.stop:
			return
		case <-p.wake:
		}
		select {
		case <-p.stop:
			return
		case <-time.After(p.o.Backoff):
		}
		p.mu.Lock()
		batch, reason := p.again, p.reason
		p.again = nil
		p.mu.Unlock()
		if p.o.Troubled != nil && len(batch) > 0 && time.Since(told) >= time.Second {
			told = time.Now()
			p.o.Troubled(reason, len(batch))
		}
		for _, m := range batch {
			p.resent.Add(1)
			if _, err := p.js.PublishMsgAsync(m); err != nil {
				p.keep(m, err)
			}
		}
	}
}

// Acked is the number of messages the server has acknowledged.
func (p *Publisher) Acked() uint64 { return p.acked.Load() }

// Resent is the number of times a message had to be sent again.
func (p *Publisher) Resent() uint64 { return p.resent.Load() }

// Waiting is the number of messages kept because they are not acknowledged yet.
func (p *Publisher) Waiting() int { return len(p.slots) }

// Flush blocks until nothing is waiting, or ctx ends; then the error says how many messages are unacknowledged and
// why.
func (p *Publisher) Flush(ctx context.Context) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for len(p.slots) > 0 {
		select {
		case <-ctx.Done():
			p.mu.Lock()
			reason := p.reason
			p.mu.Unlock()
			return errors.Join(fmt.Errorf("%d messages not acknowledged: %w", len(p.slots), ctx.Err()), reason)
		case <-tick.C:
		}
	}
	return nil
}

// Close ends the publisher. What is still unacknowledged is given up: call Flush first.
func (p *Publisher) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		close(p.stop)
	}
}
