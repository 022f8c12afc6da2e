package check

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/robfig/cron/v3"
)

// Claims makes sure that one tick runs once among several processes.
type Claims interface {
	// Claim takes a tick and reports whether it is ours: false means that another process has it or has done it.
	Claim(ctx context.Context, check, target string, tick time.Time) (ours bool, err error)
	// Done marks a claimed tick as complete.
	Done(ctx context.Context, check, target string, tick time.Time) error
}

// Job is a check with its schedule.
type Job struct {
	Check    string // id
	Target   string // what it covers: an acquirer
	Schedule string // five cron fields, or @every and its like
	Location *time.Location
	Run      func(ctx context.Context, tick time.Time) (Result, error)
}

// ParseSchedule reads a schedule as jobs have it.
func ParseSchedule(spec string, loc *time.Location) (cron.Schedule, error) {
	s, err := cron.ParseStandard(spec)
	if err != nil {
		return nil, fmt.Errorf("schedule %q: %w", spec, err)
	}
	if spec, ok := s.(*cron.SpecSchedule); ok && loc != nil {
		spec.Location = loc
	}
	return s, nil
}

// Scheduler runs jobs when they are due, each one after the other with itself and beside the others.
type Scheduler struct {
	Jobs   []Job
	Claims Claims
	Logger *slog.Logger
}

// Run runs the jobs until ctx ends and returns when none is under way any more.
func (s *Scheduler) Run(ctx context.Context) error {
	log := s.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	var errs []error
	schedules := make([]cron.Schedule, len(s.Jobs))
	for i, j := range s.Jobs {
		var err error
		if schedules[i], err = ParseSchedule(j.Schedule, j.Location); err != nil {
			errs = append(errs, fmt.Errorf("check %s of %s: %w", j.Check, j.Target, err))
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	var wg sync.WaitGroup
	for i, j := range s.Jobs {
		wg.Go(func() { s.follow(ctx, j, schedules[i], log) })
	}
	wg.Wait()
	<-ctx.Done()
	return nil
}

// follow runs one job at each of its ticks. A tick that comes while the job runs is skipped: the run covers it.
func (s *Scheduler) follow(ctx context.Context, j Job, schedule cron.Schedule, log *slog.Logger) {
	log = log.With("check", j.Check, "target", j.Target)
	for {
		tick := schedule.Next(time.Now())
		t := time.NewTimer(time.Until(tick))
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
		ours, err := s.Claims.Claim(ctx, j.Check, j.Target, tick)
		if err != nil {
			log.Warn("tick not claimed", "tick", tick, "err", err)
			continue
		}
		if !ours {
			log.Debug("tick is another's", "tick", tick)
			continue
		}
		log.Info("check started", "tick", tick)
		r, err := j.Run(ctx, tick)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			log.Warn("check not complete", "result", r.String(), "err", err)
			continue
		}
		log.Info("check done", "result", r.String())
		if err := s.Claims.Done(ctx, j.Check, j.Target, tick); err != nil {
			log.Warn("tick not marked done", "tick", tick, "err", err)
		}
	}
}
