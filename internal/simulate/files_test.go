package simulate

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

func TestEventsFile(t *testing.T) {
	f := newFleet(t, Options{Terminals: 80, Seed: 3, Rate: 60, Approvals: true})
	var b bytes.Buffer
	sum, err := WriteEvents(&b, f, 20*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(lines) != sum.Events || sum.Events < 500 || sum.Fleet != 20*time.Minute {
		t.Fatalf("%d lines; %v", len(lines), sum)
	}
	n := 0
	for e := range f.Events(20 * time.Minute) {
		var line struct {
			Subject string          `json:"subject"`
			Arrived int64           `json:"arrived"`
			Data    json.RawMessage `json:"data"`
		}
		dec := json.NewDecoder(strings.NewReader(lines[n]))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&line); err != nil {
			t.Fatalf("%s: %v", lines[n], err)
		}
		if line.Subject != e.Subject() || line.Arrived != e.At.UnixMilli() || string(line.Data) != string(e.Body()) {
			t.Fatalf("line %d: %s", n+1, lines[n])
		}
		n++
	}
	if _, err := WriteEvents(&b, f, 0); err == nil {
		t.Error("a file without end was begun")
	}
	full := errors.New("no space left")
	if _, err := WriteEvents(failing{full}, f, time.Hour); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
	if err := WriteTruth(failing{full}, newFleet(t, Options{Chronic: true})); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestTruthFile(t *testing.T) {
	f := newFleet(t, Options{Terminals: 300, Seed: 1, Chronic: true, Scenario: DemoScenario()})
	var b bytes.Buffer
	if err := WriteTruth(&b, f); err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(&b)
	dec.DisallowUnknownFields()
	var got []Truth
	for dec.More() {
		var truth Truth
		if err := dec.Decode(&truth); err != nil {
			t.Fatal(err)
		}
		got = append(got, truth)
	}
	if diff := cmp.Diff(f.Truth(f.Start(), 1), got); diff != "" || len(got) != 3 {
		t.Errorf("%d faults:\n%s", len(got), diff)
	}
	if got[0].Start != f.Start().UnixMilli()+35_000 || got[0].End != f.Start().UnixMilli()+75_000 {
		t.Errorf("the first fault lasts from %d to %d", got[0].Start, got[0].End)
	}
}

// readCSV reads one file of a registry as rows by column.
func readCSV(t *testing.T, dir, name, header string) []map[string]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if got := strings.Join(records[0], ", "); got != header {
		t.Fatalf("%s has the header\n%s, want\n%s", name, got, header)
	}
	rows := make([]map[string]string, 0, len(records))
	for _, record := range records[1:] {
		row := map[string]string{}
		for i, value := range record {
			row[records[0][i]] = value
		}
		rows = append(rows, row)
	}
	return rows
}

// TestRegistryFitsTheFleet reads the registry back and compares it with what healthy terminals say of themselves.
func TestRegistryFitsTheFleet(t *testing.T) {
	o := Options{Terminals: 500, Seed: 23, Rate: 20, AlwaysOpen: true, Scenario: &Scenario{Faults: []Fault{
		{For: time.Hour, Cause: "software_conflict", Scope: Scope{"app": "2.4.0", "model": "P2"}},
		{For: time.Hour, Cause: "merchant_not_active", Scope: Scope{"acquirer": "a1"}},
	}}}
	f := newFleet(t, o)
	dir := filepath.Join(t.TempDir(), "registry")
	for range 2 { // writing over an old one is fine
		if err := f.WriteRegistry(dir); err != nil {
			t.Fatal(err)
		}
	}
	merchants := map[[2]string]map[string]string{}
	for _, row := range readCSV(t, dir, "merchants.csv", "acquirer, merchant, name, status, mcc, region, agent, operator, min_balance_minor, currency, settled_by, opened_on, last_sale_on") {
		merchants[[2]string{row["acquirer"], row["merchant"]}] = row
		for column, value := range row {
			if value == "" {
				t.Fatalf("merchant %s has no %s", row["merchant"], column)
			}
		}
	}
	n := 0
	for m := range f.Merchants() {
		row := merchants[[2]string{m.Acquirer, m.Merchant}]
		if row["name"] != m.Name || row["status"] != "active" || row["mcc"] != m.MCC || row["region"] != m.Region {
			t.Fatalf("merchant %+v is %v in the registry", m, row)
		}
		n++
	}
	if n != len(merchants) {
		t.Errorf("%d merchants, %d rows", n, len(merchants))
	}
	terminals := map[fleet.Key]map[string]string{}
	for _, row := range readCSV(t, dir, "terminals.csv", "acquirer, terminal, serial, merchant, model, region, state, app, params, iccid, cell, installed_on, maintained_on, maintenance_days") {
		terminals[fleet.Key{Acquirer: row["acquirer"], Terminal: row["terminal"]}] = row
		if merchants[[2]string{row["acquirer"], row["merchant"]}]["region"] != row["region"] {
			t.Fatalf("terminal %v is not where its merchant is", row)
		}
	}
	sets := map[string]bool{}
	for _, row := range readCSV(t, dir, "params.csv", "acquirer, params, key, value") {
		sets[row["acquirer"]+" "+row["params"]] = true
	}
	heard := map[fleet.Key]bool{}
	for e := range f.Events(2 * time.Minute) {
		if e.Beat == nil {
			continue
		}
		h, row := e.Beat, terminals[e.Key]
		heard[e.Key] = true
		got := []string{row["serial"], row["merchant"], row["model"], row["app"], row["params"], row["iccid"], row["cell"], row["state"]}
		if diff := cmp.Diff([]string{h.Serial, h.Merchant, h.Model, h.App, h.Params, h.ICCID, h.Cell, "in_service"}, got); diff != "" {
			t.Fatalf("%v:\n%s", e.Key, diff)
		}
		if !sets[e.Key.Acquirer+" "+h.Params] {
			t.Fatalf("parameters %s are in no registry", h.Params)
		}
	}
	if len(heard) != len(terminals) || len(heard) != o.Terminals {
		t.Errorf("%d terminals heard of, %d in the registry", len(heard), len(terminals))
	}
	rows := readCSV(t, dir, "catalog.csv", "model, vendor, app_target, app_min, conflicts_with, params_target, approved, certificate, certificate_expires_on")
	for _, row := range rows {
		want := ""
		if row["model"] == "P2" {
			want = "2.4.0"
		}
		if row["conflicts_with"] != want || row["app_target"] != "2.4.1" || !sets["a1 "+row["params_target"]] {
			t.Errorf("catalogue: %v", row)
		}
	}
	if len(rows) != len(models) {
		t.Errorf("%d models in the catalogue", len(rows))
	}
	licences := readCSV(t, dir, "licences.csv", "acquirer, licensed_name, licence, expires_on")
	if len(licences) != 2 || licences[0]["acquirer"] != "a1" {
		t.Errorf("licences: %v", licences)
	}
	for _, row := range merchants {
		if row["settled_by"] != licences[0]["licensed_name"] && row["settled_by"] != licences[1]["licensed_name"] {
			t.Fatalf("%v is settled by nobody licensed", row)
		}
	}
	occupied := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(occupied, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.WriteRegistry(occupied); err == nil || !strings.Contains(err.Error(), "write registry") {
		t.Errorf("into a file: %v", err)
	}
}
