package slack

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/slack-go/slack"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// EventType marks our messages in Slack's message metadata.
const EventType = "tillwatch_incident"

// Message is what Render makes: Block Kit blocks, the text for notifications and screen readers, and the metadata by
// which the message is found again.
type Message struct {
	Text     string
	Blocks   []slack.Block
	Metadata slack.SlackMetadata
}

// maxMetadataID keeps metadata far below Slack's limit of some kilobytes, whatever an incident is called.
const maxMetadataID = 200

// MetadataIncident is the incident's id as it stands in metadata: itself, unless it is very long.
func MetadataIncident(incident string) string {
	incident = clean(incident)
	if len(incident) <= maxMetadataID {
		return incident
	}
	return fmt.Sprintf("%s~%016x", clean(incident[:maxMetadataID-17]), fleet.Hash("", "", incident))
}

func metadata(t *fleet.Transition) slack.SlackMetadata {
	return slack.SlackMetadata{EventType: EventType, EventPayload: map[string]any{
		"incident": MetadataIncident(t.Incident),
		"n":        t.N,
	}}
}

// stamp writes an instant as Slack writes a message's ts.
func stamp(t time.Time) string {
	if t.Unix() <= 0 {
		return "0"
	}
	return fmt.Sprintf("%d.%06d", t.Unix(), t.Nanosecond()/1000)
}

// sortSent orders messages by Slack's clock, oldest first. A ts is digits, a point and six digits, so that the longer is
// the later and equal lengths compare as text.
func sortSent(s []Sent) {
	slices.SortFunc(s, func(a, b Sent) int {
		return cmp.Or(cmp.Compare(len(a.TS), len(b.TS)), cmp.Compare(a.TS, b.TS))
	})
}
