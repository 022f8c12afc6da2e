package point_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tillwatch/tillwatch/collector/point"
	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/fleettest/influxtest"
	"github.com/tillwatch/tillwatch/internal/influx"
	"github.com/tillwatch/tillwatch/internal/schema"
)

// oddLines is every byte in every text, two days of one terminal's facts, and a TID of every byte.
func oddLines(at time.Time) (lines []byte) {
	f := point.NewFacts(300)
	for c := range 256 {
		k := fleet.Key{Acquirer: "odd", Terminal: "T" + string([]byte{byte(c)})}
		text := "a" + string([]byte{byte(c)}) + "b"
		if c >= 0x80 {
			text = string(rune(c)) // decoded strings are UTF-8
		}
		h := full(int64(c))
		h.TS, h.Model, h.App, h.Params = at.UnixMilli(), text, text+text, "\\"+text
		lines = point.AppendHeartbeat(lines, k, &h, at, f)
		x := fleet.Txn{TS: at.UnixMilli(), ID: fmt.Sprint("id-", c), Code: "03", Merchant: text, App: text + "\"", Params: text + "\\", Currency: "商户"}
		lines = point.AppendDecline(lines, k, &x, text, at)
		tr := fleet.Transition{N: c, At: at.UnixMilli(), Incident: "i", Kind: "spike", Acquirer: "_all", Severity: "info", Step: fleet.StepUpdated}
		var err error
		if lines, err = point.AppendTransition(lines, &tr, text, `[{"app":"`+text+`"}]`); err != nil {
			panic(err)
		}
	}
	for i := range int64(100) {
		h := full(i)
		h.TS = at.UnixMilli() + i*1800_000
		h.HostOK = i%7 < 3
		lines = point.AppendHeartbeat(lines, fleet.Key{Acquirer: "odd", Terminal: "steady"}, &h, time.UnixMilli(h.TS), f)
	}
	return lines
}

// Both servers take every line as it is and give back what the independent reader of this test understands.
func TestServersReadWhatWasWritten(t *testing.T) {
	influxtest.Both(t, func(t *testing.T, s *influxtest.Server) {
		const bucket = "lines"
		ctx, c := t.Context(), s.Client(t)
		if err := c.EnsureBuckets(ctx, []schema.Bucket{{Name: bucket}}); err != nil {
			t.Fatal(err)
		}
		lines := append(goldenLines(t), oddLines(noon)...)
		db := database{}
		if err := db.write(lines); err != nil {
			t.Fatal(err)
		}
		// All at once, and each line again alone: a batch must not depend on its neighbours.
		if err := c.Write(ctx, bucket, lines); err != nil {
			t.Fatal(err)
		}
		for rest := string(lines); rest != ""; {
			_, after, err := parseLine(rest)
			if err != nil {
				t.Fatal(err)
			}
			one := rest[:len(rest)-len(after)]
			if err := c.Write(ctx, bucket, []byte(one)); err != nil {
				t.Fatalf("%q: %v", one, err)
			}
			rest = after
		}
		got := database{}
		for _, m := range schema.Measurements {
			series, err := c.Query(ctx, bucket, "SELECT * FROM "+influx.Ident(m.Name)+" GROUP BY *")
			if err != nil {
				t.Fatal(err)
			}
			for _, sr := range series {
				p := parsed{measurement: sr.Name, tags: sr.Tags}
				points := map[int64]map[string]any{}
				got[p.series()] = points
				for row := range sr.Values {
					at, _ := sr.Int(row, "time")
					fields := map[string]any{}
					for i, name := range sr.Columns {
						if v := sr.Values[row][i]; v != nil && name != "time" {
							fields[name] = typed(t, &m, name, v)
						}
					}
					points[at] = fields
				}
			}
		}
		if diff := cmp.Diff(db, got); diff != "" {
			t.Errorf("the database has other points (-written +read):\n%s", diff)
		}
		t.Logf("%d bytes of lines, %d points in %d series read back", len(lines), got.points(), len(got))
	})
}

func typed(t *testing.T, m *schema.Measurement, name string, v any) any {
	t.Helper()
	n, ok := v.(json.Number)
	if !ok {
		return v
	}
	c, _ := m.Field(name)
	if c.Type == schema.Float {
		f, err := n.Float64()
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	i, err := n.Int64()
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// An event as old as a clock may be, or as far ahead, is stored, and still when the database was away for up to a day
// after the event had arrived: what is outside a bucket's retention is refused by both servers.
func TestOldestAndNewestAreStored(t *testing.T) {
	influxtest.Both(t, func(t *testing.T, s *influxtest.Server) {
		ctx, c := t.Context(), s.Client(t)
		if err := c.EnsureBuckets(ctx, schema.Buckets); err != nil {
			t.Fatal(err)
		}
		now := time.Now().Truncate(time.Millisecond) // events have milliseconds
		n, bad := 0, 0
		for _, away := range []time.Duration{0, 5 * time.Hour, 23 * time.Hour} {
			arrived := now.Add(-away)
			for _, bucket := range []string{schema.BucketRaw, schema.BucketEvents} {
				oldest := arrived.Add(24*time.Hour - schema.Retention(bucket))
				for _, ts := range []time.Time{
					oldest.Add(-25 * time.Hour), oldest.Add(-time.Millisecond), oldest, oldest.Add(time.Millisecond), oldest.Add(time.Hour), oldest.Add(10 * time.Hour),
					arrived, arrived.Add(10 * time.Minute), arrived.Add(10*time.Minute + time.Millisecond), arrived.Add(1000 * time.Hour),
				} {
					var line []byte
					k := fleet.Key{Acquirer: "edge", Terminal: itoa(n)}
					if bucket == schema.BucketRaw {
						h := full(int64(n))
						h.TS = ts.UnixMilli()
						line = point.AppendHeartbeat(nil, k, &h, arrived, point.NewFacts(1))
					} else {
						line = point.AppendDecline(nil, k, &fleet.Txn{TS: ts.UnixMilli(), ID: itoa(n), Code: "03"}, "", arrived)
					}
					if err := c.Write(ctx, bucket, line); err != nil {
						t.Errorf("%s: an event of %s that arrived at %s: %v", bucket, ts, arrived, err)
					}
					p, _ := parseLines(string(line))
					inside := !ts.Before(oldest) && !ts.After(arrived.Add(10*time.Minute))
					if is := p[0].fields["clock"] != "bad"; is != inside {
						t.Errorf("%s: clock of an event of %s that arrived at %s: usable %t, want %t", bucket, ts, arrived, is, inside)
					} else if !is {
						bad++
					}
					n++
				}
			}
		}
		t.Logf("%d events at the edges, %d of them with a clock that cannot be used", n, bad)
	})
}
