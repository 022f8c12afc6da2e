package slack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/tillwatch/tillwatch/alerter"
	"github.com/tillwatch/tillwatch/internal/fleet"
)

// CourierOptions configures a Courier. Client, Ledger and Owner are required.
type CourierOptions struct {
	Client *Client
	Ledger Ledger
	Owner  string                          // names this process; two that run at once must differ
	Render func(*fleet.Transition) Message // nil: Render with the zero RenderOptions
	Logger *slog.Logger                    // nil: slog.Default()

	ClaimFor     time.Duration // from a claim to its deadline; 0: 5 s. Less than the lease's remaining life
	Visibility   time.Duration // how late Slack's history may show a message; 0: 10 s
	SearchEvery  time.Duration // between two searches of the history while the window lasts; 0: 1 s
	ClockSkew    time.Duration // between Slack's clock and ours, at most; 0: 5 min
	RetryMin     time.Duration // first wait after a failure; it doubles from one to the next; 0: 500 ms
	RetryMax     time.Duration // longest wait while Slack is away; 0: 15 s
	RefusedRetry time.Duration // wait while Slack refuses (a person has to act); 0: 30 s

	// LeaseUntil returns until when this process may act for the fleet. No claim's deadline is later, and while it
	// lies in the past nothing is sent. nil: no lease.
	LeaseUntil func() time.Time
	// Probe is called at "claimed" (before a request leaves), "sent" (after its success) and "recorded", so that a
	// test can kill the process there. nil in production.
	Probe func(point string)
}

// Courier makes Slack show the newest transition of every incident, in one message each. It is safe for concurrent use;
// several processes may run one on the same ledger.
type Courier struct {
	o     CourierOptions
	stats counters
	queue *queue
}

var _ alerter.Notifier = (*Courier)(nil)

// NewCourier checks the options and does not connect.
func NewCourier(o CourierOptions) (*Courier, error) {
	var errs []error
	if o.Client == nil {
		errs = append(errs, errors.New("client: want one"))
	}
	if o.Ledger == nil {
		errs = append(errs, errors.New("ledger: want one"))
	}
	if o.Owner == "" {
		errs = append(errs, errors.New("owner: want a name that no other process has"))
	}
	for _, d := range []struct {
		name  string
		value *time.Duration
		zero  time.Duration
	}{
		{"claim_for", &o.ClaimFor, 5 * time.Second},
		{"visibility", &o.Visibility, 10 * time.Second},
		{"search_every", &o.SearchEvery, time.Second},
		{"clock_skew", &o.ClockSkew, 5 * time.Minute},
		{"retry_min", &o.RetryMin, 500 * time.Millisecond},
		{"retry_max", &o.RetryMax, 15 * time.Second},
		{"refused_retry", &o.RefusedRetry, 30 * time.Second},
	} {
		if *d.value < 0 {
			errs = append(errs, fmt.Errorf("%s: want no negative duration, got %s", d.name, *d.value))
		}
		if *d.value == 0 {
			*d.value = d.zero
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("courier options: %w", err)
	}
	if o.Render == nil {
		o.Render = func(t *fleet.Transition) Message { return Render(t, RenderOptions{}) }
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Probe == nil {
		o.Probe = func(string) {}
	}
	c := &Courier{o: o}
	c.queue = newQueue(c.work)
	return c, nil
}

// Notify hands t to Run and returns at once. Of several transitions of one incident only the newest is sent. Before Run
// has begun they wait for it; what Run's end leaves unsent is to be notified again by the next process.
func (c *Courier) Notify(_ context.Context, t fleet.Transition) error { return c.queue.notify(t) }

// Run delivers what Notify was given, each incident on its own, until ctx ends. It returns nil then, and not before
// every request under way has ended.
func (c *Courier) Run(ctx context.Context) error {
	if err := c.queue.run(ctx); err != nil {
		return fmt.Errorf("run courier: %w", err)
	}
	return nil
}

// Deliver blocks until Slack shows t or a newer transition of its incident, or ctx ends. It waits out rate limits and
// outages, and goes on trying where Slack refuses, since a person can mend that while it runs. Several calls for one
// incident take turns; calls for different incidents do not wait for each other.
func (c *Courier) Deliver(ctx context.Context, t fleet.Transition) error {
	return c.queue.deliver(ctx, t)
}

// work shows the errand's newest transition; a newer one that arrives meanwhile is shown too.
func (c *Courier) work(ctx context.Context, e *errand) (shown int, err error) {
	d := delivery{c: c, e: e, id: MetadataIncident(c.queue.newest(e).Incident)}
	for {
		done, err := d.step(ctx)
		if err != nil {
			return 0, fmt.Errorf("deliver incident %q: %w", d.id, err)
		}
		if done && c.queue.newest(e).N <= d.shown {
			return d.shown, nil
		}
	}
}
