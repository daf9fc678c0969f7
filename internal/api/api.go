package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"strings"

	"github.com/rivetgo/rivet/internal/directory"
	"github.com/rivetgo/rivet/internal/placement"
	"github.com/rivetgo/rivet/internal/refusal"
	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/why"
)

// Directory finds and creates; see package directory.
type Directory interface {
	Datacenter() (name string, label uint16)
	CheckID(actor id.ID) error
	Lookup(ctx context.Context, namespace, name, key string) (store.Actor, error)
	GetOrCreate(ctx context.Context, q *directory.Query) (row store.Actor, created bool, err error)
	Create(ctx context.Context, q *directory.Query) (store.Actor, error)
	Actors(ctx context.Context, namespace string, ids []id.ID) ([]store.Actor, error)
	List(ctx context.Context, namespace string, q store.ListQuery) ([]store.Actor, error)
	Names(ctx context.Context, namespace, after string, limit int) ([]store.ActorName, error)
	Namespaces() []store.Namespace
	CreateNamespace(ctx context.Context, name, title string) (store.Namespace, error)
}

// Placement starts and ends; see package placement.
type Placement interface {
	Status(actor id.ID) placement.Status
	Start(actor id.ID)
	Sleep(ctx context.Context, actor id.ID) error
	Why(ctx context.Context, actor id.ID) *why.Report
	Destroy(ctx context.Context, actor id.ID) error
}

// Config configures an API. Directory and Placement are required.
type Config struct {
	Directory Directory
	Placement Placement

	// Version is what /metadata and /health report. Official clients compare it with their own. Default "2.3.19", the
	// version of the protocol that is spoken.
	Version string
	// Build identifies the program in /metadata: a commit and an instant. Default empty.
	Commit, BuiltAt string
	// URL is this datacenter's address as /datacenters shows it. Default "http://" and the request's host.
	URL string
	// Files, when set, serves actors as files: export, import, clone, verify.
	Files *Files
	// NotFound answers what is on no route, pages for people for instance. Default api.not_found.
	NotFound http.Handler
	// Token, when not empty, must come as "Authorization: Bearer" with every request that is not open.
	Token string
	// Logger hears of failures that clients are only told the ray id of. Default slog.Default.
	Logger *slog.Logger
}

// API is an http.Handler. Make one with New.
type API struct {
	cfg    Config
	token  [sha256.Size]byte
	routes map[string]map[string]route // pattern, method
}

// handler answers a request, or returns the error to answer with.
type handler func(w http.ResponseWriter, r *http.Request, actor id.ID) error

type route struct {
	open  bool // needs no token
	serve handler
}

// New returns an API.
func New(cfg Config) *API {
	if cfg.Version == "" {
		cfg.Version = "2.3.19"
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	a := &API{cfg: cfg, token: sha256.Sum256([]byte(cfg.Token))}
	a.routes = map[string]map[string]route{
		"/":                       {"GET": {open: true, serve: a.banner}},
		"/health":                 {"GET": {open: true, serve: a.health}},
		"/metadata":               {"GET": {open: true, serve: a.metadata}},
		"/datacenters":            {"GET": {serve: a.datacenters}},
		"/namespaces":             {"GET": {serve: a.listNamespaces}, "POST": {serve: a.createNamespace}},
		"/actors":                 {"GET": {serve: a.listActors}, "PUT": {serve: a.getOrCreateActor}, "POST": {serve: a.createActor}},
		"/actors/names":           {"GET": {serve: a.listNames}},
		"/actors/{id}":            {"DELETE": {serve: a.destroyActor}},
		"/actors/{id}/sleep":      {"POST": {serve: a.sleepActor}},
		"/actors/{id}/why":        {"GET": {serve: a.whyActor}},
		"/actors/{id}/reschedule": {"POST": {serve: a.rescheduleActor}},
	}
	if cfg.Files != nil {
		a.routes["/actors/import"] = map[string]route{"POST": {serve: a.importActor}}
		a.routes["/actors/{id}/export"] = map[string]route{"GET": {serve: a.exportActor}}
		a.routes["/actors/{id}/clone"] = map[string]route{"POST": {serve: a.cloneActor}}
		a.routes["/actors/{id}/verify"] = map[string]route{"GET": {serve: a.verifyActor}}
	}
	if cfg.NotFound != nil {
		delete(a.routes, "/") // pages have a front page of their own
	}
	return a
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	mirrorCORS(w.Header(), r)
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusOK)
		return
	}
	if err := a.serve(w, r); err != nil {
		if r.Context().Err() != nil {
			return // nobody is left to be told
		}
		e := refusal.Of(err)
		if e.Cause != nil {
			a.cfg.Logger.Error("api request failed", "ray", w.Header().Get("X-Rivet-Ray-Id"),
				"method", r.Method, "path", r.URL.Path, "code", e.Group+"."+e.Code, "error", e.Cause)
		}
		refusal.Write(w, e, e.StatusOnAPI())
	}
}

func (a *API) serve(w http.ResponseWriter, r *http.Request) error {
	pattern, actorText := match(r.URL.Path)
	methods, ok := a.routes[pattern]
	if !ok && a.cfg.NotFound != nil {
		a.cfg.NotFound.ServeHTTP(w, r)
		return nil
	}
	if !ok {
		return refusal.APINotFound()
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	rt, ok := methods[method]
	if !ok {
		return refusal.APIMethodNotAllowed()
	}
	if !rt.open {
		if err := a.authorise(r); err != nil {
			return err
		}
	}
	var actor id.ID
	if actorText != "" {
		var err error
		if actor, err = id.Parse(actorText); err != nil {
			return refusal.BadRequest("Invalid URL: Cannot parse `actor_id` with value `" + actorText + "`: " + err.Error())
		}
		if err := a.cfg.Directory.CheckID(actor); err != nil {
			return err
		}
	}
	return rt.serve(w, r, actor)
}

// match finds the pattern of a path, and the actor id in it.
func match(path string) (pattern, actor string) {
	rest, ok := strings.CutPrefix(path, "/actors/")
	if !ok || rest == "names" || rest == "import" {
		return path, ""
	}
	actor, verb, more := strings.Cut(rest, "/")
	if actor == "" {
		return "", ""
	}
	if !more {
		return "/actors/{id}", actor
	}
	return "/actors/{id}/" + verb, actor
}

func (a *API) authorise(r *http.Request) error {
	if a.cfg.Token == "" {
		return nil
	}
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return refusal.Forbidden(refusal.TokenMissing)
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	if subtle.ConstantTimeCompare(sum[:], a.token[:]) != 1 {
		return refusal.Forbidden(refusal.TokenInvalid)
	}
	return nil
}

// mirrorCORS lets any origin in that the browser names; the token is what protects.
func mirrorCORS(h http.Header, r *http.Request) {
	h.Set("Vary", "origin, access-control-request-method, access-control-request-headers")
	h.Set("Access-Control-Allow-Credentials", "true")
	mirror := func(name, from string) {
		if v := r.Header.Get(from); v != "" {
			h.Set(name, v)
		}
	}
	mirror("Access-Control-Allow-Origin", "Origin")
	mirror("Access-Control-Allow-Methods", "Access-Control-Request-Method")
	mirror("Access-Control-Allow-Headers", "Access-Control-Request-Headers")
}

func (a *API) banner(w http.ResponseWriter, _ *http.Request, _ id.ID) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "This is a Rivet engine (github.com/rivetgo/rivet).\n\nDocumentation: https://rivet.dev/docs\n")
	return nil
}

func (a *API) health(w http.ResponseWriter, _ *http.Request, _ id.ID) error {
	return answer(w, struct {
		Runtime string `json:"runtime"`
		Status  string `json:"status"`
		Version string `json:"version"`
	}{"engine", "ok", a.cfg.Version})
}

// The newest versions of the engine's protocols that are spoken, as official clients read them from /metadata.
const (
	epoxyProtocolVersion = 3
	envoyProtocolVersion = 8
)

// metadata has the members that the official engine has; those that name its compiler name ours.
func (a *API) metadata(w http.ResponseWriter, _ *http.Request, _ id.ID) error {
	platform := runtime.GOOS + "/" + runtime.GOARCH
	return answer(w, struct {
		Runtime      string `json:"runtime"`
		Version      string `json:"version"`
		GitSHA       string `json:"git_sha"`
		BuiltAt      string `json:"build_timestamp"`
		RustcVersion string `json:"rustc_version"`
		RustcHost    string `json:"rustc_host"`
		CargoTarget  string `json:"cargo_target"`
		CargoProfile string `json:"cargo_profile"`
		Epoxy        int    `json:"epoxy_protocol_version"`
		Envoy        int    `json:"envoy_protocol_version"`
	}{
		"engine", a.cfg.Version, a.cfg.Commit, a.cfg.BuiltAt, runtime.Version(), platform, platform, "release",
		epoxyProtocolVersion, envoyProtocolVersion,
	})
}

func (a *API) datacenters(w http.ResponseWriter, r *http.Request, _ id.ID) error {
	if _, err := parseQuery(r, "namespace"); err != nil {
		return err
	}
	type datacenter struct {
		Label uint16 `json:"label"`
		Name  string `json:"name"`
		URL   string `json:"url"`
	}
	name, label := a.cfg.Directory.Datacenter()
	url := a.cfg.URL
	if url == "" {
		url = "http://" + r.Host
	}
	return answer(w, struct {
		Datacenters []datacenter `json:"datacenters"`
		Pagination  pagination   `json:"pagination"`
	}{Datacenters: []datacenter{{label, name, strings.TrimSuffix(url, "/") + "/"}}})
}

// answer writes v as JSON with status 200.
func answer(w http.ResponseWriter, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return refusal.Internal(err)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(bytes.TrimSuffix(b.Bytes(), []byte{'\n'}))
	return nil
}

// empty is the answer of calls that have nothing to say.
func empty(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, "{}")
	return nil
}
