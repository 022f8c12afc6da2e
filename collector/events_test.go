package collector_test

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/influx"
	"github.com/tillwatch/tillwatch/internal/schema"
)

// row is a stored point: its tags and fields as text.
type row map[string]string

// rows reads all points of a measurement.
func (r *rig) rows(bucket, measurement string) []row {
	r.t.Helper()
	series, err := r.db.Query(r.t.Context(), bucket, "SELECT * FROM "+influx.Ident(measurement)+" GROUP BY *")
	if err != nil {
		r.t.Fatal(err)
	}
	var out []row
	for _, s := range series {
		for i := range s.Values {
			p := row{}
			maps.Copy(p, s.Tags)
			for j, name := range s.Columns {
				if v := s.Values[i][j]; v != nil {
					p[name] = fmt.Sprint(v)
				}
			}
			out = append(out, p)
		}
	}
	return out
}

// declines returns the stored declines by acquirer/terminal/id; one that is there twice fails the test.
func (r *rig) declines() map[string]row {
	return r.byID(schema.BucketEvents, schema.Decline, "acquirer", "terminal", "id")
}

// heartbeats returns the stored heartbeats by acquirer/terminal/seq.
func (r *rig) heartbeats() map[string]row {
	return r.byID(schema.BucketRaw, schema.Heartbeat, "acquirer", "terminal", "seq")
}

func (r *rig) byID(bucket, measurement string, names ...string) map[string]row {
	r.t.Helper()
	out := map[string]row{}
	for _, p := range r.rows(bucket, measurement) {
		var id []string
		for _, name := range names {
			id = append(id, p[name])
		}
		key := strings.Join(id, "/")
		if first, twice := out[key]; twice {
			r.t.Errorf("%s %s is stored twice: %v and %v", measurement, key, first, p)
		}
		out[key] = p
	}
	return out
}

// same compares the ids that are stored with those that should be.
func same(t *testing.T, what string, got map[string]row, want []string) {
	t.Helper()
	wanted := map[string]bool{}
	missing, extra := 0, 0
	for _, id := range want {
		wanted[id] = true
		if _, ok := got[id]; !ok {
			if missing++; missing <= 5 {
				t.Errorf("%s %s is missing", what, id)
			}
		}
	}
	for id, p := range got {
		if !wanted[id] {
			if extra++; extra <= 5 {
				t.Errorf("%s %s should not be there: %v", what, id, p)
			}
		}
	}
	if missing+extra > 0 {
		t.Errorf("%s: %d missing, %d too many, of %d", what, missing, extra, len(want))
	}
}

// event is one message and the id under which it must be found.
type event struct {
	bus.Message
	id string
}

func key(acquirer string, n int) fleet.Key {
	return fleet.Key{Acquirer: acquirer, Terminal: strconv.Itoa(10_000_000 + n)}
}

// txn makes a transaction with the usual fields; more is added to its body, such as `,"amount":1`.
func txn(k fleet.Key, id, code string, ts time.Time, more string) event {
	src := fleet.SourceTerminal
	if strings.Contains(more, `"src":"switch"`) {
		src = fleet.SourceSwitch
	}
	body := fmt.Sprintf(`{"ts":%d,"id":%q,"code":%q%s}`, ts.UnixMilli(), id, code, more)
	return event{
		bus.Message{Subject: k.Subject(fleet.KindTxn), ID: k.TxnMsgID(src, id), Data: []byte(body)},
		k.Acquirer + "/" + fleet.Escape(k.Terminal) + "/" + id,
	}
}

func beat(k fleet.Key, seq int, ts time.Time, more string) event {
	body := fmt.Sprintf(`{"ts":%d,"boot":1000,"seq":%d%s}`, ts.UnixMilli(), seq, more)
	return event{
		bus.Message{Subject: k.Subject(fleet.KindHeartbeat), ID: k.HeartbeatMsgID(1000, int64(seq)), Data: []byte(body)},
		k.Acquirer + "/" + fleet.Escape(k.Terminal) + "/" + strconv.Itoa(seq),
	}
}

func messages(events []event) (out []bus.Message) {
	for _, e := range events {
		out = append(out, e.Message)
	}
	return out
}

func ids(events ...[]event) (out []string) {
	for _, es := range events {
		for _, e := range es {
			out = append(out, e.id)
		}
	}
	return out
}

// someDeclines makes n declines of a few terminals, named after what they are for.
func someDeclines(name string, n int) (out []event) {
	now := time.Now()
	for i := range n {
		out = append(out, txn(key("a1", i%7), fmt.Sprintf("%s-%d", name, i), "03", now.Add(-time.Duration(i)*time.Millisecond), ""))
	}
	return out
}

func someBeats(first, n int) (out []event) {
	now := time.Now().Add(-time.Minute)
	for i := range n {
		out = append(out, beat(key("a1", i%5), first+i, now.Add(time.Duration(first+i)*time.Millisecond), `,"app":"2.4.1"`))
	}
	return out
}
