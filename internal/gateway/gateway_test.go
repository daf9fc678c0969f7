package gateway_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/rivetgo/rivet/internal/directory"
	"github.com/rivetgo/rivet/internal/gateway"
	"github.com/rivetgo/rivet/internal/link"
	"github.com/rivetgo/rivet/internal/refusal"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/why"
	"github.com/rivetgo/rivet/internal/ws"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// actorStub is a link.Actor made of functions.
type actorStub struct {
	http      func(w http.ResponseWriter, r *http.Request) error
	websocket func(r *http.Request, upgrade func(kept bool) (ws.Socket, error)) error
}

func (a *actorStub) HTTP(w http.ResponseWriter, r *http.Request) error { return a.http(w, r) }
func (a *actorStub) WebSocket(r *http.Request, upgrade func(kept bool) (ws.Socket, error)) error {
	return a.websocket(r, upgrade)
}
func (a *actorStub) Stop(link.StopReason)            {}
func (a *actorStub) Why(context.Context) *why.Report { return &why.Report{} }

// backend is the gateway's Directory, Placement and API.
type backend struct {
	actorStub
	mu        sync.Mutex
	actor     id.ID
	queries   []directory.Query
	asked     []id.ID
	forgotten int
	resolve   error                                 // what Resolve fails with
	with      func(fn func(link.Actor) error) error // instead of running fn
}

func (b *backend) Resolve(_ context.Context, q *directory.Query) (id.ID, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queries = append(b.queries, *q)
	return b.actor, b.resolve
}

func (b *backend) Forget(string, string, string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forgotten++
}

func (b *backend) CheckID(actor id.ID) error {
	if actor.Label() != 1 {
		return refusal.DatacenterNotFound()
	}
	return nil
}

func (b *backend) With(_ context.Context, actor id.ID, fn func(link.Actor) error) error {
	b.mu.Lock()
	b.asked = append(b.asked, actor)
	b.mu.Unlock()
	if b.with != nil {
		return b.with(fn)
	}
	return fn(&b.actorStub)
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Api", r.URL.Path)
}

// echo answers with what the actor saw.
func echo(w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	w.Header().Set("X-Seen", r.Method+" "+r.RequestURI)
	w.Header().Set("X-Seen-Path", r.URL.Path)
	w.Header().Set("X-Seen-Url", r.URL.String())
	_, err = w.Write(body)
	return err
}

const ray = "ray0"

func newGateway(cfg gateway.Config) (*gateway.Gateway, *backend) {
	b := &backend{actor: id.New(1)}
	b.http = echo
	cfg.Directory, cfg.Placement, cfg.API = b, b, b
	cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	return gateway.New(cfg), b
}

// do sends one request, in the form "METHOD target" and lines of headers, a body behind an empty line.
func do(h http.Handler, text string) *httptest.ResponseRecorder {
	head, body, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	method, target, _ := strings.Cut(lines[0], " ")
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("X-Rivet-Ray-Id", ray)
	for _, l := range lines[1:] {
		name, v, _ := strings.Cut(l, ": ")
		if name == "host" {
			r.Host = v
			continue
		}
		r.Header.Add(name, v)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const query = "rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default&rvt-key=k"

func TestRouteChoice(t *testing.T) {
	const apiNotFound = "" // the API answers
	actor := id.New(1).String()
	tests := []struct{ name, request, want string }{
		{"query form", "POST /gateway/tests/action/echo?a=1&" + query, "POST /action/echo?a=1"},
		{"direct form", "GET /gateway/" + actor + "/request/a%2Fb/?x=1&&y", "GET /request/a%2Fb/?x=1&&y"},
		{"direct form, upper case", "GET /gateway/" + strings.ToUpper(actor) + "/x", "GET /x"},
		{"path beats header", "GET /gateway/" + actor + "/x\nx-rivet-target: nonsense", "GET /x"},
		{"header form", "PUT /request/a?b=1\nx-rivet-target: actor\nx-rivet-actor: " + actor, "PUT /request/a?b=1"},
		{"header form, bare", "GET /request\nx-rivet-target: actor\nx-rivet-actor: " + actor, "GET /request"},
		{"header form, query only", "GET /request?y=2\nx-rivet-target: actor\nx-rivet-actor: " + actor, "GET /request?y=2"},
		{"api", "GET /actors?x", apiNotFound},
		{"api by target", "GET /actors\nx-rivet-target: api-public", apiNotFound},
		{"almost a gateway path", "GET /gateway//x", apiNotFound},
		{"gateway only", "GET /gateway", apiNotFound},
		{"empty token", "GET /gateway/" + actor + "@/x", apiNotFound},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g, _ := newGateway(gateway.Config{})
			w := do(g, tt.request)
			if w.Code != 200 {
				t.Fatalf("status %d: %s", w.Code, w.Body)
			}
			if got := w.Header().Get("X-Seen"); got != tt.want {
				t.Errorf("the actor saw %q, want %q", got, tt.want)
			}
			if (tt.want == "") != (w.Header().Get("X-Api") != "") {
				t.Errorf("API asked: %q", w.Header().Get("X-Api"))
			}
			if w.Header().Get("X-Rivet-Ray-Id") != ray {
				t.Error("ray id is missing")
			}
		})
	}
}

func TestActorSeesTheBytesSent(t *testing.T) {
	for target, want := range map[string][2]string{
		"/gateway/ID/a%2Fb/c%20d?x=%20&y=+": {"/a/b/c d", "/a%2Fb/c%20d?x=%20&y=+"},
		"/gateway/ID/a%2fb":                 {"/a/b", "/a%2fb"},
		"/gateway/ID/é":                     {"/é", "/é"},
		"/gateway/ID/plain?":                {"/plain", "/plain?"},
		"/gateway/ID":                       {"/", "/"},
		"/gateway/ID/a:b@c;d=e(f)!":         {"/a:b@c;d=e(f)!", "/a:b@c;d=e(f)!"},
	} {
		g, b := newGateway(gateway.Config{})
		w := do(g, "GET "+strings.Replace(target, "ID", b.actor.String(), 1))
		if got := w.Header().Get("X-Seen-Path"); got != want[0] {
			t.Errorf("%s: path %q, want %q", target, got, want[0])
		}
		if got := w.Header().Get("X-Seen"); got != "GET "+want[1] {
			t.Errorf("%s: target %q, want %q", target, got, want[1])
		}
		if want[1] != "/é" && w.Header().Get("X-Seen-Url") != want[1] {
			t.Errorf("%s: URL %q", target, w.Header().Get("X-Seen-Url"))
		}
	}
}

// Client protocol §12.2 and §5.3; the bodies are exact.
func TestErrors(t *testing.T) {
	known := id.New(1)
	gone := func(func(link.Actor) error) error { return refusal.ActorNotFound() }
	tests := []struct {
		name, request string
		setup         func(b *backend)
		status        int
		body          string
		noCORS        bool
	}{
		{"unknown actor", "GET /gateway/" + known.String() + "/x", func(b *backend) { b.with = gone },
			404, `{"group":"actor","code":"not_found","message":"The actor does not exist or was destroyed."}`, false},
		{"get of a missing key", "GET /gateway/t/x?rvt-namespace=default&rvt-method=get", func(b *backend) { b.resolve = refusal.ActorNotFound() },
			404, `{"group":"actor","code":"not_found","message":"The actor does not exist or was destroyed."}`, false},
		{"unknown namespace", "GET /gateway/t/x?" + query, func(b *backend) { b.resolve = refusal.NamespaceNotFound() },
			400, `{"group":"namespace","code":"not_found","message":"The namespace does not exist."}`, false},
		{"ready timeout", "GET /gateway/" + known.String() + "/x",
			func(b *backend) { b.with = func(func(link.Actor) error) error { return refusal.ReadyTimeout(known) } },
			503, `{"group":"guard","code":"actor_ready_timeout","message":"Timed out waiting for actor to become ready. Ensure that the pool selector is accurate and there are envoys available in the namespace you created this actor.","metadata":{"actor_id":"` + known.String() + `"}}`, false},
		{"wake retries", "GET /gateway/" + known.String() + "/x",
			func(b *backend) {
				b.with = func(func(link.Actor) error) error { return refusal.WakeRetriesExceeded(known, 8) }
			},
			503, `{"group":"guard","code":"actor_wake_retries_exceeded","message":"Actor ` + known.String() + ` stopped before becoming ready after 8 wake retries: actor_stopped_before_ready.","metadata":{"actor_id":"` + known.String() + `","reason":"actor_stopped_before_ready","wake_retries":8}}`, false},
		{"unknown pool", "GET /gateway/t/x?" + query, func(b *backend) { b.resolve = refusal.NoPool("default", "nope") },
			400, `{"group":"actor","code":"no_runner_config_configured","message":"No runner config with name 'nope' are available in any datacenter for the namespace 'default'. Validate a provider is listed that matches the requested pool name.","metadata":{"namespace":"default","pool_name":"nope"}}`, false},
		{"bad id", "GET /gateway/nonsense/x", nil,
			500, `{"group":"core","code":"internal_error","message":"An internal error occurred"}`, false},
		{"unknown datacenter label", "GET /gateway/" + id.New(9).String() + "/x", nil,
			400, `{"group":"datacenter","code":"not_found","message":"The provided datacenter does not exist."}`, false},
		{"header form without actor", "GET /request\nx-rivet-target: actor", nil,
			400, `{"group":"guard","code":"missing_header","message":"Missing x-rivet-actor header.","metadata":{"header":"x-rivet-actor"}}`, false},
		{"header form, other path", "GET /action/echo\nhost: h:1\nx-rivet-target: actor\nx-rivet-actor: " + known.String(), nil,
			404, `{"group":"guard","code":"no_route","message":"No route found for hostname h:1, path /action/echo.","metadata":{"host":"h:1","path":"/action/echo"}}`, false},
		{"header form, path that only begins alike", "GET /requests\nhost: h:1\nx-rivet-target: actor\nx-rivet-actor: " + known.String(), nil,
			404, `{"group":"guard","code":"no_route","message":"No route found for hostname h:1, path /requests.","metadata":{"host":"h:1","path":"/requests"}}`, false},
		{"unknown target", "GET /x\nhost: h:1\nx-rivet-target: moon", nil,
			404, `{"group":"guard","code":"no_route","message":"No route found for hostname h:1, path /x.","metadata":{"host":"h:1","path":"/x"}}`, false},
		{"bad switch", "GET /gateway/" + known.String() + "/x\nx-rivet-skip-ready-wait: maybe", nil,
			400, `{"group":"guard","code":"invalid_header","message":"Invalid x-rivet-skip-ready-wait header: expected true, false, 1, or 0","metadata":{"detail":"expected true, false, 1, or 0","header":"x-rivet-skip-ready-wait"}}`, false},
		{"malformed query path", "GET /gateway/t/x?rvt-method=get", nil,
			400, `{"group":"guard","code":"query_invalid_params","message":"invalid query gateway params: missing field ` + "`namespace`" + `","metadata":{"detail":"missing field ` + "`namespace`" + `"}}`, true},
		{"malformed query path, preflight", "OPTIONS /gateway/t/x?rvt-method=get", nil,
			400, `{"group":"guard","code":"query_invalid_params","message":"invalid query gateway params: missing field ` + "`namespace`" + `","metadata":{"detail":"missing field ` + "`namespace`" + `"}}`, true},
		{"a failure that is not public", "GET /gateway/" + known.String() + "/x", func(b *backend) { b.with = func(func(link.Actor) error) error { return errors.New("secret") } },
			500, `{"group":"core","code":"internal_error","message":"An internal error occurred"}`, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g, b := newGateway(gateway.Config{})
			if tt.setup != nil {
				tt.setup(b)
			}
			w := do(g, tt.request+"\norigin: http://o")
			h := w.Header()
			if w.Code != tt.status || w.Body.String() != tt.body {
				t.Errorf("%d %s\nwant %d %s", w.Code, w.Body, tt.status, tt.body)
			}
			if h.Get("Content-Type") != "application/json" || h.Get("X-Rivet-Ray-Id") != ray {
				t.Errorf("headers %v", h)
			}
			if e := h.Get("X-Rivet-Error"); e == "" || !strings.Contains(tt.body, `"code":"`+strings.SplitN(e, ".", 2)[1]+`"`) {
				t.Errorf("x-rivet-error is %q", e)
			}
			if got := h.Get("Access-Control-Allow-Origin"); (got == "http://o") == tt.noCORS {
				t.Errorf("allow-origin is %q", got)
			}
		})
	}
}

// An actor that does not start says why in its own words: its status, its identity, no x-rivet-error.
func TestActorsOwnStartError(t *testing.T) {
	g, b := newGateway(gateway.Config{})
	b.with = func(func(link.Actor) error) error {
		e := fault.New("user", "closed", "The shop is closed.")
		e.Actor = &fault.Actor{ID: "A", Generation: 3, Key: "k", HasKey: true}
		return e
	}
	w := do(g, "GET /gateway/"+b.actor.String()+"/x")
	const want = `{"actor":{"actorId":"A","generation":3,"key":"k"},"code":"closed","group":"user","message":"The shop is closed."}`
	if w.Code != 500 && w.Code != 400 || w.Body.String() != want {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	h := w.Header()
	if h.Get("X-Rivet-Error") != "" || h.Get("X-Rivet-Actor") != "A" || h.Get("X-Rivet-Actor-Generation") != "3" || h.Get("X-Rivet-Actor-Key") != "k" {
		t.Errorf("headers %v", h)
	}
}

func TestForwarding(t *testing.T) {
	g, b := newGateway(gateway.Config{})
	var seen http.Header
	b.http = func(w http.ResponseWriter, r *http.Request) error {
		seen = r.Header
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "http://actor")
		h.Set("Vary", "Accept")
		h.Set("X-Rivet-Error", "spoofed.error")
		h.Add("Set-Cookie", "a=1")
		h.Add("Set-Cookie", "b=2")
		w.WriteHeader(302)
		return nil
	}
	w := do(g, "GET /gateway/"+b.actor.String()+"/x\norigin: http://o\ncookie: c=1\nauthorization: Bearer x\nx-rivet-token: t")
	h := w.Header()
	if w.Code != 302 || len(h["Set-Cookie"]) != 2 {
		t.Errorf("%d %v", w.Code, h)
	}
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin": "http://o", "Access-Control-Allow-Credentials": "true",
		"Access-Control-Expose-Headers": "*", "Vary": "Accept, Origin", "X-Rivet-Error": "", "X-Rivet-Ray-Id": ray,
	} {
		if got := strings.Join(h[http.CanonicalHeaderKey(name)], "|"); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{"Cookie": "c=1", "Authorization": "Bearer x", "X-Rivet-Token": "t", "X-Rivet-Ray-Id": ray} {
		if seen.Get(name) != want {
			t.Errorf("the actor saw %s: %q", name, seen.Get(name))
		}
	}

	b.http = func(http.ResponseWriter, *http.Request) error { return nil } // writes nothing
	w = do(g, "GET /gateway/"+b.actor.String()+"/x")
	if w.Code != 200 || w.Header().Get("Access-Control-Allow-Origin") != "*" || w.Header().Get("Vary") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestRayIsMade(t *testing.T) {
	g, b := newGateway(gateway.Config{})
	var seen string
	b.http = func(_ http.ResponseWriter, r *http.Request) error { seen = r.Header.Get("X-Rivet-Ray-Id"); return nil }
	r := httptest.NewRequest("GET", "/gateway/"+b.actor.String()+"/x", nil)
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	made := w.Header().Get("X-Rivet-Ray-Id")
	if _, err := id.Parse(made); err != nil || seen != made {
		t.Errorf("made %q (%v), the actor saw %q", made, err, seen)
	}
}

func TestPreflight(t *testing.T) {
	for _, request := range []string{
		"OPTIONS /gateway/t/action/x?" + query,
		"OPTIONS /gateway",
		"OPTIONS /gateway//x",
		"OPTIONS /anything\nx-rivet-target: actor",
	} {
		g, b := newGateway(gateway.Config{Token: "secret"})
		w := do(g, request+"\norigin: http://o\naccess-control-request-headers: x-a, x-b")
		h := w.Header()
		for name, want := range map[string]string{
			"Access-Control-Allow-Origin": "http://o", "Access-Control-Allow-Credentials": "true", "Access-Control-Expose-Headers": "*",
			"Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, OPTIONS, PATCH", "Access-Control-Allow-Headers": "x-a, x-b",
			"Access-Control-Max-Age": "86400", "Vary": "Origin", "X-Rivet-Ray-Id": ray,
		} {
			if h.Get(name) != want {
				t.Errorf("%s: %s is %q, want %q", request, name, h.Get(name), want)
			}
		}
		if w.Code != 204 || len(b.queries)+len(b.asked) != 0 {
			t.Errorf("%s: status %d, queries %v", request, w.Code, b.queries)
		}
	}
	g, _ := newGateway(gateway.Config{})
	w := do(g, "OPTIONS /gateway/x")
	if h := w.Header(); h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Allow-Headers") != "*" || h.Get("Vary") != "" {
		t.Errorf("without origin: %v", h)
	}
}

func TestToken(t *testing.T) {
	g, b := newGateway(gateway.Config{Token: "s t"})
	actor := b.actor.String()
	const (
		missing = `{"group":"api","code":"forbidden","message":"Access denied: Token not provided","metadata":{"reason":"Token not provided"}}`
		wrong   = `{"group":"api","code":"forbidden","message":"Access denied: Invalid token","metadata":{"reason":"Invalid token"}}`
	)
	for request, want := range map[string]string{
		"GET /gateway/" + actor + "/x":                                                                 missing,
		"GET /gateway/" + actor + "@nope/x":                                                            wrong,
		"GET /gateway/" + actor + "@s%20t/x":                                                           "",
		"GET /gateway/" + actor + "/x\nx-rivet-token: s t":                                             "",
		"GET /gateway/" + actor + "@nope/x\nx-rivet-token: s t":                                        wrong,
		"GET /gateway/t/x?" + query + "&rvt-token=s+t":                                                 "",
		"GET /gateway/t/x?" + query:                                                                    missing,
		"GET /request\nx-rivet-target: actor\nx-rivet-actor: " + actor + "\nx-rivet-token: s t":        "",
		"GET /request\nx-rivet-target: actor\nx-rivet-actor: " + actor + "\nauthorization: Bearer s t": missing,
	} {
		w := do(g, request)
		if want == "" && w.Code != 200 || want != "" && (w.Code != 403 || w.Body.String() != want) {
			t.Errorf("%s: %d %s", request, w.Code, w.Body)
		}
	}
	if w := do(g, "GET /metadata"); w.Code != 200 {
		t.Error("the token is for actors, the API has its own")
	}
}

// A key that leads to an actor which is gone is resolved anew; an id is not.
func TestGoneActorIsResolvedAnew(t *testing.T) {
	g, b := newGateway(gateway.Config{})
	n := 0
	b.with = func(fn func(link.Actor) error) error {
		if n++; n == 1 {
			return refusal.DestroyedWhileWaiting()
		}
		return fn(&b.actorStub)
	}
	if w := do(g, "GET /gateway/t/x?"+query); w.Code != 200 || b.forgotten != 1 || len(b.queries) != 2 {
		t.Errorf("%d, forgotten %d, %d queries", w.Code, b.forgotten, len(b.queries))
	}
	b.with = func(func(link.Actor) error) error { return refusal.ActorNotFound() }
	if w := do(g, "GET /gateway/t/x?"+query); w.Code != 404 || b.forgotten != 3 {
		t.Errorf("%d, forgotten %d", w.Code, b.forgotten)
	}
	before := len(b.asked)
	if w := do(g, "GET /gateway/"+b.actor.String()+"/x"); w.Code != 404 || len(b.asked) != before+1 {
		t.Errorf("%d after %d attempts", w.Code, len(b.asked)-before)
	}
}

// TestG7_InFlightIsBounded: too many requests get a retryable error at once.
func TestG7_InFlightIsBounded(t *testing.T) {
	g, b := newGateway(gateway.Config{MaxInFlight: 1})
	entered, leave := make(chan struct{}), make(chan struct{})
	b.http = func(http.ResponseWriter, *http.Request) error { close(entered); <-leave; return nil }
	var wg sync.WaitGroup
	wg.Go(func() { do(g, "GET /gateway/"+b.actor.String()+"/x") })
	<-entered
	w := do(g, "GET /gateway/"+b.actor.String()+"/x")
	if w.Code != 503 || w.Header().Get("X-Rivet-Error") != "guard.service_unavailable" || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	close(leave)
	wg.Wait()
	if g.InFlight() != 0 {
		t.Errorf("%d in flight", g.InFlight())
	}
}

const tooLarge = `{"group":"guard","code":"invalid_request_body","message":"Unable to parse request body: length limit exceeded.","metadata":{"reason":"length limit exceeded"}}`

func TestBodyLimit(t *testing.T) {
	g, b := newGateway(gateway.Config{MaxBodyBytes: 10})
	srv := httptest.NewServer(g)
	defer srv.Close()
	url := srv.URL + "/gateway/" + b.actor.String() + "/x"
	post := func(body io.Reader) (int, http.Header, string) {
		t.Helper()
		resp, err := http.Post(url, "text/plain", body)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, resp.Header, string(text)
	}
	chunked := func(s string) io.Reader { return struct{ io.Reader }{strings.NewReader(s)} }

	for name, body := range map[string]io.Reader{"fixed": strings.NewReader("0123456789"), "chunked": chunked("0123456789")} {
		if status, _, text := post(body); status != 200 || text != "0123456789" {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	check := func(name string, body io.Reader) {
		t.Helper()
		status, h, text := post(body)
		if status != 413 || text != tooLarge || h.Get("Access-Control-Allow-Origin") != "" || h.Get("X-Rivet-Error") != "guard.invalid_request_body" {
			t.Errorf("%s: %d %s %v", name, status, text, h)
		}
	}
	check("fixed", strings.NewReader("0123456789a"))
	check("chunked", chunked("0123456789a"))
	b.http = func(w http.ResponseWriter, r *http.Request) error { // the actor answers the failed read in its own way
		if _, err := io.ReadAll(r.Body); err != nil {
			w.Header().Set("X-Actor", "1")
			http.Error(w, "cannot read that", 400)
		}
		return nil
	}
	check("answered by the actor", chunked(strings.Repeat("x", 100)))
	http.DefaultClient.CloseIdleConnections()
}

func TestStreaming(t *testing.T) {
	g, b := newGateway(gateway.Config{})
	next := make(chan struct{})
	b.http = func(w http.ResponseWriter, r *http.Request) error {
		for _, s := range []string{"one", "two"} {
			_, _ = io.WriteString(w, s)
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			<-next
		}
		return nil
	}
	srv := httptest.NewServer(g)
	defer srv.Close()
	resp, err := http.Get(srv.URL + "/gateway/" + b.actor.String() + "/x")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	buf := make([]byte, 3)
	for _, want := range []string{"one", "two"} {
		if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != want {
			t.Fatalf("read %q, %v", buf, err)
		}
		next <- struct{}{}
	}
	if resp.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("headers %v", resp.Header)
	}
	http.DefaultClient.CloseIdleConnections()
}

// A failure in the middle of an answer must not look like its end.
func TestFailureInTheMiddleAbortsTheAnswer(t *testing.T) {
	g, b := newGateway(gateway.Config{})
	b.http = func(w http.ResponseWriter, _ *http.Request) error {
		_, _ = io.WriteString(w, "half")
		return errors.New("lost")
	}
	srv := httptest.NewUnstartedServer(g)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.Start()
	defer srv.Close()
	resp, err := http.Get(srv.URL + "/gateway/" + b.actor.String() + "/x")
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	if err == nil {
		t.Error("the answer looks complete")
	}
}

// Client protocol §9.3 and §12.3.
func TestWebSocket(t *testing.T) {
	g, b := newGateway(gateway.Config{})
	var seen string
	b.websocket = func(r *http.Request, upgrade func(kept bool) (ws.Socket, error)) error {
		seen = r.RequestURI
		conn, err := upgrade(true)
		if err != nil {
			return err
		}
		if _, err := upgrade(true); err == nil {
			t.Error("the socket was handed over twice")
		}
		go func() { // ends with the connection
			for {
				op, p, err := conn.ReadMessage()
				if err != nil {
					return
				}
				_ = conn.SendMessage(op, p)
			}
		}()
		return nil
	}
	srv := httptest.NewServer(g)
	defer srv.Close()
	actor := b.actor.String()

	for _, tt := range []struct {
		target    string
		protocols []string
		seen      string
	}{
		{"/gateway/t/connect?a=1&" + query, []string{"rivet", "rivet_encoding.json"}, "/connect?a=1"},
		{"/gateway/" + actor + "/websocket/a%2Fb?x", []string{"rivet"}, "/websocket/a%2Fb?x"},
		{"/gateway/" + actor + "@tok/connect", nil, "/connect"},
		{"/any/path?x=1", []string{"rivet", "rivet_target.actor", "rivet_actor." + actor}, "/any/path?x=1"},
		{"/gateway/" + actor + "/connect", []string{"rivet", "rivet_target.actor", "rivet_actor.zzz"}, "/connect"},
	} {
		conn, resp, err := websocket.Dial(t.Context(), srv.URL+tt.target, &websocket.DialOptions{
			Subprotocols: tt.protocols, HTTPHeader: http.Header{"Origin": {"http://o"}, "X-Rivet-Ray-Id": {ray}},
		})
		if err != nil {
			t.Errorf("%s: %v", tt.target, err)
			continue
		}
		if seen != tt.seen {
			t.Errorf("%s: the actor saw %q", tt.target, seen)
		}
		h := resp.Header
		if h.Get("X-Rivet-Ray-Id") != ray || h.Get("Access-Control-Allow-Origin") != "http://o" || h.Get("Sec-Websocket-Extensions") != "" {
			t.Errorf("%s: headers %v", tt.target, h)
		}
		if err := conn.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
			t.Error(err)
		}
		if _, p, err := conn.Read(t.Context()); err != nil || string(p) != "hello" {
			t.Errorf("read %q, %v", p, err)
		}
		conn.Close(websocket.StatusNormalClosure, "")
	}
}

func TestWebSocketErrors(t *testing.T) {
	actor := id.New(1).String()
	for _, tt := range []struct {
		name, target string
		protocols    []string
		setup        func(b *backend)
		want         string
	}{
		{"unknown actor", "/gateway/" + actor + "/connect", []string{"rivet"}, func(b *backend) {
			b.with = func(func(link.Actor) error) error { return refusal.ActorNotFound() }
		}, "actor.not_found"},
		{"unknown namespace", "/gateway/t/connect?" + query, []string{"rivet"}, func(b *backend) { b.resolve = refusal.NamespaceNotFound() }, "namespace.not_found"},
		{"malformed query", "/gateway/t/connect?rvt-method=get", []string{"rivet"}, nil, "guard.query_invalid_params"},
		{"bad id", "/gateway/nonsense/connect", []string{"rivet"}, nil, "core.internal_error"},
		{"unknown datacenter", "/gateway/" + id.New(9).String() + "/connect", []string{"rivet"}, nil, "datacenter.not_found"},
		{"no subprotocol", "/gateway/" + actor + "/connect", nil, nil, "guard.missing_header"},
		{"no actor", "/x", []string{"rivet", "rivet_target.actor"}, nil, "guard.missing_header"},
		{"other target", "/x", []string{"rivet", "rivet_target.moon"}, nil, "guard.no_route"},
		{"no target", "/x", []string{"rivet"}, nil, "guard.websocket_not_supported"},
		{"api route", "/actors", nil, nil, "guard.websocket_not_supported"},
		{"health", "/health/ws", []string{"rivet"}, nil, "guard.no_route"},
		{"refused by the actor", "/gateway/" + actor + "/connect", []string{"rivet"}, func(b *backend) {
			b.websocket = func(*http.Request, func(kept bool) (ws.Socket, error)) error {
				return fault.New("user", "closed", "no")
			}
		}, "user.closed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g, b := newGateway(gateway.Config{})
			if tt.setup != nil {
				tt.setup(b)
			}
			srv := httptest.NewServer(g)
			defer srv.Close()
			conn, _, err := websocket.Dial(t.Context(), srv.URL+tt.target, &websocket.DialOptions{
				Subprotocols: tt.protocols, HTTPHeader: http.Header{"X-Rivet-Ray-Id": {ray}},
			})
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = conn.Read(t.Context())
			closed, ok := errors.AsType[websocket.CloseError](err)
			if !ok || closed.Code != 1011 || closed.Reason != tt.want+"#"+ray {
				t.Errorf("closed with %v, want 1011 %s#%s", err, tt.want, ray)
			}
			conn.CloseNow()
		})
	}
}

func TestBadHandshake(t *testing.T) {
	g, b := newGateway(gateway.Config{})
	b.websocket = func(_ *http.Request, upgrade func(kept bool) (ws.Socket, error)) error {
		_, err := upgrade(true)
		return err
	}
	srv := httptest.NewServer(g)
	defer srv.Close()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET /gateway/"+b.actor.String()+"/connect HTTP/1.1\r\nHost: h\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: rivet\r\nSec-WebSocket-Version: 8\r\n\r\n")
	answer, _ := io.ReadAll(conn)
	if s := string(answer); !strings.HasPrefix(s, "HTTP/1.1 426 ") || !strings.Contains(s, "Sec-Websocket-Version: 13") {
		t.Errorf("answer %s", s)
	}
}

// nothing is a ResponseWriter that keeps nothing.
type nothing struct{ h http.Header }

func (n *nothing) Header() http.Header         { return n.h }
func (n *nothing) Write(p []byte) (int, error) { return len(p), nil }
func (n *nothing) WriteHeader(int)             {}

func BenchmarkGetOrCreateAction(b *testing.B) {
	be := &benchBackend{actor: id.New(1)}
	g := gateway.New(gateway.Config{Directory: be, Placement: be, API: http.NotFoundHandler()})
	const target = "/gateway/counter/action/increment?rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default&rvt-key=likes&rvt-crash-policy=sleep"
	w := &nothing{h: make(http.Header, 16)}
	r := httptest.NewRequest("POST", target, strings.NewReader(`{"args":[1]}`))
	r.ContentLength = -1 // as the official client sends it
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		delete(r.Header, "X-Rivet-Ray-Id")
		g.ServeHTTP(w, r)
	}
}

type benchBackend struct{ actor id.ID }

func (b *benchBackend) Resolve(context.Context, *directory.Query) (id.ID, error) { return b.actor, nil }
func (b *benchBackend) Forget(string, string, string)                            {}
func (b *benchBackend) CheckID(id.ID) error                                      { return nil }
func (b *benchBackend) With(_ context.Context, _ id.ID, fn func(link.Actor) error) error {
	return fn(b)
}
func (b *benchBackend) HTTP(w http.ResponseWriter, r *http.Request) error {
	w.WriteHeader(200)
	return nil
}
func (b *benchBackend) WebSocket(*http.Request, func(kept bool) (ws.Socket, error)) error { return nil }
func (b *benchBackend) Why(context.Context) *why.Report                                   { return &why.Report{} }
func (b *benchBackend) Stop(link.StopReason)                                              {}
