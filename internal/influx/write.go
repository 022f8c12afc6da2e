package influx

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync"
)

// Write stores line protocol, one point a line, separated by \n, times in nanoseconds. A nil error means that the
// server has every line. It is one request: batches of 2,000 to 5,000 lines suit the server, a few at a time. Points
// are overwritten by points of the same measurement, tags and time, so a batch may be written again.
//
// lines is not kept: it may be used for the next batch once Write has returned, also when ctx ended it.
func (c *Client) Write(ctx context.Context, bucket string, lines []byte) error {
	if len(lines) == 0 {
		return nil
	}
	op := "write " + bucket
	if bucket == "" {
		return &Error{Class: BucketMissing, Op: "write", Message: "no bucket was named"}
	}
	ctx, cancel := c.bound(ctx)
	defer cancel()
	query := url.Values{"bucket": {bucket}, "precision": {"ns"}}
	if c.opts.Org != "" {
		query.Set("org", c.opts.Org)
	}
	b := newBody(lines)
	defer b.detach()
	resp, err := c.request(ctx, http.MethodPost, "/api/v2/write", query, "text/plain; charset=utf-8", b)
	if err != nil {
		return transportError(op, err)
	}
	defer discard(resp)
	switch resp.StatusCode {
	case http.StatusNoContent:
		return nil
	case http.StatusOK:
		return &Error{Class: Unexpected, Op: op, Status: resp.StatusCode, Message: "a write is answered with 204", Hint: hintOther}
	}
	return answerError(op, resp)
}

var errDetached = errors.New("the write has returned")

// body lends bytes to one request. The transport may go on reading a request's body after the request has returned
// (net/http says so of RoundTrip), so the loan is called back with detach.
type body struct {
	mu    sync.Mutex // guards bytes, against a Read that is still going on
	bytes []byte     // nil once detached
	size  int64
}

func newBody(b []byte) *body { return &body{bytes: b, size: int64(len(b))} }

func (b *body) attach(req *http.Request) {
	req.Body = &bodyReader{of: b}
	req.ContentLength = b.size
	// The transport asks again when an idle connection turns out to have been closed before anything was sent.
	req.GetBody = func() (io.ReadCloser, error) { return &bodyReader{of: b}, nil }
}

// detach ends the loan: when it returns nobody reads the bytes, and nobody will.
func (b *body) detach() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes = nil
}

type bodyReader struct {
	of  *body
	off int
}

func (r *bodyReader) Read(p []byte) (int, error) {
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	if r.of.bytes == nil {
		return 0, errDetached
	}
	if r.off >= len(r.of.bytes) {
		return 0, io.EOF
	}
	n := copy(p, r.of.bytes[r.off:])
	r.off += n
	return n, nil
}

func (r *bodyReader) Close() error { return nil }
