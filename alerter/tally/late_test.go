package tally

import (
	"fmt"
	"testing"
	"time"
)

func TestWholeAcquirerOfAnotherZone(t *testing.T) {
	// Every clock of the acquirer is eight hours behind. The first five events are late; from then on the median is
	// known and events count, and one that is twenty minutes older than its neighbours is late again.
	r := newRig(t, time.Minute)
	for i := range 20 {
		want := Watched
		if i < offsetFirst {
			want = Late
		}
		if v := r.at(time.Duration(i)*time.Second).txn("a1", fmt.Sprint("T", i), "03", clock(-8*time.Hour)); v != want {
			t.Errorf("event %d was taken for %s, want %s", i, v, want)
		}
	}
	if o := r.Offset("a1"); o != 8*time.Hour {
		t.Errorf("offset %s, want 8h", o)
	}
	if v := r.txn("a1", "T99", "03", clock(-8*time.Hour-20*time.Minute)); v != Late {
		t.Errorf("an event that waited twenty minutes was taken for %s", v)
	}
	if o := r.Offset("a2"); o != 0 {
		t.Errorf("the other acquirer has an offset of %s", o)
	}
}

func TestOneWrongClockDoesNotRuleTheOthers(t *testing.T) {
	decade := 9 * 365 * 24 * time.Hour
	for _, c := range []struct {
		name   string
		clock  time.Duration
		itself Verdict
	}{
		{"in 2035", decade, Watched},
		{"eight hours ahead", 8 * time.Hour, Watched},
		{"eight hours behind", -8 * time.Hour, Late},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, time.Minute)
			wrong, right := 0, 0
			for i := range 300 { // one event in ten comes from the wrong clock, the first among them
				r.at(time.Duration(i) * 100 * time.Millisecond)
				if i%10 == 0 {
					if v := r.txn("a1", "T0", "03", clock(c.clock)); v == c.itself {
						wrong++
					}
				} else if v := r.txn("a1", fmt.Sprint("T", i%10), "03"); v == Watched {
					right++
				}
			}
			if wrong != 30 || right != 270 {
				t.Errorf("%d of 30 events of the wrong clock were %s, %d of 270 others counted", wrong, c.itself, right)
			}
			if o := r.Offset("a1"); o != 0 {
				t.Errorf("offset %s, want 0", o)
			}
		})
	}
}

func TestFastClocksMuteNobody(t *testing.T) {
	// A terminal of 2035 is the only one to speak, and retries for as long as the median remembers. Those that speak
	// after it are on time all the same.
	r := newRig(t, time.Minute)
	for i := range 2 * offsetSamples {
		r.at(time.Duration(i)*100*time.Millisecond).txn("a1", "T0", "03", clock(9*365*24*time.Hour))
	}
	if r.Offset("a1") >= 0 {
		t.Fatalf("offset %s, want one far below zero", r.Offset("a1"))
	}
	for i := range 5 {
		if v := r.txn("a1", fmt.Sprint("T", i+1), "03"); v != Watched {
			t.Errorf("terminal %d was taken for %s", i+1, v)
		}
	}
	if v := r.txn("a1", "T9", "03", clock(-16*time.Minute)); v != Late {
		t.Errorf("an old event was taken for %s", v)
	}
}

func TestRepeatedEventIsDuplicateOrLate(t *testing.T) {
	// Whenever a second copy comes, it never counts: first its id is known, then it is too old.
	for _, after := range []time.Duration{0, time.Second, 5 * time.Minute, 11 * time.Minute, 15 * time.Minute, 19 * time.Minute, 21 * time.Minute, 3 * time.Hour} {
		r := newRig(t, time.Hour)
		r.txn("a1", "T1", "03")
		r.at(after)
		r.n-- // the same id
		v := r.txn("a1", "T1", "03", clock(-after))
		if v != Duplicate && v != Late {
			t.Errorf("a copy after %s was taken for %s", after, v)
		}
		want := 1
		if after >= time.Hour {
			want = 0
		}
		if d := r.declines(inA1); d != want {
			t.Errorf("%d declines after a copy that came %s later, want %d", d, after, want)
		}
	}
}
