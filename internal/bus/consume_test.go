package bus

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// TestAckReplyAgreesWithTheClient compares our reading of a delivered message's reply with the vendor's own.
func TestAckReplyAgreesWithTheClient(t *testing.T) {
	for _, reply := range []string{
		"$JS.ACK.TXN.collector-txn.1.17.5.1763900000123456789.42",
		"$JS.ACK.hub.Xh7s8d.TXN.collector-txn.3.17.5.1763900000123456789.0",
		"$JS.ACK._.Xh7s8d.TXN.collector-txn.3.17.5.1763900000123456789.0.token",
	} {
		meta, err := vendorMetadata(reply)
		if err != nil {
			t.Fatalf("%s: %v", reply, err)
		}
		d, ok := parseAckReply(reply)
		if !ok || d.seq != meta.Sequence.Stream || d.attempts != meta.NumDelivered || !time.Unix(0, d.stored).Equal(meta.Timestamp) {
			t.Errorf("%s: %+v, %v; want %+v", reply, d, ok, meta)
		}
	}
	for _, reply := range []string{"", "$JS.ACK.", "_INBOX.x", "$JS.ACK.TXN.c.1.17", "$JS.ACK.TXN.c.x.17.5.1763900000123456789.42", "$JS.ACK.TXN.c.1.17.5.-1.42"} {
		if d, ok := parseAckReply(reply); ok {
			t.Errorf("%q was read as %+v", reply, d)
		}
	}
}

// vendorMetadata is what nats.go reads from a reply subject.
func vendorMetadata(reply string) (*nats.MsgMetadata, error) {
	m := nats.NewMsg("s")
	m.Reply, m.Sub = reply, &nats.Subscription{}
	return m.Metadata()
}
