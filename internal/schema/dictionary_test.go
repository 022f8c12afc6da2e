package schema_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tillwatch/tillwatch/internal/schema"
)

var update = flag.Bool("update", false, "rewrite docs/data-dictionary.md")

func TestDictionaryIsCurrent(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "data-dictionary.md")
	var want bytes.Buffer
	if err := schema.WriteDictionary(&want); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(got), want.String()); diff != "" {
		t.Errorf("docs/data-dictionary.md is not what the schema says; run go test ./internal/schema -update (-file +schema):\n%s", diff)
	}
}

func TestDictionaryNamesEverything(t *testing.T) {
	var b strings.Builder
	if err := schema.WriteDictionary(&b); err != nil {
		t.Fatal(err)
	}
	columns := 0
	for _, m := range schema.Measurements {
		// One measurement's part of the page.
		_, part, found := strings.Cut(b.String(), "\n## "+m.Name+"\n")
		if !found {
			t.Fatalf("no part for %s", m.Name)
		}
		part, _, _ = strings.Cut(part, "\n## ")
		for _, c := range slices.Concat(m.Tags, m.Fields) {
			columns++
			if !strings.Contains(part, "| `"+c.Name+"` | ") {
				t.Errorf("%s: no line for %s", m.Name, c.Name)
			}
		}
		for _, q := range m.Examples {
			if !strings.Contains(part, q.InfluxQL) {
				t.Errorf("%s: no query %q", m.Name, q.Doc)
			}
		}
	}
	t.Logf("%d measurements, %d columns", len(schema.Measurements), columns)
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestDictionaryReportsWriteErrors(t *testing.T) {
	if err := schema.WriteDictionary(full{}); err == nil {
		t.Error("a write error was lost")
	}
}

var name = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// What the rest of the system takes for granted about the schema.
func TestSchemaIsSound(t *testing.T) {
	seen := map[string]bool{}
	for _, b := range schema.Buckets {
		if strings.Contains(b.Name, "/") || !name.MatchString(b.Name) {
			t.Errorf("bucket %q: want one name for a bucket and a database", b.Name)
		}
		if b.Retention <= 0 || b.Retention%(24*time.Hour) != 0 || b.Doc == "" {
			t.Errorf("bucket %s: retention %s, doc %q", b.Name, b.Retention, b.Doc)
		}
		if schema.Retention(b.Name) != b.Retention {
			t.Errorf("bucket %s: Retention says %s", b.Name, schema.Retention(b.Name))
		}
	}
	for _, m := range schema.Measurements {
		if seen[m.Name] || !name.MatchString(m.Name) {
			t.Errorf("measurement %q: twice, or not a plain name", m.Name)
		}
		seen[m.Name] = true
		if schema.Retention(m.Bucket) == 0 {
			t.Errorf("%s is in the bucket %q, which is not in Buckets", m.Name, m.Bucket)
		}
		if m.Doc == "" || m.Time == "" || len(m.Fields) == 0 || len(m.Examples) == 0 {
			t.Errorf("%s: something is not said", m.Name)
		}
		columns := map[string]bool{"time": true}
		for i, c := range slices.Concat(m.Tags, m.Fields) {
			if columns[c.Name] || !name.MatchString(c.Name) {
				t.Errorf("%s.%s: twice, or not a plain name", m.Name, c.Name)
			}
			columns[c.Name] = true
			if c.Doc == "" {
				t.Errorf("%s.%s: no meaning", m.Name, c.Name)
			}
			if isTag := i < len(m.Tags); isTag != (c.Type == "") {
				t.Errorf("%s.%s: type %q", m.Name, c.Name, c.Type)
			}
		}
		if found, ok := schema.Lookup(m.Name); !ok || found.Name != m.Name {
			t.Errorf("Lookup does not find %s", m.Name)
		}
		if c, ok := m.Field(m.Fields[0].Name); !ok || c != m.Fields[0] {
			t.Errorf("%s: Field does not find %s", m.Name, m.Fields[0].Name)
		}
	}
	if m, ok := schema.Lookup("absent"); ok || m != nil {
		t.Error("Lookup finds what is not there")
	}
}
