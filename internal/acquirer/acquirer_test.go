package acquirer_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/tillwatch/tillwatch/internal/acquirer"
)

func TestTokenShowsItselfToNobody(t *testing.T) {
	const secret = "s3cr3t-of-a1"
	token := acquirer.Token(secret)
	options := acquirer.HTTPOptions{Acquirer: "a1", BearerToken: token}
	var out bytes.Buffer
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		fmt.Fprintf(&out, format+format+"\n", token, options)
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("options", "token", token, "group", slog.GroupValue(slog.Any("token", token)))
	}
	b, err := json.Marshal(map[string]any{"token": token, "options": []acquirer.Token{token}})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(b)
	if strings.Contains(out.String(), secret) {
		t.Fatalf("the token is visible:\n%s", &out)
	}
	if !strings.Contains(out.String(), "***") {
		t.Fatalf("nothing was masked:\n%s", &out)
	}
}

func TestNewHTTPReportsAllProblems(t *testing.T) {
	_, err := acquirer.NewHTTP(acquirer.HTTPOptions{
		Acquirer: "a_1", URL: "ftp://user:hunter2@host/x", BearerToken: "a\nb", Timeout: -1, Backoff: 9e9, MaxWait: 1e9, MaxRate: -1,
	})
	if err == nil {
		t.Fatal("want an error")
	}
	for _, want := range []string{"acquirer: want an id", "http:// or https://", "{merchant}", "one line", "durations above 0", "less than the max wait", "rate is -1"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in the error:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a password is in the error:\n%v", err)
	}
	for _, url := range []string{"http://h/{merchant}\x7f?key=hunter2", "https://user:hunter2@h/{merchant}"} {
		_, err = acquirer.NewHTTP(acquirer.HTTPOptions{Acquirer: "a1", URL: url})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: want an error without the password, got %v", url, err)
		}
	}
	if _, err = acquirer.NewHTTP(acquirer.HTTPOptions{Acquirer: "a1", URL: "https://h/{merchant}"}); err != nil {
		t.Errorf("the defaults do not do: %v", err)
	}
}

func TestErrorSaysWhatToDo(t *testing.T) {
	cause := errors.New("it answered 401 Unauthorized")
	err := error(&acquirer.Error{Acquirer: "a1", Merchant: "898440153110001", Err: cause, Hint: "put a valid token into the settings"})
	want := `ask acquirer "a1" about merchant "898440153110001": it answered 401 Unauthorized (put a valid token into the settings)`
	if err.Error() != want || !errors.Is(err, cause) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
