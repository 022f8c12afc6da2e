package point

import "github.com/tillwatch/tillwatch/internal/fleet"

// slowFacts is the number of slow facts of a heartbeat.
const slowFacts = 19

// Facts remembers, for a bounded number of terminals, which slow facts were last written, as 64-bit hashes. What falls
// out is written anew. About 300 bytes a terminal.
type Facts struct {
	max    int
	byKey  map[fleet.Key]*written
	newest *written // of the ring: newest.older is the next older one, newest.newer the oldest
	models map[string]string
}

type written struct {
	key          fleet.Key
	day          int32 // UTC day of the last point, 0 before the first
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

// changed notes a fact's hash and reports whether it has to be written.
func (w *written) changed(slot int, hash uint64, all bool) bool {
	if hash == 0 {
		hash = 1 // 0 marks a fact that was never written
	}
	if w.hashes[slot] == hash && !all {
		return false
	}
	w.hashes[slot] = hash
	return true
}
