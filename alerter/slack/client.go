package slack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/slack-go/slack"
)

// ClientOptions configures a Client. Token and Channel are required.
type ClientOptions struct {
	Token      Secret        // a bot token with chat:write and channels:history (groups:history for a private channel)
	Channel    string        // the channel's id, such as C0123456789; by a name Slack posts but cannot be searched after a crash
	APIURL     string        // "": https://slack.com/api/
	HTTPClient *http.Client  // nil: a client of its own over http.DefaultTransport; redirects are never followed
	Timeout    time.Duration // of one request; 0: 5 s
	Source     string        // tells several Tillwatch installations in one channel apart; "": one installation
	PageSize   int           // messages asked for at a time by Find; 0: 200
}

// Client speaks to one Slack channel. It is safe for concurrent use. Every error it returns is an *Error, or ctx's
// where that ended while a rate limit was waited out.
type Client struct {
	o    ClientOptions
	api  *slack.Client
	gate *gate
}

var channelID = regexp.MustCompile(`^[CGD][A-Z0-9]*$`)

// IsChannelID reports whether a channel is named by its id, as searching its history asks.
func IsChannelID(channel string) bool { return channelID.MatchString(channel) }

// NewClient checks the options and does not connect.
func NewClient(o ClientOptions) (*Client, error) {
	var errs []error
	if o.Token == "" {
		errs = append(errs, errors.New("token: want a bot token (it begins with xoxb-)"))
	}
	if o.Channel == "" || strings.ContainsAny(o.Channel, " \t\r\n,") {
		errs = append(errs, fmt.Errorf("channel %q: want a channel id such as C0123456789 (Slack: channel details, at the bottom)", o.Channel))
	}
	if o.APIURL == "" {
		o.APIURL = slack.APIURL
	}
	if !strings.HasSuffix(o.APIURL, "/") {
		o.APIURL += "/"
	}
	if u, err := url.Parse(o.APIURL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		errs = append(errs, fmt.Errorf("api url %q: want http:// or https:// and a host", o.APIURL))
	}
	if o.Timeout < 0 || o.PageSize < 0 || o.PageSize > 999 {
		errs = append(errs, errors.New("timeout and page size: want none below zero, and at most 999 messages a page"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("slack options: %w", err)
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	if o.PageSize == 0 {
		o.PageSize = 200
	}
	return &Client{
		o:    o,
		api:  slack.New(string(o.Token), slack.OptionAPIURL(o.APIURL), slack.OptionHTTPClient(doer{httpClient(o.HTTPClient)})),
		gate: newGate(),
	}, nil
}

// Channel is the id of the channel that new messages go to.
func (c *Client) Channel() string { return c.o.Channel }

// Sent is one of our messages as Slack's history shows it.
type Sent struct {
	Channel  string
	TS       string // Slack's identity of a message within its channel: Unix seconds with six decimals
	Incident string // as MetadataIncident wrote it
	N        int    // the transition it shows
}

// Methods of Slack's, as they appear in errors and rate limits.
const (
	opPost    = "chat.postMessage"
	opUpdate  = "chat.update"
	opDelete  = "chat.delete"
	opHistory = "conversations.history"
	opAuth    = "auth.test"
)

// call makes one request with its own time-out, after any rate limit of that method. ctx's deadline bounds both.
func (c *Client) call(ctx context.Context, op string, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	ctx, seen := watch(ctx)
	err := do(ctx)
	if err == nil {
		c.gate.passed(op)
		return nil
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = translate(op, seen, err)
	}
	if e.Class == RateLimited {
		c.gate.limited(op, e.RetryAfter, time.Now())
	}
	return e
}

// Ready waits until Slack's rate limit lets this method be called again. Callers call it before they claim a send, so
// that no claim runs out while it waits.
func (c *Client) Ready(ctx context.Context, op string) error { return c.gate.wait(ctx, op) }

func (c *Client) options(m Message) []slack.MsgOption {
	meta := m.Metadata
	if c.o.Source != "" {
		payload := map[string]any{"source": c.o.Source}
		maps.Copy(payload, meta.EventPayload)
		meta.EventPayload = payload
	}
	return []slack.MsgOption{
		slack.MsgOptionText(m.Text, false), // escaped by Render
		slack.MsgOptionBlocks(m.Blocks...),
		slack.MsgOptionMetadata(meta),
		slack.MsgOptionDisableLinkUnfurl(),
		slack.MsgOptionDisableMediaUnfurl(),
	}
}

// Post posts a new message to the client's channel and returns where it is.
func (c *Client) Post(ctx context.Context, m Message) (channel, ts string, err error) {
	err = c.call(ctx, opPost, func(ctx context.Context) (err error) {
		channel, ts, err = c.api.PostMessageContext(ctx, c.o.Channel, c.options(m)...)
		return noIdentity(opPost, ts, err)
	})
	return channel, ts, err
}

// Update replaces a message. It is idempotent.
func (c *Client) Update(ctx context.Context, channel, ts string, m Message) error {
	return c.call(ctx, opUpdate, func(ctx context.Context) error {
		_, got, _, err := c.api.UpdateMessageContext(ctx, channel, ts, c.options(m)...)
		return noIdentity(opUpdate, got, err)
	})
}

// Delete removes a message; one that is gone already counts as removed. It waits rate limits out.
func (c *Client) Delete(ctx context.Context, channel, ts string) error {
	if err := c.Ready(ctx, opDelete); err != nil {
		return err
	}
	err := c.call(ctx, opDelete, func(ctx context.Context) error {
		_, got, err := c.api.DeleteMessageContext(ctx, channel, ts)
		return noIdentity(opDelete, got, err)
	})
	switch {
	case err == nil || codeOf(err) == "message_not_found":
		return nil
	case ClassOf(err) == RateLimited:
		return c.Delete(ctx, channel, ts)
	}
	return err
}

// noIdentity catches an answer that is JSON, carries no error and no message either: slack-go takes it for success.
func noIdentity(op, ts string, err error) error {
	if err == nil && ts == "" {
		return &Error{Op: op, Class: Uncertain, Code: "an answer without a message"}
	}
	return err
}

// Find pages through the channel's history and returns our messages that are not older than oldest (Slack's clock),
// oldest first. With incident other than "" only that incident's. It waits rate limits out, so bound ctx.
func (c *Client) Find(ctx context.Context, channel, incident string, oldest time.Time) ([]Sent, error) {
	var found []Sent
	p := slack.GetConversationHistoryParameters{
		ChannelID: channel, IncludeAllMetadata: true, Inclusive: true, Limit: c.o.PageSize, Oldest: stamp(oldest),
	}
	for {
		if err := c.Ready(ctx, opHistory); err != nil {
			return nil, err
		}
		var page *slack.GetConversationHistoryResponse
		err := c.call(ctx, opHistory, func(ctx context.Context) (err error) {
			page, err = c.api.GetConversationHistoryContext(ctx, &p)
			if err == nil && !page.Ok {
				return &Error{Op: opHistory, Class: Uncertain, Code: "an answer without a history"}
			}
			return err
		})
		if ClassOf(err) == RateLimited && err != nil {
			continue // the same page again, when Slack allows
		}
		if err != nil {
			return nil, err
		}
		for i := range page.Messages {
			if s, ok := c.ours(channel, &page.Messages[i]); ok && (incident == "" || s.Incident == MetadataIncident(incident)) {
				found = append(found, s)
			}
		}
		if p.Cursor = page.ResponseMetaData.NextCursor; p.Cursor == "" {
			break
		}
	}
	sortSent(found)
	return found, nil
}

func (c *Client) ours(channel string, m *slack.Message) (Sent, bool) {
	if m.Metadata.EventType != EventType {
		return Sent{}, false
	}
	payload := m.Metadata.EventPayload
	source, _ := payload["source"].(string)
	incident, _ := payload["incident"].(string)
	n, ok := payload["n"].(float64) // JSON's only number
	if source != c.o.Source || incident == "" || !ok {
		return Sent{}, false
	}
	return Sent{Channel: channel, TS: m.Timestamp, Incident: incident, N: int(n)}, true
}

// Check asks Slack whether the token is good and the channel's history can be read, for doctor. It cannot tell whether
// the bot may post without posting; a bot that may read but is no member is told so by the first post.
func (c *Client) Check(ctx context.Context) error {
	auth := c.call(ctx, opAuth, func(ctx context.Context) error {
		answer, err := c.api.AuthTestContext(ctx)
		if err == nil && answer.UserID == "" {
			return &Error{Op: opAuth, Class: Uncertain, Code: "an answer without an identity"}
		}
		return err
	})
	if auth != nil {
		return auth
	}
	return c.call(ctx, opHistory, func(ctx context.Context) error {
		page, err := c.api.GetConversationHistoryContext(ctx, &slack.GetConversationHistoryParameters{ChannelID: c.o.Channel, Limit: 1})
		if err == nil && !page.Ok {
			return &Error{Op: opHistory, Class: Uncertain, Code: "an answer without a history"}
		}
		return err
	})
}
