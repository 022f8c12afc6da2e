package incident

import (
	"fmt"
	"testing"

	"github.com/tillwatch/tillwatch/alerter"
	"github.com/tillwatch/tillwatch/internal/fleet"
)

// held makes a holding whose terminals from..to declined once each.
func held(p alerter.Place, from, to int, merchants ...string) Holding {
	c := alerter.Counts{Terminals: map[fleet.Key]int{}, Merchants: map[string]int{}, Declines: to - from, Transactions: int64(to - from)}
	for n := from; n < to; n++ {
		c.Terminals[fleet.Key{Acquirer: "a1", Terminal: fmt.Sprint(n)}] = 1
	}
	for _, m := range merchants {
		c.Merchants[m]++
	}
	return Holding{alerter.Series{Place: p, Code: "03"}, c}
}

// TestOneMerchantIsNoRegion: a merchant with enough terminals makes its region hold, and is still the merchant's
// problem; with others beside it the region stays.
func TestOneMerchantIsNoRegion(t *testing.T) {
	merchant := held(alerter.Place{Acquirer: "a1", Merchant: "m1"}, 0, 8, "m1")
	for _, c := range []struct {
		name string
		wide Holding
		left int
	}{
		{"its terminals alone", held(alerter.Place{Acquirer: "a1", Region: "r1"}, 0, 8, "m1"), 0},
		{"two background declines beside it", held(alerter.Place{Acquirer: "a1", Region: "r1"}, 0, 10, "m1", "m2", "m3"), 0},
		{"three others of eleven", held(alerter.Place{Acquirer: "a1", Region: "r1"}, 0, 11, "m1", "m2", "m3", "m4"), 1},
		{"across acquirers", held(alerter.Place{Region: "r1"}, 0, 8, "m1"), 0},
		{"other terminals", held(alerter.Place{Acquirer: "a1", App: "2.4.1"}, 20, 28, "m5", "m6"), 1},
	} {
		g := groupByCode([]Holding{c.wide, merchant})["03"]
		left := 0
		for _, w := range g.wide {
			left += len(w)
		}
		if left != c.left || len(g.merchants) != 1 {
			t.Errorf("%s: %d wider places left and %d merchants, want %d and 1", c.name, left, len(g.merchants), c.left)
		}
	}
}
