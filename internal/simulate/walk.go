package simulate

import (
	"iter"
	"math"
	"math/rand/v2"
	"time"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// live is what changes of a terminal during one walk. Instants are milliseconds since the fleet's start.
type live struct {
	sales  rand.PCG // draws sales and nothing else, so that heartbeats and faults do not move them
	sale   int64    // next sale
	beat   int64    // next heartbeat
	again  int64    // next attempt at a declined sale; never where there is none
	boot   int64    // Unix second of the last start
	reboot bool     // the next heartbeat is the first after a start
	try    uint8    // attempts at the sale that is tried again
	entry  uint8
	seq    uint32
	stan   uint32 // system trace audit number (ISO 8583 field 11) of the last transaction
	count  uint32 // sales so far
	amount uint32 // of the sale that is tried again
	ok, no uint32 // approved and declined since boot
}

// walk is one pass over the events of a fleet.
type walk struct {
	f      *Fleet
	live   []live
	queue  []entry // a binary heap: the terminals by their next event
	zones  []zone
	dates  []date // by acquirer
	tag    string
	source *rand.PCG
	rng    *rand.Rand // reads from the source of the terminal at hand
}

type entry struct {
	at       int64
	terminal int32
}

func (e entry) before(o entry) bool {
	return e.at < o.at || e.at == o.at && e.terminal < o.terminal
}

// date is the calendar date of an acquirer's shops, as it stands in the ids of transactions.
type date struct {
	number int64
	text   string
}

// current is a source of randomness that can be another terminal's from one draw to the next.
type current struct{ w *walk }

func (c current) Uint64() uint64 { return c.w.source.Uint64() }

func (f *Fleet) newWalk(tag string) *walk {
	w := &walk{f: f, tag: tag, live: make([]live, len(f.terminals)), queue: make([]entry, len(f.terminals)), dates: make([]date, len(f.zones))}
	for _, loc := range f.zones {
		w.zones = append(w.zones, newZone(loc, f.o.Start))
	}
	w.rng = rand.New(current{w})
	period := f.o.Heartbeat.Milliseconds()
	for i := range w.live {
		l, h := &w.live[i], f.terminals[i].hash
		z := &w.zones[f.terminals[i].acquirer]
		l.sales.Seed(mix(f.o.Seed, saltSales, uint64(i)), uint64(i))
		l.again = never
		l.boot = f.o.Start.Unix() - 1 - int64(h%600)
		l.beat = int64(unit(mix(h, saltBeat, 1)) * float64(period))
		if on, next := f.powered(i, l.beat, z); !on {
			l.beat, l.reboot = w.started(i, next), true
		}
		w.source = &l.sales
		l.sale = f.nextSale(i, 0, w.rng, z)
		w.queue[i] = entry{l.next(), int32(i)}
	}
	for i := len(w.queue)/2 - 1; i >= 0; i-- {
		w.sift(i)
	}
	return w
}

// started is when a terminal that is switched on at t sends its first heartbeat: 8 to 30 seconds later.
func (w *walk) started(i int, t int64) int64 {
	return t + 8000 + int64(mix(w.f.terminals[i].hash, saltBeat, uint64(t))%22000)
}

func (l *live) next() int64 { return min(l.sale, l.beat, l.again) }

// sift lets the entry at place i sink to where it belongs.
func (w *walk) sift(i int) {
	q := w.queue
	e := q[i]
	for {
		child := 2*i + 1
		if child >= len(q) {
			break
		}
		if child+1 < len(q) && q[child+1].before(q[child]) {
			child++
		}
		if e.before(q[child]) {
			break
		}
		q[i] = q[child]
		i = child
	}
	q[i] = e
}

// Events are the fleet's events in the order of time for so long from its start; zero or less: without end. They are
// made as they are asked for.
func (f *Fleet) Events(length time.Duration) iter.Seq[Event] {
	return f.events(length, runTag(mix(f.o.Seed, saltRun, uint64(f.o.Start.UnixMilli()))))
}

func (f *Fleet) events(length time.Duration, tag string) iter.Seq[Event] {
	end := int64(never)
	if length > 0 {
		end = length.Milliseconds()
	}
	return func(yield func(Event) bool) {
		w := f.newWalk(tag)
		for {
			t, i := w.queue[0].at, int(w.queue[0].terminal)
			if t >= end {
				return
			}
			e, ok := w.step(i, t)
			w.queue[0].at = w.live[i].next()
			w.sift(0)
			if ok && !yield(e) {
				return
			}
		}
	}
}

// step makes the event that terminal i has at t, and plans its next one. ok is false where the event is an approval
// that this fleet does not send.
func (w *walk) step(i int, t int64) (e Event, ok bool) {
	l := &w.live[i]
	e = Event{At: time.UnixMilli(w.f.o.Start.UnixMilli() + t).UTC(), Terminal: i, Key: w.f.key(i)}
	switch t {
	case l.again:
		e.Kind, e.Txn = fleet.KindTxn, w.attempt(i, t)
	case l.sale:
		e.Kind, e.Txn = fleet.KindTxn, w.sale(i, t)
	default:
		e.Kind, e.Beat = fleet.KindHeartbeat, w.heartbeat(i, t)
	}
	return e, e.Txn == nil || w.f.o.Approvals || e.Txn.Code != codeApproved
}

// sale makes the sale of terminal i at t.
func (w *walk) sale(i int, t int64) *fleet.Txn {
	l, own := &w.live[i], &w.f.terminals[i]
	w.source = &l.sales
	code := codeTable[draw(codeTable, w.rng.Float64())].name
	kind := kinds[draw(kinds, w.rng.Float64())].name
	way := draw(entries, w.rng.Float64())
	amount := trades[w.f.merchants[own.merchant].trade].median * math.Exp(0.8*w.rng.NormFloat64())
	l.sale = w.f.nextSale(i, t, w.rng, &w.zones[own.acquirer])
	l.count++
	fen := uint32(max(1, min(5_000_000, math.Round(amount))))
	if kind == "query" {
		fen = 0
	}
	return w.transaction(i, t, 0, code, kind, uint8(way), fen)
}

// attempt makes another attempt at the last sale that a fault declined.
func (w *walk) attempt(i int, t int64) *fleet.Txn {
	l := &w.live[i]
	l.again = never
	code := codeTable[draw(codeTable, unit(w.chance(saltRetry, i, l.try)))].name
	return w.transaction(i, t, l.try, code, "sale", l.entry, l.amount)
}

// chance is a random word of its own for each attempt of a terminal.
func (w *walk) chance(salt uint64, i int, try uint8) uint64 {
	return mix(salt^w.f.o.Seed, w.f.terminals[i].hash, uint64(w.live[i].count)<<8|uint64(try))
}

// transaction makes a transaction that would be answered with code if nothing were wrong.
func (w *walk) transaction(i int, t int64, try uint8, code, kind string, way uint8, fen uint32) *fleet.Txn {
	f, l, own := w.f, &w.live[i], &w.f.terminals[i]
	m := &f.merchants[own.merchant]
	if l.stan++; l.stan > 999_999 {
		l.stan = 1
	}
	txn := &fleet.Txn{
		TS: f.o.Start.UnixMilli() + t, ID: w.id(i, t), Src: f.o.Acquirers[own.acquirer].Source, Merchant: m.mid,
		Type: kind, Amount: int64(fen), Currency: "CNY", Entry: entries[way].name, App: apps[own.app].name, Params: f.params(i),
		Fields: fleet.HasAmount | fleet.HasLatency,
	}
	late, hit := false, false
	for n := range f.faults {
		x := &f.faults[n]
		if !x.active(t) || !f.in(x, i) {
			continue
		}
		if x.params {
			txn.Params = paramsWrong.name
		}
		if x.mid {
			txn.Merchant = f.wrongMID(m.mid)
		}
		if hit {
			continue
		}
		switch word := w.chance(x.salt, i, try); {
		case unit(word) < x.Rate:
			code, hit = x.Code, true
			if kind != "query" && !x.chronic && try < 3 && unit(scramble(word+1)) < f.o.Retry {
				l.again, l.try, l.entry, l.amount = t+4000+int64(scramble(word+2)%8000), try+1, way, fen
			}
		case len(x.beside) > 0 && unit(scramble(word+3)) < x.besideP:
			code, hit = x.beside[scramble(word+4)%uint64(len(x.beside))], true
			late = x.hostDown
		}
	}
	txn.Code = code
	txn.LatencyMS = latency(code, late, w.chance(saltBeat, i, try))
	if code == codeApproved {
		l.ok++
	} else {
		l.no++
	}
	return txn
}

// latency is log-normal with a median of 320 ms; a time-out takes the terminal's 30 to 60 s.
func latency(code string, timeout bool, h uint64) int64 {
	if timeout || code == "68" || code == "98" {
		return 30_000 + int64(h%30_000)
	}
	return int64(max(60, min(20_000, 320*math.Exp(0.45*normal(h)))))
}

// id is a transaction's id: the shop's date, the trace number and the run's tag. A trace number comes back after
// 999,999 transactions, later than the date has changed.
func (w *walk) id(i int, t int64) string {
	own := &w.f.terminals[i]
	local := w.zones[own.acquirer].local(t)
	d := &w.dates[own.acquirer]
	if number := local / msDay; d.text == "" || number != d.number {
		d.number, d.text = number, time.UnixMilli(local).UTC().Format("20060102")
	}
	var b [32]byte
	id := append(append(b[:0], d.text...), '-')
	for div := uint32(100_000); div > 0; div /= 10 {
		id = append(id, byte('0'+w.live[i].stan/div%10))
	}
	return string(append(append(id, '-'), w.tag...))
}

func (f *Fleet) params(i int) string {
	if f.terminals[i].before {
		return paramsBefore.name
	}
	return paramsNow.name
}

func (f *Fleet) wrongMID(mid string) string {
	return mistype(mid, func(s string) bool { _, taken := f.byMID[s]; return taken })
}
