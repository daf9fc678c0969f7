package rivet

import (
	"context"

	"github.com/rivetgo/rivet/internal/dial"
)

// ConnStatus is where a connection stands.
type ConnStatus int

const (
	ConnConnecting   = ConnStatus(dial.Connecting)   // a socket is being opened, or waits for the actor to accept it
	ConnConnected    = ConnStatus(dial.Connected)    // the actor has accepted the connection
	ConnDisconnected = ConnStatus(dial.Disconnected) // the socket is lost and the next attempt is waited for
	ConnClosed       = ConnStatus(dial.Closed)       // over for good
)

// String is the name of the status: connecting, connected, disconnected or closed.
func (s ConnStatus) String() string { return dial.Status(s).String() }

// Conn is a standing connection to one actor: calls go over its socket, and events come back.
//
// A lost socket is replaced: at once, then after 250 ms, doubling to 30 s. To the actor each socket is a new connection
// with a new id, whose hooks run again; subscriptions are made again by themselves. Calls in flight when a socket is
// lost fail with client.connection_lost and may have run; calls made while there is no socket wait for one. The
// connection ends for good with Close, and when the answer to a new attempt says that there is no use in another: the
// actor is gone, or its hook refuses.
//
// Safe for concurrent use. Close it, or close the client.
type Conn[I any] struct{ c *dial.Conn }

func (c *Conn[I]) handleOf(I) {}

func (c *Conn[I]) call(ctx context.Context, action string, args []byte) ([]byte, error) {
	return c.c.Action(ctx, action, args)
}

// ID is the actor's id of the connection; a new socket has a new one.
func (c *Conn[I]) ID() string { return c.c.ID() }

// ActorID is the actor that the connection reaches. A new socket of a handle from GetOrCreate may reach a successor.
func (c *Conn[I]) ActorID() string { return c.c.ActorID() }

// Status is the state at this moment.
func (c *Conn[I]) Status() ConnStatus { return ConnStatus(c.c.Status()) }

// Done is closed when the connection is over for good; Err then says why.
func (c *Conn[I]) Done() <-chan struct{} { return c.c.Done() }

// Err is nil while the connection lives, and client.closed after Close. Otherwise it is what ended the connection.
func (c *Conn[I]) Err() error { return fromFault(c.c.Err()) }

// Close ends the connection. It returns when everything that belongs to it is quiet, except for callbacks that are
// running: a callback may call Close. Idempotent.
func (c *Conn[I]) Close() error { return c.c.Close() }

// OnStatus calls fn with each change of the status, in order and one at a time, until stop is called.
func (c *Conn[I]) OnStatus(fn func(ConnStatus)) (stop func()) {
	return c.c.OnStatus(func(s dial.Status) { fn(ConnStatus(s)) })
}

// OnError calls fn, one at a time, with the errors that no call returns: why a socket was lost or not opened again, what
// the actor says about the whole connection, and events that a callback of Event.On could not get.
func (c *Conn[I]) OnError(fn func(error)) (stop func()) {
	return c.c.OnError(func(err error) { fn(fromFault(err)) })
}
