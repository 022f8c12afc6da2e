package registry

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode"

	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/fleet/carddata"
)

// MerchantColumns are the columns of the merchants file, by their fixed names. Only acquirer and merchant are required;
// the order is free.
var MerchantColumns = []string{
	"acquirer", "merchant", "name", "status", "mcc", "region", "agent", "operator",
	"min_balance_minor", "currency", "settled_by", "opened_on", "last_sale_on",
}

var merchantRequired = []string{"acquirer", "merchant"}

// statuses are those that a file may state; the acquirer alone can say that it does not know a number.
var statuses = []fleet.MerchantStatus{fleet.MerchantActive, fleet.MerchantNotOpened, fleet.MerchantSuspended, fleet.MerchantCancelled}

// maxText bounds names and regions, in bytes of UTF-8.
const maxText = 128

// shortened is what a spreadsheet makes of a long number: its last digits are lost.
var shortened = regexp.MustCompile(`^\d(\.\d+)?[eE]\+?\d+$`)

// ReadMerchants reads the merchants file; name is the file's name in problems. It returns the merchants of the good
// lines in the order of the file, also when there are problems; these are an error of type config.Problems. Any other
// error is the reader's.
//
// The first line names the columns. An empty status stays empty: nobody has stated one. A second line of one merchant
// number of one acquirer is a problem, the first one counts.
func ReadMerchants(name string, r io.Reader) ([]fleet.Merchant, error) {
	t, err := readTable(name, r, MerchantColumns, merchantRequired)
	if err != nil {
		return nil, err
	}
	type key struct{ acquirer, merchant string }
	first := map[key]int{}
	var out []fleet.Merchant
	t.rows(func(row *row) {
		m := fleet.Merchant{
			Acquirer: row.acquirer(),
			Merchant: row.merchant(),
			Name:     row.text("name"),
			Status:   row.status(),
			MCC:      row.mcc(),
			Region:   row.text("region"),
		}
		if row.bad {
			return
		}
		k := key{m.Acquirer, m.Merchant}
		if line, ok := first[k]; ok {
			row.report("merchant", fmt.Sprintf("the merchant of line %d again", line), "one line for each merchant number of an acquirer")
			return
		}
		first[k] = row.line
		out = append(out, m)
	})
	return out, t.problems.Err()
}

func (r *row) acquirer() string {
	id := fleet.TrimID(r.value("acquirer"))
	if !fleet.ValidAcquirer(id) {
		r.report("acquirer", show(id), "an acquirer id of 1 to 32 letters, digits and hyphens that starts with a letter or digit")
	}
	return id
}

func (r *row) merchant() string {
	id := fleet.TrimID(r.value("merchant"))
	switch {
	case id == "":
		r.report("merchant", "nothing", "a merchant number (ISO 8583 field 42)")
	case len(id) > fleet.MaxID:
		r.report("merchant", fmt.Sprintf("%d bytes", len(id)), fmt.Sprintf("a merchant number of at most %d bytes", fleet.MaxID))
	case shortened.MatchString(id):
		r.report("merchant", show(id), "the number in full: a spreadsheet has shortened it; format the column as text and export again")
	case strings.ContainsFunc(id, func(c rune) bool { return unicode.IsControl(c) || c == unicode.ReplacementChar }):
		r.report("merchant", "a control character", "a merchant number in letters and digits")
	case len(id) != 15 && carddata.Suspicious(id): // of 15 digits every merchant number is (field 42), and one in ten passes for a card
		r.report("merchant", show(id), "a merchant number, no card number")
	}
	return id
}

func (r *row) status() fleet.MerchantStatus {
	got := strings.TrimSpace(r.value("status"))
	if got == "" {
		return ""
	}
	words := make([]string, len(statuses))
	for i, s := range statuses {
		if got == string(s) {
			return s
		}
		words[i] = string(s)
	}
	r.report("status", show(got), strings.Join(words, ", ")+", or nothing")
	return ""
}

func (r *row) mcc() string {
	got := strings.TrimSpace(r.value("mcc"))
	if got != "" && (len(got) != 4 || strings.Trim(got, "0123456789") != "") {
		r.report("mcc", show(got), "four digits (ISO 18245), or nothing")
	}
	return got
}

// text is a descriptive value. One that may be a card number is refused: it would be kept and shown.
func (r *row) text(column string) string {
	got := strings.TrimSpace(r.value(column))
	switch {
	case len(got) > maxText:
		r.report(column, fmt.Sprintf("%d bytes", len(got)), fmt.Sprintf("at most %d bytes", maxText))
	case carddata.Suspicious(got):
		r.report(column, show(got), "no card number")
	}
	return got
}
