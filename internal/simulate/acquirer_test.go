package simulate

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestAcquirerSaysWhatTheFaultsMean asks over real HTTP before, during and after each fault.
func TestAcquirerSaysWhatTheFaultsMean(t *testing.T) {
	o := Options{Terminals: 300, Seed: 17, Scenario: &Scenario{}}
	causes := []string{"merchant_not_active", "account_blocked", "institution_outage", "dormant_cancelled", "risk_control_ban", "not_filed", "software_conflict"}
	for i, cause := range causes {
		o.Scenario.Faults = append(o.Scenario.Faults, Fault{Start: time.Duration(2*i+1) * time.Minute, For: time.Minute, Cause: cause, Scope: Scope{"acquirer": "a2", "merchant": Any}})
	}
	f := newFleet(t, o)
	var now time.Time
	s := NewAcquirerServer(f, AcquirerOptions{Now: func() time.Time { return now }})
	server := httptest.NewServer(s)
	defer server.Close()
	get := func(path string) (int, map[string]any) {
		t.Helper()
		resp, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var body map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		return resp.StatusCode, body
	}
	for i, truth := range f.Truth(f.Start(), 1) {
		merchant := "/v1/acquirers/a2/merchants/" + truth.Scope["merchant"]
		for when, at := range map[string]time.Time{
			"before": time.UnixMilli(truth.Start - 1), "at first": time.UnixMilli(truth.Start), "at last": time.UnixMilli(truth.End - 1), "after": time.UnixMilli(truth.End),
		} {
			now = at
			status, account, code := "active", "normal", http.StatusOK
			if when == "at first" || when == "at last" {
				switch causes[i] {
				case "merchant_not_active", "dormant_cancelled":
					status = "cancelled"
				case "risk_control_ban":
					status = "suspended"
				case "not_filed":
					status = "not_opened"
				case "account_blocked":
					account = "frozen"
				case "institution_outage":
					code = http.StatusServiceUnavailable
				}
			}
			gotCode, got := get(merchant)
			healthCode, health := get("/v1/acquirers/a2/health")
			accountCode, acc := get(merchant + "/account")
			if gotCode != code || healthCode != code || accountCode != code {
				t.Errorf("%s %s: answers %d, %d, %d, want %d", when, causes[i], gotCode, healthCode, accountCode, code)
			}
			if otherCode, _ := get("/v1/acquirers/a1/health"); otherCode != http.StatusOK {
				t.Errorf("%s %s: a1 answers %d", when, causes[i], otherCode)
			}
			if code != http.StatusOK {
				continue
			}
			if got["status"] != status || got["merchant"] != truth.Scope["merchant"] || acc["status"] != account || acc["currency"] != "CNY" || acc["balance_minor"].(float64) < 1 || health["status"] != "up" {
				t.Errorf("%s %s: %v, %v, %v, want %s and %s", when, causes[i], got, acc, health, status, account)
			}
			since := time.UnixMilli(truth.Start).UTC().Format(time.RFC3339)
			if status != "active" && got["since"] != since || status == "active" && got["since"] != nil {
				t.Errorf("%s %s: since %v, the fault began at %s", when, causes[i], got["since"], since)
			}
		}
	}
	now = f.Start()
	for path, want := range map[string]string{
		"/v1/acquirers/a2/merchants/000000000000000":              "unknown_merchant",
		"/v1/acquirers/a2/merchants/000000000000000/account":      "unknown_merchant",
		"/v1/acquirers/a9/merchants/" + f.merchants[0].mid:        "unknown_acquirer",
		"/v1/acquirers/a9/health":                                 "unknown_acquirer",
		"/":                                                       "not_found",
		"/v1/acquirers/a2/merchants/" + f.merchants[0].mid + "/x": "not_found",
	} {
		if code, body := get(path); code != http.StatusNotFound || body["error"] != want {
			t.Errorf("%s: %d %v, want 404 %s", path, code, body, want)
		}
	}
	total := 0
	for _, n := range s.Answers() {
		total += n
	}
	if n := len(s.Arrivals()); n != total || n != 7*4*4+6 || s.Answers()[503] != 2*3 {
		t.Errorf("%d requests, answers %v", n, s.Answers())
	}
}

// An outage reaches the acquirers of the terminals in its scope, however the scope is written.
func TestOutageOfOneMerchantsAcquirer(t *testing.T) {
	f := newFleet(t, Options{Terminals: 50})
	of, other := "a1", "a2"
	if f.key(0).Acquirer == "a2" {
		of, other = other, of
	}
	o := f.Options()
	o.Scenario = &Scenario{Faults: []Fault{{For: time.Minute, Cause: "institution_outage", Scope: Scope{"merchant": f.merchants[0].mid}}}}
	s := NewAcquirerServer(newFleet(t, o), AcquirerOptions{})
	for a, want := range map[string]int{of: http.StatusServiceUnavailable, other: http.StatusOK} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", "/v1/acquirers/"+a+"/health", nil))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", a, w.Code, want)
		}
	}
}

func TestOutageOfEveryAcquirer(t *testing.T) {
	f := newFleet(t, Options{Terminals: 50, Scenario: &Scenario{Faults: []Fault{{For: time.Minute, Cause: "institution_outage"}}}})
	s := NewAcquirerServer(f, AcquirerOptions{})
	for _, a := range []string{"a1", "a2"} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", "/v1/acquirers/"+a+"/health", nil))
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: %d, Retry-After %q", a, w.Code, w.Header().Get("Retry-After"))
		}
	}
}
