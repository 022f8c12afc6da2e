package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/fleet"
)

// Findings are the open findings as DERIVED has them, and the way to change them: the first writing of a transition
// wins, and what is already so is not written again. It is safe for concurrent use.
type Findings struct {
	bus   *bus.Conn
	epoch uint64

	writing sync.Mutex // one Report at a time; held while the server answers, so that mu is not

	mu   sync.Mutex                // guards everything below
	byID map[string]*fleet.Finding // newest transition, open or cleared
	last map[string]uint64         // last sequence by subject; written only by who also holds writing
	open map[string]*fleet.Finding // open ones about merchants, by acquirer and merchant
}

func openFindings(ctx context.Context, b *bus.Conn, log *slog.Logger, epoch uint64) (*Findings, error) {
	f := &Findings{bus: b, epoch: epoch, byID: map[string]*fleet.Finding{}, last: map[string]uint64{}, open: map[string]*fleet.Finding{}}
	_, err := b.Each(ctx, bus.StreamDerived, fleet.DerivedPrefix+"finding.>", func(s bus.Stored) error {
		var x fleet.Finding
		if err := json.Unmarshal(s.Data, &x); err != nil {
			log.Warn("stored finding not readable, left out", "subject", s.Subject, "seq", s.Seq, "err", err)
			f.fold(nil, s.Subject, s.Seq)
			return nil
		}
		f.fold(&x, s.Subject, s.Seq)
		return nil
	})
	return f, err
}

// fold takes a stored transition.
func (f *Findings) fold(x *fleet.Finding, subject string, seq uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last[subject] = seq
	if x == nil {
		return
	}
	f.byID[x.ID] = x
	if x.Merchant == "" {
		return
	}
	key := x.Acquirer + "/" + x.Merchant
	if x.State == fleet.FindingOpen {
		f.open[key] = x
	} else if old := f.open[key]; old != nil && old.ID == x.ID {
		delete(f.open, key)
	}
}

// About returns the open finding about a merchant, nil without one.
func (f *Findings) About(acquirer, merchant string) *fleet.Finding {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open[acquirer+"/"+merchant]
}

// Open returns the open findings of a check about an acquirer's targets, in the order of their ids.
func (f *Findings) Open(check, acquirer string) (out []fleet.Finding) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(f.byID)) {
		if x := f.byID[id]; x.State == fleet.FindingOpen && x.Check == check && x.Acquirer == acquirer {
			out = append(out, *x)
		}
	}
	return out
}

// Report states what a check sees now of one target: x.State, with everything but N, FirstSeen and Epoch filled in. It
// stores a transition where that differs from what is stored, and reports whether it did.
func (f *Findings) Report(ctx context.Context, x fleet.Finding) (changed bool, err error) {
	f.writing.Lock()
	defer f.writing.Unlock()
	subject := x.Subject()
	for {
		f.mu.Lock()
		old, last := f.byID[x.ID], f.last[subject]
		f.mu.Unlock()
		switch {
		case old == nil && x.State == fleet.FindingCleared:
			return false, nil
		case old == nil:
			x.N, x.FirstSeen = 1, x.At
		case old.State == x.State && (x.State == fleet.FindingCleared || old.Value == x.Value && old.Since == x.Since):
			return false, nil
		default:
			x.N, x.FirstSeen = old.N+1, old.FirstSeen
			if old.State == fleet.FindingCleared {
				x.FirstSeen = x.At
			}
			if x.State == fleet.FindingCleared {
				x.Severity, x.LastSeen = old.Severity, old.LastSeen // the tag of the point stays that of the finding
			}
		}
		x.Epoch = f.epoch
		body, err := json.Marshal(&x)
		if err != nil {
			return false, fmt.Errorf("encode finding %q: %w", x.ID, err)
		}
		// The id names the content: the server drops a second message of one id before it looks at the sequence, and what
		// another process says of the same target must be a conflict instead.
		id := fmt.Sprintf("finding.%s.%d.%016x", x.ID, x.N, fleet.HashText(string(body)))
		seq, err := f.bus.Append(ctx, bus.Message{Subject: subject, ID: id, Data: body}, last)
		if errors.Is(err, bus.ErrConflict) {
			if err := f.catchUp(ctx, subject); err != nil {
				return false, err
			}
			continue
		}
		if err != nil {
			return false, fmt.Errorf("store finding %q: %w", x.ID, err)
		}
		f.fold(&x, subject, seq)
		return true, nil
	}
}

// catchUp folds what another process stored on a subject; writing is held.
func (f *Findings) catchUp(ctx context.Context, subject string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	_, err := f.bus.Each(ctx, bus.StreamDerived, subject, func(s bus.Stored) error {
		var x fleet.Finding
		if json.Unmarshal(s.Data, &x) != nil {
			f.fold(nil, subject, s.Seq) // openFindings has logged it, or the next one will
			return nil
		}
		f.fold(&x, subject, s.Seq)
		return nil
	})
	return err
}

// Rows stores derived rows under an id that is the same for the same rows.
func (f *Findings) Rows(ctx context.Context, acquirer, id string, rows fleet.Rows) error {
	body, err := json.Marshal(&rows)
	if err != nil {
		return fmt.Errorf("encode rows of %q: %w", rows.Measurement, err)
	}
	return f.bus.Publish(ctx, bus.Message{Subject: fleet.RowsSubject(acquirer, rows.Measurement), ID: "rows." + rows.Measurement + "." + acquirer + "." + id, Data: body})
}

// Answer stores what an acquirer answered.
func (f *Findings) Answer(ctx context.Context, id string, a fleet.Answer) error {
	body, err := json.Marshal(&a)
	if err != nil {
		return fmt.Errorf("encode answer about %q: %w", a.Merchant, err)
	}
	return f.bus.Publish(ctx, bus.Message{Subject: "control.v1.answer." + a.Acquirer + "." + a.Kind, ID: "answer." + id, Data: body})
}
