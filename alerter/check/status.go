package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tillwatch/tillwatch/internal/acquirer"
	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/schema"
)

// MerchantStatusID is the check's id: 定期检查商户号状态.
const MerchantStatusID = "merchant-status"

// Store keeps what a check learns. Its methods return when it is stored, and writing the same again changes nothing.
type Store interface {
	// Report states what is seen of one target now and reports whether that was new.
	Report(ctx context.Context, f fleet.Finding) (changed bool, err error)
	// Answer keeps what an acquirer answered, under an id.
	Answer(ctx context.Context, id string, a fleet.Answer) error
	// Rows keeps derived rows, under an id.
	Rows(ctx context.Context, acquirer, id string, rows fleet.Rows) error
}

// MerchantStatus asks an acquirer for the status of every one of its merchant numbers.
type MerchantStatus struct {
	Acquirer    string
	Merchants   []fleet.Merchant // of this acquirer
	Directory   acquirer.Directory
	Concurrency int           // questions in flight (8)
	Timeout     time.Duration // of one run (10 min)
	Logger      *slog.Logger  // nil discards
	Now         func() time.Time
}

// Result is one run.
type Result struct {
	Asked, Answered, Findings int
	Took                      time.Duration
}

func (r Result) String() string {
	s := fmt.Sprintf("%d of %d answered, %d findings open, %s", r.Answered, r.Asked, r.Findings, r.Took.Round(time.Millisecond))
	if r.Answered < r.Asked {
		s = fmt.Sprintf("%d of %d not answered; ", r.Asked-r.Answered, r.Asked) + s
	}
	return s
}

// Run asks about every merchant and stores what changed, and the run itself under its tick. An error means that the
// run is not complete: the time was up, or something could not be stored.
func (c *MerchantStatus) Run(ctx context.Context, tick time.Time, store Store) (Result, error) {
	concurrency, timeout, log, now := c.Concurrency, c.Timeout, c.Logger, c.Now
	if concurrency <= 0 {
		concurrency = 8
	}
	if timeout <= 0 {
		timeout = 10 * time.Minute
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if now == nil {
		now = time.Now
	}
	began := now()
	asking, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	var answered, findings, told, cut atomic.Int64 // cut: asked when the time was up
	var mu sync.Mutex                              // guards problems
	var problems []error
	work := make(chan fleet.Merchant)
	var wg sync.WaitGroup
	for range concurrency {
		wg.Go(func() {
			for m := range work {
				a, err := c.Directory.MerchantStatus(asking, m.Merchant)
				if err != nil {
					if asking.Err() != nil {
						cut.Add(1)
					} else if told.Add(1) <= 3 { // the run's row counts the others
						log.Warn("merchant status not answered", "acquirer", c.Acquirer, "merchant", m.Merchant, "err", err)
					}
					continue
				}
				answered.Add(1)
				open, err := c.settle(ctx, m, a, tick, store)
				if open {
					findings.Add(1)
				}
				if err != nil {
					mu.Lock()
					problems = append(problems, err)
					mu.Unlock()
				}
			}
		})
	}
	asked := 0
feed:
	for _, m := range c.Merchants {
		select {
		case work <- m:
			asked++
		case <-asking.Done():
			break feed
		}
	}
	close(work)
	wg.Wait()
	r := Result{Asked: len(c.Merchants), Answered: int(answered.Load()), Findings: int(findings.Load()), Took: now().Sub(began)}
	if ctx.Err() != nil {
		return r, ctx.Err()
	}
	if asked -= int(cut.Load()); asked < len(c.Merchants) {
		problems = append(problems, fmt.Errorf("check %s of %s: the time of %s was up after %d of %d merchants", MerchantStatusID, c.Acquirer, timeout, asked, len(c.Merchants)))
	}
	row := fleet.Row{
		Time: tick.UnixNano(), Tags: map[string]string{"check": MerchantStatusID, "acquirer": c.Acquirer},
		Fields: map[string]json.Number{
			"asked": number(r.Asked), "answered": number(r.Answered), "findings": number(r.Findings),
			"seconds": json.Number(strconv.FormatFloat(r.Took.Seconds(), 'f', 3, 64)),
		},
	}
	id := MerchantStatusID + "." + strconv.FormatInt(tick.Unix(), 10)
	if err := store.Rows(ctx, c.Acquirer, id, fleet.Rows{Measurement: schema.CheckRun, Rows: []fleet.Row{row}}); err != nil {
		problems = append(problems, err)
	}
	return r, errors.Join(problems...)
}

func number(n int) json.Number { return json.Number(strconv.Itoa(n)) }

// settle turns one answer into a finding, open or cleared. Answers are kept where they are news: a status other than
// active, or the return to it.
func (c *MerchantStatus) settle(ctx context.Context, m fleet.Merchant, a fleet.Answer, tick time.Time, store Store) (open bool, err error) {
	f := statusFinding(m, a)
	changed, err := store.Report(ctx, f)
	open = f.State == fleet.FindingOpen
	if err != nil || !changed {
		return open, err
	}
	id := fmt.Sprintf("%s.%s.%s.%d", MerchantStatusID, a.Acquirer, fleet.Escape(m.Merchant), tick.Unix())
	return open, store.Answer(ctx, id, a)
}

// statusFinding is what an answer means. A status that hinders sales is critical where the number is cancelled or was
// never opened, since only a person can mend that.
func statusFinding(m fleet.Merchant, a fleet.Answer) fleet.Finding {
	f := fleet.Finding{
		ID: MerchantStatusID + "." + a.Acquirer + "." + m.Merchant, At: a.At, Check: MerchantStatusID,
		Acquirer: a.Acquirer, Merchant: m.Merchant, LastSeen: a.At, Value: string(a.Status), Since: a.Since,
		State: fleet.FindingOpen, Severity: fleet.SeverityCritical,
		Evidence: "acquirer's merchant-status answer: " + string(a.Status),
	}
	since := ""
	if a.Since > 0 {
		since = " on " + time.UnixMilli(a.Since).UTC().Format(time.DateOnly)
	}
	switch a.Status {
	case fleet.MerchantActive:
		f.State, f.Severity = fleet.FindingCleared, fleet.SeverityInfo
		f.Message = fmt.Sprintf("the acquirer says merchant number %s is active", m.Merchant)
	case fleet.MerchantCancelled:
		f.Message = fmt.Sprintf("the acquirer says merchant number %s was cancelled%s", m.Merchant, since)
	case fleet.MerchantSuspended:
		f.Message = fmt.Sprintf("the acquirer says merchant number %s was suspended%s", m.Merchant, since)
	case fleet.MerchantNotOpened:
		f.Message = fmt.Sprintf("the acquirer says merchant number %s was never opened", m.Merchant)
	default:
		f.Value = string(fleet.MerchantUnknown)
		f.Message = fmt.Sprintf("the acquirer does not know merchant number %s", m.Merchant)
	}
	return f
}
