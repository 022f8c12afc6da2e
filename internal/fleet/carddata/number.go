package carddata

import "bytes"

// maxGroups bounds how many groups of digits are looked at as one number.
const maxGroups = 40

// findPAN finds a number of 13 to 19 digits, in one piece or in groups, that an issuer can have issued and that
// passes Luhn.
//
// Digits in groups are a card number only in the groups that cards are printed in (4-4-4-4 up to 19 digits, 4-6-5,
// 4-6-4, 6 and the rest, 4-3-3-3), or, where the text holds no other digits beside it, in equal groups of up
// to 5, or in any groups of two and more behind a first one of four and more when the range is a common one. That keeps
// addresses, versions, cells and dates out, whose groups differ; a number split on purpose in an odd way among other
// digits is missed.
func findPAN(b []byte, g grammar, body *walker) (span, bool) {
	if exempt(b, g) {
		return span{}, false
	}
	var groups [maxGroups][2]int
	for i := 0; i < len(b); {
		if class[b[i]]&isDigit == 0 {
			i++
			continue
		}
		n := 0
		for n < maxGroups {
			to := digitRun(b, i)
			groups[n] = [2]int{i, to}
			n++
			i = to
			next := joined(b, to)
			if next < 0 {
				break
			}
			i = next
		}
		if s, ok := panIn(b, groups[:n], g, body); ok {
			return s, true
		}
		if n == maxGroups {
			i = groups[n/2][0] // the next look overlaps this one
		}
	}
	return span{}, false
}

// exempt reports whether a whole value is what its field is for, although it may look like a card number.
func exempt(b []byte, g grammar) bool {
	switch g {
	case ownMerchant:
		b = bytes.Trim(b, " -\t\r\n")
		return len(b) == 15 && digitRun(b, 0) == 15
	case ownParams:
		version := digitRun(b, 0)
		return version > 0 && version <= 6 && version < len(b) && b[version] == ':' && len(b)-version-1 == 16 && hexRun(b, version+1) == len(b)
	}
	return false
}

// joined returns where the next group starts if the digits that end at i go on behind one mark, or two or three
// spaces and dashes; otherwise −1.
func joined(b []byte, i int) int {
	j := i
	for j < len(b) && j < i+3 && class[b[j]]&isSep != 0 {
		j++
	}
	if j == i || j == len(b) || class[b[j]]&isDigit == 0 {
		return -1
	}
	if j-i > 1 {
		for _, c := range b[i:j] {
			if c != ' ' && c != '-' && c != '\t' {
				return -1
			}
		}
	}
	return j
}

// panIn looks at one run of groups.
func panIn(b []byte, groups [][2]int, g grammar, body *walker) (span, bool) {
	var number [19]byte
	for s := range groups {
		d := number[:0]
		for e := s; e < len(groups); e++ {
			part := b[groups[e][0]:groups[e][1]]
			if len(d)+len(part) > len(number) {
				break
			}
			if d = append(d, part...); len(d) < 13 {
				continue
			}
			known := issued(d)
			if known == notIssued || !luhn(d) {
				continue
			}
			if s == e {
				if inHash(b, groups[s]) || fraction(b, groups, s) {
					continue
				}
			} else if inUUID(b, groups[s][0]) || inHash(b, groups[s]) || inHash(b, groups[e]) || !printed(groups[s:e+1], s == 0 && e == len(groups)-1 && len(groups) < maxGroups, known, g) {
				continue
			}
			if g == ownNumber && len(d) == 14 && known == rarely { // TID and trace number joined
				continue
			}
			if body.startsWithDay(d) {
				continue
			}
			return span{groups[s][0], groups[e][1], KindPAN}, true
		}
	}
	return span{}, false
}

// printed reports whether a number in these groups is a card number; alone says that the text holds no other digits
// beside it.
func printed(groups [][2]int, alone bool, known confidence, g grammar) bool {
	size := func(i int) int { return groups[i][1] - groups[i][0] }
	n := len(groups)
	last := size(n - 1)
	equal, wide := true, true // all but the last
	for i := range n - 1 {
		equal = equal && size(i) == size(0)
		wide = wide && size(i) >= 2
	}
	switch {
	case n >= 4 && equal && size(0) == 4 && last <= 4:
		return true
	case n == 4 && size(0) == 4 && size(1) == 3 && size(2) == 3 && last == 3:
		return true
	case n == 3 && size(0) == 4 && size(1) == 6 && (last == 4 || last == 5):
		return true
	case n == 2 && size(0) == 6 && last >= 7:
		return true
	case alone && equal && size(0) == 1 && last == 1:
		return true
	case !alone || g == ownVersion || g == ownNumber:
		return false
	case equal && last <= size(0) && size(0) <= 5:
		return true
	}
	return known == commonly && wide && size(0) >= 4
}

// inHash reports whether a group of digits stands inside a hex string that is as long as digests and random ids are.
func inHash(b []byte, group [2]int) bool {
	from, to := group[0], group[1]
	for from > 0 && class[b[from-1]]&isHex != 0 {
		from--
	}
	for to < len(b) && class[b[to]]&isHex != 0 {
		to++
	}
	n := to - from
	if n == group[1]-group[0] || n < 16 || n%8 != 0 {
		return false
	}
	return (from == 0 || class[b[from-1]]&isAlnum == 0) && ends(b, to)
}

// inUUID reports whether b[i] stands in a UUID (RFC 9562): hex in groups of 8, 4, 4, 4 and 12.
func inUUID(b []byte, i int) bool {
	from, to := i, i
	for from > 0 && (class[b[from-1]]&isHex != 0 || b[from-1] == '-') {
		from--
	}
	for to < len(b) && (class[b[to]]&isHex != 0 || b[to] == '-') {
		to++
	}
	u := b[from:to]
	if len(u) != 36 {
		return false
	}
	letters := false
	for j, c := range u {
		if dash := j == 8 || j == 13 || j == 18 || j == 23; dash != (c == '-') {
			return false
		}
		letters = letters || c > '9'
	}
	return letters
}

// fraction reports whether a group is the decimal part of a coordinate or a measured value: 22.543099114057868.
func fraction(b []byte, groups [][2]int, i int) bool {
	return i > 0 && groups[i-1][1]-groups[i-1][0] <= 3 && groups[i][0]-groups[i-1][1] == 1 && b[groups[i-1][1]] == '.'
}
