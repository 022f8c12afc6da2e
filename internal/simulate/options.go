package simulate

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// DefaultStart is the start of a fleet whose Options name none: a Monday morning in Shanghai, so that files made with
// one seed are the same on every day.
var DefaultStart = time.Date(2026, time.November, 23, 1, 0, 0, 0, time.UTC)

// Limits of a fleet. The rate keeps a terminal below the million trace numbers that one of its days has.
const (
	MaxTerminals = 2_000_000
	MaxRate      = 36_000
)

// Acquirer is one acquirer of the fleet.
type Acquirer struct {
	ID       string
	Name     string       // zero: made from ID
	Timezone string       // IANA name; zero: Asia/Shanghai
	Share    float64      // of the merchants, relative to the other acquirers; zero: 1
	Source   fleet.Source // who reports its transactions; zero: terminal
}

// DefaultAcquirers are those of a fleet whose Options name none: a1 has three fifths of the merchants, a2 the rest.
func DefaultAcquirers() []Acquirer {
	return []Acquirer{{ID: "a1", Name: "南方收单", Share: 3}, {ID: "a2", Name: "华东收单", Share: 2}}
}

// Options describe a fleet. The zero value is a fleet of 1,000 terminals on an ordinary Monday.
type Options struct {
	Terminals int           // zero: 1,000; at most MaxTerminals
	Seed      uint64        // any value, zero included
	Start     time.Time     // instant of the first event; cut to the millisecond; zero: DefaultStart
	Acquirers []Acquirer    // zero: DefaultAcquirers
	Heartbeat time.Duration // every terminal's period, whole seconds; zero: 60 s
	Rate      float64       // mean sales per terminal and open hour; zero: 6; at most MaxRate
	Spread    float64       // sigma of the log-normal spread of sales between merchants; zero: 1; negative: none
	Retry     float64       // probability that a sale a fault declined is tried again, up to 3 times; zero: 0.4; negative: never

	Approvals  bool // send approvals too; false: they appear only in the heartbeats' totals
	AlwaysOpen bool // no opening hours and no daily cycle: for demos and tests at night
	Chronic    bool // one terminal is misconfigured for good: it sends a wrong merchant number and is declined with 03

	Scenario *Scenario // the faults; nil: none
}

func (o Options) withDefaults() Options {
	if o.Terminals == 0 {
		o.Terminals = 1000
	}
	if o.Start.IsZero() {
		o.Start = DefaultStart
	}
	o.Start = time.UnixMilli(o.Start.UnixMilli()).UTC()
	if len(o.Acquirers) == 0 {
		o.Acquirers = DefaultAcquirers()
	}
	acquirers := make([]Acquirer, len(o.Acquirers))
	for i, a := range o.Acquirers {
		if a.Name == "" {
			a.Name = "收单机构 " + a.ID
		}
		if a.Timezone == "" {
			a.Timezone = "Asia/Shanghai"
		}
		if a.Share == 0 {
			a.Share = 1
		}
		if a.Source == "" {
			a.Source = fleet.SourceTerminal
		}
		acquirers[i] = a
	}
	o.Acquirers = acquirers
	if o.Heartbeat == 0 {
		o.Heartbeat = time.Minute
	}
	if o.Rate == 0 {
		o.Rate = 6
	}
	if o.Spread == 0 {
		o.Spread = 1
	}
	if o.Retry == 0 {
		o.Retry = 0.4
	}
	return o
}

// validate reports everything that is wrong with options that have their defaults.
func (o Options) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if o.Terminals < 1 || o.Terminals > MaxTerminals {
		bad("terminals is %d, want 1 to %d", o.Terminals, MaxTerminals)
	}
	if y := o.Start.Year(); y < 2000 || y > 2200 {
		bad("start is %s, want a year from 2000 to 2200", o.Start.Format(time.RFC3339))
	}
	if o.Heartbeat < time.Second || o.Heartbeat > 24*time.Hour || o.Heartbeat%time.Second != 0 {
		bad("heartbeat is %s, want whole seconds from 1s to 24h", o.Heartbeat)
	}
	if !(o.Rate > 0 && o.Rate <= MaxRate) {
		bad("rate is %v sales per terminal and hour, want more than 0 and at most %d", o.Rate, MaxRate)
	}
	if !(o.Spread <= 2) {
		bad("spread is %v, want at most 2", o.Spread)
	}
	if !(o.Retry <= 1) {
		bad("retry is %v, want a probability", o.Retry)
	}
	if len(o.Acquirers) > len(institutions) {
		bad("%d acquirers, want at most %d", len(o.Acquirers), len(institutions))
	}
	seen := map[string]bool{}
	for _, a := range o.Acquirers {
		switch {
		case !fleet.ValidAcquirer(a.ID):
			bad("acquirer %q: want an id that matches ^[A-Za-z0-9][A-Za-z0-9-]{0,31}$", a.ID)
		case seen[a.ID]:
			bad("acquirer %q is there twice", a.ID)
		}
		seen[a.ID] = true
		if !(a.Share > 0) || math.IsInf(a.Share, 0) {
			bad("acquirer %q: share is %v, want more than 0", a.ID, a.Share)
		}
		if _, err := time.LoadLocation(a.Timezone); err != nil {
			bad("acquirer %q: timezone %q: %w", a.ID, a.Timezone, err)
		}
		if a.Source != fleet.SourceTerminal && a.Source != fleet.SourceSwitch {
			bad("acquirer %q: source is %q, want terminal or switch", a.ID, a.Source)
		}
	}
	return errors.Join(errs...)
}
