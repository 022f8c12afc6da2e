package slack

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// attributes in the order in which they are read out, widest first.
var attributes = []struct{ key, en, ens, zh string }{
	{"acquirer", "acquirer", "acquirers", "收单机构"},
	{"region", "region", "regions", "地区"},
	{"model", "model", "models", "机型"},
	{"app", "app", "apps", "应用版本"},
	{"merchant", "merchant", "merchants", "商户"},
	{"terminal", "terminal", "terminals", "终端"},
}

const (
	maxScopes = 8 // alternatives read out
	maxValues = 8 // values of one attribute read out
)

// scope puts a scope into words, one string per alternative of the OR, and the number of those beyond maxScopes that it
// left out. Alternatives that differ in one attribute only are told together: acquirer a1, merchants m1, m2, m3.
func (w words) scope(s fleet.Scope) (alternatives []string, left int) {
	if len(s) == 0 {
		return []string{w.say("the whole fleet", "全部终端")}, 0
	}
	groups := merge(s)
	for _, g := range groups[:min(len(groups), maxScopes)] {
		alternatives = append(alternatives, w.group(g))
	}
	return alternatives, len(groups) - len(alternatives)
}

// place puts a scope into one line that reads out at most max alternatives.
func (w words) place(s fleet.Scope, max int) string {
	alternatives, left := w.scope(s)
	if n := len(alternatives); n > max {
		alternatives, left = alternatives[:max], left+n-max
	}
	text := strings.Join(alternatives, w.say(" or ", " 或 "))
	if left > 0 {
		text += " " + w.more(left)
	}
	return text
}

// group is an AND in which one attribute may have several values.
type group struct {
	and  map[string]string
	key  string   // the attribute with several values
	vals []string // nil: none has several
}

func merge(s fleet.Scope) []group {
	var out []group
next:
	for _, and := range s {
		for i := range out {
			if key, ok := differs(out[i].and, and); ok && (out[i].vals == nil || out[i].key == key) {
				if out[i].vals == nil {
					out[i].key, out[i].vals = key, []string{out[i].and[key]}
				}
				out[i].vals = append(out[i].vals, and[key])
				continue next
			}
		}
		out = append(out, group{and: and})
	}
	return out
}

// differs returns the attribute in which two ANDs of the same attributes differ, where it is exactly one.
func differs(a, b map[string]string) (key string, one bool) {
	if len(a) != len(b) {
		return "", false
	}
	n := 0
	for k, v := range a {
		other, ok := b[k]
		if !ok {
			return "", false
		}
		if other != v {
			key, n = k, n+1
		}
	}
	return key, n == 1
}

func (w words) group(g group) string {
	if len(g.and) == 0 {
		return w.say("the whole fleet", "全部终端")
	}
	keys := make([]string, 0, len(g.and))
	for _, a := range attributes {
		if _, ok := g.and[a.key]; ok {
			keys = append(keys, a.key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(g.and)) {
		if !slices.Contains(keys, key) { // one that this release does not know
			keys = append(keys, key)
		}
	}
	parts := make([]string, 0, len(keys))
	for _, key := range keys {
		vals := []string{g.and[key]}
		if g.vals != nil && key == g.key {
			vals = g.vals
		}
		parts = append(parts, w.attribute(key, vals))
	}
	return strings.Join(parts, w.say(", ", "，"))
}

func (w words) attribute(key string, vals []string) string {
	name := clean(key)
	for _, a := range attributes {
		if a.key == key {
			name = a.en
			if len(vals) > 1 {
				name = a.ens
			}
			name = w.say(name, a.zh)
		}
	}
	shown := make([]string, 0, maxValues)
	for _, v := range vals[:min(len(vals), maxValues)] {
		if v = clean(v); v == "" {
			v = w.say("(none)", "（无）")
		}
		shown = append(shown, v)
	}
	text := name + " " + strings.Join(shown, w.say(", ", "、"))
	if n := len(vals) - maxValues; n > 0 {
		text += w.say(fmt.Sprintf(" and %d more", n), fmt.Sprintf("等共%d个", len(vals)))
	}
	return text
}
