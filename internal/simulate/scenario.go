package simulate

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Any stands in a scope for a value that the fleet chooses: one that fits the other attributes, the same each time.
const Any = "any"

// Scope is one AND of attributes: acquirer, region, model, app, merchant, terminal. An empty scope is the whole fleet.
type Scope map[string]string

// attributes of a scope, widest first; values that are any are chosen in this order.
var attributes = []string{"acquirer", "region", "model", "app", "merchant", "terminal"}

// Fault is one thing that goes wrong.
type Fault struct {
	Start time.Duration // after the fleet's start
	For   time.Duration // how long it lasts, more than 0
	Cause string        // one of Causes
	Code  string        // response code (ISO 8583 field 39); zero: 03
	Rate  float64       // probability that a transaction in scope is declined with Code; zero: 1
	Scope Scope

	at     position
	places map[string]position // of its values, by key: .cause, .scope.app
}

// where is the place of a key in the scenario file.
func (x *Fault) where(key string) position {
	if at, ok := x.places[key]; ok {
		return at
	}
	return x.at
}

// Scenario is what goes wrong in a fleet. Scenarios are read by ParseScenario or made by hand.
type Scenario struct {
	Faults []Fault

	file string
}

// position is where in a scenario file something stands; 0 where it came from no file.
type position struct{ line, column int }

// Problem is one thing wrong with a scenario.
type Problem struct {
	File         string
	Line, Column int    // from 1; 0 where the scenario came from no file
	Key          string // path of the key, such as faults[0].scope.app
	Got          string // what was found, "" where a key is missing
	Want         string // what would be right
}

func (p Problem) String() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "%s:%d:%d: ", p.File, p.Line, p.Column)
	}
	if p.Key != "" {
		b.WriteString(p.Key)
		if p.Got != "" {
			fmt.Fprintf(&b, " is %q", p.Got)
		}
		b.WriteString(": ")
	}
	b.WriteString("want " + p.Want)
	return b.String()
}

// Problems is everything that is wrong with a scenario, in the order of the file.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// err is nil where there is no problem.
func (p Problems) err() error {
	if len(p) == 0 {
		return nil
	}
	slices.SortStableFunc(p, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return p
}

// effect is what a cause does beside its declines.
type effect struct {
	status    string   // what the acquirer says of the merchant numbers in scope, "" for active
	frozen    bool     // their accounts are frozen
	outage    bool     // the acquirer's own system does not answer
	beside    []string // codes that rise beside the fault's own
	besideP   float64  // probability that a transaction the fault's code spared gets one of them
	hostDown  bool     // heartbeats: the host is not reached, the signal is weak
	hardware  bool     // heartbeats: a device fault
	params    bool     // heartbeats and transactions: another parameter fingerprint
	mid       bool     // heartbeats and transactions: another merchant number
	moved     bool     // heartbeats: another SIM in another cell
	oneTrader bool     // concerns one merchant: where the scope names none, one is chosen
}

// effects by cause id of the domain; unknown has none.
var effects = map[string]effect{
	"merchant_info_wrong":  {mid: true},
	"parameters_wrong":     {params: true},
	"hardware_fault":       {hardware: true},
	"software_conflict":    {},
	"merchant_not_active":  {status: "cancelled", oneTrader: true},
	"account_blocked":      {frozen: true, oneTrader: true},
	"terminal_or_network":  {hostDown: true, beside: []string{"68", "98", "91"}, besideP: 0.6},
	"institution_outage":   {outage: true, beside: []string{"91", "96", "98"}, besideP: 0.7},
	"keys_lost":            {beside: []string{"A0", "99"}, besideP: 0.7},
	"sim_or_place_changed": {moved: true},
	"dormant_cancelled":    {status: "cancelled", oneTrader: true},
	"risk_control_ban":     {status: "suspended", oneTrader: true},
	"not_filed":            {status: "not_opened", oneTrader: true},
	"unknown":              {},
}

// Causes are the cause ids that a fault may have.
func Causes() []string {
	ids := make([]string, 0, len(effects))
	for id := range effects {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
