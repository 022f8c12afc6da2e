package simulate

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// ParseScenario reads a scenario file (YAML). Everything wrong with it is reported at once, as Problems that carry
// name, line and column. Whether a scope fits a fleet is for New to say.
//
// Values are read as they are written: 03 is the code 03 and 2.10 the version 2.10, with or without quotes.
func ParseScenario(name string, data []byte) (*Scenario, error) {
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		p := Problem{File: name, Line: 1, Column: 1, Want: "YAML: " + err.Error()}
		if syntax, ok := errors.AsType[yaml.Error](err); ok {
			p.Want = "YAML: " + syntax.GetMessage()
			if tk := syntax.GetToken(); tk != nil {
				p.Line, p.Column = tk.Position.Line, tk.Position.Column
			}
		}
		return nil, Problems{p}
	}
	r := &reader{file: name}
	s := &Scenario{file: name}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		return nil, Problems{{File: name, Line: 1, Column: 1, Want: "one YAML document with the key faults"}}
	}
	seen := r.mapping(file.Docs[0].Body, "", map[string]func(ast.Node, string){
		"faults": func(node ast.Node, path string) {
			list, ok := node.(*ast.SequenceNode)
			if !ok {
				r.problem(node, path, "a list of faults")
				return
			}
			for i, item := range list.Values {
				s.Faults = append(s.Faults, r.fault(item, fmt.Sprintf("%s[%d]", path, i)))
			}
		},
	})
	if len(r.problems) == 0 && !seen["faults"] {
		r.problem(file.Docs[0].Body, "faults", "a list of faults; it may be empty")
	}
	if err := r.problems.err(); err != nil {
		return nil, err
	}
	return s, nil
}

// reader walks the tree of a scenario file and gathers what is wrong with it.
type reader struct {
	file     string
	problems Problems
}

func (r *reader) problem(node ast.Node, path, want string) {
	at := place(node)
	r.problems = append(r.problems, Problem{r.file, at.line, at.column, path, written(node), want})
}

// key reports a problem with a key itself.
func (r *reader) key(node ast.Node, path, want string) {
	at := place(node)
	r.problems = append(r.problems, Problem{File: r.file, Line: at.line, Column: at.column, Key: path, Want: want})
}

func place(node ast.Node) position {
	// The token of a mapping in block style is the colon of its first pair; people look for the key.
	if m, ok := node.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		node = m.Values[0].Key
	}
	if m, ok := node.(*ast.MappingValueNode); ok {
		node = m.Key
	}
	if tk := node.GetToken(); tk != nil && tk.Position != nil {
		return position{tk.Position.Line, tk.Position.Column}
	}
	return position{1, 1}
}

// written is a scalar as it stands in the file, without quotes; "" for anything else.
func written(node ast.Node) string {
	switch node.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return node.GetToken().Value
	}
	return ""
}

// mapping reads an object: each key has its reader, and no other key may be there. It returns the keys seen.
func (r *reader) mapping(node ast.Node, path string, keys map[string]func(ast.Node, string)) map[string]bool {
	seen := map[string]bool{}
	m, ok := node.(ast.MapNode)
	if !ok {
		r.problem(node, path, "an object with the keys "+known(keys))
		return seen
	}
	for it := m.MapRange(); it.Next(); {
		key := it.Key().GetToken().Value
		inner := key
		if path != "" {
			inner = path + "." + key
		}
		read, ok := keys[key]
		switch {
		case !ok:
			r.key(it.Key(), inner, "one of the keys "+known(keys))
		case seen[key]:
			r.key(it.Key(), inner, "each key once")
		default:
			seen[key] = true
			read(it.Value(), inner)
		}
	}
	return seen
}

func known(keys map[string]func(ast.Node, string)) string {
	names := make([]string, 0, len(keys))
	for name := range keys {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// fault reads one fault. What a value may be is checked here too, so that the problem has the value's own place.
func (r *reader) fault(node ast.Node, path string) Fault {
	x := Fault{at: place(node), places: map[string]position{}}
	note := func(node ast.Node, at string) { x.places[strings.TrimPrefix(at, path)] = place(node) }
	duration := func(to *time.Duration) func(ast.Node, string) {
		return func(node ast.Node, path string) {
			note(node, path)
			d, err := time.ParseDuration(written(node))
			if err != nil {
				r.problem(node, path, "a duration such as 40s or 2m30s")
				return
			}
			*to = d
		}
	}
	plain := func(to *string) func(ast.Node, string) {
		return func(node ast.Node, path string) {
			note(node, path)
			if *to = written(node); *to == "" {
				r.problem(node, path, "a single value")
			}
		}
	}
	before := len(r.problems)
	seen := r.mapping(node, path, map[string]func(ast.Node, string){
		"start": duration(&x.Start),
		"for":   duration(&x.For),
		"cause": plain(&x.Cause),
		"code":  plain(&x.Code),
		"rate": func(node ast.Node, path string) {
			note(node, path)
			rate, err := strconv.ParseFloat(written(node), 64)
			if err != nil || rate == 0 {
				r.problem(node, path, "a probability, more than 0 and at most 1")
				return
			}
			x.Rate = rate
		},
		"scope": func(node ast.Node, path string) { x.Scope = r.scope(node, path, note) },
	})
	whole := len(r.problems) == before // what cannot be read may hide a key
	for _, key := range []string{"for", "cause"} {
		if !seen[key] && whole {
			r.problem(node, path+"."+key, "this key in every fault")
		}
	}
	if len(r.problems) > before {
		return x
	}
	filled := x.withDefaults()
	filled.check(func(key, got, want string) {
		at := x.where(key)
		r.problems = append(r.problems, Problem{r.file, at.line, at.column, path + key, got, want})
	})
	return x
}

func (r *reader) scope(node ast.Node, path string, note func(ast.Node, string)) Scope {
	note(node, path)
	scope := Scope{}
	keys := map[string]func(ast.Node, string){}
	for _, name := range attributes {
		keys[name] = func(node ast.Node, path string) {
			note(node, path)
			if scope[name] = written(node); scope[name] == "" {
				r.problem(node, path, "a single value, or "+Any)
			}
		}
	}
	r.mapping(node, path, keys)
	return scope
}
