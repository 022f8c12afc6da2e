package slacktest

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// FaultKind is one way to fail.
type FaultKind string

// The ways to fail. Where a message is said to be stored it takes effect as if all were well: only the answer is bad.
const (
	OK          FaultKind = ""              // no fault
	RateLimit   FaultKind = "rate_limit"    // 429 with Retry-After; nothing stored
	Status      FaultKind = "status"        // an HTTP status such as 503; nothing stored
	StatusAfter FaultKind = "status_after"  // the same, but stored
	Hang        FaultKind = "hang"          // never answers; nothing stored
	HangAfter   FaultKind = "hang_after"    // never answers; stored
	Drop        FaultKind = "drop"          // closes the connection; nothing stored
	DropAfter   FaultKind = "drop_after"    // closes the connection; stored
	Garbage     FaultKind = "garbage"       // 200 and no JSON; nothing stored
	GarbageLate FaultKind = "garbage_after" // the same, but stored
	Refuse      FaultKind = "refuse"        // 200, ok:false and an error word; nothing stored
)

// Fault is what happens to one request.
type Fault struct {
	Kind       FaultKind
	Method     string        // for Script: the method it waits for; "": any
	RetryAfter time.Duration // RateLimit: whole seconds; 0 sends no header
	Status     int           // Status, StatusAfter; 0: 503
	Error      string        // Refuse: such as channel_not_found
	Body       string        // Garbage, GarbageLate; "": <html>
}

// SetFault decides from now on what happens to each request; it is called in order of arrival, under the server's lock.
// nil ends all faults.
func (s *Server) SetFault(f func(Request) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// Script returns a decision that spends each fault once, in order: the next request whose method fits the first of
// them gets it.
func Script(faults ...Fault) func(Request) Fault {
	var mu sync.Mutex
	left := slices.Clone(faults)
	return func(r Request) Fault {
		mu.Lock()
		defer mu.Unlock()
		if len(left) == 0 || left[0].Method != "" && left[0].Method != r.Method {
			return Fault{}
		}
		f := left[0]
		left = left[1:]
		return f
	}
}

// Always returns a decision that fails every request of one method, or of all with "".
func Always(method string, f Fault) func(Request) Fault {
	return func(r Request) Fault {
		if method != "" && method != r.Method {
			return Fault{}
		}
		return f
	}
}

// Random returns a decision that fails a share p of all requests with one of the faults. The same seed and order of
// requests give the same decisions.
func Random(seed uint64, p float64, faults ...Fault) func(Request) Fault {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(seed, 0x51ac))
	return func(Request) Fault {
		mu.Lock()
		defer mu.Unlock()
		if r.Float64() >= p {
			return Fault{}
		}
		return faults[r.IntN(len(faults))]
	}
}
