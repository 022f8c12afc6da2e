package simulate

import "math"

// Salts keep the random streams of different questions apart.
const (
	saltMerchant uint64 = 0x9e3779b97f4a7c15 + iota
	saltTerminal
	saltSales
	saltBeat
	saltSIM
	saltPick
	saltRetry
	saltRun
	saltBalance
)

// mix hashes three words into one (the finalizer of splitmix64, Steele et al. 2014, applied per word).
func mix(a, b, c uint64) uint64 {
	h := scramble(a + 0x9e3779b97f4a7c15)
	h = scramble(h ^ b + 0x9e3779b97f4a7c15)
	return scramble(h ^ c + 0x9e3779b97f4a7c15)
}

func scramble(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// unit turns a hash into a number in [0, 1).
func unit(h uint64) float64 { return float64(h>>11) / (1 << 53) }

// normal turns a hash into a standard normal value (Box and Muller 1958).
func normal(h uint64) float64 {
	u := (float64(h>>32) + 1) / (1 << 32)
	v := float64(h&0xffffffff) / (1 << 32)
	return math.Sqrt(-2*math.Log(u)) * math.Cos(2*math.Pi*v)
}

// share is one row of a table that is drawn from: weights need not add up to anything.
type share struct {
	name   string
	weight float64
}

// draw picks a row by a number u in [0, 1).
func draw(rows []share, u float64) int {
	total := 0.0
	for _, r := range rows {
		total += r.weight
	}
	u *= total
	for i, r := range rows {
		if u -= r.weight; u < 0 {
			return i
		}
	}
	return len(rows) - 1
}
