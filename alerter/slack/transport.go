package slack

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
)

// exchange is what the transport saw of one request: enough to tell "never left" from "may have arrived".
type exchange struct {
	connected atomic.Bool // a connection was there, so bytes may have left
	status    atomic.Int32
}

type exchangeKey struct{}

// watch returns a context whose request reports to the returned exchange.
func watch(ctx context.Context) (context.Context, *exchange) {
	x := new(exchange)
	ctx = context.WithValue(ctx, exchangeKey{}, x)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { x.connected.Store(true) },
	}), x
}

// doer is the HTTP client given to slack-go. It notes the status, which slack-go hides where it fails to read the body.
type doer struct{ http *http.Client }

func (d doer) Do(req *http.Request) (*http.Response, error) {
	resp, err := d.http.Do(req)
	if x, ok := req.Context().Value(exchangeKey{}).(*exchange); ok && err == nil {
		x.connected.Store(true)
		x.status.Store(int32(resp.StatusCode))
	}
	return resp, err
}

// httpClient copies a client and forbids redirects: one would carry the token to another host.
func httpClient(given *http.Client) *http.Client {
	c := http.Client{}
	if given != nil {
		c = *given
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

// bare removes the address that net/http puts around its errors: a webhook's address is its secret.
func bare(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
