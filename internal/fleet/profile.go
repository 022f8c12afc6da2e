package fleet

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Domain says where the cause of a response code lies, so that codes of one sort can be counted together whatever
// the profile calls them. A joined domain (ISSUER/CARD) is a code whose source does not tell the two apart.
//
// The assignment is Tillwatch's reading of the meanings, not part of ISO 8583 or of UnionPay's documents.
type Domain string

// The domains of a response code.
const (
	DomainOK               Domain = "OK"                // approved or completed
	DomainIssuer           Domain = "ISSUER"            // the card's bank
	DomainIssuerCard       Domain = "ISSUER/CARD"       // the card, or its bank
	DomainCard             Domain = "CARD"              // the card itself
	DomainMerchant         Domain = "MERCHANT"          // the merchant number or its status
	DomainMerchantTerminal Domain = "MERCHANT/TERMINAL" // what this merchant or this terminal may do
	DomainTerminal         Domain = "TERMINAL"          // the terminal's registration or state
	DomainTerminalKey      Domain = "TERMINAL-KEY"      // the terminal's working keys
	DomainTerminalSoftware Domain = "TERMINAL/SOFTWARE" // what the terminal's application sends
	DomainAcquirer         Domain = "ACQUIRER"          // the acquiring institution
	DomainSwitch           Domain = "SWITCH"            // the switch's processing
	DomainSwitchSoftware   Domain = "SWITCH/SOFTWARE"   // the switch, or what the terminal's application sent it
	DomainNetwork          Domain = "NETWORK"           // reachability, time-outs, institutions that are down
	DomainRouting          Domain = "ROUTING"           // no way to the card's bank
	DomainConfig           Domain = "CONFIG"            // a function that is not set up
	DomainInput            Domain = "INPUT"             // what was keyed in
	DomainReader           Domain = "READER"            // how the card was read
	DomainReaderOperator   Domain = "READER/OPERATOR"   // how the card was read, or presented
	DomainOther            Domain = "OTHER"             // none of these
)

// Domains lists every domain, approvals first.
func Domains() []Domain {
	return []Domain{
		DomainOK, DomainIssuer, DomainIssuerCard, DomainCard, DomainMerchant, DomainMerchantTerminal, DomainTerminal,
		DomainTerminalKey, DomainTerminalSoftware, DomainAcquirer, DomainSwitch, DomainSwitchSoftware, DomainNetwork,
		DomainRouting, DomainConfig, DomainInput, DomainReader, DomainReaderOperator, DomainOther,
	}
}

// Code is what one response code (ISO 8583 field 39) means in one profile.
type Code struct {
	Code    string
	English string
	Chinese string
	Display string // what the terminal is told to show, Chinese; "" where the profile does not say
	Class   string // what the terminal should do, A to E as UnionPay classes it; "" where the profile does not say
	Switch  string // how the switch words it in Chinese, where that differs from the terminal's rulebook
	Domain  Domain
}

// Profile gives the meaning of response codes at one acquirer. Codes are not universal (97 resets reconciliation
// totals in ISO 8583 and is an unregistered terminal at UnionPay), so there is no meaning without a profile.
// A Profile never changes once it is made; it may be shared.
type Profile struct {
	name    string
	codes   map[string]Code
	watched []string
}

// Names of the profiles that are built in.
const (
	ProfileISO8583  = "iso8583-1987"
	ProfileUnionPay = "unionpay"
)

//go:embed response_codes.tsv
var responseCodes string

var builtIn = func() map[string]*Profile {
	m := map[string]*Profile{}
	for _, name := range []string{ProfileISO8583, ProfileUnionPay} {
		p, err := ParseProfile(name, strings.NewReader(responseCodes))
		if err != nil {
			panic(err) // the embedded table is part of the program; a test reads it
		}
		m[name] = p
	}
	return m
}()

// LookupProfile returns a built-in profile. The error of an unknown name lists the known ones.
func LookupProfile(name string) (*Profile, error) {
	if p, ok := builtIn[name]; ok {
		return p, nil
	}
	known := strings.Join(slices.Sorted(maps.Keys(builtIn)), ", ")
	return nil, fmt.Errorf("look up code profile %q: want one of %s, or a file", name, known)
}

// Name is the name the profile was made with.
func (p *Profile) Name() string { return p.name }

// Code returns the meaning of a response code, and whether the profile has one. The spelling counts: "a2" is not "A2".
func (p *Profile) Code(code string) (Code, bool) {
	c, ok := p.codes[code]
	return c, ok
}

// Codes returns every code of the profile, sorted by code.
func (p *Profile) Codes() []Code {
	out := make([]Code, 0, len(p.codes))
	for _, code := range slices.Sorted(maps.Keys(p.codes)) {
		out = append(out, p.codes[code])
	}
	return out
}

// Approved reports whether the code means success. A code the profile does not know is a decline: an approval that is
// mistaken for a decline shows at once, the reverse hides a problem.
func (p *Profile) Approved(code string) bool { return p.codes[code].Domain == DomainOK }

// Watched returns the codes whose declines are counted as series of their own, sorted.
func (p *Profile) Watched() []string { return slices.Clone(p.watched) }

// Watches reports whether the code is one of Watched.
func (p *Profile) Watches(code string) bool { return slices.Contains(p.watched, code) }
