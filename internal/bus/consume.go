package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ConsumerOptions says how a shared durable consumer behaves. The zero value takes the defaults in parentheses.
type ConsumerOptions struct {
	AckWait       time.Duration // unacknowledged for so long, a message is delivered again (60 s)
	MaxAckPending int           // delivered and not acknowledged, over all processes (100,000)
	Filter        string        // subjects ("": all of the stream)
}

// Consumer is a durable pull consumer that any number of processes share.
type Consumer struct {
	cons    jetstream.Consumer
	stream  string
	ackWait time.Duration
}

// Consumer opens the durable consumer of a stream, creating it where it is missing. A consumer that a server keeps
// with other settings is brought to these.
func (c *Conn) Consumer(ctx context.Context, stream, durable string, o ConsumerOptions) (*Consumer, error) {
	if o.AckWait <= 0 {
		o.AckWait = time.Minute
	}
	if o.MaxAckPending <= 0 {
		o.MaxAckPending = 100_000
	}
	cons, err := c.js.CreateOrUpdateConsumer(ctx, stream, jetstream.ConsumerConfig{
		Durable: durable, AckPolicy: jetstream.AckExplicitPolicy, DeliverPolicy: jetstream.DeliverAllPolicy,
		AckWait: o.AckWait, MaxDeliver: -1, MaxAckPending: o.MaxAckPending, FilterSubject: o.Filter,
	})
	if err != nil {
		return nil, fmt.Errorf("open consumer %q of stream %s: %w", durable, stream, err)
	}
	return &Consumer{cons, stream, o.AckWait}, nil
}

// AckWait is how long a delivered message may stay unacknowledged.
func (c *Consumer) AckWait() time.Duration { return c.ackWait }

// Delivery is one delivered message. Exactly one of Ack, Terminate and Release ends it.
type Delivery struct {
	m        jetstream.Msg
	seq      uint64
	stored   int64 // Unix nanoseconds
	attempts uint64
}

// newDelivery reads where a message stands in its stream. The client's own reading allocates for each message, and
// this is the hot path.
func newDelivery(m jetstream.Msg) (Delivery, error) {
	if d, ok := parseAckReply(m.Reply()); ok {
		d.m = m
		return d, nil
	}
	meta, err := m.Metadata()
	if err != nil {
		return Delivery{}, err
	}
	return Delivery{m, meta.Sequence.Stream, meta.Timestamp.UnixNano(), meta.NumDelivered}, nil
}

// parseAckReply reads the reply subject of a delivered message:
// $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>, or with <domain>.<account>
// before the stream and perhaps a token at the end.
func parseAckReply(reply string) (d Delivery, ok bool) {
	rest, ok := strings.CutPrefix(reply, "$JS.ACK.")
	if !ok {
		return d, false
	}
	skip := 2 // stream and consumer
	if strings.Count(rest, ".") > 6 {
		skip = 4
	}
	for range skip {
		if _, rest, ok = strings.Cut(rest, "."); !ok {
			return d, false
		}
	}
	var n [4]int64 // delivered, stream seq, consumer seq, time
	for i := range n {
		var token string
		if token, rest, ok = strings.Cut(rest, "."); !ok {
			return d, false
		}
		v, err := strconv.ParseInt(token, 10, 64)
		if err != nil || v < 0 {
			return d, false
		}
		n[i] = v
	}
	return Delivery{attempts: uint64(n[0]), seq: uint64(n[1]), stored: n[3]}, true
}

// Subject is the subject the message was published on.
func (d *Delivery) Subject() string { return d.m.Subject() }

// ID is the message's Nats-Msg-Id, "" without one.
func (d *Delivery) ID() string { return d.m.Headers().Get(jetstream.MsgIDHeader) }

// Data is the body. It must not be changed.
func (d *Delivery) Data() []byte { return d.m.Data() }

// Seq is the message's sequence in its stream.
func (d *Delivery) Seq() uint64 { return d.seq }

// Stored is when the stream took the message.
func (d *Delivery) Stored() time.Time { return time.Unix(0, d.stored) }

// Arrived is when the event reached the bus: Stored, or for the guard's redacted copy when the original was stored.
func (d *Delivery) Arrived() time.Time {
	if h := d.m.Headers(); h[arrivedHeader] != nil {
		if strings.HasSuffix(d.ID(), RedactedSuffix) {
			if ms, err := strconv.ParseInt(h.Get(arrivedHeader), 10, 64); err == nil && ms > 0 {
				return time.UnixMilli(ms)
			}
		}
	}
	return d.Stored()
}

// Redelivered reports whether the message was delivered before.
func (d *Delivery) Redelivered() bool { return d.attempts > 1 }

// Ack tells the server that the message is done. It does not wait: a lost acknowledgement is a second delivery.
func (d *Delivery) Ack() error { return d.m.Ack() }

// Terminate tells the server never to deliver the message again. Publish its dead letter first.
func (d *Delivery) Terminate(reason string) error { return d.m.TermWithReason(reason) }

// InProgress starts the message's acknowledgement time anew.
func (d *Delivery) InProgress() error { return d.m.InProgress() }

// Release gives the message back for another delivery at once.
func (d *Delivery) Release() error { return d.m.Nak() }

// Fetch appends up to n messages to into and returns it. It returns when there are n, or after linger with what has
// come until then, which may be nothing. An error does not take away what was delivered.
func (c *Consumer) Fetch(ctx context.Context, into []Delivery, n int, linger time.Duration) ([]Delivery, error) {
	if err := ctx.Err(); err != nil {
		return into, err
	}
	batch, err := c.cons.Fetch(n, jetstream.FetchMaxWait(linger))
	if err != nil {
		return into, fmt.Errorf("fetch from stream %s: %w", c.stream, err)
	}
	for m := range batch.Messages() {
		d, err := newDelivery(m)
		if err != nil {
			return into, fmt.Errorf("read metadata of a message of stream %s: %w", c.stream, err)
		}
		into = append(into, d)
	}
	if err := batch.Error(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return into, fmt.Errorf("fetch from stream %s: %w", c.stream, err)
	}
	return into, nil
}

// Lag is how much a consumer has before it.
type Lag struct {
	Pending    uint64 // stored and not delivered yet
	AckPending int    // delivered and not acknowledged
}

// Lag asks the server how far the consumer is behind.
func (c *Consumer) Lag(ctx context.Context) (Lag, error) {
	info, err := c.cons.Info(ctx)
	if err != nil {
		return Lag{}, fmt.Errorf("ask for the lag of stream %s: %w", c.stream, err)
	}
	return Lag{info.NumPending, info.NumAckPending}, nil
}
