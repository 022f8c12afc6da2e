package slacktest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Names that a server knows where its Options give none.
const (
	DefaultToken   = "xoxb-slacktest-0000-token"
	DefaultChannel = "C0TILLWATCH"
)

// Options configures a Server.
type Options struct {
	Token     string           // the only good token; "": DefaultToken
	Channels  []string         // ids that exist and have the bot as a member; nil: DefaultChannel
	Visible   time.Duration    // how late the history shows a message; 0: at once
	PageSize  int              // most messages of one page of the history; 0: 100
	PostEvery time.Duration    // at least so long between two posts in a channel, else 429; 0: no limit
	Now       func() time.Time // nil: time.Now
}

// Message is a message as it stands. Deleted ones are gone.
type Message struct {
	Channel  string
	TS       string // Unix seconds with six decimals, unique
	Text     string
	Blocks   json.RawMessage // nil where there are none
	Event    string          // event_type of its metadata, or ""
	Payload  map[string]any  // event_payload of its metadata
	PostedAt time.Time
	Edits    int
	Webhook  bool
}

// Request is one request as it arrived, without its token.
type Request struct {
	Index   int       // 0 for the first
	At      time.Time // arrival
	Method  string    // such as chat.postMessage, or webhook
	Channel string
	TS      string
	Form    url.Values
}

// Server is a Slack workspace with a few channels and one app.
type Server struct {
	o    Options
	http *httptest.Server // nil without a network
	quit chan struct{}    // closed by Close: ends the requests that are never answered
	once sync.Once        // closes it

	mu       sync.Mutex // guards everything below
	messages []Message
	posts    int
	deletes  int
	seconds  int64 // of the last ts
	micros   int
	lastPost map[string]time.Time
	requests []Request
	fault    func(Request) Fault
}

// Start runs a server on a free port of the loopback until the test ends.
func Start(tb testing.TB, o Options) *Server {
	tb.Helper()
	s := New(o)
	s.http = httptest.NewServer(s)
	tb.Cleanup(s.Close)
	return s
}

// New returns a server that is reached through Transport only; Close it.
func New(o Options) *Server {
	o.Token = cmp.Or(o.Token, DefaultToken)
	o.PageSize = cmp.Or(o.PageSize, 100)
	if o.Channels == nil {
		o.Channels = []string{DefaultChannel}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Server{o: o, quit: make(chan struct{}), lastPost: map[string]time.Time{}}
}

// Close ends every request and the listener, and returns when they have ended. A second Close does nothing.
func (s *Server) Close() { s.once.Do(s.close) }

func (s *Server) close() {
	close(s.quit)
	if s.http != nil {
		s.http.CloseClientConnections()
		s.http.Close()
	}
}

// URL is the API's address, ending in a slash.
func (s *Server) URL() string { return s.base() + "/api/" }

// WebhookURL is an incoming webhook's address; what is posted there appears in the first channel.
func (s *Server) WebhookURL() string { return s.base() + webhookPath }

const webhookPath = "/services/T0/B0/secret-of-the-webhook"

func (s *Server) base() string {
	if s.http == nil {
		return "http://slack.test"
	}
	return s.http.URL
}

// Messages returns the messages that are there now, oldest first.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// Posts returns how many messages were ever stored by a post, the deleted ones included.
func (s *Server) Posts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.posts
}

// Deletes returns how many messages the app deleted.
func (s *Server) Deletes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.deletes
}

// Requests returns every request so far in order of arrival, of the given methods or of all.
func (s *Server) Requests(methods ...string) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Request
	for _, r := range s.requests {
		if len(methods) == 0 || slices.Contains(methods, r.Method) {
			out = append(out, r)
		}
	}
	return out
}

// RemoveMessage deletes a message as a person would, and reports whether it was there.
func (s *Server) RemoveMessage(ts string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.messages)
	s.messages = slices.DeleteFunc(s.messages, func(m Message) bool { return m.TS == ts })
	return len(s.messages) < n
}

// CopyMessage stores a second copy of a message, as a request that got through twice would.
func (s *Server) CopyMessage(ts string) (copied string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.messages {
		if m.TS == ts {
			m.TS, m.PostedAt, m.Edits = s.stamp(), s.o.Now(), 0
			s.messages = append(s.messages, m)
			s.posts++
			return m.TS
		}
	}
	return ""
}

// ServeHTTP serves one request, or fails it as SetFault says.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, method := s.receive(r)
	f := Fault{}
	s.mu.Lock()
	a.req.Index = len(s.requests)
	s.requests = append(s.requests, a.req)
	if s.fault != nil {
		f = s.fault(a.req)
	}
	s.mu.Unlock()
	s.answer(w, r, a, method, f)
}

// stamp, with mu held, makes the next ts.
func (s *Server) stamp() string {
	now := s.o.Now()
	if sec := now.Unix(); sec > s.seconds {
		s.seconds, s.micros = sec, now.Nanosecond()/1000
	} else {
		s.micros = max(s.micros+1, now.Nanosecond()/1000)
	}
	return fmt.Sprintf("%d.%06d", s.seconds, s.micros)
}

// transport serves requests without a network.
type transport struct{ s *Server }

// Transport returns a RoundTripper that serves every request in the caller's goroutine's bubble, whatever its host.
func (s *Server) Transport() http.RoundTripper { return transport{s} }

func (t transport) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	defer func() {
		if p := recover(); p == http.ErrAbortHandler { // as net/http does: the connection is gone
			resp, err = nil, &net.OpError{Op: "read", Net: "tcp", Err: fmt.Errorf("connection reset by peer")}
		} else if p != nil {
			panic(p)
		}
	}()
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{}) // from here on the caller must assume that the request arrived
	}
	w := httptest.NewRecorder()
	t.s.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	resp = w.Result()
	resp.Request = r
	return resp, nil
}

func has(list []string, v string) bool { return slices.Contains(list, v) }

func truth(v string) bool { return v == "1" || strings.EqualFold(v, "true") }
