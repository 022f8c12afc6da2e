package config

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Parse reads a configuration from data and checks it whole; name is the file's name in problems. Keys that data does
// not state keep their defaults. The error is of type Problems.
//
// YAML is read by its tree and not into the structs at once, so that one mistake does not hide the next and each
// knows its place.
func Parse(name string, data []byte) (*Config, error) {
	c := Default()
	c.file = name
	c.where = map[string]place{}
	d := &decoder{file: name, where: c.where, anchors: map[string]ast.Node{}}
	d.document(data, c)
	d.problems = append(d.problems, c.check()...) // a value that could not be read has left its default, which is right
	d.problems.sort()
	if err := d.problems.Err(); err != nil {
		return nil, err
	}
	return c, nil
}

type decoder struct {
	file     string
	where    map[string]place
	anchors  map[string]ast.Node
	problems Problems
}

func (d *decoder) document(data []byte, c *Config) {
	f, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey()) // duplicates are reported here, with all the rest
	if err != nil {
		p := Problem{File: d.file, Got: "a file that is not YAML", Want: "valid YAML"}
		if syntax, ok := err.(yaml.Error); ok { // its Error() quotes lines of the file, and they may hold a token
			p.Got += " (" + syntax.GetMessage() + ")"
			if t := syntax.GetToken(); t != nil && t.Position != nil {
				p.Line, p.Column = t.Position.Line, t.Position.Column
			}
		}
		d.problems = append(d.problems, p)
		return
	}
	var root ast.Node
	for _, doc := range f.Docs {
		if doc.Body == nil {
			continue
		}
		if root != nil {
			d.report("", doc.Body.GetToken(), "a second YAML document", "one document a file")
			return
		}
		root = doc.Body
	}
	if root == nil {
		return
	}
	ast.Walk(d, root) // anchors first: an alias may be met before the walk below comes to its anchor's key
	d.value(root, "", c)
}

// Visit collects anchors for ast.Walk.
func (d *decoder) Visit(n ast.Node) ast.Visitor {
	if a, ok := n.(*ast.AnchorNode); ok {
		d.anchors[a.Name.GetToken().Value] = a.Value
	}
	return d
}

func (d *decoder) report(path string, at *token.Token, got, want string) {
	p := Problem{File: d.file, Key: path, Got: got, Want: want}
	if at != nil && at.Position != nil {
		p.Line, p.Column = at.Position.Line, at.Position.Column
	}
	d.problems = append(d.problems, p)
}

// unwrap follows anchors, aliases and tags to the value itself; nil for null, and for an alias that leads nowhere.
func (d *decoder) unwrap(n ast.Node, path string) ast.Node {
	for range 16 { // an alias may stand for itself
		switch v := n.(type) {
		case *ast.AnchorNode:
			n = v.Value
		case *ast.TagNode:
			n = v.Value
		case *ast.AliasNode:
			name := v.Value.GetToken().Value
			target, ok := d.anchors[name]
			if !ok {
				d.report(path, v.Start, quote("*"+name), "an anchor that the file defines (&"+name+")")
				return nil
			}
			n = target
		case *ast.NullNode, nil:
			return nil
		default:
			return n
		}
	}
	d.report(path, n.GetToken(), "an alias of itself", "a value")
	return nil
}

// value reads one node into what dst points at. A null leaves the default.
func (d *decoder) value(n ast.Node, path string, dst any) {
	if n = d.unwrap(n, path); n == nil {
		return
	}
	tok := n.GetToken()
	if _, ok := n.(ast.ScalarNode); ok && tok != nil && tok.Position != nil {
		d.where[path] = place{d.file, tok.Position.Line, tok.Position.Column}
	}
	switch dst := dst.(type) {
	case *map[string]Acquirer:
		d.entries(n, path, func(id string, v *ast.MappingValueNode) {
			a := DefaultAcquirer()
			d.value(v.Value, join(path, id), &a)
			(*dst)[id] = a
		})
	case *map[string]Check:
		d.entries(n, path, func(id string, v *ast.MappingValueNode) {
			check, ok := (*dst)[id]
			if !ok {
				d.report(join(path, id), v.Key.GetToken(), "an unknown check", oneOf(id, sortedKeys(*dst)))
				return
			}
			d.value(v.Value, join(path, id), &check)
			(*dst)[id] = check
		})
	case *Secret:
		if s, ok := text(n); ok {
			*dst = Secret(s)
		} else {
			d.report(path, tok, kindOf(n)+" (not shown)", "text in quotes")
		}
	case *string:
		if s, ok := text(n); ok {
			*dst = s
		} else {
			d.report(path, tok, found(n), "text: put it in quotes")
		}
	case *bool:
		if b, ok := n.(*ast.BoolNode); ok {
			*dst = b.Value
		} else {
			d.report(path, tok, found(n), "true or false, without quotes")
		}
	case *int:
		if i, ok := integer(n); ok {
			*dst = i
		} else {
			d.report(path, tok, found(n), "a whole number, without quotes")
		}
	case *float64:
		if i, ok := integer(n); ok {
			*dst = float64(i)
		} else if f, ok := n.(*ast.FloatNode); ok {
			*dst = f.Value
		} else {
			d.report(path, tok, found(n), "a number, without quotes")
		}
	case *time.Duration:
		s, ok := text(n)
		v, err := time.ParseDuration(s)
		if !ok || err != nil {
			d.report(path, tok, found(n), wantDuration(tok.Value))
			return
		}
		*dst = v
	case *Bytes:
		s, ok := text(n)
		if i, isInt := integer(n); isInt {
			s, ok = fmt.Sprint(i), true
		}
		v, err := ParseBytes(s)
		if !ok || err != nil {
			d.report(path, tok, found(n), wantBytes(tok.Value))
			return
		}
		*dst = v
	default:
		d.fields(n, path, reflect.ValueOf(dst).Elem())
	}
}

// notInFile are secrets that look like keys and are none, with what to do instead.
var notInFile = map[string]string{
	"alert.slack.token": "the token in the environment variable SLACK_BOT_TOKEN",
	"nats.password":     "the password in the environment variable TILLWATCH_NATS_PASSWORD, or password_file",
}

// fields reads a mapping into a struct, by its yaml tags.
func (d *decoder) fields(n ast.Node, path string, dst reflect.Value) {
	index := map[string]int{}
	var known []string
	for i := range dst.NumField() {
		if name := dst.Type().Field(i).Tag.Get("yaml"); name != "" && name != "-" {
			index[name] = i
			known = append(known, name)
		}
	}
	d.entries(n, path, func(key string, v *ast.MappingValueNode) {
		i, ok := index[key]
		if !ok {
			want := oneOf(key, known)
			if elsewhere, ok := notInFile[join(path, key)]; ok {
				want = elsewhere
			}
			d.report(join(path, key), v.Key.GetToken(), "an unknown key", want)
			return
		}
		d.value(v.Value, join(path, key), dst.Field(i).Addr().Interface())
	})
}

// entries calls each with the keys of a mapping, in the order of the file. A key given twice is reported and left out
// the second time.
func (d *decoder) entries(n ast.Node, path string, each func(key string, v *ast.MappingValueNode)) {
	var values []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		values = m.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{m}
	default:
		d.report(path, n.GetToken(), found(n), "keys with values below it")
		return
	}
	seen := map[string]int{}
	for _, v := range values {
		tok := v.Key.GetToken()
		key := tok.Value // as written: 007 stays 007
		if v.Key.IsMergeKey() {
			d.report(path, tok, "a merge key", "the keys written out")
			continue
		}
		if first, ok := seen[key]; ok {
			d.problems = append(d.problems, Problem{d.file, tok.Position.Line, tok.Position.Column, join(path, key),
				"a key for the second time", fmt.Sprintf("it once (first on line %d)", first)})
			continue
		}
		seen[key] = tok.Position.Line
		d.where[join(path, key)] = place{d.file, tok.Position.Line, tok.Position.Column}
		each(key, v)
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// text is the string of a node that YAML itself takes for a string.
func text(n ast.Node) (string, bool) {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		return v.Value.Value, true
	}
	return "", false
}

func integer(n ast.Node) (int, bool) {
	i, ok := n.(*ast.IntegerNode)
	if !ok {
		return 0, false
	}
	switch v := i.Value.(type) {
	case int64:
		return int(v), true
	case uint64:
		return int(v), v <= math.MaxInt64
	}
	return 0, false
}

// found describes a value of the wrong type.
func found(n ast.Node) string {
	if s, ok := text(n); ok {
		return quote(s)
	}
	if _, ok := n.(ast.ScalarNode); ok {
		return n.GetToken().Value
	}
	return kindOf(n)
}

func kindOf(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.IntegerNode, *ast.FloatNode:
		return "a number"
	}
	return "another kind of value"
}

// wantDuration says what would be right; a bare number is the likely slip.
func wantDuration(s string) string {
	if s != "" && strings.Trim(s, "0123456789") == "" {
		return "a duration with its unit, here perhaps " + s + "s"
	}
	return "a duration with its unit, such as 20s, 5m or 1h30m"
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
