package alerter_test

import (
	"maps"
	"testing"

	"pgregory.net/rapid"

	"github.com/tillwatch/tillwatch/alerter"
	"github.com/tillwatch/tillwatch/internal/fleet"
)

func TestLevelOfPlace(t *testing.T) {
	for _, c := range []struct {
		place alerter.Place
		want  alerter.Level
		scope string
	}{
		{alerter.Place{Acquirer: "a1", Merchant: "m1"}, alerter.LevelMerchant, "acquirer a1, merchant m1"},
		{alerter.Place{Acquirer: "a1", Model: "A920", App: "2.4.1"}, alerter.LevelSoftware, "acquirer a1, model A920, app 2.4.1"},
		{alerter.Place{Model: "A920"}, alerter.LevelSoftware, "model A920"},
		{alerter.Place{App: "2.4.1"}, alerter.LevelApp, "app 2.4.1"},
		{alerter.Place{Acquirer: "a1", Region: "r1"}, alerter.LevelRegion, "acquirer a1, region r1"},
		{alerter.Place{Acquirer: "a1"}, alerter.LevelAcquirer, "acquirer a1"},
	} {
		if l := c.place.Level(); l != c.want {
			t.Errorf("level of %+v is %d, want %d", c.place, l, c.want)
		}
		if s := (fleet.Scope{c.place.Scope()}).String(); s != c.scope {
			t.Errorf("scope of %+v reads %q, want %q", c.place, s, c.scope)
		}
	}
	if !(alerter.LevelMerchant < alerter.LevelSoftware && alerter.LevelSoftware < alerter.LevelApp &&
		alerter.LevelApp < alerter.LevelRegion && alerter.LevelRegion < alerter.LevelAcquirer) {
		t.Error("levels are not ordered from narrow to wide")
	}
}

func TestPlaceOfIsInverseOfScope(t *testing.T) {
	value := rapid.SampledFrom([]string{"", "", "x", "2.4.1", "华东", " padded "})
	rapid.Check(t, func(rt *rapid.T) {
		p := alerter.Place{Acquirer: value.Draw(rt, "acquirer"), Region: value.Draw(rt, "region"), Model: value.Draw(rt, "model"), App: value.Draw(rt, "app"), Merchant: value.Draw(rt, "merchant")}
		m := p.Scope()
		for name, v := range m {
			if v == "" {
				rt.Fatalf("%q is in the scope without a value", name)
			}
		}
		if got := alerter.PlaceOf(m); got != p {
			rt.Fatalf("%+v came back as %+v", p, got)
		}
		if again := alerter.PlaceOf(m).Scope(); !maps.Equal(again, m) {
			rt.Fatalf("%v came back as %v", m, again)
		}
	})
}

func TestShare(t *testing.T) {
	for _, c := range []struct {
		declines     int
		transactions int64
		want         float64
	}{
		{0, 0, 0}, {0, 100, 0}, {5, 0, 1}, {5, 3, 1}, {5, 5, 1}, {5, 10, 0.5}, {1, 1000, 0.001},
	} {
		if s := (alerter.Counts{Declines: c.declines, Transactions: c.transactions}).Share(); s != c.want {
			t.Errorf("%d of %d is a share of %v, want %v", c.declines, c.transactions, s, c.want)
		}
	}
}
