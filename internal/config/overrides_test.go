package config

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// Every override reaches its own value, beats the file, and is named by its flag in a problem.
func TestApplyEach(t *testing.T) {
	typ := reflect.TypeFor[Overrides]()
	changed := map[string]string{}
	for i := range typ.NumField() {
		f := typ.Field(i)
		flag := flagOf(f.Name)
		c, err := Parse("full.yaml", []byte(full))
		if err != nil {
			t.Fatal(err)
		}
		before := flat(reflect.ValueOf(*c), "")
		var o Overrides
		v := reflect.New(f.Type.Elem())
		switch p := v.Interface().(type) {
		case *string:
			*p = "given by " + flag
		case *Secret:
			*p = Secret("given by " + flag)
		case *time.Duration:
			*p = 100 * time.Hour // out of every range
		}
		reflect.ValueOf(&o).Elem().Field(i).Set(v)
		err = o.Apply(c)
		var keys []string
		for key, was := range before {
			if now := flat(reflect.ValueOf(*c), "")[key]; now != was {
				keys = append(keys, key)
				if !reflect.DeepEqual(now, v.Elem().Interface()) && now != Secret("") && now != "" {
					t.Errorf("%s puts %v into %s", flag, now, key)
				}
			}
		}
		key := strings.Join(keys, " ")
		if flag == "influx-token-file" { // takes the place of the token in the file
			if len(keys) != 2 || c.Influx.Token != "" || c.Influx.TokenFile != "given by influx-token-file" {
				t.Errorf("%s changes %s", flag, key)
			}
		} else if len(keys) != 1 {
			t.Errorf("%s changes %d values: %s", flag, len(keys), key)
		}
		if other := changed[key]; other != "" {
			t.Errorf("%s and %s both change %s", flag, other, key)
		}
		changed[key] = flag
		if userOfNATS["nats."+strings.TrimPrefix(flag, "nats-")] {
			continue // one without the other is a problem of the user, see TestNATSUser
		}
		if problems, ok := errors.AsType[Problems](err); ok {
			want := "--" + flag + " or TILLWATCH_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
			if len(problems) != 1 || problems[0].File != want || problems[0].Line != 0 || strings.HasPrefix(err.Error(), "full.yaml") {
				t.Errorf("%s: %v", flag, err)
			}
		}
	}
	if len(changed) != typ.NumField() {
		t.Errorf("%d overrides change %d different values", typ.NumField(), len(changed))
	}
}

// flagOf writes the name of a field as a flag: InfluxTokenFile is influx-token-file.
func flagOf(field string) string {
	for _, initials := range []string{"NATS", "API", "URL"} {
		field = strings.ReplaceAll(field, initials, initials[:1]+strings.ToLower(initials[1:]))
	}
	var b strings.Builder
	for i, c := range field {
		if i > 0 && c >= 'A' && c <= 'Z' {
			b.WriteByte('-')
		}
		b.WriteRune(c)
	}
	return strings.ToLower(b.String())
}

// flat lists the values of a struct by the path of their fields' names.
func flat(v reflect.Value, path string) map[string]any {
	out := map[string]any{}
	if v.Kind() != reflect.Struct {
		if v.Kind() != reflect.Map && v.CanInterface() {
			out[path] = v.Interface()
		}
		return out
	}
	for i := range v.NumField() {
		maps.Copy(out, flat(v.Field(i), path+"."+v.Type().Field(i).Name))
	}
	return out
}

func TestApplyNothing(t *testing.T) {
	c, err := Parse("full.yaml", []byte(full))
	if err != nil {
		t.Fatal(err)
	}
	before := *c
	if err := (Overrides{}).Apply(c); err != nil || !reflect.DeepEqual(before, *c) {
		t.Errorf("no override changes %+v, %v", c, err)
	}
}

func TestTokenGivenAboveTokenFile(t *testing.T) {
	c, err := Parse("x.yaml", []byte("influx: {token_file: absent}"))
	if err != nil {
		t.Fatal(err)
	}
	if err := (Overrides{InfluxToken: new(Secret("given"))}).Apply(c); err != nil {
		t.Fatal(err)
	}
	if err := c.Resolve(func(string) string { return "" }); err != nil || c.Influx.Token != "given" {
		t.Errorf("token %q, %v", string(c.Influx.Token), err)
	}
	both := Overrides{InfluxToken: new(Secret("a")), InfluxTokenFile: new("b")}
	if err := both.Apply(c); err == nil || !strings.Contains(err.Error(), "--influx-token-file or TILLWATCH_INFLUX_TOKEN_FILE: influx.token_file: got token and token_file") {
		t.Errorf("both forms given: %v", err)
	}
}

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	write := func(name, data string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("influx.token", "  tok-1\r\n")
	write("a1.token", "tok-2")
	write("merchants.csv", "acquirer,merchant\n")
	write("c.yaml", `
influx: {token_file: influx.token}
acquirers:
  a1: {directory: {token_file: a1.token}}
  a-2: {directory: {token: from-the-file}}
  a3: {directory: {token_file: absent}}
alert: {merchants: merchants.csv}
`)
	c, err := Load(filepath.Join(dir, "c.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"TILLWATCH_DIRECTORY_TOKEN_A_2": "from-the-environment", "TILLWATCH_DIRECTORY_TOKEN_A3": "tok-3"}
	if err := c.Resolve(func(k string) string { return env[k] }); err != nil {
		t.Fatal(err)
	}
	if c.Influx.Token != "tok-1" || c.Acquirers["a1"].Directory.Token != "tok-2" || c.Acquirers["a-2"].Directory.Token != "from-the-environment" || c.Acquirers["a3"].Directory.Token != "tok-3" {
		t.Errorf("tokens %q, %q, %q", string(c.Influx.Token), string(c.Acquirers["a1"].Directory.Token), string(c.Acquirers["a-2"].Directory.Token))
	}
}

func TestResolveReportsAllAtOnce(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string]string{"empty": "\n", "two": "hunter2 hunter3\n", "long": strings.Repeat("hunter", maxTokenFile/6+1), "c.yaml": `nats: {creds: absent.creds}
influx:
  token_file: empty
acquirers:
  a1: {profile: ./absent.tsv, directory: {token_file: two}}
  A1: {}
  a4: {directory: {token_file: long}}
alert:
  merchants: .
`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Load(filepath.Join(dir, "c.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	err = c.Resolve(func(k string) string {
		if k == "TILLWATCH_DIRECTORY_TOKEN_A1" {
			return "hunter4"
		}
		return ""
	})
	problems, _ := errors.AsType[Problems](err)
	want := []string{
		"c.yaml:1:15: nats.creds: got no file",
		"c.yaml:3:15: influx.token_file: got an empty file",
		"c.yaml:5:17: acquirers.a1.profile: got no file",
		"c.yaml:5:55: acquirers.a1.directory.token_file: got more than a token in",
		"c.yaml:5:3: acquirers.a1: got the same environment variable TILLWATCH_DIRECTORY_TOKEN_A1 as acquirer A1",
		"c.yaml:7:32: acquirers.a4.directory.token_file: got more than a token in",
		"c.yaml:9:14: alert.merchants: got a folder",
	}
	for _, w := range want {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("no problem says %q in\n%v", w, err)
		}
	}
	if len(problems) != len(want) || err == nil || strings.Contains(err.Error(), "hunter") {
		t.Errorf("%d problems, want %d without a secret:\n%v", len(problems), len(want), err)
	}
}
