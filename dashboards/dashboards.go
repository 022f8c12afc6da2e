package dashboards

import (
	"embed"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tillwatch/tillwatch/internal/schema"
)

//go:embed *.json
var files embed.FS

// Datasource is a Grafana data source. With InfluxQL one data source knows one database.
type Datasource struct {
	UID      string
	Name     string
	Database string // a bucket of the schema
}

// Datasources are the data sources that deploy/grafana provisions. The first is the one dashboards start with.
var Datasources = []Datasource{
	{"tillwatch-influx", "Tillwatch events", schema.BucketEvents},
	{"tillwatch-influx-raw", "Tillwatch heartbeats", schema.BucketRaw},
}

// Dashboard is one file in Grafana's classic model (v1), as far as queries need it. Only what is read here is decoded.
type Dashboard struct {
	Name          string  `json:"-"` // of the file
	UID           string  `json:"uid"`
	Title         string  `json:"title"`
	SchemaVersion int     `json:"schemaVersion"`
	Panels        []Panel `json:"panels"`
	Templating    struct {
		List []Variable `json:"list"`
	} `json:"templating"`
	Annotations struct {
		List []Annotation `json:"list"`
	} `json:"annotations"`
}

// Ref names a data source; UID may be a variable such as ${datasource}.
type Ref struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

// Panel is one panel.
type Panel struct {
	ID              int              `json:"id"`
	Type            string           `json:"type"`
	Title           string           `json:"title"`
	Description     string           `json:"description"`
	GridPos         GridPos          `json:"gridPos"`
	Datasource      Ref              `json:"datasource"`
	Targets         []Target         `json:"targets"`
	TimeFrom        string           `json:"timeFrom"` // the panel's own range, such as 10m; "" for the dashboard's
	Transformations []Transformation `json:"transformations"`
	Panels          []Panel          `json:"panels"` // of a collapsed row
}

// GridPos is a panel's place; the grid is 24 wide.
type GridPos struct{ H, W, X, Y int }

// Target is one query of a panel or an annotation.
type Target struct {
	RefID        string `json:"refId"`
	Datasource   Ref    `json:"datasource"`
	RawQuery     bool   `json:"rawQuery"`
	ResultFormat string `json:"resultFormat"` // time_series or table
	Query        string `json:"query"`
	Alias        string `json:"alias"`
}

// Transformation is one step that Grafana takes with the rows of a panel.
type Transformation struct {
	ID      string          `json:"id"`
	Options json.RawMessage `json:"options"`
}

// Variable is a variable at the top of the dashboard.
type Variable struct {
	Name       string `json:"name"`
	Type       string `json:"type"` // datasource, query, custom, textbox, interval
	Datasource Ref    `json:"datasource"`
	Query      string `json:"query"`
	Multi      bool   `json:"multi"`
	IncludeAll bool   `json:"includeAll"`
	AllValue   string `json:"allValue"`
	Current    struct {
		Value any `json:"value"` // a string, or a list of them
	} `json:"current"`
}

// Annotation marks instants on the graphs.
type Annotation struct {
	Name       string `json:"name"`
	Datasource Ref    `json:"datasource"`
	Target     Target `json:"target"`
}

// All reads the dashboards that are part of the program, in the order of their file names.
func All() ([]*Dashboard, error) {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("list dashboards: %w", err)
	}
	var out []*Dashboard
	for _, e := range entries {
		data, err := files.ReadFile(e.Name())
		if err != nil {
			return nil, fmt.Errorf("read dashboard: %w", err)
		}
		d, err := Parse(e.Name(), data)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// Parse reads one dashboard.
func Parse(name string, data []byte) (*Dashboard, error) {
	d := &Dashboard{Name: name}
	if err := json.Unmarshal(data, d); err != nil {
		return nil, fmt.Errorf("dashboard %q: %w", name, err)
	}
	return d, nil
}

// JSON returns a dashboard's file as it is.
func JSON(name string) ([]byte, error) {
	data, err := files.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("dashboard %q: %w", name, err)
	}
	return data, nil
}

// Variable returns the variable of this name, nil without one.
func (d *Dashboard) Variable(name string) *Variable {
	for i := range d.Templating.List {
		if d.Templating.List[i].Name == name {
			return &d.Templating.List[i]
		}
	}
	return nil
}

// datasource resolves a reference to one of Datasources: by its uid, or by the value with which a variable of type
// datasource starts.
func (d *Dashboard) datasource(r Ref) (Datasource, error) {
	uid := r.UID
	if name, ok := strings.CutPrefix(uid, "${"); ok {
		v := d.Variable(strings.TrimSuffix(name, "}"))
		if v == nil || v.Type != "datasource" {
			return Datasource{}, fmt.Errorf("data source %q: no such variable of type datasource", r.UID)
		}
		uid, _ = v.Current.Value.(string)
	}
	for _, s := range Datasources {
		if s.UID == uid {
			return s, nil
		}
	}
	return Datasource{}, fmt.Errorf("data source %q (%q): not among those provisioned", r.UID, uid)
}
