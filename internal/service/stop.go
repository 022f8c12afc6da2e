package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// afterDeadline is how long each step left at the deadline still gets: enough to close a file, not to wait for a peer.
const afterDeadline = 250 * time.Millisecond

// StopStack is teardown in steps: what was opened last is closed first. The zero value is ready.
type StopStack struct {
	Logger *slog.Logger // nil discards

	mu    sync.Mutex // guards everything below
	steps []step
}

type step struct {
	name string
	stop func(ctx context.Context) error
}

// Push adds a step. It is called right after what it closes was opened, so that a start that fails half way can stop
// what it has started.
func (s *StopStack) Push(name string, stop func(ctx context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = append(s.steps, step{name, stop})
}

// Stop runs the steps last pushed first, each after the one before has returned, all within the deadline of ctx. A step
// that overruns is left behind and named in the error (ErrStopTimeout); each one after it is still run, with a context
// that has ended and a quarter of a second. All errors are joined. The stack is empty afterwards, so a second Stop has
// nothing to do.
func (s *StopStack) Stop(ctx context.Context) error {
	s.mu.Lock()
	steps := s.steps
	s.steps = nil
	s.mu.Unlock()
	var errs []error
	for _, st := range slices.Backward(steps) {
		if err := st.run(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", st.name, err))
			continue
		}
		orDiscard(s.Logger).Debug("stopped", "step", st.name)
	}
	return errors.Join(errs...)
}

func (st step) run(ctx context.Context) error {
	done := make(chan error, 1)
	expired := ctx.Err() != nil
	go func() { done <- st.stop(ctx) }()
	if !expired {
		select {
		case err := <-done:
			return err
		case <-ctx.Done(): // one that heeds its context is about to return
		}
	}
	grace := time.NewTimer(afterDeadline)
	defer grace.Stop()
	select {
	case err := <-done:
		return err
	case <-grace.C:
		return ErrStopTimeout
	}
}
