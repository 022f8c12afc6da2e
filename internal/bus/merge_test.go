package bus

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drain steps until nothing moves.
func drain(t interface{ Fatal(...any) }, m *merge, got *[]Item) {
	for {
		progressed, err := m.step(func(it Item) error { *got = append(*got, it); return nil })
		if err != nil {
			t.Fatal(err)
		}
		if !progressed {
			return
		}
	}
}

func TestMergeWaitsForEveryStream(t *testing.T) {
	t0 := time.Unix(1_763_900_000, 0)
	m := &merge{o: MergeOptions{Streams: []string{"A", "B"}}, heads: make([]*Stored, 2), known: make([]time.Time, 2), last: t0}
	var got []Item
	m.heads[0] = &Stored{Stored: t0.Add(1500 * time.Millisecond)}
	drain(t, m, &got)
	if len(got) != 0 {
		t.Fatalf("%d items before anything is known of the other stream: %v", len(got), got)
	}
	m.known[1] = t0.Add(1200 * time.Millisecond)
	drain(t, m, &got)
	if len(got) != 1 || !got[0].Tick || !got[0].At.Equal(t0.Add(time.Second)) {
		t.Fatalf("with the other known to 1.2 s: %v, want the tick of second 1", got)
	}
	m.known[1] = t0.Add(2100 * time.Millisecond)
	drain(t, m, &got)
	if len(got) != 2 || got[1].Tick {
		t.Fatalf("with the other known to 2.1 s: %v, want the message and, its own stream being unread, no tick", got)
	}
	m.known[0] = t0.Add(2 * time.Second)
	drain(t, m, &got)
	if len(got) != 3 || !got[2].Tick {
		t.Fatalf("with both known to 2 s: %v, want the tick of second 2", got)
	}
}

// TestMergeOrderDoesNotDependOnArrival delivers random messages of three streams with random delays: what comes out is
// the order of (time, stream, sequence), with one tick a second, however the streams were read.
func TestMergeOrderDoesNotDependOnArrival(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		t0 := time.Unix(1_763_900_000, 0)
		names := []string{"TXN", "HB", "CONTROL"}
		streams := make([][]Stored, 3)
		type want struct {
			at     time.Time
			stream int
			seq    uint64
		}
		var order []want
		for i := range streams {
			at := t0
			for n := range rapid.IntRange(0, 12).Draw(t, "n") {
				at = at.Add(time.Duration(rapid.IntRange(0, 900).Draw(t, "gap")) * time.Millisecond)
				streams[i] = append(streams[i], Stored{Seq: uint64(n + 1), Stored: at})
				order = append(order, want{at, i, uint64(n + 1)})
			}
		}
		slices.SortStableFunc(order, func(a, b want) int {
			if c := a.at.Compare(b.at); c != 0 {
				return c
			}
			return a.stream - b.stream
		})
		end := t0.Add(30 * time.Second)
		m := &merge{o: MergeOptions{Streams: names}, heads: make([]*Stored, 3), known: make([]time.Time, 3), last: t0}
		var got []Item
		for left := len(order); left > 0 || m.known[0].Before(end) || m.known[1].Before(end) || m.known[2].Before(end); {
			i := rapid.IntRange(0, 2).Draw(t, "stream")
			switch {
			case m.heads[i] != nil:
				// It waits for the others; the drain below shows whether it may go.
			case len(streams[i]) > 0:
				m.heads[i], streams[i] = &streams[i][0], streams[i][1:]
				left--
			default:
				m.known[i] = end
			}
			drain(t, m, &got)
		}
		drain(t, m, &got)
		var messages []want
		last, ticks := t0, 0
		for _, it := range got {
			if it.At.Before(last) {
				t.Fatalf("time went back to %v", it.At)
			}
			last = it.At
			if it.Tick {
				ticks++
				continue
			}
			messages = append(messages, want{it.At, slices.Index(names, it.Stream), it.Seq})
		}
		if !slices.Equal(messages, order) {
			t.Fatalf("order %v\nwant  %v", messages, order)
		}
		if ticks != 30 {
			t.Fatalf("%d ticks, want 30", ticks)
		}
	})
}
