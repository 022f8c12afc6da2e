package slack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/fleettest/slacktest"
)

func TestOneMessageFollowsItsIncident(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, slacktest.Options{})
		p := r.process(processOptions{})
		for n := 1; n <= 4; n++ {
			r.deliver(p, transition("i", n))
			m := r.shows("i", n)
			if m.Edits != n-1 || !strings.Contains(string(m.Blocks), fmt.Sprintf("%d declines", 10*n)) {
				t.Errorf("transition %d: message %s after %d edits", n, m.Blocks, m.Edits)
			}
		}
		r.deliver(p, transition("i", 4)) // again
		r.deliver(p, transition("i", 2)) // late
		r.shows("i", 4)
		if s := p.Stats(); s.Posted != 1 || s.Updated != 3 || s.Superseded != 1 || s.Waiting != 0 {
			t.Errorf("stats %+v, want one post, three updates, one superseded, none waiting", s)
		}
		if n := len(r.slack.Requests()); n != 4 {
			t.Errorf("%d requests, want 4: what is shown already costs none", n)
		}
	})
}

// TestEveryFault fails the first attempts of a post, then of an update, in every way the server can. What may have been
// stored is searched for; what cannot have been is sent again. Either way one message stands at the end.
func TestEveryFault(t *testing.T) {
	faults := []slacktest.Fault{
		{Kind: slacktest.RateLimit, RetryAfter: 7 * time.Second}, {Kind: slacktest.RateLimit},
		{Kind: slacktest.Status, Status: 500}, {Kind: slacktest.Status, Status: 503}, {Kind: slacktest.Status, Status: 403},
		{Kind: slacktest.StatusAfter, Status: 502},
		{Kind: slacktest.Hang}, {Kind: slacktest.HangAfter}, {Kind: slacktest.Drop}, {Kind: slacktest.DropAfter},
		{Kind: slacktest.Garbage}, {Kind: slacktest.GarbageLate}, {Kind: slacktest.Garbage, Body: "{}"},
		{Kind: slacktest.GarbageLate, Body: `{"ok":true}`}, {Kind: slacktest.Garbage, Body: `{"ok":tr`},
		{Kind: slacktest.Refuse, Error: "internal_error"}, {Kind: slacktest.Refuse, Error: "not_in_channel"},
		{Kind: slacktest.Refuse, Error: "ratelimited"}, {Kind: slacktest.Refuse, Error: "a_word_of_tomorrow"},
	}
	for _, f := range faults {
		for _, visible := range []time.Duration{0, 4 * time.Second} {
			name := strings.Trim(fmt.Sprintf("%s %d %s %s/visible after %s", f.Kind, f.Status, f.Error, f.Body, visible), " ")
			t.Run(name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					r := newRig(t, slacktest.Options{Visible: visible})
					p := r.process(processOptions{})
					post, update := f, f
					post.Method, update.Method = opPost, opUpdate
					r.slack.SetFault(slacktest.Script(post, update, update))
					r.deliver(p, transition("i", 1))
					r.shows("i", 1)
					r.deliver(p, transition("i", 2))
					r.shows("i", 2)
					late := f.Kind == slacktest.StatusAfter || f.Kind == slacktest.HangAfter || f.Kind == slacktest.DropAfter || f.Kind == slacktest.GarbageLate
					if s := p.Stats(); r.slack.Posts() != 1 || r.slack.Deletes() != 0 || late != (s.Adopted == 1) {
						t.Errorf("%d posts, %d deletes, stats %+v", r.slack.Posts(), r.slack.Deletes(), s)
					}
					if rep := r.reconcile(p); rep.Deleted != 0 || rep.Adopted != 0 || len(rep.Stale) != 0 {
						t.Errorf("reconciliation found %+v, want nothing left over", rep)
					}
				})
			})
		}
	}
}

func TestRefusalTellsTheOperator(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, slacktest.Options{})
		p := r.process(processOptions{})
		r.slack.SetFault(slacktest.Always(opPost, slacktest.Fault{Kind: slacktest.Refuse, Error: "not_in_channel"}))
		done := make(chan error, 1)
		go func() { done <- p.Deliver(p.ctx, transition("i", 1)) }()
		time.Sleep(5 * time.Minute)
		if s := p.Stats(); s.Waiting != 1 || s.Oldest != 5*time.Minute || s.Refused < 5 {
			t.Errorf("stats %+v, want one incident waiting for 5 min and some refusals", s)
		}
		if n := strings.Count(r.log.String(), "slack refused"); n != 1 || !strings.Contains(r.log.String(), "/invite") {
			t.Errorf("%d lines of refusal, want 1 with a hint:\n%s", n, r.log)
		}
		r.slack.SetFault(nil) // somebody invited the bot
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		r.shows("i", 1)
	})
}

func TestRateLimitIsWaitedOutExactly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, slacktest.Options{})
		p := r.process(processOptions{})
		r.slack.SetFault(slacktest.Script(
			slacktest.Fault{Kind: slacktest.RateLimit, RetryAfter: 7 * time.Second, Method: opPost},
			slacktest.Fault{Kind: slacktest.RateLimit, RetryAfter: 31 * time.Second, Method: opPost},
		))
		began := time.Now()
		r.deliver(p, transition("i", 1))
		var at []time.Duration
		for _, req := range r.slack.Requests(opPost) {
			at = append(at, req.At.Sub(began))
		}
		if want := []time.Duration{0, 7 * time.Second, 38 * time.Second}; !slices.Equal(at, want) {
			t.Errorf("posts at %v, want %v", at, want)
		}
		r.shows("i", 1)
	})
}

// TestRateLimitIsShared floods a channel that takes one post a second. Nothing is lost, nobody calls while Slack said
// not to, and the waiters do not all come back at once.
func TestRateLimitIsShared(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const incidents = 40
		r := newRig(t, slacktest.Options{PostEvery: time.Second})
		p := r.process(processOptions{})
		ran := make(chan error, 1)
		go func() { ran <- p.Run(p.ctx) }()
		for i := range incidents {
			if err := p.Notify(p.ctx, transition(fmt.Sprintf("i%02d", i), 1)); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		time.Sleep(incidents * 2 * time.Second)
		for i := range incidents {
			r.shows(fmt.Sprintf("i%02d", i), 1)
		}
		reqs := r.slack.Requests(opPost)
		same := 0
		for _, q := range reqs {
			if since := q.At.Sub(began); since == 0 {
				same++
			} else if since < time.Second {
				t.Errorf("a post %s after the first, within the limit of 1 s", since)
			}
		}
		last := reqs[len(reqs)-1].At.Sub(began)
		t.Logf("%d incidents: %d posts, %d of them at once before the limit was known, the last after %s", incidents, len(reqs), same, last)
		if limited := len(reqs) - incidents; limited > same+incidents/4 {
			t.Errorf("%d posts were refused by the limit, %d of them before it was known", limited, same)
		}
		p.kill()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		if err := p.Notify(context.Background(), transition("i", 1)); !errors.Is(err, ErrStopped) {
			t.Errorf("Notify after the end: %v, want ErrStopped", err)
		}
	})
}

func TestOnlyTheNewestIsSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, slacktest.Options{})
		p := r.process(processOptions{})
		for n := 1; n <= 3; n++ { // before Run
			if err := p.Notify(p.ctx, transition("i", n)); err != nil {
				t.Fatal(err)
			}
		}
		r.slack.SetFault(slacktest.Script(slacktest.Fault{Kind: slacktest.RateLimit, RetryAfter: 9 * time.Second}))
		go func() { _ = p.Run(p.ctx) }()
		time.Sleep(time.Second) // the first post met the limit
		for n := 4; n <= 8; n++ {
			if err := p.Notify(p.ctx, transition("i", n)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		r.shows("i", 8)
		if n := len(r.slack.Requests()); n != 2 {
			t.Errorf("%d requests, want 2: the one that was limited, and the newest", n)
		}
		if s := p.Stats(); s.Waiting != 0 {
			t.Errorf("stats %+v, want none waiting", s)
		}
	})
}

func TestOneIncidentDoesNotHoldUpAnother(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, slacktest.Options{})
		p := r.process(processOptions{})
		r.slack.SetFault(func(q slacktest.Request) slacktest.Fault {
			if strings.Contains(q.Form.Get("metadata"), `"stuck"`) {
				return slacktest.Fault{Kind: slacktest.Hang}
			}
			return slacktest.Fault{}
		})
		go func() { _ = p.Run(p.ctx) }()
		for _, id := range []string{"stuck", "free"} {
			if err := p.Notify(p.ctx, transition(id, 1)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait() // every goroutine waits for a request or a timer, and no time has passed
		r.shows("free", 1)
		r.slack.SetFault(nil)
		time.Sleep(time.Minute)
		r.shows("stuck", 1)
	})
}

func TestMessageDeletedByAPersonIsPostedAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, slacktest.Options{})
		p := r.process(processOptions{})
		r.deliver(p, transition("i", 1))
		old := r.shows("i", 1)
		if !r.slack.RemoveMessage(old.TS) {
			t.Fatal("no message to remove")
		}
		r.deliver(p, transition("i", 2))
		if m := r.shows("i", 2); m.TS == old.TS || p.Stats().Reposted != 1 {
			t.Errorf("message %s after %s, stats %+v", m.TS, old.TS, p.Stats())
		}
	})
}

func TestMessageThatCannotBeEditedIsReplaced(t *testing.T) {
	for _, word := range []string{"edit_window_closed", "cant_update_message"} {
		bubble(t, func(t *testing.T) {
			r := newRig(t, slacktest.Options{})
			p := r.process(processOptions{})
			r.deliver(p, transition("i", 1))
			r.slack.SetFault(slacktest.Script(slacktest.Fault{Kind: slacktest.Refuse, Error: word, Method: opUpdate}))
			r.deliver(p, transition("i", 2))
			r.shows("i", 2)
		})
	}
}

// TestAbandonedMessageIsNotAdopted: the old message can be neither edited nor deleted, and the answer to the new one is
// lost. The search must find the new one.
func TestAbandonedMessageIsNotAdopted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, slacktest.Options{Visible: 2 * time.Second})
		p := r.process(processOptions{})
		r.deliver(p, transition("i", 1))
		old := r.shows("i", 1)
		time.Sleep(3 * time.Second)
		r.slack.SetFault(slacktest.Script(
			slacktest.Fault{Kind: slacktest.Refuse, Error: "cant_update_message", Method: opUpdate},
			slacktest.Fault{Kind: slacktest.Refuse, Error: "cant_delete_message", Method: opDelete},
			slacktest.Fault{Kind: slacktest.DropAfter, Method: opPost},
		))
		r.deliver(p, transition("i", 2))
		e, _, _ := r.ledger.Load(p.ctx, "i")
		if e.TS == old.TS || e.N != 2 || p.Stats().Adopted != 1 || r.slack.Posts() != 2 {
			t.Errorf("entry %+v after %s, stats %+v", e, old.TS, p.Stats())
		}
	})
}

func TestBlocksRefusedByPlainText(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, slacktest.Options{})
		p := r.process(processOptions{courier: func(o *CourierOptions) {
			o.Render = func(t *fleet.Transition) Message {
				m := Render(t, RenderOptions{})
				m.Blocks = append(m.Blocks, section(strings.Repeat("x", maxSection+1)))
				return m
			}
		}})
		for n := 1; n <= 2; n++ {
			r.deliver(p, transition("i", n))
			if m := r.shows("i", n); m.Blocks != nil || !strings.Contains(m.Text, "Invalid merchant (03)") {
				t.Errorf("message %q with blocks %s", m.Text, m.Blocks)
			}
		}
		if s := p.Stats(); s.Plain != 2 {
			t.Errorf("stats %+v, want 2 plain messages", s)
		}
	})
}

// TestHistoryForbidden: without the right to read the channel a lost answer cannot be resolved. The page goes out again
// rather than not at all, and the operator is told why.
func TestHistoryForbidden(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, slacktest.Options{})
		p := r.process(processOptions{})
		script := slacktest.Script(slacktest.Fault{Kind: slacktest.Drop, Method: opPost})
		r.slack.SetFault(func(q slacktest.Request) slacktest.Fault {
			if q.Method == opHistory {
				return slacktest.Fault{Kind: slacktest.Refuse, Error: "missing_scope"}
			}
			return script(q)
		})
		r.deliver(p, transition("i", 1))
		r.shows("i", 1)
		if !strings.Contains(r.log.String(), "channels:history") {
			t.Errorf("no hint in the log:\n%s", r.log)
		}
	})
}

func TestNothingIsSentWithoutTheLease(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, slacktest.Options{})
		var until atomic.Int64
		p := r.process(processOptions{courier: func(o *CourierOptions) {
			o.LeaseUntil = func() time.Time { return time.Unix(0, until.Load()) }
		}})
		done := make(chan error, 1)
		go func() { done <- p.Deliver(p.ctx, transition("i", 1)) }()
		time.Sleep(time.Minute)
		if n := len(r.slack.Requests()); n != 0 {
			t.Fatalf("%d requests without the lease", n)
		}
		until.Store(time.Now().Add(4 * time.Second).UnixNano())
		r.slack.SetFault(slacktest.Always(opPost, slacktest.Fault{Kind: slacktest.Hang}))
		time.Sleep(1500 * time.Millisecond) // the claim is made within a second
		e, _, _ := r.ledger.Load(p.ctx, "i")
		if e.State != Claimed || e.Deadline != until.Load()/1e6 {
			t.Errorf("entry %+v, want a claim that ends with the lease at %d", e, until.Load()/1e6)
		}
		p.kill()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Deliver: %v", err)
		}
	})
}

func TestCourierOptions(t *testing.T) {
	_, err := NewCourier(CourierOptions{ClaimFor: -1, Visibility: -1})
	for _, want := range []string{"client", "ledger", "owner", "claim_for", "visibility"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
}

// held is a transport that keeps requests of one method back while it is shut, deaf to their deadlines: bytes that have
// left a process which is paused.
type held struct {
	http.RoundTripper
	method string
	mu     sync.Mutex // guards everything below
	gate   chan struct{}
}

func (h *held) RoundTrip(req *http.Request) (*http.Response, error) {
	h.mu.Lock()
	gate := h.gate
	h.mu.Unlock()
	if gate != nil && strings.HasSuffix(req.URL.Path, h.method) {
		<-gate
		req = req.WithContext(context.WithoutCancel(req.Context()))
	}
	return h.RoundTripper.RoundTrip(req)
}

func (h *held) open() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.gate)
	h.gate = nil
}
