package slack

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/internal/fleettest/slacktest"
)

// killed is what a probe panics with to end a process at that point.
type killed struct{}

// live runs f as a process does, and reports whether it was killed.
func live(p *process, f func()) (dead bool) {
	defer func() {
		switch v := recover(); v.(type) {
		case nil:
			dead = p.dead.Load()
		case killed:
			dead = true
		default:
			panic(v)
		}
	}()
	f()
	return false
}

func TestCrashAtEachPoint(t *testing.T) {
	for _, point := range []string{"claimed", "sent", "recorded"} {
		for n := 1; n <= 2; n++ { // the first post, then an update
			for _, visible := range []time.Duration{0, 6 * time.Second} {
				t.Run(fmt.Sprintf("%s/transition %d/visible after %s", point, n, visible), func(t *testing.T) {
					bubble(t, func(t *testing.T) {
						r := newRig(t, slacktest.Options{Visible: visible})
						if n == 2 {
							r.deliver(r.process(processOptions{}), transition("i", 1))
						}
						p := r.process(processOptions{probe: func(p *process, at string) {
							if at == point {
								p.die()
								panic(killed{})
							}
						}})
						if !live(p, func() { _ = p.Deliver(p.ctx, transition("i", n)) }) {
							t.Fatal("the process was not killed")
						}
						next := r.process(processOptions{})
						r.deliver(next, transition("i", n))
						r.shows("i", n)
						if r.slack.Posts() != 1 {
							t.Errorf("%d posts, want 1: nothing was posted twice", r.slack.Posts())
						}
					})
				})
			}
		}
	}
}

// TestLateHistory: the history shows the lost message later than the window. The duplicate is there, and goes.
func TestLateHistory(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, slacktest.Options{Visible: 40 * time.Second})
		p := r.process(processOptions{probe: func(p *process, at string) {
			if at == "sent" {
				p.die()
				panic(killed{})
			}
		}})
		live(p, func() { _ = p.Deliver(p.ctx, transition("i", 1)) })
		next := r.process(processOptions{})
		r.deliver(next, transition("i", 1))
		if n := len(r.slack.Messages()); n != 2 {
			t.Fatalf("%d messages, want 2: this test is about the duplicate", n)
		}
		time.Sleep(time.Minute)
		if rep := r.reconcile(next); rep.Deleted != 1 || rep.Messages != 2 {
			t.Errorf("report %+v, want one of two messages deleted", rep)
		}
		r.shows("i", 1)
	})
}

// TestCrashes runs seeded lives of an incident: processes are killed at probe points and in the middle of requests,
// Slack fails in every way, history comes late within the window. A fresh process on the same ledger ends with one
// message that shows the last transition. What was posted more than once is counted against the kills.
func TestCrashes(t *testing.T) {
	const runs = 400
	faults := []slacktest.Fault{
		{Kind: slacktest.RateLimit, RetryAfter: 3 * time.Second}, {Kind: slacktest.Status, Status: 503},
		{Kind: slacktest.StatusAfter, Status: 502}, {Kind: slacktest.Hang}, {Kind: slacktest.HangAfter},
		{Kind: slacktest.Drop}, {Kind: slacktest.DropAfter}, {Kind: slacktest.Garbage}, {Kind: slacktest.GarbageLate},
		{Kind: slacktest.Refuse, Error: "not_in_channel"},
	}
	var kills, posts, extra, deleted, adopted, searched, requests int
	for seed := range uint64(runs) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 1))
				visible := time.Duration(rnd.IntN(9000)) * time.Millisecond
				late := seed%4 == 3 // later than the window: duplicates are possible
				if late {
					visible += 12 * time.Second
				}
				r := newRig(t, slacktest.Options{Visible: visible})
				r.slack.SetFault(slacktest.Random(seed, 0.3*rnd.Float64(), faults...))
				last := 1 + rnd.IntN(5)
				mine := 0 // kills of this run
				for n := 1; n <= last; {
					left := rnd.IntN(4) // probes until death; 3 and more: by the clock
					p := r.process(processOptions{probe: func(p *process, _ string) {
						if left--; left == -1 {
							p.die()
							panic(killed{})
						}
					}})
					if left == 3 {
						left = 1 << 30
						timer := time.AfterFunc(time.Duration(rnd.IntN(20000))*time.Millisecond, p.die)
						defer timer.Stop()
					}
					for n <= last {
						ok := false
						if live(p, func() { ok = p.Deliver(p.ctx, transition("i", n)) == nil }) {
							mine++
							break
						}
						if ok {
							n++
						}
					}
					if mine > 6 {
						break // the last process, below, tells the rest
					}
				}
				r.slack.SetFault(nil)
				final := r.process(processOptions{})
				r.deliver(final, transition("i", last))
				before := len(r.slack.Messages())
				time.Sleep(time.Minute)
				rep := r.reconcile(final)
				for _, stale := range rep.Stale {
					t.Errorf("incident %s showed an older transition", stale)
				}
				r.shows("i", last)
				if again := r.reconcile(final); again.Deleted != 0 || again.Messages != 1 {
					t.Errorf("a second reconciliation found %+v", again)
				}
				lost := strings.Count(r.log.String(), "searching")
				if !late && r.slack.Posts() != 1 {
					t.Errorf("%d posts with a history that is on time, want 1", r.slack.Posts())
				}
				if before-1 > mine+lost {
					t.Errorf("%d duplicates after %d kills and %d lost answers", before-1, mine, lost)
				}
				for _, p := range r.processes {
					adopted += int(p.Stats().Adopted)
				}
				kills, posts, extra, deleted = kills+mine, posts+r.slack.Posts(), extra+before-1, deleted+rep.Deleted
				requests += len(r.slack.Requests())
				searched += lost
			})
		})
	}
	t.Logf("%d runs: %d kills, %d requests, %d lost answers, %d messages adopted, %d posts stored, %d duplicates seen, %d deleted by reconciliation",
		runs, kills, requests, searched, adopted, posts, extra, deleted)
	if kills < runs/2 || searched == 0 || adopted < runs/4 || extra == 0 || deleted != extra {
		t.Errorf("these numbers prove little, or something was left over")
	}
}

// TestLiveClaimIsRespected: while one process's update is under way another waits for its deadline, so that the older
// update cannot arrive after the newer.
func TestLiveClaimIsRespected(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, slacktest.Options{})
		a, b := r.process(processOptions{}), r.process(processOptions{})
		r.deliver(a, transition("i", 1))
		r.slack.SetFault(slacktest.Script(slacktest.Fault{Kind: slacktest.Hang, Method: opUpdate}))
		began := time.Now()
		done := make(chan error, 1)
		go func() { done <- a.Deliver(a.ctx, transition("i", 2)) }()
		time.Sleep(time.Second)
		r.deliver(b, transition("i", 3))
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		r.shows("i", 3)
		updates := r.slack.Requests(opUpdate)
		if len(updates) < 2 || updates[1].At.Sub(began) < 5*time.Second {
			t.Errorf("updates at %v, want the second not before the first one's deadline", updates)
		}
	})
}

// TestRace lets two processes deliver the same transitions at once, under faults.
func TestRace(t *testing.T) {
	for seed := range uint64(100) {
		bubble(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 2))
			r := newRig(t, slacktest.Options{Visible: time.Duration(rnd.IntN(5000)) * time.Millisecond})
			r.slack.SetFault(slacktest.Random(seed, 0.2,
				slacktest.Fault{Kind: slacktest.DropAfter}, slacktest.Fault{Kind: slacktest.HangAfter}, slacktest.Fault{Kind: slacktest.Status}))
			const last = 6
			done := make(chan error, 2)
			for i := range 2 {
				p := r.process(processOptions{})
				pauses := rand.New(rand.NewPCG(seed, uint64(i)))
				go func() {
					for n := 1; n <= last; n++ {
						time.Sleep(time.Duration(pauses.IntN(3000)) * time.Millisecond)
						if err := p.Deliver(p.ctx, transition("i", n)); err != nil {
							done <- err
							return
						}
					}
					done <- nil
				}()
			}
			for range 2 {
				if err := <-done; err != nil {
					t.Fatal(err)
				}
			}
			if r.slack.Posts() != 1 {
				t.Errorf("seed %d: %d posts", seed, r.slack.Posts())
			}
			r.shows("i", last)
		})
	}
}

// TestPausedProcess: the one request already past its check. A process is stopped with its bytes on the way; another
// takes over and posts; then the first goes on.
func TestPausedProcess(t *testing.T) {
	for _, fate := range []string{"goes on", "is killed"} {
		t.Run(fate, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, slacktest.Options{})
				h := &held{method: opPost, gate: make(chan struct{})}
				slow := r.process(processOptions{transport: func(rt http.RoundTripper) http.RoundTripper { h.RoundTripper = r.slack.Transport(); return h }})
				done := make(chan error, 1)
				go func() { done <- slow.Deliver(slow.ctx, transition("i", 1)) }()
				time.Sleep(time.Second)
				next := r.process(processOptions{})
				r.deliver(next, transition("i", 1))
				first := r.shows("i", 1)
				if fate == "is killed" {
					slow.die()
				}
				h.open()
				err := <-done
				if fate == "goes on" && err != nil {
					t.Errorf("the paused process: %v", err)
				}
				if r.slack.Posts() != 2 {
					t.Fatalf("%d posts, want 2: this test is about the duplicate", r.slack.Posts())
				}
				rep := r.reconcile(next)
				if m := r.shows("i", 1); m.TS != first.TS {
					t.Errorf("message %s stands, want the recorded one, %s", m.TS, first.TS)
				}
				t.Logf("the paused process %s: %d deleted by itself, %d by reconciliation", fate, slow.Stats().Deleted, rep.Deleted)
				if int64(rep.Deleted)+slow.Stats().Deleted != 1 {
					t.Errorf("deleted %d and %d, want 1 in all", rep.Deleted, slow.Stats().Deleted)
				}
			})
		})
	}
}

// TestOlderUpdateIsRepaired: a paused process's update arrives after a newer one. The record says 3, the message 2.
func TestOlderUpdateIsRepaired(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, slacktest.Options{})
		h := &held{method: opUpdate}
		slow := r.process(processOptions{transport: func(rt http.RoundTripper) http.RoundTripper { h.RoundTripper = rt; return h }})
		r.deliver(slow, transition("i", 1))
		h.gate = make(chan struct{})
		done := make(chan error, 1)
		go func() { done <- slow.Deliver(slow.ctx, transition("i", 2)) }()
		time.Sleep(time.Second)
		next := r.process(processOptions{})
		r.deliver(next, transition("i", 3))
		r.shows("i", 3)
		h.open()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		rep := r.reconcile(next)
		if len(rep.Stale) != 1 || rep.Stale[0] != "i" {
			t.Fatalf("report %+v, want incident i to be stale", rep)
		}
		r.deliver(next, transition("i", 3))
		r.shows("i", 3)
	})
}

func TestReconcile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, slacktest.Options{})
		p := r.process(processOptions{})
		var incidents []string
		for i := range 7 { // more than two pages of the history
			id := fmt.Sprintf("i%d", i)
			incidents = append(incidents, id)
			r.deliver(p, transition(id, 1))
			for range i % 3 {
				r.slack.CopyMessage(r.recorded(id).TS)
			}
		}
		other := r.process(processOptions{})
		other.o.Client.o.Source = "staging" // another installation in the same channel, with ids of the same form
		if _, _, err := other.o.Client.Post(p.ctx, Render(new(transition("i0", 1)), RenderOptions{})); err != nil {
			t.Fatal(err)
		}
		if _, _, err := p.o.Client.Post(p.ctx, Render(new(transition("unknown", 1)), RenderOptions{})); err != nil {
			t.Fatal(err)
		}
		rep := r.reconcile(p)
		if rep.Deleted != 6 || rep.Messages != 14 || rep.Unknown != 1 || rep.Adopted != 0 {
			t.Errorf("report %+v, want 6 deleted of 14, one unknown", rep)
		}
		for _, id := range incidents[1:] {
			r.shows(id, 1)
		}
		if n := len(r.slack.Messages()); n != 9 {
			t.Errorf("%d messages stand, want 7 and two that are not ours to delete", n)
		}

		// A claim whose process died is adopted without anybody delivering it again.
		dying := r.process(processOptions{probe: func(p *process, at string) {
			if at == "sent" {
				p.die()
				panic(killed{})
			}
		}})
		live(dying, func() { _ = dying.Deliver(dying.ctx, transition("lost", 1)) })
		if rep := r.reconcile(p); rep.Adopted != 0 {
			t.Errorf("report %+v: a claim before its deadline was touched", rep)
		}
		time.Sleep(time.Minute)
		if rep := r.reconcile(p); rep.Adopted != 1 {
			t.Errorf("report %+v, want one adopted", rep)
		}
		r.shows("lost", 1)

		// A person deletes the recorded message of two: the other takes its place.
		m := r.shows("i4", 1)
		r.slack.CopyMessage(m.TS)
		r.slack.RemoveMessage(m.TS)
		time.Sleep(time.Hour / 2)
		if rep := r.reconcile(p); rep.Adopted != 1 || rep.Deleted != 0 {
			t.Errorf("report %+v, want one adopted", rep)
		}
		r.shows("i4", 1)
	})
}

// recorded returns the recorded message of an incident.
func (r *rig) recorded(incident string) slacktest.Message {
	for _, m := range r.slack.Messages() {
		if m.Payload["incident"] == incident {
			return m
		}
	}
	r.t.Fatalf("no message of %s", incident)
	return slacktest.Message{}
}
