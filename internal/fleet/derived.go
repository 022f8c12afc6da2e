package fleet

import (
	"encoding/json"
	"fmt"
	"strings"
)

// DerivedPrefix starts the subject of everything the alerter derived.
const DerivedPrefix = "derived.v1."

// AllAcquirers stands in a subject where a derived fact belongs to no single acquirer.
const AllAcquirers = "_all"

// Severity orders what a finding or an incident asks of people.
type Severity string

// Severities, mildest first.
const (
	SeverityInfo     Severity = "info"     // worth a digest
	SeverityWarning  Severity = "warning"  // worth work today
	SeverityCritical Severity = "critical" // worth a page
)

// FindingState says whether a finding still holds.
type FindingState string

// The states of a finding.
const (
	FindingOpen    FindingState = "open"
	FindingCleared FindingState = "cleared"
)

// Finding is what a periodic check found about one target. One that persists is one finding: N counts its
// transitions (1 opened, 2 cleared, 3 opened again, …). All times are Unix milliseconds.
type Finding struct {
	ID        string       `json:"id"` // deterministic: <check>.<acquirer>.<target>
	N         int          `json:"n"`
	At        int64        `json:"at"` // instant of this transition
	Check     string       `json:"check"`
	Acquirer  string       `json:"acquirer"`
	Merchant  string       `json:"merchant,omitempty"`
	Terminal  string       `json:"terminal,omitempty"`
	Severity  Severity     `json:"severity"`
	State     FindingState `json:"state"`
	FirstSeen int64        `json:"first_seen"`
	LastSeen  int64        `json:"last_seen"`
	Value     string       `json:"value"`           // machine-readable, such as cancelled
	Since     int64        `json:"since,omitempty"` // since when the acquirer says so
	Evidence  string       `json:"evidence"`        // what was seen, and where
	Message   string       `json:"message"`         // one English sentence
	Epoch     uint64       `json:"epoch,omitempty"`
}

// Target is the merchant or terminal the finding is about, or the acquirer itself.
func (f *Finding) Target() string {
	switch {
	case f.Terminal != "":
		return f.Terminal
	case f.Merchant != "":
		return f.Merchant
	}
	return f.Acquirer
}

// Subject is where the finding's transitions are published; a target never becomes part of a subject.
func (f *Finding) Subject() string { return DerivedPrefix + "finding." + f.Acquirer + "." + f.Check }

// Scope is an OR of ANDs of attributes: [{"acquirer":"a1","app":"2.4.1"},{"region":"r3"}]. An empty element means
// everything. Attributes: acquirer, region, model, app, merchant, terminal.
type Scope []map[string]string

// String writes the scope as a person would: "acquirer a1, app 2.4.1 or region r3"; "everything" for an empty element.
func (s Scope) String() string {
	parts := make([]string, 0, len(s))
	for _, and := range s {
		var words []string
		for _, name := range scopeOrder {
			if v, ok := and[name]; ok {
				words = append(words, name+" "+v)
			}
		}
		if len(words) == 0 {
			words = []string{"everything"}
		}
		parts = append(parts, strings.Join(words, ", "))
	}
	return strings.Join(parts, " or ")
}

// scopeOrder is the order in which attributes are named, widest first.
var scopeOrder = []string{"acquirer", "region", "model", "app", "merchant", "terminal"}

// IncidentKind says what sort of problem an incident is.
type IncidentKind string

// The kinds of incident.
const (
	IncidentSpike    IncidentKind = "spike"     // watched declines beyond what is normal
	IncidentDeadTill IncidentKind = "dead_till" // one terminal that answers 03 to everybody
	IncidentSilence  IncidentKind = "silence"   // nothing is heard that should be
	IncidentPipeline IncidentKind = "pipeline"  // Tillwatch itself
	IncidentFinding  IncidentKind = "finding"   // an urgent finding of a check
)

// IncidentStep is what a transition did to its incident.
type IncidentStep string

// The steps of an incident's life.
const (
	StepOpened   IncidentStep = "opened"
	StepUpdated  IncidentStep = "updated"
	StepResolved IncidentStep = "resolved"
	StepAbsorbed IncidentStep = "absorbed" // a wider incident explains it
)

// CauseGuess is one possible cause with its share of belief and the evidence in words. ID is a cause of DOMAIN's
// table, or "unknown".
type CauseGuess struct {
	ID      string   `json:"id"`
	Weight  float64  `json:"weight"` // 0..1
	For     []string `json:"for,omitempty"`
	Against []string `json:"against,omitempty"`
}

// Transition is one step of one incident, complete in itself: who reads only the last one knows the whole incident.
// It is published before anything is sent to people. Times are Unix milliseconds of the stream's clock.
type Transition struct {
	At           int64        `json:"at"`
	Incident     string       `json:"incident"`
	N            int          `json:"n"` // 1 opened; each later transition one more
	Step         IncidentStep `json:"transition"`
	Reason       string       `json:"reason"`
	Kind         IncidentKind `json:"kind"`
	Acquirer     string       `json:"acquirer"` // or _all
	Code         string       `json:"code,omitempty"`
	Severity     Severity     `json:"severity"`
	Scope        Scope        `json:"scope"`
	Explained    float64      `json:"explained"` // share of the acquirer's watched declines that lie in Scope
	Observed     int64        `json:"observed"`  // watched declines in the window
	Expected     float64      `json:"expected"`
	Transactions int64        `json:"transactions"` // the scope's transactions in the window
	Terminals    int          `json:"terminals"`    // distinct, of the observed declines
	Merchants    int          `json:"merchants"`    // distinct, of the observed declines
	Since        int64        `json:"since"`        // first watched decline of the incident
	Causes       []CauseGuess `json:"causes,omitempty"`
	Findings     []Finding    `json:"findings,omitempty"` // those that explain it
	AbsorbedBy   string       `json:"absorbed_by,omitempty"`
	Epoch        uint64       `json:"epoch,omitempty"`
}

// Summary is the transition in one English sentence, for the database and for logs.
func (t *Transition) Summary() string {
	return fmt.Sprintf("%s of %s at %s: %s (%s); %d declines of %d transactions, %d terminals, %d merchants",
		t.Kind, t.Code, t.Scope, t.Step, t.Reason, t.Observed, t.Transactions, t.Terminals, t.Merchants)
}

// Subject is where the incident's transitions are published.
func (t *Transition) Subject() string {
	return DerivedPrefix + "incident." + t.Acquirer + "." + Escape(t.Incident)
}

// Rows are rows of one measurement derived for one minute or one run. The bus carries them on
// derived.v1.rollup.<acquirer or _all>.<measurement>.
type Rows struct {
	Measurement string `json:"measurement"`
	Rows        []Row  `json:"rows"`
}

// Row is one point as it will be stored. The types of the fields are those of the schema's dictionary.
type Row struct {
	Time   int64                  `json:"time"` // Unix nanoseconds
	Tags   map[string]string      `json:"tags"`
	Fields map[string]json.Number `json:"fields"`
}

// RowsSubject is where rows of a measurement are published.
func RowsSubject(acquirer, measurement string) string {
	return DerivedPrefix + "rollup." + acquirer + "." + measurement
}

// MerchantStatus is what an acquirer says of a merchant number.
type MerchantStatus string

// The states of a merchant number; the registry's files use the same words.
const (
	MerchantActive    MerchantStatus = "active"
	MerchantNotOpened MerchantStatus = "not_opened"
	MerchantSuspended MerchantStatus = "suspended"
	MerchantCancelled MerchantStatus = "cancelled"
	MerchantUnknown   MerchantStatus = "unknown" // the acquirer does not know the number
)

// Answer is what an acquirer answered, kept as an event on control.v1.answer.<acquirer>.<kind>.
type Answer struct {
	At           int64          `json:"at"`
	Acquirer     string         `json:"acquirer"`
	Merchant     string         `json:"merchant"`
	Kind         string         `json:"kind"` // status, balance, probe
	Status       MerchantStatus `json:"status,omitempty"`
	Since        int64          `json:"since,omitempty"` // Unix milliseconds
	BalanceMinor *int64         `json:"balance_minor,omitempty"`
	Currency     string         `json:"currency,omitempty"`
	Account      string         `json:"account,omitempty"` // masked
}

// Merchant is one line of the merchants file, or one record of the registry.
type Merchant struct {
	Acquirer string
	Merchant string
	Name     string
	Status   MerchantStatus
	MCC      string
	Region   string
}
