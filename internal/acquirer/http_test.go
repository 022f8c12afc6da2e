package acquirer_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/internal/acquirer"
	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/simulate"
)

const pathTemplate = "/v1/acquirers/{acquirer}/merchants/{merchant}"

// bench is a simulated acquirer behind real HTTP and a directory that asks it.
type bench struct {
	fleet  *simulate.Fleet
	server *simulate.AcquirerServer
	url    string
	target string // a merchant of a1 that is cancelled from minute 1 to 2
	mu     sync.Mutex
	now    time.Time // the fleet's own time
}

func (b *bench) at(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.fleet.Start().Add(d)
}

func newBench(t *testing.T) *bench {
	t.Helper()
	f, err := simulate.New(simulate.Options{Terminals: 120, Seed: 7, Scenario: &simulate.Scenario{Faults: []simulate.Fault{
		{Start: time.Minute, For: time.Minute, Cause: "merchant_not_active", Scope: simulate.Scope{"acquirer": "a1"}},
		{Start: 10 * time.Minute, For: time.Minute, Cause: "institution_outage", Scope: simulate.Scope{"acquirer": "a1"}},
		{Start: 20 * time.Minute, For: time.Minute, Cause: "risk_control_ban", Scope: simulate.Scope{"acquirer": "a1"}},
		{Start: 20 * time.Minute, For: time.Minute, Cause: "not_filed", Scope: simulate.Scope{"acquirer": "a2"}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{fleet: f, now: f.Start(), target: f.Truth(f.Start(), 1)[0].Scope["merchant"]}
	b.server = simulate.NewAcquirerServer(f, simulate.AcquirerOptions{Token: "letmein", Now: func() time.Time {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.now
	}})
	return b
}

func (b *bench) listen(t *testing.T) *bench {
	t.Helper()
	server := httptest.NewServer(b.server)
	t.Cleanup(server.Close)
	b.url = server.URL
	return b
}

// directory is quick: no test waits for its backoff.
func (b *bench) directory(t *testing.T, change ...func(*acquirer.HTTPOptions)) *acquirer.HTTP {
	t.Helper()
	o := acquirer.HTTPOptions{
		Acquirer: "a1", URL: b.url + pathTemplate, BearerToken: "letmein", Timeout: 10 * time.Second,
		MaxRate: 1e5, Backoff: time.Microsecond, Retries: 2, BreakAfter: -1,
	}
	for _, f := range change {
		f(&o)
	}
	d, err := acquirer.NewHTTP(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func wantClass(t *testing.T, err error, class acquirer.Class, words ...string) *acquirer.Error {
	t.Helper()
	e, ok := errors.AsType[*acquirer.Error](err)
	if !ok || e.Class != class {
		t.Fatalf("got %v, want an error of class %s", err, class)
	}
	if e.Hint == "" {
		t.Errorf("%v: it does not say what to do", err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%v: want %q in it", err, w)
		}
	}
	return e
}

func TestAnswersFollowTheFaults(t *testing.T) {
	b := newBench(t).listen(t)
	stamp := time.UnixMilli(1_795_400_000_123)
	d := b.directory(t, func(o *acquirer.HTTPOptions) { o.Now = func() time.Time { return stamp } })
	cancelled := b.fleet.Start().Add(time.Minute).UnixMilli()
	truth := b.fleet.Truth(b.fleet.Start(), 1)
	for _, c := range []struct {
		at       time.Duration
		merchant string
		status   fleet.MerchantStatus
		since    int64
	}{
		{0, b.target, fleet.MerchantActive, 0},
		{time.Minute, b.target, fleet.MerchantCancelled, cancelled},
		{2*time.Minute - time.Millisecond, b.target, fleet.MerchantCancelled, cancelled},
		{2 * time.Minute, b.target, fleet.MerchantActive, 0},
		{20 * time.Minute, truth[2].Scope["merchant"], fleet.MerchantSuspended, b.fleet.Start().Add(20 * time.Minute).UnixMilli()},
		{0, "898000000000000", fleet.MerchantUnknown, 0},
		{0, truth[3].Scope["merchant"], fleet.MerchantUnknown, 0}, // a2's number is not a1's
		{0, "a/b ?#%", fleet.MerchantUnknown, 0},
	} {
		b.at(c.at)
		got, err := d.MerchantStatus(t.Context(), c.merchant)
		want := fleet.Answer{At: stamp.UnixMilli(), Acquirer: "a1", Merchant: c.merchant, Kind: "status", Status: c.status, Since: c.since}
		if err != nil || got != want {
			t.Errorf("at %s: got %+v, %v\nwant %+v", c.at, got, err, want)
		}
	}
	a2 := b.directory(t, func(o *acquirer.HTTPOptions) { o.Acquirer = "a2" })
	b.at(20 * time.Minute)
	if got, err := a2.MerchantStatus(t.Context(), truth[3].Scope["merchant"]); err != nil || got.Status != fleet.MerchantNotOpened {
		t.Errorf("got %+v, %v, want not_opened", got, err)
	}
	b.at(10 * time.Minute) // a1's system is down, a2's is not; it asks for 5 s, more than we have patience for
	_, err := b.directory(t, func(o *acquirer.HTTPOptions) { o.MaxWait = time.Second }).MerchantStatus(t.Context(), b.target)
	if e := wantClass(t, err, acquirer.ClassUnreachable, "503"); e.RetryAfter != 5*time.Second {
		t.Errorf("retry after %s, want 5s", e.RetryAfter)
	}
	if _, err := a2.MerchantStatus(t.Context(), truth[3].Scope["merchant"]); err != nil {
		t.Errorf("a2 is not down: %v", err)
	}
}

func TestFailuresAreTriedAgain(t *testing.T) {
	for name, failures := range map[string][]simulate.Failure{
		"none":              {},
		"500 twice":         {{Status: 500}, {Status: 502}},
		"429 now":           {{Status: 429, RetryAfter: "0"}, {Status: 429}},
		"garbage":           {{Garbage: "<html>"}, {Garbage: `{"merchant":`}},
		"half closed":       {{Half: true}, {Half: true}},
		"dropped":           {{Drop: true}, {Half: true}},
		"each another way":  {{Half: true}, {Status: 503}},
		"retry after words": {{Status: 503, RetryAfter: "soon"}, {Status: 503, RetryAfter: "-3"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t).listen(t)
			b.server.Fail(failures...)
			got, err := b.directory(t).MerchantStatus(t.Context(), b.target)
			if err != nil || got.Status != fleet.MerchantActive {
				t.Fatalf("got %+v, %v", got, err)
			}
			if n := len(b.server.Arrivals()); n != len(failures)+1 {
				t.Errorf("%d requests, want %d", n, len(failures)+1)
			}
		})
	}
}

func TestFailuresThatLast(t *testing.T) {
	for name, c := range map[string]struct {
		failure  simulate.Failure
		class    acquirer.Class
		status   int
		requests int
		words    string
	}{
		"500":              {simulate.Failure{Status: 500}, acquirer.ClassUnreachable, 500, 3, "500 Internal Server Error"},
		"429":              {simulate.Failure{Status: 429}, acquirer.ClassRateLimited, 429, 3, "lower the directory's rate"},
		"401":              {simulate.Failure{Status: 401}, acquirer.ClassRefused, 401, 1, "token"},
		"403":              {simulate.Failure{Status: 403}, acquirer.ClassRefused, 403, 1, "token"},
		"400":              {simulate.Failure{Status: 400}, acquirer.ClassRefused, 400, 1, "url"},
		"302":              {simulate.Failure{Status: 302}, acquirer.ClassRefused, 302, 1, "leads elsewhere"},
		"404 of another":   {simulate.Failure{Status: 404}, acquirer.ClassRefused, 404, 1, "url is probably wrong"},
		"half":             {simulate.Failure{Half: true}, acquirer.ClassUnreachable, 200, 3, "broke off"},
		"html":             {simulate.Failure{Garbage: "<html>sign in</html>"}, acquirer.ClassBadAnswer, 200, 3, "not the JSON object"},
		"null":             {simulate.Failure{Garbage: "null"}, acquirer.ClassBadAnswer, 200, 3, "lacks merchant or status"},
		"wrong type":       {simulate.Failure{Garbage: `{"merchant":1}`}, acquirer.ClassBadAnswer, 200, 3, "not the JSON object"},
		"long":             {simulate.Failure{Garbage: strings.Repeat(" ", 65<<10)}, acquirer.ClassBadAnswer, 200, 3, "longer than"},
		"two":              {simulate.Failure{Garbage: `{} {}`}, acquirer.ClassBadAnswer, 200, 3, "not the JSON object"},
		"another merchant": {simulate.Failure{Garbage: `{"merchant":"1","status":"active"}`}, acquirer.ClassBadAnswer, 200, 3, `about merchant "1"`},
		"no such status":   {simulate.Failure{Garbage: `{"merchant":"TARGET","status":"frozen"}`}, acquirer.ClassBadAnswer, 200, 3, `status "frozen"`},
		"unknown is a 404": {simulate.Failure{Garbage: `{"merchant":"TARGET","status":"unknown"}`}, acquirer.ClassBadAnswer, 200, 3, `status "unknown"`},
		"since":            {simulate.Failure{Garbage: `{"merchant":"TARGET","status":"active","since":"20.11.2026"}`}, acquirer.ClassBadAnswer, 200, 3, `since "20.11.2026"`},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t).listen(t)
			c.failure.Garbage = strings.ReplaceAll(c.failure.Garbage, "TARGET", b.target)
			b.server.FailAlways(&c.failure)
			_, err := b.directory(t).MerchantStatus(t.Context(), b.target)
			e := wantClass(t, err, c.class, c.words, b.target, `"a1"`)
			if e.Status != c.status {
				t.Errorf("status %d, want %d", e.Status, c.status)
			}
			if n := len(b.server.Arrivals()); n != c.requests {
				t.Errorf("%d requests, want %d", n, c.requests)
			}
			b.server.FailAlways(nil)
			if got, err := b.directory(t).MerchantStatus(t.Context(), b.target); err != nil || got.Status != fleet.MerchantActive {
				t.Errorf("afterwards: %+v, %v", got, err)
			}
		})
	}
}

func TestAWrongURLIsNotAnUnknownMerchant(t *testing.T) {
	b := newBench(t).listen(t)
	for _, path := range []string{"/v2/acquirers/{acquirer}/merchants/{merchant}", "/v1/acquirers/nobody/merchants/{merchant}"} {
		d := b.directory(t, func(o *acquirer.HTTPOptions) { o.URL = b.url + path })
		_, err := d.MerchantStatus(t.Context(), b.target)
		wantClass(t, err, acquirer.ClassRefused, "url is probably wrong")
	}
	pages := httptest.NewServer(http.NotFoundHandler()) // plain text
	defer pages.Close()
	_, err := b.directory(t, func(o *acquirer.HTTPOptions) { o.URL = pages.URL + pathTemplate }).MerchantStatus(t.Context(), b.target)
	wantClass(t, err, acquirer.ClassRefused, "url is probably wrong")
	silent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }))
	defer silent.Close()
	got, err := b.directory(t, func(o *acquirer.HTTPOptions) { o.URL = silent.URL + pathTemplate }).MerchantStatus(t.Context(), b.target)
	if err != nil || got.Status != fleet.MerchantUnknown {
		t.Errorf("a 404 without a body: got %+v, %v", got, err)
	}
}

func TestTokenIsSentAndHidden(t *testing.T) {
	b := newBench(t).listen(t)
	for _, token := range []acquirer.Token{"", "wr0ng"} {
		_, err := b.directory(t, func(o *acquirer.HTTPOptions) { o.BearerToken = token }).MerchantStatus(t.Context(), b.target)
		wantClass(t, err, acquirer.ClassRefused, "401")
		if strings.Contains(err.Error(), "wr0ng") {
			t.Errorf("the token is in the error: %v", err)
		}
	}
	if n := b.server.Answers()[http.StatusUnauthorized]; n != 2 {
		t.Errorf("%d answers 401, want 2", n)
	}
}

func TestNobodyThere(t *testing.T) {
	b := newBench(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.url = "http://" + closed.Addr().String()
	closed.Close()
	d := b.directory(t, func(o *acquirer.HTTPOptions) { o.URL += "?key=hunter2" })
	_, err = d.MerchantStatus(t.Context(), b.target)
	wantClass(t, err, acquirer.ClassUnreachable, "reachable from here")
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the URL's secret is in the error: %v", err)
	}
	_, err = d.MerchantStatus(t.Context(), "")
	wantClass(t, err, acquirer.ClassRefused, "empty")
}

func TestCallerGivesUp(t *testing.T) {
	b := newBench(t).listen(t)
	b.server.FailAlways(&simulate.Failure{Delay: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := b.directory(t, func(o *acquirer.HTTPOptions) { o.Timeout = time.Hour }).MerchantStatus(ctx, b.target)
		done <- err
	}()
	for len(b.server.Arrivals()) == 0 { // until the question hangs in the server
		select {
		case err := <-done:
			t.Fatalf("it came back early: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context canceled", err)
	}
}
