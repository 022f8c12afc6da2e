package carddata

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

var anyKey = fleet.Key{Acquirer: "a1", Terminal: "10012345"}

func sizes(t *testing.T, full int) int {
	switch {
	case testing.Short():
		return full / 100
	case raceEnabled:
		return full / 50
	}
	return full
}

// shards runs n rounds on all processors; each shard has a seed of its own, so a run can be repeated.
func shards(n int, round func(seed uint64, i int)) {
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for s := range workers {
		wg.Go(func() {
			for i := s; i < n; i += workers {
				round(uint64(i), i)
			}
		})
	}
	wg.Wait()
}

// TestLegitimateTrafficStays: of a million true messages none may lose a byte.
func TestLegitimateTrafficStays(t *testing.T) {
	n := sizes(t, 1_000_000)
	var mu sync.Mutex
	wrong := map[string]int{}
	shards(n, func(seed uint64, i int) {
		m := legit{rand.New(rand.NewPCG(seed, 1))}.message()
		body := m.bytes()
		clean, hits := Redact(body, m.kind, "7")
		if hits == nil && bytes.Equal(clean, body) {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		what := fmt.Sprint(hits)
		if wrong[what]++; wrong[what] <= 3 {
			t.Logf("seed %d: %v\n%s\n%s", seed, hits, body, clean)
		}
	})
	total := 0
	for _, k := range wrong {
		total += k
	}
	t.Logf("%d legitimate messages, %d redacted: false-positive rate %.2g", n, total, float64(total)/float64(n))
	if float64(total) > 1e-6*float64(n) {
		t.Errorf("false positives %v, want at most one in a million messages", wrong)
	}
}

// left returns what of the secrets can still be read in a body: as it stands, or in the digits of any of its strings,
// escapes and full-width forms resolved.
func left(body []byte, secrets []string) string {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var texts []string
	for {
		tok, err := dec.Token()
		if err != nil {
			break
		}
		if s := fmt.Sprint(tok); s != "" {
			texts = append(texts, strings.Map(func(r rune) rune {
				if r >= '０' && r <= '９' {
					return r - '０' + '0'
				}
				return r
			}, s))
		}
	}
	for _, s := range secrets {
		for _, text := range texts {
			if strings.Contains(text, s) || onlyDigits(s) == s && len(s) >= 12 && strings.Contains(onlyDigits(text), s) {
				return s
			}
		}
	}
	return ""
}

func decodes(body []byte, kind fleet.Kind) error {
	if kind == fleet.KindTxn {
		return fleet.DecodeTxn(body, anyKey, new(fleet.Txn))
	}
	return fleet.DecodeHeartbeat(body, anyKey, new(fleet.Heartbeat))
}

// TestPlantedCardDataGoes: whatever card data stands wherever in a message, it goes, and the event stays.
func TestPlantedCardDataGoes(t *testing.T) {
	n := sizes(t, 100_000)
	var mu sync.Mutex
	planted, missed := map[string]int{}, map[string]int{}
	shards(n, func(seed uint64, i int) {
		p := newPlanter(seed)
		m := p.message()
		x := p.plant()
		where := p.into(m, x)
		body := m.bytes()
		if !json.Valid(body) {
			t.Errorf("seed %d: the planter made no JSON: %s", seed, body)
			return
		}
		clean, hits := Redact(bytes.Clone(body), m.kind, "12345")
		miss := ""
		switch {
		case len(hits) == 0:
			miss = "not found"
		case left(clean, x.secrets) != "":
			miss = "left over"
		case !json.Valid(clean):
			miss = "made invalid"
		case decodes(body, m.kind) == nil && decodes(clean, m.kind) != nil:
			miss = "decodes no more: " + decodes(clean, m.kind).Error()
		default:
			if again, more := Redact(clean, m.kind, "12345"); more != nil || !bytes.Equal(again, clean) {
				miss = "not idempotent"
			}
		}
		mu.Lock()
		defer mu.Unlock()
		planted[x.what]++
		if miss != "" {
			if missed[x.what]++; missed[x.what] <= 3 {
				t.Errorf("seed %d: %s in %s: %s %v\n%s\n%s", seed, x.what, where, miss, hits, body, clean)
			}
		}
	})
	total := 0
	for _, k := range missed {
		total += k
	}
	t.Logf("%d planted, %d missed: miss rate %.2g", n, total, float64(total)/float64(n))
	for _, what := range slices.Sorted(maps.Keys(planted)) {
		t.Logf("%8d %-24s missed %d", planted[what], what, missed[what])
	}
}
