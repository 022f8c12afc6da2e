package slack

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/slack-go/slack"
)

// Class is what a failed request means for the sender.
type Class string

// The classes of failure.
const (
	// RateLimited: Slack took nothing and said when to come again.
	RateLimited Class = "rate_limited"
	// Refused: Slack took nothing and will not until somebody changes something.
	Refused Class = "refused"
	// Unreached: no connection came about, so Slack took nothing.
	Unreached Class = "unreached"
	// Uncertain: the request left and no usable answer came. Slack may have taken it.
	Uncertain Class = "uncertain"
)

// Error is a failed request to Slack. It holds neither the request's body nor a secret address.
type Error struct {
	Op         string        // Slack's method, such as chat.postMessage
	Class      Class         //
	Code       string        // Slack's own word where it gave one, such as channel_not_found, or "http 503"
	Hint       string        // what the operator can do; set where Class is Refused
	RetryAfter time.Duration // where Class is RateLimited; 0: Slack did not say
	Err        error         // the cause, nil where Code says all
}

func (e *Error) Error() string {
	text := fmt.Sprintf("%s: %s", e.Op, e.Class)
	if e.Code != "" {
		text += ": " + e.Code
	}
	if e.RetryAfter > 0 {
		text += fmt.Sprintf(": retry after %s", e.RetryAfter)
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	if e.Hint != "" {
		text += " (" + e.Hint + ")"
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// ClassOf returns the class of a failed request; anything that is not an *Error is Uncertain.
func ClassOf(err error) Class {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Class
	}
	return Uncertain
}

func codeOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}

// hints tell the operator what to do about a refusal, by Slack's error word.
var hints = map[string]string{
	"channel_not_found":                   "check the channel's id (Slack: channel details, at the bottom) and, for a private channel, invite the bot",
	"not_in_channel":                      "invite the bot to the channel: /invite @name-of-the-bot",
	"is_archived":                         "unarchive the channel or configure another one",
	"invalid_auth":                        "the bot token is wrong: copy it again from the app's page, OAuth & Permissions",
	"not_authed":                          "no bot token was sent: set it",
	"account_inactive":                    "the app or its workspace was deactivated: install the app again and set the new token",
	"token_revoked":                       "the token was revoked: install the app again and set the new token",
	"token_expired":                       "the token has expired: install the app again and set the new token",
	"not_allowed_token_type":              "set a bot token (it begins with xoxb-)",
	"missing_scope":                       "add the scopes chat:write and channels:history (groups:history for a private channel) to the app and install it again",
	"no_permission":                       "the workspace forbids the bot to do this: ask its administrator",
	"restricted_action":                   "the workspace restricts who may post in this channel: ask its administrator to allow the app",
	"restricted_action_read_only_channel": "the channel is read-only: ask its administrator to allow the app",
	"ekm_access_denied":                   "the workspace's administrator has suspended posting",
	"org_login_required":                  "the workspace is being moved: ask its administrator",
	"no_service":                          "the webhook was removed: create a new one and set its address",
	"no_team":                             "the webhook's workspace is gone: create a new one and set its address",
	"channel_is_archived":                 "unarchive the webhook's channel or create a webhook for another one",
	"action_prohibited":                   "the workspace's administrator has restricted the webhook",
	"posting_to_general_channel_denied":   "the webhook may not post in the general channel: choose another one",
}

// transient are Slack's words for its own trouble. It says of them that the request may have been carried out in part.
var transient = map[string]bool{
	"fatal_error": true, "internal_error": true, "service_unavailable": true, "request_timeout": true,
	"team_added_to_org": true, "rollup_error": true,
}

// limited are Slack's words for too many requests, besides HTTP status 429.
var limited = map[string]bool{"ratelimited": true, "rate_limited": true, "message_limit_exceeded": true}

// said translates Slack's error word.
func said(op, code string) *Error {
	switch {
	case limited[code]:
		return &Error{Op: op, Class: RateLimited, Code: code}
	case transient[code]:
		return &Error{Op: op, Class: Uncertain, Code: code}
	}
	e := &Error{Op: op, Class: Refused, Code: code, Hint: hints[code]}
	if e.Hint == "" {
		e.Hint = "look the word up in the errors of " + op + " on docs.slack.dev"
	}
	return e
}

// answered translates an HTTP status other than 200.
func answered(op string, status int) *Error {
	e := &Error{Op: op, Code: fmt.Sprintf("http %d", status)}
	switch {
	case status == http.StatusTooManyRequests:
		e.Class = RateLimited
	case status >= 500 || status == http.StatusRequestTimeout:
		e.Class = Uncertain
	default:
		e.Class, e.Hint = Refused, "this is not an answer of Slack's: check the API address and any proxy between"
	}
	return e
}

// translate turns what slack-go returned, together with what the transport saw, into an *Error.
func translate(op string, seen *exchange, err error) *Error {
	if e, ok := errors.AsType[*slack.RateLimitedError](err); ok {
		return &Error{Op: op, Class: RateLimited, RetryAfter: max(0, e.RetryAfter)}
	}
	if e, ok := errors.AsType[slack.SlackErrorResponse](err); ok {
		return said(op, e.Err)
	}
	if status := seen.status.Load(); status != 0 && status != http.StatusOK {
		return answered(op, int(status))
	}
	if !seen.connected.Load() {
		return &Error{Op: op, Class: Unreached, Err: bare(err)}
	}
	return &Error{Op: op, Class: Uncertain, Err: bare(err)}
}
