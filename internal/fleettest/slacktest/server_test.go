package slacktest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// clock is a Now that the test moves.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func ask(t *testing.T, s *Server, method string, kv ...string) (map[string]any, int, error) {
	t.Helper()
	form := url.Values{"token": {DefaultToken}, "channel": {DefaultChannel}}
	for i := 0; i < len(kv); i += 2 {
		form.Set(kv[i], kv[i+1])
	}
	resp, err := http.PostForm(s.URL()+method, form)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, resp.StatusCode, err
	}
	var out map[string]any
	if json.Unmarshal(raw, &out) != nil {
		out = map[string]any{"raw": string(raw), "retry": resp.Header.Get("Retry-After")}
	}
	return out, resp.StatusCode, nil
}

// must is ask where nothing may fail.
func must(t *testing.T, s *Server, method string, kv ...string) map[string]any {
	t.Helper()
	out, status, err := ask(t, s, method, kv...)
	if err != nil || status != 200 || out["ok"] != true {
		t.Fatalf("%s: %v, %d, %v", method, out, status, err)
	}
	return out
}

func TestMessagesLiveAndDie(t *testing.T) {
	s := Start(t, Options{})
	const meta = `{"event_type":"e","event_payload":{"incident":"i","n":1}}`
	ts := must(t, s, "chat.postMessage", "text", "one", "metadata", meta)["ts"].(string)
	must(t, s, "chat.update", "ts", ts, "text", "two")
	m := s.Messages()
	if len(m) != 1 || m[0].Text != "two" || m[0].Edits != 1 || m[0].Event != "e" || m[0].Payload["n"] != 1.0 || m[0].TS != ts {
		t.Errorf("messages %+v", m)
	}
	must(t, s, "chat.delete", "ts", ts)
	for _, method := range []string{"chat.update", "chat.delete"} {
		if out, _, _ := ask(t, s, method, "ts", ts, "text", "x"); out["error"] != "message_not_found" {
			t.Errorf("%s of what is gone: %v", method, out)
		}
	}
	if s.Posts() != 1 || s.Deletes() != 1 || len(s.Messages()) != 0 || len(s.Requests()) != 5 {
		t.Errorf("%d posts, %d deletes, %d messages, %d requests", s.Posts(), s.Deletes(), len(s.Messages()), len(s.Requests()))
	}
	for _, r := range s.Requests() {
		if r.Form.Has("token") {
			t.Errorf("request %d keeps its token", r.Index)
		}
	}
}

func TestRefusals(t *testing.T) {
	s := Start(t, Options{})
	header := func(n int) string {
		return fmt.Sprintf(`[{"type":"header","text":{"type":"plain_text","text":"%s"}}]`, strings.Repeat("x", n))
	}
	section := func(n int) string {
		return fmt.Sprintf(`[{"type":"section","text":{"type":"mrkdwn","text":"%s"}}]`, strings.Repeat("界", n))
	}
	many := func(n int) string {
		return "[" + strings.TrimSuffix(strings.Repeat(`{"type":"divider"},`, n), ",") + "]"
	}
	for _, tc := range []struct{ want, method, key, value string }{
		{"not_authed", "chat.postMessage", "token", ""},
		{"invalid_auth", "chat.postMessage", "token", "xoxb-wrong"},
		{"channel_not_found", "chat.postMessage", "channel", "C0OTHER"},
		{"unknown_method", "chat.scheduleMessage", "text", "x"},
		{"no_text", "chat.postMessage", "text", ""},
		{"msg_too_long", "chat.postMessage", "text", strings.Repeat("x", 40001)},
		{"invalid_blocks_format", "chat.postMessage", "blocks", "{"},
		{"invalid_blocks", "chat.postMessage", "blocks", header(151)},
		{"", "chat.postMessage", "blocks", header(150)},
		{"invalid_blocks", "chat.postMessage", "blocks", section(3001)},
		{"", "chat.postMessage", "blocks", section(3000)},
		{"invalid_blocks", "chat.postMessage", "blocks", section(0)},
		{"invalid_blocks", "chat.postMessage", "blocks", many(51)},
		{"", "chat.postMessage", "blocks", many(50)},
		{"invalid_blocks", "chat.postMessage", "blocks", `[{"type":"no_such_block"}]`},
		{"invalid_metadata_format", "chat.postMessage", "metadata", "{"},
		{"metadata_too_large", "chat.postMessage", "metadata", `{"event_type":"` + strings.Repeat("x", 9000) + `"}`},
		{"invalid_cursor", "conversations.history", "cursor", "?"},
	} {
		kv := []string{"text", "x", tc.key, tc.value}
		out, status, err := ask(t, s, tc.method, kv...)
		word, _ := out["error"].(string)
		if err != nil || status != 200 || word != tc.want || (out["ok"] == true) != (tc.want == "") {
			t.Errorf("%s with %s of %d bytes: %v, %d, %v, want %q", tc.method, tc.key, len(tc.value), out, status, err, tc.want)
		}
	}
	if s.Posts() != 3 {
		t.Errorf("%d posts, want the 3 that were within the limits", s.Posts())
	}
}

func TestHistory(t *testing.T) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	s := Start(t, Options{Visible: 5 * time.Second, PageSize: 2, Now: c.Now})
	var ts []string
	for range 5 {
		ts = append(ts, must(t, s, "chat.postMessage", "text", "x", "metadata", `{"event_type":"e","event_payload":{}}`)["ts"].(string))
		c.now = c.now.Add(time.Second)
	}
	read := func(kv ...string) (got []string, meta bool) {
		cursor := ""
		for range 9 {
			out := must(t, s, "conversations.history", append(kv, "cursor", cursor)...)
			list := out["messages"].([]any)
			if len(list) > 2 {
				t.Fatalf("a page of %d", len(list))
			}
			for _, m := range list {
				got = append(got, m.(map[string]any)["ts"].(string))
				_, meta = m.(map[string]any)["metadata"]
			}
			cursor = out["response_metadata"].(map[string]any)["next_cursor"].(string)
			if (cursor != "") != out["has_more"].(bool) {
				t.Fatalf("has_more %v beside cursor %q", out["has_more"], cursor)
			}
			if cursor == "" {
				return got, meta
			}
		}
		t.Fatal("the history does not end")
		return nil, false
	}
	if got, _ := read(); fmt.Sprint(got) != fmt.Sprint(ts[:1]) {
		t.Errorf("after 5 s the history shows %v, want %v", got, ts[:1])
	}
	c.now = c.now.Add(time.Minute)
	for _, tc := range []struct {
		want []string
		kv   []string
	}{
		{[]string{ts[4], ts[3], ts[2], ts[1], ts[0]}, nil},
		{[]string{ts[4], ts[3]}, []string{"oldest", ts[2]}},
		{[]string{ts[4], ts[3], ts[2]}, []string{"oldest", ts[2], "inclusive", "1"}},
		{[]string{ts[1], ts[0]}, []string{"latest", ts[2]}},
		{[]string{ts[2]}, []string{"oldest", ts[2], "latest", ts[2], "inclusive", "true"}},
		{[]string{ts[4], ts[3], ts[2], ts[1], ts[0]}, []string{"limit", "1"}},
	} {
		if got, meta := read(tc.kv...); fmt.Sprint(got) != fmt.Sprint(tc.want) || meta {
			t.Errorf("history %v = %v, want %v; metadata unasked: %v", tc.kv, got, tc.want, meta)
		}
	}
	if _, meta := read("include_all_metadata", "true"); !meta {
		t.Error("metadata was asked for and is not there")
	}
}

func TestPostsTooSoon(t *testing.T) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	s := Start(t, Options{PostEvery: 3 * time.Second, Now: c.Now})
	must(t, s, "chat.postMessage", "text", "x")
	c.now = c.now.Add(time.Second)
	out, status, err := ask(t, s, "chat.postMessage", "text", "x")
	if err != nil || status != 429 || out["retry"] != "2" {
		t.Errorf("a post too soon: %v, %d, %v", out, status, err)
	}
	c.now = c.now.Add(2 * time.Second)
	must(t, s, "chat.postMessage", "text", "x")
}

func TestFaults(t *testing.T) {
	for _, tc := range []struct {
		fault  Fault
		status int // 0: the connection broke
		stored bool
	}{
		{Fault{Kind: RateLimit, RetryAfter: 1500 * time.Millisecond}, 429, false},
		{Fault{Kind: Status}, 503, false}, {Fault{Kind: StatusAfter, Status: 500}, 500, true},
		{Fault{Kind: Drop}, 0, false}, {Fault{Kind: DropAfter}, 0, true},
		{Fault{Kind: Garbage}, 200, false}, {Fault{Kind: GarbageLate}, 200, true},
		{Fault{Kind: Refuse, Error: "is_archived"}, 200, false},
	} {
		s := Start(t, Options{})
		s.SetFault(Script(Fault{Kind: tc.fault.Kind, Method: "chat.postMessage", RetryAfter: tc.fault.RetryAfter, Status: tc.fault.Status, Error: tc.fault.Error}))
		must(t, s, "auth.test") // of another method: not failed
		out, status, err := ask(t, s, "chat.postMessage", "text", "x")
		if status != tc.status || (err != nil) != (tc.status == 0) || out["ok"] == true || (s.Posts() == 1) != tc.stored {
			t.Errorf("%s: %v, %d, %v, %d posts", tc.fault.Kind, out, status, err, s.Posts())
		}
		if tc.fault.Kind == RateLimit && out["retry"] != "2" {
			t.Errorf("Retry-After %v, want whole seconds, rounded up", out["retry"])
		}
		must(t, s, "chat.postMessage", "text", "x") // a script's fault happens once
	}
}

func TestHangEndsWithItsCaller(t *testing.T) {
	for _, kind := range []FaultKind{Hang, HangAfter} {
		s := Start(t, Options{})
		arrived := make(chan struct{})
		s.SetFault(func(Request) Fault { close(arrived); return Fault{Kind: kind} })
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL()+"chat.postMessage",
			strings.NewReader(url.Values{"token": {DefaultToken}, "channel": {DefaultChannel}, "text": {"x"}}.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		go func() { <-arrived; cancel() }()
		if resp, err := http.DefaultClient.Do(req); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, %v", kind, resp, err)
		}
		s.Close() // waits for the handler; a hang that outlived its caller would stop the test here
		if stored := s.Posts() == 1; stored != (kind == HangAfter) {
			t.Errorf("%s: %d posts", kind, s.Posts())
		}
	}
}

func TestRandomIsSeeded(t *testing.T) {
	draw := func(seed uint64) (s string) {
		f := Random(seed, 0.5, Fault{Kind: Drop}, Fault{Kind: Hang})
		for range 50 {
			s += string(f(Request{}).Kind) + ","
		}
		return s
	}
	first, again, other := draw(1), draw(1), draw(2)
	if first != again || first == other {
		t.Error("the same seed differs, or two seeds do not")
	}
	if n := strings.Count(first, "drop") + strings.Count(first, "hang"); n < 10 || n > 40 {
		t.Errorf("%d faults of 50 at one half", n)
	}
}

func TestTransportIsTheSameServer(t *testing.T) {
	s := New(Options{})
	defer s.Close()
	client := http.Client{Transport: s.Transport()}
	form := url.Values{"token": {DefaultToken}, "channel": {DefaultChannel}, "text": {"x"}}
	resp, err := client.PostForm(s.URL()+"chat.postMessage", form)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	s.SetFault(Always("", Fault{Kind: DropAfter}))
	if resp, err := client.PostForm(s.URL()+"chat.postMessage", form); err == nil {
		t.Errorf("a dropped connection answered %s", resp.Status)
	}
	if s.Posts() != 2 {
		t.Errorf("%d posts, want 2", s.Posts())
	}
}
