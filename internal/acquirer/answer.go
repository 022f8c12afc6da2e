package acquirer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// maxAnswer bounds an answer's body; ours have about 100 bytes.
const maxAnswer = 64 << 10

// ask makes one attempt. Its error is an *Error, or ctx's.
func (h *HTTP) ask(ctx context.Context, merchant string) (fleet.Answer, error) {
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, h.o.Timeout)
	defer cancel()
	fail := func(class Class, status int, err error, hint string) (fleet.Answer, error) {
		if outer.Err() != nil {
			return fleet.Answer{}, outer.Err()
		}
		return fleet.Answer{}, &Error{Class: class, Acquirer: h.o.Acquirer, Merchant: merchant, Status: status, Err: err, Hint: hint}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.o.fill(merchant), nil)
	if err != nil {
		return fail(ClassRefused, 0, bare(err), "correct the directory's url in the settings")
	}
	req.Header.Set("Accept", "application/json")
	if h.o.BearerToken != "" {
		req.Header.Set("Authorization", "Bearer "+string(h.o.BearerToken))
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return fail(ClassUnreachable, 0, h.noAnswer(bare(err)), "check that the directory's url is right and reachable from here")
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return fail(ClassUnreachable, resp.StatusCode, fmt.Errorf("the answer broke off: %w", h.noAnswer(bare(err))), "if it keeps doing so, ask the acquirer what cuts its answers off")
	}
	if resp.StatusCode == http.StatusOK {
		answer, err := h.read(merchant, body)
		if err != nil {
			return fail(ClassBadAnswer, resp.StatusCode, err, "the acquirer's system does not speak the documented API; show them this message")
		}
		return answer, nil
	}
	if resp.StatusCode == http.StatusNotFound && unknownMerchant(body) {
		return h.answer(merchant, fleet.MerchantUnknown, 0), nil
	}
	class, hint := classify(resp.StatusCode)
	_, err = fail(class, resp.StatusCode, fmt.Errorf("it answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode)), hint)
	if e, ok := errors.AsType[*Error](err); ok {
		if e.RetryAfter = h.retryAfter(resp.Header.Get("Retry-After")); e.RetryAfter > 0 {
			h.pacer.hold(e.RetryAfter) // it speaks to all of us
		}
	}
	return fleet.Answer{}, err
}

func (h *HTTP) noAnswer(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no complete answer within %s: %w", h.o.Timeout, err)
	}
	return err
}

// bare is an error without the URL around it, which may hold what only the acquirer should see.
func bare(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// classify sorts the status codes that are no answer.
func classify(status int) (Class, string) {
	switch {
	case status == http.StatusTooManyRequests:
		return ClassRateLimited, "lower the directory's rate to what the acquirer allows"
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return ClassRefused, "the acquirer does not accept the token; put a valid one into the directory's settings"
	case status == http.StatusNotFound:
		return ClassRefused, "this 404 is not the API's: the directory's url is probably wrong"
	case status == http.StatusRequestTimeout || status >= 500:
		return ClassUnreachable, "the acquirer's system is failing; if it lasts, tell them"
	case status >= 300 && status < 400:
		return ClassRefused, "the directory's url leads elsewhere; put the final one into the settings"
	}
	return ClassRefused, "check the directory's url and token in the settings"
}

// unknownMerchant reports whether the body of a 404 comes from the API and not from a server that does not know the
// path: it is empty, or a JSON object. A page for people would else make every merchant number of a mistyped url
// unknown at once.
func unknownMerchant(body []byte) bool {
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return true
	}
	var object struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &object) != nil {
		return false
	}
	return object.Error == "" || object.Error == "unknown_merchant"
}

// read takes an answer apart and refuses what the API does not allow.
func (h *HTTP) read(merchant string, body []byte) (fleet.Answer, error) {
	if len(body) > maxAnswer {
		return fleet.Answer{}, fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
	}
	var a struct {
		Merchant *string `json:"merchant"`
		Status   *string `json:"status"`
		Since    *string `json:"since"`
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return fleet.Answer{}, fmt.Errorf("the answer is not the JSON object of the API: %w", err)
	}
	switch {
	case a.Merchant == nil || a.Status == nil:
		return fleet.Answer{}, errors.New("the answer lacks merchant or status")
	case fleet.TrimID(*a.Merchant) != merchant:
		return fleet.Answer{}, fmt.Errorf("the answer is about merchant %q", clip(*a.Merchant))
	}
	status := fleet.MerchantStatus(*a.Status)
	switch status {
	case fleet.MerchantActive, fleet.MerchantNotOpened, fleet.MerchantSuspended, fleet.MerchantCancelled:
	default:
		return fleet.Answer{}, fmt.Errorf("the answer has status %q, want active, not_opened, suspended or cancelled", clip(*a.Status))
	}
	since := int64(0)
	if a.Since != nil && *a.Since != "" {
		t, err := time.Parse(time.RFC3339, *a.Since)
		if err != nil {
			return fleet.Answer{}, fmt.Errorf("the answer has since %q, want RFC 3339, such as 2026-11-20T03:04:05Z", clip(*a.Since))
		}
		since = t.UnixMilli()
	}
	return h.answer(merchant, status, since), nil
}

func (h *HTTP) answer(merchant string, status fleet.MerchantStatus, since int64) fleet.Answer {
	return fleet.Answer{At: h.o.Now().UnixMilli(), Acquirer: h.o.Acquirer, Merchant: merchant, Kind: "status", Status: status, Since: since}
}

// clip keeps foreign text short in errors.
func clip(s string) string {
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:40], "") + "…"
	}
	return s
}

// maxSilence bounds what a Retry-After can do: a year of it would be a mistake.
const maxSilence = time.Hour

// retryAfter reads the header Retry-After (RFC 9110, section 10.2.3): seconds or a date. 0: it says nothing.
func (h *HTTP) retryAfter(value string) time.Duration {
	if value == "" {
		return 0
	}
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil {
		return min(maxSilence, time.Duration(max(0, seconds))*time.Second)
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(maxSilence, max(0, at.Sub(h.o.Now())))
	}
	return 0
}
