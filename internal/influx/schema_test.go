package influx_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/internal/fleettest/influxtest"
	"github.com/tillwatch/tillwatch/internal/influx"
	"github.com/tillwatch/tillwatch/internal/schema"
)

// The values that stand for $acquirer, $terminal and $merchant, and for the one code that examples name.
var sample = map[string]string{"acquirer": "a1", "terminal": "00000001", "merchant": "898440153110001", "code": "03"}

// samplePoint is one point with every tag and field of the measurement, no number of it zero.
func samplePoint(m *schema.Measurement, at time.Time) string {
	text := func(c schema.Column) string {
		if v, ok := sample[c.Name]; ok {
			return v
		}
		return "x-" + c.Name
	}
	var b strings.Builder
	b.WriteString(m.Name)
	for _, c := range m.Tags {
		fmt.Fprintf(&b, ",%s=%s", c.Name, text(c))
	}
	for i, c := range m.Fields {
		b.WriteByte(" ,"[min(i, 1)])
		switch c.Type {
		case schema.Int:
			fmt.Fprintf(&b, "%s=%di", c.Name, i+1)
		case schema.Float:
			fmt.Fprintf(&b, "%s=%d.5", c.Name, i+1)
		case schema.Bool:
			fmt.Fprintf(&b, "%s=true", c.Name)
		case schema.String:
			fmt.Fprintf(&b, "%s=%q", c.Name, text(c))
		}
	}
	fmt.Fprintf(&b, " %d", at.UnixNano())
	return b.String()
}

// Every example of the data dictionary, run against a point made from the schema, finds it: each column it selects has
// a value that is not null and not zero. And the types that the server keeps are those the dictionary tells.
func TestDictionaryExamplesRun(t *testing.T) {
	influxtest.Both(t, func(t *testing.T, s *influxtest.Server) {
		ctx, c := t.Context(), s.Client(t)
		if err := c.EnsureBuckets(ctx, schema.Buckets); err != nil {
			t.Fatal(err)
		}
		at := time.Now()
		examples, fields := 0, 0
		for i := range schema.Measurements {
			m := &schema.Measurements[i]
			if err := c.Write(ctx, m.Bucket, []byte(samplePoint(m, at))); err != nil {
				t.Fatalf("%s: %v", m.Name, err)
			}
			fields += fieldTypes(t, c, m)
			for _, q := range m.Examples {
				text := q.InfluxQL
				for name, value := range sample {
					text = strings.ReplaceAll(text, "$"+name, value)
				}
				if strings.Contains(text, "$") {
					t.Errorf("%s, %s: a placeholder is left in %s", m.Name, q.Doc, text)
				}
				rows, err := c.Query(ctx, m.Bucket, text)
				if err != nil {
					t.Errorf("%s, %s: %v", m.Name, q.Doc, err)
					continue
				}
				if problem := everyColumnHasAValue(rows); problem != "" {
					t.Errorf("%s, %s: %s: %s", m.Name, q.Doc, problem, text)
				}
				examples++
			}
		}
		t.Logf("%d examples over %d measurements answered, %d fields of the type the dictionary tells", examples, len(schema.Measurements), fields)
	})
}

func everyColumnHasAValue(rows []influx.Series) string {
	if len(rows) == 0 {
		return "no rows"
	}
	for _, s := range rows {
		for column, name := range s.Columns {
			found := false
			for _, row := range s.Values {
				if v := row[column]; v != nil && fmt.Sprint(v) != "0" && v != "" {
					found = true
				}
			}
			if !found {
				return fmt.Sprintf("column %q has no value", name)
			}
		}
	}
	return ""
}

// fieldTypes compares the server's types with the dictionary's and returns how many fields there are.
func fieldTypes(t *testing.T, c *influx.Client, m *schema.Measurement) int {
	t.Helper()
	rows, err := c.Query(t.Context(), m.Bucket, "SHOW FIELD KEYS FROM "+influx.Ident(m.Name))
	if err != nil || len(rows) != 1 {
		t.Fatalf("field keys of %s: %v, %v", m.Name, rows, err)
	}
	for row := range rows[0].Values {
		key, _ := rows[0].Text(row, "fieldKey")
		kind, _ := rows[0].Text(row, "fieldType")
		if field, ok := m.Field(key); !ok || string(field.Type) != kind {
			t.Errorf("%s.%s is stored as %s; the dictionary says %q", m.Name, key, kind, field.Type)
		}
	}
	if n := len(rows[0].Values); n != len(m.Fields) {
		t.Errorf("%s: %d fields are stored, the dictionary has %d", m.Name, n, len(m.Fields))
	}
	return len(m.Fields)
}
