package actor

import (
	"context"
	"errors"

	"github.com/rivetgo/rivet/internal/host"
)

// WebSocketHandler serves one raw WebSocket, from when it is open until the handler returns. The connection hooks have run,
// and c.Conn and c.Request tell who it is.
//
// It runs outside the turn, on a goroutine of the actor, and takes turns with self. c ends when the socket has ended or
// the actor's time is over. When the handler returns nil, the socket is closed with 1000; with an error, 1011 and
// the error's group and code as the reason ("user.no_seat"); after a panic, 1011 rivetkit.internal_error.
//
// While it waits in Read it neither keeps the actor awake by itself nor is waited for when the actor stops; from a Read's
// return to the next one it does both, like a call. A handler that only writes should watch c.Stopping.
//
// With Options.HibernateWebSockets the socket stays open when the actor sleeps. Read then fails with actor.sleeping, the
// handler returns, whatever it returns, and a new run of it serves the socket after the wake. What the client sent
// meanwhile, and what no Read had returned, wakes the actor and is read by the new run, each message once.
type WebSocketHandler[S any] func(c *Ctx, self Self[S], ws *WebSocket) error

// WebSocket is a raw WebSocket inside its handler. Read belongs to one goroutine at a time; the other methods may be called
// concurrently.
type WebSocket struct{ socket *host.RawSocket }

// Frame is one message of a raw WebSocket.
type Frame struct {
	// Binary tells a binary message from a text one, which is UTF-8.
	Binary bool
	// Data belongs to the receiver; a writer may change it after Write.
	Data []byte
	// Index counts the messages that the client sent on this socket, from 1. Write ignores it.
	Index uint64
}

// CloseError is what Read returns when the socket has ended: the code and reason of whoever closed it, or code 1006 when it
// was lost without a close frame.
type CloseError = host.CloseError

// Read waits for the next message of the client. Up to 64 of them, or 1 MiB, wait for Read; then the client is not read
// any further. ctx is usually the handler's own.
//
// It fails with a *CloseError when the socket has ended and everything that came before was read, with ctx's error when
// ctx ends first, and with a *rivet.Error when the actor takes no more messages.
func (ws *WebSocket) Read(ctx context.Context) (Frame, error) {
	m, err := ws.socket.Read(ctx)
	if err != nil {
		return Frame{}, local(err)
	}
	return Frame(m), nil
}

// Write sends a message. When ctx is the Ctx of a turn, it leaves when that turn is durable, and not at all when the turn
// fails. Otherwise it waits for the commits made so far, and Write itself waits while more than 1 MiB does. A client that
// reads too slowly is cut off with 1008 ws.slow_reader.
//
// An error says that nothing was sent: the socket has ended, or a text message is not UTF-8.
func (ws *WebSocket) Write(ctx context.Context, m Frame) error {
	var call *host.Call
	if c, ok := ctx.(*Ctx); ok {
		call = c.call
	}
	return local(ws.socket.Write(call, m.Binary, m.Data))
}

// WriteText is Write of a text message.
func (ws *WebSocket) WriteText(ctx context.Context, text string) error {
	return ws.Write(ctx, Frame{Data: []byte(text)})
}

// WriteBinary is Write of a binary message.
func (ws *WebSocket) WriteBinary(ctx context.Context, data []byte) error {
	return ws.Write(ctx, Frame{Binary: true, Data: data})
}

// Close closes the socket after what was written outside turns. The reason is cut to 123 bytes; a code that no endpoint may
// send becomes 1011. The handler goes on and should return.
func (ws *WebSocket) Close(code int, reason string) { ws.socket.Close(code, reason) }

// Conn is the socket's connection.
func (ws *WebSocket) Conn() *Conn { return connOf(ws.socket.Conn()) }

func socketHook[S any](handle WebSocketHandler[S]) func(*host.Call, *host.RawSocket) error {
	if handle == nil {
		return nil
	}
	return func(hc *host.Call, socket *host.RawSocket) error {
		err := handle(&Ctx{hc}, Self[S]{hc}, &WebSocket{socket})
		if _, ended := errors.AsType[*CloseError](err); ended {
			return nil // the handler ended because the socket did
		}
		return wire(err)
	}
}
