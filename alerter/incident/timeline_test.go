package incident_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/alerter/incident"
	"github.com/tillwatch/tillwatch/internal/fleet"
)

const (
	s  = time.Second
	ms = time.Millisecond
)

// quick are the waits of these stories: hold 20 s, resolve after 20 s, update every 10 s, in a window of 60 s.
var quick = rules{window: time.Minute, incident: incident.Options{Hold: 20 * s, ResolveAfter: 20 * s, UpdateEvery: 10 * s}}

// fine is twenty terminals of a1 on another version, two approvals a second.
var fine = traffic{to: 300 * s, every: 500 * ms, terminals: 20, first: 100, merchants: numbers("n", 20), app: "2.4.2", code: "00"}

// onVersion is ten merchants with a terminal each whose version fails: two declines a second.
func onVersion(from, to time.Duration) traffic {
	return traffic{from: from, to: to, every: 500 * ms, terminals: 10, merchants: numbers("m", 10)}
}

// atMerchant is two terminals of one merchant that decline in turn, once a second.
func atMerchant(merchant string, first int, from, to time.Duration) traffic {
	return traffic{from: from, to: to, every: s, terminals: 2, first: first, merchants: []string{merchant}, app: "2.4.2"}
}

var stories = []struct {
	name string
	timeline
	want string
}{
	{"wide opens at its fifth terminal and resolves when the rule has not held for long enough",
		timeline{quick, []traffic{fine, onVersion(10*s, 40*s)}, nil, 200 * s},
		`
12s #1.1 opened (first) 03: acquirer a1, app 2.4.1, 5 of 5, 5 terminals, 5 merchants
22s #1.2 updated (worsened) 03: acquirer a1, app 2.4.1, 24 of 24, 10 terminals, 10 merchants
117s #1.3 resolved (recovered) 03: acquirer a1, app 2.4.1, 60 of 60, 10 terminals, 10 merchants
`},
	{"four terminals of four merchants are nothing",
		timeline{quick, []traffic{fine, {from: 10 * s, to: 60 * s, every: s, terminals: 4, merchants: numbers("m", 4)}}, nil, 200 * s},
		``},
	{"a merchant is held for twenty seconds",
		timeline{quick, []traffic{fine, atMerchant("m1", 0, 10*s, 50*s)}, nil, 200 * s},
		`
31s #1.1 opened (first) 03: acquirer a1, merchant m1, 21 of 21, 2 terminals, 1 merchants
127s #1.2 resolved (recovered) 03: acquirer a1, merchant m1, 40 of 40, 2 terminals, 1 merchants
`},
	{"a merchant that recovers while it is held is nobody's business",
		timeline{rules{window: 10 * s, incident: quick.incident}, []traffic{fine, atMerchant("m1", 0, 10*s, 14*s)}, nil, 100 * s},
		``},
	{"a merchant that is held is absorbed in silence",
		timeline{quick, []traffic{fine, {from: 10 * s, to: 40 * s, every: s, terminals: 2, merchants: []string{"m1"}},
			{from: 20 * s, to: 60 * s, every: 500 * ms, terminals: 10, first: 2, merchants: numbers("m", 10)}}, nil, 200 * s},
		`
21s #1.1 opened (first) 03: acquirer a1, app 2.4.1, 15 of 15, 5 terminals, 3 merchants
31s #1.2 updated (worsened) 03: acquirer a1, app 2.4.1, 43 of 43, 12 terminals, 10 merchants
137s #1.3 resolved (recovered) 03: acquirer a1, app 2.4.1, 110 of 110, 12 terminals, 10 merchants
`},
	{"a merchant that was posted is absorbed too",
		timeline{quick, []traffic{fine, {from: 10 * s, to: 70 * s, every: s, terminals: 2, merchants: []string{"m1"}},
			{from: 50 * s, to: 80 * s, every: 500 * ms, terminals: 10, first: 2, merchants: numbers("m", 10)}}, nil, 250 * s},
		`
31s #1.1 opened (first) 03: acquirer a1, merchant m1, 21 of 21, 2 terminals, 1 merchants
51s #2.1 opened (first) 03: acquirer a1, app 2.4.1, 45 of 45, 5 terminals, 3 merchants
51s #1.2 absorbed (absorbed) 03: acquirer a1, merchant m1, 42 of 42, 3 terminals, 1 merchants by #2
61s #2.2 updated (worsened) 03: acquirer a1, app 2.4.1, 73 of 73, 12 terminals, 10 merchants
157s #2.3 resolved (recovered) 03: acquirer a1, app 2.4.1, 109 of 109, 12 terminals, 10 merchants
`},
	{"a merchant on another version beside a wide incident is its own",
		timeline{quick, []traffic{fine, onVersion(10*s, 60*s), atMerchant("x1", 50, 10*s, 60*s)}, nil, 200 * s},
		`
12s #1.1 opened (first) 03: acquirer a1, app 2.4.1, 5 of 5, 5 terminals, 5 merchants
22s #1.2 updated (worsened) 03: acquirer a1, app 2.4.1, 24 of 24, 10 terminals, 10 merchants
31s #2.1 opened (first) 03: acquirer a1, merchant x1, 21 of 21, 2 terminals, 1 merchants
137s #1.3 resolved (recovered) 03: acquirer a1, app 2.4.1, 100 of 100, 10 terminals, 10 merchants
137s #2.2 resolved (recovered) 03: acquirer a1, merchant x1, 50 of 50, 2 terminals, 1 merchants
`},
	{"an institution's outage is one incident",
		timeline{quick, []traffic{
			{to: 30 * s, every: 500 * ms, terminals: 20, first: 100, merchants: numbers("n", 8), app: "2.4.2", code: "00"},
			{from: 30 * s, to: 90 * s, every: 250 * ms, terminals: 20, first: 100, merchants: numbers("n", 8), app: "2.4.2"},
			{to: 30 * s, every: s, terminals: 10, merchants: numbers("m", 3), code: "00"},
			{from: 30 * s, to: 90 * s, every: s, terminals: 10, merchants: numbers("m", 3)}}, nil, 250 * s},
		`
44.75s #1.1 opened (first) 03: acquirer a1, app 2.4.2, 60 of 120, 20 terminals, 8 merchants
55s #1.2 updated (scope_changed) 03: acquirer a1, 125 of 215, 30 terminals, 11 merchants
168s #1.3 resolved (recovered) 03: acquirer a1, 298 of 298, 30 terminals, 11 merchants
`},
	{"two merchants apart are two incidents",
		timeline{quick, []traffic{fine, atMerchant("m1", 0, 10*s, 60*s), atMerchant("m2", 2, 13*s, 60*s)}, nil, 200 * s},
		`
31s #1.1 opened (first) 03: acquirer a1, merchant m1, 21 of 21, 2 terminals, 1 merchants
34s #2.1 opened (first) 03: acquirer a1, merchant m2, 21 of 21, 2 terminals, 1 merchants
137s #1.2 resolved (recovered) 03: acquirer a1, merchant m1, 50 of 50, 2 terminals, 1 merchants
137s #2.2 resolved (recovered) 03: acquirer a1, merchant m2, 47 of 47, 2 terminals, 1 merchants
`},
	{"two codes are two incidents",
		timeline{quick, []traffic{fine, onVersion(10*s, 40*s), {from: 10*s + 100*ms, to: 40 * s, every: 500 * ms, terminals: 6, first: 20, merchants: numbers("p", 6), code: "97"}}, nil, 200 * s},
		`
12s #1.1 opened (first) 03: acquirer a1, app 2.4.1, 5 of 9, 5 terminals, 5 merchants
12.1s #2.1 opened (first) 97: acquirer a1, app 2.4.1, 5 of 10, 5 terminals, 5 merchants
22s #1.2 updated (worsened) 03: acquirer a1, app 2.4.1, 24 of 48, 10 terminals, 10 merchants
89s #1.3 resolved (recovered) 03: acquirer a1, app 2.4.1, 60 of 120, 10 terminals, 10 merchants
117s #2.2 resolved (recovered) 97: acquirer a1, app 2.4.1, 60 of 119, 6 terminals, 6 merchants
`},
	{"a pause shorter than the wait is one incident",
		timeline{rules{window: 10 * s, incident: quick.incident}, []traffic{fine, onVersion(10*s, 30*s), onVersion(48*s, 70*s)}, nil, 200 * s},
		`
12s #1.1 opened (first) 03: acquirer a1, app 2.4.1, 5 of 5, 5 terminals, 5 merchants
22s #1.2 updated (worsened) 03: acquirer a1, app 2.4.1, 20 of 20, 10 terminals, 10 merchants
97s #1.3 resolved (recovered) 03: acquirer a1, app 2.4.1, 20 of 20, 10 terminals, 10 merchants
`},
	{"a fault that comes back later is another incident",
		timeline{rules{window: 10 * s, incident: quick.incident}, []traffic{fine, onVersion(10*s, 30*s), onVersion(100*s, 120*s)}, nil, 200 * s},
		`
12s #1.1 opened (first) 03: acquirer a1, app 2.4.1, 5 of 5, 5 terminals, 5 merchants
22s #1.2 updated (worsened) 03: acquirer a1, app 2.4.1, 20 of 20, 10 terminals, 10 merchants
57s #1.3 resolved (recovered) 03: acquirer a1, app 2.4.1, 20 of 20, 10 terminals, 10 merchants
102s #2.1 opened (first) 03: acquirer a1, app 2.4.1, 5 of 5, 5 terminals, 5 merchants
112s #2.2 updated (worsened) 03: acquirer a1, app 2.4.1, 20 of 20, 10 terminals, 10 merchants
147s #2.3 resolved (recovered) 03: acquirer a1, app 2.4.1, 20 of 20, 10 terminals, 10 merchants
`},
	{"worsened at twice the terminals, and not more often than the update's wait",
		timeline{quick, []traffic{fine,
			{from: 10 * s, to: 60 * s, every: s, terminals: 5, merchants: numbers("m", 5)},
			{from: 30 * s, to: 60 * s, every: s, terminals: 6, first: 10, merchants: numbers("o", 6)},
			{from: 36 * s, to: 60 * s, every: 250 * ms, terminals: 40, first: 20, merchants: numbers("q", 40)}}, nil, 200 * s},
		`
14s #1.1 opened (first) 03: acquirer a1, app 2.4.1, 5 of 5, 5 terminals, 5 merchants
35s #1.2 updated (worsened) 03: acquirer a1, app 2.4.1, 30 of 30, 10 terminals, 10 merchants
45s #1.3 updated (worsened) 03: acquirer a1, app 2.4.1, 86 of 86, 47 terminals, 47 merchants
138s #1.4 resolved (recovered) 03: acquirer a1, app 2.4.1, 176 of 176, 51 terminals, 51 merchants
`},
	{"a second version joins the scope",
		timeline{quick, []traffic{fine, onVersion(10*s, 80*s),
			{from: 40 * s, to: 80 * s, every: 500 * ms, terminals: 8, first: 30, merchants: numbers("v", 8), app: "2.3.9"}}, nil, 200 * s},
		`
12s #1.1 opened (first) 03: acquirer a1, app 2.4.1, 5 of 5, 5 terminals, 5 merchants
22s #1.2 updated (worsened) 03: acquirer a1, app 2.4.1, 24 of 24, 10 terminals, 10 merchants
42s #1.3 updated (scope_changed) 03: acquirer a1, app 2.3.9 or acquirer a1, app 2.4.1, 70 of 70, 15 terminals, 15 merchants
157s #1.4 resolved (recovered) 03: acquirer a1, app 2.3.9 or acquirer a1, app 2.4.1, 199 of 199, 18 terminals, 18 merchants
`},
	{"several acquirers: where none of them explains it alone",
		timeline{quick, []traffic{fine, {from: 10 * s, to: 40 * s, every: s, terminals: 3, merchants: numbers("m", 3)},
			{from: 10*s + 500*ms, to: 40 * s, every: s, acquirer: "a2", terminals: 3, merchants: numbers("k", 3)}}, nil, 200 * s},
		`
12s #1.1 opened (first) 03: app 2.4.1, 5 of 5, 5 terminals, 5 merchants
117s #1.2 resolved (recovered) 03: app 2.4.1, 60 of 60, 6 terminals, 6 merchants
`},
	{"several acquirers: each explains its own",
		timeline{quick, []traffic{fine, onVersion(10*s, 40*s),
			{from: 10*s + 250*ms, to: 40 * s, every: 500 * ms, acquirer: "a2", terminals: 10, merchants: numbers("k", 10)}}, nil, 200 * s},
		`
11s #1.1 opened (first) 03: app 2.4.1, 5 of 5, 5 terminals, 5 merchants
12s #2.1 opened (first) 03: acquirer a1, app 2.4.1, 5 of 5, 5 terminals, 5 merchants
12s #1.2 absorbed (absorbed) 03: app 2.4.1, 8 of 8, 8 terminals, 8 merchants by #2
12.25s #3.1 opened (first) 03: acquirer a2, app 2.4.1, 5 of 5, 5 terminals, 5 merchants
22s #2.2 updated (worsened) 03: acquirer a1, app 2.4.1, 24 of 24, 10 terminals, 10 merchants
23s #3.2 updated (worsened) 03: acquirer a2, app 2.4.1, 26 of 26, 10 terminals, 10 merchants
117s #2.3 resolved (recovered) 03: acquirer a1, app 2.4.1, 60 of 60, 10 terminals, 10 merchants
117s #3.3 resolved (recovered) 03: acquirer a2, app 2.4.1, 60 of 60, 10 terminals, 10 merchants
`},
	{"a finding that is there before explains the opening",
		timeline{quick, []traffic{fine, atMerchant("m1", 0, 10*s, 60*s)}, []input{finding(5*s, "m1", 1, fleet.FindingOpen)}, 200 * s},
		`
31s #1.1 opened (first) 03: acquirer a1, merchant m1, 21 of 21, 2 terminals, 1 merchants, m1 cancelled
137s #1.2 resolved (recovered) 03: acquirer a1, merchant m1, 50 of 50, 2 terminals, 1 merchants, m1 cancelled
`},
	{"a finding that comes after explains it then",
		timeline{quick, []traffic{fine, atMerchant("m1", 0, 10*s, 90*s)}, []input{finding(35*s, "m1", 1, fleet.FindingOpen)}, 200 * s},
		`
31s #1.1 opened (first) 03: acquirer a1, merchant m1, 21 of 21, 2 terminals, 1 merchants
41s #1.2 updated (explained) 03: acquirer a1, merchant m1, 31 of 31, 2 terminals, 1 merchants, m1 cancelled
167s #1.3 resolved (recovered) 03: acquirer a1, merchant m1, 59 of 59, 2 terminals, 1 merchants, m1 cancelled
`},
	{"a finding that is cleared stays with the incident that it explained",
		timeline{quick, []traffic{fine, atMerchant("m1", 0, 10*s, 60*s)},
			[]input{finding(5*s, "m1", 1, fleet.FindingOpen), finding(50*s, "m1", 2, fleet.FindingCleared)}, 200 * s},
		`
31s #1.1 opened (first) 03: acquirer a1, merchant m1, 21 of 21, 2 terminals, 1 merchants, m1 cancelled
137s #1.2 resolved (recovered) 03: acquirer a1, merchant m1, 50 of 50, 2 terminals, 1 merchants, m1 cancelled
`},
	{"a finding that was cleared before explains nothing",
		timeline{quick, []traffic{fine, atMerchant("m1", 0, 10*s, 60*s)},
			[]input{finding(2*s, "m1", 1, fleet.FindingOpen), finding(5*s, "m1", 2, fleet.FindingCleared)}, 200 * s},
		`
31s #1.1 opened (first) 03: acquirer a1, merchant m1, 21 of 21, 2 terminals, 1 merchants
137s #1.2 resolved (recovered) 03: acquirer a1, merchant m1, 50 of 50, 2 terminals, 1 merchants
`},
	{"findings about few of its merchants do not explain a wide incident",
		timeline{quick, []traffic{fine, onVersion(10*s, 40*s)}, []input{finding(5*s, "m1", 1, fleet.FindingOpen), finding(5*s, "m2", 1, fleet.FindingOpen)}, 200 * s},
		`
12s #1.1 opened (first) 03: acquirer a1, app 2.4.1, 5 of 5, 5 terminals, 5 merchants
22s #1.2 updated (worsened) 03: acquirer a1, app 2.4.1, 24 of 24, 10 terminals, 10 merchants
117s #1.3 resolved (recovered) 03: acquirer a1, app 2.4.1, 60 of 60, 10 terminals, 10 merchants
`},
}

func TestTimelines(t *testing.T) {
	for _, st := range stories {
		t.Run(st.name, func(t *testing.T) {
			got, want := told(st.play(t)), strings.TrimLeft(st.want, "\n")
			if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}
