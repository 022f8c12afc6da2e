package slacktest

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// action is one request, read.
type action struct {
	req   Request
	token string
	body  []byte // of a webhook
}

type handler func(s *Server, a action) map[string]any

// methods run with mu held.
var methods = map[string]handler{
	"chat.postMessage":      (*Server).post,
	"chat.update":           (*Server).update,
	"chat.delete":           (*Server).delete,
	"conversations.history": (*Server).history,
	"conversations.info":    (*Server).info,
	"auth.test":             (*Server).auth,
}

func (s *Server) receive(r *http.Request) (action, handler) {
	a := action{req: Request{At: s.o.Now()}}
	if r.URL.Path == webhookPath {
		a.req.Method = "webhook"
		a.body, _ = io.ReadAll(io.LimitReader(r.Body, 1<<20)) // a torn body is invalid JSON and refused as such
		return a, (*Server).webhook
	}
	a.req.Method = strings.TrimPrefix(r.URL.Path, "/api/")
	_ = r.ParseForm() // a torn body lacks its token and is refused as such
	form := url.Values{}
	maps.Copy(form, r.Form)
	a.token = form.Get("token")
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		a.token = bearer
	}
	form.Del("token")
	a.req.Form, a.req.Channel, a.req.TS = form, form.Get("channel"), form.Get("ts")
	return a, methods[a.req.Method]
}

// answer carries the request out and writes the answer, unless the fault says otherwise.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, a action, do handler, f Fault) {
	stored := f.Kind == OK || strings.HasSuffix(string(f.Kind), "_after")
	var out map[string]any
	if stored {
		s.mu.Lock()
		out = s.carryOut(a, do)
		s.mu.Unlock()
	}
	switch f.Kind {
	case RateLimit:
		limited(w, f.RetryAfter)
		return
	case Status, StatusAfter:
		if f.Status == 0 {
			f.Status = http.StatusServiceUnavailable
		}
		w.WriteHeader(f.Status)
		return
	case Hang, HangAfter:
		// Reading to the end lets the server notice that the client has gone.
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
		case <-s.quit:
		}
		panic(http.ErrAbortHandler)
	case Drop, DropAfter:
		panic(http.ErrAbortHandler)
	case Garbage, GarbageLate:
		body := f.Body
		if body == "" {
			body = "<html><body>proxy</body></html>"
		}
		_, _ = io.WriteString(w, body)
		return
	case Refuse:
		out = failure(f.Error)
	}
	if wait, ok := out["retry_after"].(time.Duration); ok {
		limited(w, wait)
		return
	}
	if a.req.Method == "webhook" {
		if word, bad := out["error"].(string); bad {
			http.Error(w, word, http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, "ok")
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(out) // the client may have gone
}

func limited(w http.ResponseWriter, wait time.Duration) {
	if wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
	}
	w.WriteHeader(http.StatusTooManyRequests)
}

func failure(word string) map[string]any { return map[string]any{"ok": false, "error": word} }

func (s *Server) carryOut(a action, do handler) map[string]any {
	switch {
	case do == nil:
		return failure("unknown_method")
	case a.req.Method == "webhook":
	case a.token == "":
		return failure("not_authed")
	case a.token != s.o.Token:
		return failure("invalid_auth")
	case a.req.Method != "auth.test" && !has(s.o.Channels, a.req.Channel):
		return failure("channel_not_found")
	}
	return do(s, a)
}

// store keeps a new message, or says that it comes too soon after the last.
func (s *Server) store(m Message) map[string]any {
	now := s.o.Now()
	if last, ok := s.lastPost[m.Channel]; ok && s.o.PostEvery > 0 {
		if wait := last.Add(s.o.PostEvery).Sub(now); wait > 0 {
			return map[string]any{"retry_after": wait}
		}
	}
	s.lastPost[m.Channel] = now
	m.TS, m.PostedAt = s.stamp(), now
	s.messages = append(s.messages, m)
	s.posts++
	return map[string]any{"ok": true, "channel": m.Channel, "ts": m.TS, "message": view(m, true)}
}

func (s *Server) post(a action) map[string]any {
	m := Message{Channel: a.req.Channel}
	if word := content(&m, a.req.Form); word != "" {
		return failure(word)
	}
	return s.store(m)
}

func (s *Server) webhook(a action) map[string]any {
	var in struct {
		Text   string          `json:"text"`
		Blocks json.RawMessage `json:"blocks"`
	}
	if json.Unmarshal(a.body, &in) != nil {
		return failure("invalid_payload")
	}
	if string(in.Blocks) == "null" {
		in.Blocks = nil
	}
	m := Message{Channel: s.o.Channels[0], Text: in.Text, Blocks: in.Blocks, Webhook: true}
	if word := check(&m); word != "" {
		return failure(word)
	}
	return s.store(m)
}

func (s *Server) find(a action) *Message {
	i := slices.IndexFunc(s.messages, func(m Message) bool { return m.Channel == a.req.Channel && m.TS == a.req.TS })
	if i < 0 {
		return nil
	}
	return &s.messages[i]
}

func (s *Server) update(a action) map[string]any {
	m := s.find(a)
	if m == nil {
		return failure("message_not_found")
	}
	edited := *m
	if word := content(&edited, a.req.Form); word != "" {
		return failure(word)
	}
	edited.Edits++
	*m = edited
	return map[string]any{"ok": true, "channel": m.Channel, "ts": m.TS, "text": m.Text, "message": view(*m, true)}
}

func (s *Server) delete(a action) map[string]any {
	if s.find(a) == nil {
		return failure("message_not_found")
	}
	s.messages = slices.DeleteFunc(s.messages, func(m Message) bool { return m.Channel == a.req.Channel && m.TS == a.req.TS })
	s.deletes++
	return map[string]any{"ok": true, "channel": a.req.Channel, "ts": a.req.TS}
}

func (s *Server) info(a action) map[string]any {
	return map[string]any{"ok": true, "channel": map[string]any{"id": a.req.Channel, "name": "alerts", "is_member": true}}
}

func (s *Server) auth(action) map[string]any {
	return map[string]any{"ok": true, "team": "slacktest", "team_id": "T0", "user": "tillwatch", "user_id": "U0", "bot_id": "B0"}
}

// history pages newest first. The cursor is the ts before which the next page begins, so that a message posted
// meanwhile neither repeats nor hides one.
func (s *Server) history(a action) map[string]any {
	f := a.req.Form
	limit := s.o.PageSize
	if n, err := strconv.Atoi(f.Get("limit")); err == nil && n > 0 {
		limit = min(limit, n)
	}
	before := ""
	if c := f.Get("cursor"); c != "" {
		raw, err := base64.URLEncoding.DecodeString(c)
		if err != nil {
			return failure("invalid_cursor")
		}
		before = string(raw)
	}
	now := s.o.Now()
	list := []map[string]any{}
	next := ""
	for _, m := range slices.Backward(s.messages) {
		if m.Channel != a.req.Channel || m.PostedAt.Add(s.o.Visible).After(now) || !within(m.TS, f) ||
			before != "" && compare(m.TS, before) >= 0 {
			continue
		}
		if len(list) == limit {
			next = base64.URLEncoding.EncodeToString([]byte(list[limit-1]["ts"].(string)))
			break
		}
		list = append(list, view(m, truth(f.Get("include_all_metadata"))))
	}
	return map[string]any{
		"ok": true, "messages": list, "has_more": next != "", "response_metadata": map[string]any{"next_cursor": next},
	}
}

func within(ts string, f url.Values) bool {
	inclusive := truth(f.Get("inclusive"))
	if oldest := f.Get("oldest"); oldest != "" {
		if c := compare(ts, oldest); c < 0 || c == 0 && !inclusive {
			return false
		}
	}
	if latest := f.Get("latest"); latest != "" {
		if c := compare(ts, latest); c > 0 || c == 0 && !inclusive {
			return false
		}
	}
	return true
}

// compare orders two timestamps; both may lack their decimals.
func compare(a, b string) int {
	as, au := split(a)
	bs, bu := split(b)
	if as != bs {
		return as - bs
	}
	return au - bu
}

func split(ts string) (sec, micro int) {
	whole, frac, _ := strings.Cut(ts, ".")
	sec, _ = strconv.Atoi(whole)
	micro, _ = strconv.Atoi((frac + "000000")[:6])
	return sec, micro
}

func view(m Message, metadata bool) map[string]any {
	v := map[string]any{"type": "message", "ts": m.TS, "text": m.Text, "bot_id": "B0"}
	if m.Blocks != nil {
		v["blocks"] = m.Blocks
	}
	if metadata && m.Event != "" {
		v["metadata"] = map[string]any{"event_type": m.Event, "event_payload": m.Payload}
	}
	return v
}
