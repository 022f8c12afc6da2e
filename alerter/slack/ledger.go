package slack

import (
	"context"
	"errors"
)

// State says how far an incident's message is.
type State string

// The states of an entry.
const (
	// Claimed: Owner is sending transition N, until Deadline at the latest. With a TS it is an update of that
	// message; without one it is a first post, and after a crash nobody knows whether it was stored.
	Claimed State = "claimed"
	// Posted: the message TS shows transition N.
	Posted State = "posted"
)

// Entry is what is recorded of one incident's message. Times are Unix milliseconds of the writer's clock; clocks of
// the alerter's processes must agree to within the visibility window.
type Entry struct {
	Incident  string `json:"incident"` // as MetadataIncident writes it; the key
	Channel   string `json:"channel"`
	TS        string `json:"ts,omitempty"` // Slack's identity of the message; empty until known
	N         int    `json:"n"`            // the transition that is shown (posted) or being sent (claimed)
	State     State  `json:"state"`
	Owner     string `json:"owner"`                // who claimed last
	ClaimedAt int64  `json:"claimed_at,omitempty"` // first claim of the present message; the search begins here
	Deadline  int64  `json:"deadline,omitempty"`   // the owner begins no request after it; 0: nothing is in flight
	MaybeSent bool   `json:"maybe_sent,omitempty"` // some claim since ClaimedAt may have posted a message that no one recorded
	Abandoned string `json:"abandoned,omitempty"`  // TS of the message before, which could not be updated any more; never adopted
}

// ErrConflict is returned by Ledger.Save where the entry is no longer at the given revision.
var ErrConflict = errors.New("the ledger's entry was changed by another process")

// Ledger keeps one Entry per incident, durably and with compare-and-set.
type Ledger interface {
	// Load returns the incident's entry and its revision, or revision 0 where there is none. It must not return an older entry
	// than the last successful Save by anybody (read from the leader).
	Load(ctx context.Context, incident string) (Entry, uint64, error)
	// Save writes the entry if it is still at revision (0: if there is none) and returns the new revision. It returns
	// an error that wraps ErrConflict where it is not. After any other error the entry may or may not be written.
	Save(ctx context.Context, e Entry, revision uint64) (uint64, error)
}
