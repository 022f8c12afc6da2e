package acquirer

import (
	"context"
	"sync"
	"time"
)

// pacer gives turns that are at least interval apart, in the order in which they were asked for, and none while the
// acquirer has asked for silence. Even spacing keeps an acquirer's limit whatever the second it counts from.
type pacer struct {
	interval time.Duration

	mu   sync.Mutex // guards everything below
	next time.Time  // the earliest instant of the next turn
	held time.Time  // no turn before this instant
}

// turn returns when it is the caller's turn. Where the acquirer has asked for a silence that lasts longer than patience
// it returns at once, with what is left of it.
func (p *pacer) turn(ctx context.Context, patience time.Duration) (silence time.Duration, err error) {
	for {
		now := time.Now()
		p.mu.Lock()
		if left := p.held.Sub(now); left > patience {
			p.mu.Unlock()
			return left, nil
		}
		at := p.next
		if at.Before(now) {
			at = now
		}
		if at.Before(p.held) {
			at = p.held
		}
		p.next = at.Add(p.interval)
		p.mu.Unlock()
		if wait := at.Sub(now); wait > 0 {
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return 0, ctx.Err()
			}
		} else if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		p.mu.Lock()
		again := time.Now().Before(p.held) // a silence began while we waited
		p.mu.Unlock()
		if !again {
			return 0, nil
		}
	}
}

// hold keeps everybody silent for so long from now.
func (p *pacer) hold(silence time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := time.Now().Add(silence); until.After(p.held) {
		p.held = until
	}
}
