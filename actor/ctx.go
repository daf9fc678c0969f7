package actor

import (
	"context"
	"database/sql"
	"log/slog"
	"net/http"
	"reflect"
	"runtime"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/internal/actordb"
	"github.com/rivetgo/rivet/internal/host"
)

// Ctx is one run of a handler or hook: a context.Context that ends with the run, at its deadline, or when the actor's
// time is over. It must not be kept. Its methods may be called concurrently.
type Ctx struct{ call *host.Call }

var _ context.Context = (*Ctx)(nil)

// Deadline is when the run is given up; ok is false when it has no deadline.
func (c *Ctx) Deadline() (time.Time, bool) { return c.call.Deadline() }

// Done is closed when the run is over. See Stopping for a sign that comes earlier.
func (c *Ctx) Done() <-chan struct{} { return c.call.Done() }

// Err says why Done is closed.
func (c *Ctx) Err() error { return c.call.Err() }

// Value carries the call chain, so that calls made with this context can be recognised when they come back.
func (c *Ctx) Value(key any) any { return c.call.Value(key) }

// Stopping is closed as soon as the actor begins to go to sleep or to be destroyed; work then has the rest of
// Options.GracePeriod to come to its end.
func (c *Ctx) Stopping() <-chan struct{} { return c.call.Stopping() }

// ActorID is the actor's id: a new one after the actor was destroyed and created again.
func (c *Ctx) ActorID() string { return c.call.Actor().ID() }

// Name is the actor's type.
func (c *Ctx) Name() string { return c.call.Actor().Name() }

// Key is the actor's key.
func (c *Ctx) Key() rivet.Key { return rivet.Key(c.call.Actor().Key()) }

// Generation counts the lives of the actor; it grows with each wake.
func (c *Ctx) Generation() uint64 { return c.call.Actor().Generation() }

// Log writes with the actor's name, key, id and generation.
func (c *Ctx) Log() *slog.Logger { return c.call.Log() }

// Client calls other actors. Calls made with this Ctx wait for the commits of earlier turns, not for the turn that makes
// them, which may still fail: use them for asking.
func (c *Ctx) Client() *rivet.Client {
	client, _ := c.call.Actor().Env().Client.(*rivet.Client)
	return client
}

// DB is the actor's own SQLite database. In a turn all statements are a part of the turn: they happen together with what it
// changes in the state, or not at all; Begin is a savepoint. The *sql.DB may be kept for later turns, given the Ctx at hand.
// Outside turns (run loops, concurrent handlers) each statement, and each transaction from BeginTx to Commit, is a turn of its
// own. Errors of SQLite are *SQLError.
func (c *Ctx) DB() *sql.DB { return c.call.DB() }

// ReadDB is the database as of the last commit, for reading only: it sees nothing of the turn under way, and waits for
// nobody. Each statement, or transaction, sees one commit whole.
func (c *Ctx) ReadDB() *sql.DB { return c.call.ReadDB() }

// RuntimeSocket is the path of a Unix socket for SQL in the actor's database, for programs of the same user on the same machine.
// The first call opens it; it is gone when the actor sleeps or ends, and another one in each life. Each request is a turn of its
// own, a lease is one over several requests, for Options.TransactionTimeout at most; neither keeps the actor awake. Errors are
// actor_runtime_socket.not_enabled (see Options.RuntimeSocket), closed, unsupported. The protocol is that of upstream's companion
// processes (docs/sql.md).
func (c *Ctx) RuntimeSocket() (path string, err error) { return c.call.RuntimeSocket() }

// SQLError is what SQLite says of a statement that failed, for errors.As.
type SQLError = actordb.Error

// Conn is the connection that made the call: a standing one, or the transient one of a single HTTP call. It is nil in
// hooks of the actor's life and in background work.
func (c *Ctx) Conn() *Conn { return connOf(c.call.Conn()) }

// Conns lists the connections, transient ones included, in no order.
func (c *Ctx) Conns() []*Conn {
	all := c.call.Actor().Conns()
	out := make([]*Conn, len(all))
	for i, hc := range all {
		out[i] = connOf(hc)
	}
	return out
}

// Sleep asks that the actor go to sleep. It returns at once; in a turn the wish counts when the turn succeeds.
func (c *Ctx) Sleep() { c.call.Sleep() }

// Destroy asks that the actor and everything it stored be destroyed. It returns at once; in a turn the wish counts when
// the turn succeeds. The actor then accepts no calls, and its key is free for a new actor.
func (c *Ctx) Destroy() { c.call.Destroy() }

// WakeAt asks that the actor be awake for its run loop at an instant, whatever it was put to sleep for; the zero time asks
// for nothing any more. One instant is kept, durable with the turn; outside a turn it is one of its own. Without
// Spec.Run it is actor.run_handler_unavailable. For actions use At.
func (c *Ctx) WakeAt(at time.Time) error { return local(c.call.SetWakeAt(at)) }

// Save returns when every turn so far is durable, or with an error that says it may not be. A turn itself need not call
// it: its own changes are durable before its reply leaves.
func (c *Ctx) Save(ctx context.Context) error { return local(c.call.Save(ctx)) }

// KeepAwake runs fn in the background. While it runs the actor does not fall asleep for being idle, and an end of the
// actor waits for it up to Options.GracePeriod. Its error is logged. In a turn it begins when the turn is durable, and not
// at all when the turn fails. To touch the state, take a turn:
//
//	c.KeepAwake(func(c *actor.Ctx) error { return actor.SelfOf(c, s).Do(func(s *state) { s.Done++ }) })
func (c *Ctx) KeepAwake(fn func(c *Ctx) error) {
	c.call.KeepAwake(nameOf(fn), func(hc *host.Call) error { return wire(fn(&Ctx{hc})) })
}

// WaitUntil is KeepAwake that does not hold off sleep: only an end that has begun waits for it.
func (c *Ctx) WaitUntil(fn func(c *Ctx) error) {
	c.call.WaitUntil(nameOf(fn), func(hc *host.Call) error { return wire(fn(&Ctx{hc})) })
}

// nameOf is the name of a function, for people who ask what an actor is doing.
func nameOf(fn func(*Ctx) error) string {
	f := runtime.FuncForPC(reflect.ValueOf(fn).Pointer())
	if f == nil {
		return ""
	}
	return f.Name()
}

// Request is the HTTP request or upgrade behind a call.
type Request struct {
	Method     string
	Path       string // the actor's own path, as in "/action/increment"
	Query      string // without the gateway's own parameters
	Header     http.Header
	RemoteAddr string
}

// Request is what caused the call; ok is false when no request did. The header must not be changed.
func (c *Ctx) Request() (Request, bool) {
	r := c.call.Request()
	if r == nil {
		return Request{}, false
	}
	return Request(*r), true
}

// Self is the way to the state for code that runs outside the turn. It may be used concurrently, for as long as the Ctx
// it came with.
type Self[S any] struct{ call *host.Call }

// SelfOf returns the Self of background work: s only says of which type the state is.
func SelfOf[S any](c *Ctx, s *S) Self[S] { return Self[S]{c.call} }

// Do runs fn as one turn. Events that fn wants to send need the turn's own Ctx: see Turn.
func (self Self[S]) Do(fn func(s *S)) error {
	return self.Turn(func(s *S, _ *Ctx) error { fn(s); return nil })
}

// Turn runs fn as one turn with a Ctx of its own: what is sent through it leaves when the turn is durable, and nothing of
// the turn stays when fn returns an error, which Turn then returns. Turn does not wait for durability: replies and events
// that leave later wait by themselves; use Ctx.Save to wait explicitly.
func (self Self[S]) Turn(fn func(s *S, c *Ctx) error) error {
	var failed error
	err := self.call.Do(func(hc *host.Call, s host.State) error {
		failed = fn(unbox[S](s), &Ctx{hc})
		return wire(failed)
	})
	if failed != nil {
		return failed
	}
	return local(err)
}
