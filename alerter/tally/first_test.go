package tally_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/alerter"
	"github.com/tillwatch/tillwatch/alerter/tally"
	"github.com/tillwatch/tillwatch/internal/fleet"
)

// TestFirstHeartbeatGivesVolume: after a restart of ours a terminal with a long period is known by one heartbeat only;
// its mean since its own start is its volume until a period is complete. A terminal that has just started has none.
func TestFirstHeartbeatGivesVolume(t *testing.T) {
	profile, err := fleet.LookupProfile("unionpay")
	if err != nil {
		t.Fatal(err)
	}
	ta := tally.New(tally.Options{
		Window:   5 * time.Minute,
		Acquirer: func(string) tally.Acquirer { return tally.Acquirer{Profile: profile, Source: fleet.SourceTerminal} },
		Region:   func(string, string) string { return "" },
	})
	now := time.Unix(1_763_900_000, 0)
	beat := func(n int, uptime time.Duration, total int64) {
		ta.Heartbeat(now, fleet.Key{Acquirer: "a1", Terminal: fmt.Sprint(n)}, &fleet.Heartbeat{
			TS: now.UnixMilli(), EverySec: 1200, Boot: now.Add(-uptime).Unix(), Seq: 9, Approved: total, Fields: fleet.HasTotals | fleet.HasEvery,
		})
	}
	volume := func() int64 {
		return ta.Counts(alerter.Series{Place: alerter.Place{Acquirer: "a1"}, Code: "03"}).Transactions
	}
	for n := range 100 {
		beat(n, 10*time.Hour, 600) // one a minute
	}
	if got := volume(); got != 500 {
		t.Errorf("volume of 100 terminals at one a minute is %d in 5 minutes, want 500", got)
	}
	beat(100, time.Minute, 50)
	if got := volume(); got != 500 {
		t.Errorf("a terminal that started a minute ago makes it %d", got)
	}
	now = now.Add(20 * time.Minute)
	for n := range 100 {
		ta.Heartbeat(now, fleet.Key{Acquirer: "a1", Terminal: fmt.Sprint(n)}, &fleet.Heartbeat{
			TS: now.UnixMilli(), EverySec: 1200, Boot: now.Add(-10*time.Hour - 20*time.Minute).Unix(), Seq: 10, Approved: 640, Fields: fleet.HasTotals | fleet.HasEvery,
		})
	}
	if got := volume(); got != 1000 {
		t.Errorf("after a complete period at two a minute the volume is %d, want 1000", got)
	}
}
