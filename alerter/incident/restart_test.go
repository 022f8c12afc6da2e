package incident_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// resume plays a story as a process does that takes over: it has read the stored transitions, and goes over the past
// from where the window is full.
func resume(tb testing.TB, tl timeline, stored []fleet.Transition, cursor time.Time) []fleet.Transition {
	p := newPlayer(tb, tl.rules)
	for _, t := range stored {
		raw, err := json.Marshal(&t)
		if err != nil {
			tb.Fatal(err)
		}
		var back fleet.Transition
		if err := json.Unmarshal(raw, &back); err != nil {
			tb.Fatal(err)
		}
		p.book.Restore(back)
	}
	p.book.Resume(cursor)
	return p.play(tl.inputs(), start.Add(tl.end))
}

// cursors are the instants up to which a process may have noted all to be decided when it ended after having stored so
// many of a story's transitions: any whole second before the next one.
func cursors(all []fleet.Transition, stored int, end time.Duration) (latest time.Duration) {
	if stored == len(all) {
		return end
	}
	next := time.UnixMilli(all[stored].At).Sub(start)
	return (next - 1).Truncate(time.Second)
}

// TestRestartAnywhere ends the process after any stored transition, with a cursor that may lag, and lets another one
// take over: together they give what one process gives alone.
func TestRestartAnywhere(t *testing.T) {
	whole := make([][]fleet.Transition, len(stories))
	for i, st := range stories {
		whole[i] = st.play(t)
	}
	checked := 0
	one := func(tb testing.TB, i, stored int, lag time.Duration, fail func(format string, args ...any)) {
		all := whole[i]
		latest := cursors(all, stored, stories[i].end)
		cursor := start.Add(max(0, latest-lag))
		rest := resume(tb, stories[i].timeline, all[:stored], cursor)
		if got, want := encode(tb, rest), encode(tb, all[stored:]); !slices.Equal(got, want) {
			fail("%s: after %d stored and a cursor of %s got\n%s\nwant\n%s", stories[i].name, stored, cursor.Sub(start), told(rest), told(all[stored:]))
		}
		checked++
	}
	for i := range stories { // every point, with no lag
		for stored := range len(whole[i]) + 1 {
			one(t, i, stored, 0, t.Errorf)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		i := rapid.IntRange(0, len(stories)-1).Draw(rt, "story")
		stored := rapid.IntRange(0, len(whole[i])).Draw(rt, "stored")
		lag := time.Duration(rapid.IntRange(0, 60).Draw(rt, "lag")) * time.Second
		one(t, i, stored, lag, rt.Fatalf)
	})
	t.Logf("%d restarts gave the same remaining transitions", checked)
}

func encode(tb testing.TB, ts []fleet.Transition) (lines []string) {
	for _, t := range ts {
		raw, err := json.Marshal(&t)
		if err != nil {
			tb.Fatal(err)
		}
		lines = append(lines, string(raw))
	}
	return lines
}

// TestSameStepsSameTransitions plays every story again; the maps inside are in another order each time.
func TestSameStepsSameTransitions(t *testing.T) {
	n := 0
	for _, st := range stories {
		first := encode(t, st.play(t))
		for range 5 {
			again := encode(t, st.play(t))
			if !slices.Equal(first, again) {
				t.Errorf("%s: two plays differ:\n%q\n%q", st.name, first, again)
			}
			n += len(again)
		}
	}
	t.Logf("%d transitions, byte for byte", n)
}

// TestRandomFaults draws traffic of a few merchants, versions and acquirers and holds what is true of any story, of any
// restart of it, and of its end.
func TestRandomFaults(t *testing.T) {
	transitions, restarts := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		tl := timeline{rules: rules{window: time.Duration(rapid.IntRange(10, 60).Draw(rt, "window")) * s, incident: quick.incident}, end: 400 * s}
		for range rapid.IntRange(1, 6).Draw(rt, "traffics") {
			from := time.Duration(rapid.IntRange(0, 150).Draw(rt, "from")) * s
			tl.traffic = append(tl.traffic, traffic{
				from: from, to: from + time.Duration(rapid.IntRange(1, 90).Draw(rt, "for"))*s,
				every:     time.Duration(rapid.IntRange(100, 3000).Draw(rt, "every")) * ms,
				acquirer:  rapid.SampledFrom([]string{"a1", "a2", "a3"}).Draw(rt, "acquirer"),
				terminals: rapid.IntRange(1, 12).Draw(rt, "terminals"), first: rapid.IntRange(0, 20).Draw(rt, "first"),
				merchants: numbers("m", rapid.IntRange(1, 8).Draw(rt, "merchants")),
				app:       rapid.SampledFrom([]string{"2.4.1", "2.4.2"}).Draw(rt, "app"),
				code:      rapid.SampledFrom([]string{"03", "03", "97", "00"}).Draw(rt, "code"),
			})
		}
		p := newPlayer(t, tl.rules)
		all := p.play(tl.inputs(), start.Add(tl.end))
		wellFormed(t, all)
		if p.book.Open() != 0 {
			rt.Fatalf("%d incidents are open long after the last decline:\n%s", p.book.Open(), told(all))
		}
		transitions += len(all)
		for range 3 {
			stored := rapid.IntRange(0, len(all)).Draw(rt, "stored")
			cursor := start.Add(max(0, cursors(all, stored, tl.end)-time.Duration(rapid.IntRange(0, 30).Draw(rt, "lag"))*s))
			rest := resume(t, tl, all[:stored], cursor)
			if got, want := encode(t, rest), encode(t, all[stored:]); !slices.Equal(got, want) {
				rt.Fatalf("after %d stored and a cursor of %s got\n%s\nwant\n%s\nof\n%s", stored, cursor.Sub(start), told(rest), told(all[stored:]), told(all))
			}
			restarts++
		}
	})
	t.Logf("%d transitions, %d restarts", transitions, restarts)
}
