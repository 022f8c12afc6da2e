package arch

import (
	"fmt"
	"slices"
	"strings"
)

// rules judge one Go file each.
var rules = []func(*source) []violation{arrows, pure, vendors, process, size}

// pureRooms do no I/O, read no clock and log nothing.
var pureRooms = []string{
	"collector/point",
	"alerter", // the root: vocabulary only
	"alerter/tally", "alerter/detect", "alerter/localize", "alerter/diagnose", "alerter/incident",
	"internal/fleet", "internal/fleet/carddata", "internal/schema",
}

// arrows holds who may import whom within the module. A test file has the same arrows as its room, but may use the
// servers and builders of fleettest.
func arrows(s *source) (out []violation) {
	for _, i := range s.imports {
		to := i.room
		if to == "" {
			continue
		}
		say := func(rule, todo string) {
			out = append(out, s.breach(i.line, "imports "+i.path, rule, todo))
		}
		switch {
		case within(to, "cmd") && !within(s.room, "cmd") && !(s.test && within(s.room, "deploy")): // deploy's tests run the shipped files by the real command line
			say("nothing imports cmd", "move what is needed into a room below internal")
		case within(s.room, "collector") && within(to, "alerter") || within(s.room, "alerter") && within(to, "collector"):
			say("collector and alerter never import each other", "put what both need into internal/fleet or internal/schema; facts go over the bus")
		case within(s.room, "internal") && within(to, "collector", "alerter") && !within(s.room, "internal/fleettest"):
			say("internal/* imports neither collector nor alerter", "let the caller hand it in, or move it into the room that needs both")
		case within(s.room, "alerter") && within(to, "internal/influx"):
			say("only the collector writes the database: the alerter works without it", "publish to DERIVED; the collector stores it")
		case within(to, "internal/fleettest") && !s.test && !within(s.room, "internal/fleettest"):
			say("internal/fleettest is for tests only", "import it from a _test.go file, or move what production needs out of it")
		case strings.HasPrefix(s.room, "alerter/") && strings.HasPrefix(to, "alerter/") && to != s.room && !within(s.room, "alerter/pipeline") && !s.test:
			say("the alerter's rooms meet only in alerter/pipeline", "put the shared type into package alerter, or the wiring into alerter/pipeline")
		}
	}
	return out
}

// impure are parts of the standard library that reach outside the process, read a clock, or log.
var impure = []string{
	"os", "net", "log", "io/fs", "io/ioutil", "syscall", "plugin", "database/sql", "crypto/rand", "math/rand",
	"expvar", "runtime/trace", "runtime/pprof", "testing",
}

// clockAndConsole are names of packages that are pure but for these.
var clockAndConsole = map[string][]string{
	"time": {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "Local", "LoadLocation"},
	"fmt":  {"Print", "Println", "Printf", "Scan", "Scanln", "Scanf"},
	"math/rand/v2": {"Int", "IntN", "Int32", "Int32N", "Int64", "Int64N", "Uint", "UintN", "Uint32", "Uint32N", "Uint64", "Uint64N",
		"N", "Float32", "Float64", "NormFloat64", "ExpFloat64", "Perm", "Shuffle"}, // of the process's own source; a seeded one is pure
}

// pure holds what a pure room may know: the fleet, the schema, its own root's types, and the standard library without
// I/O, clock and logger. Its tests may do as they like.
func pure(s *source) (out []violation) {
	if s.test || !slices.Contains(pureRooms, s.room) {
		return nil
	}
	rule := s.room + " is pure: `now` is an argument, and it does no I/O and has no logger"
	top, _, nested := strings.Cut(s.room, "/")
	for _, i := range s.imports {
		switch {
		case i.room != "":
			if !within(i.room, "internal/fleet", "internal/schema") && !(nested && i.room == top && top != "internal") {
				out = append(out, s.breach(i.line, "imports "+i.path,
					s.room+" is pure: it knows internal/fleet, internal/schema and its own root's types",
					"take what is needed as an argument, or do it in the room that wires this one"))
			}
		case isVendor(i.path):
			if !(i.path == "github.com/cespare/xxhash/v2" && within(s.room, "internal/fleet")) {
				out = append(out, s.breach(i.line, "imports "+i.path, s.room+" is pure: it knows no vendor library",
					"use the standard library, or what internal/fleet offers, such as fleet.Hash"))
			}
		case slices.ContainsFunc(impure, func(p string) bool { return within(i.path, p) }) && i.path != "math/rand/v2":
			out = append(out, s.breach(i.line, "imports "+i.path, rule, "return what is to be written or said, and let the caller do it"))
		}
	}
	s.uses(func(line int, pkg, name string) {
		if slices.Contains(clockAndConsole[pkg], name) {
			out = append(out, s.breach(line, "uses "+pkg+"."+name, rule, "take the instant, the zone or the seed as an argument"))
		}
	})
	return out
}

// process holds where a process may end itself or listen to signals, and what makes uses of a package invisible.
func process(s *source) (out []violation) {
	for _, i := range s.imports {
		if i.path == "os/signal" && !within(s.room, "cmd") && !s.test {
			out = append(out, s.breach(i.line, "imports os/signal", "signals are only in cmd, so that tests can run everything else", "take a context"))
		}
		if i.name == "." {
			out = append(out, s.breach(i.line, "dot import of "+i.path, "every use of another package shows its name", "import it by its name"))
		}
	}
	s.uses(func(line int, pkg, name string) {
		switch {
		case pkg == "os" && name == "Exit" && !within(s.room, "cmd", "internal/fleettest") && !s.test:
			out = append(out, s.breach(line, "uses os.Exit", "only cmd ends the process: else deferred calls are skipped", "return an error"))
		case pkg == "log" && (strings.HasPrefix(name, "Fatal") || strings.HasPrefix(name, "Panic")):
			out = append(out, s.breach(line, "uses log."+name, "nothing calls Fatal", "return an error"))
		}
	})
	return out
}

// sleeps holds that tests wait for what happens and not for time to pass. Where a room's tests use testing/synctest a
// sleep is one of the bubble's clock.
func sleeps(sources []*source) (out []violation) {
	bubbles := map[string]bool{}
	for _, s := range sources {
		for _, i := range s.imports {
			bubbles[s.room] = bubbles[s.room] || s.test && i.path == "testing/synctest"
		}
	}
	for _, s := range sources {
		if !s.test || bubbles[s.room] {
			continue
		}
		s.uses(func(line int, pkg, name string) {
			if pkg == "time" && name == "Sleep" {
				out = append(out, s.breach(line, "uses time.Sleep", "tests do not sleep: too short is flaky, and long enough is slow",
					"poll until a deadline, or run in a testing/synctest bubble"))
			}
		})
	}
	return out
}

// maxLines is where a file has surely more than one idea; the house style aims at 400.
const maxLines = 600

func size(s *source) []violation {
	if s.lines <= maxLines {
		return nil
	}
	return []violation{s.breach(s.lines, fmt.Sprintf("has %d lines", s.lines), fmt.Sprintf("a file has at most %d lines and one idea", maxLines), "split it by idea")}
}

// docs demands one package doc a folder: none leaves the room unexplained, two contradict each other sooner or later.
// A folder of nothing but tests needs a doc.go too.
func docs(sources []*source) (out []violation) {
	rooms := map[string][]*source{}
	for _, s := range sources {
		rooms[s.room] = append(rooms[s.room], s)
	}
	for room, in := range rooms {
		var docs []*source
		for _, s := range in {
			if !s.test && s.syntax.Doc != nil {
				docs = append(docs, s)
			}
		}
		const rule = "one package doc a folder"
		if len(docs) == 0 {
			out = append(out, in[0].breach(1, "no file of "+room+" has a package doc", rule, "write doc.go: what enters, what leaves, what blocks, ordering, how to test"))
			continue
		}
		for _, s := range docs[1:] {
			out = append(out, s.breach(1, room+" has a second package doc, beside "+docs[0].path, rule, "merge them into doc.go"))
		}
		name := docs[0].syntax.Name.Name
		start, text := "Package "+name+" ", docs[0].syntax.Doc.Text()
		if name == "main" {
			start = "Command "
		}
		if !strings.HasPrefix(text, start) {
			out = append(out, docs[0].breach(1, "the package doc begins otherwise", fmt.Sprintf("a package doc begins with %q", start), "begin it so, in a whole sentence"))
		}
	}
	return out
}
