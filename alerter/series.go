package alerter

import (
	"time"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// Place is one combination of attributes in which declines are counted. Empty attributes are not part of it.
type Place struct {
	Acquirer, Region, Model, App, Merchant string
}

// Level is how wide a place is.
type Level uint8

// The levels, narrowest first.
const (
	LevelMerchant Level = iota
	LevelSoftware       // model and application version
	LevelApp            // application version on every model
	LevelRegion
	LevelAcquirer
)

// Level says how wide the place is.
func (p Place) Level() Level {
	switch {
	case p.Merchant != "":
		return LevelMerchant
	case p.Model != "":
		return LevelSoftware
	case p.App != "":
		return LevelApp
	case p.Region != "":
		return LevelRegion
	}
	return LevelAcquirer
}

// Scope writes the place as one element of a transition's scope.
func (p Place) Scope() map[string]string {
	m := map[string]string{}
	for _, a := range []struct{ name, v string }{
		{"acquirer", p.Acquirer}, {"region", p.Region}, {"model", p.Model}, {"app", p.App}, {"merchant", p.Merchant},
	} {
		if a.v != "" {
			m[a.name] = a.v
		}
	}
	return m
}

// PlaceOf reads one element of a transition's scope; it is the inverse of Scope.
func PlaceOf(m map[string]string) Place {
	return Place{Acquirer: m["acquirer"], Region: m["region"], Model: m["model"], App: m["app"], Merchant: m["merchant"]}
}

// Series is what is counted: the declines with one watched code in one place.
type Series struct {
	Place Place
	Code  string
}

// Counts is what one series shows in the sliding window that ends now.
type Counts struct {
	Declines     int       // watched declines, each terminal's repetitions included
	Transactions int64     // of the place, all codes; an estimate where only totals are known
	First        time.Time // arrival of the oldest of the declines

	Terminals map[fleet.Key]int // declines by terminal
	Merchants map[string]int    // declines by merchant number
}

// Share is the part of the place's transactions that these declines are, 0..1.
func (c Counts) Share() float64 {
	if c.Declines == 0 {
		return 0
	}
	return float64(c.Declines) / float64(max(c.Transactions, int64(c.Declines)))
}
