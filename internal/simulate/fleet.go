package simulate

import (
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// Fleet is a fleet with its faults. It never changes once New has made it.
type Fleet struct {
	o         Options
	zones     []*time.Location // by acquirer
	merchants []merchant
	terminals []terminal
	tids      string         // 8 bytes a terminal
	byMID     map[string]int // merchant numbers are unique across the acquirers
	faults    []fault

	clock atomic.Pointer[runClock] // of the present Run, for the acquirer's answers
}

// merchant is what never changes of a merchant.
type merchant struct {
	mid         string
	name        string
	acquirer    uint8
	region      uint8
	trade       uint8
	powersOff   bool    // its terminals are switched off at night
	open, close int16   // minutes of the local day; equal to 0 and day where it never closes
	peak        float32 // highest intensity over the mean of its open hours
	mean        float32 // mean of the intensity table over its open hours
	sales       float32 // its terminals' mean sales per open hour over those of the fleet
	first, n    int32   // its terminals
	hash        uint64
}

// terminal is what never changes of a terminal.
type terminal struct {
	merchant int32
	rate     float32 // mean sales per open hour
	acquirer uint8
	model    uint8
	app      uint8
	net      uint8
	carrier  uint8
	before   bool // still has the parameters before the present ones
	rssi     int8 // dBm, its usual one
	rtt      uint8
	hash     uint64
}

// New makes the fleet that the options describe. All problems of the options are reported at once; those of the
// scenario are Problems with file, line and key.
func New(o Options) (*Fleet, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("simulate: %w", err)
	}
	f := &Fleet{o: o, byMID: map[string]int{}, zones: make([]*time.Location, len(o.Acquirers))}
	for i, a := range o.Acquirers {
		zone, err := time.LoadLocation(a.Timezone)
		if err != nil {
			return nil, fmt.Errorf("simulate: acquirer %q: timezone %q: %w", a.ID, a.Timezone, err)
		}
		f.zones[i] = zone
	}
	if err := f.populate(); err != nil {
		return nil, fmt.Errorf("simulate: %w", err)
	}
	if err := f.resolve(); err != nil {
		return nil, err
	}
	return f, nil
}

// sizes is the cumulative distribution of a merchant's number of terminals: k has weight k⁻² up to 60 (Zipf), so that
// six in ten merchants have one terminal and one in a hundred has more than thirty.
var sizes = func() []float64 {
	const largest = 60
	cum := make([]float64, largest)
	total := 0.0
	for k := range cum {
		total += 1 / float64((k+1)*(k+1))
		cum[k] = total
	}
	for k := range cum {
		cum[k] /= total
	}
	return cum
}()

func size(u float64) int {
	for k, c := range sizes {
		if u < c {
			return k + 1
		}
	}
	return len(sizes)
}

// populate makes merchants one after another, each from its own stream, until the terminals are all placed. A larger
// fleet therefore begins with the smaller one.
func (f *Fleet) populate() error {
	cells := map[string]int{} // merchants so far, by institution, place and category
	counts := make([]int, len(f.o.Acquirers))
	tids := make([]byte, 0, 8*f.o.Terminals)
	f.terminals = make([]terminal, 0, f.o.Terminals)
	acquirers := make([]share, len(f.o.Acquirers))
	for i, a := range f.o.Acquirers {
		acquirers[i] = share{a.ID, a.Share}
	}
	for len(f.terminals) < f.o.Terminals {
		number := uint64(len(f.merchants))
		rng := rand.New(rand.NewPCG(mix(f.o.Seed, saltMerchant, number), number))
		m := merchant{
			acquirer: uint8(draw(acquirers, rng.Float64())),
			region:   uint8(draw(regionShares, rng.Float64())),
			trade:    uint8(draw(tradeShares, rng.Float64())),
			first:    int32(len(f.terminals)),
			hash:     rng.Uint64(),
		}
		n := size(rng.Float64())
		m.sales = float32(spread(f.o.Spread, rng.NormFloat64()))
		f.hours(&m, rng)
		place := regions[m.region].cities[rng.IntN(len(regions[m.region].cities))]
		kind := trades[m.trade]
		head := institutions[m.acquirer] + place.code + kind.mcc
		if cells[head]++; cells[head] > perCell {
			return fmt.Errorf("%d terminals: merchant numbers %s.... ran out; use fewer terminals or more acquirers", f.o.Terminals, head)
		}
		m.mid = fmt.Sprintf("%s%04d", head, cells[head])
		m.name = fmt.Sprintf("%s%s%s%d号店", place.name, brands[rng.IntN(len(brands))], kind.name, cells[head])
		for ; n > 0 && len(f.terminals) < f.o.Terminals; n-- {
			f.terminals = append(f.terminals, f.newTerminal(&m, len(f.merchants), uint64(len(f.terminals))))
			counts[m.acquirer]++
			tids = appendTID(tids, counts[m.acquirer])
			m.n++
		}
		f.byMID[m.mid] = len(f.merchants)
		f.merchants = append(f.merchants, m)
	}
	f.tids = string(tids)
	return nil
}

// spread is a log-normal factor of mean 1.
func spread(sigma, z float64) float64 {
	sigma = max(sigma, 0)
	return math.Exp(sigma*z - sigma*sigma/2)
}

func (f *Fleet) newTerminal(m *merchant, of int, number uint64) terminal {
	rng := rand.New(rand.NewPCG(mix(f.o.Seed, saltTerminal, number), number))
	t := terminal{merchant: int32(of), acquirer: m.acquirer, hash: rng.Uint64()}
	t.model = uint8(draw(modelShares, rng.Float64()))
	t.app = uint8(draw(apps, rng.Float64()))
	t.net = uint8(draw(networks, rng.Float64()))
	t.carrier = uint8(draw(carrierShares, rng.Float64()))
	t.before = rng.Float64() < 0.03
	t.rssi = int8(max(-98, min(-52, math.Round(-74+9*rng.NormFloat64()))))
	t.rtt = uint8(max(18, min(220, 60*spread(0.4, rng.NormFloat64()))))
	own := 0.25
	if f.o.Spread < 0 {
		own = 0
	}
	t.rate = float32(min(MaxRate, f.o.Rate*float64(m.sales)*spread(own, rng.NormFloat64())))
	return t
}

// Options are those the fleet was made with, defaults filled in.
func (f *Fleet) Options() Options { return f.o }

// Start is the instant before the fleet's first event.
func (f *Fleet) Start() time.Time { return f.o.Start }

// Terminals is the number of terminals.
func (f *Fleet) Terminals() int { return len(f.terminals) }

// Keys are the terminals in their order, each with its merchant number as the registry has it.
func (f *Fleet) Keys() iter.Seq2[fleet.Key, string] {
	return func(yield func(fleet.Key, string) bool) {
		for i := range f.terminals {
			if !yield(f.key(i), f.merchants[f.terminals[i].merchant].mid) {
				return
			}
		}
	}
}

// Merchants are the merchants in their order, as the registry has them: all active, whatever the acquirer says.
func (f *Fleet) Merchants() iter.Seq[fleet.Merchant] {
	return func(yield func(fleet.Merchant) bool) {
		for i := range f.merchants {
			m := &f.merchants[i]
			if !yield(fleet.Merchant{
				Acquirer: f.o.Acquirers[m.acquirer].ID, Merchant: m.mid, Name: m.name,
				Status: fleet.MerchantActive, MCC: trades[m.trade].mcc, Region: regions[m.region].id,
			}) {
				return
			}
		}
	}
}

func (f *Fleet) tid(i int) string { return f.tids[8*i : 8*i+8] }

func (f *Fleet) key(i int) fleet.Key {
	return fleet.Key{Acquirer: f.o.Acquirers[f.terminals[i].acquirer].ID, Terminal: f.tid(i)}
}
