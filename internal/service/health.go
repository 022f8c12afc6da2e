package service

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// Condition is one row of the fault table: something that has to hold, and what a person should know when it does not.
type Condition struct {
	Name          string         // constant, snake_case: it labels metrics and names the condition in Set
	Title         string         // what is wrong when it does not hold, in a few words
	Severity      fleet.Severity // "" means warning
	Hint          string         // what to look at or to run
	DependsOn     []string       // causes, registered before: while one of them is reported, this is only its symptom
	TimeToVisible time.Duration  // how long it has to fail before it is reported; 0 means at once
	Required      bool           // the process is not ready without it
}

// State is what a report says of a condition.
type State string

// The states of a condition.
const (
	StateStarting State = "starting" // has not held yet since the start
	StateOK       State = "ok"
	StatePending  State = "pending" // fails, for less than its time to visible
	StateFault    State = "fault"
	StateHidden   State = "hidden" // fails, and a reported cause explains it
)

// Report is one condition at one instant.
type Report struct {
	Name        string         `json:"name"`
	Title       string         `json:"title"`
	State       State          `json:"state"`
	Severity    fleet.Severity `json:"severity"`
	Required    bool           `json:"required"`
	Since       time.Time      `json:"since"` // instant at which the condition began to hold, or to fail
	Error       string         `json:"error,omitempty"`
	Hint        string         `json:"hint,omitempty"`         // only where there is something to do
	ExplainedBy string         `json:"explained_by,omitempty"` // the reported cause of a hidden one
}

// Health holds the conditions of a process and knows whether its loops still turn. Use NewHealth.
type Health struct {
	log *slog.Logger

	mu     sync.Mutex // guards everything below
	table  []*condition
	byName map[string]*condition
	pulses map[*Pulse]pulse
}

type condition struct {
	Condition
	held  bool      // at least once
	err   error     // nil while it holds
	since time.Time // of the last change between holding and failing; before the first report, of the registration
}

// NewHealth makes a registry of the given conditions. A nil logger discards.
func NewHealth(log *slog.Logger, conditions ...Condition) (*Health, error) {
	h := &Health{log: orDiscard(log), byName: map[string]*condition{}, pulses: map[*Pulse]pulse{}}
	return h, h.Register(conditions...)
}

// Register adds conditions. Names are unique, and causes come before their symptoms, so that no circle can arise.
func (h *Health) Register(conditions ...Condition) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range conditions {
		if c.Name == "" || c.Title == "" {
			return fmt.Errorf("register condition %q: want a name and a title", c.Name)
		}
		if h.byName[c.Name] != nil {
			return fmt.Errorf("register condition %q: the name is taken", c.Name)
		}
		for _, cause := range c.DependsOn {
			if h.byName[cause] == nil {
				return fmt.Errorf("register condition %q: its cause %q is not registered before it", c.Name, cause)
			}
		}
		c.Severity = cmp.Or(c.Severity, fleet.SeverityWarning)
		row := &condition{Condition: c, since: time.Now()}
		h.table = append(h.table, row)
		h.byName[c.Name] = row
	}
	return nil
}

// Set says that the condition holds (nil) or why it does not. It may be called as often as convenient: only changes are
// logged, and only a change moves the instant since which it holds or fails.
func (h *Health) Set(name string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.byName[name]
	if c == nil {
		h.log.Error("condition is not registered", "condition", name)
		return
	}
	now := time.Now()
	switch {
	case err != nil && c.err == nil:
		c.since = now
		h.log.Warn("condition fails", "condition", name, "error", err)
	case err == nil && (c.err != nil || !c.held):
		if c.err != nil {
			h.log.Info("condition holds again", "condition", name, "failed_for", now.Sub(c.since).Round(time.Millisecond))
		}
		c.since = now
	}
	c.err = err
	c.held = c.held || err == nil
}

// Report returns every condition as it is at now, in the order of registration.
func (h *Health) Report(now time.Time) []Report {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]Report, len(h.table))
	for i, c := range h.table {
		r := Report{Name: c.Name, Title: c.Title, Severity: c.Severity, Required: c.Required, Since: c.since}
		switch {
		case c.visible(now):
			r.State = StateFault
			if r.ExplainedBy = h.cause(c, now); r.ExplainedBy != "" {
				r.State = StateHidden
			}
		case !c.held:
			r.State = StateStarting
		case c.err != nil:
			r.State = StatePending
		default:
			r.State = StateOK
		}
		if c.err != nil {
			r.Error = c.err.Error()
		}
		if r.State != StateOK && r.State != StateHidden {
			r.Hint = c.Hint
		}
		out[i] = r
	}
	return out
}

func (c *condition) visible(now time.Time) bool {
	return c.err != nil && now.Sub(c.since) >= c.TimeToVisible
}

// cause finds the reported condition furthest up that explains c. The caller holds mu.
func (h *Health) cause(c *condition, now time.Time) string {
	for _, name := range c.DependsOn {
		up := h.byName[name]
		if root := h.cause(up, now); root != "" {
			return root
		}
		if up.visible(now) {
			return name
		}
	}
	return ""
}

// Ready reports whether every required condition holds, or fails too shortly to matter. One that has not held yet does
// not.
func Ready(reports []Report) bool {
	return !slices.ContainsFunc(reports, func(r Report) bool {
		return r.Required && r.State != StateOK && r.State != StatePending
	})
}

// Pulse is the sign of life of one loop.
type Pulse struct{ h *Health }

type pulse struct {
	name  string
	limit time.Duration
	last  time.Time
}

// Pulse starts to watch a loop that promises a Beat at least every limit. A loop that waits for work beats on a ticker
// while it waits; one that ends calls Stop.
func (h *Health) Pulse(name string, limit time.Duration) *Pulse {
	p := &Pulse{h}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pulses[p] = pulse{name, limit, time.Now()}
	return p
}

// Beat says that the loop turns.
func (p *Pulse) Beat() {
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	if v, ok := p.h.pulses[p]; ok {
		v.last = time.Now()
		p.h.pulses[p] = v
	}
}

// Stop ends the watch: the loop has ended as it should.
func (p *Pulse) Stop() {
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	delete(p.h.pulses, p)
}

// Wedged names the loops that have not beaten for longer than they promised, in alphabetical order.
func (h *Health) Wedged(now time.Time) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var names []string
	for _, v := range h.pulses {
		if now.Sub(v.last) > v.limit {
			names = append(names, v.name)
		}
	}
	slices.Sort(names)
	return names
}
