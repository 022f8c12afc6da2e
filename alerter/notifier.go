package alerter

import (
	"context"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// Notifier tells people about an incident.
type Notifier interface {
	// Notify takes a transition over for delivery, or reports why it could not. It may be called from several
	// goroutines and must not wait for one incident's slow delivery before it takes another's.
	//
	// A nil error means that this process will go on until people can see the transition or a newer one of the same
	// incident. It does not mean that they can see it already, and it does not survive the process: whoever starts
	// again calls Notify with the newest transition of every incident it knows. Notify therefore is idempotent, as
	// far as the medium allows; what it does not allow, the implementation says. A transition older than one already
	// taken is accepted and ignored.
	Notify(ctx context.Context, t fleet.Transition) error
}
