package influx_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/internal/fleettest/influxtest"
	"github.com/tillwatch/tillwatch/internal/influx"
)

func errorOf(err error) (*influx.Error, bool) { return errors.AsType[*influx.Error](err) }

// proxy stands before a real server and answers instead of it where answer says so.
func proxy(t *testing.T, s *influxtest.Server, answer func(w http.ResponseWriter, r *http.Request) bool) string {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	through := httputil.NewSingleHostReverseProxy(u)
	through.ErrorLog = discardLog
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !answer(w, r) {
			through.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(p.Close)
	return p.URL
}

// What proxies and busy servers answer; each fault once, and the same write then goes through.
func TestMisbehaviour(t *testing.T) {
	date := time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat)
	cases := []struct {
		name    string
		answer  func(w http.ResponseWriter)
		class   influx.Class
		status  int
		atLeast time.Duration
		atMost  time.Duration
		message string
	}{
		{"busy, seconds", said(429, "17", `{"code":"too many requests","message":"slow down"}`), influx.Transient, 429, 17 * time.Second, 17 * time.Second, "slow down"},
		{"busy, a date", said(503, date, ``), influx.Transient, 503, 30 * time.Second, 90 * time.Second, "Service Unavailable"},
		{"busy, nonsense", said(503, "soon", `<html>`), influx.Transient, 503, 0, 0, "<html>"},
		{"broken", said(500, "", `{"error":"disk full"}`), influx.Transient, 500, 0, 0, "disk full"},
		{"gateway", said(502, "", `bad gateway`), influx.Transient, 502, 0, 0, "bad gateway"},
		{"too large", said(413, "", `<html>nginx</html>`), influx.TooLarge, 413, 0, 0, "nginx"},
		{"another server", said(404, "", `404 page not found`), influx.Unexpected, 404, 0, 0, "page not found"},
		{"a page", said(200, "", `<html>welcome</html>`), influx.Unexpected, 200, 0, 0, "204"},
		{"teapot", said(418, "", ``), influx.Unexpected, 418, 0, 0, "teapot"},
		{"redirect", func(w http.ResponseWriter) {
			w.Header().Set("Location", "https://example.org/")
			w.WriteHeader(http.StatusMovedPermanently)
		}, influx.Unexpected, 301, 0, 0, "https://example.org/"},
		{"dropped connection", func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, influx.Transient, 0, 0, 0, ""},
	}
	influxtest.Both(t, func(t *testing.T, s *influxtest.Server) {
		newBucket(t, s.Client(t), bucket)
		for _, tc := range cases {
			t.Run(tc.name, func(t *testing.T) {
				var calls atomic.Int32
				at := proxy(t, s, func(w http.ResponseWriter, r *http.Request) bool {
					if calls.Add(1) > 1 {
						return false
					}
					tc.answer(w)
					return true
				})
				c := s.ClientWith(t, influx.Options{URL: at, Token: s.Token})
				e := wantError(t, c.Write(t.Context(), bucket, []byte("m v=1i 1")), tc.class, tc.status)
				if e.RetryAfter < tc.atLeast || e.RetryAfter > tc.atMost {
					t.Errorf("retry after %s, want %s to %s", e.RetryAfter, tc.atLeast, tc.atMost)
				}
				if !strings.Contains(e.Error(), tc.message) {
					t.Errorf("error %q does not say %q", e, tc.message)
				}
				if err := c.Write(t.Context(), bucket, []byte("m v=1i 1")); err != nil {
					t.Errorf("the write after: %v", err)
				}
			})
		}
	})
}

func said(status int, retryAfter, body string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		if strings.HasPrefix(body, "{") {
			w.Header().Set("Content-Type", "application/json")
		}
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// An answer to a query that breaks off is an error and never a shorter result.
func TestQueryBreaksOff(t *testing.T) {
	influxtest.Both(t, func(t *testing.T, s *influxtest.Server) {
		admin := s.Client(t)
		newBucket(t, admin, bucket)
		var lines []byte
		for i := range 5000 {
			lines = fmt.Appendf(lines, "long v=%di %d\n", i, i+1)
		}
		if err := admin.Write(t.Context(), bucket, lines); err != nil {
			t.Fatal(err)
		}
		whole := fetch(t, s, `SELECT "v" FROM "long"`)
		pieces := bytes.SplitAfter(whole, []byte("\n"))
		cuts := map[string][]byte{
			"in a number":    whole[:len(whole)/2],
			"between pieces": bytes.Join(pieces[:2], nil),
			"before all":     nil,
		}
		for name, part := range cuts {
			t.Run(name, func(t *testing.T) {
				at := proxy(t, s, func(w http.ResponseWriter, r *http.Request) bool {
					_, _ = w.Write(part) // and a proper end, as a proxy makes of a server that died
					return true
				})
				c := s.ClientWith(t, influx.Options{URL: at, Token: s.Token, ChunkRows: 1000})
				rows, err := c.Query(t.Context(), bucket, `SELECT "v" FROM "long"`)
				if influx.ClassOf(err) != influx.Transient || rows != nil {
					t.Errorf("%d series and error %v; want none and class %q", len(rows), err, influx.Transient)
				}
			})
		}
	})
}

// fetch is the raw answer to a query in pieces of 1,000 rows.
func fetch(t *testing.T, s *influxtest.Server, q string) []byte {
	t.Helper()
	form := url.Values{"q": {q}, "db": {bucket}, "epoch": {"ns"}, "chunked": {"true"}, "chunk_size": {"1000"}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/query", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "Token "+s.Token.Reveal())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 || bytes.Count(b, []byte("\n")) < 3 {
		t.Fatalf("raw query: status %d, %v, %d pieces", resp.StatusCode, err, bytes.Count(b, []byte("\n")))
	}
	return b
}

// A server that is killed while four writers are at it loses nothing that was acknowledged, and every write that was
// not is Transient: written again after the restart, all points are there once.
func TestKilledInMidFlight(t *testing.T) {
	influxtest.Both(t, func(t *testing.T, s *influxtest.Server) {
		ctx, c := t.Context(), s.Client(t)
		newBucket(t, c, bucket)
		const writers, perBatch = 4, 500
		type result struct{ written, acked int }
		results := make([]result, writers)
		enough := make(chan struct{}) // closed when 40 batches are acknowledged
		var total atomic.Int32
		batch := func(w, b int) []byte {
			var lines []byte
			for i := range perBatch {
				lines = fmt.Appendf(lines, "crash,w=%d v=%di %d\n", w, b*perBatch+i, b*perBatch+i+1)
			}
			return lines
		}
		var group sync.WaitGroup
		for w := range writers {
			group.Go(func() {
				for b := 0; ; b++ {
					results[w].written = b + 1
					if err := c.Write(ctx, bucket, batch(w, b)); err != nil {
						if influx.ClassOf(err) != influx.Transient {
							t.Errorf("writer %d: %v; want class %q", w, err, influx.Transient)
						}
						return
					}
					results[w].acked = b + 1
					if total.Add(1) == 40 {
						close(enough)
					}
				}
			})
		}
		<-enough
		s.Kill()
		group.Wait()
		s.Restart()

		acked := 0
		for w, r := range results {
			acked += r.acked
			q := fmt.Sprintf(`SELECT count("v") AS n FROM "crash" WHERE "w" = '%d' AND time <= %d`, w, r.acked*perBatch)
			rows := query(t, c, q)
			if len(rows) != 1 {
				t.Fatalf("writer %d: %d batches were acknowledged and nothing is there", w, r.acked)
			}
			if n, _ := rows[0].Int(0, "n"); n != int64(r.acked*perBatch) {
				t.Errorf("writer %d: %d points acknowledged, %d there", w, r.acked*perBatch, n)
			}
			if err := c.Write(ctx, bucket, batch(w, r.written-1)); err != nil {
				t.Errorf("the interrupted batch again: %v", err)
			}
		}
		points := 0
		for _, s := range query(t, c, `SELECT "v" FROM "crash" GROUP BY "w"`) {
			points += len(s.Values)
		}
		want := 0
		for _, r := range results {
			want += r.written * perBatch
		}
		if points != want {
			t.Errorf("%d points, want %d", points, want)
		}
		t.Logf("kill -9 under %d writers: %d batches acknowledged, 0 of %d points lost, %d there after the retries", writers, acked, acked*perBatch, points)
	})
}

// lateReader is a transport that gives up while somebody still reads the request's body, as net/http's may.
type lateReader struct{ body, again io.ReadCloser }

func (l *lateReader) RoundTrip(req *http.Request) (*http.Response, error) {
	l.body = req.Body
	l.again, _ = req.GetBody()
	if _, err := io.ReadFull(l.body, make([]byte, 9)); err != nil {
		return nil, err
	}
	return nil, context.DeadlineExceeded
}

// Once Write has returned, however it ended, nobody can read the caller's bytes through it any more.
func TestWriteGivesBytesBack(t *testing.T) {
	late := &lateReader{}
	c, err := influx.New(influx.Options{URL: "http://127.0.0.1:1", Transport: late})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = c.Write(t.Context(), bucket, []byte("m v=1i 1\nm v=2i 2\n"))
	if e := wantError(t, err, influx.Transient, 0); !errors.Is(e, context.DeadlineExceeded) {
		t.Errorf("the cause is lost: %v", err)
	}
	for name, body := range map[string]io.Reader{"the request's body": late.body, "the body for another try": late.again} {
		if b, err := io.ReadAll(body); len(b) > 0 || err == nil {
			t.Errorf("%s still gives %q, %v after Write has returned", name, b, err)
		}
	}
}
