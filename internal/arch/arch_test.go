package arch

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/tillwatch/tillwatch"

// source is one parsed Go file.
type source struct {
	path    string // from the repository's root, with slashes
	room    string // its folder, "." for the root
	test    bool   // a _test.go file
	lines   int
	syntax  *ast.File
	fset    *token.FileSet
	imports []imported
}

// imported is one import of a file.
type imported struct {
	path string // as written
	room string // the folder within this module, "" for another module or the standard library
	name string // under which the file knows it
	line int
}

// violation is one breach of one rule.
type violation struct {
	path string
	line int
	what string
	rule string
	todo string // what to do about it
}

func (v violation) String() string {
	return fmt.Sprintf("%s:%d: %s\n\trule: %s\n\tdo:   %s", v.path, v.line, v.what, v.rule, v.todo)
}

func (s *source) breach(line int, what, rule, todo string) violation {
	return violation{s.path, line, what, rule, todo}
}

// parse reads one Go file.
func parse(name string, data []byte) (*source, error) {
	s := &source{path: name, room: path.Dir(name), test: strings.HasSuffix(name, "_test.go"), fset: token.NewFileSet()}
	var err error
	if s.syntax, err = parser.ParseFile(s.fset, name, data, parser.ParseComments|parser.SkipObjectResolution); err != nil {
		return nil, err
	}
	s.lines = bytes.Count(data, []byte("\n"))
	for _, spec := range s.syntax.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		i := imported{path: p, name: path.Base(p), line: s.fset.Position(spec.Pos()).Line}
		if i.name == "v2" { // math/rand/v2
			i.name = path.Base(path.Dir(p))
		}
		if spec.Name != nil {
			i.name = spec.Name.Name
		}
		if room, ok := strings.CutPrefix(p, module+"/"); ok {
			i.room = room
		}
		s.imports = append(s.imports, i)
	}
	return s, nil
}

// uses visits every use of a name of an imported package, such as time.Now, called or not.
func (s *source) uses(visit func(line int, pkg, name string)) {
	byName := map[string]string{}
	for _, i := range s.imports {
		byName[i.name] = i.path
	}
	ast.Inspect(s.syntax, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && byName[x.Name] != "" {
				visit(s.fset.Position(sel.Pos()).Line, byName[x.Name], sel.Sel.Name)
			}
		}
		return true
	})
}

// within reports whether a room is one of the given folders or lies below one.
func within(room string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return room == f || strings.HasPrefix(room, f+"/") })
}

// root finds the folder of go.mod.
func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above this test")
		}
		dir = up
	}
}

// files lists the repository's files: those that git tracks or would add. Where there is no git, as in a copy from the
// module cache, all of them are.
func files(t *testing.T, dir string) []string {
	t.Helper()
	git := exec.Command("git", "-C", dir, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	if out, err := git.Output(); err == nil {
		var names []string
		for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
			if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode().IsRegular() { // not deleted since
				names = append(names, name)
			}
		}
		return names
	}
	var names []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestRepository holds every rule against the repository as it is.
func TestRepository(t *testing.T) {
	dir := root(t)
	var sources []*source
	var found []violation
	texts := 0
	for _, name := range files(t, dir) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if !isText(data) {
			continue
		}
		texts++
		found = append(found, words(name, string(data))...)
		if !strings.HasSuffix(name, ".go") || strings.Contains("/"+name, "/testdata/") {
			continue
		}
		s, err := parse(name, data)
		if err != nil {
			t.Errorf("%v\n\tdo: make it Go", err)
			continue
		}
		sources = append(sources, s)
	}
	for _, rule := range rules {
		for _, s := range sources {
			found = append(found, rule(s)...)
		}
	}
	found = append(found, docs(sources)...)
	found = append(found, sleeps(sources)...)
	for _, v := range found {
		t.Error(v)
	}
	// A tree that is not the repository would satisfy every rule.
	rooms := map[string]bool{}
	imports := 0
	for _, s := range sources {
		rooms[s.room] = true
		imports += len(s.imports)
	}
	for _, room := range []string{"internal/arch", "internal/config", "internal/fleet", "internal/schema", "internal/service"} {
		if !rooms[room] {
			t.Errorf("did not read %s: is this the repository?", room)
		}
	}
	t.Logf("%d rooms, %d Go files, %d imports, %d text files, %d violations", len(rooms), len(sources), imports, texts, len(found))
}
