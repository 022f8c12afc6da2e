package simulate

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// message is what Publish was given, and when.
type message struct {
	at      time.Time
	subject string
	id      string
	body    []byte
}

type sink []message

func (s *sink) publish(_ context.Context, subject, msgID string, body []byte) error {
	*s = append(*s, message{time.Now(), subject, msgID, body})
	return nil
}

func runOptions() Options {
	return Options{Terminals: 40, Seed: 3, Rate: 120, AlwaysOpen: true, Approvals: true}
}

func TestRunKeepsThePace(t *testing.T) {
	for _, speed := range []float64{0, 1, 7.5, 0.5} {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t, runOptions())
			want := make([]Event, 0, 1000)
			for e := range f.Events(10 * time.Minute) {
				want = append(want, e)
			}
			began := time.Now()
			var got sink
			sum, err := f.Run(t.Context(), RunOptions{Speed: speed, For: 10 * time.Minute, Publish: got.publish})
			if err != nil || sum.Events != len(want) || len(got) != len(want) {
				t.Fatalf("%v, %v: published %d, want %d", sum, err, len(got), len(want))
			}
			factor := speed
			if factor == 0 {
				factor = 1
			}
			for i, m := range got {
				due := time.Duration(float64(want[i].At.Sub(f.Start())) / factor)
				if late := m.at.Sub(began) - due; late < 0 || late > time.Millisecond {
					t.Fatalf("event %d at %s, due at %s", i, m.at.Sub(began), due)
				}
				key, kind, err := fleet.ParseSubject(m.subject)
				if err != nil || key != want[i].Key || kind != want[i].Kind {
					t.Fatalf("event %d: %s, %v", i, m.subject, err)
				}
				if ts := decodeTS(t, m); ts != m.at.UnixMilli() {
					t.Fatalf("event %d has ts %d at %d", i, ts, m.at.UnixMilli())
				}
			}
			if took := time.Since(began); took != time.Duration(float64(10*time.Minute)/factor) || took != sum.Took || !sum.Began.Equal(began) || sum.Fleet != 10*time.Minute {
				t.Errorf("speed %v took %s; %v", speed, took, sum)
			}
		})
	}
}

// decodeTS reads a message as the collector does, and checks its id.
func decodeTS(t *testing.T, m message) int64 {
	t.Helper()
	key, kind, err := fleet.ParseSubject(m.subject)
	if err != nil {
		t.Fatal(err)
	}
	if kind == fleet.KindTxn {
		var txn fleet.Txn
		if err := fleet.DecodeTxn(m.body, key, &txn); err != nil || m.id != key.TxnMsgID(txn.Src, txn.ID) {
			t.Fatalf("%s: %v\n%s", m.id, err, m.body)
		}
		return txn.TS
	}
	var h fleet.Heartbeat
	if err := fleet.DecodeHeartbeat(m.body, key, &h); err != nil || m.id != key.HeartbeatMsgID(h.Boot, h.Seq) {
		t.Fatalf("%s: %v\n%s", m.id, err, m.body)
	}
	if h.Boot*1000 > h.TS+60_000 {
		t.Fatalf("boot %d at %d", h.Boot, h.TS)
	}
	return h.TS
}

func TestRunWithoutGaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := Options{Terminals: 60, Seed: 5, Rate: 10, Heartbeat: 10 * time.Minute, Approvals: true} // with nights, so that terminals start again
		f := newFleet(t, o)
		began := time.Now()
		var first, second sink
		sum, err := f.Run(t.Context(), RunOptions{Max: true, For: 72 * time.Hour, Publish: first.publish})
		if err != nil || time.Since(began) != 0 || sum.Events != len(first) || sum.Fleet != 72*time.Hour {
			t.Fatalf("%v, %v in %s", sum, err, time.Since(began))
		}
		<-time.After(time.Hour)
		if _, err := f.Run(t.Context(), RunOptions{Max: true, For: 72 * time.Hour, Publish: second.publish}); err != nil {
			t.Fatal(err)
		}
		// Neither in one run nor over two does an id come back or a terminal's (boot, seq) go back.
		ids := map[string]bool{}
		type state struct{ boot, seq int64 }
		last := map[string]state{}
		boots := 0
		for _, m := range append(first, second...) {
			if ids[m.id] {
				t.Fatalf("message id %s is there twice", m.id)
			}
			ids[m.id] = true
			decodeTS(t, m)
			key, kind, _ := fleet.ParseSubject(m.subject)
			if kind != fleet.KindHeartbeat {
				continue
			}
			var h fleet.Heartbeat
			if err := fleet.DecodeHeartbeat(m.body, key, &h); err != nil {
				t.Fatal(err)
			}
			was := last[m.subject]
			if h.Boot < was.boot || h.Boot == was.boot && h.Seq != was.seq+1 || h.Boot > was.boot && h.Seq != 0 {
				t.Fatalf("%s: (%d, %d) after %v", m.subject, h.Boot, h.Seq, was)
			}
			if h.Boot > was.boot {
				boots++
			}
			last[m.subject] = state{h.Boot, h.Seq}
		}
		t.Logf("%d messages, %d starts of 60 terminals", len(ids), boots)
		if boots < 150 {
			t.Errorf("%d starts", boots)
		}
	})
}

func TestRunStopsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, runOptions())
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		began := time.Now()
		var got sink
		sum, err := f.Run(ctx, RunOptions{Publish: got.publish}) // without end
		if err != nil || time.Since(began) != 90*time.Second || sum.Events != len(got) || sum.Events == 0 {
			t.Errorf("%v, %v after %s", sum, err, time.Since(began))
		}
		ctx, cancel = context.WithCancel(t.Context())
		n := 0
		_, err = f.Run(ctx, RunOptions{Max: true, Publish: func(ctx context.Context, _, _ string, _ []byte) error {
			if n++; n == 100 {
				cancel()
				return ctx.Err() // as a publisher does whose context is gone
			}
			return nil
		}})
		if err != nil || n != 100 {
			t.Errorf("%v after %d events", err, n)
		}
	})
}

func TestRunEndsWithTheErrorOfPublish(t *testing.T) {
	broken := errors.New("no responders")
	f := newFleet(t, runOptions())
	n := 0
	sum, err := f.Run(t.Context(), RunOptions{Max: true, For: time.Hour, Publish: func(context.Context, string, string, []byte) error {
		if n++; n == 7 {
			return broken
		}
		return nil
	}})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "fleet.v1.") || sum.Events != 6 {
		t.Errorf("%v, %v", sum, err)
	}
	for _, o := range []RunOptions{{}, {Speed: -1, Publish: new(sink).publish}} {
		if _, err := f.Run(t.Context(), o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}

func TestProgressAndSummary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, runOptions())
		var out bytes.Buffer
		sum, err := f.Run(t.Context(), RunOptions{For: time.Minute, Publish: new(sink).publish, Progress: &out, ProgressEvery: 20 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) < 3 || len(lines) > 4 || lines[len(lines)-1] != "simulate: "+sum.String() {
			t.Errorf("progress:\n%s", &out)
		}
		declined := 0
		for _, n := range sum.Declines {
			declined += n
		}
		if sum.Heartbeats+sum.Txns != sum.Events || sum.Approved+declined != sum.Txns || sum.Approved == 0 {
			t.Errorf("%+v", sum)
		}
	})
	got := Summary{Events: 7, Heartbeats: 2, Txns: 5, Approved: 1, Declines: map[string]int{"51": 1, "03": 2, "55": 1}, Fleet: time.Minute, Took: 2 * time.Second}.String()
	want := "7 events (2 heartbeats, 5 transactions, 1 of them approved) of 1m0s in 2s; declines 03:2 51:1 55:1"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFleetTimeFollowsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, runOptions())
		if f.Now() != f.Start() {
			t.Errorf("before any run it is %s", f.Now())
		}
		began := time.Now()
		done := make(chan error, 1)
		go func() {
			_, err := f.Run(t.Context(), RunOptions{Speed: 6, For: time.Hour, Publish: new(sink).publish})
			done <- err
		}()
		<-time.After(5 * time.Minute)
		if got := f.Now().Sub(f.Start()); got != 30*time.Minute {
			t.Errorf("after 5 minutes at sixfold speed %s have passed", got)
		}
		if got := f.outside(f.Start().Add(12 * time.Minute)); !got.Equal(began.Add(2 * time.Minute)) {
			t.Errorf("minute 12 was at %s of the clock", got.Sub(began))
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
