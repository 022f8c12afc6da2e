package service

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// trail is what happened, in order.
type trail struct {
	mu   sync.Mutex
	what []string
}

func (t *trail) add(s string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.what = append(t.what, s)
}

func (t *trail) want(tb testing.TB, want ...string) {
	tb.Helper()
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.Equal(t.what, want) {
		tb.Errorf("happened: %v\nwant:     %v", t.what, want)
	}
}

// waiter is an actor that needs some time to stop.
func waiter(t *trail, name string, slow time.Duration, err error) func(context.Context) error {
	return func(ctx context.Context) error {
		<-ctx.Done()
		t.add(name + " asked")
		time.Sleep(slow)
		t.add(name + " returns")
		return err
	}
}

func TestGroupStopsInReverse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr trail
		g := NewGroup(GroupOptions{})
		g.Add("sink", waiter(&tr, "sink", 3*time.Second, nil))
		g.Add("decoder", waiter(&tr, "decoder", 2*time.Second, context.Canceled)) // as most code returns ctx.Err()
		g.Add("source", waiter(&tr, "source", time.Second, nil))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		start := time.Now()
		go func() { done <- g.Run(ctx) }()
		time.Sleep(time.Minute)
		tr.want(t) // nobody stops before it is asked to
		cancel()
		if err := <-done; err != nil {
			t.Errorf("a stop that was asked for is an error: %v", err)
		}
		tr.want(t, "source asked", "source returns", "decoder asked", "decoder returns", "sink asked", "sink returns")
		if took := time.Since(start); took != time.Minute+6*time.Second {
			t.Errorf("the bubble's clock moved %v, want a minute and the three stops one after the other", took)
		}
	})
}

func TestGroupFirstToReturnStopsTheOthers(t *testing.T) {
	broken := errors.New("the disk is gone")
	for name, tt := range map[string]struct {
		first error
		want  []string // in the error; none for no error
	}{
		"failed":              {broken, []string{"run middle: the disk is gone", "run sink: half a batch left"}},
		"finished":            {nil, []string{"run sink: half a batch left"}},
		"canceled by itself":  {context.Canceled, []string{"run middle: context canceled", "run sink"}}, // nobody had asked it
		"deadline of its own": {context.DeadlineExceeded, []string{"run middle: context deadline exceeded", "run sink"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var tr trail
				g := NewGroup(GroupOptions{})
				g.Add("sink", waiter(&tr, "sink", time.Second, errors.New("half a batch left")))
				g.Add("middle", func(context.Context) error { time.Sleep(time.Second); tr.add("middle returns"); return tt.first })
				g.Add("source", waiter(&tr, "source", time.Second, nil))
				err := g.Run(t.Context())
				tr.want(t, "middle returns", "source asked", "source returns", "sink asked", "sink returns")
				if err == nil || len(strings.Split(err.Error(), "\n")) != len(tt.want) {
					t.Fatalf("got %v, want %d errors", err, len(tt.want))
				}
				for _, w := range tt.want {
					if !strings.Contains(err.Error(), w) {
						t.Errorf("%q does not say %q", err, w)
					}
				}
				if tt.first != nil && !errors.Is(err, tt.first) {
					t.Errorf("the cause is lost from %v", err)
				}
			})
		})
	}
}

func TestGroupGivesUpAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr trail
		stuck := make(chan struct{})
		defer close(stuck)
		g := NewGroup(GroupOptions{StopTimeout: 10 * time.Second})
		g.Add("sink", waiter(&tr, "sink", 0, nil))
		g.Add("stuck", func(ctx context.Context) error { <-stuck; return nil })
		g.Add("slow", waiter(&tr, "slow", 4*time.Second, nil))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		start := time.Now()
		err := g.Run(ctx)
		if took := time.Since(start); took != 10*time.Second+afterDeadline {
			t.Errorf("took %v of the bubble's time", took)
		}
		if !errors.Is(err, ErrStopTimeout) || err.Error() != "stop stuck: still running at the deadline (10s)" {
			t.Errorf("got %v", err)
		}
		tr.want(t, "slow asked", "slow returns", "sink asked", "sink returns") // the sink had its chance all the same
	})
}

func TestGroupContext(t *testing.T) {
	type key struct{}
	g := NewGroup(GroupOptions{})
	g.Add("one", func(ctx context.Context) error {
		if ctx.Value(key{}) != "v" {
			return errors.New("the values of the context are lost")
		}
		return nil
	})
	if err := g.Run(context.WithValue(t.Context(), key{}, "v")); err != nil {
		t.Error(err)
	}
	if err := NewGroup(GroupOptions{}).Run(t.Context()); err != nil {
		t.Errorf("an empty group: %v", err)
	}
}

func TestGroupLogsWhoEndedIt(t *testing.T) {
	var b bytes.Buffer
	g := NewGroup(GroupOptions{Logger: slog.New(slog.NewTextHandler(&b, nil))})
	g.Add("one", func(context.Context) error { return errors.New("x") })
	if err := g.Run(t.Context()); err == nil {
		t.Error("no error")
	}
	if !strings.Contains(b.String(), `msg=stopping cause="actor failed" actor=one`) {
		t.Errorf("log: %s", b.String())
	}
}

func TestStopStack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr trail
		var s StopStack
		step := func(name string, slow time.Duration, err error) {
			s.Push(name, func(context.Context) error { time.Sleep(slow); tr.add(name); return err })
		}
		broken := errors.New("no")
		step("first", time.Second, broken)
		step("second", time.Second, nil)
		step("third", time.Second, errors.New("neither"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := s.Stop(ctx)
		tr.want(t, "third", "second", "first")
		if !errors.Is(err, broken) || err.Error() != "stop third: neither\nstop first: no" {
			t.Errorf("got %v", err)
		}
		if err := s.Stop(ctx); err != nil {
			t.Errorf("a second stop: %v", err)
		}
		tr.want(t, "third", "second", "first")
	})
}

func TestStopStackDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr trail
		var s StopStack
		stuck := make(chan struct{})
		defer close(stuck)
		s.Push("file", func(ctx context.Context) error { tr.add("file"); return ctx.Err() })
		s.Push("also stuck", func(context.Context) error { <-stuck; return nil })
		s.Push("stuck", func(context.Context) error { <-stuck; return nil })
		s.Push("heeds", func(ctx context.Context) error { time.Sleep(time.Second); tr.add("heeds"); return nil })
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		err := s.Stop(ctx)
		tr.want(t, "heeds", "file") // what came after the deadline still had its turn, and knew of it
		if took := time.Since(start); took != 5*time.Second+2*afterDeadline {
			t.Errorf("took %v of the bubble's time", took)
		}
		const want = "stop stuck: still running at the deadline\nstop also stuck: still running at the deadline\nstop file: context deadline exceeded"
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	})
}
