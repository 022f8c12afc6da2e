package collector

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/fleet/carddata"
	"github.com/tillwatch/tillwatch/internal/influx"
)

// Reasons of dead letters that the database gives.
const (
	ReasonRefused fleet.Reason = "refused_line" // the database refuses this line and no other
)

// Waits between two tries of a write: doubling from the first to the last, with jitter.
const (
	firstWait = 100 * time.Millisecond
	lastWait  = 5 * time.Second

	longestWait = time.Minute // however long a Retry-After asks for: asking once more harms nobody
)

// write stores spans, which lie one behind the other in b, and returns when each of them is stored, has become a dead
// letter, or ctx ended; the messages of those that are left are marked postponed. It waits for the database as long
// as it takes.
func (l *lane) write(ctx context.Context, bucket string, b *lines, spans []span) {
	wait := firstWait
	troubled := false
	for {
		l.beat()
		began := time.Now()
		err := l.c.o.Sink.Write(ctx, bucket, b.buf[spans[0].start:spans[len(spans)-1].end])
		l.c.m.writeSeconds.Observe(time.Since(began).Seconds())
		if err == nil {
			l.c.m.lines.WithLabelValues(bucket).Add(float64(len(spans)))
			l.c.report("influx", l.name+" "+bucket, nil)
			if troubled {
				l.c.log.Info("database writes again", "bucket", bucket)
			}
			return
		}
		class := influx.ClassOf(err)
		l.c.m.writeErrors.WithLabelValues(string(class)).Inc()
		switch class {
		case influx.BadLines, influx.TooLarge:
			if troubled {
				l.c.report("influx", l.name+" "+bucket, nil)
			}
			l.divide(ctx, bucket, b, spans, err)
			return
		}
		// Everything else is about the server and not about the lines: wait, however long. The batch in hand is all
		// the memory that takes.
		if ctx.Err() != nil {
			l.postpone(spans)
			return
		}
		if !troubled {
			troubled = true
			l.c.log.Warn("database does not take writes, waiting", "bucket", bucket, "class", string(class), "err", err)
		}
		l.c.report("influx", l.name+" "+bucket, err)
		d := wait/2 + rand.N(wait/2)
		if e, ok := errors.AsType[*influx.Error](err); ok && e.RetryAfter > d {
			d = min(e.RetryAfter, longestWait)
		}
		pause(ctx, d)
		wait = min(2*wait, lastWait)
		if ctx.Err() != nil {
			l.postpone(spans)
			return
		}
	}
}

// divide finds the lines that the server refuses by halving, so that one bad line costs a few writes and loses
// nothing else. What 1.8 has stored of a refused batch is written again, which changes nothing.
func (l *lane) divide(ctx context.Context, bucket string, b *lines, spans []span, cause error) {
	if len(spans) > 1 {
		half := len(spans) / 2
		l.write(ctx, bucket, b, spans[:half])
		l.write(ctx, bucket, b, spans[half:])
		return
	}
	s := spans[0]
	if s.key != (fleet.Key{}) {
		l.c.mu.Lock()
		l.c.facts.Forget(s.key)
		l.c.mu.Unlock()
	}
	d := &l.batch[s.msg]
	key, event, err := fleet.ParseSubject(d.Subject())
	kind := string(event)
	if err != nil {
		key, kind = derivedSubject(d.Subject())
	}
	detail := cause.Error()
	if e, ok := errors.AsType[*influx.Error](cause); ok {
		detail = "the database refuses its line: " + e.Message
	}
	l.outcomes[s.msg] = l.deadLetter(ctx, d, key, kind, ReasonRefused, detail)
}

func (l *lane) postpone(spans []span) {
	for _, s := range spans {
		l.outcomes[s.msg] = postponed
		if s.key != (fleet.Key{}) {
			l.c.mu.Lock()
			l.c.facts.Forget(s.key)
			l.c.mu.Unlock()
		}
	}
}

// deadLetter stores what could not be used, without card data, and only then ends the original: terminated, or erased
// where its bytes may be card data. detail must be free of card data.
func (l *lane) deadLetter(ctx context.Context, d *bus.Delivery, key fleet.Key, kind string, reason fleet.Reason, detail string) outcome {
	if l.refused {
		return postponed
	}
	payload, dirty := harmless(d.Data(), fleet.Kind(kind), d.Seq())
	letter := bus.DeadLetter{
		At: d.Stored().UnixMilli(), Stream: l.stream, Seq: d.Seq(), Reason: reason,
		Subject: harmlessSubject(d.Subject()), Detail: detail, Payload: payload,
	}
	bounded, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := l.c.o.Bus.PublishDeadLetter(bounded, key, kind, letter); err != nil {
		l.refused = true
		l.c.log.Warn("dead letter not stored, the message comes again", "stream", l.stream, "seq", d.Seq(), "err", err)
		return postponed
	}
	l.c.m.deadLetters.WithLabelValues(l.stream, string(reason)).Inc()
	l.c.log.Debug("dead letter", "stream", l.stream, "seq", d.Seq(), "reason", string(reason), "detail", letter.Detail)
	l.c.o.Probe(ProbeDeadLettered)
	// What is in DERIVED is the alerter's state, made downstream of the guard; it stays whatever becomes of its line.
	if l.stream != bus.StreamDerived && (dirty || letter.Subject != d.Subject()) {
		if err := l.c.o.Bus.Erase(ctx, l.stream, d.Seq()); err != nil {
			l.c.log.Warn("original of a dead letter not erased", "stream", l.stream, "seq", d.Seq(), "err", err)
			return postponed
		}
	}
	if err := d.Terminate(string(reason)); err != nil {
		l.c.log.Debug("terminate failed", "stream", l.stream, "err", err)
	}
	return ended
}

// harmless is a body as a dead letter may keep it. A JSON body goes through the guard field by field and stays
// readable; of anything else, everything that could be card data is masked. dirty says that something was taken out.
func harmless(body []byte, kind fleet.Kind, seq uint64) (payload string, dirty bool) {
	if len(body) <= fleet.MaxBody && json.Valid(body) {
		clean, hits := carddata.Redact(body, kind, strconv.FormatUint(seq, 10))
		return string(clean), len(hits) > 0
	}
	payload = string(carddata.Mask(body))
	return payload, payload != string(body)
}

// harmlessSubject masks a subject that has something like a card number in it.
func harmlessSubject(subject string) string {
	for token := range strings.SplitSeq(subject, ".") {
		raw, err := fleet.Unescape(token)
		if err != nil {
			raw = token
		}
		if carddata.Suspicious(raw) {
			return string(carddata.Mask([]byte(subject)))
		}
	}
	return subject
}
