package simulate

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// WriteRegistry writes the registry that fits the fleet into dir, which it makes: merchants.csv, terminals.csv,
// catalog.csv, params.csv and licences.csv, UTF-8 without BOM, dates as 2006-01-02. The registry is as it was before
// any fault: merchants are active in it, and each terminal has the merchant number, parameters and SIM it should have.
// A version that a software_conflict fault names is in the catalogue's conflicts_with of the models it names.
func (f *Fleet) WriteRegistry(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write registry: %w", err)
	}
	for _, file := range []struct {
		name   string
		header string
		rows   func(put func(...string))
	}{
		{"merchants.csv", "acquirer,merchant,name,status,mcc,region,agent,operator,min_balance_minor,currency,settled_by,opened_on,last_sale_on", f.merchantRows},
		{"terminals.csv", "acquirer,terminal,serial,merchant,model,region,state,app,params,iccid,cell,installed_on,maintained_on,maintenance_days", f.terminalRows},
		{"catalog.csv", "model,vendor,app_target,app_min,conflicts_with,params_target,approved,certificate,certificate_expires_on", f.catalogRows},
		{"params.csv", "acquirer,params,key,value", f.paramRows},
		{"licences.csv", "acquirer,licensed_name,licence,expires_on", f.licenceRows},
	} {
		if err := writeCSV(filepath.Join(dir, file.name), file.header, file.rows); err != nil {
			return fmt.Errorf("write registry: %w", err)
		}
	}
	return nil
}

func writeCSV(path, header string, rows func(put func(...string))) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := file.Close(); err == nil {
			err = cerr
		}
	}()
	w := csv.NewWriter(file)
	put := func(fields ...string) { _ = w.Write(fields) } // the writer keeps its first error for Error
	put(strings.Split(header, ",")...)
	rows(put)
	w.Flush()
	return w.Error()
}

// ago is a date so many days before the fleet's start.
func (f *Fleet) ago(days uint64) string {
	return f.o.Start.AddDate(0, 0, -int(days)).Format(time.DateOnly)
}

func (f *Fleet) merchantRows(put func(...string)) {
	for i := range f.merchants {
		m := &f.merchants[i]
		a := f.o.Acquirers[m.acquirer]
		put(a.ID, m.mid, m.name, "active", trades[m.trade].mcc, regions[m.region].id,
			fmt.Sprintf("agent-%s-%02d", regions[m.region].id, 1+m.hash%7), fmt.Sprintf("op%02d", 1+m.hash>>8%24),
			strconv.Itoa(10_000*int(1+m.hash>>16%10)), "CNY", a.Name, f.ago(60+m.hash>>24%2000), f.ago(1+m.hash>>40%3))
	}
}

func (f *Fleet) terminalRows(put func(...string)) {
	for i := range f.terminals {
		t := &f.terminals[i]
		m := &f.merchants[t.merchant]
		sim, heard := "", ""
		if t.net < onSIM {
			sim, heard = f.sim(i, false), cell(carriers[t.carrier], m.hash)
		}
		put(f.o.Acquirers[t.acquirer].ID, f.tid(i), serial(models[t.model], i), m.mid, models[t.model].id, regions[m.region].id,
			"in_service", apps[t.app].name, f.params(i), sim, heard,
			f.ago(30+t.hash>>8%900), f.ago(t.hash>>24%30), "180")
	}
}

func (f *Fleet) catalogRows(put func(...string)) {
	for i, m := range models {
		var conflicts []string
		for n := range f.faults {
			x := &f.faults[n]
			if x.Cause == "software_conflict" && x.app >= 0 && (x.model < 0 || x.model == i) && !slices.Contains(conflicts, apps[x.app].name) {
				conflicts = append(conflicts, apps[x.app].name)
			}
		}
		put(m.id, m.vendor, apps[0].name, appMin, strings.Join(conflicts, " "), paramsNow.name, "true",
			fmt.Sprintf("UP-POS-%04d", 2301+i), f.o.Start.AddDate(2, i, 0).Format(time.DateOnly))
	}
}

func (f *Fleet) paramRows(put func(...string)) {
	for _, a := range f.o.Acquirers {
		for _, set := range []parameterSet{paramsNow, paramsBefore} {
			for _, s := range set.settings {
				put(a.ID, set.name, s.key, s.value)
			}
		}
	}
}

func (f *Fleet) licenceRows(put func(...string)) {
	for i, a := range f.o.Acquirers {
		put(a.ID, a.Name, fmt.Sprintf("Z20%02d%d33000%03d", 12+i, 1+i%8, 10+i), f.o.Start.AddDate(3, 0, i).Format(time.DateOnly))
	}
}
