package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/fleettest/influxtest"
	"github.com/tillwatch/tillwatch/internal/fleettest/slacktest"
	"github.com/tillwatch/tillwatch/internal/schema"
)

// verifyDatabase accounts for every event by id: a decline is in the database exactly once, a message that cannot be
// used is one dead letter, an approval is nowhere, and each terminal's heartbeats are all there.
func verifyDatabase(ctx context.Context, t *testing.T, db *influxtest.Server, c *bus.Conn, l *load) {
	t.Helper()
	q := db.Client(t)
	found := map[string]int{}
	for s, err := range q.Stream(ctx, schema.BucketEvents, `SELECT "id" FROM "decline"`) {
		if err != nil {
			t.Fatal(err)
		}
		for row := range s.Values {
			if id, ok := s.Text(row, "id"); ok {
				found[id]++
			}
		}
	}
	account(t, "declines in the database", l.declines, found)

	letters := map[string]int{}
	_, err := c.Each(ctx, bus.StreamDLQ, "dlq.v1.>", func(s bus.Stored) error {
		var d bus.DeadLetter
		if err := json.Unmarshal(s.Data, &d); err != nil {
			return err
		}
		var body struct{ ID string }
		if err := json.Unmarshal([]byte(d.Payload), &body); err != nil {
			return fmt.Errorf("payload %q: %w", d.Payload, err)
		}
		letters[body.ID]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	account(t, "dead letters", l.bad, letters)

	cards := 0
	if _, err := c.Each(ctx, bus.StreamTxn, "fleet.v1.>", func(s bus.Stored) error {
		if bytes.Contains(s.Data, []byte("6222021234567890128")) {
			cards++
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if cards > 0 || l.cards == 0 {
		t.Errorf("%d of %d card numbers are still in the stream", cards, l.cards)
	}

	stored, want := 0, int64(0)
	seqs := map[string]map[int64]bool{}
	for s, err := range q.Stream(ctx, schema.BucketRaw, `SELECT "seq" FROM "heartbeat" GROUP BY "acquirer", "terminal"`) {
		if err != nil {
			t.Fatal(err)
		}
		key := s.Tags["acquirer"] + "/" + s.Tags["terminal"]
		if seqs[key] == nil {
			seqs[key] = map[int64]bool{}
		}
		for row := range s.Values {
			if n, ok := s.Int(row, "seq"); ok {
				stored++
				seqs[key][n] = true
			}
		}
	}
	missing := 0
	for key, last := range l.heartbeats {
		want += last
		for n := int64(1); n <= last; n++ {
			if !seqs[key][n] {
				missing++
			}
		}
	}
	t.Logf("figure: heartbeats: %d published, %d stored, %d missing", want, stored, missing)
	if missing > 0 || int64(stored) != want {
		t.Errorf("heartbeats: %d of %d are missing, %d stored", missing, want, stored)
	}
}

// account compares ids that must be there exactly once with what is there.
func account(t *testing.T, what string, want map[string]bool, found map[string]int) {
	t.Helper()
	var missing, twice, foreign int
	for id := range want {
		switch n := found[id]; {
		case n == 0:
			if missing++; missing <= 3 {
				t.Logf("%s: %s is missing", what, id)
			}
		case n > 1:
			twice++
		}
	}
	for id := range found {
		if !want[id] {
			foreign++
		}
	}
	t.Logf("figure: %s: %d of %d, %d missing, %d double, %d that should not be there", what, len(found), len(want), missing, twice, foreign)
	if missing+twice+foreign > 0 {
		t.Errorf("%s: %d missing, %d double, %d that should not be there", what, missing, twice, foreign)
	}
}

// shown is, by incident, the transitions that the messages in Slack show.
func shown(people *slacktest.Server) map[string][]int {
	out := map[string][]int{}
	for _, m := range people.Messages() {
		id, _ := m.Payload["incident"].(string)
		n, _ := m.Payload["n"].(float64)
		out[id] = append(out[id], int(n))
	}
	return out
}

// awaitPeople waits until Slack shows the last transition of every incident in one message each; killed processes may
// leave a second one until the next reconciliation.
func awaitPeople(ctx context.Context, t *testing.T, people *slacktest.Server, incidents map[string]fleet.Transition) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		good := true
		messages := shown(people)
		for id, x := range incidents {
			if n := messages[id]; len(n) != 1 || n[0] != x.N {
				good = false
			}
		}
		if good || time.Now().After(deadline) || ctx.Err() != nil {
			return
		}
		pauseTest(200 * time.Millisecond)
	}
}

// verifyPeople demands one message for each incident, showing its end, and an incident for each fault.
func verifyPeople(t *testing.T, people *slacktest.Server, incidents map[string]fleet.Transition, faults int) {
	t.Helper()
	messages := shown(people)
	acquirers := map[string]bool{}
	for id, x := range incidents {
		acquirers[x.Acquirer] = true
		switch n := messages[id]; {
		case len(n) == 0:
			t.Errorf("incident %s was never shown: a missed page", id)
		case len(n) > 1:
			t.Errorf("incident %s has %d messages", id, len(n))
		case n[0] != x.N:
			t.Errorf("incident %s shows transition %d, want %d", id, n[0], x.N)
		}
	}
	for n := range min(faults, 40) {
		if a := fmt.Sprintf("f%d", n); !acquirers[a] {
			t.Errorf("the fault at %s opened no incident: a missed page", a)
		}
	}
	for id := range messages {
		if _, ok := incidents[id]; !ok {
			t.Errorf("message about %q, which is no incident; there are %v", id, slices.Sorted(maps.Keys(incidents)))
		}
	}
}
