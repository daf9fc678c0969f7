package surface

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"sync"

	"github.com/rivetgo/rivet/internal/callchain"
	"github.com/rivetgo/rivet/internal/host"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/ws"
)

// What of a raw socket's input waits for its handler at most (G7). Beyond it the socket is not read; a message that is
// larger by itself waits alone.
const (
	maxInbox      = 64
	maxInboxBytes = 1 << 20
)

// serveRawSocket opens a raw socket. The actor was entered; serveRawSocket leaves it.
func (s *Surface) serveRawSocket(r *http.Request, upgrade func() (*ws.Conn, error)) error {
	_, _, params, f := handshake(r)
	if f == nil && !s.actor.HandlesSockets() {
		f = fault.New("actor", "websocket_not_supported", "this actor has no handler for raw WebSockets: set OnWebSocket in its definition")
	}
	if f != nil {
		s.actor.Leave()
		return f
	}
	c, err := upgrade()
	if err != nil {
		s.actor.Leave()
		return err
	}
	k := &rawSocket{surface: s, ws: c, arrived: make(chan struct{}, 1)}
	go k.serve(request(r), params, callchain.Parse(first(r.Header, callchain.Header)))
	return nil
}

// rawSocket is the transport of a raw WebSocket: one goroutine reads it into an inbox, from which the handler takes.
type rawSocket struct {
	surface *Surface
	ws      *ws.Conn
	arrived chan struct{} // capacity 1: the handler may look again

	mu      sync.Mutex // guards all below
	inbox   []host.RawMessage
	bytes   int           // of the inbox
	room    chan struct{} // the reader waits here; nil when it does not
	read    uint64        // messages read
	closing bool          // nothing more is wanted of the client
	ended   *host.CloseError
}

var _ host.RawSink = (*rawSocket)(nil)

// serve opens the connection, starts its handler and reads until the socket ends. The actor was entered.
func (k *rawSocket) serve(req *host.Request, params []byte, chain []string) {
	a := k.surface.actor
	conn, err := a.Connect(context.Background(), req, params, chain, k)
	if err != nil {
		f := asFault(err)
		k.ws.Close(ws.CodeInternal, f.Group+"."+f.Code)
		a.Leave()
		drain(k.ws)
		return
	}
	a.RunSocket(conn, k, chain)
	a.Leave()
	k.end(k.fill())
	a.Disconnect(conn)
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
	if k.closing {
		k.mu.Unlock()
		return
	}
	k.inbox = append(k.inbox, host.RawMessage{Binary: binary, Data: data, Index: k.read})
	k.bytes += len(data)
	var room chan struct{}
	if k.full() {
		room = make(chan struct{})
		k.room = room
	}
	k.mu.Unlock()
	k.signal()
	if room == nil {
		return
	}
	select {
	case <-room:
	case <-k.ws.Done(): // ReadMessage says why
	}
}

// full reports whether the socket should not be read. The caller holds mu.
func (k *rawSocket) full() bool {
	return !k.closing && (len(k.inbox) >= maxInbox || k.bytes >= maxInboxBytes)
}

// makeRoom lets the reader go on if it may. The caller holds mu.
func (k *rawSocket) makeRoom() {
	if k.room != nil && !k.full() {
		close(k.room)
		k.room = nil
	}
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
