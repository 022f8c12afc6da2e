package influx_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tillwatch/tillwatch/internal/influx"
)

var discardLog = log.New(io.Discard, "", 0)

func TestOptionsNameEveryProblem(t *testing.T) {
	_, err := influx.New(influx.Options{URL: "127.0.0.1:8086", Token: "a\nb", ChunkRows: -1})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"url", "token", "chunk rows"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %s", err, want)
		}
	}
	for _, u := range []string{"", "ftp://h", "http://", "http://user:secret@h:1"} {
		_, err := influx.New(influx.Options{URL: u})
		if err == nil {
			t.Errorf("url %q accepted", u)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}

func TestTokenIsMasked(t *testing.T) {
	const secret = "s3cret:pass"
	token := influx.Token(secret)
	c, err := influx.New(influx.Options{URL: "http://h:1", Token: token})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(map[string]any{"token": token, "options": influx.Options{Token: token}, string(token.String()): 1})
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "token", token, "options", influx.Options{Token: token}, "client", c)
	shown := []string{string(b), logged.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%c"} {
		shown = append(shown, fmt.Sprintf(verb, token), fmt.Sprintf(verb, struct{ T influx.Token }{token}), fmt.Sprintf(verb, []influx.Token{token}))
	}
	shown = append(shown, fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Errorf("bad %w", fmt.Errorf("token %v", token)).Error())
	for _, s := range shown {
		if strings.Contains(s, "s3cret") || strings.Contains(s, fmt.Sprintf("%x", "s3cret")) || strings.Contains(s, fmt.Sprintf("%d", []byte("s3cret"))) {
			t.Errorf("the token is shown: %s", s)
		}
	}
	if token.Reveal() != secret {
		t.Error("Reveal does not reveal")
	}
	if got := influx.Token("").String(); got != "" {
		t.Errorf("an empty token prints %q; want that it is seen to be empty", got)
	}
}

// Servers that do not say their number in the header.
func TestVersionWithoutNumber(t *testing.T) {
	for name, tc := range map[string]struct {
		header string
		setup  int
		want   int
	}{
		"1.8 built by hand": {"unknown", 404, 1}, "2.x built by hand": {"dev", 200, 2}, "hidden": {"", 200, 2},
		"1.8": {"1.8.10", 500, 1}, "2.x": {"v2.9.1", 500, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/ping" {
					w.Header().Set("X-Influxdb-Version", tc.header)
					w.WriteHeader(204)
					return
				}
				w.WriteHeader(tc.setup)
			}))
			defer s.Close()
			c, err := influx.New(influx.Options{URL: s.URL + "/"})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if v, err := c.Version(t.Context()); err != nil || v.Major != tc.want {
				t.Errorf("%+v, %v; want major %d", v, err, tc.want)
			}
		})
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Influxdb-Version", "3.1.0")
	}))
	defer s.Close()
	c, err := influx.New(influx.Options{URL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Version(t.Context()); influx.ClassOf(err) != influx.Unsupported {
		t.Errorf("InfluxDB 3: %v; want class %q", err, influx.Unsupported)
	}
}
