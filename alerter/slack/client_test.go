package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/internal/fleettest/slacktest"
)

// These tests go over real connections: what a client can know of a request depends on the network stack.

func realClient(t *testing.T, url string, change func(*ClientOptions)) *Client {
	t.Helper()
	o := ClientOptions{
		Token: slacktest.DefaultToken, Channel: slacktest.DefaultChannel, APIURL: url,
		HTTPClient: &http.Client{Transport: &http.Transport{}}, Timeout: 30 * time.Second,
	}
	if change != nil {
		change(&o)
	}
	c, err := NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestClientClassifiesFailures(t *testing.T) {
	for name, tc := range map[string]struct {
		fault slacktest.Fault
		class Class
		code  string
		hint  string
		retry time.Duration
	}{
		"limit":           {slacktest.Fault{Kind: slacktest.RateLimit, RetryAfter: 12 * time.Second}, RateLimited, "", "", 12 * time.Second},
		"unsaid limit":    {slacktest.Fault{Kind: slacktest.RateLimit}, RateLimited, "http 429", "", 0},
		"limit in words":  {slacktest.Fault{Kind: slacktest.Refuse, Error: "ratelimited"}, RateLimited, "ratelimited", "", 0},
		"500":             {slacktest.Fault{Kind: slacktest.Status, Status: 500}, Uncertain, "http 500", "", 0},
		"503 after":       {slacktest.Fault{Kind: slacktest.StatusAfter, Status: 503}, Uncertain, "http 503", "", 0},
		"404 of a proxy":  {slacktest.Fault{Kind: slacktest.Status, Status: 404}, Refused, "http 404", "proxy", 0},
		"channel":         {slacktest.Fault{Kind: slacktest.Refuse, Error: "channel_not_found"}, Refused, "channel_not_found", "channel's id", 0},
		"auth":            {slacktest.Fault{Kind: slacktest.Refuse, Error: "invalid_auth"}, Refused, "invalid_auth", "token", 0},
		"member":          {slacktest.Fault{Kind: slacktest.Refuse, Error: "not_in_channel"}, Refused, "not_in_channel", "/invite", 0},
		"scope":           {slacktest.Fault{Kind: slacktest.Refuse, Error: "missing_scope"}, Refused, "missing_scope", "chat:write", 0},
		"a new word":      {slacktest.Fault{Kind: slacktest.Refuse, Error: "brand_new"}, Refused, "brand_new", "docs.slack.dev", 0},
		"own trouble":     {slacktest.Fault{Kind: slacktest.Refuse, Error: "fatal_error"}, Uncertain, "fatal_error", "", 0},
		"dropped":         {slacktest.Fault{Kind: slacktest.Drop}, Uncertain, "", "", 0},
		"dropped after":   {slacktest.Fault{Kind: slacktest.DropAfter}, Uncertain, "", "", 0},
		"garbage":         {slacktest.Fault{Kind: slacktest.Garbage}, Uncertain, "", "", 0},
		"not ok, not why": {slacktest.Fault{Kind: slacktest.Garbage, Body: `{"ok":false}`}, Uncertain, "an answer without a message", "", 0},
		"ok and no more":  {slacktest.Fault{Kind: slacktest.GarbageLate, Body: `{"ok":true}`}, Uncertain, "an answer without a message", "", 0},
		"a torn answer":   {slacktest.Fault{Kind: slacktest.GarbageLate, Body: `{"ok":true,"ts":"1`}, Uncertain, "", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := slacktest.Start(t, slacktest.Options{})
			c := realClient(t, s.URL(), nil)
			// A connection that was used before is what breaks in practice, and what net/http might retry on.
			channel, ts, err := c.Post(t.Context(), Render(new(transition("i", 1)), RenderOptions{}))
			if err != nil || channel != slacktest.DefaultChannel || ts == "" {
				t.Fatalf("Post = %q, %q, %v", channel, ts, err)
			}
			before := len(s.Requests())
			s.SetFault(slacktest.Always("", tc.fault))
			_, _, err = c.Post(t.Context(), Render(new(transition("i", 2)), RenderOptions{}))
			e, ok := errors.AsType[*Error](err)
			if !ok {
				t.Fatalf("Post: %v, want an *Error", err)
			}
			if e.Class != tc.class || e.RetryAfter != tc.retry || tc.code != "" && e.Code != tc.code ||
				!strings.Contains(e.Hint, tc.hint) || (e.Hint == "") != (tc.hint == "") {
				t.Errorf("Post: %+v, want class %s, code %q, hint %q, retry after %s", e, tc.class, tc.code, tc.hint, tc.retry)
			}
			if n := len(s.Requests()) - before; n != 1 {
				t.Errorf("%d requests for one call", n)
			}
			if strings.Contains(err.Error(), slacktest.DefaultToken) {
				t.Errorf("the token is in %v", err)
			}
		})
	}
}

func TestClientTimeOut(t *testing.T) {
	s := slacktest.Start(t, slacktest.Options{})
	s.SetFault(slacktest.Always("", slacktest.Fault{Kind: slacktest.HangAfter}))
	c := realClient(t, s.URL(), func(o *ClientOptions) { o.Timeout = 50 * time.Millisecond })
	_, _, err := c.Post(t.Context(), Render(new(transition("i", 1)), RenderOptions{}))
	if ClassOf(err) != Uncertain || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Post: %v, want an uncertain time-out", err)
	}
	if s.Posts() != 1 {
		t.Errorf("%d posts: the server was to store the message", s.Posts())
	}
}

func TestClientThatReachesNobody(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{"http://" + addr, "http://name.that.does.not.exist.invalid"} {
		c := realClient(t, url, nil)
		if _, _, err := c.Post(t.Context(), Render(new(transition("i", 1)), RenderOptions{})); ClassOf(err) != Unreached {
			t.Errorf("Post to %s: %v, want %s", url, err, Unreached)
		}
	}
	c := realClient(t, "http://"+addr, nil)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := c.Post(gone, Render(new(transition("i", 1)), RenderOptions{})); ClassOf(err) != Unreached {
		t.Errorf("Post after its context: %v, want %s", err, Unreached)
	}
}

// TestClientFollowsNoRedirect: a redirect would carry the token, which is in the body, to another host.
func TestClientFollowsNoRedirect(t *testing.T) {
	other := slacktest.Start(t, slacktest.Options{})
	for _, status := range []int{http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		portal := httptest.NewServer(http.RedirectHandler(other.URL()+opPost, status))
		defer portal.Close()
		c := realClient(t, portal.URL, nil)
		if _, _, err := c.Post(t.Context(), Render(new(transition("i", 1)), RenderOptions{})); ClassOf(err) != Refused {
			t.Errorf("Post through a redirect %d: %v, want %s", status, err, Refused)
		}
	}
	if n := len(other.Requests()); n != 0 {
		t.Errorf("%d requests followed a redirect", n)
	}
}

func TestClientRoundTrip(t *testing.T) {
	s := slacktest.Start(t, slacktest.Options{PageSize: 4})
	c := realClient(t, s.URL(), nil)
	began := time.Now()
	if err := c.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	var ts []string
	for i := range 10 {
		_, at, err := c.Post(t.Context(), Render(new(transition(fmt.Sprintf("i%d", i%2), i+1)), RenderOptions{}))
		if err != nil {
			t.Fatal(err)
		}
		ts = append(ts, at)
	}
	found, err := c.Find(t.Context(), c.Channel(), "i1", began.Add(-time.Minute))
	if err != nil || len(found) != 5 || found[0].TS != ts[1] || found[4].TS != ts[9] || found[4].N != 10 || found[4].Incident != "i1" {
		t.Errorf("Find = %+v, %v, want 5 messages of i1, oldest first, over three pages", found, err)
	}
	if late, err := c.Find(t.Context(), c.Channel(), "", began.Add(time.Hour)); err != nil || len(late) != 0 {
		t.Errorf("Find from an hour ahead = %+v, %v", late, err)
	}
	if err := c.Delete(t.Context(), c.Channel(), ts[0]); err != nil {
		t.Error(err)
	}
	if err := c.Delete(t.Context(), c.Channel(), ts[0]); err != nil {
		t.Errorf("Delete of what is gone: %v", err)
	}
	if err := c.Update(t.Context(), c.Channel(), ts[0], Render(new(transition("i0", 2)), RenderOptions{})); codeOf(err) != "message_not_found" {
		t.Errorf("Update of what is gone: %v", err)
	}

	wrong := realClient(t, s.URL(), func(o *ClientOptions) { o.Token = "xoxb-another" })
	if err := wrong.Check(t.Context()); codeOf(err) != "invalid_auth" || ClassOf(err) != Refused {
		t.Errorf("Check with a wrong token: %v", err)
	}
	lost := realClient(t, s.URL(), func(o *ClientOptions) { o.Channel = "C0ELSEWHERE" })
	if err := lost.Check(t.Context()); codeOf(err) != "channel_not_found" {
		t.Errorf("Check of an unknown channel: %v", err)
	}
}

func TestClientOptions(t *testing.T) {
	_, err := NewClient(ClientOptions{Channel: "two channels", APIURL: "slack.com/api", Timeout: -1})
	for _, want := range []string{"token", `channel "two channels"`, "channel details", "api url", "timeout"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
}

func TestSecretMasksItself(t *testing.T) {
	const secret = Secret("xoxb-123-456-abc")
	var b strings.Builder
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "token", secret, "options", ClientOptions{Token: secret})
	raw, err := json.Marshal(map[string]any{"token": secret, "options": ClientOptions{Token: secret}})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{
		fmt.Sprint(secret), fmt.Sprintf("%v %s %q %#v %+v", secret, secret, secret, secret, ClientOptions{Token: secret}),
		fmt.Sprintf("%x %X", secret, secret), fmt.Sprintf("%d", secret), string(raw), b.String(), fmt.Sprintf("%#v", ClientOptions{Token: secret}),
	} {
		if strings.Contains(s, "456") || strings.Contains(s, "3435") {
			t.Errorf("the secret is in %s", s)
		}
	}
	if Secret("").String() != "" || string(secret) != "xoxb-123-456-abc" {
		t.Error("an empty secret is shown as set, or a secret cannot be used")
	}
}
