package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// claims grants each tick once, and refuses or fails those it is told to.
type claims struct {
	mu     sync.Mutex // guards everything below
	taken  map[string]bool
	done   []string
	refuse func(tick time.Time) (ours bool, err error)
}

func tickKey(check, target string, tick time.Time) string {
	return fmt.Sprintf("%s %s %s", check, target, tick.UTC().Format(time.TimeOnly))
}

func (c *claims) Claim(_ context.Context, check, target string, tick time.Time) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuse != nil {
		if ours, err := c.refuse(tick); !ours || err != nil {
			return false, err
		}
	}
	key := tickKey(check, target, tick)
	if c.taken[key] {
		return false, nil
	}
	if c.taken == nil {
		c.taken = map[string]bool{}
	}
	c.taken[key] = true
	return true, nil
}

func (c *claims) Done(_ context.Context, check, target string, tick time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done = append(c.done, tickKey(check, target, tick))
	return nil
}

// runs records when a job ran.
type runs struct {
	mu    sync.Mutex // guards everything below
	ticks []string
	now   int // under way
	most  int // at once
}

// job takes so long each time and then gives err.
func (r *runs) job(target, schedule string, takes time.Duration, err error) Job {
	return Job{Check: "c", Target: target, Schedule: schedule, Location: time.UTC, Run: func(ctx context.Context, tick time.Time) (Result, error) {
		r.mu.Lock()
		r.ticks = append(r.ticks, fmt.Sprintf("%s %s at %s", target, tick.UTC().Format(time.TimeOnly), time.Now().UTC().Format(time.TimeOnly)))
		r.now++
		r.most = max(r.most, r.now)
		r.mu.Unlock()
		defer func() { r.mu.Lock(); r.now--; r.mu.Unlock() }()
		select {
		case <-ctx.Done():
			return Result{}, ctx.Err()
		case <-time.After(takes):
		}
		return Result{}, err
	}}
}

// follow runs a scheduler for so long by the bubble's clock, which begins at midnight UTC of 2000-01-01.
func follow(t *testing.T, d time.Duration, schedulers ...*Scheduler) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	var wg sync.WaitGroup
	for _, s := range schedulers {
		wg.Go(func() {
			if err := s.Run(ctx); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
	wg.Wait()
}

func TestScheduler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r runs
		c := &claims{}
		follow(t, 31*time.Minute, &Scheduler{Jobs: []Job{r.job("a1", "*/10 * * * *", time.Minute, nil)}, Claims: c})
		want := []string{"a1 00:10:00 at 00:10:00", "a1 00:20:00 at 00:20:00", "a1 00:30:00 at 00:30:00"}
		if !slices.Equal(r.ticks, want) {
			t.Errorf("ran %q, want %q", r.ticks, want)
		}
		// The run of 00:30 was broken off in its last instant, or finished in it; the others are done.
		if len(c.done) < 2 || c.done[0] != "c a1 00:10:00" || c.done[1] != "c a1 00:20:00" {
			t.Errorf("done: %q", c.done)
		}
	})
}

func TestSchedulerZone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shanghai, err := time.LoadLocation("Asia/Shanghai")
		if err != nil {
			t.Fatal(err)
		}
		var r runs
		j := r.job("a1", "0 3 * * *", 0, nil)
		j.Location = shanghai
		follow(t, 24*time.Hour, &Scheduler{Jobs: []Job{j}, Claims: &claims{}})
		if want := []string{"a1 19:00:00 at 19:00:00"}; !slices.Equal(r.ticks, want) {
			t.Errorf("three in the morning at Shanghai came as %q, want %q", r.ticks, want)
		}
	})
}

func TestSchedulerLeavesClaimedTicksAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r runs
		c := &claims{refuse: func(tick time.Time) (bool, error) {
			switch tick.Minute() {
			case 10:
				return false, nil // another process has it
			case 20:
				return false, errors.New("the server is away")
			}
			return true, nil
		}}
		follow(t, 31*time.Minute, &Scheduler{Jobs: []Job{r.job("a1", "*/10 * * * *", 0, nil)}, Claims: c})
		if want := []string{"a1 00:30:00 at 00:30:00"}; !slices.Equal(r.ticks, want) {
			t.Errorf("ran %q, want %q", r.ticks, want)
		}
	})
}

func TestTwoSchedulersRunATickOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r runs
		c := &claims{}
		one := func() *Scheduler {
			return &Scheduler{Jobs: []Job{r.job("a1", "*/5 * * * *", time.Minute, nil)}, Claims: c}
		}
		follow(t, time.Hour+time.Second, one(), one(), one())
		if len(r.ticks) != 12 || r.most != 1 {
			t.Errorf("%d runs of 12 ticks, %d at once", len(r.ticks), r.most)
		}
	})
}

func TestRunLongerThanItsPeriodSkipsTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r runs
		follow(t, 61*time.Minute, &Scheduler{Jobs: []Job{
			r.job("slow", "*/10 * * * *", 25*time.Minute, nil), r.job("fast", "*/30 * * * *", 0, nil)}, Claims: &claims{}})
		want := []string{"fast 00:30:00 at 00:30:00", "fast 01:00:00 at 01:00:00", "slow 00:10:00 at 00:10:00", "slow 00:40:00 at 00:40:00"}
		slices.Sort(r.ticks)
		if !slices.Equal(r.ticks, want) {
			t.Errorf("ran %q, want %q", r.ticks, want)
		}
		if r.most > 2 {
			t.Errorf("%d runs at once", r.most)
		}
	})
}

func TestFailedRunIsNotDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r runs
		c := &claims{}
		follow(t, 25*time.Minute, &Scheduler{Jobs: []Job{r.job("a1", "*/10 * * * *", 0, errors.New("not complete"))}, Claims: c})
		if len(r.ticks) != 2 || len(c.done) != 0 {
			t.Errorf("%d runs, done %q", len(r.ticks), c.done)
		}
	})
}

func TestStopBreaksARunOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r runs
		c := &claims{}
		began := time.Now()
		follow(t, 15*time.Minute, &Scheduler{Jobs: []Job{r.job("a1", "*/10 * * * *", time.Hour, nil)}, Claims: c})
		if took := time.Since(began); took != 15*time.Minute {
			t.Errorf("stopped after %s by the bubble's clock", took)
		}
		if len(r.ticks) != 1 || len(c.done) != 0 || r.now != 0 {
			t.Errorf("runs %q, done %q, %d under way", r.ticks, c.done, r.now)
		}
	})
}

func TestSchedulerNamesBadSchedules(t *testing.T) {
	err := (&Scheduler{Jobs: []Job{
		{Check: "merchant-status", Target: "a1", Schedule: "every night"}, {Check: "balance", Target: "a2", Schedule: "61 * * * *"},
		{Check: "fine", Target: "a3", Schedule: "@every 5m"},
	}, Claims: &claims{}}).Run(t.Context())
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"check merchant-status of a1", `"every night"`, "check balance of a2", `"61 * * * *"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %s: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "a3") {
		t.Errorf("the error names a good schedule: %v", err)
	}
}
