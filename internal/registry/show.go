package registry

import (
	"fmt"
	"unicode"
)

// minCard is the length of the shortest primary account numbers in use, in digits.
const minCard = 12

// show quotes a value for a problem, unless it holds so many digits that it could be, or contain, a card number. That
// is stricter than the guard against card data: a mistyped card number fails its check digit and is one all the same.
func show(s string) string {
	digits := 0
	for _, c := range s {
		if unicode.IsDigit(c) {
			digits++
		}
	}
	switch {
	case s == "":
		return "nothing"
	case digits >= minCard:
		return fmt.Sprintf("a value with %d digits (not shown: it may be a card number)", digits)
	case len(s) > 64:
		return fmt.Sprintf("%d bytes", len(s))
	}
	return fmt.Sprintf("%q", s)
}
