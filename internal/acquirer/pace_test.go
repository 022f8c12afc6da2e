package acquirer_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tillwatch/tillwatch/internal/acquirer"
	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/simulate"
)

// wire is a network inside the process, so that real HTTP runs under fake time.
type wire struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (w *wire) Accept() (net.Conn, error) {
	select {
	case c := <-w.conns:
		return c, nil
	case <-w.done:
		return nil, net.ErrClosed
	}
}

func (w *wire) Close() error   { w.once.Do(func() { close(w.done) }); return nil }
func (w *wire) Addr() net.Addr { return &net.UnixAddr{Name: "wire", Net: "unix"} }

func (w *wire) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case w.conns <- there:
		return here, nil
	case <-w.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// underFakeTime runs test in a bubble in which b's acquirer listens and time passes only while everybody waits.
func underFakeTime(t *testing.T, test func(t *testing.T, b *bench, transport http.RoundTripper)) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.url = "http://acquirer.example"
		w := &wire{conns: make(chan net.Conn), done: make(chan struct{})}
		server := &http.Server{Handler: b.server}
		served := make(chan error, 1)
		go func() { served <- server.Serve(w) }()
		transport := &http.Transport{DialContext: w.dial}
		test(t, b, transport)
		transport.CloseIdleConnections()
		server.Close()
		<-served
		synctest.Wait()
	})
}

func gaps(arrivals []time.Time) []time.Duration {
	d := make([]time.Duration, 0, len(arrivals))
	for i := 1; i < len(arrivals); i++ {
		d = append(d, arrivals[i].Sub(arrivals[i-1]))
	}
	return d
}

func TestRateIsNeverAboveTheLimit(t *testing.T) {
	underFakeTime(t, func(t *testing.T, b *bench, transport http.RoundTripper) {
		const rate, questions = 7.0, 100
		d := b.directory(t, func(o *acquirer.HTTPOptions) { o.MaxRate, o.Transport = rate, transport })
		for n := range 30 { // attempts count too
			if n%3 == 0 {
				b.server.Fail(simulate.Failure{Status: 500})
			} else {
				b.server.Fail(simulate.Failure{})
			}
		}
		var wg sync.WaitGroup
		for range questions {
			wg.Go(func() {
				if _, err := d.MerchantStatus(t.Context(), b.target); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		arrivals := b.server.Arrivals()
		least := slices.Min(gaps(arrivals))
		busiest := 0
		for i := range arrivals {
			n := 0
			for _, at := range arrivals[i:] {
				if at.Sub(arrivals[i]) < time.Second {
					n++
				}
			}
			busiest = max(busiest, n)
		}
		t.Logf("%d requests in %s, %d in the busiest second, smallest gap %s", len(arrivals), arrivals[len(arrivals)-1].Sub(arrivals[0]), busiest, least)
		if len(arrivals) != questions+10 {
			t.Errorf("%d requests, want %d", len(arrivals), questions+10)
		}
		if busiest > rate || least < time.Second/7 {
			t.Errorf("%d requests in one second and %s apart at a limit of %v a second", busiest, least, rate)
		}
	})
}

func TestRetryAfterIsWaitedOut(t *testing.T) {
	for name, header := range map[string]func() string{
		"seconds": func() string { return "12" },
		"date":    func() string { return time.Now().UTC().Add(12 * time.Second).Format(http.TimeFormat) },
	} {
		t.Run(name, func(t *testing.T) {
			underFakeTime(t, func(t *testing.T, b *bench, transport http.RoundTripper) {
				b.server.Fail(simulate.Failure{Status: 429, RetryAfter: header()})
				d := b.directory(t, func(o *acquirer.HTTPOptions) { o.Transport, o.MaxWait = transport, 15*time.Second })
				var wg sync.WaitGroup
				wg.Go(func() {
					if _, err := d.MerchantStatus(t.Context(), b.target); err != nil {
						t.Error(err)
					}
				})
				synctest.Wait() // the first has its 429; the silence is for the second too
				wg.Go(func() {
					if _, err := d.MerchantStatus(t.Context(), b.target); err != nil {
						t.Error(err)
					}
				})
				wg.Wait()
				arrivals := b.server.Arrivals()
				if len(arrivals) != 3 || arrivals[1].Sub(arrivals[0]) < 12*time.Second || arrivals[2].Sub(arrivals[0]) > 13*time.Second {
					t.Errorf("gaps between requests are %v, want one of 12s and a short one", gaps(arrivals))
				}
			})
		})
	}
}

func TestRetryAfterTooLongIsHandedOn(t *testing.T) {
	underFakeTime(t, func(t *testing.T, b *bench, transport http.RoundTripper) {
		b.server.Fail(simulate.Failure{Status: 429, RetryAfter: "600"})
		d := b.directory(t, func(o *acquirer.HTTPOptions) { o.Transport = transport })
		_, err := d.MerchantStatus(t.Context(), b.target)
		if e := wantClass(t, err, acquirer.ClassRateLimited); e.RetryAfter != 600*time.Second {
			t.Errorf("retry after %s, want 10m", e.RetryAfter)
		}
		_, err = d.MerchantStatus(t.Context(), b.target) // nobody asks meanwhile
		if e := wantClass(t, err, acquirer.ClassRateLimited, "silence"); e.RetryAfter != 600*time.Second {
			t.Errorf("retry after %s, want 10m", e.RetryAfter)
		}
		if n := len(b.server.Arrivals()); n != 1 {
			t.Errorf("%d requests, want 1", n)
		}
		<-time.After(10 * time.Minute)
		if _, err := d.MerchantStatus(t.Context(), b.target); err != nil {
			t.Errorf("after the silence: %v", err)
		}
	})
}

func TestTimeoutOfOneRequest(t *testing.T) {
	underFakeTime(t, func(t *testing.T, b *bench, transport http.RoundTripper) {
		b.server.Fail(simulate.Failure{Delay: time.Hour}, simulate.Failure{Delay: 2 * time.Second})
		d := b.directory(t, func(o *acquirer.HTTPOptions) { o.Transport, o.Timeout = transport, 3*time.Second })
		if got, err := d.MerchantStatus(t.Context(), b.target); err != nil || got.Status != fleet.MerchantActive {
			t.Errorf("the second attempt is in time: got %+v, %v", got, err)
		}
		b.server.FailAlways(&simulate.Failure{Delay: time.Hour})
		_, err := d.MerchantStatus(t.Context(), b.target)
		wantClass(t, err, acquirer.ClassUnreachable, "no complete answer within 3s")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := d.MerchantStatus(ctx, b.target); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the caller's deadline", err)
		} else if _, own := errors.AsType[*acquirer.Error](err); own {
			t.Errorf("the caller's deadline speaks against the acquirer: %v", err)
		}
	})
}

func TestBreakerLeavesAFailingAcquirerAlone(t *testing.T) {
	underFakeTime(t, func(t *testing.T, b *bench, transport http.RoundTripper) {
		b.server.FailAlways(&simulate.Failure{Status: 500})
		d := b.directory(t, func(o *acquirer.HTTPOptions) {
			o.Transport, o.Retries, o.BreakAfter, o.BreakFor = transport, -1, 4, 30*time.Second
		})
		ask := func() error {
			_, err := d.MerchantStatus(t.Context(), b.target)
			return err
		}
		for range 4 {
			wantClass(t, ask(), acquirer.ClassUnreachable, "500")
		}
		for range 20 {
			if e := wantClass(t, ask(), acquirer.ClassPaused, "left alone for 30s"); e.RetryAfter != 30*time.Second {
				t.Errorf("retry after %s, want 30s", e.RetryAfter)
			}
		}
		if n := len(b.server.Arrivals()); n != 4 {
			t.Fatalf("%d requests, want 4", n)
		}
		<-time.After(30 * time.Second)
		wantClass(t, ask(), acquirer.ClassUnreachable, "500") // one more look
		wantClass(t, ask(), acquirer.ClassPaused)
		<-time.After(30 * time.Second)
		b.server.FailAlways(nil)
		for range 5 {
			if err := ask(); err != nil {
				t.Errorf("the acquirer is well again: %v", err)
			}
		}
		if n := len(b.server.Arrivals()); n != 10 {
			t.Errorf("%d requests, want 10", n)
		}
	})
}

func TestUnknownMerchantsAndRateLimitsDoNotBreak(t *testing.T) {
	underFakeTime(t, func(t *testing.T, b *bench, transport http.RoundTripper) {
		d := b.directory(t, func(o *acquirer.HTTPOptions) { o.Transport, o.Retries, o.BreakAfter = transport, -1, 2 })
		for range 10 {
			if got, err := d.MerchantStatus(t.Context(), "898000000000000"); err != nil || got.Status != fleet.MerchantUnknown {
				t.Fatalf("got %+v, %v", got, err)
			}
		}
		b.server.FailAlways(&simulate.Failure{Status: 429})
		for range 10 {
			_, err := d.MerchantStatus(t.Context(), b.target)
			wantClass(t, err, acquirer.ClassRateLimited)
		}
		b.server.FailAlways(nil)
		if _, err := d.MerchantStatus(t.Context(), b.target); err != nil {
			t.Error(err)
		}
	})
}
