package carddata

// confidence says how well a number fits a range that card numbers are really issued from.
type confidence uint8

const (
	notIssued confidence = iota
	rarely               // a range or length that few cards have: only in the shapes a card number is printed in
	commonly
)

// issued looks a number of 13 to 19 digits up in the issuer ranges (ISO/IEC 7812 prefixes as the brands publish them;
// the Chinese prefixes before 62 as banks used them on cards that are still in wallets). Digits are ASCII.
//
// What this knowledge costs. With it, about three in ten random 16-digit numbers have a possible prefix, so with Luhn
// one in thirty is taken for a card number, instead of one in ten. Missed are cards of ranges not listed here: UATP
// (1), and national schemes outside these prefixes.
func issued(d []byte) confidence {
	n := len(d)
	p2 := int(d[0]-'0')*10 + int(d[1]-'0')
	p3 := p2*10 + int(d[2]-'0')
	p4 := p3*10 + int(d[3]-'0')
	switch {
	case p2 >= 40 && p2 <= 49: // Visa; 13 digits are history
		if n == 16 || n == 19 {
			return commonly
		}
		return when(n == 13, rarely)
	case p2 >= 51 && p2 <= 55, p4 >= 2221 && p4 <= 2720, p4 >= 2200 && p4 <= 2204: // Mastercard, Mir
		return when(n == 16, commonly)
	case p2 == 34, p2 == 37: // American Express
		return when(n == 15, commonly)
	case p2 == 36, p2 == 38, p2 == 39, p3 >= 300 && p3 <= 305, p3 == 309: // Diners Club
		if n == 14 {
			return commonly
		}
		return when(n >= 16, rarely)
	case p4 >= 3528 && p4 <= 3589: // JCB
		return when(n >= 16, commonly)
	case p4 == 6011, p3 >= 644 && p3 <= 659, p2 == 62, p2 == 81: // Discover, UnionPay
		if n >= 16 {
			return commonly
		}
		return when(p2 != 81, rarely)
	case p2 == 50, p2 >= 56 && p2 <= 69: // Maestro
		return rarely
	case p3 == 955: // ICBC, ABC
		return when(n >= 16, commonly)
	case p3 == 103: // ABC
		return when(n == 19, commonly)
	case p2 == 90 || p2 == 91 || p2 == 94 || p2 == 96 || p2 == 98 || p2 == 99: // city and joint-stock banks
		return when(n >= 16, rarely)
	}
	return notIssued
}

func when(ok bool, c confidence) confidence {
	if ok {
		return c
	}
	return notIssued
}

// luhn checks the last digit (ISO/IEC 7812-1, annex B).
func luhn(d []byte) bool {
	sum, double := 0, false
	for i := len(d) - 1; i >= 0; i-- {
		v := int(d[i] - '0')
		if double {
			if v *= 2; v > 9 {
				v -= 9
			}
		}
		sum += v
		double = !double
	}
	return sum%10 == 0
}
