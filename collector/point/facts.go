package point

import (
	"time"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// slowFacts is the number of slow facts of a heartbeat.
const slowFacts = 19

// Facts remembers, for a bounded number of terminals, which slow facts were last written, as 64-bit hashes. What falls
// out is written anew. About 350 bytes a terminal.
//
// What is remembered is what last() reads only while nobody else writes the terminal's facts between two of its
// points. So a fact is left out only of a heartbeat that directly follows the one seen here before: the next seq of
// the same boot, later than every point so far. Where one is missing it may come late, or another process may have it;
// one that comes late or again may be newer than what the database has, or older; in all these cases every fact is
// written, and at the time of each stored heartbeat last() of a fact is what that heartbeat said.
type Facts struct {
	max    int
	byKey  map[fleet.Key]*written
	newest *written // of the ring: newest.older is the next older one, newest.newer the oldest
	models map[string]string
}

type written struct {
	key          fleet.Key
	day          int32 // UTC day of the last point, 0 before the first
	boot, seq    int64 // of the last heartbeat
	at, newest   int64 // Unix nanoseconds of the last point, and of the latest by time
	hashes       [slowFacts]uint64
	model        string
	older, newer *written
}

// NewFacts remembers at most max terminals.
func NewFacts(max int) *Facts {
	return &Facts{max: max, byKey: make(map[fleet.Key]*written), models: map[string]string{}}
}

// Len is the number of terminals remembered.
func (f *Facts) Len() int { return len(f.byKey) }

// Model returns the terminal's model as its last heartbeat here named it, "" where it is not known.
func (f *Facts) Model(k fleet.Key) string {
	if w := f.byKey[k]; w != nil {
		return w.model
	}
	return ""
}

// Forget drops what is remembered of a terminal, because a line of it was not stored after all.
func (f *Facts) Forget(k fleet.Key) {
	if w := f.byKey[k]; w != nil {
		f.unlink(w)
		delete(f.byKey, k)
	}
}

// entry returns a terminal's record as the newest one, making room where needed.
func (f *Facts) entry(k fleet.Key) *written {
	w := f.byKey[k]
	if w == nil {
		if len(f.byKey) >= f.max && f.newest != nil {
			oldest := f.newest.newer
			f.unlink(oldest)
			delete(f.byKey, oldest.key)
		}
		// The key's strings may share memory with a whole message.
		k = fleet.Key{Acquirer: f.intern(k.Acquirer), Terminal: string([]byte(k.Terminal))}
		w = &written{key: k}
		f.byKey[k] = w
	} else if f.newest == w {
		return w
	} else {
		f.unlink(w)
	}
	if f.newest == nil {
		w.older, w.newer = w, w
	} else {
		w.older, w.newer = f.newest, f.newest.newer
		f.newest.newer.older = w
		f.newest.newer = w
	}
	f.newest = w
	return w
}

func (f *Facts) unlink(w *written) {
	if w.older == w {
		f.newest = nil
		return
	}
	w.older.newer, w.newer.older = w.newer, w.older
	if f.newest == w {
		f.newest = w.older
	}
}

// intern keeps one copy of each of the few distinct models and acquirers; a flood of distinct ones is not kept.
func (f *Facts) intern(s string) string {
	if known, ok := f.models[s]; ok {
		return known
	}
	s = string([]byte(s))
	if len(f.models) < 10_000 {
		f.models[s] = s
	}
	return s
}

// next notes a heartbeat whose point lies at nanos, and forgets the facts where they cannot be relied on for it.
func (w *written) next(boot, seq, nanos int64) {
	day := int32(nanos / int64(24*time.Hour))
	if !(w.day == day && w.boot == boot && w.seq+1 == seq && w.at == w.newest && nanos > w.newest) {
		clear(w.hashes[:])
	}
	w.day, w.boot, w.seq, w.at, w.newest = day, boot, seq, nanos, max(w.newest, nanos)
}

// changed notes a fact's hash and reports whether it has to be written.
func (w *written) changed(slot int, hash uint64) bool {
	if hash == 0 {
		hash = 1 // 0 marks a fact of which nothing is known
	}
	if w.hashes[slot] == hash {
		return false
	}
	w.hashes[slot] = hash
	return true
}
