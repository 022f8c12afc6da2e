package collector_test

import (
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/collector"
	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/fleettest/influxtest"
	"github.com/tillwatch/tillwatch/internal/fleettest/natstest"
)

// TestFullStreamHoldsUpOnlyTheCopy: an event with card data cannot be replaced while its stream is full. Everything else
// is stored meanwhile, somebody is told, and the event follows when there is room.
func TestFullStreamHoldsUpOnlyTheCopy(t *testing.T) {
	r := newRig(t, influxtest.Start18(t))
	now := time.Now()
	clean := someDeclines("clean", 50)
	dirty := txn(key("a1", 900), "dirty", "03", now, `,"note":"`+visa+`"`)
	r.send(messages(append(clean, dirty))...)
	natstest.Limit(t, r.url, bus.StreamTxn, 0)

	c := r.start(func(o *collector.Options) { r.ackWait, o.AckWait = 2*time.Second, 2*time.Second })
	eventually(t, "50 clean declines", func() bool { return len(r.declines()) == 50 })
	eventually(t, "the condition", func() bool { n, err := c.lastCondition("bus"); return n > 0 && err != nil })

	natstest.Limit(t, r.url, bus.StreamTxn, 512<<20)
	r.drained()
	same(t, "declines", r.declines(), ids(clean, []event{dirty}))
	eventually(t, "the end of the condition", func() bool { _, err := c.lastCondition("bus"); return err == nil })
}
