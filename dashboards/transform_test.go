package dashboards_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/tillwatch/tillwatch/dashboards"
	"github.com/tillwatch/tillwatch/internal/fleettest/influxtest"
)

// Every column that a transformation or an override names is there when its turn comes. Grafana says nothing when one
// is not: the table is just wrong. The columns come from the real server, through the naming of each transformation.
func TestTransformationsNameRealColumns(t *testing.T) {
	w := newWorld(t)
	c := w.fill(t, influxtest.Start18(t))
	steps, named := 0, 0
	for _, d := range all(t) {
		queries, err := d.Queries()
		if err != nil {
			t.Fatal(err)
		}
		overrides := readOverrides(t, d.Name)
		for _, q := range queries {
			if q.Format != "table" || q.Panel == nil {
				continue
			}
			series := w.run(t, c, d, q, choice{"as it opens", nil, []string{"03"}, "", "1m"})
			if len(series) == 0 {
				continue
			}
			columns := slices.Clone(series[0].Columns)
			columns[0] = "Time" // as Grafana calls it
			for _, x := range q.Panel.Transformations {
				steps++
				if columns, err = transform(x, columns); err != nil {
					t.Errorf("%s: %s: %v", q.Place, x.ID, err)
				}
			}
			for _, name := range overrides[q.Panel.ID] {
				named++
				if !slices.Contains(columns, name) {
					t.Errorf("%s: override of %q, but the columns are %q", q.Place, name, columns)
				}
			}
		}
	}
	if steps == 0 || named == 0 {
		t.Fatalf("%d transformations and %d overrides were looked at", steps, named)
	}
	t.Logf("%d transformations, %d overrides", steps, named)
}

// transform returns the columns after a transformation, or what it names and has not got.
func transform(x dashboards.Transformation, columns []string) ([]string, error) {
	var o struct {
		Fields map[string]struct {
			Operation    string
			Aggregations []string
		}
		Filters       []struct{ FieldName string }
		Sort          []struct{ Field string }
		ExcludeByName map[string]bool
		IndexByName   map[string]int
		RenameByName  map[string]string
		LimitField    int
	}
	if err := json.Unmarshal(x.Options, &o); err != nil {
		return columns, err
	}
	var missing []string
	need := func(name string) {
		if !slices.Contains(columns, name) {
			missing = append(missing, name)
		}
	}
	out := columns
	switch x.ID {
	case "groupBy": // the columns grouped by, then "column (calculation)" in the order of the columns
		var by, calculated []string
		for name := range o.Fields {
			need(name)
		}
		for _, name := range columns {
			switch f := o.Fields[name]; f.Operation {
			case "groupby":
				by = append(by, name)
			case "aggregate":
				for _, a := range f.Aggregations {
					if !slices.Contains(reducers, a) {
						return columns, fmt.Errorf("no calculation %q", a)
					}
					calculated = append(calculated, name+" ("+a+")")
				}
			}
		}
		out = append(by, calculated...)
	case "filterByValue":
		for _, f := range o.Filters {
			need(f.FieldName)
		}
	case "sortBy":
		for _, s := range o.Sort {
			need(s.Field)
		}
	case "limit":
		if o.LimitField < 1 {
			return columns, fmt.Errorf("limit %d", o.LimitField)
		}
	case "organize":
		out = nil
		for name := range o.ExcludeByName {
			need(name)
		}
		for name := range o.IndexByName {
			need(name)
		}
		for name := range o.RenameByName {
			need(name)
		}
		for _, name := range columns {
			if _, ok := o.IndexByName[name]; !ok {
				missing = append(missing, "a place for "+name)
			}
			if o.ExcludeByName[name] {
				continue
			}
			if to := o.RenameByName[name]; to != "" {
				name = to
			}
			out = append(out, name)
		}
	default:
		return columns, fmt.Errorf("not known to this test")
	}
	if len(missing) > 0 {
		return out, fmt.Errorf("names %q, the columns are %q", missing, columns)
	}
	return out, nil
}

// reducers are the calculations in use, by the ids of Grafana's ReducerID.
var reducers = []string{"first", "last", "max", "count", "distinctCount"}

// readOverrides returns the columns that a table's field overrides name, by panel.
func readOverrides(t *testing.T, file string) map[int][]string {
	t.Helper()
	raw, err := dashboards.JSON(file)
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			ID          int
			FieldConfig struct {
				Overrides []struct {
					Matcher struct{ ID, Options string }
				}
			}
		}
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	out := map[int][]string{}
	for _, p := range d.Panels {
		for _, o := range p.FieldConfig.Overrides {
			if o.Matcher.ID != "byName" {
				t.Errorf("panel %d: matcher %q is not known to this test", p.ID, o.Matcher.ID)
			}
			out[p.ID] = append(out[p.ID], o.Matcher.Options)
		}
	}
	return out
}
