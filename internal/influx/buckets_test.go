package influx_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/internal/fleettest/influxtest"
	"github.com/tillwatch/tillwatch/internal/influx"
	"github.com/tillwatch/tillwatch/internal/schema"
)

func TestEnsureBuckets(t *testing.T) {
	influxtest.Both(t, func(t *testing.T, s *influxtest.Server) {
		ctx, c := t.Context(), s.Client(t)
		// Several processes may start at once.
		var starts sync.WaitGroup
		for range 4 {
			starts.Go(func() {
				if err := s.Client(t).EnsureBuckets(ctx, schema.Buckets); err != nil {
					t.Errorf("ensure: %v", err)
				}
			})
		}
		starts.Wait()
		keep := func(name string) time.Duration {
			t.Helper()
			d, err := c.Retention(ctx, name)
			if err != nil {
				t.Fatalf("retention: %v", err)
			}
			return d
		}
		for _, b := range schema.Buckets {
			if got := keep(b.Name); got != b.Retention {
				t.Errorf("%s is kept for %s, want %s", b.Name, got, b.Retention)
			}
			if duration, shard := serverSays(t, s, b.Name); duration != b.Retention || shard != influx.ShardDuration(b.Retention) {
				t.Errorf("%s: the server says %s in shards of %s", b.Name, duration, shard)
			}
		}

		// Longer loses nothing: done. Points stay.
		day := 24 * time.Hour
		ensure := func(name string, d time.Duration) error {
			return c.EnsureBuckets(ctx, []schema.Bucket{{Name: name, Retention: d}})
		}
		if err := ensure("grows", 10*day); err != nil {
			t.Fatal(err)
		}
		if err := c.Write(ctx, "grows", []byte("m v=1i")); err != nil {
			t.Fatal(err)
		}
		for _, d := range []time.Duration{20 * day, 0} {
			if err := ensure("grows", d); err != nil {
				t.Fatalf("lengthen to %s: %v", d, err)
			}
			if got := keep("grows"); got != d {
				t.Errorf("kept for %s, want %s", got, d)
			}
		}
		if rows, err := c.Query(ctx, "grows", `SELECT "v" FROM "m"`); err != nil || len(rows) != 1 {
			t.Errorf("after lengthening: %v, %v; want the point", rows, err)
		}

		// Shorter would delete: refused with what to run, and the buckets after it are still made.
		err := c.EnsureBuckets(ctx, []schema.Bucket{{Name: "grows", Retention: 5 * day}, {Name: "after", Retention: day}})
		e, ok := errorOf(err)
		if !ok || e.Class != influx.Conflict || !strings.Contains(e.Hint, "432000s") {
			t.Errorf("shorten: %v; want class %q and a command with 432000s", err, influx.Conflict)
		}
		if got := keep("grows"); got != 0 {
			t.Errorf("kept for %s after a refusal, want for ever", got)
		}
		if got := keep("after"); got != day {
			t.Errorf("the bucket after the refused one is kept for %s, want %s", got, day)
		}
		t.Logf("%d buckets, retention and shards as the server tells them", len(schema.Buckets)+2)
	})
}

// serverSays reads a bucket's retention and shard duration past the client: from the statement on 1.8, and from the
// API on 2.x, whose SHOW RETENTION POLICIES answers "0s" for every bucket.
func serverSays(t *testing.T, s *influxtest.Server, name string) (retention, shard time.Duration) {
	t.Helper()
	if s.Major == 1 {
		var said struct {
			Results []struct{ Series []struct{ Values [][]any } }
		}
		raw(t, s, "/query?q="+url.QueryEscape("SHOW RETENTION POLICIES ON "+name), &said)
		if len(said.Results) != 1 || len(said.Results[0].Series) != 1 || len(said.Results[0].Series[0].Values) != 1 {
			t.Fatalf("retention policies of %s: %v; want exactly one", name, said)
		}
		row := said.Results[0].Series[0].Values[0] // name, duration, shardGroupDuration, replicaN, default
		if row[4] != true {
			t.Errorf("the only policy of %s is not the default", name)
		}
		retention, err1 := time.ParseDuration(fmt.Sprint(row[1]))
		shard, err2 := time.ParseDuration(fmt.Sprint(row[2]))
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		return retention, shard
	}
	var said struct {
		Buckets []struct {
			RetentionRules []struct{ EverySeconds, ShardGroupDurationSeconds int64 }
		}
	}
	raw(t, s, "/api/v2/buckets?name="+name, &said)
	if len(said.Buckets) != 1 || len(said.Buckets[0].RetentionRules) != 1 {
		t.Fatalf("bucket %s: %v; want one, with one rule", name, said)
	}
	rule := said.Buckets[0].RetentionRules[0]
	return time.Duration(rule.EverySeconds) * time.Second, time.Duration(rule.ShardGroupDurationSeconds) * time.Second
}

func raw(t *testing.T, s *influxtest.Server, path string, out any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Token "+s.Token.Reveal())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %d, %v", path, resp.StatusCode, err)
	}
}

func TestShardDuration(t *testing.T) {
	for _, b := range schema.Buckets {
		shards := int(b.Retention / influx.ShardDuration(b.Retention))
		if shards < 10 || shards > 60 {
			t.Errorf("%s has %d shards", b.Name, shards)
		}
	}
}
