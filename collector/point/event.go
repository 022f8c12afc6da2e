package point

import (
	"fmt"
	"time"

	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/schema"
)

// AppendDecline appends the line of a declined transaction that arrived then. model is what the terminal's heartbeat
// says, "" where it is not known; it is a field and never part of the identity.
func AppendDecline(b []byte, k fleet.Key, t *fleet.Txn, model string, arrived time.Time) []byte {
	hash := fleet.Hash(k.Acquirer, k.Terminal, t.ID)
	clockOK := trusted(t.TS, arrived, schema.BucketEvents)
	nanos := t.TS/1000*int64(time.Second) + fleet.HashNanos(hash)
	if !clockOK {
		nanos = arrivalDay(arrived, hash)
	}
	b = append(b, schema.Decline+",acquirer="...)
	b = append(b, k.Acquirer...)
	b = append(b, ",code="...)
	b = append(b, t.Code...)
	b = append(b, ",h="...)
	b = append(b, fleet.HashTag(hash)...)
	l := &line{b: b, sep: ' '}
	l.str("id", t.ID)
	l.key("terminal")
	l.b = append(l.b, '"')
	l.b = terminalTag(l.b, k.Terminal)
	l.b = append(l.b, '"')
	l.strIf("merchant", t.Merchant)
	if t.Model != "" {
		model = t.Model
	}
	l.strIf("model", model)
	l.strIf("app", t.App)
	l.strIf("params", t.Params)
	if t.Fields.Has(fleet.HasAmount) {
		l.int("amount", t.Amount)
	}
	l.strIf("currency", t.Currency)
	if t.Fields.Has(fleet.HasLatency) {
		l.int("latency_ms", t.LatencyMS)
	}
	l.int("ts", t.TS)
	if !clockOK {
		l.str("clock", "bad")
		l.int("arrived", arrived.UnixMilli())
	}
	return l.end(nanos)
}

// tagSafe reports whether a value of a derived body can be a tag as it is. Ours always can; a forged one cannot make
// another line.
func tagSafe(values ...string) error {
	for _, v := range values {
		if v == "" || len(v) > 64 {
			return fmt.Errorf("tag value %q: want 1 to 64 bytes", v)
		}
		for i := range len(v) {
			c := v[i]
			if !(c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
				return fmt.Errorf("tag value %q: want letters, digits, '-', '_' and '.'", v)
			}
		}
	}
	return nil
}

// eventTime is `at` cut to the second plus the nanoseconds of the hash.
func eventTime(at int64, hash uint64) int64 {
	return at/1000*int64(time.Second) + fleet.HashNanos(hash)
}

// AppendFinding appends the line of a finding's transition.
func AppendFinding(b []byte, f *fleet.Finding) ([]byte, error) {
	if err := tagSafe(f.Check, f.Acquirer, string(f.Severity)); err != nil {
		return b, fmt.Errorf("finding %q: %w", f.ID, err)
	}
	hash := fleet.Hash(f.Acquirer, f.Target(), fmt.Sprint(f.N))
	b = fmt.Appendf(b, "%s,check=%s,acquirer=%s,severity=%s,h=%s", schema.Finding, f.Check, f.Acquirer, f.Severity, fleet.HashTag(hash))
	l := &line{b: b, sep: ' '}
	l.str("target", f.Target())
	l.str("state", string(f.State))
	l.str("value", f.Value)
	l.str("evidence", f.Evidence)
	l.str("message", f.Message)
	return l.end(eventTime(f.At, hash)), nil
}

// AppendTransition appends the line of an incident's transition.
func AppendTransition(b []byte, t *fleet.Transition, message, scope string) ([]byte, error) {
	if err := tagSafe(string(t.Kind), t.Acquirer, string(t.Severity)); err != nil {
		return b, fmt.Errorf("incident %q: %w", t.Incident, err)
	}
	hash := fleet.Hash(t.Acquirer, t.Incident, fmt.Sprint(t.N))
	b = fmt.Appendf(b, "%s,kind=%s,acquirer=%s,severity=%s,h=%s", schema.Incident, t.Kind, t.Acquirer, t.Severity, fleet.HashTag(hash))
	l := &line{b: b, sep: ' '}
	l.str("target", t.Incident)
	l.str("state", string(t.Step))
	l.int("value", t.Observed)
	l.str("evidence", scope)
	l.str("message", message)
	return l.end(eventTime(t.At, hash)), nil
}

// AppendRows appends rows of one measurement. Names and types are checked against the schema, tags are written in its
// order.
func AppendRows(b []byte, rows *fleet.Rows) ([]byte, error) {
	m, ok := schema.Lookup(rows.Measurement)
	if !ok {
		return b, fmt.Errorf("rows of %q: no such measurement", rows.Measurement)
	}
	for i := range rows.Rows {
		r := &rows.Rows[i]
		b = append(b, m.Name...)
		for _, tag := range m.Tags {
			v, ok := r.Tags[tag.Name]
			if !ok {
				return b, fmt.Errorf("row %d of %q: tag %q is missing", i, m.Name, tag.Name)
			}
			if err := tagSafe(v); err != nil {
				return b, fmt.Errorf("row %d of %q: %w", i, m.Name, err)
			}
			b = append(append(append(append(b, ','), tag.Name...), '='), v...)
		}
		if len(r.Tags) != len(m.Tags) {
			return b, fmt.Errorf("row %d of %q: %d tags, want %d", i, m.Name, len(r.Tags), len(m.Tags))
		}
		l := &line{b: b, sep: ' '}
		n := 0
		for _, c := range m.Fields {
			v, ok := r.Fields[c.Name]
			if !ok {
				continue
			}
			n++
			switch c.Type {
			case schema.Int:
				x, err := v.Int64()
				if err != nil {
					return b, fmt.Errorf("row %d of %q: field %q is %q, want an integer", i, m.Name, c.Name, v)
				}
				l.int(c.Name, x)
			case schema.Float:
				if _, err := v.Float64(); err != nil {
					return b, fmt.Errorf("row %d of %q: field %q is %q, want a number", i, m.Name, c.Name, v)
				}
				l.key(c.Name)
				l.b = append(l.b, v...)
			default:
				return b, fmt.Errorf("row %d of %q: field %q is a %s, rows carry numbers", i, m.Name, c.Name, c.Type)
			}
		}
		if n == 0 || n != len(r.Fields) {
			return b, fmt.Errorf("row %d of %q: %d of %d fields are in the schema", i, m.Name, n, len(r.Fields))
		}
		b = l.end(r.Time)
	}
	return b, nil
}
