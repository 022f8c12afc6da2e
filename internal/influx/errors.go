package influx

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Class says what a caller can do about an error.
type Class string

// The classes. A class never changes its spelling: it is the label of counters.
const (
	// Transient: the same call may succeed later (refused connection, time-out, 408, 429, 5xx). Wait RetryAfter, or
	// one's own backoff where that is zero, and call again. A write may have been stored although it ended so.
	Transient Class = "transient"
	// BadLines: the server refused lines of this batch (400, 422). Dropped says what became of the others.
	BadLines Class = "bad_lines"
	// TooLarge: the batch is over the server's, or a proxy's, limit (413). Split it.
	TooLarge Class = "too_large"
	// Unauthorised: the token is missing, unknown or may not do this (401, 403). An operator acts on Hint.
	Unauthorised Class = "unauthorised"
	// BucketMissing: the bucket, database or organization does not exist, or this token cannot see it (404).
	BucketMissing Class = "bucket_missing"
	// BadQuery: the server does not understand the query, or it failed while running.
	BadQuery Class = "bad_query"
	// Conflict: what exists differs from what is wanted, and changing it would destroy data.
	Conflict Class = "conflict"
	// Unsupported: this server, as it is set up, cannot do it.
	Unsupported Class = "unsupported"
	// Unexpected: anything else, such as an answer that is not InfluxDB's.
	Unexpected Class = "unexpected"
)

// Error is every error that comes from the server or from the way to it.
type Error struct {
	Class Class
	// Op is what was tried: "write pos_raw", "query pos_events".
	Op string
	// Status is the HTTP status; 0 when there was no answer.
	Status int
	// RetryAfter is how long the server asks to wait; 0 when it does not say.
	RetryAfter time.Duration
	// Dropped is, for BadLines, the number of points that the server names as left out; it has stored the rest of the
	// batch. 0 with BadLines: a line could not be parsed, and of the others 2.x stored none and 1.8 stored all.
	Dropped int
	// Message is the server's own text.
	Message string
	// Hint says what an operator can do; empty where there is nothing better than Message.
	Hint string
	// Err is the cause below, when there is one.
	Err error
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "influx %s: %s", e.Op, e.Class)
	if e.Status != 0 {
		fmt.Fprintf(&b, " (status %d)", e.Status)
	}
	if e.Message != "" {
		b.WriteString(": " + shorten(e.Message))
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// shorten keeps a refused line of many kilobytes, which the server quotes, out of the logs.
func shorten(s string) string {
	const most = 500
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// ClassOf returns the class of err: "" for nil, Unexpected for an error that is not from this package.
func ClassOf(err error) Class {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Class
	}
	return Unexpected
}

// Hints, worded for the person who runs Tillwatch.
const (
	hintToken    = "check the token: an API token on 2.x, user:password on 1.8"
	hintRights   = "this token may not do it; use one that may read or write this bucket"
	hintBucket   = "create the bucket (tillwatch does so when it starts with a token that may), or check its name and whether this token may see it"
	hintOrg      = "check the organization's name"
	hintSetup    = "the server has no user yet; create its first administrator"
	hintOther    = "check that the URL is InfluxDB's own"
	hintRedirect = "the server redirects; put the address it names into the URL"
)

// transportError classes an error for which there was no answer.
func transportError(op string, err error) *Error {
	return &Error{Class: Transient, Op: op, Message: "no answer", Err: err}
}

var droppedPoints = regexp.MustCompile(`dropped=(\d+)`)

// answerError classes an answer other than success. op starts with write, query, or another word.
func answerError(op string, resp *http.Response) *Error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	e := &Error{Op: op, Status: resp.StatusCode, Message: errorText(resp, text), RetryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now())}
	verb, _, _ := strings.Cut(op, " ")
	switch s := resp.StatusCode; {
	case s == http.StatusTooManyRequests, s == http.StatusRequestTimeout, s >= 500:
		e.Class = Transient
	case s == http.StatusRequestEntityTooLarge:
		e.Class = TooLarge
	case s == http.StatusUnauthorized:
		e.Class, e.Hint = Unauthorised, hintToken
	case s == http.StatusForbidden:
		e.Class, e.Hint = Unauthorised, hintRights
		if strings.Contains(e.Message, "create admin user first") {
			e.Hint = hintSetup
		}
	case s == http.StatusNotFound && strings.Contains(e.Message, "organization"):
		e.Class, e.Hint = BucketMissing, hintOrg
	case s == http.StatusNotFound && (strings.Contains(e.Message, "bucket") || strings.Contains(e.Message, "database") || strings.Contains(e.Message, "retention policy")):
		e.Class, e.Hint = BucketMissing, hintBucket
	case s == http.StatusNotFound:
		e.Class, e.Hint = Unexpected, hintOther
	case verb == "write" && (s == http.StatusBadRequest || s == http.StatusUnprocessableEntity):
		e.Class = BadLines
		if m := droppedPoints.FindStringSubmatch(e.Message); m != nil {
			e.Dropped, _ = strconv.Atoi(m[1])
		}
	case verb == "query" && (s == http.StatusBadRequest || s == http.StatusUnprocessableEntity):
		e.Class = BadQuery
	case s >= 300 && s < 400:
		e.Class, e.Hint = Unexpected, hintRedirect
		e.Message = "redirected to " + resp.Header.Get("Location")
	default:
		e.Class = Unexpected
	}
	return e
}

// errorText finds the server's words: {"error"} on 1.8, {"code","message"} on 2.x, and anything from a proxy.
func errorText(resp *http.Response, body []byte) string {
	var said struct{ Error, Message string }
	if json.Unmarshal(body, &said) == nil {
		if said.Message != "" {
			return said.Message
		}
		if said.Error != "" {
			return said.Error
		}
	}
	if h := resp.Header.Get("X-Influxdb-Error"); h != "" {
		return h
	}
	if s := strings.TrimSpace(string(body)); s != "" {
		return s
	}
	return http.StatusText(resp.StatusCode)
}

// retryAfter reads a Retry-After header (RFC 9110, 10.2.3): seconds or a date; 0 when there is none or it has passed.
func retryAfter(v string, now time.Time) time.Duration {
	if v == "" {
		return 0
	}
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil && at.After(now) {
		return at.Sub(now)
	}
	return 0
}

// statementError classes the error of one statement inside an answer with status 200.
func statementError(op string, statement int, text string) *Error {
	e := &Error{Class: BadQuery, Op: op, Status: http.StatusOK, Message: fmt.Sprintf("statement %d: %s", statement+1, text)}
	switch {
	case strings.HasPrefix(text, "database not found"), strings.HasPrefix(text, "retention policy not found"):
		e.Class, e.Hint = BucketMissing, hintBucket
	case strings.Contains(text, "not authorized"), strings.Contains(text, "unauthorized"):
		e.Class, e.Hint = Unauthorised, hintRights
	case strings.Contains(text, "timeout"), strings.Contains(text, "query interrupted"), strings.Contains(text, "engine is closed"),
		strings.Contains(text, "max-concurrent-queries"):
		e.Class = Transient
	}
	return e
}
