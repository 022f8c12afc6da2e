package slack

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestNothingIsLostBetweenWorkAndItsEnd: a newer transition arrives when the worker has told the older one and is about
// to leave.
func TestNothingIsLostBetweenWorkAndItsEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var told []int
		var q *queue
		q = newQueue(func(_ context.Context, e *errand) (int, error) {
			n := q.newest(e).N
			told = append(told, n)
			if n < 5 {
				if err := q.notify(transition("i", n+1)); err != nil {
					t.Error(err)
				}
			}
			return n, nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- q.run(ctx) }()
		if err := q.notify(transition("i", 1)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n, _ := q.waiting(time.Now()); n != 0 || !slices.Equal(told, []int{1, 2, 3, 4, 5}) {
			t.Errorf("told %v with %d waiting, want 1 to 5 and none", told, n)
		}
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
}

// TestGateAppliesANewLimitToThoseWhoWait: the first to leave after a limit meets another; the second, whose place in
// the queue was given before, must wait for that one too.
func TestGateAppliesANewLimitToThoseWhoWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGate()
		began := time.Now()
		g.limited(opPost, 2*time.Second, began)
		left := make(chan time.Duration, 3)
		for range 3 {
			go func() {
				if err := g.wait(t.Context(), opPost); err != nil {
					t.Error(err)
				}
				left <- time.Since(began)
				if time.Since(began) == 2*time.Second {
					g.limited(opPost, 10*time.Second, time.Now())
				}
			}()
		}
		got := []time.Duration{<-left, <-left, <-left}
		if want := []time.Duration{2 * time.Second, 12 * time.Second, 13 * time.Second}; !slices.Equal(got, want) {
			t.Errorf("left after %v, want %v", got, want)
		}
		if err := g.wait(t.Context(), opUpdate); err != nil || time.Since(began) != 13*time.Second {
			t.Errorf("another method had to wait: %v", err)
		}
	})
}
