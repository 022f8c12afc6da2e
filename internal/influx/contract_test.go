package influx_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tillwatch/tillwatch/internal/fleettest/influxtest"
	"github.com/tillwatch/tillwatch/internal/influx"
	"github.com/tillwatch/tillwatch/internal/schema"
)

// The contract: one body, both servers. Where they differ, s.Major says so and the expectation is spelled out.

const bucket = "contract"

// newBucket makes a bucket without expiry, so that points of any time may be written.
func newBucket(t *testing.T, c *influx.Client, names ...string) {
	t.Helper()
	var buckets []schema.Bucket
	for _, name := range names {
		buckets = append(buckets, schema.Bucket{Name: name})
	}
	if err := c.EnsureBuckets(t.Context(), buckets); err != nil {
		t.Fatalf("ensure buckets: %v", err)
	}
}

func write(t *testing.T, c *influx.Client, lines ...string) {
	t.Helper()
	if err := c.Write(t.Context(), bucket, []byte(strings.Join(lines, "\n"))); err != nil {
		t.Fatalf("write: %v", err)
	}
}

func query(t *testing.T, c *influx.Client, q string) []influx.Series {
	t.Helper()
	rows, err := c.Query(t.Context(), bucket, q)
	if err != nil {
		t.Fatalf("query %s: %v", q, err)
	}
	return rows
}

// values are the rows of the only series of a query.
func values(t *testing.T, c *influx.Client, q string) [][]any {
	t.Helper()
	rows := query(t, c, q)
	switch len(rows) {
	case 0:
		return nil
	case 1:
		return rows[0].Values
	}
	t.Fatalf("query %s: %d series, want at most one", q, len(rows))
	return nil
}

func wantError(t *testing.T, err error, class influx.Class, status int) *influx.Error {
	t.Helper()
	e, ok := errorOf(err)
	if !ok || e.Class != class || e.Status != status {
		t.Fatalf("got error %v; want class %q, status %d", err, class, status)
	}
	return e
}

func TestWrittenIsRead(t *testing.T) {
	influxtest.Both(t, func(t *testing.T, s *influxtest.Server) {
		c := s.Client(t)
		newBucket(t, c, bucket)
		const at = 1_763_900_000_123_456_789
		write(t, c,
			fmt.Sprintf(`all,tag=a\ b i=%di,f=1.5,s="say \"hi\", 无效商户",b=true %d`, math.MaxInt64, at),
			fmt.Sprintf(`all,tag=a\ b i=%di %d`, math.MinInt64, at+1))
		got := query(t, c, `SELECT "i", "f", "s", "b" FROM "all" GROUP BY "tag"`)
		want := []influx.Series{{
			Name: "all", Tags: map[string]string{"tag": "a b"}, Columns: []string{"time", "i", "f", "s", "b"},
			Values: [][]any{
				{json.Number("1763900000123456789"), json.Number("9223372036854775807"), json.Number("1.5"), `say "hi", 无效商户`, true},
				{json.Number("1763900000123456790"), json.Number("-9223372036854775808"), nil, nil, nil},
			},
		}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("rows (-want +got):\n%s", diff)
		}
		if i, ok := got[0].Int(0, "i"); !ok || i != math.MaxInt64 {
			t.Errorf("Int reads %d, %t; want %d", i, ok, int64(math.MaxInt64))
		}
		if _, ok := got[0].Int(1, "f"); ok {
			t.Error("Int reads a null")
		}
		if text, ok := got[0].Text(0, "s"); !ok || text != `say "hi", 无效商户` {
			t.Errorf("Text reads %q, %t", text, ok)
		}
	})
}

func TestIdentityOfPoints(t *testing.T) {
	influxtest.Both(t, func(t *testing.T, s *influxtest.Server) {
		c := s.Client(t)
		newBucket(t, c, bucket)
		const second = 1_763_900_000_000_000_000
		line := fmt.Sprintf(`decline,acquirer=a1,code=03,h=7 id="1",amount=5i %d`, second+1)
		for range 3 {
			write(t, c, line)
		}
		if n := len(values(t, c, `SELECT "id" FROM "decline"`)); n != 1 {
			t.Errorf("the same point written three times is %d points", n)
		}
		write(t, c, fmt.Sprintf(`decline,acquirer=a1,code=03,h=7 id="2" %d`, second+2))
		write(t, c, fmt.Sprintf(`decline,acquirer=a1,code=03,h=8 id="3" %d`, second+2))
		if n := len(values(t, c, `SELECT "id" FROM "decline"`)); n != 3 {
			t.Errorf("three points that differ in ns or in h are %d", n)
		}
		// A second delivery that carries other fields adds them and takes none away.
		write(t, c, fmt.Sprintf(`decline,acquirer=a1,code=03,h=7 app="2.4.1" %d`, second+1))
		want := [][]any{{json.Number(fmt.Sprint(second + 1)), "1", json.Number("5"), "2.4.1"}}
		got := values(t, c, fmt.Sprintf(`SELECT "id", "amount", "app" FROM "decline" WHERE time = %d`, second+1))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("merged fields (-want +got):\n%s", diff)
		}
	})
}

func TestBadLines(t *testing.T) {
	influxtest.Both(t, func(t *testing.T, s *influxtest.Server) {
		c := s.Client(t)
		newBucket(t, c, bucket)
		err := c.Write(t.Context(), bucket, []byte("bad v=1i 1\nbad v=2i 2\nthis is no line\nbad v=4i 4"))
		e := wantError(t, err, influx.BadLines, 400)
		if e.Dropped != 0 || !strings.Contains(e.Message, "this is no line") {
			t.Errorf("dropped %d, message %q; want 0 and the line quoted", e.Dropped, e.Message)
		}
		stored := len(values(t, c, `SELECT "v" FROM "bad"`))
		want := map[int]int{1: 3, 2: 0}[s.Major]
		if stored != want {
			t.Errorf("with one unreadable line of four, %d are stored; want %d", stored, want)
		}
		t.Logf("one unreadable line of four: status 400, the server stored %d of the 3 good ones", stored)
	})
}

func TestTypeConflict(t *testing.T) {
	influxtest.Both(t, func(t *testing.T, s *influxtest.Server) {
		c := s.Client(t)
		newBucket(t, c, bucket)
		write(t, c, "kind v=1i 1")
		err := c.Write(t.Context(), bucket, []byte("kind v=2i 2\nkind v=\"text\" 3\nkind v=2.5 4\nkind v=5i 5"))
		e := wantError(t, err, influx.BadLines, map[int]int{1: 400, 2: 422}[s.Major])
		stored := len(values(t, c, `SELECT "v" FROM "kind"`))
		if e.Dropped != 2 || stored != 3 {
			t.Errorf("dropped=%d and %d points stored; want 2 and 3: %v", e.Dropped, stored, err)
		}
		t.Logf("two of four lines of another type: status %d, dropped=%d, the other 2 stored", e.Status, e.Dropped)
	})
}

func TestPointOutsideRetention(t *testing.T) {
	influxtest.Both(t, func(t *testing.T, s *influxtest.Server) {
		c := s.Client(t)
		if err := c.EnsureBuckets(t.Context(), []schema.Bucket{{Name: bucket, Retention: 24 * time.Hour}}); err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		lines := fmt.Sprintf("old v=1i %d\nold v=2i %d", now.Add(-60*24*time.Hour).UnixNano(), now.UnixNano())
		err := c.Write(t.Context(), bucket, []byte(lines))
		e := wantError(t, err, influx.BadLines, map[int]int{1: 400, 2: 422}[s.Major])
		stored := len(values(t, c, `SELECT "v" FROM "old"`))
		if e.Dropped != 1 || stored != 1 {
			t.Errorf("dropped=%d and %d points stored; want 1 and 1: %v", e.Dropped, stored, err)
		}
		t.Logf("one of two points outside retention: status %d, %s", e.Status, e.Message)
	})
}

func TestMissingBucket(t *testing.T) {
	influxtest.Both(t, func(t *testing.T, s *influxtest.Server) {
		c := s.Client(t)
		err := c.Write(t.Context(), "nowhere", []byte("m v=1i 1"))
		if e := wantError(t, err, influx.BucketMissing, 404); e.Hint == "" {
			t.Errorf("no hint: %v", e)
		}
		_, err = c.Query(t.Context(), "nowhere", `SELECT "v" FROM "m"`)
		if e := wantError(t, err, influx.BucketMissing, 200); e.Hint == "" {
			t.Errorf("no hint: %v", e)
		}
		_, err = c.Retention(t.Context(), "nowhere")
		if influx.ClassOf(err) != influx.BucketMissing {
			t.Errorf("retention of a missing bucket: %v", err)
		}
		if s.Major == 2 {
			other := s.ClientWith(t, influx.Options{Token: s.Token, Org: "nobody"})
			e := wantError(t, other.Write(t.Context(), bucket, []byte("m v=1i 1")), influx.BucketMissing, 404)
			if !strings.Contains(e.Hint, "organization") {
				t.Errorf("hint for a wrong organization: %q", e.Hint)
			}
		}
	})
}

func TestTooLarge(t *testing.T) {
	// 1.8 takes 25 MB at most; 2.x sets no limit of its own, and the proxies before it do (TestMisbehaviour).
	s := influxtest.Start18(t)
	c := s.Client(t)
	newBucket(t, c, bucket)
	line := []byte(`large s="` + strings.Repeat("x", 60_000) + `" 1` + "\n")
	var big []byte
	for len(big) < 26_000_000 {
		big = append(big, line...)
	}
	wantError(t, c.Write(t.Context(), bucket, big), influx.TooLarge, 413)
}

func TestQueryErrors(t *testing.T) {
	influxtest.Both(t, func(t *testing.T, s *influxtest.Server) {
		c := s.Client(t)
		newBucket(t, c, bucket)
		write(t, c, "m v=1i 1")
		for _, q := range []string{`SELEC`, `SELECT "v" FROM "m" WHERE "t" = `} {
			_, err := c.Query(t.Context(), bucket, q)
			wantError(t, err, influx.BadQuery, 400)
		}
		// The first statement succeeds; the error of the second is not lost behind the status 200.
		_, err := c.Query(t.Context(), bucket, `SELECT "v" FROM "m"; SELECT nonsense("v") FROM "m"`)
		e := wantError(t, err, influx.BadQuery, 200)
		if !strings.Contains(e.Message, "statement 2") {
			t.Errorf("message %q does not name the statement", e.Message)
		}
		if rows, err := c.Query(t.Context(), bucket, `SELECT "v" FROM "absent"`); err != nil || len(rows) != 0 {
			t.Errorf("a measurement without points: %v, %v; want no rows, no error", rows, err)
		}
	})
}

func TestChunks(t *testing.T) {
	influxtest.Both(t, func(t *testing.T, s *influxtest.Server) {
		c := s.ClientWith(t, influx.Options{Token: s.Token, ChunkRows: 7})
		newBucket(t, c, bucket)
		const points = 100
		var lines []string
		for i := range points {
			lines = append(lines, fmt.Sprintf("many,tag=a v=%di %d", i, i+1), fmt.Sprintf("many,tag=b v=%di %d", -i, i+1))
		}
		write(t, c, lines...)

		const two = `SELECT "v" FROM "many" GROUP BY "tag"; SELECT "v" FROM "many" WHERE "tag" = 'a'`
		got := query(t, c, two)
		if len(got) != 3 {
			t.Fatalf("%d series, want 3", len(got))
		}
		for i, want := range []struct {
			statement int
			tag       string
			sign      int64
		}{{0, "a", 1}, {0, "b", -1}, {1, "", 1}} {
			if got[i].Statement != want.statement || got[i].Tags["tag"] != want.tag || len(got[i].Values) != points {
				t.Fatalf("series %d: statement %d, tags %v, %d rows", i, got[i].Statement, got[i].Tags, len(got[i].Values))
			}
			for row := range points {
				at, _ := got[i].Int(row, "time")
				v, _ := got[i].Int(row, "v")
				if at != int64(row+1) || v != want.sign*int64(row) {
					t.Fatalf("series %d row %d: time %d, v %d", i, row, at, v)
				}
			}
		}
		pieces, most := 0, 0
		for s, err := range c.Stream(t.Context(), bucket, two) {
			if err != nil {
				t.Fatal(err)
			}
			pieces, most = pieces+1, max(most, len(s.Values))
		}
		if pieces < 3*points/7 || most > 7 {
			t.Errorf("%d pieces of at most %d rows; want at least %d of at most 7", pieces, most, 3*points/7)
		}
		for range c.Stream(t.Context(), bucket, two) {
			break // who has seen enough may go
		}
		t.Logf("300 rows in %d pieces of at most %d", pieces, most)
	})
}

func TestQuoting(t *testing.T) {
	influxtest.Both(t, func(t *testing.T, s *influxtest.Server) {
		c := s.Client(t)
		newBucket(t, c, bucket)
		// The escapes of line protocol on the left, the name as it is on the right.
		write(t, c, `o'dd"\ name,k=v'\ "x f=1i 1`, `o'dd"\ name,k=other f=2i 2`)
		q := fmt.Sprintf(`SELECT "f" FROM %s WHERE "k" = %s`, influx.Ident(`o'dd" name`), influx.Literal(`v' "x`))
		if got := values(t, c, q); len(got) != 1 {
			t.Errorf("%s finds %d rows, want 1", q, len(got))
		}
		q = fmt.Sprintf(`SELECT "f" FROM %s WHERE "k" = %s`, influx.Ident(`o'dd" name`), influx.Literal(`' OR 1=1 OR "k" = '`))
		if got := values(t, c, q); len(got) != 0 {
			t.Errorf("%s finds %d rows: the value got out of its quotes", q, len(got))
		}
	})
}

func TestNothingIsRetained(t *testing.T) {
	influxtest.Both(t, func(t *testing.T, s *influxtest.Server) {
		c := s.Client(t)
		newBucket(t, c, bucket)
		// One buffer for all batches of each of four writers: every point must still be as it was written.
		var writers sync.WaitGroup
		for w := range 4 {
			writers.Go(func() {
				var buf []byte
				for b := range 20 {
					buf = buf[:0]
					for i := range 50 {
						n := b*50 + i
						buf = fmt.Appendf(buf, "reuse,w=%d v=%di %d\n", w, n, n+1)
					}
					if err := c.Write(t.Context(), bucket, buf); err != nil {
						t.Errorf("write: %v", err)
					}
				}
			})
		}
		writers.Wait()
		for _, s := range query(t, c, `SELECT "v" FROM "reuse" GROUP BY "w"`) {
			if len(s.Values) != 1000 {
				t.Errorf("writer %s: %d points, want 1000", s.Tags["w"], len(s.Values))
			}
			for row := range s.Values {
				at, _ := s.Int(row, "time")
				if v, _ := s.Int(row, "v"); v != at-1 {
					t.Fatalf("writer %s: the point of time %d is %d", s.Tags["w"], at, v)
				}
			}
		}
	})
}

func TestReadyAndVersion(t *testing.T) {
	influxtest.Both(t, func(t *testing.T, s *influxtest.Server) {
		c := s.Client(t)
		v, err := c.Version(t.Context())
		if err != nil || v.Major != s.Major {
			t.Errorf("version %+v, %v; want major %d", v, err, s.Major)
		}
		if err := c.Ready(t.Context()); err != nil {
			t.Errorf("ready: %v", err)
		}
		s.Stop()
		if err := c.Ready(t.Context()); influx.ClassOf(err) != influx.Transient {
			t.Errorf("ready without a server: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		s.Restart()
		if err := c.Write(ctx, bucket, []byte("m v=1i 1")); influx.ClassOf(err) != influx.Transient || ctx.Err() == nil {
			t.Errorf("write with a cancelled context: %v", err)
		}
	})
}
