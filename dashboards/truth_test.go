package dashboards_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/tillwatch/tillwatch/dashboards"
	"github.com/tillwatch/tillwatch/internal/fleettest/influxtest"
	"github.com/tillwatch/tillwatch/internal/influx"
)

// What the panels show is what happened: their figures are compared with the simulator's truth on both servers.
func TestPanelsTellTheTruth(t *testing.T) {
	w := newWorld(t)
	influxtest.Both(t, func(t *testing.T, s *influxtest.Server) {
		c := w.fill(t, s)
		d := all(t)[0]
		queries, err := d.Queries()
		if err != nil {
			t.Fatal(err)
		}
		for _, pick := range []choice{
			{"as it opens", nil, []string{"03"}, "", "1m"},
			{"one acquirer", []string{"a2"}, nil, "", "5m"},
		} {
			sum := func(title, column string) float64 {
				return total(w.run(t, c, d, titled(t, queries, title), pick), column)
			}
			hour := w.declined(pick, titled(t, queries, "无效商户 declines, last hour"))
			shown := w.declined(pick, titled(t, queries, "How long a decline takes"))
			now := w.declined(pick, titled(t, queries, "Terminals affected now"))
			every := w.declined(choice{acquirer: pick.acquirer}, titled(t, queries, "All response codes, per $every"))
			for _, x := range []struct {
				title, column string
				want          float64
			}{
				{"无效商户 declines, last hour", "declines", float64(len(hour))},
				{"无效商户 declines by acquirer, per $every", "declines", float64(len(shown))},
				{"All response codes, per $every", "declines", float64(len(every))},
				{"Terminals affected now", "terminals", distinct(now, func(d decline) string { return d.acquirer + "/" + d.terminal })},
				{"Merchants affected now 商户", "merchants", distinct(now, func(d decline) string { return d.acquirer + "/" + d.merchant })},
				{"Share of all declines", "share", float64(len(shown)) / float64(len(every))},
				{"Incidents opened", "opened", map[bool]float64{true: 2, false: 1}[pick.acquirer == nil]},
				{"Merchant numbers not answered", "missing", map[bool]float64{true: 4, false: 2}[pick.acquirer == nil]},
			} {
				if got := sum(x.title, x.column); x.want == 0 || math.Abs(got-x.want) > 1e-9 {
					t.Errorf("%s, %s: %v, want %v", x.title, pick, got, x.want)
				}
			}
			for title, field := range map[string]func(decline) string{
				"Top merchants 商户":         func(d decline) string { return d.merchant },
				"Top application versions": func(d decline) string { return d.app },
				"Top models 机型":            func(d decline) string { return d.model },
			} {
				compareTop(t, w.run(t, c, d, titled(t, queries, title), pick)[0], count(shown, field), title)
			}
			t.Logf("%s: %d declines in an hour, now on %.0f terminals, share %.3f", pick, len(hour), sum("Terminals affected now", "terminals"), sum("Share of all declines", "share"))
		}
	})
}

// declined is the truth within a query's range, under a choice of acquirers and codes. The ranges begin at whole
// seconds, since a stored decline stays within the second of its ts.
func (w *world) declined(c choice, q dashboards.Query) (out []decline) {
	from := w.from(q)
	within := func(list []string, v string) bool {
		return list == nil || strings.Contains(" "+strings.Join(list, " ")+" ", " "+v+" ")
	}
	for _, d := range w.declines {
		if !d.at.Before(from) && within(c.acquirer, d.acquirer) && within(c.code, d.code) {
			out = append(out, d)
		}
	}
	return out
}

func count(ds []decline, key func(decline) string) map[string]int {
	n := map[string]int{}
	for _, d := range ds {
		n[key(d)]++
	}
	return n
}

func distinct(ds []decline, key func(decline) string) float64 { return float64(len(count(ds, key))) }

func titled(t *testing.T, queries []dashboards.Query, title string) dashboards.Query {
	t.Helper()
	for _, q := range queries {
		if q.Panel != nil && q.Panel.Title == title {
			return q
		}
	}
	t.Fatalf("no panel %q", title)
	return dashboards.Query{}
}

func total(series []influx.Series, column string) (sum float64) {
	for _, s := range series {
		for _, row := range s.Values {
			if n, ok := row[s.Column(column)].(json.Number); ok {
				v, _ := n.Float64()
				sum += v
			}
		}
	}
	return sum
}

// compareTop counts the rows of a table by its first column, as the panel's transformation does.
func compareTop(t *testing.T, s influx.Series, want map[string]int, title string) {
	t.Helper()
	got := map[string]int{}
	for row := range s.Values {
		v, _ := s.Text(row, s.Columns[1])
		got[v]++
	}
	if len(want) == 0 || len(got) != len(want) {
		t.Errorf("%s: %d groups, want %d", title, len(got), len(want))
	}
	for k, n := range want {
		if got[k] != n {
			t.Errorf("%s: %q has %d declines, want %d", title, k, got[k], n)
		}
	}
}
