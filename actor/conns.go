package actor

import (
	"errors"
	"fmt"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/internal/codec"
	"github.com/rivetgo/rivet/internal/contract"
	"github.com/rivetgo/rivet/internal/host"
)

// Conn is a client's connection to the actor. Methods may be called concurrently, also after the connection is gone.
type Conn struct{ conn *host.Conn }

func connOf(hc *host.Conn) *Conn {
	if hc == nil {
		return nil
	}
	return &Conn{hc}
}

// ID is the connection's id, a UUID: a reconnect has a new one.
func (c *Conn) ID() string { return c.conn.ID() }

// Transient reports whether this is the connection of a single HTTP call, which cannot receive events.
func (c *Conn) Transient() bool { return c.conn.Transient() }

// Hibernatable reports whether the connection stays open while the actor sleeps. It then has the same id, params, state and
// subscriptions after the wake, in another Conn.
func (c *Conn) Hibernatable() bool { return c.conn.Hibernates() }

// Open reports whether the connection still exists.
func (c *Conn) Open() bool { return c.conn.Open() }

// Params is what the client presented, undecoded.
func (c *Conn) Params() rivet.Raw { return c.conn.Params() }

// Request is the upgrade, or the call, that made the connection.
func (c *Conn) Request() (Request, bool) {
	r := c.conn.Request()
	if r == nil {
		return Request{}, false
	}
	return Request(*r), true
}

// Disconnect closes the connection; its client sees the reason (at most 123 bytes) with code 1000. Official clients
// connect again at once: to keep one out, refuse it when it connects. In a turn it happens when the turn succeeds.
func (c *Conn) Disconnect(by *Ctx, reason string) { by.call.Disconnect(c.conn, reason) }

// ConnState names what an actor keeps about each connection: the result of the function given to OnConnect. Declare one
// as a package-level variable; its zero value is ready.
type ConnState[M any] struct{}

// Of returns the state of the connection that made the call. It may be read and changed within the turn, and is rolled
// back with it. ok is false outside a turn, and when the call has no connection.
func (cs ConnState[M]) Of(c *Ctx) (m *M, ok bool) { return cs.On(c, c.Conn()) }

// On returns the state of any connection of the actor, with the rules of Of.
func (ConnState[M]) On(c *Ctx, conn *Conn) (m *M, ok bool) {
	if conn == nil {
		return nil, false
	}
	b, ok := c.call.ConnState(conn.conn).(*box[M])
	if !ok {
		return nil, false
	}
	return b.s, true
}

// BeforeConnect binds a check that runs before a connection exists: an error refuses it. It also runs for the transient
// connection of every HTTP call. Who was refused sees the error if it is a *rivet.Error.
func BeforeConnect[I, S, P any](d *Spec[I, S], params rivet.Params[I, P], check func(s *S, c *Ctx, p P) error) {
	at := contract.Caller(0)
	if check == nil {
		d.mistake(at, "the function given to BeforeConnect is nil")
		return
	}
	bindBeforeConnect(d, params, check, at)
}

func bindBeforeConnect[I, S, P any](d *Spec[I, S], params rivet.Params[I, P], check func(s *S, c *Ctx, p P) error, at contract.Position) {
	switch {
	case d.beforeConnect != nil:
		d.mistake(at, "BeforeConnect is bound twice: remove one")
		return
	case params.Actor().Contract() != d.contract:
		d.mistake(at, "the params given to BeforeConnect belong to actor %q", params.Actor().Name())
		return
	}
	d.beforeConnect = func(hc *host.Call, s *S, raw []byte) error {
		var p P
		if err := decodeParams(raw, &p); err != nil {
			return err
		}
		return wire(check(s, &Ctx{hc}, p))
	}
}

// BeforeConnectConcurrent is BeforeConnect with a check that runs outside the turn, at the same time as everything else:
// for slow ones, such as a question to another service. It takes turns with self.
func BeforeConnectConcurrent[I, S, P any](d *Spec[I, S], params rivet.Params[I, P], check func(c *Ctx, self Self[S], p P) error) {
	at := contract.Caller(0)
	if check == nil {
		d.mistake(at, "the function given to BeforeConnectConcurrent is nil")
		return
	}
	d.concurrentBefore = true
	bindBeforeConnect(d, params, func(_ *S, c *Ctx, p P) error { return check(c, Self[S]{c.call}, p) }, at)
}

// OnConnect binds what makes the state of a new connection, before the connection is visible: an error refuses it. It
// also runs for the transient connection of every HTTP call. Who was refused sees the error if it is a *rivet.Error.
func OnConnect[I, S, P, M any](d *Spec[I, S], params rivet.Params[I, P], _ ConnState[M], join func(s *S, c *Ctx, p P) (M, error)) {
	at := contract.Caller(0)
	if join == nil {
		d.mistake(at, "the function given to OnConnect is nil")
		return
	}
	bindOnConnect(d, params, join, at)
}

func bindOnConnect[I, S, P, M any](d *Spec[I, S], params rivet.Params[I, P], join func(s *S, c *Ctx, p P) (M, error), at contract.Position) {
	switch {
	case d.connState != nil:
		d.mistake(at, "OnConnect is bound twice: remove one")
		return
	case params.Actor().Contract() != d.contract:
		d.mistake(at, "the params given to OnConnect belong to actor %q", params.Actor().Name())
		return
	}
	if why := storable[M]("connection state"); why != "" {
		d.mistake(at, "%s", why)
		return
	}
	fields := durableFieldsOf[M]()
	d.newConnState = func() host.State { return &box[M]{s: new(M), fields: fields} }
	d.connState = func(hc *host.Call, s *S, raw []byte) (host.State, error) {
		var p P
		if err := decodeParams(raw, &p); err != nil {
			return nil, err
		}
		m, err := join(s, &Ctx{hc}, p)
		if err != nil {
			return nil, wire(err)
		}
		return &box[M]{s: &m, fields: fields}, nil
	}
}

// OnConnectConcurrent is OnConnect with a function that runs outside the turn, at the same time as everything else. It
// takes turns with self.
func OnConnectConcurrent[I, S, P, M any](d *Spec[I, S], params rivet.Params[I, P], _ ConnState[M], join func(c *Ctx, self Self[S], p P) (M, error)) {
	at := contract.Caller(0)
	if join == nil {
		d.mistake(at, "the function given to OnConnectConcurrent is nil")
		return
	}
	d.concurrentJoin = true
	bindOnConnect(d, params, func(_ *S, c *Ctx, p P) (M, error) { return join(c, Self[S]{c.call}, p) }, at)
}

// CanSubscribe binds a check of who may listen to an event: an error or false closes the connection with
// auth.forbidden.
func CanSubscribe[I, S, P any](d *Spec[I, S], event rivet.Event[I, P], may func(s *S, c *Ctx) (bool, error)) {
	at := contract.Caller(0)
	switch {
	case may == nil:
		d.mistake(at, "the function given to CanSubscribe is nil")
		return
	case event.Actor().Contract() != d.contract:
		d.mistake(at, "event %q belongs to actor %q", event.Name(), event.Actor().Name())
		return
	case d.canSubscribe[event.Name()] != nil:
		d.mistake(at, "CanSubscribe is bound twice for event %q: remove one", event.Name())
		return
	}
	if d.canSubscribe == nil {
		d.canSubscribe = make(map[string]func(*host.Call, *S) (bool, error))
	}
	d.canSubscribe[event.Name()] = func(hc *host.Call, s *S) (bool, error) {
		ok, err := may(s, &Ctx{hc})
		return ok, wire(err)
	}
}

// Broadcast sends an event to every connection that subscribed to it. In a turn it leaves when the turn is durable, and
// not at all when the turn fails; elsewhere it waits for the commits made before it. A payload that cannot be sent (an
// unencodable value, one over Options.MaxOutgoingBytes) panics: in a turn, the turn fails.
func Broadcast[I, P any](c *Ctx, event rivet.Event[I, P], payload P) {
	must(event.Name(), c.call.Broadcast(event.Name(), eventArgs(c, event, payload)))
}

// Send sends an event to one connection, whether it subscribed or not. It leaves as Broadcast does. A transient
// connection cannot receive events: sending to it is an error.
func Send[I, P any](c *Ctx, conn *Conn, event rivet.Event[I, P], payload P) error {
	if conn == nil {
		return errors.New("actor: Send to no connection: the call has none")
	}
	if err := c.call.Send(conn.conn, event.Name(), eventArgs(c, event, payload)); err != nil {
		return local(err)
	}
	return nil
}

func eventArgs[I, P any](c *Ctx, event rivet.Event[I, P], payload P) []byte {
	if owner := event.Actor().Name(); owner != c.Name() {
		panic(fmt.Sprintf("event %q belongs to actor %q and was sent by actor %q", event.Name(), owner, c.Name()))
	}
	args, err := codec.AppendArgs(nil, &payload)
	must(event.Name(), err)
	return args
}

func must(event string, err error) {
	if err != nil {
		panic(fmt.Sprintf("event %q cannot be sent: %v", event, err))
	}
}
