package simulate

import (
	"crypto/subtle"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// AcquirerOptions describe the acquirers' own system.
type AcquirerOptions struct {
	Token string           // requests must carry it as a bearer token; zero: none is asked for
	Now   func() time.Time // the fleet's own time; zero: the fleet's Now
}

// AcquirerServer answers for all acquirers of a fleet, over a small HTTP API of ours. What it says follows the faults
// of the fleet's scenario:
//
//	GET /v1/acquirers/{acquirer}/merchants/{merchant}
//	    200 {"merchant": "898…", "status": "active|not_opened|suspended|cancelled", "since": "2026-11-20T03:04:05Z"}
//	GET /v1/acquirers/{acquirer}/merchants/{merchant}/account
//	    200 {"merchant": "898…", "status": "normal|frozen", "balance_minor": 1250000, "currency": "CNY"}
//	GET /v1/acquirers/{acquirer}/health
//	    200 {"status": "up"}
//
// since (RFC 3339) is there where the status has changed. Every other answer has {"error": "…", "message": "…"}:
// 404 unknown_merchant, unknown_acquirer or not_found, 401 unauthorized, 429 and 503 with Retry-After in seconds.
//
// Tests make it misbehave with Fail, which also counts: a failed request is a request.
type AcquirerServer struct {
	f     *Fleet
	token string
	now   func() time.Time
	mux   *http.ServeMux

	mu       sync.Mutex // guards everything below
	failures []Failure
	always   *Failure
	answers  map[int]int // by status code; 0: the connection was dropped or the client gone
	arrivals []time.Time
}

// Failure is one way in which a request goes wrong. The first field that is set decides, after Delay.
type Failure struct {
	Delay      time.Duration // first wait so long, or until the client has gone
	Drop       bool          // close the connection without an answer
	Half       bool          // close the connection in the middle of a good answer
	Garbage    string        // answer 200 with this text
	Status     int           // answer with this status code
	RetryAfter string        // the header Retry-After beside Status, as it is to be sent
}

// NewAcquirerServer makes the acquirers of a fleet. It is an http.Handler.
func NewAcquirerServer(f *Fleet, o AcquirerOptions) *AcquirerServer {
	s := &AcquirerServer{f: f, token: o.Token, now: o.Now, mux: http.NewServeMux(), answers: map[int]int{}}
	if s.now == nil {
		s.now = f.Now
	}
	s.mux.HandleFunc("GET /v1/acquirers/{acquirer}/merchants/{merchant}", s.merchant)
	s.mux.HandleFunc("GET /v1/acquirers/{acquirer}/merchants/{merchant}/account", s.account)
	s.mux.HandleFunc("GET /v1/acquirers/{acquirer}/health", s.health)
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, "not_found", "no such path: "+r.URL.Path)
	})
	return s
}

// Fail makes the next requests go wrong, one after another, each as one failure says. A zero Failure is an answer as
// it should be.
func (s *AcquirerServer) Fail(failures ...Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = append(s.failures, failures...)
}

// FailAlways makes every request go wrong that no Fail covers; nil: none.
func (s *AcquirerServer) FailAlways(x *Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.always = x
}

// Arrivals are the instants at which requests came in, by time.Now.
func (s *AcquirerServer) Arrivals() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]time.Time(nil), s.arrivals...)
}

// Answers counts the answers by status code; 0 stands for a connection that was dropped.
func (s *AcquirerServer) Answers() map[int]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.answers)
}

// maxArrivals bounds the memory of a server that runs for days.
const maxArrivals = 1 << 16

// next takes note of a request and says what is to become of it.
func (s *AcquirerServer) next() Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.arrivals) == maxArrivals {
		s.arrivals = append(s.arrivals[:0], s.arrivals[maxArrivals/2:]...)
	}
	s.arrivals = append(s.arrivals, time.Now())
	if len(s.failures) > 0 {
		x := s.failures[0]
		s.failures = s.failures[1:]
		return x
	}
	if s.always != nil {
		return *s.always
	}
	return Failure{}
}

func (s *AcquirerServer) answered(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[status]++
}

// ServeHTTP implements http.Handler.
func (s *AcquirerServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := s.next()
	if x.Delay > 0 {
		timer := time.NewTimer(x.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			s.answered(0)
			return
		}
	}
	switch {
	case x.Drop:
		s.answered(0)
		panic(http.ErrAbortHandler) // net/http closes the connection and stays silent
	case x.Half:
		s.answered(0)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "120")
		_, _ = w.Write([]byte(`{"merchant":"89`))
		if flusher, ok := w.(http.Flusher); ok {
			flusher.Flush()
		}
		panic(http.ErrAbortHandler)
	case x.Garbage != "":
		s.answered(http.StatusOK)
		_, _ = w.Write([]byte(x.Garbage))
		return
	case x.Status != 0:
		s.answered(x.Status)
		if x.RetryAfter != "" {
			w.Header().Set("Retry-After", x.RetryAfter)
		}
		refuse(w, x.Status, "injected", "this failure was asked for")
		return
	}
	rec := &recorder{ResponseWriter: w, status: http.StatusOK}
	if s.token != "" && !s.authorised(r) {
		refuse(rec, http.StatusUnauthorized, "unauthorized", "send Authorization: Bearer and the token")
	} else {
		s.mux.ServeHTTP(rec, r)
	}
	s.answered(rec.status)
}

func (s *AcquirerServer) authorised(r *http.Request) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return ok && subtle.ConstantTimeCompare([]byte(token), []byte(s.token)) == 1
}

// recorder remembers the status code of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func refuse(w http.ResponseWriter, status int, reason, message string) {
	reply(w, status, map[string]string{"error": reason, "message": message})
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client may have gone
}

// up answers for an acquirer that does not exist, or whose system is down, and reports whether neither is the case.
func (s *AcquirerServer) up(w http.ResponseWriter, r *http.Request) bool {
	id := r.PathValue("acquirer")
	known := false
	for i, a := range s.f.o.Acquirers {
		if a.ID != id {
			continue
		}
		known = true
		for n := range s.f.faults {
			x := &s.f.faults[n]
			if x.outage && x.acquirers[i] && x.active(s.instant()) {
				w.Header().Set("Retry-After", "5")
				refuse(w, http.StatusServiceUnavailable, "unavailable", "the system of acquirer "+id+" is down")
				return false
			}
		}
	}
	if !known {
		refuse(w, http.StatusNotFound, "unknown_acquirer", "no acquirer "+id)
	}
	return known
}

// instant is the fleet's own time in milliseconds since its start.
func (s *AcquirerServer) instant() int64 { return s.now().Sub(s.f.o.Start).Milliseconds() }

// find returns the merchant that a request is about; it has answered where there is none.
func (s *AcquirerServer) find(w http.ResponseWriter, r *http.Request) (*merchant, bool) {
	if !s.up(w, r) {
		return nil, false
	}
	i, ok := s.f.byMID[r.PathValue("merchant")]
	if !ok || s.f.o.Acquirers[s.f.merchants[i].acquirer].ID != r.PathValue("acquirer") {
		refuse(w, http.StatusNotFound, "unknown_merchant", "no merchant number "+r.PathValue("merchant"))
		return nil, false
	}
	return &s.f.merchants[i], true
}

// hits reports whether a fault is on and its scope reaches a terminal of the merchant.
func (s *AcquirerServer) hits(x *fault, m *merchant, t int64) bool {
	if !x.active(t) {
		return false
	}
	for i := m.first; i < m.first+m.n; i++ {
		if s.f.in(x, int(i)) {
			return true
		}
	}
	return false
}

func (s *AcquirerServer) merchant(w http.ResponseWriter, r *http.Request) {
	m, ok := s.find(w, r)
	if !ok {
		return
	}
	body := struct {
		Merchant string     `json:"merchant"`
		Status   string     `json:"status"`
		Since    *time.Time `json:"since,omitempty"`
	}{m.mid, string(fleet.MerchantActive), nil}
	t := s.instant()
	for n := range s.f.faults {
		if x := &s.f.faults[n]; x.status != "" && s.hits(x, m, t) {
			since := s.f.outside(s.f.o.Start.Add(time.Duration(x.start) * time.Millisecond)).UTC().Truncate(time.Second)
			body.Status, body.Since = x.status, &since
		}
	}
	reply(w, http.StatusOK, body)
}

func (s *AcquirerServer) account(w http.ResponseWriter, r *http.Request) {
	m, ok := s.find(w, r)
	if !ok {
		return
	}
	status := "normal"
	t := s.instant()
	for n := range s.f.faults {
		if x := &s.f.faults[n]; x.frozen && s.hits(x, m, t) {
			status = "frozen"
		}
	}
	reply(w, http.StatusOK, map[string]any{
		"merchant": m.mid, "status": status, "currency": "CNY",
		"balance_minor": int64(200_000 + mix(m.hash, saltBalance, 0)%80_000_000),
	})
}

func (s *AcquirerServer) health(w http.ResponseWriter, r *http.Request) {
	if s.up(w, r) {
		reply(w, http.StatusOK, map[string]string{"status": "up"})
	}
}

var _ http.Handler = (*AcquirerServer)(nil)
