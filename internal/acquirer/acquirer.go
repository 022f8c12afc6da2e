package acquirer

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// Directory tells what one acquirer says of its merchant numbers.
type Directory interface {
	// MerchantStatus asks for the status of one merchant number, trimmed of padding. The Answer has Kind status, the
	// acquirer's id, the number asked for, one of fleet's statuses, and At, when the answer came. A number that the
	// acquirer does not know is the answer fleet.MerchantUnknown, never an error. Since is 0 where the acquirer did not
	// say.
	//
	// An error means that nothing is known of the number now, and the caller goes on with the next. It is an *Error,
	// or wraps ctx's error when ctx ended first. The directory has already tried again what was worth it.
	MerchantStatus(ctx context.Context, merchant string) (fleet.Answer, error)
}

// Class says what sort of trouble an Error is, and so what its caller can do.
type Class string

// The classes of trouble.
const (
	ClassUnreachable Class = "unreachable"  // no answer: refused, timed out, cut off, 5xx; later may do
	ClassRateLimited Class = "rate_limited" // 429 to the last; ask less often
	ClassPaused      Class = "paused"       // not asked: the circuit breaker is open after many failures
	ClassRefused     Class = "refused"      // 401, 403 or another 4xx: somebody must change the settings
	ClassBadAnswer   Class = "bad_answer"   // an answer that is not of the API; the acquirer must mend it
)

// Error is a question that got no usable answer.
type Error struct {
	Class      Class
	Acquirer   string
	Merchant   string
	Status     int           // HTTP status of the last answer; 0: there was none
	RetryAfter time.Duration // asking earlier is pointless; 0: nothing known
	Hint       string        // what an operator can do
	Err        error
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "ask acquirer %q about merchant %q: %v", e.Acquirer, e.Merchant, e.Err)
	if e.Hint != "" {
		fmt.Fprintf(&b, " (%s)", e.Hint)
	}
	return b.String()
}

// Unwrap returns what went wrong underneath.
func (e *Error) Unwrap() error { return e.Err }

// Token is a bearer token. It shows itself to nobody: in logs, errors and JSON it is ***.
type Token string

const masked = "***"

// String masks the token.
func (t Token) String() string {
	if t == "" {
		return ""
	}
	return masked
}

// GoString masks the token under %#v.
func (t Token) GoString() string { return fmt.Sprintf("acquirer.Token(%q)", t.String()) }

// LogValue masks the token in logs.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalJSON masks the token.
func (t Token) MarshalJSON() ([]byte, error) { return json.Marshal(t.String()) }

// MarshalText masks the token.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
