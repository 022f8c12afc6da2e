package slack

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tillwatch/tillwatch/alerter"
	"github.com/tillwatch/tillwatch/internal/fleet"
)

// WebhookOptions configures a Webhook. URL is required.
type WebhookOptions struct {
	URL        Secret                          // of an incoming webhook; whoever knows it can post
	Ledger     Ledger                          // remembers across restarts what was posted; nil: only within this process
	Render     func(*fleet.Transition) Message // nil: Render with the zero RenderOptions
	Logger     *slog.Logger                    // nil: slog.Default()
	HTTPClient *http.Client                    // nil: one of its own; redirects are never followed
	Timeout    time.Duration                   // of one request; 0: 5 s
	RetryMin   time.Duration                   // first wait after a failure; it doubles; 0: 1 s
	RetryMax   time.Duration                   // longest wait; 0: 30 s
}

// Webhook posts openings, resolutions and absorptions to an incoming webhook, at least once. A webhook can neither
// update nor read a channel: updates are not sent, each transition is a message of its own, and one whose answer was
// lost, or whose process died before it was recorded, is posted again. With a bot token there is Courier, which does
// better in all of that.
type Webhook struct {
	o     WebhookOptions
	gate  *gate
	queue *queue
	stats counters
}

var _ alerter.Notifier = (*Webhook)(nil)

// NewWebhook checks the options and does not connect.
func NewWebhook(o WebhookOptions) (*Webhook, error) {
	var errs []error
	u, err := url.Parse(string(o.URL))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		errs = append(errs, errors.New("url: want http:// or https:// and a host")) // without the text: it is a secret
	}
	if o.Timeout < 0 || o.RetryMin < 0 || o.RetryMax < 0 {
		errs = append(errs, errors.New("timeout, retry_min, retry_max: want no negative duration"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("webhook options: %w", err)
	}
	o.Timeout = cmp.Or(o.Timeout, 5*time.Second)
	o.RetryMin = cmp.Or(o.RetryMin, time.Second)
	o.RetryMax = cmp.Or(o.RetryMax, 30*time.Second)
	o.HTTPClient = httpClient(o.HTTPClient)
	if o.Ledger == nil {
		o.Ledger = &memory{}
	}
	if o.Render == nil {
		o.Render = func(t *fleet.Transition) Message { return Render(t, RenderOptions{}) }
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	h := &Webhook{o: o, gate: newGate()}
	h.queue = newQueue(h.work)
	return h, nil
}

// Notify hands t to Run and returns at once.
func (h *Webhook) Notify(_ context.Context, t fleet.Transition) error { return h.queue.notify(t) }

// Run posts what Notify was given until ctx ends, and returns nil then.
func (h *Webhook) Run(ctx context.Context) error {
	if err := h.queue.run(ctx); err != nil {
		return fmt.Errorf("run webhook: %w", err)
	}
	return nil
}

// Deliver blocks until t or a newer transition was posted, or was not worth a message, or ctx ends.
func (h *Webhook) Deliver(ctx context.Context, t fleet.Transition) error {
	return h.queue.deliver(ctx, t)
}

// Stats returns the counts as they stand; what a webhook cannot do stays 0.
func (h *Webhook) Stats() Stats {
	s := h.stats.snapshot()
	s.Waiting, s.Oldest = h.queue.waiting(time.Now())
	return s
}

func (h *Webhook) work(ctx context.Context, e *errand) (int, error) {
	id := MetadataIncident(h.queue.newest(e).Incident)
	told := ""
	for wait := h.o.RetryMin; ; wait = min(2*wait, h.o.RetryMax) {
		n, err := h.once(ctx, id, e)
		if err == nil {
			return n, nil
		}
		if ctx.Err() != nil {
			return 0, fmt.Errorf("deliver incident %q: %w", id, ctx.Err())
		}
		if text := err.Error(); text != told {
			told = text
			h.o.Logger.Warn("webhook message not delivered", "incident", id, "error", err)
		}
		if ClassOf(err) == RateLimited {
			continue // the gate waits
		}
		if err := sleep(ctx, wait); err != nil {
			return 0, fmt.Errorf("deliver incident %q: %w", id, err)
		}
	}
}

// once posts the newest transition if it is due, and records it.
func (h *Webhook) once(ctx context.Context, id string, e *errand) (int, error) {
	if err := h.gate.wait(ctx, opWebhook); err != nil {
		return 0, err
	}
	t := h.queue.newest(e)
	entry, rev, err := h.o.Ledger.Load(ctx, id)
	if err != nil {
		return 0, fmt.Errorf("load ledger: %w", err)
	}
	// An update says nothing that is worth a message of its own, unless the opening was never told.
	if rev != 0 && (entry.N >= t.N || t.Step == fleet.StepUpdated) {
		h.stats.superseded.Add(1)
		return t.N, nil
	}
	if err := h.send(ctx, h.o.Render(&t)); err != nil {
		h.stats.failed(err)
		if e, ok := errors.AsType[*Error](err); ok && e.Class == RateLimited {
			h.gate.limited(opWebhook, e.RetryAfter, time.Now())
		}
		return 0, err
	}
	h.gate.passed(opWebhook)
	h.stats.posted.Add(1)
	for {
		_, err := h.o.Ledger.Save(ctx, Entry{Incident: id, N: t.N, State: Posted}, rev)
		if err == nil || errors.Is(err, ErrConflict) {
			return t.N, nil // a conflict: another process posted too, which at least once allows
		}
		h.o.Logger.Warn("webhook ledger not written", "incident", id, "error", err)
		if err := sleep(ctx, h.o.RetryMin); err != nil {
			return 0, err
		}
	}
}

const opWebhook = "webhook"

// send posts one message.
func (h *Webhook) send(ctx context.Context, m Message) error {
	body, err := json.Marshal(struct {
		Text        string `json:"text"`
		Blocks      any    `json:"blocks,omitempty"`
		UnfurlLinks bool   `json:"unfurl_links"`
		UnfurlMedia bool   `json:"unfurl_media"`
	}{Text: m.Text, Blocks: m.Blocks})
	if err != nil {
		return fmt.Errorf("encode webhook message: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, h.o.Timeout)
	defer cancel()
	ctx, seen := watch(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, string(h.o.URL), bytes.NewReader(body))
	if err != nil {
		return &Error{Op: opWebhook, Class: Refused, Err: errors.New("the address is not valid")}
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := doer{h.o.HTTPClient}.Do(req)
	if err != nil {
		return translate(opWebhook, seen, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 256))
	word := strings.TrimSpace(string(text))
	switch {
	case resp.StatusCode == http.StatusOK && err == nil && word == "ok":
		return nil
	case resp.StatusCode == http.StatusOK:
		return &Error{Op: opWebhook, Class: Uncertain, Code: "an answer that is not ok", Err: bare(err)}
	case resp.StatusCode == http.StatusTooManyRequests:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After")) // unsaid or unreadable: 0
		return &Error{Op: opWebhook, Class: RateLimited, RetryAfter: max(0, time.Duration(seconds)*time.Second)}
	case resp.StatusCode < 500 && hints[word] != "":
		return said(opWebhook, word)
	}
	return answered(opWebhook, resp.StatusCode)
}
