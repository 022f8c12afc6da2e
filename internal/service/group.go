package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// GroupOptions shape a Group.
type GroupOptions struct {
	StopTimeout time.Duration // for all actors to return once the first has; 0 means 30 s
	Logger      *slog.Logger  // nil discards
}

// Group runs named actors that live and stop together. Use NewGroup.
type Group struct {
	timeout time.Duration
	log     *slog.Logger
	actors  []*actor
}

type actor struct {
	name   string
	run    func(ctx context.Context) error
	cancel context.CancelFunc
	done   chan struct{} // closed after err is set
	err    error
	asked  bool // to stop, while it still ran; only stop reads and writes it
}

// NewGroup makes an empty group.
func NewGroup(o GroupOptions) *Group {
	if o.StopTimeout <= 0 {
		o.StopTimeout = 30 * time.Second
	}
	return &Group{timeout: o.StopTimeout, log: orDiscard(o.Logger)}
}

// Add appends an actor. run blocks until its context ends or it can do no more; on the end of its context it finishes
// what it has in hand and returns nil or the context's error. All actors are added before Run.
func (g *Group) Add(name string, run func(ctx context.Context) error) {
	g.actors = append(g.actors, &actor{name: name, run: run, done: make(chan struct{})})
}

// ErrStopTimeout is wrapped by the error of an actor or step that was still running at the deadline.
var ErrStopTimeout = errors.New("still running at the deadline")

// Run starts every actor in the order added and blocks. When ctx ends or the first actor returns, with an error or
// without, the others are stopped in reverse order: the context of one ends only after those added later have returned.
// After StopTimeout the contexts of all that still run end at once; those that do not return then are named in the
// error (ErrStopTimeout) and left behind. Run returns the actors' errors joined; that an actor which was asked to stop
// returned context.Canceled is not one.
func (g *Group) Run(ctx context.Context) error {
	if len(g.actors) == 0 {
		return nil
	}
	first := make(chan *actor, len(g.actors))
	base := context.WithoutCancel(ctx) // else the end of ctx would reach all of them at once
	for _, a := range g.actors {
		var own context.Context
		own, a.cancel = context.WithCancel(base)
		defer a.cancel()
		go func() {
			defer func() { first <- a }()
			defer close(a.done)
			a.err = a.run(own)
		}()
		g.log.Debug("actor started", "actor", a.name)
	}
	select {
	case <-ctx.Done():
		g.log.Info("stopping", "cause", "asked")
	case a := <-first:
		if a.err != nil {
			g.log.Info("stopping", "cause", "actor failed", "actor", a.name)
		} else {
			g.log.Info("stopping", "cause", "actor finished", "actor", a.name)
		}
	}
	return g.stop()
}

// stop ends the actors last added first and gathers their errors, in the order added.
func (g *Group) stop() error {
	deadline := time.NewTimer(g.timeout)
	defer deadline.Stop()
	for i := len(g.actors) - 1; i >= 0; i-- {
		a := g.actors[i]
		if a.returned() {
			continue
		}
		a.asked = true
		a.cancel()
		select {
		case <-a.done:
			g.log.Debug("actor stopped", "actor", a.name)
		case <-deadline.C:
			g.abandon(g.actors[:i])
			i = 0
		}
	}
	var errs []error
	for _, a := range g.actors {
		switch {
		case !a.returned():
			errs = append(errs, fmt.Errorf("stop %s: %w (%s)", a.name, ErrStopTimeout, g.timeout))
		case a.err != nil && !(a.asked && errors.Is(a.err, context.Canceled)):
			errs = append(errs, fmt.Errorf("run %s: %w", a.name, a.err))
		}
	}
	return errors.Join(errs...)
}

// abandon gives up on order: whoever still runs at the deadline is stopped at once and has afterDeadline to return.
func (g *Group) abandon(rest []*actor) {
	for _, a := range rest {
		a.asked = !a.returned()
		a.cancel()
	}
	grace := time.NewTimer(afterDeadline)
	defer grace.Stop()
	for _, a := range g.actors {
		select {
		case <-a.done:
		case <-grace.C:
			return
		}
	}
}

func (a *actor) returned() bool {
	select {
	case <-a.done:
		return true
	default:
		return false
	}
}

func orDiscard(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}
