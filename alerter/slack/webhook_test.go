package slack

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/fleettest/slacktest"
)

func (r *rig) webhook(ledger Ledger) *Webhook {
	h, err := NewWebhook(WebhookOptions{
		URL: Secret(r.slack.WebhookURL()), Ledger: ledger, HTTPClient: &http.Client{Transport: r.slack.Transport()},
		Logger: slog.New(slog.NewTextHandler(r.log, nil)),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return h
}

func stepped(n int, step fleet.IncidentStep) fleet.Transition {
	t := transition("i", n)
	t.Step = step
	return t
}

func TestWebhookPostsWhatIsWorthAMessage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, slacktest.Options{})
		h := r.webhook(&r.ledger)
		for _, tr := range []fleet.Transition{
			stepped(1, fleet.StepOpened), stepped(1, fleet.StepOpened), stepped(2, fleet.StepUpdated),
			stepped(3, fleet.StepUpdated), stepped(4, fleet.StepResolved), stepped(2, fleet.StepUpdated),
		} {
			if err := h.Deliver(t.Context(), tr); err != nil {
				t.Fatal(err)
			}
		}
		got := r.slack.Messages()
		if len(got) != 2 || !strings.Contains(got[0].Text, "🚨") || !strings.Contains(got[1].Text, "✅") || got[0].Blocks == nil {
			t.Errorf("messages %+v, want the opening and the resolution", got)
		}
		// After a restart: known from the ledger, and an opening that was never told makes its update worth telling.
		h = r.webhook(&r.ledger)
		for _, tr := range []fleet.Transition{stepped(4, fleet.StepResolved), transition("other", 3)} {
			if err := h.Deliver(t.Context(), tr); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(r.slack.Messages()); n != 3 {
			t.Errorf("%d messages, want 3: only the other incident's is new", n)
		}
	})
}

func TestWebhookFaults(t *testing.T) {
	for _, tc := range []struct {
		fault slacktest.Fault
		posts int // at least once: what was stored and not answered is posted again
	}{
		{slacktest.Fault{Kind: slacktest.RateLimit, RetryAfter: 9 * time.Second}, 1},
		{slacktest.Fault{Kind: slacktest.Status, Status: 500}, 1},
		{slacktest.Fault{Kind: slacktest.Hang}, 1},
		{slacktest.Fault{Kind: slacktest.Drop}, 1},
		{slacktest.Fault{Kind: slacktest.Garbage}, 1},
		{slacktest.Fault{Kind: slacktest.HangAfter}, 2},
		{slacktest.Fault{Kind: slacktest.DropAfter}, 2},
		{slacktest.Fault{Kind: slacktest.StatusAfter, Status: 502}, 2},
	} {
		t.Run(string(tc.fault.Kind), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, slacktest.Options{})
				h := r.webhook(nil)
				ctx, cancel := context.WithCancel(t.Context())
				ran := make(chan error, 1)
				go func() { ran <- h.Run(ctx) }()
				r.slack.SetFault(slacktest.Script(tc.fault))
				if err := h.Notify(ctx, transition("i", 1)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				reqs := r.slack.Requests()
				if r.slack.Posts() != tc.posts || len(reqs) != 2 {
					t.Fatalf("%d posts of %d requests, want %d of 2", r.slack.Posts(), len(reqs), tc.posts)
				}
				if tc.fault.Kind == slacktest.RateLimit && reqs[1].At.Sub(reqs[0].At) != 9*time.Second {
					t.Errorf("second request %s after the first, want 9 s", reqs[1].At.Sub(reqs[0].At))
				}
				if s := h.Stats(); s.Posted != 1 || s.Waiting != 0 || s.RateLimited+s.Uncertain != 1 {
					t.Errorf("stats %+v", s)
				}
				cancel()
				if err := <-ran; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestWebhookRefused(t *testing.T) {
	s := slacktest.Start(t, slacktest.Options{})
	broken := strings.TrimSuffix(s.WebhookURL(), "webhook") + "removed"
	h, err := NewWebhook(WebhookOptions{URL: Secret(broken)})
	if err != nil {
		t.Fatal(err)
	}
	err = h.send(t.Context(), Render(new(transition("i", 1)), RenderOptions{}))
	if ClassOf(err) == RateLimited || err == nil || strings.Contains(err.Error(), "secret-of") {
		t.Errorf("send to a webhook that was removed: %v", err)
	}
	if _, err := NewWebhook(WebhookOptions{URL: "hooks.slack.com/services/secret-of-ours"}); err == nil || strings.Contains(err.Error(), "secret-of") {
		t.Errorf("NewWebhook without a scheme: %v, want an error that does not show it", err)
	}
}

func TestWebhookAddressStaysSecret(t *testing.T) {
	s := slacktest.Start(t, slacktest.Options{})
	s.SetFault(slacktest.Always("", slacktest.Fault{Kind: slacktest.Drop}))
	h, err := NewWebhook(WebhookOptions{URL: Secret(s.WebhookURL())})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.send(t.Context(), Message{Text: "x"}); ClassOf(err) != Uncertain || strings.Contains(err.Error(), "secret-of") {
		t.Errorf("send: %v, want an uncertain error without the address", err)
	}
}

func TestTerminalPrints(t *testing.T) {
	var b bytes.Buffer
	n := &Terminal{Out: &b, Color: true}
	if err := n.Notify(t.Context(), transition("i", 1)); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); !strings.HasPrefix(got, "\x1b[1;31m🚨 Invalid merchant (03)") || !strings.HasSuffix(got, "\n\n") {
		t.Errorf("printed %q", got)
	}
	plain := &Terminal{Out: fullDisk{}}
	if err := plain.Notify(t.Context(), transition("i", 1)); !errors.Is(err, errFull) {
		t.Errorf("Notify: %v, want %v", err, errFull)
	}
}

type fullDisk struct{}

var errFull = errors.New("no space left on device")

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }
