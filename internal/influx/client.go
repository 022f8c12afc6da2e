package influx

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	influxdb2 "github.com/influxdata/influxdb-client-go/v2"
)

// DefaultTimeout bounds one request when Options.Timeout is zero.
const DefaultTimeout = 15 * time.Second

// maxAnswer bounds what is read of an answer that is not rows.
const maxAnswer = 4 << 20

// Options say which server to talk to.
type Options struct {
	// URL is the server's address, such as http://127.0.0.1:8086; a path is kept, for a server behind a proxy. Required.
	URL string
	// Token is an API token on 2.x, and user:password on 1.8. Empty: no credentials are sent.
	Token Token
	// Org is the organization on 2.x. 1.8 has none and ignores it.
	Org string
	// Timeout bounds one request from its start to the last byte of its answer. Zero: DefaultTimeout. Negative: only
	// the context bounds it.
	Timeout time.Duration
	// ChunkRows is the largest number of rows the server puts in one piece of a query's answer. Zero: 10,000.
	ChunkRows int
	// Transport makes the requests. Nil: a transport of the client's own, which Close empties of idle connections.
	Transport http.RoundTripper
}

// Client talks to one InfluxDB server, 1.8 or 2.x. It is safe for concurrent use.
type Client struct {
	opts  Options
	base  *url.URL
	http  *http.Client
	own   bool // the transport was made here
	api   influxdb2.Client
	major atomic.Int32 // 1 or 2 once the server has said so; 0 before
	orgID atomic.Pointer[string]
}

// New checks the options and returns a client. It never dials.
func New(o Options) (*Client, error) {
	var errs []error
	base, err := url.Parse(o.URL)
	switch {
	case o.URL == "":
		errs = append(errs, errors.New("url is required, such as http://127.0.0.1:8086"))
	case err != nil:
		errs = append(errs, fmt.Errorf("url: %w", err))
	case base.Scheme != "http" && base.Scheme != "https" || base.Host == "":
		errs = append(errs, fmt.Errorf("url %q: want http://host:port or https://host:port", o.URL))
	case base.User != nil:
		errs = append(errs, errors.New("url: credentials belong in the token (user:password on 1.8), where they are masked"))
	}
	if strings.ContainsAny(o.Token.Reveal(), "\r\n\x00") {
		errs = append(errs, errors.New("token: contains a line break"))
	}
	if o.ChunkRows < 0 {
		errs = append(errs, fmt.Errorf("chunk rows: %d is negative", o.ChunkRows))
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("influx options: %w", errors.Join(errs...))
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.ChunkRows == 0 {
		o.ChunkRows = 10_000
	}
	own := o.Transport == nil
	if own {
		o.Transport = &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
			MaxIdleConnsPerHost: 8,
			IdleConnTimeout:     90 * time.Second,
			TLSHandshakeTimeout: 5 * time.Second,
		}
	}
	base.Path = strings.TrimSuffix(base.Path, "/")
	base.RawQuery, base.Fragment = "", ""
	c := &Client{opts: o, base: base, own: own}
	// A redirected POST would turn into a GET, and the lines would be lost behind a 200.
	c.http = &http.Client{
		Transport:     o.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	c.api = influxdb2.NewClientWithOptions(base.String(), o.Token.Reveal(),
		influxdb2.DefaultOptions().SetHTTPClient(c.http).SetApplicationName("tillwatch"))
	return c, nil
}

// Close drops idle connections. The client must not be used afterwards.
func (c *Client) Close() {
	if c.own {
		c.http.CloseIdleConnections()
	}
}

// String names the server and never its token.
func (c *Client) String() string { return "influx " + c.base.Redacted() }

// URL is the server's address as given.
func (c *Client) URL() string { return c.base.String() }

// Version is what a server says it is.
type Version struct {
	Major int    // 1 or 2
	Full  string // "1.8.10", "v2.9.1"; a server built by hand may say "dev" or nothing
}

func (v Version) String() string {
	if v.Full == "" {
		return strconv.Itoa(v.Major) + ".x"
	}
	return v.Full
}

// Version asks the server what it is. It needs no credentials.
func (c *Client) Version(ctx context.Context) (Version, error) {
	const op = "version"
	_, header, err := c.call(ctx, op, http.MethodGet, "/ping", nil, nil, nil)
	if err != nil {
		return Version{}, err
	}
	v := Version{Full: header.Get("X-Influxdb-Version")}
	major, _, _ := strings.Cut(strings.TrimPrefix(v.Full, "v"), ".")
	if n, err := strconv.Atoi(major); err == nil && n > 0 {
		v.Major = n
	} else {
		// The header is missing or free text. Only 2.x has this page.
		v.Major = 2
		if _, _, err := c.call(ctx, op, http.MethodGet, "/api/v2/setup", nil, nil, nil); err != nil {
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Status != http.StatusNotFound {
				return Version{}, err
			}
			v.Major = 1
		}
	}
	if v.Major > 2 {
		return Version{}, &Error{Class: Unsupported, Op: op, Message: fmt.Sprintf("InfluxDB %s", v.Full), Hint: "use InfluxDB 1.8 or 2.x"}
	}
	c.major.Store(int32(v.Major))
	return v, nil
}

// majorVersion is Version's Major, asked once.
func (c *Client) majorVersion(ctx context.Context) (int, error) {
	if m := c.major.Load(); m != 0 {
		return int(m), nil
	}
	v, err := c.Version(ctx)
	return v.Major, err
}

// Ready returns nil when the server says that it takes queries and writes. It checks no credentials.
func (c *Client) Ready(ctx context.Context) error {
	var health struct{ Status, Message string }
	if _, _, err := c.call(ctx, "ready", http.MethodGet, "/health", nil, nil, &health); err != nil {
		return err
	}
	if health.Status != "pass" {
		return &Error{Class: Transient, Op: "ready", Message: fmt.Sprintf("the server's health is %q: %s", health.Status, health.Message)}
	}
	return nil
}

// request makes a request with the client's credentials. The caller closes the answer's body.
func (c *Client) request(ctx context.Context, method, path string, query url.Values, contentType string, body *body) (*http.Response, error) {
	u := *c.base
	u.Path += path
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	if body != nil {
		body.attach(req)
	}
	req.Header.Set("Accept", "application/json")
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	return c.api.HTTPService().DoHTTPRequestWithResponse(req, nil)
}

// call makes one request whose answer is small: in goes out as JSON, out is read as JSON; either may be nil.
func (c *Client) call(ctx context.Context, op, method, path string, query url.Values, in, out any) (int, http.Header, error) {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	var send *body
	contentType := ""
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return 0, nil, fmt.Errorf("%s: %w", op, err)
		}
		send, contentType = newBody(b), "application/json"
	}
	resp, err := c.request(ctx, method, path, query, contentType, send)
	if err != nil {
		return 0, nil, transportError(op, err)
	}
	defer discard(resp)
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return resp.StatusCode, resp.Header, answerError(op, resp)
	}
	if out != nil {
		if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
			return resp.StatusCode, resp.Header, decodeError(op, err)
		}
	}
	return resp.StatusCode, resp.Header, nil
}

func (c *Client) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.opts.Timeout < 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, c.opts.Timeout)
}

// discard empties and closes the answer so that its connection can be used again.
func discard(resp *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	_ = resp.Body.Close()
}

// decodeError tells an answer that broke off (the server died) from one that is not what InfluxDB says.
func decodeError(op string, err error) error {
	var syntax *json.SyntaxError
	var typed *json.UnmarshalTypeError
	if (errors.As(err, &syntax) && !errors.Is(err, io.ErrUnexpectedEOF)) || errors.As(err, &typed) {
		return &Error{Class: Unexpected, Op: op, Message: "the answer is not InfluxDB's", Hint: "check that the URL is InfluxDB's own", Err: err}
	}
	return &Error{Class: Transient, Op: op, Message: "the answer broke off", Err: err}
}
