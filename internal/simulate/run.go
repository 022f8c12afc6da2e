package simulate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// RunOptions say how a fleet is played.
type RunOptions struct {
	Speed float64       // gaps are divided by it; zero: 1, real time
	Max   bool          // no gaps at all: as fast as Publish takes events
	For   time.Duration // of the fleet's own time; zero: until ctx is done

	// Publish takes one event; it may keep body. It should try again by itself what can be tried again: its error ends
	// the run.
	Publish func(ctx context.Context, subject, msgID string, body []byte) error

	Progress      io.Writer        // a line now and then; nil: silent
	ProgressEvery time.Duration    // zero: 5 s
	Now           func() time.Time // stamps events; zero: time.Now. Gaps are waited for on timers
}

// Summary counts what was made.
type Summary struct {
	Events, Heartbeats, Txns int
	Approved                 int            // approvals sent; a fleet without Approvals sends none
	Declines                 map[string]int // by response code
	Fleet                    time.Duration  // of the fleet's own time
	Began                    time.Time      // the clock's, at the fleet's start; zero for a file. Truth takes it
	Took                     time.Duration  // of the clock's; zero for a file
}

func (s *Summary) count(e *Event) {
	s.Events++
	switch {
	case e.Txn == nil:
		s.Heartbeats++
		return
	case e.Txn.Code == codeApproved:
		s.Approved++
	default:
		if s.Declines == nil {
			s.Declines = map[string]int{}
		}
		s.Declines[e.Txn.Code]++
	}
	s.Txns++
}

// String is one line for people.
func (s Summary) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d events (%d heartbeats, %d transactions, %d of them approved) of %s", s.Events, s.Heartbeats, s.Txns, s.Approved, s.Fleet.Round(time.Millisecond))
	if s.Took > 0 {
		fmt.Fprintf(&b, " in %s", s.Took.Round(time.Millisecond))
	}
	if len(s.Declines) > 0 {
		b.WriteString("; declines")
		codes := slices.Collect(maps.Keys(s.Declines))
		slices.SortFunc(codes, func(a, c string) int {
			if s.Declines[a] != s.Declines[c] {
				return s.Declines[c] - s.Declines[a]
			}
			return strings.Compare(a, c)
		})
		for _, code := range codes {
			fmt.Fprintf(&b, " %s:%d", code, s.Declines[code])
		}
	}
	return b.String()
}

// Run plays the fleet: every event is published when its time has come, with the clock's time as its ts, so that gaps
// shrink and clocks stay right. The starts of terminals (boot) move with it and never go back. Each Run tags its
// transactions anew: an id that one run has used is not used by the next.
//
// Events are published one at a time and in order. Run returns nil when the length is over or ctx is done, and else
// the error of Publish. One fleet is played by one Run at a time; its acquirer's answers follow that Run.
func (f *Fleet) Run(ctx context.Context, o RunOptions) (Summary, error) {
	if o.Publish == nil {
		return Summary{}, errors.New("simulate: run: Publish is required")
	}
	if o.Speed < 0 {
		return Summary{}, fmt.Errorf("simulate: run: speed is %v, want more than 0", o.Speed)
	}
	if o.Speed == 0 {
		o.Speed = 1
	}
	if o.ProgressEvery <= 0 {
		o.ProgressEvery = 5 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	p := player{f: f, o: o, began: o.Now(), boots: make([]booted, len(f.terminals)), timer: time.NewTimer(0)}
	defer p.timer.Stop()
	clock := &runClock{start: f.o.Start, began: p.began, speed: o.Speed, max: o.Max, now: o.Now}
	f.clock.Store(clock)
	err := p.play(ctx, clock)
	p.sum.Began, p.sum.Took = p.began, o.Now().Sub(p.began)
	if o.Progress != nil {
		fmt.Fprintf(o.Progress, "simulate: %s\n", p.sum)
	}
	if err != nil && ctx.Err() == nil {
		return p.sum, err
	}
	return p.sum, nil
}

// player is one Run.
type player struct {
	f     *Fleet
	o     RunOptions
	began time.Time // the clock's, at the fleet's start
	shown time.Time
	timer *time.Timer
	boots []booted
	sum   Summary
}

// booted is the last start of a terminal in the fleet's time, and as it was published; Unix seconds.
type booted struct{ made, sent int64 }

func (p *player) play(ctx context.Context, clock *runClock) error {
	tag := runTag(mix(p.f.o.Seed, saltRun, uint64(p.began.UnixNano())))
	p.shown = p.began
	for e := range p.f.events(p.o.For, tag) {
		since := e.At.Sub(p.f.o.Start)
		if !p.o.Max {
			if err := p.wait(ctx, p.began.Add(time.Duration(float64(since)/p.o.Speed))); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		clock.last.Store(int64(since))
		now := p.o.Now()
		p.stamp(&e, now.UnixMilli())
		if err := p.o.Publish(ctx, e.Subject(), e.MsgID(), e.Body()); err != nil {
			return fmt.Errorf("simulate: publish %s: %w", e.Subject(), err)
		}
		p.sum.count(&e)
		p.sum.Fleet = since
		p.progress(now)
	}
	if !p.o.Max { // the length is over when its last instant is, not with its last event
		if err := p.wait(ctx, p.began.Add(time.Duration(float64(p.o.For)/p.o.Speed))); err != nil {
			return err
		}
	}
	p.sum.Fleet = p.o.For
	return nil
}

// wait returns at the instant, at once where it has passed.
func (p *player) wait(ctx context.Context, at time.Time) error {
	gap := at.Sub(p.o.Now())
	if gap <= 0 {
		return nil
	}
	p.timer.Reset(gap)
	select {
	case <-p.timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stamp sets the clock of the terminal that sends e.
func (p *player) stamp(e *Event, ms int64) {
	if e.Txn != nil {
		e.Txn.TS = ms
		return
	}
	b := &p.boots[e.Terminal]
	if b.made != e.Beat.Boot {
		uptime := e.Beat.TS/1000 - e.Beat.Boot
		*b = booted{e.Beat.Boot, max(ms/1000-uptime, b.sent+1)}
	}
	e.Beat.TS, e.Beat.Boot = ms, b.sent
}

func (p *player) progress(now time.Time) {
	if p.o.Progress == nil || now.Sub(p.shown) < p.o.ProgressEvery {
		return
	}
	p.shown = now
	p.sum.Took = now.Sub(p.began)
	fmt.Fprintf(p.o.Progress, "simulate: %s\n", p.sum)
}

// runClock ties the fleet's own time to the clock's during a Run, for the acquirer's answers.
type runClock struct {
	start, began time.Time
	speed        float64
	max          bool
	now          func() time.Time
	last         atomic.Int64 // nanoseconds from start to the last event
}

// Now is the fleet's own time: its start before the first Run, then that of the latest Run, which goes on after the
// Run has ended.
func (f *Fleet) Now() time.Time {
	c := f.clock.Load()
	switch {
	case c == nil:
		return f.o.Start
	case c.max:
		return c.start.Add(time.Duration(c.last.Load()))
	}
	return c.start.Add(time.Duration(float64(c.now().Sub(c.began)) * c.speed))
}

// outside translates an instant of the fleet's own time to the clock of the latest Run.
func (f *Fleet) outside(t time.Time) time.Time {
	c := f.clock.Load()
	if c == nil {
		return t
	}
	at := c.began.Add(time.Duration(float64(t.Sub(c.start)) / c.speed))
	if now := c.now(); at.After(now) { // a Run without gaps is ahead of the clock
		return now
	}
	return at
}

var _ fmt.Stringer = Summary{}
