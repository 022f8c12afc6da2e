package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tillwatch/tillwatch/internal/acquirer"
	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/schema"
	"github.com/tillwatch/tillwatch/internal/simulate"
)

// tick is the instant of the runs in these tests.
var tick = time.Date(2026, time.November, 23, 19, 0, 0, 0, time.UTC)

// directory answers from a table; what is not in it is active.
type directory struct {
	status map[string]fleet.MerchantStatus
	fails  func(merchant string) error
	takes  time.Duration
	since  int64

	mu   sync.Mutex // guards everything below
	now  int
	most int
}

func (d *directory) MerchantStatus(ctx context.Context, merchant string) (fleet.Answer, error) {
	d.mu.Lock()
	d.now++
	d.most = max(d.most, d.now)
	d.mu.Unlock()
	defer func() { d.mu.Lock(); d.now--; d.mu.Unlock() }()
	if d.takes > 0 {
		select {
		case <-ctx.Done():
			return fleet.Answer{}, ctx.Err()
		case <-time.After(d.takes):
		}
	}
	if d.fails != nil {
		if err := d.fails(merchant); err != nil {
			return fleet.Answer{}, err
		}
	}
	status := fleet.MerchantActive
	if s, ok := d.status[merchant]; ok {
		status = s
	}
	return fleet.Answer{At: tick.UnixMilli(), Acquirer: "a1", Merchant: merchant, Kind: "status", Status: status, Since: d.since}, nil
}

// store folds findings as DERIVED would: a finding that is not news changes nothing.
type store struct {
	mu      sync.Mutex // guards everything below
	open    map[string]fleet.Finding
	reports int
	news    []fleet.Finding
	answers map[string]fleet.Answer
	rows    map[string]fleet.Rows
	fails   error
}

func (s *store) Report(_ context.Context, f fleet.Finding) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reports++
	if s.fails != nil {
		return false, s.fails
	}
	if s.open == nil {
		s.open = map[string]fleet.Finding{}
	}
	old, was := s.open[f.ID]
	if was == (f.State == fleet.FindingOpen) && old.Value == f.Value || !was && f.State == fleet.FindingCleared {
		return false, nil
	}
	if f.State == fleet.FindingOpen {
		s.open[f.ID] = f
	} else {
		delete(s.open, f.ID)
	}
	s.news = append(s.news, f)
	return true, nil
}

func (s *store) Answer(_ context.Context, id string, a fleet.Answer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answers == nil {
		s.answers = map[string]fleet.Answer{}
	}
	s.answers[id] = a
	return s.fails
}

func (s *store) Rows(_ context.Context, acquirer, id string, rows fleet.Rows) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rows == nil {
		s.rows = map[string]fleet.Rows{}
	}
	s.rows[acquirer+" "+id] = rows
	return s.fails
}

func merchants(n int) (out []fleet.Merchant) {
	for i := range n {
		out = append(out, fleet.Merchant{Acquirer: "a1", Merchant: fmt.Sprintf("898440153%06d", i)})
	}
	return out
}

func (s *store) run(t *testing.T, c *MerchantStatus) (Result, error) {
	t.Helper()
	return c.Run(t.Context(), tick, s)
}

func TestPartialFailureIsAResult(t *testing.T) {
	all := merchants(40_000)
	silent := map[string]bool{}
	for i := range 312 {
		silent[all[i*128].Merchant] = true
	}
	d := &directory{
		status: map[string]fleet.MerchantStatus{all[1].Merchant: fleet.MerchantCancelled, all[2].Merchant: fleet.MerchantSuspended},
		fails: func(m string) error {
			if silent[m] {
				return &acquirer.Error{Class: acquirer.ClassUnreachable, Acquirer: "a1", Merchant: m, Err: errors.New("no answer")}
			}
			return nil
		},
	}
	s := &store{}
	r, err := s.run(t, &MerchantStatus{Acquirer: "a1", Merchants: all, Directory: d})
	if err != nil {
		t.Fatalf("Run: %v", err)
	}
	if r.Asked != 40_000 || r.Answered != 39_688 || r.Findings != 2 {
		t.Errorf("result %+v", r)
	}
	if !strings.HasPrefix(r.String(), "312 of 40000 not answered; 39688 of 40000 answered, 2 findings open") {
		t.Errorf("result reads %q", r)
	}
	if d.most > 8 {
		t.Errorf("%d questions at once, want at most 8", d.most)
	}
	rows, ok := s.rows["a1 merchant-status.1795460400"]
	if !ok || rows.Measurement != schema.CheckRun || len(rows.Rows) != 1 {
		t.Fatalf("rows %+v", s.rows)
	}
	row := rows.Rows[0]
	if row.Time != tick.UnixNano() || row.Tags["check"] != "merchant-status" || row.Tags["acquirer"] != "a1" ||
		row.Fields["asked"] != "40000" || row.Fields["answered"] != "39688" || row.Fields["findings"] != "2" {
		t.Errorf("row %+v", row)
	}
	t.Log(r)
}

func TestFindingsOfEachStatus(t *testing.T) {
	since := time.Date(2026, time.November, 20, 3, 4, 5, 0, time.UTC).UnixMilli()
	for _, c := range []struct {
		status   fleet.MerchantStatus
		state    fleet.FindingState
		severity fleet.Severity
		value    string
		message  string
	}{
		{fleet.MerchantActive, fleet.FindingCleared, fleet.SeverityInfo, "active", "the acquirer says merchant number 1 is active"},
		{fleet.MerchantCancelled, fleet.FindingOpen, fleet.SeverityCritical, "cancelled", "the acquirer says merchant number 1 was cancelled on 2026-11-20"},
		{fleet.MerchantSuspended, fleet.FindingOpen, fleet.SeverityCritical, "suspended", "the acquirer says merchant number 1 was suspended on 2026-11-20"},
		{fleet.MerchantNotOpened, fleet.FindingOpen, fleet.SeverityCritical, "not_opened", "the acquirer says merchant number 1 was never opened"},
		{fleet.MerchantUnknown, fleet.FindingOpen, fleet.SeverityCritical, "unknown", "the acquirer does not know merchant number 1"},
		{"melted", fleet.FindingOpen, fleet.SeverityCritical, "unknown", "the acquirer does not know merchant number 1"},
	} {
		f := statusFinding(fleet.Merchant{Acquirer: "a1", Merchant: "1"}, fleet.Answer{At: 7, Acquirer: "a1", Merchant: "1", Status: c.status, Since: since})
		if f.State != c.state || f.Severity != c.severity || f.Value != c.value || f.Message != c.message || f.ID != "merchant-status.a1.1" || f.At != 7 || f.Since != since {
			t.Errorf("%s: %+v", c.status, f)
		}
	}
}

func TestFindingClearedAndOpenedAgain(t *testing.T) {
	all := merchants(5)
	bad := all[3].Merchant
	d := &directory{status: map[string]fleet.MerchantStatus{}}
	s := &store{}
	c := &MerchantStatus{Acquirer: "a1", Merchants: all, Directory: d}
	for i, step := range []struct {
		status         fleet.MerchantStatus
		open, new      int // findings open after the run, and news in it
		answers, asked int
	}{
		{fleet.MerchantActive, 0, 0, 0, 5},
		{fleet.MerchantSuspended, 1, 1, 1, 5},
		{fleet.MerchantSuspended, 1, 0, 1, 5}, // it persists: no news
		{fleet.MerchantCancelled, 1, 1, 1, 5}, // worse
		{fleet.MerchantActive, 0, 1, 1, 5},
		{fleet.MerchantActive, 0, 0, 1, 5},
		{fleet.MerchantUnknown, 1, 1, 1, 5},
	} {
		d.status[bad] = step.status
		before := len(s.news)
		r, err := s.run(t, c)
		if err != nil || r.Findings != step.open || len(s.open) != step.open || len(s.news)-before != step.new || len(s.answers) != step.answers || r.Asked != step.asked {
			t.Errorf("run %d, %s: %+v, %v; %d open, %d news, %d answers", i, step.status, r, err, len(s.open), len(s.news)-before, len(s.answers))
		}
	}
}

func TestTimeIsUpInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &directory{takes: 10 * time.Second}
		s := &store{}
		r, err := s.run(t, &MerchantStatus{Acquirer: "a1", Merchants: merchants(100), Directory: d, Concurrency: 4, Timeout: time.Minute + time.Second})
		if err == nil || !strings.Contains(err.Error(), "the time of 1m1s was up") {
			t.Errorf("Run: %v", err)
		}
		if r.Asked != 100 || r.Answered != 24 || r.Took != time.Minute+time.Second {
			t.Errorf("result %+v, want 24 of 100 answered", r)
		}
		if !strings.HasPrefix(r.String(), "76 of 100 not answered; ") {
			t.Errorf("result reads %q", r)
		}
		if len(s.rows) != 1 {
			t.Errorf("the run left no row")
		}
	})
}

func TestTimeIsUpWithTheLastQuestions(t *testing.T) {
	// All merchants were handed out, and the last answers did not come in time: the run is not complete.
	synctest.Test(t, func(t *testing.T) {
		d := &directory{takes: time.Hour}
		r, err := (&store{}).run(t, &MerchantStatus{Acquirer: "a1", Merchants: merchants(4), Directory: d, Concurrency: 4, Timeout: time.Minute})
		if err == nil || r.Answered != 0 || r.Asked != 4 {
			t.Errorf("result %+v, error %v", r, err)
		}
	})
}

func TestStopInTheMiddleStoresNoRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		s := &store{}
		c := &MerchantStatus{Acquirer: "a1", Merchants: merchants(100), Directory: &directory{takes: 10 * time.Second}, Concurrency: 4}
		if _, err := c.Run(ctx, tick, s); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Run: %v", err)
		}
		if len(s.rows) != 0 {
			t.Errorf("a run that was broken off left %v", s.rows)
		}
	})
}

func TestStoreThatFailsIsAnError(t *testing.T) {
	all := merchants(3)
	s := &store{fails: errors.New("the disk is full")}
	r, err := s.run(t, &MerchantStatus{Acquirer: "a1", Merchants: all, Directory: &directory{status: map[string]fleet.MerchantStatus{all[0].Merchant: fleet.MerchantCancelled}}})
	if !errors.Is(err, s.fails) || r.Answered != 3 || r.Findings != 1 {
		t.Errorf("result %+v, error %v", r, err)
	}
}

func TestMerchantStatusOverHTTP(t *testing.T) {
	f, err := simulate.New(simulate.Options{Terminals: 150, Seed: 5, Acquirers: []simulate.Acquirer{{ID: "a1"}}, Scenario: &simulate.Scenario{Faults: []simulate.Fault{
		{For: time.Hour, Cause: "merchant_not_active"}, {For: time.Hour, Cause: "risk_control_ban"},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	now := simulate.DefaultStart.Add(time.Minute)
	server := simulate.NewAcquirerServer(f, simulate.AcquirerOptions{Token: "s3cret", Now: func() time.Time { return now }})
	web := httptest.NewServer(server)
	defer web.Close()
	d, err := acquirer.NewHTTP(acquirer.HTTPOptions{
		Acquirer: "a1", URL: web.URL + "/v1/acquirers/{acquirer}/merchants/{merchant}", BearerToken: "s3cret",
		MaxRate: 1e5, Retries: -1, BreakAfter: -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	c := &MerchantStatus{Acquirer: "a1", Directory: d}
	for m := range f.Merchants() {
		c.Merchants = append(c.Merchants, m)
	}
	registered := len(c.Merchants)
	c.Merchants = append(c.Merchants, fleet.Merchant{Acquirer: "a1", Merchant: "nobody"})
	server.Fail(simulate.Failure{Status: 503}, simulate.Failure{Drop: true}, simulate.Failure{Garbage: "<html>"})

	s := &store{}
	r, err := s.run(t, c)
	if err != nil {
		t.Fatalf("Run: %v", err)
	}
	if r.Asked != registered+1 || r.Answered != r.Asked-3 {
		t.Errorf("result %s", r)
	}
	r, err = s.run(t, c) // the second run asks the three again
	if err != nil || r.Answered != r.Asked {
		t.Errorf("result %s, %v", r, err)
	}
	values := map[string]int{}
	for _, x := range s.open {
		values[x.Value]++
		if x.Value != "unknown" && x.Since != simulate.DefaultStart.UnixMilli() {
			t.Errorf("%s since %d", x.ID, x.Since)
		}
	}
	if values["unknown"] != 1 || values["cancelled"]+values["suspended"] < 1 || values["active"] != 0 || r.Findings != len(s.open) {
		t.Errorf("open findings %v, result %s", values, r)
	}
	open := len(s.open)
	now = simulate.DefaultStart.Add(2 * time.Hour) // the faults are over
	if r, err = s.run(t, c); err != nil || r.Findings != 1 || len(s.open) != 1 {
		t.Errorf("result %s, %v", r, err)
	}
	t.Logf("%d merchants, %d findings while the faults were on: %v; 1 after", registered, open, values)
}

func TestAnswersAreStoredAsTheyCame(t *testing.T) {
	all := merchants(2)
	s := &store{}
	d := &directory{status: map[string]fleet.MerchantStatus{all[1].Merchant: fleet.MerchantCancelled}, since: 5}
	if _, err := s.run(t, &MerchantStatus{Acquirer: "a1", Merchants: all, Directory: d}); err != nil {
		t.Fatal(err)
	}
	a, ok := s.answers["merchant-status.a1."+all[1].Merchant+".1795460400"]
	if !ok || a.Status != fleet.MerchantCancelled || a.Since != 5 || a.Kind != "status" || len(s.answers) != 1 {
		raw, _ := json.Marshal(s.answers)
		t.Errorf("answers %s", raw)
	}
}
