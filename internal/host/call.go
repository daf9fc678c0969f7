package host

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/rivetgo/rivet/internal/callchain"
	"github.com/rivetgo/rivet/internal/schedule"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// Call is one run of user code: an action, a hook, a turn of long-lived code. It is the context of that run: it ends
// when the run ends, at its deadline, or when the actor's time is over. Its methods may be called concurrently, but
// not after the run.
type Call struct {
	actor    *Actor
	conn     *Conn
	request  *Request
	chain    []string // actors that wait for this call, this one not included
	deadline time.Time
	turn     *turn // the turn this call runs in; nil for concurrent code
	firing   *schedule.Firing
	loop     bool // it is the run loop's

	mu     sync.Mutex // guards all below
	ctx    context.Context
	cancel context.CancelFunc
	ended  bool
	sql    callDB
}

var (
	_ context.Context  = (*Call)(nil)
	_ callchain.Sender = (*Call)(nil)
)

// base makes the real context on first use: most handlers never ask.
func (c *Call) base() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx == nil {
		parent := c.actor.alive
		if c.deadline.IsZero() {
			c.ctx, c.cancel = context.WithCancel(parent)
		} else {
			c.ctx, c.cancel = context.WithDeadline(parent, c.deadline)
		}
		if c.ended {
			c.cancel()
		}
	}
	return c.ctx
}

// end ends the context.
func (c *Call) end() {
	if err := c.closeDB(); err != nil {
		c.Log().Error("a transaction was left open", "error", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.cancel != nil {
		c.cancel()
	}
}

// late reports whether the call's deadline has passed.
func (c *Call) late() bool { return !c.deadline.IsZero() && !time.Now().Before(c.deadline) }

// Deadline is the instant at which the call is given up; ok is false when it has none.
func (c *Call) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

// Done is closed when the call is over, whatever ended it.
func (c *Call) Done() <-chan struct{} { return c.base().Done() }

// Err says why Done is closed.
func (c *Call) Err() error { return c.base().Err() }

// Value answers for the call chain, so that calls made with this context carry it, and for the call itself.
func (c *Call) Value(key any) any {
	if callchain.Value(key) {
		return c.outgoingChain()
	}
	if callchain.IsSenderKey(key) {
		return c
	}
	if key == (callKey{}) {
		return c
	}
	return c.base().Value(key)
}

// BeforeSend makes a call that leaves from here wait for the commits of earlier turns: what it reveals must not be lost.
// The turn that makes it may still fail.
func (c *Call) BeforeSend(ctx context.Context) error {
	if c.actor.spec.Options.Undurable {
		return nil
	}
	return c.actor.gate.wait(ctx, 0)
}

// outgoingChain is the chain of calls made from here: it names this actor only while its turn is held, since only then
// would a call that comes back wait for ever.
func (c *Call) outgoingChain() []string {
	if c.turn == nil || c.turn.over.Load() {
		return c.chain
	}
	return append(c.chain[:len(c.chain):len(c.chain)], c.actor.idText)
}

// asked reports whether somebody outside the actor caused the call.
func (c *Call) asked() bool { return c.conn != nil || c.request != nil }

// Actor is the actor that the call runs on.
func (c *Call) Actor() *Actor { return c.actor }

// Conn is the connection that made the call; nil for hooks and long-lived code.
func (c *Call) Conn() *Conn { return c.conn }

// Request is what caused the call; nil when no request did.
func (c *Call) Request() *Request { return c.request }

// Log is the actor's logger.
func (c *Call) Log() *slog.Logger { return c.actor.Log() }

// Stopping is closed as soon as the actor begins to stop: long work should then come to its end.
func (c *Call) Stopping() <-chan struct{} { return c.actor.stopping }

// inTurn returns the turn that the call holds right now.
func (c *Call) inTurn() *turn {
	if c.turn == nil || c.turn.over.Load() {
		return nil
	}
	return c.turn
}

// emit hands an output to the turn, or to the gate when the call holds none.
func (c *Call) emit(o output) {
	if t := c.inTurn(); t != nil && t.emit(o) {
		return
	}
	c.actor.gate.push(o)
}

// Broadcast sends an event to every connection that subscribed to it. args is a CBOR array. Inside a turn it leaves
// with the turn's other outputs, and not at all when the turn fails.
func (c *Call) Broadcast(name string, args []byte) error {
	if err := c.actor.checkOutgoing(len(args)); err != nil {
		return err
	}
	to := c.actor.conns.subscribers(name)
	if len(to) == 0 {
		return nil
	}
	c.emit(output{event: &Event{Name: name, Args: args}, to: to})
	return nil
}

// Send sends an event to one connection, whether it subscribed or not.
func (c *Call) Send(conn *Conn, name string, args []byte) error {
	if err := c.actor.checkOutgoing(len(args)); err != nil {
		return err
	}
	if conn.sink == nil {
		return fault.New("connection", "not_configured", "this connection is a single HTTP call: it cannot receive events")
	}
	if conn.Raw() {
		return fault.New("connection", "not_configured", "this connection is a raw WebSocket: write messages to it instead of sending events")
	}
	c.emit(output{event: &Event{Name: name, Args: args}, to: []*Conn{conn}})
	return nil
}

// Disconnect closes a connection with a reason that its client sees. Its OnDisconnect hook runs afterwards.
func (c *Call) Disconnect(conn *Conn, reason string) {
	c.emit(output{act: func() { conn.close(1000, reason) }})
}

// Sleep asks that the actor go to sleep. Inside a turn it is asked when the turn has succeeded.
func (c *Call) Sleep() { c.emit(output{act: c.actor.owner.SleepWanted}) }

// Destroy asks that the actor be destroyed. From then on it accepts no calls. The wish is durable with the turn: should
// the process end before it is fulfilled, the next one fulfils it.
func (c *Call) Destroy() {
	a := c.actor
	err := c.change(func(t *turn) error {
		if !a.doomed {
			t.stage.onUndo(func() { a.doomed = false })
			a.doomed = true
			t.stage.put(record.Key(record.KindDoomed), record.Seal(nil))
		}
		return nil
	})
	if err != nil && !errors.Is(err, errReadOnly) {
		c.Log().Warn("the wish to be destroyed is not durable", "error", err)
	}
	c.emit(output{act: func() {
		a.refuse(errDestroying)
		a.owner.DestroyWanted()
	}})
}

// ConnState is the state of a connection, for reading and changing within the turn that the call holds. It is nil when
// the connection has none or the call holds no turn.
func (c *Call) ConnState(conn *Conn) State {
	t := c.inTurn()
	if t == nil || conn == nil || conn.state == nil {
		return nil
	}
	if err := t.touch(conn); err != nil {
		c.Log().Error("connection state is not usable", "error", err)
		return nil
	}
	return conn.state
}

// Save returns when everything that was committed so far is durable. Inside a turn that is the turns before it: a
// turn's own changes are durable before its reply leaves.
func (c *Call) Save(ctx context.Context) error { return c.actor.gate.wait(ctx, 0) }

// KeepAwake runs fn on a goroutine of the actor. While it runs the actor does not fall asleep when idle, and stopping
// waits for it up to the grace period. An error is logged. Inside a turn it begins when the turn is durable, and not at
// all when the turn fails.
// where names fn for people.
func (c *Call) KeepAwake(where string, fn func(c *Call) error) {
	c.emit(output{act: func() { c.actor.spawn("keep_awake", where, true, fn) }})
}

// WaitUntil is KeepAwake that does not hold off sleep: only stopping waits for it.
func (c *Call) WaitUntil(where string, fn func(c *Call) error) {
	c.emit(output{act: func() { c.actor.spawn("wait_until", where, false, fn) }})
}

// Do runs fn as one turn of its own. It fails at once inside a turn, which would wait for itself.
func (c *Call) Do(fn func(c *Call, s State) error) error {
	if t := c.inTurn(); t != nil {
		if t.changed.Load() {
			return errReentrant
		}
		return fault.New("actor", "nested_turn", "Do was called inside a turn, which would wait for itself: change the state directly")
	}
	return c.actor.do(c, fn)
}
