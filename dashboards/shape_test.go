package dashboards_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/dashboards"
	"github.com/tillwatch/tillwatch/internal/schema"
)

// Every file is a dashboard that Grafana 11 and 12 load as it is.
func TestShape(t *testing.T) {
	uids := map[string]string{}
	for _, d := range all(t) {
		if other := uids[d.UID]; other != "" || d.UID == "" || len(d.UID) > 40 {
			t.Errorf("%s: uid %q: want one of its own, at most 40 characters; %s has it", d.Name, d.UID, other)
		}
		uids[d.UID] = d.Name
		for _, problem := range shape(t, d) {
			t.Errorf("%s: %s", d.Name, problem)
		}
	}
}

// shape is everything that is wrong with a dashboard.
func shape(t *testing.T, d *dashboards.Dashboard) (problems []string) {
	t.Helper()
	bad := func(parts ...string) { problems = append(problems, strings.Join(parts, " ")) }
	if d.Title == "" || d.SchemaVersion < 39 || d.SchemaVersion > 42 {
		bad("no title, or a schema version that Grafana 11 and 12 do not share")
	}
	if _, err := d.Queries(); err != nil {
		bad(err.Error())
	}
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for p := range d.AllPanels() {
		if p.ID <= 0 || ids[p.ID] {
			bad("panel id is not its own:", p.Title)
		}
		ids[p.ID] = true
		if p.Title == "" || p.Description == "" || p.Type == "" {
			bad("a panel has no title, description or type:", p.Title)
		}
		if p.TimeFrom != "" && span(p.TimeFrom) < time.Minute {
			bad("own range", p.TimeFrom, "of", p.Title)
		}
		if p.Type != "row" && len(p.Targets) == 0 {
			bad("no query:", p.Title)
		}
		refs := map[string]bool{}
		for _, x := range p.Targets {
			if x.RefID == "" || refs[x.RefID] || x.ResultFormat != "time_series" && x.ResultFormat != "table" {
				bad("query without a letter of its own or a format:", p.Title)
			}
			refs[x.RefID] = true
			if (p.Type == "table") != (x.ResultFormat == "table") {
				bad(p.Type, "of format", x.ResultFormat, p.Title)
			}
		}
		g := p.GridPos
		if g.W < 1 || g.H < 1 || g.X < 0 || g.Y < 0 || g.X+g.W > 24 {
			bad("outside of the grid:", p.Title)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := cells[[2]int{x, y}]; other != "" {
					bad(p.Title, "lies over", other)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
	}
	return append(problems, frame(t, d)...)
}

// frame is what is wrong with what stands around the panels: range, refresh, tags, variables.
func frame(t *testing.T, d *dashboards.Dashboard) (problems []string) {
	t.Helper()
	raw, err := dashboards.JSON(d.Name)
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		ID      *int
		Refresh string
		Time    struct{ From, To string }
		Tags    []string
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		t.Fatal(err)
	}
	if f.ID != nil {
		problems = append(problems, "id is a database's, want null")
	}
	if every, err := time.ParseDuration(f.Refresh); err != nil || every < 5*time.Second {
		problems = append(problems, "refresh "+f.Refresh)
	}
	if !regexp.MustCompile(`^now-\d+[mhd]$`).MatchString(f.Time.From) || f.Time.To != "now" {
		problems = append(problems, "range "+f.Time.From+" to "+f.Time.To)
	}
	if !slices.Contains(f.Tags, "tillwatch") {
		problems = append(problems, "tag tillwatch is missing")
	}
	names := map[string]bool{}
	for _, v := range d.Templating.List {
		// Grafana's data source replaces $interval by its own, and what begins with two underscores is a macro.
		if names[v.Name] || v.Name == "" || v.Name == "interval" || strings.HasPrefix(v.Name, "__") {
			problems = append(problems, "variable named "+v.Name)
		}
		names[v.Name] = true
		if v.IncludeAll && v.AllValue != ".*" {
			problems = append(problems, "All of "+v.Name+" would be a list of everything; want allValue .*")
		}
		if !bytes.Contains(raw, []byte("${"+v.Name)) && !bytes.Contains(raw, []byte("$"+v.Name)) {
			problems = append(problems, "variable "+v.Name+" is used by nobody")
		}
	}
	return problems
}

// The reader and the checks above notice what they are for.
func TestShapeIsChecked(t *testing.T) {
	const name = "invalid-merchant.json"
	raw, err := dashboards.JSON(name)
	if err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string][2]string{
		"a panel id twice":         {`"id": 2,`, `"id": 1,`},
		"panels over each other":   {`"x": 4,`, `"x": 3,`},
		"outside of the grid":      {`"w": 12,`, `"w": 13,`},
		"a foreign data source":    {`"value": "tillwatch-influx"`, `"value": "somebody-elses"`},
		"no raw mode":              {`"rawQuery": true`, `"rawQuery": false`},
		"a query that is empty":    {`"query": "SELECT`, `"query": "", "was": "SELECT`},
		"a variable that is none":  {`"type": "datasource"`, `"type": "custom"`},
		"a schema of long ago":     {`"schemaVersion": 39`, `"schemaVersion": 16`},
		"a table shown as a graph": {`"resultFormat": "table"`, `"resultFormat": "time_series"`},
	} {
		changed := bytes.Replace(raw, []byte(change[0]), []byte(change[1]), -1)
		if bytes.Equal(changed, raw) {
			t.Fatalf("%s: %q is not in the file", what, change[0])
		}
		d, err := dashboards.Parse(name, changed)
		if err != nil {
			t.Errorf("%s: %v", what, err)
		} else if len(shape(t, d)) == 0 {
			t.Errorf("%s is not noticed", what)
		}
	}
	if _, err := dashboards.Parse("broken.json", raw[:len(raw)/2]); err == nil || !strings.Contains(err.Error(), "broken.json") {
		t.Errorf("half a file: %v", err)
	}
}

// One series a terminal makes a query over pos_raw cost gigabytes: no dashboard may aggregate or list terminals there.
func TestNoDashboardListsTerminals(t *testing.T) {
	for _, d := range all(t) {
		queries, err := d.Queries()
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range queries {
			if q.Datasource.Database == schema.BucketRaw && !strings.Contains(q.InfluxQL, `"terminal" = `) {
				t.Errorf("%s: %s reads heartbeats of more than one terminal", d.Name, q.Place)
			}
		}
	}
	for _, s := range dashboards.Datasources {
		if schema.Retention(s.Database) == 0 {
			t.Errorf("data source %s: %q is no bucket of the schema", s.UID, s.Database)
		}
	}
}

// A panel's own range is never longer than its bucket keeps points, and names and measurements are the schema's.
func TestQueriesFitTheSchema(t *testing.T) {
	from := regexp.MustCompile(`FROM "(\w+)"`)
	for _, d := range all(t) {
		queries, err := d.Queries()
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range queries {
			if q.Panel != nil && span(q.Panel.TimeFrom) > schema.Retention(q.Datasource.Database) {
				t.Errorf("%s: %s is longer than points are kept", q.Place, q.Panel.TimeFrom)
			}
			found := from.FindAllStringSubmatch(q.InfluxQL, -1)
			if len(found) == 0 {
				t.Errorf("%s: names no measurement", q.Place)
			}
			for _, m := range found {
				if x, ok := schema.Lookup(m[1]); !ok || x.Bucket != q.Datasource.Database {
					t.Errorf("%s: measurement %q is not in %s", q.Place, m[1], q.Datasource.Database)
				}
			}
			for _, name := range regexp.MustCompile(`"(\w+)"`).FindAllStringSubmatch(q.InfluxQL, -1) {
				if !known(name[1], found) && !strings.Contains(q.InfluxQL, `AS "`+name[1]+`"`) {
					t.Errorf("%s: %q is no column of %v", q.Place, name[1], found)
				}
			}
		}
	}
}

// known reports whether a name is a column of one of the measurements, or the measurement itself.
func known(name string, measurements [][]string) bool {
	for _, x := range measurements {
		m, ok := schema.Lookup(x[1])
		if !ok {
			continue
		}
		_, field := m.Field(name)
		if field || name == m.Name || slices.ContainsFunc(m.Tags, func(c schema.Column) bool { return c.Name == name }) {
			return true
		}
	}
	return false
}
