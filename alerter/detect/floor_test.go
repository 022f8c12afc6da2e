package detect

import (
	"fmt"
	"testing"

	"github.com/tillwatch/tillwatch/alerter"
	"github.com/tillwatch/tillwatch/internal/fleet"
)

// counts shows declines spread over so many terminals, of a place with so many transactions.
func counts(declines, terminals int, transactions int64) alerter.Counts {
	c := alerter.Counts{Declines: declines, Transactions: transactions, Terminals: map[fleet.Key]int{}}
	for i := range declines {
		c.Terminals[fleet.Key{Acquirer: "a1", Terminal: fmt.Sprint(i % terminals)}]++
	}
	return c
}

func TestFloor(t *testing.T) {
	merchant := alerter.Place{Acquirer: "a1", Merchant: "m1"}
	wide := []alerter.Place{
		{Acquirer: "a1"}, {Acquirer: "a1", Region: "r1"}, {Region: "r1"}, {Acquirer: "a1", App: "2.4.1"}, {App: "2.4.1"},
		{Acquirer: "a1", Model: "A920", App: "2.4.1"}, {Model: "A920"},
	}
	for _, c := range []struct {
		name     string
		counts   alerter.Counts
		wide     Reason // in every place but a merchant's
		merchant Reason
	}{
		{"nothing", alerter.Counts{}, ReasonFewTerminals, ReasonFewTerminals},
		{"nothing of much", alerter.Counts{Transactions: 1000}, ReasonFewTerminals, ReasonFewTerminals},
		{"one terminal fifty times", counts(50, 1, 50), ReasonFewTerminals, ReasonFewTerminals},
		{"two terminals", counts(2, 2, 2), ReasonFewTerminals, ReasonHolds},
		{"four terminals", counts(40, 4, 40), ReasonFewTerminals, ReasonHolds},
		{"five terminals", counts(5, 5, 5), ReasonHolds, ReasonHolds},
		{"half", counts(5, 5, 10), ReasonHolds, ReasonHolds},
		{"half of a hundred", counts(50, 25, 100), ReasonHolds, ReasonHolds},
		{"forty-nine of a hundred", counts(49, 25, 100), ReasonSmallShare, ReasonSmallShare},
		{"five of eleven", counts(5, 5, 11), ReasonSmallShare, ReasonSmallShare},
		{"volume unknown", counts(5, 5, 0), ReasonHolds, ReasonHolds},
		{"volume below the declines", counts(5, 5, 3), ReasonHolds, ReasonHolds},
		{"a drop in a busy place", counts(20, 20, 100_000), ReasonSmallShare, ReasonSmallShare},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, p := range wide {
				if holds, why := DefaultFloor.Holds(alerter.Series{Place: p, Code: "03"}, c.counts); why != c.wide || holds != (why == ReasonHolds) {
					t.Errorf("%+v: %v, %s; want %s", p, holds, why, c.wide)
				}
			}
			if holds, why := DefaultFloor.Holds(alerter.Series{Place: merchant, Code: "03"}, c.counts); why != c.merchant || holds != (why == ReasonHolds) {
				t.Errorf("merchant: %v, %s; want %s", holds, why, c.merchant)
			}
		})
	}
}

func TestFloorIsASetting(t *testing.T) {
	f := Floor{Terminals: 3, MerchantTerminals: 1, Share: 0.2}
	at := func(p alerter.Place, c alerter.Counts) Reason {
		_, why := f.Holds(alerter.Series{Place: p, Code: "03"}, c)
		return why
	}
	if why := at(alerter.Place{Acquirer: "a1"}, counts(3, 3, 15)); why != ReasonHolds {
		t.Errorf("three of fifteen: %s", why)
	}
	if why := at(alerter.Place{Acquirer: "a1"}, counts(3, 3, 16)); why != ReasonSmallShare {
		t.Errorf("three of sixteen: %s", why)
	}
	if why := at(alerter.Place{Acquirer: "a1", Merchant: "m1"}, counts(1, 1, 5)); why != ReasonHolds {
		t.Errorf("one terminal of a merchant: %s", why)
	}
}
