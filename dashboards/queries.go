package dashboards

import (
	"errors"
	"fmt"
)

// Query is one query as the file has it: InfluxQL with Grafana's variables and macros in it.
type Query struct {
	Place      string // where it stands, for people: panel 7 "All response codes" A, variable acquirer, …
	Panel      *Panel // nil for variables and annotations
	Datasource Datasource
	InfluxQL   string
	Format     string // time_series or table; "" for a variable
	Alias      string
}

// Queries returns the queries of variables, annotations and panels, panels within rows included. The error names every
// query whose data source is not provisioned or that is not in raw mode; the other queries are returned all the same.
func (d *Dashboard) Queries() ([]Query, error) {
	var out []Query
	var errs []error
	add := func(place string, p *Panel, r Ref, t Target) {
		source, err := d.datasource(r)
		if err == nil && t.Query == "" {
			err = errors.New("no query")
		}
		if err == nil && !t.RawQuery {
			err = errors.New("the query is not in raw mode")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("dashboard %q: %s: %w", d.Name, place, err))
			return
		}
		out = append(out, Query{place, p, source, t.Query, t.ResultFormat, t.Alias})
	}
	for _, v := range d.Templating.List {
		if v.Type == "query" {
			add("variable "+v.Name, nil, v.Datasource, Target{Query: v.Query, RawQuery: true})
		}
	}
	for _, a := range d.Annotations.List {
		if a.Datasource.Type != "grafana" { // Grafana's own annotations have no query
			add("annotation "+a.Name, nil, a.Datasource, a.Target)
		}
	}
	for p := range d.AllPanels() {
		for _, t := range p.Targets {
			add(fmt.Sprintf("panel %d %q %s", p.ID, p.Title, t.RefID), p, t.Datasource, t)
		}
	}
	return out, errors.Join(errs...)
}

// AllPanels ranges over the panels, those within rows included.
func (d *Dashboard) AllPanels() func(yield func(*Panel) bool) {
	var walk func(ps []Panel, yield func(*Panel) bool) bool
	walk = func(ps []Panel, yield func(*Panel) bool) bool {
		for i := range ps {
			if !yield(&ps[i]) || !walk(ps[i].Panels, yield) {
				return false
			}
		}
		return true
	}
	return func(yield func(*Panel) bool) { walk(d.Panels, yield) }
}
