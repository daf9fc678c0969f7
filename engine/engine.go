package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
	"github.com/rivetgo/rivet/internal/actordb"
	"github.com/rivetgo/rivet/internal/alarm"
	"github.com/rivetgo/rivet/internal/api"
	"github.com/rivetgo/rivet/internal/deliver"
	"github.com/rivetgo/rivet/internal/dial"
	"github.com/rivetgo/rivet/internal/directory"
	"github.com/rivetgo/rivet/internal/gateway"
	"github.com/rivetgo/rivet/internal/host"
	"github.com/rivetgo/rivet/internal/link/inprocess"
	"github.com/rivetgo/rivet/internal/pipenet"
	"github.com/rivetgo/rivet/internal/placement"
	"github.com/rivetgo/rivet/internal/rig"
	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/version"
	"github.com/rivetgo/rivet/internal/wire/id"
)

// Version is the version of this module.
const Version = version.Version

const (
	headTimeout = 10 * time.Second
	idleTimeout = 2 * time.Minute
)

// DefinitionError is the list of everything that is wrong with the definitions given to Start.
type DefinitionError = actor.DefinitionError

// Engine is a running engine with the actors it hosts. All methods may be called concurrently.
type Engine struct {
	cfg    Config
	log    *slog.Logger
	names  []string
	sample sample // a call of the first actor, for the banner

	store     store.Store
	placement *placement.Placement
	alarms    *alarm.Clock
	runner    *inprocess.Runner
	client    *rivet.Client
	inside    *pipenet.Listener
	listener  net.Listener
	server    *http.Server
	handler   http.Handler
	// Actors call each other through a front of their own: they need no token, and a crowd outside does not keep them out.
	insideServer *http.Server
	deliverer    *dial.Client

	stopReaper context.CancelFunc
	closeOnce  sync.Once
	closeErr   error
	done       chan struct{} // closed when the engine stopped serving, by Close or on its own

	mu  sync.Mutex // guards err
	err error
}

// Start starts an engine that hosts the given actors and returns when it serves. ctx bounds the start only. Close ends it.
//
// Errors: *DefinitionError with all mistakes of all definitions; a wrong setting; *embedded.LockedError when another
// process uses the storage directory; an address in use.
func Start(ctx context.Context, cfg Config, actors ...actor.Definition) (*Engine, error) {
	return start(ctx, cfg, actors)
}

func start(ctx context.Context, cfg Config, actors []actor.Definition) (_ *Engine, err error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	specs, err := actor.Compile(actors...)
	if err != nil {
		return nil, &DefinitionError{Mistakes: err}
	}
	e := &Engine{cfg: cfg, log: cfg.logger(), done: make(chan struct{})}
	for _, s := range specs {
		e.names = append(e.names, s.Name)
	}
	if len(specs) > 0 {
		e.sample = sampleOf(specs[0])
	}
	defer func() {
		if err != nil {
			e.undo()
		}
	}()
	parts := rig.From(ctx)
	if err := e.open(ctx, parts); err != nil {
		return nil, err
	}
	e.inside = pipenet.Listen()
	if e.client, err = e.newClient(); err != nil {
		return nil, err
	}
	deliver, err := e.outbox()
	if err != nil {
		return nil, err
	}
	e.runner = inprocess.New(specs, &host.Env{Databases: actordb.NewPool(cfg.DatabaseMemory<<20, cfg.DatabaseIdle), Log: e.log, Client: e.client, Deliver: deliver, ExposeErrors: cfg.ExposeErrors}, Version)
	if err := e.assemble(ctx, e.runner); err != nil {
		return nil, err
	}
	e.serve()
	if parts != nil {
		parts.Started(e.controls())
	}
	return e, nil
}

// newClient makes the client that actors call other actors with: the ordinary one, over pipes inside the process.
func (e *Engine) newClient() (*rivet.Client, error) {
	return rivet.NewClient("http://engine.internal", &rivet.ClientOptions{
		Namespace: directory.DefaultNamespace, Pool: directory.DefaultPool,
		DialContext: e.inside.Dial, DisableMetadataLookup: true, Logger: e.log,
	})
}

// outbox makes what hands messages from one actor to another: a client of its own, over pipes inside the process.
func (e *Engine) outbox() (func(context.Context, *host.Outgoing) error, error) {
	c, err := dial.New(dial.Config{
		Endpoint: "http://engine.internal", Namespace: directory.DefaultNamespace, Pool: directory.DefaultPool,
		Transport: dial.Transport{Dial: e.inside.Dial}, NoRedirect: true, Log: e.log,
	})
	if err != nil {
		return nil, err
	}
	e.deliverer = c
	return deliver.New(c), nil
}

// fromOutside keeps clients from speaking for an actor's outbox.
func fromOutside(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del(dial.HeaderOutbox)
		next.ServeHTTP(w, r)
	})
}

// assemble puts the engine half together around the runner.
func (e *Engine) assemble(ctx context.Context, runner *inprocess.Runner) error {
	dir, err := directory.Open(ctx, e.store, directory.Config{
		Logger: e.log,
		Lost:   func(actor id.ID, err error) { e.placement.Abort(actor, err) },
	})
	if err != nil {
		return err
	}
	e.placement = placement.New(e.store, runner, placement.Config{
		NamespaceName: dir.NamespaceName,
		Left: func(row store.Actor) {
			if row.HasKey {
				dir.Forget(dir.NamespaceName(row.Namespace), row.Name, row.Key)
			}
			e.alarms.Left(row.ID)
		},
		Logger: e.log,
	})
	e.alarms = alarm.New(e.store, e.placement, alarm.Config{Logger: e.log})
	runner.Attach(e.placement)
	var names []store.ActorName
	for _, n := range runner.Names() {
		names = append(names, store.ActorName{Name: n.Name, Metadata: n.Metadata})
	}
	if err := dir.Announce(ctx, directory.DefaultNamespace, names); err != nil {
		return err
	}
	e.handler = fromOutside(e.front(dir, e.cfg.AdminToken, e.cfg.GatewayToken, e.cfg.Pages))
	e.insideServer = &http.Server{Handler: e.front(dir, "", "", nil), ReadHeaderTimeout: headTimeout}
	return nil
}

// front makes a gateway with the control API behind it.
func (e *Engine) front(dir *directory.Directory, adminToken, gatewayToken string, pages http.Handler) http.Handler {
	return gateway.New(gateway.Config{
		Directory: dir, Placement: e.placement, Token: gatewayToken, Logger: e.log,
		API: api.New(api.Config{
			Directory: dir, Placement: e.placement, Token: adminToken, Version: Version, URL: e.URL(), NotFound: pages, Logger: e.log,
			Files: &api.Files{Store: e.store, Left: e.alarms.Left},
		}),
	})
}

// serve begins to serve clients and actors.
func (e *Engine) serve() {
	e.server = &http.Server{Handler: e.handler, ErrorLog: slog.NewLogLogger(e.log.Handler(), slog.LevelDebug)}
	// A request's head is small; bodies and answers may stream for as long as they like.
	reaper := newReaper(headTimeout, idleTimeout)
	reaper.attach(e.server)
	ctx, stop := context.WithCancel(context.Background())
	e.stopReaper = stop
	go reaper.run(ctx) // ends with Close
	for l, server := range map[net.Listener]*http.Server{e.listener: e.server, e.inside: e.insideServer} {
		go func() { // ends when the listener closes
			if err := server.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
				e.fail(fmt.Errorf("serving on %s: %w", l.Addr(), err))
			}
		}()
	}
	e.alarms.Start() // not before: actors that it wakes may call others
}

// fail ends the engine because it cannot serve any more.
func (e *Engine) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err == nil {
		e.err = err
		e.log.Error("the engine stopped serving", "error", err)
		close(e.done)
	}
}

// undo closes what a failed start opened.
func (e *Engine) undo() {
	if e.listener != nil {
		e.listener.Close()
	}
	if e.alarms != nil {
		e.alarms.Close()
	}
	if e.placement != nil {
		e.placement.Close()
	}
	if e.client != nil {
		e.client.Close()
	}
	if e.deliverer != nil {
		e.deliverer.Close()
	}
	if e.store != nil {
		e.store.Close()
	}
}

// URL is the address that clients use: http://host:port.
func (e *Engine) URL() string {
	host, port, err := net.SplitHostPort(e.listener.Addr().String())
	if err != nil {
		return "http://" + e.listener.Addr().String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1" // listening everywhere: this machine's own address always works
	}
	return "http://" + net.JoinHostPort(host, port)
}

// Client calls the engine's actors from inside the process, without the network. It ends with the engine.
func (e *Engine) Client() *rivet.Client { return e.client }

// Handler is the gateway and the control API, to be mounted in a server of the caller's at the root of its host.
func (e *Engine) Handler() http.Handler { return e.handler }

// Done is closed when the engine has stopped serving: after Close, or when it failed.
func (e *Engine) Done() <-chan struct{} { return e.done }

// Err is why the engine stopped on its own; nil when it did not.
func (e *Engine) Err() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

// Close stops the engine in good order: no new connections, every actor ends its work and runs OnSleep, within
// Config.ShutdownTimeout; then the store closes. Everything acknowledged is durable, whatever Close returns. Idempotent.
func (e *Engine) Close() error {
	e.closeOnce.Do(func() { e.closeErr = e.close() })
	return e.closeErr
}

func (e *Engine) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), e.cfg.ShutdownTimeout)
	defer cancel()
	e.listener.Close()
	e.alarms.Close() // or it would wake what is being stopped
	var errs []error
	e.runner.Close()
	drained := e.progress()
	if err := e.placement.Drain(ctx, nil); err != nil {
		errs = append(errs, fmt.Errorf("some actors were cut off: %w", err))
	}
	drained()
	e.inside.Close()
	if err := errors.Join(e.client.Close(), e.deliverer.Close()); err != nil {
		errs = append(errs, err)
	}
	// The sockets of actors are closed by now; what is left are requests that get their answers.
	for _, server := range []*http.Server{e.server, e.insideServer} {
		if err := server.Shutdown(ctx); err != nil && !errors.Is(err, net.ErrClosed) {
			server.Close()
		}
	}
	e.stopReaper()
	e.placement.Close()
	if err := e.store.Close(); err != nil {
		errs = append(errs, fmt.Errorf("closing the store: %w", err))
	}
	e.ended()
	return errors.Join(errs...)
}

// ended tells whoever waits for Done.
func (e *Engine) ended() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err == nil {
		select {
		case <-e.done:
		default:
			close(e.done)
		}
	}
}

// progress tells once a second how many actors are still awake, for stops that take longer than that, until the function
// that it returns is called.
func (e *Engine) progress() (end func()) {
	tick, ended := time.NewTicker(time.Second), make(chan struct{})
	go func() { // ends with end
		for {
			select {
			case <-tick.C:
				e.log.Info("stopping: waiting for actors", "awake", e.placement.Held())
			case <-ended:
				return
			}
		}
	}()
	return func() {
		tick.Stop()
		close(ended)
	}
}

// Actors lists the names of the hosted actors, sorted.
func (e *Engine) Actors() []string {
	names := slices.Clone(e.names)
	slices.Sort(names)
	return names
}
