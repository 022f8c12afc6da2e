package dashboards_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/dashboards"
	"github.com/tillwatch/tillwatch/internal/fleettest/influxtest"
	"github.com/tillwatch/tillwatch/internal/influx"
)

// Every query of every dashboard, under every kind of choice a person can make, is taken by both generations of
// InfluxDB and returns at least one row that holds something.
func TestEveryQueryReturnsData(t *testing.T) {
	w := newWorld(t)
	merchant := w.busiest("a2", "03")
	choices := []choice{
		{"as it opens", nil, []string{"03"}, "", "1m"},
		{"all codes", nil, nil, "", "5m"},
		{"one acquirer", []string{"a2"}, []string{"03"}, "", "15m"},
		{"two of each", []string{"a1", "a2"}, []string{"03", "97"}, "", "1h"},
		{"one merchant", []string{"a2"}, []string{"03"}, merchant, "1d"},
		{"a merchant's beginning", nil, []string{"03"}, merchant[:8], "1m"},
	}
	influxtest.Both(t, func(t *testing.T, s *influxtest.Server) {
		c := w.fill(t, s)
		asked, rows := 0, 0
		for _, d := range all(t) {
			queries, err := d.Queries()
			if err != nil {
				t.Fatal(err)
			}
			for _, q := range queries {
				for _, pick := range choices {
					n := len(w.run(t, c, d, q, pick))
					asked++
					rows += n
				}
			}
			t.Logf("%s: %d queries", d.Name, len(queries))
		}
		t.Logf("%d events, %d declines; %d queries asked, %d series returned, none empty", w.events, len(w.declines), asked, rows)
	})
}

var aliasTag = regexp.MustCompile(`\$tag_(\w+)`)

// run asks one query and demands data, and that what Grafana will make of it is there: a time in graphs, the tags and
// columns that an alias names.
func (w *world) run(t *testing.T, c *influx.Client, d *dashboards.Dashboard, q dashboards.Query, pick choice) []influx.Series {
	t.Helper()
	from := w.from(q)
	influxql, err := interpolate(d, q.InfluxQL, pick, from, w.end)
	if err != nil {
		t.Errorf("%s: %v", q.Place, err)
		return nil
	}
	series, err := c.Query(t.Context(), q.Datasource.Database, influxql)
	if err != nil {
		t.Errorf("%s, %s: %v\n%s", q.Place, pick, err, influxql)
		return nil
	}
	if !holdsSomething(series) {
		t.Errorf("%s, %s: no row with a value\n%s\n%v", q.Place, pick, influxql, series)
		return nil
	}
	for _, s := range series {
		if q.Format != "" && s.Column("time") != 0 {
			t.Errorf("%s: columns %v, want time first", q.Place, s.Columns)
		}
		for _, m := range aliasTag.FindAllStringSubmatch(q.Alias, -1) {
			if s.Tags[m[1]] == "" {
				t.Errorf("%s: alias %q names a tag that the series has not: %v", q.Place, q.Alias, s.Tags)
			}
		}
		if q.Format == "time_series" && !onlyNumbers(s) {
			t.Errorf("%s: a graph of something that is no number: %v", q.Place, s.Columns)
		}
	}
	if q.Format == "table" && len(series) != 1 {
		t.Errorf("%s: %d series in a table, want one: the order of tag columns is not fixed", q.Place, len(series))
	}
	return series
}

// from is where a query's range begins: the panel's own, or six hours ago as the dashboard opens.
func (w *world) from(q dashboards.Query) time.Time {
	back := 6 * time.Hour
	if q.Panel != nil && q.Panel.TimeFrom != "" {
		back = span(q.Panel.TimeFrom)
	}
	return w.end.Add(-back)
}

// span reads a range of Grafana's: whole numbers of s, m, h or d.
func span(s string) time.Duration {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		d, _ := time.ParseDuration(days + "h")
		return 24 * d
	}
	d, _ := time.ParseDuration(s)
	return d
}

func holdsSomething(series []influx.Series) bool {
	for _, s := range series {
		for _, row := range s.Values {
			for i, v := range row {
				if s.Columns[i] != "time" && v != nil && v != "" {
					return true
				}
			}
		}
	}
	return false
}

func onlyNumbers(s influx.Series) bool {
	for _, row := range s.Values {
		if slices.ContainsFunc(row, func(v any) bool { _, number := v.(json.Number); return v != nil && !number }) {
			return false
		}
	}
	return true
}
