package dashboards_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/dashboards"
)

// choice is what a person has chosen at the top of a dashboard. nil stands for All.
type choice struct {
	name     string
	acquirer []string
	code     []string
	merchant string
	every    string
}

func (c choice) String() string { return c.name }

var (
	regexSpecial = regexp.MustCompile(`[\\^$*+?.()|\[\]{}/]`)
	reference    = regexp.MustCompile(`\$\{(\w+)(?::(\w+))?\}|\$(\w+)`)
)

// interpolate does with a query what Grafana does: variables first (in its frontend, where ${name:regex} is a list of
// alternatives with special characters escaped, and All is the variable's allValue as it is), then the macros of its
// InfluxQL data source ($timeFilter in milliseconds, both ends included). A reference that neither knows is an error;
// Grafana would send it to the database.
func interpolate(d *dashboards.Dashboard, influxql string, c choice, from, to time.Time) (string, error) {
	var unknown []string
	out := reference.ReplaceAllStringFunc(influxql, func(ref string) string {
		m := reference.FindStringSubmatch(ref)
		name := m[1] + m[3]
		switch name {
		case "timeFilter":
			return fmt.Sprintf("time >= %dms and time <= %dms", from.UnixMilli(), to.UnixMilli())
		case "__interval", "interval":
			return "30s"
		case "__interval_ms":
			return "30000"
		}
		v := d.Variable(name)
		if v == nil {
			unknown = append(unknown, ref)
			return ref
		}
		var values []string
		switch name {
		case "acquirer":
			values = c.acquirer
		case "code":
			values = c.code
		case "merchant":
			values = []string{c.merchant}
		case "every":
			return c.every
		default:
			unknown = append(unknown, ref)
			return ref
		}
		if values == nil {
			return v.AllValue
		}
		if m[2] != "regex" {
			unknown = append(unknown, ref+" (want the format regex, which is the same in every version of Grafana)")
		}
		escaped := make([]string, len(values))
		for i, s := range values {
			escaped[i] = regexSpecial.ReplaceAllString(s, `\$0`)
		}
		if len(escaped) == 1 {
			return escaped[0]
		}
		return "(" + strings.Join(escaped, "|") + ")"
	})
	if len(unknown) > 0 {
		return "", fmt.Errorf("unknown to Grafana: %s", strings.Join(unknown, ", "))
	}
	return out, nil
}

func TestInterpolate(t *testing.T) {
	d := all(t)[0]
	from, to := time.UnixMilli(1000), time.UnixMilli(2000)
	for _, c := range []struct {
		in   string
		pick choice
		want string
	}{
		{`"code" =~ /^${code:regex}$/ AND $timeFilter`, choice{code: []string{"03"}}, `"code" =~ /^03$/ AND time >= 1000ms and time <= 2000ms`},
		{`/^${code:regex}$/`, choice{code: []string{"03", "97"}}, `/^(03|97)$/`},
		{`/^${acquirer:regex}$/`, choice{}, `/^.*$/`},
		{`/^${merchant:regex}/ time($every)`, choice{merchant: "89.8/x", every: "5m"}, `/^89\.8\/x/ time(5m)`},
		{`time($__interval)`, choice{}, `time(30s)`},
	} {
		got, err := interpolate(d, c.in, c.pick, from, to)
		if err != nil || got != c.want {
			t.Errorf("%s: %s, %v; want %s", c.in, got, err, c.want)
		}
	}
	for _, in := range []string{`$acquier`, `${code}`, `$__nothing`} {
		if got, err := interpolate(d, in, choice{code: []string{"03"}}, from, to); err == nil {
			t.Errorf("%s is taken, as %s", in, got)
		}
	}
}

func all(t testing.TB) []*dashboards.Dashboard {
	t.Helper()
	ds, err := dashboards.All()
	if err != nil {
		t.Fatal(err)
	}
	if len(ds) == 0 {
		t.Fatal("no dashboard is embedded")
	}
	return ds
}
