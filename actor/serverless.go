package actor

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/rivetgo/rivet/internal/dial"
	"github.com/rivetgo/rivet/internal/version"
	"github.com/rivetgo/rivet/internal/wire/runnerproto"
)

// Serverless hosts actors in a program that an engine calls when there is something to do: it is the http.Handler of the
// engine's requests, under any prefix of any router.
//
//	h, err := actor.Handler(counter.Definition())
//	mux.Handle("/api/rivet/", h)
//
//	GET  …/metadata   what the engine may start here
//	POST …/start      starts an actor; the answer is a stream of events that ends when the actor has stopped
//	GET  …/health     200 while the engine is heard of, or has not called yet
//
// Safe for concurrent use. Shutdown ends it.
type Serverless struct {
	member *member
	public public
	ending chan struct{} // closed when Shutdown begins: nothing starts any more
	ended  chan struct{} // closed when it is over: no stream waits any longer

	once sync.Once
}

// public is what clients are told.
type public struct{ endpoint, namespace, token string }

// Handler hosts actors for an engine that calls this program (see Serverless), with the configuration of the environment (see
// ServeConfig). Its Endpoint must be the engine's public URL, which the engine tells with each start.
//
// Errors: *DefinitionError; a wrong setting.
func Handler(actors ...Definition) (*Serverless, error) { return ServeConfig{}.Handler(actors...) }

// Handler is the function Handler with this configuration.
func (c ServeConfig) Handler(actors ...Definition) (*Serverless, error) {
	m, err := c.open(actors)
	if err != nil {
		return nil, err
	}
	h := &Serverless{member: m, ending: make(chan struct{}), ended: make(chan struct{})}
	if h.public, err = m.cfg.public(m.server); err != nil {
		m.close()
		return nil, err
	}
	return h, nil
}

// public reads where clients are sent.
func (c *ServeConfig) public(server dial.Server) (public, error) {
	if c.PublicEndpoint == "" {
		return public{}, nil
	}
	d, err := dial.New(dial.Config{Endpoint: c.PublicEndpoint, Token: c.PublicToken, Log: c.Log})
	if err != nil {
		return public{}, fmt.Errorf("the public endpoint: %w (RIVET_PUBLIC_ENDPOINT, RIVET_PUBLIC_TOKEN)", err)
	}
	defer d.Close()
	p := public{d.Server().Endpoint, server.Namespace, d.Server().Token}
	if u, err := url.Parse(c.PublicEndpoint); err == nil && u.User != nil && u.User.Username() != server.Namespace {
		return public{}, fmt.Errorf("the public endpoint names the namespace %q, the actors are in %q (RIVET_PUBLIC_ENDPOINT, RIVET_NAMESPACE)", u.User.Username(), server.Namespace)
	}
	return p, nil
}

// Shutdown has the engine move the actors elsewhere and returns when none is left, or when ctx or the shutdown timeout ends.
// No actor starts any more. Idempotent.
func (h *Serverless) Shutdown(ctx context.Context) error {
	var err error
	h.once.Do(func() {
		close(h.ending)
		ctx, cancel := context.WithTimeout(ctx, h.member.cfg.ShutdownTimeout)
		defer cancel()
		err = h.member.runner.Drain(ctx)
		h.member.close()
		close(h.ended)
	})
	return err
}

const (
	// maxStart bounds the body of a start request.
	maxStart = 16 << 20
	// pingEvery is how often a stream says that it lives.
	pingEvery = time.Second
)

// ServeHTTP implements http.Handler.
func (h *Serverless) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Access-Control-Allow-Origin", "*")
	head.Set("Access-Control-Allow-Credentials", "true")
	head.Set("Access-Control-Expose-Headers", "*")
	if r.Method == http.MethodOptions {
		head.Set("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
		if want := r.Header.Get("Access-Control-Request-Headers"); want != "" {
			head.Set("Access-Control-Allow-Headers", want)
		}
		w.WriteHeader(http.StatusNoContent)
		return
	}
	get := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch last := path.Base("/" + strings.TrimSuffix(r.URL.Path, "/")); {
	case last == "start" && (r.Method == http.MethodPost || r.Method == http.MethodGet):
		h.start(w, r)
	case last == "metadata" && get:
		h.metadata(w)
	case last == "health" && get:
		h.health(w)
	case (last == "/" || last == "rivet") && get:
		head.Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, "This is a RivetKit server.\n\nLearn more at https://rivet.dev")
	default:
		head.Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, "Not Found (RivetKit)")
	}
}

func (h *Serverless) metadata(w http.ResponseWriter) {
	names := make(map[string]any)
	for _, n := range h.member.host.Names() {
		names[n.Name] = map[string]any{"metadata": json.RawMessage(n.Metadata)}
	}
	m := map[string]any{
		"runtime": "rivetkit", "version": version.Version, "envoyProtocolVersion": runnerproto.MaxVersion,
		"envoy": map[string]any{"kind": map[string]any{"serverless": map[string]any{}}, "version": h.member.cfg.Version}, "actorNames": names,
	}
	if p := h.public; p.endpoint != "" {
		m["clientEndpoint"], m["clientNamespace"] = p.endpoint, p.namespace
		if p.token != "" {
			m["clientToken"] = p.token
		}
	}
	writeJSON(w, http.StatusOK, m)
}

func (h *Serverless) health(w http.ResponseWriter) {
	status, text := http.StatusOK, "ok"
	if !h.member.runner.Healthy() {
		status, text = http.StatusServiceUnavailable, "engine_ping_stale"
	}
	writeJSON(w, status, map[string]string{"runtime": "rivetkit", "status": text, "version": version.Version})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	b, err := json.Marshal(body)
	if err != nil { // all of it is texts and numbers
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(b)
}

// refusal is why a start is refused.
type startRefusal struct {
	status               int
	group, code, message string
}

func (e *startRefusal) Error() string { return e.group + "." + e.code + ": " + e.message }

// start starts an actor, and tells the engine until it has stopped.
func (h *Serverless) start(w http.ResponseWriter, r *http.Request) {
	command, err := h.command(r)
	if err != nil {
		f := &startRefusal{http.StatusBadRequest, "core", "internal_error", err.Error()}
		errors.As(err, &f)
		h.member.cfg.Log.Warn("a start of the engine was refused", "error", f, "remote", r.RemoteAddr)
		writeJSON(w, f.status, map[string]any{"group": f.group, "code": f.code, "message": f.message, "metadata": nil})
		return
	}
	gone := h.member.runner.Begin(command)
	head := w.Header()
	head.Set("Content-Type", "text/event-stream")
	head.Set("Cache-Control", "no-cache")
	head.Set("X-Accel-Buffering", "no") // proxies must not hold the pings back
	rc := http.NewResponseController(w)
	rc.SetWriteDeadline(time.Time{}) //nolint:errcheck // a writer without deadlines has none
	say := func(event string) bool {
		_, err := io.WriteString(w, "event: "+event+"\ndata:\n\n")
		return err == nil && rc.Flush() == nil
	}
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for say("ping") {
		select {
		case <-tick.C:
		case <-gone:
			say("stopping")
			return
		case <-h.ended:
			say("stopping")
			return
		case <-r.Context().Done():
			return // the engine takes the actor for lost, and says so to the runner
		}
	}
}

// command reads and checks a start request.
func (h *Serverless) command(r *http.Request) (*runnerproto.Command, error) {
	bad := func(status int, group, code, format string, args ...any) error {
		return &startRefusal{status, group, code, fmt.Sprintf(format, args...)}
	}
	select {
	case <-h.ending:
		return nil, bad(http.StatusServiceUnavailable, "runner", "shutting_down", "the program is about to end")
	default:
	}
	m := h.member
	if m.server.Token != "" && subtle.ConstantTimeCompare([]byte(r.Header.Get("X-Rivet-Token")), []byte(m.server.Token)) != 1 {
		return nil, bad(http.StatusForbidden, "api", "forbidden", "the x-rivet-token header does not have this program's token: add it to the headers of the pool's configuration")
	}
	var endpoint, pool, namespace string
	for name, dst := range map[string]*string{"X-Rivet-Endpoint": &endpoint, "X-Rivet-Pool-Name": &pool, "X-Rivet-Namespace-Name": &namespace} {
		if *dst = r.Header.Get(name); *dst == "" {
			if name == "X-Rivet-Pool-Name" {
				if *dst = r.Header.Get("X-Rivet-Runner-Name"); *dst != "" {
					continue
				}
			}
			return nil, bad(http.StatusBadRequest, "request", "invalid", "the header %s is missing", strings.ToLower(name))
		}
	}
	if !sameURL(endpoint, m.server.Endpoint) {
		return nil, bad(http.StatusBadRequest, "config", "endpoint_mismatch", "the engine calls itself %s, this program knows it as %s: set RIVET_ENDPOINT to the public URL of the engine", endpoint, m.server.Endpoint)
	}
	if namespace != m.server.Namespace {
		return nil, bad(http.StatusBadRequest, "config", "namespace_mismatch", "the start is for the namespace %q, this program serves %q: set RIVET_NAMESPACE", namespace, m.server.Namespace)
	}
	if pool != m.server.Pool {
		return nil, bad(http.StatusBadRequest, "config", "pool_mismatch", "the start is for the pool %q, this program serves %q: set RIVET_POOL", pool, m.server.Pool)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxStart+1))
	if err != nil {
		return nil, bad(http.StatusBadRequest, "request", "invalid", "the body ended early")
	}
	if len(body) > maxStart {
		return nil, bad(http.StatusRequestEntityTooLarge, "message", "incoming_too_long", "the body is longer than %d bytes", maxStart)
	}
	v, commands, err := runnerproto.DecodeStart(body)
	if err != nil {
		return nil, bad(http.StatusBadRequest, "core", "internal_error", "the body is not a start of a protocol version from %d to %d (it says %d): %v", runnerproto.MinVersion, runnerproto.MaxVersion, v, err)
	}
	if len(commands.List) != 1 || commands.List[0].Start == nil {
		return nil, bad(http.StatusBadRequest, "core", "internal_error", "the body is not one start command")
	}
	return &commands.List[0], nil
}

// sameURL compares two URLs without regard to a slash at the end.
func sameURL(a, b string) bool {
	norm := func(s string) string {
		u, err := url.Parse(strings.TrimRight(s, "/"))
		if err != nil {
			return s
		}
		u.User = nil
		host := u.Hostname()
		if host == "localhost" || host == "::1" {
			host = "127.0.0.1"
		}
		port := u.Port()
		if port == "" {
			port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
		}
		return u.Scheme + "://" + host + ":" + port + strings.TrimRight(u.Path, "/")
	}
	return norm(a) == norm(b)
}
