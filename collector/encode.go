package collector

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/tillwatch/tillwatch/collector/point"
	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/fleet/carddata"
	"github.com/tillwatch/tillwatch/internal/schema"
)

// shortestPAN is the number of digits of the shortest card number (ISO/IEC 7812 as the guard reads it).
const shortestPAN = 13

// encodeEvent takes a message of TXN or HB through the guard and the decoder into the batch.
func (c *Collector) encodeEvent(ctx context.Context, l *lane, msg int) outcome {
	d := &l.batch[msg]
	key, kind, err := fleet.ParseSubject(d.Subject())
	if err != nil {
		if subject := harmlessSubject(d.Subject()); subject != d.Subject() {
			err = &fleet.Invalid{Reason: fleet.ReasonSubject, Field: "subject", Got: subject, Want: "fleet.v1.<acquirer>.<terminal>.<kind> without a card number"}
		}
		return l.refuse(ctx, d, fleet.Key{}, lastToken(d.Subject()), err)
	}
	if len(key.Acquirer) >= shortestPAN && carddata.Suspicious(key.Acquirer) {
		c.m.guardHits.WithLabelValues("pan").Inc()
		c.log.Warn("an acquirer's id looks like a card number", "stream", l.stream, "seq", d.Seq())
		return l.refuse(ctx, d, fleet.Key{}, string(kind), &fleet.Invalid{Reason: fleet.ReasonSubject, Field: "acquirer", Got: "[masked]", Want: "an acquirer's id, not a card number"})
	}
	if carddata.Suspicious(key.Terminal) {
		c.m.guardHits.WithLabelValues("pan").Inc()
		c.log.Warn("a terminal's number looks like a card number", "acquirer", key.Acquirer, "stream", l.stream, "seq", d.Seq())
		key.Terminal = ""
		return l.refuse(ctx, d, key, string(kind), &fleet.Invalid{Reason: fleet.ReasonSubject, Field: "terminal", Got: "[masked]", Want: "a TID, not a card number"})
	}
	clean, hits := carddata.Redact(d.Data(), kind, "")
	if len(hits) > 0 {
		clean, hits = carddata.Redact(d.Data(), kind, strconv.FormatUint(d.Seq(), 10)) // the number is only worth making for a hit
		for _, h := range hits {
			c.m.guardHits.WithLabelValues(string(h.Kind)).Inc()
			c.log.Warn("card data redacted", "acquirer", key.Acquirer, "terminal", key.Terminal, "field", h.Field, "kind", string(h.Kind), "hint", "ask the sender to stop; the event is kept")
		}
		l.dirty = append(l.dirty, dirty{msg, key, kind, clean})
		return postponed
	}
	if kind == fleet.KindHeartbeat {
		var h fleet.Heartbeat
		if err := fleet.DecodeHeartbeat(clean, key, &h); err != nil {
			return l.refuse(ctx, d, key, string(kind), err)
		}
		b := l.bucket(schema.BucketRaw)
		start := len(b.buf)
		c.mu.Lock()
		b.buf = point.AppendHeartbeat(b.buf, key, &h, d.Arrived(), c.facts)
		c.mu.Unlock()
		b.add(msg, start, key)
		return stored
	}
	var t fleet.Txn
	if err := fleet.DecodeTxn(clean, key, &t); err != nil {
		return l.refuse(ctx, d, key, string(kind), err)
	}
	a := c.acquirer(key.Acquirer)
	switch {
	case t.Src != a.Source:
		c.m.otherSource.WithLabelValues(string(t.Src)).Inc()
		return dropped
	case a.Profile.Approved(t.Code):
		return dropped
	}
	c.mu.Lock()
	model := c.facts.Model(key)
	c.mu.Unlock()
	b := l.bucket(schema.BucketEvents)
	start := len(b.buf)
	b.buf = point.AppendDecline(b.buf, key, &t, model, d.Arrived())
	b.add(msg, start, fleet.Key{})
	return stored
}

// dirty is a message with card data, and what the guard left of it.
type dirty struct {
	msg   int
	key   fleet.Key
	kind  fleet.Kind
	clean []byte
}

// replaceAll replaces the batch's messages with card data, once everything else of the batch is stored: a stream that
// is full refuses their copies, and must not hold up what has nothing to do with it. After the first refusal the others
// wait for their next delivery too.
func (l *lane) replaceAll(ctx context.Context) {
	for _, x := range l.dirty {
		l.beat()
		out := l.replace(ctx, &l.batch[x.msg], x.key, x.kind, x.clean)
		l.outcomes[x.msg] = out
		if out == postponed {
			l.copyFail = time.Now()
			l.c.report("bus", l.name+" copies", errors.New("the copy of an event with card data is refused: is the stream full?"))
			return
		}
	}
	if len(l.dirty) > 0 {
		l.copyFail = time.Time{}
		l.c.report("bus", l.name+" copies", nil)
	}
}

// storeTimeout bounds one message of ours to a bus that refuses or is away; what it was for comes again.
const storeTimeout = 5 * time.Second

func lastToken(subject string) string { return subject[strings.LastIndexByte(subject, '.')+1:] }

// refuse makes a dead letter of a message that the decoder does not take.
func (l *lane) refuse(ctx context.Context, d *bus.Delivery, key fleet.Key, kind string, err error) outcome {
	reason := fleet.ReasonSyntax
	if invalid, ok := errors.AsType[*fleet.Invalid](err); ok {
		reason = invalid.Reason
	}
	return l.deadLetter(ctx, d, key, kind, reason, err.Error())
}

// replace publishes the redacted event in the original's place and then erases the original. The copy comes through
// the stream like any other event; the original is never stored itself, so whichever step a crash separates, the
// event is stored once.
func (l *lane) replace(ctx context.Context, d *bus.Delivery, key fleet.Key, kind fleet.Kind, clean []byte) outcome {
	var id string
	var err error
	if kind == fleet.KindHeartbeat {
		var h fleet.Heartbeat
		if err = fleet.DecodeHeartbeat(clean, key, &h); err == nil {
			id = key.HeartbeatMsgID(h.Boot, h.Seq)
		}
	} else {
		var t fleet.Txn
		if err = fleet.DecodeTxn(clean, key, &t); err == nil {
			id = key.TxnMsgID(t.Src, t.ID)
		}
	}
	if err != nil {
		return l.refuse(ctx, d, key, string(kind), err)
	}
	m := bus.Message{Subject: key.Subject(kind), ID: id + bus.RedactedSuffix, Data: clean, Arrived: d.Arrived()}
	bounded, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := l.c.o.Bus.Publish(bounded, m); err != nil {
		l.c.log.Warn("redacted copy not stored, the message comes again", "stream", l.stream, "seq", d.Seq(), "err", err)
		return postponed
	}
	l.c.o.Probe(ProbeRedacted)
	if err := l.c.o.Bus.Erase(ctx, l.stream, d.Seq()); err != nil {
		l.c.log.Warn("original of a redacted event not erased, trying again", "stream", l.stream, "seq", d.Seq(), "err", err)
		return postponed
	}
	l.c.m.redacted.WithLabelValues(l.stream).Inc()
	if err := d.Ack(); err != nil {
		l.c.log.Debug("ack failed", "stream", l.stream, "err", err)
	}
	return ended
}

// derivedSubject reads derived.v1.<kind>.<acquirer or _all>.…
func derivedSubject(subject string) (key fleet.Key, kind string) {
	rest, _ := strings.CutPrefix(subject, fleet.DerivedPrefix)
	kind, rest, _ = strings.Cut(rest, ".")
	key.Acquirer, _, _ = strings.Cut(rest, ".")
	return key, kind
}

// encodeDerived takes a finding, an incident's transition or rows into the batch.
func (c *Collector) encodeDerived(ctx context.Context, l *lane, msg int) outcome {
	d := &l.batch[msg]
	key, kind := derivedSubject(d.Subject())
	b := l.bucket(schema.BucketEvents)
	start := len(b.buf)
	var err error
	reason := fleet.ReasonField
	decode := func(body any) bool {
		if err = json.Unmarshal(d.Data(), body); err != nil {
			reason = fleet.ReasonSyntax
		}
		return err == nil
	}
	switch kind {
	case "finding":
		var f fleet.Finding
		if decode(&f) {
			b.buf, err = point.AppendFinding(b.buf, &f)
		}
	case "incident":
		var t fleet.Transition
		if decode(&t) {
			var scope []byte
			if scope, err = json.Marshal(t.Scope); err == nil {
				b.buf, err = point.AppendTransition(b.buf, &t, t.Summary(), string(scope))
			}
		}
	case "rollup":
		var r fleet.Rows
		if decode(&r) {
			if m, ok := schema.Lookup(r.Measurement); ok {
				b = l.bucket(m.Bucket)
				start = len(b.buf)
			}
			b.buf, err = point.AppendRows(b.buf, &r)
		}
	case "baseline":
		return dropped // the detector's own, not for the database
	default:
		reason = fleet.ReasonSubject
		err = &fleet.Invalid{Reason: reason, Field: "kind", Got: kind, Want: "finding, incident, rollup or baseline"}
	}
	if err != nil {
		b.buf = b.buf[:start]
		return l.deadLetter(ctx, d, key, kind, reason, err.Error())
	}
	b.add(msg, start, fleet.Key{})
	return stored
}
