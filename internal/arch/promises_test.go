package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testName = regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Za-z0-9_]+)`")
	testDecl = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Za-z0-9_]+)\(`)
)

// TestPromisesNameRealTests holds docs/promises.md: a ticked line names at least one test, and each exists.
func TestPromisesNameRealTests(t *testing.T) {
	known := map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		src, err := os.ReadFile(path)
		for _, m := range testDecl.FindAllSubmatch(src, -1) {
			known[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/promises.md")
	if err != nil {
		t.Fatal(err)
	}
	ticked, open := brokenPromises(string(page), known, t.Errorf)
	t.Logf("figure: %d promises ticked, %d open", ticked, open)
	if ticked < 40 {
		t.Errorf("only %d ticked lines were read", ticked)
	}
}

func brokenPromises(page string, known map[string]bool, report func(string, ...any)) (ticked, open int) {
	n := 0
	for line := range strings.Lines(page) {
		n++
		switch {
		case strings.HasPrefix(line, "- [ ] "):
			open++
		case strings.HasPrefix(line, "- [x] "):
			ticked++
			names := testName.FindAllStringSubmatch(line, -1)
			if len(names) == 0 {
				report("promises.md:%d: ticked and names no test", n)
			}
			for _, m := range names {
				if !known[m[1]] {
					report("promises.md:%d: there is no %s", n, m[1])
				}
			}
		}
	}
	return ticked, open
}

func TestPromisesFindsBreaches(t *testing.T) {
	var got []string
	report := func(f string, _ ...any) { got = append(got, f) }
	ticked, open := brokenPromises("- [x] a — `TestA`\n- [x] b — `TestB`\n- [x] c\n- [ ] d\n", map[string]bool{"TestA": true}, report)
	if ticked != 3 || open != 1 || len(got) != 2 {
		t.Errorf("%d ticked, %d open, %v", ticked, open, got)
	}
}
