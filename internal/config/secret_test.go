package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// A secret does not show however it is printed, also from deep inside the configuration.
func TestSecretMasksItself(t *testing.T) {
	c := Default()
	const s = Secret("hunter2")
	a := DefaultAcquirer()
	a.Directory.Token = s
	c.Influx.Token, c.Alert.Slack.Token, c.Acquirers["a1"] = s, s, a
	var shown []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		shown = append(shown, fmt.Sprintf(verb, c.Influx), fmt.Sprintf(verb, s), fmt.Sprintf(verb, *c), fmt.Sprintf(verb, c))
	}
	shown = append(shown, fmt.Sprint(s), fmt.Errorf("token %w", fmt.Errorf("%v", s)).Error())
	for _, marshal := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal} {
		out, err := marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		shown = append(shown, string(out))
	}
	for _, json := range []bool{false, true} {
		var b bytes.Buffer
		var h slog.Handler = slog.NewTextHandler(&b, nil)
		if json {
			h = slog.NewJSONHandler(&b, nil)
		}
		slog.New(h).Info("m", "token", s, "config", c, "influx", c.Influx)
		shown = append(shown, b.String())
	}
	for _, text := range shown {
		if strings.Contains(text, "hunter2") || strings.Contains(text, "68756e74657232") {
			t.Errorf("the secret shows in %s", text)
		}
	}
	if got := fmt.Sprintf("%v|%#v", Secret(""), Secret("")); got != `|""` {
		t.Errorf("an empty secret prints as %s: one sees whether it is set", got)
	}
	if string(s) != "hunter2" {
		t.Error("the value itself is lost")
	}
}

func TestMaskCredentials(t *testing.T) {
	for raw, want := range map[string]string{
		"http://db:8086":              "http://db:8086",
		"http://u:hunter2@db:8086/x":  "http://[secret]@db:8086/x",
		"http://u:hun@ter2@db":        "http://[secret]@db",
		"u:hunter2@db":                "[secret]@db",
		"http://db/?token=hunter2":    "http://db/?[secret]",
		"http://u:hunter2 @db:x?a=@b": "http://[secret]@b",
		"http://u:hun?ter2@db":        "http://[secret]@db",
		"//u:hunter2@db?x":            "[secret]@db?[secret]",
		"":                            "",
	} {
		if got := maskCredentials(raw); got != want {
			t.Errorf("%q is shown as %q, want %q", raw, got, want)
		}
	}
}

func TestBytes(t *testing.T) {
	for s, want := range map[string]Bytes{"0": 0, "1": 1, "512MiB": 512 * MiB, "8GiB": 8 * GiB, "3 TiB": 3 * TiB, "1023KiB": 1023 * KiB, "8388607TiB": 8388607 * TiB} {
		got, err := ParseBytes(s)
		if err != nil || got != want {
			t.Errorf("ParseBytes(%q) = %d, %v, want %d", s, got, err, want)
		}
		if again, err := ParseBytes(got.String()); err != nil || again != got {
			t.Errorf("%d is written %q and read as %d, %v", got, got, again, err)
		}
	}
	for s, hint := range map[string]string{"": "8GiB", "8GB": "here 8GiB", "8g": "here 8GiB", "512 mb": "here 512MiB", "GiB": "8GiB", "-1": "8GiB", "-1KiB": "8GiB",
		"1.5GiB": "8GiB", "8388608TiB": "8GiB", "9223372036854775808": "8GiB", "8GiBs": "8GiB", "8B": "8GiB"} {
		if got, err := ParseBytes(s); err == nil || !strings.Contains(err.Error(), hint) {
			t.Errorf("ParseBytes(%q) = %d, %v, want an error that says %q", s, got, err, hint)
		}
	}
}
