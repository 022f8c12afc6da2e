package simulate

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// fault is a Fault as this fleet has it: every attribute has one value.
type fault struct {
	Fault
	effect
	scope      Scope
	salt       uint64 // of its random decisions; depends on the fault and on no other
	start, end int64  // [start, end) in milliseconds since the fleet's start
	chronic    bool   // the fleet's own misconfigured terminal

	acquirer, region, model, app, merchant int // index in the fleet's tables, or -1
	tid                                    string
	acquirers                              []bool // those with a terminal in scope
}

// active reports whether the fault is on at t.
func (x *fault) active(t int64) bool { return t >= x.start && t < x.end }

// in reports whether terminal i is in the fault's scope.
func (f *Fleet) in(x *fault, i int) bool {
	t := &f.terminals[i]
	return (x.acquirer < 0 || x.acquirer == int(t.acquirer)) &&
		(x.app < 0 || x.app == int(t.app)) &&
		(x.model < 0 || x.model == int(t.model)) &&
		(x.merchant < 0 || x.merchant == int(t.merchant)) &&
		(x.region < 0 || x.region == int(f.merchants[t.merchant].region)) &&
		(x.tid == "" || x.tid == f.tid(i))
}

// resolve turns the scenario's faults into this fleet's and reports everything that does not fit it.
func (f *Fleet) resolve() error {
	var problems Problems
	scenario := f.o.Scenario
	if scenario == nil {
		scenario = &Scenario{}
	}
	for n := range scenario.Faults {
		raw := scenario.Faults[n]
		problem := func(key, got, want string) {
			at := raw.where(key)
			problems = append(problems, Problem{scenario.file, at.line, at.column, fmt.Sprintf("faults[%d]%s", n, key), got, want})
		}
		raw = raw.withDefaults()
		if !raw.check(problem) {
			continue
		}
		x := fault{Fault: raw, effect: effects[raw.Cause], start: raw.Start.Milliseconds(), end: (raw.Start + raw.For).Milliseconds()}
		x.salt = mix(f.o.Seed, uint64(raw.Start), hashText(raw.Cause+raw.Code))
		scope := maps.Clone(raw.Scope)
		if scope == nil {
			scope = Scope{}
		}
		if x.oneTrader && scope["merchant"] == "" && scope["terminal"] == "" {
			scope["merchant"] = Any
		}
		if key, got, want := f.fit(&x, scope); want != "" {
			problem(key, got, want)
			continue
		}
		f.faults = append(f.faults, x)
	}
	if f.o.Chronic {
		x := fault{Fault: Fault{Cause: "merchant_info_wrong", Code: "03", Rate: 0.95}, effect: effects["merchant_info_wrong"], end: never, chronic: true}
		x.salt = mix(f.o.Seed, saltPick, hashText("chronic"))
		f.fit(&x, Scope{"terminal": Any})
		f.faults = append(f.faults, x)
	}
	return problems.err()
}

func (x Fault) withDefaults() Fault {
	if x.Code == "" {
		x.Code = "03"
	}
	if x.Rate == 0 {
		x.Rate = 1
	}
	return x
}

// check reports what no fleet could make sense of, and whether there was nothing.
func (x *Fault) check(problem func(key, got, want string)) bool {
	ok := true
	bad := func(key, got, want string) {
		ok = false
		problem(key, got, want)
	}
	if x.Start < 0 {
		bad(".start", x.Start.String(), "a duration of 0s or more")
	}
	if x.For <= 0 {
		bad(".for", x.For.String(), "a duration of more than 0s")
	}
	if _, known := effects[x.Cause]; !known {
		bad(".cause", x.Cause, "one of "+strings.Join(Causes(), ", "))
	}
	if !fleet.ValidCode(x.Code) || x.Code == codeApproved {
		bad(".code", x.Code, "a response code of a decline: 2 to 4 letters or digits (ISO 8583 field 39), not 00")
	}
	if !(x.Rate > 0 && x.Rate <= 1) {
		bad(".rate", fmt.Sprint(x.Rate), "a probability, more than 0 and at most 1")
	}
	for _, name := range slices.Sorted(maps.Keys(x.Scope)) {
		if !slices.Contains(attributes, name) {
			bad(".scope."+name, x.Scope[name], "an attribute of "+strings.Join(attributes, ", "))
		}
	}
	return ok
}

// fit gives x the terminals of scope. Where there are none it says which key is wrong, how, and what would be right.
func (f *Fleet) fit(x *fault, scope Scope) (key, got, want string) {
	x.acquirer, x.region, x.model, x.app, x.merchant, x.tid = -1, -1, -1, -1, -1, ""
	x.scope = maps.Clone(scope)
	for _, name := range attributes {
		value := scope[name]
		if value == "" || value == Any {
			continue
		}
		if !f.set(x, name, value) {
			return ".scope." + name, value, f.known(name)
		}
	}
	if x.tid != "" && x.acquirer < 0 && f.sharedTID(x.tid) {
		return ".scope.terminal", x.tid, "an acquirer beside it: more than one has this TID"
	}
	for _, name := range attributes {
		// A terminal that is chosen has its acquirer named too: a TID is unique only within one.
		if scope[name] != Any && !(name == "acquirer" && scope[name] == "" && scope["terminal"] == Any) {
			continue
		}
		value := f.pick(x, name)
		if value == "" {
			return ".scope", fmt.Sprint(map[string]string(scope)), "attributes that at least one terminal of this fleet has together"
		}
		f.set(x, name, value)
		x.scope[name] = value
	}
	found := false
	x.acquirers = make([]bool, len(f.o.Acquirers))
	for i := range f.terminals {
		if f.in(x, i) {
			found = true
			x.acquirers[f.terminals[i].acquirer] = true
		}
	}
	if found {
		return "", "", ""
	}
	return ".scope", fmt.Sprint(map[string]string(scope)), "attributes that at least one terminal of this fleet has together"
}

// sharedTID reports whether several acquirers have a terminal of this number.
func (f *Fleet) sharedTID(tid string) bool {
	n := 0
	for i := range f.terminals {
		if f.tid(i) == tid {
			n++
		}
	}
	return n > 1
}

// set gives x one attribute and reports whether the fleet has that value.
func (f *Fleet) set(x *fault, name, value string) bool {
	index := func(n int, id func(int) string) int {
		for i := range n {
			if id(i) == value {
				return i
			}
		}
		return -1
	}
	switch name {
	case "acquirer":
		x.acquirer = index(len(f.o.Acquirers), func(i int) string { return f.o.Acquirers[i].ID })
		return x.acquirer >= 0
	case "region":
		x.region = index(len(regions), func(i int) string { return regions[i].id })
		return x.region >= 0
	case "model":
		x.model = index(len(models), func(i int) string { return models[i].id })
		return x.model >= 0
	case "app":
		x.app = index(len(apps), func(i int) string { return apps[i].name })
		return x.app >= 0
	case "merchant":
		i, ok := f.byMID[value]
		x.merchant = i
		return ok
	case "terminal":
		x.tid = value
		return index(len(f.terminals), f.tid) >= 0
	}
	return false
}

// known says in words which values an attribute may have.
func (f *Fleet) known(name string) string {
	list := func(rows []share) string {
		names := make([]string, len(rows))
		for i, r := range rows {
			names[i] = r.name
		}
		return "any, or one of " + strings.Join(names, ", ")
	}
	switch name {
	case "acquirer":
		rows := make([]share, len(f.o.Acquirers))
		for i, a := range f.o.Acquirers {
			rows[i].name = a.ID
		}
		return list(rows)
	case "region":
		return list(regionShares)
	case "model":
		return list(modelShares)
	case "app":
		return list(apps)
	case "merchant":
		return fmt.Sprintf("any, or a merchant number of this fleet, such as %s", f.merchants[0].mid)
	}
	return fmt.Sprintf("any, or a TID of this fleet, such as %s", f.tid(0))
}

// pick chooses a value of an attribute among the terminals that x covers so far: the one whose hash is lowest, so that
// the choice seldom changes when the fleet grows. A merchant should have several terminals and ordinary sales.
func (f *Fleet) pick(x *fault, name string) string {
	type candidate struct {
		value string
		rank  int // lower is better
		hash  uint64
	}
	seen := map[string]int{}
	for i := range f.terminals {
		if f.in(x, i) {
			seen[f.attribute(i, name)]++
		}
	}
	best, found := candidate{}, false
	for value, n := range seen {
		c := candidate{value: value, hash: mix(x.salt, saltPick, hashText(value))}
		if name == "merchant" {
			m := &f.merchants[f.byMID[value]]
			switch {
			case n < 2:
				c.rank = 3
			case n < 3 || n > 12:
				c.rank = 2
			case m.sales < 0.8:
				c.rank = 1
			}
		}
		if !found || c.rank < best.rank || c.rank == best.rank && c.hash < best.hash {
			best, found = c, true
		}
	}
	return best.value
}

// attribute is the value that terminal i has of a scope's attribute.
func (f *Fleet) attribute(i int, name string) string {
	t := &f.terminals[i]
	switch name {
	case "acquirer":
		return f.o.Acquirers[t.acquirer].ID
	case "region":
		return regions[f.merchants[t.merchant].region].id
	case "model":
		return models[t.model].id
	case "app":
		return apps[t.app].name
	case "merchant":
		return f.merchants[t.merchant].mid
	}
	return f.tid(i)
}

// Pick replaces every Any of a scope by a value of this fleet, as New does for a scenario's faults: one that fits the
// other attributes; a merchant is one with several terminals. The error says which attribute fits no terminal.
func (f *Fleet) Pick(scope Scope) (Scope, error) {
	x := fault{salt: mix(f.o.Seed, saltPick, 0)}
	for _, name := range slices.Sorted(maps.Keys(scope)) {
		if !slices.Contains(attributes, name) {
			return nil, Problems{{Key: "scope." + name, Got: scope[name], Want: "an attribute of " + strings.Join(attributes, ", ")}}
		}
	}
	if key, got, want := f.fit(&x, scope); want != "" {
		return nil, Problems{{Key: strings.TrimPrefix(key, "."), Got: got, Want: want}}
	}
	return x.scope, nil
}

// Matches reports whether terminal i (in the order of Keys) has all attributes of a scope without Any.
func (f *Fleet) Matches(scope Scope, i int) bool {
	for name, value := range scope {
		if f.attribute(i, name) != value {
			return false
		}
	}
	return true
}

// hashText is FNV-1a (RFC 9923), scrambled.
func hashText(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return scramble(h)
}

// Truth is one fault as it happened in this fleet.
type Truth struct {
	Fault     int     `json:"fault"`         // its place in the scenario, from 0; the chronic terminal comes last
	Start     int64   `json:"start"`         // Unix milliseconds, the first instant of the fault
	End       int64   `json:"end,omitempty"` // Unix milliseconds, the first instant after it; absent: it never ends
	Cause     string  `json:"cause"`
	Code      string  `json:"code"`
	Rate      float64 `json:"rate"`
	Scope     Scope   `json:"scope"` // one AND, without any
	Merchants int     `json:"merchants"`
	Terminals int     `json:"terminals"`
	Chronic   bool    `json:"chronic,omitempty"` // there from the first event on: part of the background
}

// Truth is what goes wrong in the fleet's own time: start is the instant that Start means, for files the fleet's Start,
// for a Run the instant it began; speed is the Run's (zero: 1).
func (f *Fleet) Truth(start time.Time, speed float64) []Truth {
	if speed == 0 {
		speed = 1
	}
	truths := make([]Truth, len(f.faults))
	at := func(t int64) int64 { return start.UnixMilli() + int64(float64(t)/speed) }
	for n := range f.faults {
		x := &f.faults[n]
		truth := Truth{Fault: n, Start: at(x.start), Cause: x.Cause, Code: x.Code, Rate: x.Rate, Scope: x.scope, Chronic: x.chronic}
		if x.end != never {
			truth.End = at(x.end)
		}
		last := int32(-1)
		for i := range f.terminals {
			if f.in(x, i) {
				truth.Terminals++
				if of := f.terminals[i].merchant; of != last { // a merchant's terminals are neighbours
					truth.Merchants++
					last = of
				}
			}
		}
		truths[n] = truth
	}
	return truths
}
