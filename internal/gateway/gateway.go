package gateway

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/rivetgo/rivet/internal/directory"
	"github.com/rivetgo/rivet/internal/link"
	"github.com/rivetgo/rivet/internal/refusal"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/ws"
)

// Directory says which actor a request means; see package directory.
type Directory interface {
	Resolve(ctx context.Context, q *directory.Query) (id.ID, error)
	Forget(namespace, name, key string)
	CheckID(actor id.ID) error
}

// Placement lets a request in to an actor; see package placement.
type Placement interface {
	With(ctx context.Context, actor id.ID, fn func(link.Actor) error) error
}

// Config configures a Gateway. Directory, Placement and API are required; the rest has defaults.
type Config struct {
	Directory Directory
	Placement Placement
	// API answers whatever is not for an actor. Its answers have the ray id set already.
	API http.Handler

	// Token, when not empty, must come with every request for an actor. Default: anybody may ask.
	Token string
	// MaxInFlight bounds the actor requests being served, WebSockets being opened included; more are answered with the
	// retryable guard.service_unavailable. Default 10,000.
	MaxInFlight int
	// MaxBodyBytes bounds a request's body. Default 20 MiB.
	MaxBodyBytes int64
	// Label is the datacenter label of the ray ids made here. Default 1.
	Label uint16
	// WebSocket configures the client's sockets; Header, TooLargeCode and TooLargeReason are set by the gateway.
	WebSocket ws.UpgradeOptions
	// Logger hears of failures that clients are only told the ray id of. Default slog.Default.
	Logger *slog.Logger
}

// Gateway is an http.Handler. Make one with New.
type Gateway struct {
	cfg      Config
	token    [sha256.Size]byte
	inFlight atomic.Int64
}

// New returns a Gateway.
func New(cfg Config) *Gateway {
	if cfg.MaxInFlight <= 0 {
		cfg.MaxInFlight = 10_000
	}
	if cfg.MaxBodyBytes <= 0 {
		cfg.MaxBodyBytes = 20 << 20
	}
	if cfg.Label == 0 {
		cfg.Label = 1
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Gateway{cfg: cfg, token: sha256.Sum256([]byte(cfg.Token))}
}

// InFlight returns how many actor requests are being served.
func (g *Gateway) InFlight() int { return int(g.inFlight.Load()) }

// Header names in the form that http.Header keeps them in.
const (
	headerRay       = "X-Rivet-Ray-Id"
	headerError     = "X-Rivet-Error"
	headerTarget    = "X-Rivet-Target"
	headerActor     = "X-Rivet-Actor"
	headerToken     = "X-Rivet-Token"
	headerSkipReady = "X-Rivet-Skip-Ready-Wait"
)

// ServeHTTP implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{g: g, w: w, client: r}
	c.out.call = c
	c.setRay()
	w.Header()[headerRay] = c.ray[:]

	target := requestTarget(r)
	c.upgrade = len(r.Header["Upgrade"]) > 0 && ws.IsUpgrade(r)
	if err := c.route.parse(target); err != nil {
		c.refuse(err) // before CORS is on: such answers have none
		return
	}
	if r.Method == http.MethodOptions && (hasGatewaySegment(target) || r.Header.Get(headerTarget) == "actor") {
		preflight(w, r)
		return
	}
	if c.route.form == formNone {
		if !g.routeByHeader(c, target) {
			return
		}
	}
	c.cors = true

	if err := g.authorise(c); err != nil {
		c.refuse(err)
		return
	}
	if err := g.admit(c); err != nil {
		c.refuse(err)
	}
}

// admit serves a request unless too many are being served.
func (g *Gateway) admit(c *call) error {
	defer g.inFlight.Add(-1)
	if g.inFlight.Add(1) > int64(g.cfg.MaxInFlight) {
		c.w.Header()["Retry-After"] = valueOne
		return refusal.Unavailable(errTooManyRequests)
	}
	return g.serve(c)
}

var errTooManyRequests = errors.New("gateway: too many requests in flight")

// routeByHeader handles a request whose path is not an actor's. It reports whether the request is for an actor all the
// same; otherwise it has been answered.
func (g *Gateway) routeByHeader(c *call, target string) bool {
	r := c.client
	path, rawQuery, hasQuery := strings.Cut(target, "?")
	if path == "/health/ws" || path == "/health/ws/" {
		c.refuse(refusal.NoRoute(r.Host, path))
		return false
	}

	named, missing := "", false
	if c.upgrade {
		c.protocols = ws.Protocols(r)
		named, missing = protocolValue(c.protocols, "rivet_target.")
	} else if v := r.Header[headerTarget]; len(v) > 0 {
		named = v[len(v)-1]
	} else {
		missing = true
	}
	switch {
	case missing && c.upgrade:
		c.refuse(refusal.WebSocketNotSupported())
		return false
	case missing, named == "api-public" && !c.upgrade:
		g.cfg.API.ServeHTTP(c.w, r)
		return false
	}
	c.cors = true
	if named != "actor" || !c.upgrade && path != "/request" && !strings.HasPrefix(path, "/request/") {
		c.refuse(refusal.NoRoute(r.Host, path))
		return false
	}

	c.route = route{form: formHeader, path: path, rawQuery: rawQuery, hasQuery: hasQuery}
	if c.upgrade {
		actor, missing := protocolValue(c.protocols, "rivet_actor.")
		if missing {
			c.refuse(refusal.MissingHeader("rivet_actor"))
			return false
		}
		c.route.id, _ = percentDecode(actor, false)
		return true
	}
	v := r.Header[headerActor]
	if len(v) == 0 {
		c.refuse(refusal.MissingHeader("x-rivet-actor"))
		return false
	}
	c.route.id = v[len(v)-1]
	return true
}

// protocolValue returns what follows prefix in the first entry that has it.
func protocolValue(entries []string, prefix string) (v string, missing bool) {
	for _, e := range entries {
		if v, ok := strings.CutPrefix(e, prefix); ok {
			return v, false
		}
	}
	return "", true
}

// authorise checks what a request for an actor must bring along: the switches in its headers, a subprotocol list when it
// is a WebSocket without a token, and the token when one is configured.
func (g *Gateway) authorise(c *call) error {
	h := c.client.Header
	if c.upgrade {
		if c.route.form != formHeader && c.route.token == "" && len(h["Sec-Websocket-Protocol"]) == 0 {
			return refusal.MissingHeader("sec-websocket-protocol")
		}
	} else if v := h[headerSkipReady]; len(v) > 0 && c.route.form != formQuery && !isSwitch(v[len(v)-1]) {
		return refusal.InvalidHeader("x-rivet-skip-ready-wait", "expected true, false, 1, or 0")
	}
	if g.cfg.Token == "" {
		return nil
	}

	token := c.route.token
	switch {
	case token != "":
	case c.upgrade:
		token, _ = protocolValue(ws.Protocols(c.client), "rivet_token.")
	default:
		token = h.Get(headerToken)
	}
	if token == "" {
		return refusal.Forbidden(refusal.TokenMissing)
	}
	sum := sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare(sum[:], g.token[:]) != 1 {
		return refusal.Forbidden(refusal.TokenInvalid)
	}
	return nil
}

// maxResolves bounds how often a key is resolved anew because the actor it led to is gone.
const maxResolves = 3

// serve finds the actor and lets the request in.
//
// skip-ready-wait is accepted and means nothing here: an actor takes requests through its link exactly from when it is
// ready until it begins to stop, so there is none that could be forwarded earlier.
func (g *Gateway) serve(c *call) error {
	if err := c.prepare(); err != nil {
		return err
	}
	ctx := c.client.Context()
	var enter func(link.Actor) error
	if c.upgrade {
		enter = c.enterWebSocket
	} else {
		enter = c.enterHTTP
	}

	if c.route.form != formQuery {
		actor, err := id.Parse(c.route.id)
		if err != nil {
			return refusal.Internal(nil) // what official gateways answer
		}
		if err := g.cfg.Directory.CheckID(actor); err != nil {
			return err
		}
		return c.finish(g.cfg.Placement.With(ctx, actor, enter))
	}

	q := &c.route.query
	for try := 1; ; try++ {
		actor, err := g.cfg.Directory.Resolve(ctx, q)
		if err != nil {
			return err
		}
		err = g.cfg.Placement.With(ctx, actor, enter)
		if try == maxResolves || c.moved || !isGone(err) {
			return c.finish(err)
		}
		// The key led to an actor that was destroyed meanwhile: nothing was done, and the key may lead to another now.
		g.cfg.Directory.Forget(q.Namespace, q.Name, q.Key)
	}
}

// isGone reports whether err says that there is no such actor any more, in the gateway's own words.
func isGone(err error) bool {
	if err == nil {
		return false
	}
	e, ok := fault.From(err)
	return ok && e.Actor == nil && e.Group == "actor" && (e.Code == "not_found" || e.Code == "destroyed_while_waiting_for_ready")
}

// requestTarget is the target as the client sent it. A request that did not come over the wire has none.
func requestTarget(r *http.Request) string {
	if strings.HasPrefix(r.RequestURI, "/") {
		return r.RequestURI
	}
	return r.URL.RequestURI()
}

// hasGatewaySegment reports whether the first segment of the path is "gateway".
func hasGatewaySegment(target string) bool {
	target = strings.TrimLeft(target, "/")
	rest, ok := strings.CutPrefix(target, "gateway")
	return ok && (rest == "" || strings.IndexByte("/?#", rest[0]) >= 0)
}
