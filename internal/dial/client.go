package dial

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rivetgo/rivet/internal/callchain"
	"github.com/rivetgo/rivet/internal/wire/clientproto"
)

const (
	// maxMessage bounds what is read of one answer and one WebSocket message; it is the gateway's own bound.
	maxMessage = 32 << 20
	// lookupTimeout bounds the one question that comes before the first request.
	lookupTimeout = 3 * time.Second
)

// Transport says how bytes travel. The zero value is the network.
type Transport struct {
	// HTTP sends every request and opens every WebSocket. Its RoundTripper must support upgrades, as http.Transport
	// does. Nil: one of our own, closed with the client.
	HTTP *http.Client
	// Dial replaces the network under our own HTTP client, for example by an in-memory listener; proxies are not used
	// then. Not allowed together with HTTP.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Config is what a Client is made of. The zero value works.
type Config struct {
	// Endpoint is scheme://[namespace[:token]@]host[:port][/base]; "" means RIVET_ENGINE, RIVET_ENDPOINT, then
	// DefaultEndpoint.
	Endpoint  string
	Namespace string // "": RIVET_NAMESPACE, then DefaultNamespace
	Token     string // "": RIVET_TOKEN, then none
	Pool      string // "": RIVET_POOL, then DefaultPool
	// Getenv reads the environment; nil: there is none.
	Getenv func(string) string

	// Encoding of calls and connections.
	Encoding clientproto.Encoding
	// Headers are added to every request and upgrade, replacing our own.
	Headers   http.Header
	Transport Transport
	// NoRedirect skips the question whether the endpoint wants its clients to go elsewhere (see Client.server).
	NoRedirect bool

	// EventBuffer and EventBufferBytes bound what one subscription holds for its reader. 0: 1,024 events, 16 MiB.
	EventBuffer      int
	EventBufferBytes int

	// Log gets what nobody is told otherwise. Nil: slog.Default().
	Log *slog.Logger
}

// Server is where a client was told to go: what its configuration and the environment say, before any redirect.
type Server struct{ Endpoint, Namespace, Token, Pool string }

// Server tells where the client was told to go.
func (c *Client) Server() Server {
	return Server{c.configured.base, c.configured.namespace, c.configured.token, c.pool}
}

// Client talks to one server. Safe for concurrent use; Close it.
type Client struct {
	configured *endpoint
	pool       string
	encoding   clientproto.Encoding
	headers    http.Header
	http       *http.Client
	ownHTTP    bool
	log        *slog.Logger

	eventBuffer, eventBufferBytes int

	settled atomic.Pointer[endpoint] // the server to use, once that is known
	lookup  chan struct{}            // one slot: held while asking

	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	mu     sync.Mutex // guards what follows
	closed bool
	calls  int           // in flight
	idle   chan struct{} // closed when the client is closed and calls is 0
	conns  map[*Conn]struct{}
}

// New checks the configuration and returns a client. There is no traffic yet.
func New(cfg Config) (*Client, error) {
	server, pool, err := configured(&cfg)
	if err != nil {
		return nil, err
	}
	if cfg.Transport.HTTP != nil && cfg.Transport.Dial != nil {
		return nil, errors.New("an HTTP client and a dial function are given: the first would not use the second")
	}
	if cfg.EventBuffer < 0 || cfg.EventBufferBytes < 0 {
		return nil, errors.New("the bound of an event buffer is negative")
	}
	c := &Client{
		configured: &server, pool: pool, encoding: cfg.Encoding, headers: http.Header{},
		http: cfg.Transport.HTTP, log: cfg.Log,
		eventBuffer: cfg.EventBuffer, eventBufferBytes: cfg.EventBufferBytes,
		lookup: make(chan struct{}, 1), idle: make(chan struct{}), conns: map[*Conn]struct{}{},
	}
	for name, values := range cfg.Headers {
		c.headers[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	if c.eventBuffer == 0 {
		c.eventBuffer = 1024
	}
	if c.eventBufferBytes == 0 {
		c.eventBufferBytes = 16 << 20
	}
	if c.log == nil {
		c.log = slog.Default()
	}
	if c.http == nil {
		c.http, c.ownHTTP = newHTTPClient(cfg.Transport.Dial), true
	}
	if cfg.NoRedirect {
		c.settled.Store(c.configured)
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

func newHTTPClient(dial func(context.Context, string, string) (net.Conn, error)) *http.Client {
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          1024,
		MaxIdleConnsPerHost:   256,
		IdleConnTimeout:       50 * time.Second,
		ExpectContinueTimeout: time.Second,
		DisableCompression:    true,
	}
	if dial != nil {
		t.Proxy, t.DialContext = nil, dial
	}
	return &http.Client{
		Transport: t,
		// A redirected POST would come out as a GET; and no gateway redirects.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Close ends every connection and every call in flight and returns when all of them are over. Idempotent.
func (c *Client) Close() error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		if c.calls == 0 {
			close(c.idle)
		}
	}
	conns := make([]*Conn, 0, len(c.conns))
	for conn := range c.conns {
		conns = append(conns, conn)
	}
	c.mu.Unlock()

	c.cancel()
	var all sync.WaitGroup
	for _, conn := range conns {
		all.Go(func() { conn.Close() })
	}
	all.Wait()
	<-c.idle
	if c.ownHTTP {
		c.http.CloseIdleConnections()
	}
	return nil
}

// begin registers a call; its context also ends with the client. Call end when the call is over.
func (c *Client) begin(ctx context.Context) (_ context.Context, end func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, errClientClosed
	}
	c.calls++
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.ctx, func() { cancel(errClientClosed) })
	return ctx, func() {
		stop()
		cancel(nil)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.calls--
		if c.closed && c.calls == 0 {
			close(c.idle)
		}
	}, nil
}

// ended replaces the cancellation that Close caused by what it means.
func ended(ctx context.Context, err error) error {
	if err != nil && context.Cause(ctx) == error(errClientClosed) {
		return errClientClosed
	}
	return err
}

// server returns the server to talk to. An application's endpoint may answer GET /metadata with a clientEndpoint to use
// in its place. That is asked once, before the first request, and waited for shortly; no answer means "no redirect".
func (c *Client) server(ctx context.Context) (*endpoint, error) {
	if e := c.settled.Load(); e != nil {
		return e, nil
	}
	select {
	case c.lookup <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-c.lookup }()
	if e := c.settled.Load(); e != nil {
		return e, nil
	}
	asking, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	e, err := c.askRedirect(asking)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil && asking.Err() == nil:
		// The server cannot be reached. It may be about to start: ask again next time.
		return c.configured, nil
	case err != nil:
		e = c.configured
	}
	c.settled.Store(e)
	return e, nil
}

// current is the server to talk to as far as that is known without asking.
func (c *Client) current() *endpoint {
	if e := c.settled.Load(); e != nil {
		return e
	}
	return c.configured
}

func (c *Client) askRedirect(ctx context.Context) (*endpoint, error) {
	from := c.configured
	req, err := c.request(ctx, http.MethodGet, from.base+"/metadata?namespace="+escape(from.namespace), nil)
	if err != nil {
		return nil, err
	}
	c.finish(req)
	a, err := c.send(req)
	if err != nil {
		return nil, err
	}
	var m struct{ ClientEndpoint, ClientNamespace, ClientToken string }
	if a.status != http.StatusOK || json.Unmarshal(a.body, &m) != nil || m.ClientEndpoint == "" {
		return from, nil
	}
	to, err := parseEndpoint(m.ClientEndpoint)
	if err != nil {
		c.log.Warn("rivet: the server names an endpoint for clients that cannot be used", "error", err)
		return from, nil
	}
	to.namespace = first(m.ClientNamespace, to.namespace, from.namespace)
	to.token = first(m.ClientToken, to.token, from.token)
	return &to, nil
}

var userAgent = sync.OnceValue(func() string {
	const module = "github.com/rivetgo/rivet"
	version := "devel"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range append(info.Deps, &info.Main) {
			if m.Path == module && strings.HasPrefix(m.Version, "v") {
				version = m.Version[1:]
			}
		}
	}
	return "rivet-go/" + version
})

// request starts a request with the headers that all have; call finish when its own headers are set.
func (c *Client) request(ctx context.Context, method, url string, body []byte) (*http.Request, error) {
	var r io.Reader
	if body != nil {
		r = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, r)
	if err != nil {
		return nil, failure(CodeInvalidTarget, "the request has no valid URL", nil)
	}
	req.Header = c.headersFor(ctx)
	return req, nil
}

// headersFor are the headers of a request or an upgrade made for ctx.
func (c *Client) headersFor(ctx context.Context) http.Header {
	h := make(http.Header, 6+len(c.headers))
	h["User-Agent"] = []string{userAgent()}
	if chain := callchain.From(ctx); len(chain) > 0 {
		h.Set(callchain.Header, callchain.Format(chain))
	}
	return h
}

// finish adds the configured headers, which win.
func (c *Client) finish(req *http.Request) { c.addHeaders(req.Header) }

func (c *Client) addHeaders(h http.Header) {
	maps.Copy(h, c.headers)
}

// answer is an HTTP answer, read to its end.
type answer struct {
	status      int
	statusText  string
	contentType string
	ray         string
	location    string
	body        []byte
}

func (c *Client) send(req *http.Request) (*answer, error) {
	if err := callchain.BeforeSend(req.Context()); err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, transportError(req.Context(), CodeRequestFailed, "the request failed", err)
	}
	defer res.Body.Close()
	a := &answer{
		status: res.StatusCode, statusText: res.Status, contentType: res.Header.Get("Content-Type"),
		ray: res.Header.Get("X-Rivet-Ray-Id"), location: res.Header.Get("Location"),
	}
	if a.body, err = readBody(res); err != nil {
		if errors.Is(err, errTooLarge) {
			return nil, failure(CodeInvalidResponse, err.Error(), nil)
		}
		return nil, transportError(req.Context(), CodeRequestFailed, "the answer broke off", err)
	}
	return a, nil
}

var errTooLarge = errors.New("the answer is larger than 32 MiB")

func readBody(res *http.Response) ([]byte, error) {
	if res.ContentLength > maxMessage {
		return nil, errTooLarge
	}
	if n := res.ContentLength; n >= 0 && n <= 1<<20 {
		b := make([]byte, n)
		_, err := io.ReadFull(res.Body, b)
		return b, err
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, maxMessage+1))
	if len(b) > maxMessage {
		return nil, errTooLarge
	}
	return b, err
}
