package host

import (
	"context"
	"fmt"
	"time"

	"github.com/rivetgo/rivet/internal/callchain"
	"github.com/rivetgo/rivet/internal/lifecycle"
	"github.com/rivetgo/rivet/internal/wire/fault"
)

// connectionHooks reports whether opening a connection runs user code.
func (s *Spec) connectionHooks() bool {
	return s.BeforeConnect != nil || s.ConnState != nil || s.OnConnect != nil
}

// Connect opens a connection: BeforeConnect and ConnState may refuse it, then it is visible and OnConnect runs. params is
// one CBOR item. sink is nil for the transient connection of an HTTP call. The caller has entered, and closes the
// connection with Disconnect. Whatever an OnConnect hook sends may reach the sink before Connect returns.
func (a *Actor) Connect(ctx context.Context, request *Request, params []byte, chain []string, sink Sink) (*Conn, error) {
	if a.spec.connectionHooks() && len(chain) > 0 && callchain.Closes(chain, a.idText) {
		return nil, a.visible("connect", callCycle(chain, a.idText))
	}
	if a.spec.connectionHooks() {
		var stop context.CancelFunc
		ctx, stop = a.boundWait(ctx)
		defer stop()
	}
	conn := &Conn{actor: a, params: params, request: request, sink: sink, hibernates: a.mayHibernate(sink)}
	o := &a.spec.Options
	call := func() *Call { return &Call{actor: a, request: request, chain: chain} }
	if a.spec.BeforeConnect != nil {
		err := a.connectHook(ctx, call(), "OnBeforeConnect", o.BeforeConnectTimeout, a.spec.ConcurrentBeforeConnect, func(c *Call, s State) error {
			return a.spec.BeforeConnect(c, s, params)
		})
		if err != nil {
			return nil, err
		}
	}
	if a.spec.ConnState != nil {
		made := make(chan State, 1) // a concurrent hook that comes too late must not touch conn
		err := a.connectHook(ctx, call(), "ConnState", o.ConnStateTimeout, a.spec.ConcurrentConnState, func(c *Call, s State) error {
			state, err := a.spec.ConnState(c, s, params)
			made <- state
			return err
		})
		if err != nil {
			return nil, err
		}
		conn.state = <-made
	}
	if conn.hibernates && conn.state != nil {
		encoded, err := conn.state.AppendTo(nil)
		if err != nil {
			return nil, a.visible("connect", fmt.Errorf("encode the state of a connection: %w", err))
		}
		conn.encoded = encoded // nobody else knows the connection yet
	}
	if err := a.conns.add(conn, o.MaxConnections); err != nil {
		return nil, a.visible("connect", err)
	}
	if a.spec.OnConnect != nil {
		c := call()
		c.conn = conn
		err := a.timedTurn(ctx, c, "OnConnect", o.OnConnectTimeout, func(c *Call) error {
			return a.spec.OnConnect(c, a.state, conn)
		})
		if err != nil {
			conn.gone.Store(true)
			a.conns.remove(conn)
			return nil, err
		}
	}
	return conn, nil
}

// connectHook runs a hook that may refuse a connection: as a turn, or outside the turn when it is concurrent.
func (a *Actor) connectHook(ctx context.Context, c *Call, hook string, timeout time.Duration, concurrent bool, fn func(c *Call, s State) error) error {
	if !concurrent {
		return a.timedTurn(ctx, c, hook, timeout, func(c *Call) error { return fn(c, a.state) })
	}
	c.deadline = time.Now().Add(timeout)
	done := make(chan error, 1)
	go func() { // ends when the hook returns; its context ends at the deadline
		_, err := a.protect(hook, func() ([]byte, error) { return nil, fn(c, nil) })
		c.end()
		done <- err
	}()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case err := <-done:
		switch {
		case err == nil:
			return nil
		case c.late():
			err = callbackTimedOut(hook, timeout)
		}
		return a.visible(hook, err)
	case <-timer.C:
		a.Log().Error("hook timed out", "hook", hook, "timeout", timeout)
		return a.visible(hook, callbackTimedOut(hook, timeout))
	}
}

// boundWait bounds how long a hook with a waiting client waits for the turn, as an action does: the hook's own timeout
// only begins when it has it.
func (a *Actor) boundWait(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, a.spec.Options.ActionTimeout)
}

// Disconnect ends a connection: it is gone from the actor's view, then OnDisconnect runs, as a turn in line with the
// others; Disconnect does not wait for it. Idempotent: it reports whether this call ended the connection.
func (a *Actor) Disconnect(conn *Conn) bool {
	if conn.gone.Swap(true) || !a.conns.remove(conn) {
		return false
	}
	if s := conn.socket.Load(); s != nil {
		s.call.end()
	}
	a.disconnected(conn)
	return true
}

// disconnected runs OnDisconnect for a connection that is gone.
func (a *Actor) disconnected(conn *Conn) {
	a.mu.Lock()
	if a.calls == 0 {
		a.settleActivity() // idle time counts from here
	}
	if a.spec.OnDisconnect == nil || a.machine.Phase() >= lifecycle.Finalize {
		a.mu.Unlock()
		return
	}
	a.disconnecting++
	a.mu.Unlock()
	// A free turn is taken at once: whoever hears of the end of a call next finds that its connection is gone.
	held := a.trySlot()
	go func() { // ends with the hook or at its deadline
		c := &Call{actor: a, conn: conn, request: conn.request}
		err := a.timedTurnHeld(a.alive, held, c, "OnDisconnect", a.spec.Options.OnConnectTimeout, func(c *Call) error {
			return a.spec.OnDisconnect(c, a.state, conn)
		})
		if err != nil {
			a.Log().Warn("hook failed", "hook", "OnDisconnect", "error", err)
		}
		a.mu.Lock()
		a.disconnecting--
		a.settleActivity()
		a.mu.Unlock()
	}()
}

// Subscribe adds or removes a subscription of a standing connection. An error closes the connection.
func (a *Actor) Subscribe(ctx context.Context, conn *Conn, event string, on bool) error {
	if may := a.spec.CanSubscribe[event]; on && may != nil {
		ctx, stop := a.boundWait(ctx)
		defer stop()
		allowed := false
		c := &Call{actor: a, conn: conn, request: conn.request}
		err := a.timedTurn(ctx, c, "CanSubscribe", a.spec.Options.BeforeConnectTimeout, func(c *Call) (err error) {
			allowed, err = may(c, a.state)
			return err
		})
		if err != nil {
			return err
		}
		if !allowed {
			return a.visible("subscribe", errForbidden)
		}
	}
	if !a.conns.subscribe(conn, event, on) {
		return a.visible("subscribe", fault.New("actor", "invalid_request", "too many subscriptions on one connection"))
	}
	return nil
}

// Conns lists the connections, transient ones included.
func (a *Actor) Conns() []*Conn { return a.conns.list() }
