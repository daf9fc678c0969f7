package gateway

import (
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strconv"

	"github.com/rivetgo/rivet/internal/link"
	"github.com/rivetgo/rivet/internal/refusal"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/ws"
)

// call is one request on its way. What would otherwise be allocated piece by piece lies in here.
type call struct {
	g      *Gateway
	w      http.ResponseWriter
	client *http.Request // as the client sent it

	upgrade   bool // it asks for a WebSocket
	cors      bool // answers are for an actor's route
	ray       [1]string
	route     route
	protocols []string // only when they routed

	req      http.Request // as the actor sees it
	url      url.URL
	body     limitedBody
	out      response
	upgraded bool // the client's socket was handed over
	moved    bool // the request has had an effect, and its actor did not live to answer
}

// setRay takes the client's ray id over, whatever it is, or makes one.
func (c *call) setRay() {
	if v := c.client.Header[headerRay]; len(v) > 0 && v[len(v)-1] != "" {
		c.ray[0] = v[len(v)-1]
		return
	}
	c.ray[0] = id.New(c.g.cfg.Label).String()
}

// prepare makes the request that the actor sees.
func (c *call) prepare() error {
	if c.client.ContentLength > c.g.cfg.MaxBodyBytes {
		return refusal.BodyTooLarge()
	}
	c.req = *c.client
	c.url = *c.client.URL
	c.req.URL = &c.url
	setPath(&c.url, c.route.path)
	c.url.RawQuery = c.route.rawQuery
	c.url.ForceQuery = c.route.hasQuery && c.route.rawQuery == ""
	c.req.RequestURI = c.route.path
	if c.route.hasQuery {
		c.req.RequestURI += "?" + c.route.rawQuery
	}
	ray := c.ray[:]
	if c.upgrade {
		ray = []string{c.ray[0]} // the socket's connection keeps the header, and must not keep this call with it
	}
	c.client.Header[headerRay] = ray
	if c.client.ContentLength < 0 && c.client.Body != nil {
		c.body = limitedBody{ReadCloser: c.client.Body, left: c.g.cfg.MaxBodyBytes}
		c.req.Body = &c.body
	}
	return nil
}

// setPath sets a path and keeps its spelling.
func setPath(u *url.URL, raw string) {
	u.Path, u.RawPath = raw, ""
	for i := range len(raw) {
		if c := raw[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '/' || c > '9') && c != '-' && c != '_' && c != '.' && c != '~' {
			// Something that could be spelled in two ways.
			if decoded, err := url.PathUnescape(raw); err == nil {
				u.Path, u.RawPath = decoded, raw
			}
			return
		}
	}
}

func (c *call) enterHTTP(a link.Actor) error {
	err := a.HTTP(&c.out, &c.req)
	if errors.Is(err, link.ErrMoved) {
		c.moved = true
	}
	return err
}

func (c *call) enterWebSocket(a link.Actor) error {
	return a.WebSocket(&c.req, func(bool) (ws.Socket, error) {
		if c.upgraded {
			return nil, errors.New("gateway: the socket was handed over before")
		}
		return c.takeSocket()
	})
}

// finish ends a call that reached an actor, or could not.
func (c *call) finish(err error) error {
	switch {
	case c.upgrade:
		if err != nil && c.upgraded {
			c.g.cfg.Logger.Warn("websocket failed after its upgrade", "ray", c.ray[0], "error", err)
			return nil
		}
		return err
	case err == nil:
		c.out.begin() // an actor that wrote nothing has answered 200 all the same
		return nil
	case c.out.begun:
		c.g.cfg.Logger.Warn("request failed after its answer began", "ray", c.ray[0], "error", err)
		panic(http.ErrAbortHandler) // the client must not take what it got for the whole answer
	case c.moved:
		return refusal.Moved(err)
	case c.body.exceeded:
		return refusal.BodyTooLarge()
	}
	return err
}

// refuse answers with an error of the gateway, or with one that an actor gave instead of starting.
func (c *call) refuse(err error) {
	if ctxErr := c.client.Context().Err(); ctxErr != nil && errors.Is(err, ctxErr) {
		return // nobody is left to be told
	}
	e := refusal.Of(err)
	if e.Cause != nil {
		level := slog.LevelDebug // whoever could not serve has said why; an overload must not fill the log
		if e.Group == "core" {
			level = slog.LevelError
		}
		c.g.cfg.Logger.Log(c.client.Context(), level, "request failed", "ray", c.ray[0], "code", e.Group+"."+e.Code, "error", e.Cause)
	}
	if c.upgrade {
		c.refuseWebSocket(e)
		return
	}
	status := e.StatusOnGateway()
	h := c.w.Header()
	h[headerRay] = c.ray[:]
	switch {
	case e.Actor != nil:
		status = e.StatusOnActor()
		h[headerActor] = []string{e.Actor.ID}
		h["X-Rivet-Actor-Generation"] = []string{strconv.FormatUint(e.Actor.Generation, 10)}
		if e.Actor.HasKey {
			h["X-Rivet-Actor-Key"] = []string{e.Actor.Key}
		}
	default:
		h[headerError] = []string{e.Group + "." + e.Code}
	}
	if c.cors && !isBodyTooLarge(e) {
		allowOrigin(h, c.client.Header["Origin"])
	}
	refusal.Write(c.w, e, status)
}

func isBodyTooLarge(e *fault.Error) bool {
	return e.Group == "guard" && e.Code == "invalid_request_body"
}

// takeSocket completes the handshake and takes the client's connection over.
func (c *call) takeSocket() (*ws.Conn, error) {
	opts := c.g.cfg.WebSocket
	opts.Header = http.Header{headerRay: c.ray[:]}
	allowOrigin(opts.Header, c.client.Header["Origin"])
	opts.TooLargeCode, opts.TooLargeReason = ws.CodeInternal, "core.internal_error#"+c.ray[0]
	conn, err := ws.Upgrade(c.w, c.client, opts)
	if err != nil {
		return nil, err
	}
	c.upgraded = true
	return conn, nil
}

// refuseWebSocket tells a WebSocket client by upgrading and closing: browsers show nothing of an HTTP error.
func (c *call) refuseWebSocket(e *fault.Error) {
	conn, err := c.takeSocket()
	if err != nil {
		if handshake, ok := errors.AsType[*ws.HandshakeError](err); ok {
			h := c.w.Header()
			h[headerRay] = c.ray[:]
			maps.Copy(h, handshake.Header)
			refusal.Write(c.w, refusal.BadRequest(handshake.Detail), handshake.Status)
		}
		return
	}
	conn.Close(ws.CodeInternal, e.Group+"."+e.Code+"#"+c.ray[0])
	for { // until the client has answered, or the connection's own deadline
		if _, _, err := conn.ReadMessage(); err != nil {
			return
		}
	}
}

// limitedBody is a request body that fails when it turns out to be too long.
type limitedBody struct {
	io.ReadCloser
	left     int64
	exceeded bool
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if b.exceeded {
		return 0, refusal.BodyTooLarge()
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1] // one more than allowed, to notice
	}
	n, err := b.ReadCloser.Read(p)
	if int64(n) > b.left {
		n, b.exceeded = int(b.left), true
		err = refusal.BodyTooLarge()
	}
	b.left -= int64(n)
	return n, err
}

// response is the actor's view of the client's response. It puts the gateway's headers in at the last moment, so that they
// replace what the actor set, and turns whatever the actor answers to a body that was too long into 413.
type response struct {
	call     *call
	begun    bool
	replaced bool // the actor's answer is thrown away
}

func (o *response) Header() http.Header { return o.call.w.Header() }

func (o *response) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		if o.begun || !o.begin() {
			return
		}
	}
	o.call.w.WriteHeader(status)
}

func (o *response) Write(p []byte) (int, error) {
	if !o.begun {
		o.begin()
	}
	if o.replaced {
		return len(p), nil
	}
	return o.call.w.Write(p)
}

// begin sets the gateway's headers. It reports false when the answer was replaced.
func (o *response) begin() bool {
	if o.begun {
		return !o.replaced
	}
	o.begun = true
	c := o.call
	h := c.w.Header()
	if c.body.exceeded {
		o.replaced = true
		clear(h)
		h["Connection"] = []string{"close"} // the rest of the body is not read
		c.refuse(refusal.BodyTooLarge())
		return false
	}
	h[headerRay] = c.ray[:]
	delete(h, headerError) // only the gateway's own errors have it
	allowOrigin(h, c.client.Header["Origin"])
	return true
}

// Flush implements http.Flusher.
func (o *response) Flush() { _ = o.FlushError() }

// FlushError is what http.ResponseController calls.
func (o *response) FlushError() error {
	if !o.begun && !o.begin() || o.replaced {
		return nil
	}
	return http.NewResponseController(o.call.w).Flush()
}

// Unwrap gives http.ResponseController the deadlines of the client's connection.
func (o *response) Unwrap() http.ResponseWriter { return o.call.w }
