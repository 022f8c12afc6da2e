package detect

import "github.com/tillwatch/tillwatch/alerter"

// Reason says why a rule holds or does not.
type Reason string

// The reasons of the floor.
const (
	ReasonHolds        Reason = "holds"
	ReasonFewTerminals Reason = "few_terminals" // too few distinct terminals: may be one unhappy customer
	ReasonSmallShare   Reason = "small_share"   // most of the place's transactions are fine
)

// Floor is the rule floor: enough distinct terminals with one watched code in the window, and these declines at least
// half of the place's transactions. It needs no history.
type Floor struct {
	Terminals         int     // distinct, in any place
	MerchantTerminals int     // distinct, where the place is one merchant
	Share             float64 // 0..1
}

// DefaultFloor is DESIGN's rule.
var DefaultFloor = Floor{Terminals: 5, MerchantTerminals: 2, Share: 0.5}

// Holds applies the rule to one series.
func (f Floor) Holds(s alerter.Series, c alerter.Counts) (bool, Reason) {
	need := f.Terminals
	if s.Place.Level() == alerter.LevelMerchant {
		need = f.MerchantTerminals
	}
	switch {
	case len(c.Terminals) < need:
		return false, ReasonFewTerminals
	case c.Share() < f.Share:
		return false, ReasonSmallShare
	}
	return true, ReasonHolds
}
