package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrConflict is returned when another writer was first.
var ErrConflict = errors.New("another writer was first")

// Append publishes m if the last message on its subject has sequence last (0: there is none), and returns the new
// sequence. The first writing wins: another message meanwhile is ErrConflict. A repetition of the same message after
// a lost answer is not a conflict but returns the sequence it has. It blocks until the server has answered, or ctx
// ends.
func (c *Conn) Append(ctx context.Context, m Message, last uint64) (uint64, error) {
	for {
		ack, err := c.js.PublishMsg(ctx, m.nats(), jetstream.WithExpectLastSequencePerSubject(last))
		switch {
		case err == nil && !ack.Duplicate:
			return ack.Sequence, nil
		case err == nil, isCode(err, jetstream.JSErrCodeStreamWrongLastSequence):
			have, err := c.Last(ctx, m.Subject)
			if err != nil {
				return 0, err
			}
			if have != nil && have.ID == m.ID && m.ID != "" && bytes.Equal(have.Data, m.Data) {
				return have.Seq, nil // ours: the first answer was lost
			}
			return 0, fmt.Errorf("append to %q after sequence %d: %w", m.Subject, last, ErrConflict)
		case ctx.Err() != nil:
			return 0, fmt.Errorf("append to %q: %w", m.Subject, err)
		}
		c.log.Warn("append not acknowledged, sending again", "subject", m.Subject, "err", err)
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("append to %q: %w", m.Subject, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Stored is a message as a stream keeps it.
type Stored struct {
	Message
	Seq    uint64
	Stored time.Time // when the stream took it
}

// Last returns the last message on a subject, nil where there is none.
func (c *Conn) Last(ctx context.Context, subject string) (*Stored, error) {
	name, err := c.js.StreamNameBySubject(ctx, subject)
	if err != nil {
		return nil, fmt.Errorf("find the stream of %q: %w", subject, err)
	}
	s, err := c.js.Stream(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("look up stream %s: %w", name, err)
	}
	raw, err := s.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the last message on %q: %w", subject, err)
	}
	return &Stored{Message{Subject: raw.Subject, ID: raw.Header.Get(jetstream.MsgIDHeader), Data: raw.Data}, raw.Sequence, raw.Time}, nil
}

// Erase overwrites a message of a stream with random bytes and removes it: for card data that must not rest.
func (c *Conn) Erase(ctx context.Context, stream string, seq uint64) error {
	s, err := c.js.Stream(ctx, stream)
	if err != nil {
		return fmt.Errorf("look up stream %s: %w", stream, err)
	}
	err = s.SecureDeleteMsg(ctx, seq)
	if err == nil {
		return nil
	}
	if _, gerr := s.GetMsg(ctx, seq); errors.Is(gerr, jetstream.ErrMsgNotFound) {
		return nil // erased before, by us or by another reader; the client does not pass the server's code on
	}
	return fmt.Errorf("erase message %d of %s: %w", seq, stream, err)
}

// Publish sends one message and waits for the server to have it, trying again until ctx ends.
func (c *Conn) Publish(ctx context.Context, m Message) error {
	for {
		_, err := c.js.PublishMsg(ctx, m.nats())
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("publish on %q: %w", m.Subject, err)
		case <-time.After(200 * time.Millisecond):
			c.log.Warn("publish not acknowledged, sending again", "subject", m.Subject, "err", err)
		}
	}
}

// Each calls f for every message of a stream on the subjects that match filter, oldest first, up to the end as it was
// when Each began, and returns the sequence to go on from.
func (c *Conn) Each(ctx context.Context, stream, filter string, f func(Stored) error) (next uint64, err error) {
	s, err := c.js.Stream(ctx, stream)
	if err != nil {
		return 0, fmt.Errorf("look up stream %s: %w", stream, err)
	}
	end := s.CachedInfo().State.LastSeq
	cons, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{FilterSubjects: []string{filter}, DeliverPolicy: jetstream.DeliverAllPolicy})
	if err != nil {
		return 0, fmt.Errorf("read stream %s: %w", stream, err)
	}
	info, err := cons.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("read stream %s: %w", stream, err)
	}
	if info.NumPending == 0 {
		return end + 1, nil
	}
	it, err := cons.Messages()
	if err != nil {
		return 0, fmt.Errorf("read stream %s: %w", stream, err)
	}
	defer it.Stop()
	for {
		m, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			return 0, fmt.Errorf("read stream %s: %w", stream, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return 0, fmt.Errorf("read stream %s: %w", stream, err)
		}
		if meta.Sequence.Stream > end {
			return end + 1, nil
		}
		if err := f(Stored{Message{Subject: m.Subject(), ID: m.Headers().Get(jetstream.MsgIDHeader), Data: m.Data()}, meta.Sequence.Stream, meta.Timestamp}); err != nil {
			return 0, err
		}
		if meta.NumPending == 0 {
			return max(end, meta.Sequence.Stream) + 1, nil
		}
	}
}
