package influxtest_test

import (
	"strconv"
	"testing"

	"github.com/tillwatch/tillwatch/internal/fleettest/influxtest"
	"github.com/tillwatch/tillwatch/internal/influx"
	"github.com/tillwatch/tillwatch/internal/schema"
)

// A server that is killed, or stopped, and started again is the same server: address, credentials, data.
func TestRestartKeepsEverything(t *testing.T) {
	influxtest.Both(t, func(t *testing.T, s *influxtest.Server) {
		ctx, c := t.Context(), s.Client(t)
		v, err := c.Version(ctx)
		if err != nil || v.Major != s.Major {
			t.Fatalf("version %v, %v; want %d.x", v, err, s.Major)
		}
		if err := c.EnsureBuckets(ctx, []schema.Bucket{{Name: "kept"}}); err != nil {
			t.Fatal(err)
		}
		for i, end := range []func(){s.Kill, s.Stop, func() {}} {
			at := 1_700_000_000_000_000_000 + int64(i)
			if err := c.Write(ctx, "kept", []byte("m v=1i "+strconv.FormatInt(at, 10))); err != nil {
				t.Fatal(err)
			}
			end()
			if i < 2 {
				if got := influx.ClassOf(c.Write(ctx, "kept", []byte("m v=2i 1"))); got != influx.Transient {
					t.Fatalf("a write to a server that is gone is %q, want %q", got, influx.Transient)
				}
			}
			s.Restart()
			rows, err := c.Query(ctx, "kept", `SELECT count("v") AS n FROM "m"`)
			if err != nil || len(rows) != 1 {
				t.Fatalf("query after restart: %v, %v", rows, err)
			}
			if n, _ := rows[0].Int(0, "n"); n != int64(i+1) {
				t.Fatalf("restart %d: %d points, want %d", i, n, i+1)
			}
		}
		t.Logf("%s: 3 restarts, 3 points", v)
	})
}
