package acquirer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/retrypolicy"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// HTTPOptions describe one acquirer's directory over HTTP.
type HTTPOptions struct {
	Acquirer    string // the acquirer's id, required
	URL         string // template, required: http or https, with {merchant} and perhaps {acquirer}
	BearerToken Token  // zero: no Authorization header

	Timeout time.Duration // of one request, its answer included; zero: 5 s
	MaxRate float64       // requests a second, attempts included, evenly spaced; zero: 20
	Retries int           // attempts after the first; zero: 3; negative: none

	// Between attempts it waits Backoff, doubled each time up to MaxWait, or as long as Retry-After says. A Retry-After
	// above MaxWait is not waited for but handed to the caller.
	Backoff time.Duration // zero: 250 ms
	MaxWait time.Duration // zero: 30 s

	// After BreakAfter failed requests in a row the acquirer is left alone for BreakFor, then asked once to see.
	BreakAfter int           // zero: 10; negative: never
	BreakFor   time.Duration // zero: 30 s

	Transport http.RoundTripper // zero: a transport of its own
	Logger    *slog.Logger      // zero: silent
	Now       func() time.Time  // zero: time.Now; stamps answers
}

// HTTP is the Directory that asks an acquirer over HTTP.
type HTTP struct {
	o        HTTPOptions
	client   *http.Client
	pacer    *pacer
	breaker  circuitbreaker.CircuitBreaker[fleet.Answer]
	executor failsafe.Executor[fleet.Answer]
}

var _ Directory = (*HTTP)(nil)

// NewHTTP makes the directory of one acquirer. It reports all problems of the options at once and dials nobody.
func NewHTTP(o HTTPOptions) (*HTTP, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("directory of acquirer %q: %w", o.Acquirer, err)
	}
	h := &HTTP{
		o: o,
		// A redirect is a setting to correct, not to follow with the token in hand.
		client: &http.Client{Transport: o.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		pacer:  &pacer{interval: time.Duration(math.Ceil(float64(time.Second) / o.MaxRate))},
	}
	retry := retrypolicy.NewBuilder[fleet.Answer]().
		WithMaxRetries(o.Retries).
		WithDelayFunc(h.delay).
		HandleIf(func(_ fleet.Answer, err error) bool { return h.again(err) }).
		ReturnLastFailure().
		Build()
	policies := []failsafe.Policy[fleet.Answer]{retry}
	if o.BreakAfter > 0 {
		h.breaker = circuitbreaker.NewBuilder[fleet.Answer]().
			WithFailureThreshold(uint(o.BreakAfter)).
			WithSuccessThreshold(1).
			WithDelay(o.BreakFor).
			HandleIf(func(_ fleet.Answer, err error) bool { return breaks(err) }).
			OnStateChanged(func(e circuitbreaker.StateChangedEvent) {
				o.Logger.Warn("acquirer circuit breaker changed", "acquirer", o.Acquirer, "from", e.OldState.String(), "to", e.NewState.String())
			}).
			Build()
		policies = append(policies, h.breaker)
	}
	h.executor = failsafe.With(policies...)
	return h, nil
}

func (o HTTPOptions) withDefaults() HTTPOptions {
	duration := func(d *time.Duration, zero time.Duration) {
		if *d == 0 {
			*d = zero
		}
	}
	duration(&o.Timeout, 5*time.Second)
	duration(&o.Backoff, 250*time.Millisecond)
	duration(&o.MaxWait, 30*time.Second)
	duration(&o.BreakFor, 30*time.Second)
	if o.MaxRate == 0 {
		o.MaxRate = 20
	}
	if o.Retries == 0 {
		o.Retries = 3
	}
	o.Retries = max(o.Retries, 0)
	if o.BreakAfter == 0 {
		o.BreakAfter = 10
	}
	if o.Transport == nil {
		o.Transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
			MaxIdleConnsPerHost: 16, IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

const (
	holeAcquirer = "{acquirer}"
	holeMerchant = "{merchant}"
)

func (o HTTPOptions) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !fleet.ValidAcquirer(o.Acquirer) {
		bad("acquirer: want an id that matches ^[A-Za-z0-9][A-Za-z0-9-]{0,31}$")
	}
	switch u, err := url.Parse(o.fill("898440153110001")); {
	case err != nil:
		bad("url: not a URL: %w", bare(err)) // the URL itself may hold a secret
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		bad("url: want http:// or https:// and a host")
	case u.User != nil:
		bad("url: want the credentials in the token, not in the URL")
	}
	if !strings.Contains(o.URL, holeMerchant) {
		bad("url: want %s in it, such as https://host/v1/acquirers/%s/merchants/%s", holeMerchant, holeAcquirer, holeMerchant)
	}
	if strings.ContainsAny(string(o.BearerToken), "\r\n") {
		bad("token: want one line")
	}
	if o.Timeout < 0 || o.Backoff < 0 || o.MaxWait < 0 || o.BreakFor < 0 {
		bad("timeout, backoff, max wait and break: want durations above 0")
	}
	if o.Backoff >= o.MaxWait {
		bad("backoff is %s, want less than the max wait, %s", o.Backoff, o.MaxWait)
	}
	if !(o.MaxRate >= 0.001 && o.MaxRate <= 1e6) {
		bad("rate is %v requests a second, want 0.001 to 1000000", o.MaxRate)
	}
	return errors.Join(errs...)
}

// fill makes the URL for one merchant number.
func (o HTTPOptions) fill(merchant string) string {
	return strings.NewReplacer(holeAcquirer, url.PathEscape(o.Acquirer), holeMerchant, url.PathEscape(merchant)).Replace(o.URL)
}

// MerchantStatus implements Directory.
func (h *HTTP) MerchantStatus(ctx context.Context, merchant string) (fleet.Answer, error) {
	if merchant == "" {
		return fleet.Answer{}, &Error{Class: ClassRefused, Acquirer: h.o.Acquirer, Err: errors.New("the merchant number is empty"), Hint: "correct the registry"}
	}
	var last error // of the attempts made
	answer, err := h.executor.WithContext(ctx).GetWithExecution(func(exec failsafe.Execution[fleet.Answer]) (answer fleet.Answer, err error) {
		defer func() { last = err }()
		silence, err := h.pacer.turn(exec.Context(), h.o.MaxWait)
		if err != nil {
			return fleet.Answer{}, err
		}
		if silence > 0 {
			return fleet.Answer{}, &Error{
				Class: ClassRateLimited, Acquirer: h.o.Acquirer, Merchant: merchant, RetryAfter: silence,
				Err: errors.New("the acquirer has asked for silence"), Hint: "ask again after " + silence.Round(time.Second).String(),
			}
		}
		return h.ask(exec.Context(), merchant)
	})
	switch {
	case err == nil:
		return answer, nil
	case ctx.Err() != nil:
		return fleet.Answer{}, fmt.Errorf("ask acquirer %q about merchant %q: %w", h.o.Acquirer, merchant, ctx.Err())
	case errors.Is(err, circuitbreaker.ErrOpen) && last != nil: // it opened after our own attempt, which says more
		return fleet.Answer{}, last
	case errors.Is(err, circuitbreaker.ErrOpen):
		wait := h.breaker.RemainingDelay()
		return fleet.Answer{}, &Error{
			Class: ClassPaused, Acquirer: h.o.Acquirer, Merchant: merchant, RetryAfter: wait, Err: err,
			Hint: fmt.Sprintf("%d requests in a row failed, so the acquirer is left alone for %s; see the errors before this one", h.o.BreakAfter, h.o.BreakFor),
		}
	}
	return fleet.Answer{}, err
}

// again reports whether another attempt may do better.
func (h *HTTP) again(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && (e.Class == ClassUnreachable || e.Class == ClassRateLimited || e.Class == ClassBadAnswer) && e.RetryAfter <= h.o.MaxWait
}

// delay is how long to wait before the next attempt: as long as the acquirer asked for, and never shorter; else the
// backoff, doubled with each attempt and spread by a fifth so that many callers do not come back as one.
func (h *HTTP) delay(exec failsafe.ExecutionAttempt[fleet.Answer]) time.Duration {
	if e, ok := errors.AsType[*Error](exec.LastError()); ok && e.RetryAfter > 0 {
		return e.RetryAfter
	}
	wait := h.o.MaxWait
	if doubled := exec.Retries(); doubled < 16 {
		wait = min(wait, h.o.Backoff<<doubled)
	}
	return time.Duration(float64(wait) * (0.8 + 0.4*rand.Float64()))
}

// breaks reports whether an error speaks against the acquirer's system as a whole. A rate limit does not: it answers.
// Settings that it refuses do not: asking it harms nobody, and the operator should see its words.
func breaks(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && (e.Class == ClassUnreachable || e.Class == ClassBadAnswer)
}
