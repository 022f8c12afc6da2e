package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// badToken stands in a dead letter's subject for an identity that could not be read.
const badToken = "_bad"

// DeadLetter is a message that could not be used. Payload has been through the guard: it carries no card data.
type DeadLetter struct {
	At      int64        `json:"at"` // Unix milliseconds, when the original was stored
	Stream  string       `json:"stream"`
	Seq     uint64       `json:"seq"`
	Subject string       `json:"subject"` // masked
	Reason  fleet.Reason `json:"reason"`
	Detail  string       `json:"detail"` // what was wrong and what would be right
	Payload string       `json:"payload"`
}

// DeadLetterSubject is dlq.v1.<acquirer or _bad>.<terminal or _bad>.<kind>.
func DeadLetterSubject(k fleet.Key, kind string) string {
	acquirer, terminal := badToken, badToken
	if fleet.ValidAcquirer(k.Acquirer) {
		acquirer = k.Acquirer
	}
	if k.Terminal != "" {
		terminal = fleet.Escape(k.Terminal)
	}
	if kind == "" || strings.ContainsAny(kind, ".*> \t\r\n") {
		kind = badToken
	}
	return "dlq.v1." + acquirer + "." + terminal + "." + kind
}

// PublishDeadLetter stores d and returns once the server has it; then the original may be terminated. The id is made
// from the original's stream and sequence, so a second delivery of the original is not a second dead letter.
func (c *Conn) PublishDeadLetter(ctx context.Context, k fleet.Key, kind string, d DeadLetter) error {
	if !utf8.ValidString(d.Payload) {
		d.Payload = strings.ToValidUTF8(d.Payload, "\uFFFD")
	}
	body, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode dead letter of %s message %d: %w", d.Stream, d.Seq, err)
	}
	return c.Publish(ctx, Message{Subject: DeadLetterSubject(k, kind), ID: fmt.Sprintf("dlq.%s.%d", d.Stream, d.Seq), Data: body})
}
