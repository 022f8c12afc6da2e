package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tillwatch/tillwatch/alerter"
	"github.com/tillwatch/tillwatch/alerter/detect"
	"github.com/tillwatch/tillwatch/alerter/incident"
	"github.com/tillwatch/tillwatch/alerter/tally"
	"github.com/tillwatch/tillwatch/internal/bus"
)

// leaseKey names the lease of the active alerter.
const leaseKey = "alerter"

// Term is one tenure of the lease.
type Term struct {
	Epoch    uint64           // the revision of the lease's creation
	Until    func() time.Time // no other process is active before
	Findings *Findings        // what the checks have found and stored
}

// Outlet tells people. Run delivers what Notify was given until its context ends.
type Outlet interface {
	alerter.Notifier
	Run(ctx context.Context) error
}

// Options wires the alerter. Bus, Acquirer, Region and Outlet are required; other zero values take the defaults in
// parentheses.
type Options struct {
	Bus      *bus.Conn
	Acquirer func(id string) tally.Acquirer
	Region   func(acquirer, merchant string) string // "" where it is not known

	// Outlet is made anew for each term.
	Outlet func(Term) (Outlet, error)
	// Retell is how far back finished incidents are told again after a start, in case they never reached people (0:
	// only open ones). It wants an outlet that remembers what it has told.
	Retell time.Duration
	// Beside runs beside the pipeline in each term: the periodic checks.
	Beside []func(context.Context, Term) error

	Window   time.Duration    // of the rule floor (5 min)
	Floor    detect.Floor     // (detect.DefaultFloor)
	Incident incident.Options // (its defaults)

	Owner    string                // names this process among the standbys (host name and process number)
	Logger   *slog.Logger          // nil discards
	Registry prometheus.Registerer // nil registers nowhere
	// Condition is told when the alerter fails to work (err) and when it works or stands by (nil). nil: nobody.
	Condition func(err error)
	// Probe is called at named points between two steps that a crash could separate; tests stop the process there.
	Probe func(at string)
}

// ProbePublished is the point at which a transition is stored and nobody has been told.
const ProbePublished = "published"

// Pipeline is the alerter of one process.
type Pipeline struct {
	o   Options
	log *slog.Logger
	m   *metrics
}

// New validates the options.
func New(o Options) (*Pipeline, error) {
	var errs []error
	need := func(ok bool, what string) {
		if !ok {
			errs = append(errs, fmt.Errorf("alerter: no %s", what))
		}
	}
	need(o.Bus != nil, "bus")
	need(o.Acquirer != nil, "acquirers")
	need(o.Region != nil, "regions")
	need(o.Outlet != nil, "outlet")
	if o.Window <= 0 {
		o.Window = 5 * time.Minute
	}
	if o.Floor == (detect.Floor{}) {
		o.Floor = detect.DefaultFloor
	}
	if o.Owner == "" {
		host, _ := os.Hostname()
		o.Owner = fmt.Sprintf("%s-%d", host, os.Getpid())
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Condition == nil {
		o.Condition = func(error) {}
	}
	if o.Probe == nil {
		o.Probe = func(string) {}
	}
	return &Pipeline{o: o, log: o.Logger, m: newMetrics(o.Registry)}, errors.Join(errs...)
}

// Run stands by until the lease is ours, works while it is, and returns when ctx ends.
func (p *Pipeline) Run(ctx context.Context) error {
	lease, err := p.o.Bus.Lease(ctx, leaseKey, p.o.Owner)
	if err != nil {
		return err
	}
	p.o.Condition(nil) // standing by
	for {
		err := lease.Hold(ctx, func(ctx context.Context, epoch uint64) error {
			p.m.active.Set(1)
			defer p.m.active.Set(0)
			return p.term(ctx, Term{Epoch: epoch, Until: lease.Until})
		})
		if ctx.Err() != nil {
			return nil
		}
		// A term that fails while the lease is held (the server restarted under a restore, say) begins again.
		p.log.Warn("alerter starts again", "err", err)
		p.o.Condition(err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// term is one tenure: restore, then fold for as long as ctx lasts.
func (p *Pipeline) term(ctx context.Context, term Term) error {
	f, err := p.restore(ctx, &term)
	if err != nil {
		return err
	}
	outlet, err := p.o.Outlet(term)
	if err != nil {
		return fmt.Errorf("open outlet: %w", err)
	}
	f.outlet = outlet
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	run := func(what string, work func(context.Context) error) {
		wg.Go(func() {
			if err := work(ctx); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("%s: %w", what, err))
			}
		})
	}
	run("outlet", outlet.Run)
	run("cursor", f.saveCursor)
	for _, b := range p.o.Beside {
		run("check", func(ctx context.Context) error { return b(ctx, term) })
	}
	if err := f.retell(ctx, p.o.Retell); err != nil {
		return err
	}
	p.o.Condition(nil)
	p.log.Info("alerter active", "epoch", term.Epoch, "from", f.from, "open_incidents", f.book.Open())
	err = p.o.Bus.Merge(ctx, bus.MergeOptions{
		Streams: []string{bus.StreamTxn, bus.StreamHB, bus.StreamControl},
		From:    f.watch.Add(-p.o.Window),
	}, func(it bus.Item) error { return f.item(ctx, it) })
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// lookBack is how much more than the window is read again on a start: ids seen, two heartbeats of each terminal, and what
// the open incidents have seen.
const lookBack = 10 * time.Minute
