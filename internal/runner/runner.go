package runner

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/rivetgo/rivet/internal/link"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/runnerproto"
)

// Config says where the engine is and what is hosted.
type Config struct {
	Endpoint  string // URL of the engine, http or https
	Token     string
	Namespace string
	Pool      string
	Version   uint32 // of the deployment: the engine places actors on the highest
	SDK       string // version of this module, for dashboards
	Host      link.Runner
	// Admit refuses requests by their headers; nil: none.
	Admit func(http.Header) error
	Log   *slog.Logger
	// Transport carries everything that is sent to the engine; nil: http.DefaultTransport.
	Transport http.RoundTripper
}

const (
	// lostDefault is how long a runner that never heard from the engine may be without it before its actors end.
	lostDefault = 10 * time.Second
	// staleAfter is how long the engine may be silent before the runner says that it is not healthy.
	staleAfter = 20 * time.Second
	// startTimeout bounds a start: the engine gives up after as long.
	startTimeout = 30 * time.Second
	// keepEnded is how long the events of a life that is over are kept, for a reconnect.
	keepEnded = 10 * time.Minute
)

// EvictedError says that another process took this runner's place: it must not connect again.
type EvictedError struct{ Reason string }

func (e *EvictedError) Error() string {
	return "the engine replaced this runner by another one with the same key: " + e.Reason
}

// Runner is this process's end of the connection to an engine. All methods may be called concurrently.
type Runner struct {
	cfg  Config
	log  *slog.Logger
	key  string
	base *url.URL
	http *http.Client

	ctx    context.Context // ends with the runner
	cancel context.CancelFunc
	ended  chan struct{} // closed when nothing of the session is left
	ready  chan struct{} // closed by the first Init

	mu        sync.Mutex // guards all below; never held while anything waits
	started   bool
	line      *line // nil while the engine cannot be reached
	init      runnerproto.Init
	lastPing  time.Time
	lostTimer *time.Timer
	slots     map[string]*slot // newest generation of each actor that is or was here
	byID      map[id.ID]*slot
	requests  map[uint32]*request
	nextID    uint32
	tunnels   map[runnerproto.Tunnel]tunnel
	left      map[runnerproto.Tunnel]*leaving
	outgoing  outgoing
	live      int // slots that are not over
	draining  bool
	idle      chan struct{} // closed when live is 0 while draining
	begins    chan struct{} // closed, and made anew, when a slot begins
	err       error
}

// New makes a runner. Attach it to its host, then Start it.
func New(cfg Config) (*Runner, error) {
	base, err := url.Parse(strings.TrimRight(cfg.Endpoint, "/"))
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("the endpoint %q is not the http or https URL of an engine (RIVET_ENDPOINT)", cfg.Endpoint)
	}
	r := &Runner{
		cfg: cfg, log: cfg.Log, key: uuid.NewString(), base: base,
		// Redirects are not followed: they would carry the token elsewhere.
		http:  &http.Client{Transport: cfg.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		ended: make(chan struct{}), ready: make(chan struct{}), begins: make(chan struct{}),
		slots: make(map[string]*slot), byID: make(map[id.ID]*slot),
		requests: make(map[uint32]*request), tunnels: make(map[runnerproto.Tunnel]tunnel),
		left: make(map[runnerproto.Tunnel]*leaving),
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r, nil
}

// Start connects, and stays connected until Close. It returns at once. Only the first call does anything.
func (r *Runner) Start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.started {
		return
	}
	r.started = true
	go r.run() // ends after Close
}

// Key is the name of this runner in the engine.
func (r *Runner) Key() string { return r.key }

// Ready is closed when the engine has taken the runner in for the first time.
func (r *Runner) Ready() <-chan struct{} { return r.ready }

// Done is closed when the runner is over: closed, or evicted, which Err tells.
func (r *Runner) Done() <-chan struct{} { return r.ended }

// Err is why the runner ended on its own; nil while it has not.
func (r *Runner) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Healthy reports whether the engine was heard of lately. A runner that was not started is.
func (r *Runner) Healthy() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.started || !r.lastPing.IsZero() && time.Since(r.lastPing) < staleAfter
}

// Live is how many actors live here.
func (r *Runner) Live() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.live
}

// Drain has the engine move the actors elsewhere, and returns when none is left or ctx ends. Then Close.
func (r *Runner) Drain(ctx context.Context) error {
	r.mu.Lock()
	idle := r.idle
	if !r.draining {
		r.draining = true
		r.idle = make(chan struct{})
		idle = r.idle
		if r.live == 0 {
			close(idle)
		}
		if r.line != nil {
			r.line.send(&runnerproto.Stopping{})
		}
	}
	connected := r.line != nil
	r.mu.Unlock()
	if !connected { // nobody answers: what lives here ends by itself
		r.stopAll()
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stopAll asks every actor to end, without the engine.
func (r *Runner) stopAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.slots {
		if !s.over && s.live != nil {
			go s.live.Stop(link.StopSleep) // the engine did not ask for it, and hears of it as a failure
		}
	}
}

// Close ends the connection and every actor that is left. Idempotent.
func (r *Runner) Close() {
	r.mu.Lock()
	l, started := r.line, r.started
	r.started = true
	r.mu.Unlock()
	if l != nil {
		l.finish(1000, "envoy.shutdown")
	}
	r.cancel()
	if started {
		<-r.ended
	} else {
		close(r.ended)
	}
	r.loseAll("the runner was closed")
}

// loseAll ends every actor at once: somebody else may have it already.
func (r *Runner) loseAll(why string) {
	r.mu.Lock()
	var all []*slot
	for _, s := range r.slots {
		if !s.over {
			all = append(all, s)
		}
	}
	r.mu.Unlock()
	for _, s := range all {
		s.lose(errors.New(why))
	}
}

// metadata is the first message of a session.
func (r *Runner) metadata() (*runnerproto.Metadata, error) {
	info, err := json.Marshal(map[string]any{"rivetkit": map[string]string{"version": r.cfg.SDK, "language": "go"}})
	if err != nil {
		return nil, err
	}
	text := string(info)
	m := &runnerproto.Metadata{HasNames: true, JSON: &text}
	for _, n := range r.cfg.Host.Names() {
		m.Names = append(m.Names, runnerproto.ActorName{Name: n.Name, Metadata: string(n.Metadata)})
	}
	return m, nil
}

// SleepWanted implements link.Events.
func (r *Runner) SleepWanted(actor id.ID, generation uint64) {
	r.intend(actor, generation, runnerproto.IntentSleep)
}

// DestroyWanted implements link.Events.
func (r *Runner) DestroyWanted(actor id.ID, generation uint64) {
	r.intend(actor, generation, runnerproto.IntentStop)
}

func (r *Runner) intend(actor id.ID, generation uint64, intent runnerproto.Intent) {
	r.mu.Lock()
	var doomed link.Actor
	if s := r.byID[actor]; s != nil && uint64(s.generation) == generation && !s.over {
		doomed = s.intendLocked(intent)
	}
	r.mu.Unlock()
	if doomed != nil { // before the answer leaves of the call that wished it
		doomed.Stop(link.StopDestroy)
	}
}

// Stopped implements link.Events.
func (r *Runner) Stopped(actor id.ID, generation uint64, err error) {
	r.mu.Lock()
	s := r.byID[actor]
	r.mu.Unlock()
	if s != nil && uint64(s.generation) == generation {
		s.stopped(err)
	}
}

// WakeWanted implements link.Events: sockets of sleeping actors are the gateway's, which wakes them by itself.
func (r *Runner) WakeWanted(id.ID) {}

var _ link.Events = (*Runner)(nil)

// randomWait is d with up to a quarter more, so that runners that lost their engine together do not come back together.
func randomWait(d time.Duration) time.Duration {
	var b [2]byte
	rand.Read(b[:])
	return d + d/4*time.Duration(uint16(b[0])<<8|uint16(b[1]))/65536
}
