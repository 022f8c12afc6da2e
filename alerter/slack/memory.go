package slack

import (
	"context"
	"fmt"
	"sync"
)

// memory is a Ledger that ends with the process. It keeps one small entry for each incident it was told of; there are a
// few a week.
type memory struct {
	mu      sync.Mutex // guards everything below
	entries map[string]Entry
	revs    map[string]uint64
}

func (m *memory) Load(_ context.Context, incident string) (Entry, uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.entries[incident], m.revs[incident], nil
}

func (m *memory) Save(_ context.Context, e Entry, revision uint64) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.revs[e.Incident] != revision {
		return 0, fmt.Errorf("save incident %q at revision %d: %w", e.Incident, revision, ErrConflict)
	}
	if m.entries == nil {
		m.entries, m.revs = map[string]Entry{}, map[string]uint64{}
	}
	m.entries[e.Incident] = e
	m.revs[e.Incident] = revision + 1
	return revision + 1, nil
}
