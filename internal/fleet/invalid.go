package fleet

import "fmt"

// Reason says why a message cannot be used. It is the label of the dead letter and of its counter.
type Reason string

// Reasons of the decoders. A reason never changes its spelling: dashboards and the DLQ's readers group by it.
const (
	ReasonSubject  Reason = "bad_subject"   // the subject does not name a terminal
	ReasonTooLarge Reason = "too_large"     // the body is over MaxBody
	ReasonSyntax   Reason = "bad_json"      // the body is not one JSON object
	ReasonMissing  Reason = "missing_field" // a required field is not there
	ReasonField    Reason = "bad_field"     // a field has the wrong type or is out of range
	ReasonSpoofed  Reason = "spoofed"       // the body contradicts the subject
)

// Invalid is a message that cannot be used, in words that its sender can act on.
type Invalid struct {
	Reason Reason
	Field  string // the field's path, "" for the whole body
	Got    string // what was found, shortened; never card data once the guard has run
	Want   string // what would be right
}

func (e *Invalid) Error() string {
	got := e.Got
	if len(got) > 64 {
		got = got[:64] + "…"
	}
	switch {
	case e.Field == "":
		return fmt.Sprintf("%s: %s", e.Reason, e.Want)
	case e.Reason == ReasonMissing:
		return fmt.Sprintf("%s: %s is required: %s", e.Reason, e.Field, e.Want)
	}
	return fmt.Sprintf("%s: %s is %q, want %s", e.Reason, e.Field, got, e.Want)
}
