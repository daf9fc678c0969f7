package surface

import (
	"bytes"
	"context"
	"errors"
	"net/http"

	"github.com/rivetgo/rivet/internal/callchain"
	"github.com/rivetgo/rivet/internal/host"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/ws"
)

// serveRawSocket opens a raw socket. The actor was entered; serveRawSocket leaves it.
func (s *Surface) serveRawSocket(r *http.Request, upgrade func(kept bool) (ws.Socket, error)) error {
	_, _, params, f := handshake(r)
	if f == nil && !s.actor.HandlesSockets() {
		f = fault.New("actor", "websocket_not_supported", "this actor has no handler for raw WebSockets: set OnWebSocket in its definition")
	}
	if f != nil {
		s.actor.Leave()
		return f
	}
	c, err := upgrade(s.actor.Hibernation(true))
	if err != nil {
		s.actor.Leave()
		return err
	}
	k := newRawSocket(s.set, s.actor.ID(), c)
	k.hook = s.actor.HasDisconnectHook()
	go k.serve(s.actor, request(r), params, callchain.Parse(first(r.Header, callchain.Header)))
	return nil
}

func newRawSocket(set *Set, actor string, c ws.Socket) *rawSocket {
	k := &rawSocket{berth: newBerth(set, actor, c), arrived: make(chan struct{}, 1)}
	k.queue = k
	k.watchCount()
	return k
}

// rawSocket is the transport of a raw WebSocket: one goroutine reads it into an inbox, from which the handler takes.
// It may outlive its actor's life (see berth); what waits is then in its inbox.
type rawSocket struct {
	berth
	arrived chan struct{} // capacity 1: the handler may look again

	// Guarded by the berth's mu.
	inbox   []host.RawMessage
	bytes   int    // of the inbox
	read    uint64 // messages read
	taken   uint64 // the message that the handler has, as its keeper counts
	closing bool   // nothing more is wanted of the client
	ended   *host.CloseError
}

var _ interface {
	host.RawSink
	parked
} = (*rawSocket)(nil)

// serve opens the connection, starts its handler and reads until the socket ends. The actor was entered.
func (k *rawSocket) serve(a *host.Actor, req *host.Request, params []byte, chain []string) {
	conn, err := a.Connect(context.Background(), req, params, chain, k)
	if err != nil {
		f := asFault(err)
		k.ws.Close(ws.CodeInternal, f.Group+"."+f.Code)
		a.Leave()
		drain(k.ws)
		return
	}
	k.bind(a, conn)
	a.RunSocket(conn, k, chain)
	a.Leave()
	k.end(k.fill())
	k.leave(k)
}

// fill reads into the inbox until the socket ends.
func (k *rawSocket) fill() error {
	for {
		op, payload, err := k.ws.ReadMessage()
		if err != nil {
			return err
		}
		k.put(op == ws.OpBinary, bytes.Clone(payload))
	}
}

// put appends a message to the inbox and then waits until there is room for another.
func (k *rawSocket) put(binary bool, data []byte) {
	k.mu.Lock()
	k.read++
	if k.closing || k.killed {
		k.mu.Unlock()
		return
	}
	index := k.read
	if kept := k.index(); kept > 0 {
		index = kept
	}
	k.inbox = append(k.inbox, host.RawMessage{Binary: binary, Data: data, Index: index})
	k.bytes += len(data)
	asleep := k.life == nil
	if asleep {
		k.note()
	}
	k.mu.Unlock()
	k.signal()
	if asleep {
		k.set.lot.changed(k.actor, k)
	}
	k.mu.Lock()
	for !k.closing && overfull(len(k.inbox), k.bytes) {
		k.awaitRoom()
		select {
		case <-k.ws.Done():
			return
		default:
		}
		k.mu.Lock()
	}
	k.mu.Unlock()
}

// signal has the handler look again.
func (k *rawSocket) signal() {
	select {
	case k.arrived <- struct{}{}:
	default:
	}
}

// end notes how the socket ended.
func (k *rawSocket) end(err error) {
	e := &host.CloseError{Code: host.CloseLost, Reason: err.Error()}
	if ce, ok := errors.AsType[*ws.CloseError](err); ok {
		e.Code, e.Reason = ce.Code, ce.Reason
	}
	k.mu.Lock()
	if k.ended == nil {
		k.ended = e
	}
	k.mu.Unlock()
	k.signal()
}

// Arrived implements host.RawSink.
func (k *rawSocket) Arrived() <-chan struct{} { return k.arrived }

// Take implements host.RawSink.
func (k *rawSocket) Take() (host.RawMessage, bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.taken > 0 {
		k.settle(k.taken) // whoever asks for the next is done with the last
		k.taken = 0
	}
	if len(k.inbox) == 0 {
		k.inbox = nil
		if k.ended != nil {
			return host.RawMessage{}, false, k.ended
		}
		return host.RawMessage{}, false, nil
	}
	m := k.inbox[0]
	k.inbox[0] = host.RawMessage{}
	k.inbox = k.inbox[1:]
	k.bytes -= len(m.Data)
	k.makeRoom()
	k.taken = m.Index
	return m, true, nil
}

// Send implements host.RawSink. A socket that cannot send has ended or is ending, and its reader finds out.
func (k *rawSocket) Send(binary bool, data []byte) {
	op := ws.OpText
	if binary {
		op = ws.OpBinary
	}
	_ = k.ws.SendMessage(op, data)
}

// Event implements host.Sink: raw sockets get none.
func (k *rawSocket) Event(*host.Event) {}

// Close implements host.Sink. What the client sends from now on is dropped; what came before can still be taken.
func (k *rawSocket) Close(code int, reason string) {
	k.mu.Lock()
	if k.ended == nil {
		k.ended = &host.CloseError{Code: code, Reason: reason}
	}
	k.closing = true
	k.makeRoom()
	k.mu.Unlock()
	k.ws.Close(code, reason)
	k.signal()
}

// begin starts what reads a socket of an earlier life, once the life that restored it has begun.
func (k *rawSocket) begin() {
	if k.resume() {
		go func() { // ends with the socket
			k.end(k.fill())
			k.leave(k)
		}()
	}
}

// Origin implements host.Keeper.
func (k *rawSocket) Origin() []byte { return k.originOf(origin{}) }

// Park implements host.Hibernator.
func (k *rawSocket) Park() { k.park(k) }

// resume implements parked: the handler runs again.
func (k *rawSocket) resume() bool {
	k.mu.Lock()
	l := k.life
	if l == nil {
		k.mu.Unlock()
		return false
	}
	k.starting = false
	run, gone := !k.gone || len(k.inbox) > 0, k.gone
	k.mu.Unlock()
	if run {
		l.actor.RunSocket(l.conn, k, nil)
	}
	if gone {
		l.actor.Disconnect(l.conn)
	}
	return true
}

// waiting is the length of the inbox. The caller holds mu.
func (k *rawSocket) waiting() int { return len(k.inbox) }

// working: the handler reads by itself, and ends when it finds the socket gone.
func (k *rawSocket) working(*life) bool { return false }

// discard forgets the inbox. The caller holds mu.
func (k *rawSocket) discard() { k.inbox, k.bytes = nil, 0 }
