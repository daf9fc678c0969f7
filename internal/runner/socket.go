package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rivetgo/rivet/internal/link"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/record"
	"github.com/rivetgo/rivet/internal/wire/runnerproto"
	"github.com/rivetgo/rivet/internal/ws"
)

const (
	// maxInbox bounds what a client's messages take that nobody has read yet (G7).
	maxInbox = 32 << 20
	// maxCloseReason is how long the reason of a close frame may be.
	maxCloseReason = 123

	reasonSkipped  = "ws.message_index_skip"
	reasonNoRecord = "ws.meta_not_found_during_restore"
	reasonLost     = "actor.connection_lost"
	reasonFull     = "ws.pending_limit"
)

// message is one message of the client.
type message struct {
	index  uint64
	data   []byte
	binary bool
}

// socket is a client's WebSocket, which the gateway holds. It implements ws.Socket.
//
//	opening ──► open ──Close, peer, lost──► closed
//	              └────Leave──────────────► left: the gateway keeps it
type socket struct {
	r    *Runner
	name runnerproto.Tunnel
	slot *slot
	done chan struct{}

	current uint64 // of the message that was read last; the reader's

	sendMu sync.Mutex // keeps messages in the order of their numbers
	index  uint16

	mu      sync.Mutex // guards all below
	opened  bool
	inbox   []message
	bytes   int
	arrived chan struct{} // capacity 1
	counted bool          // the number of a message is known
	last    uint64        // newest message of the client, as it counts over all lives
	settled uint64        // up to here all are settled
	ahead   map[uint64]struct{}
	recount func(upto uint64)
	err     error // why it is closed
	kept    bool
}

// keptSocket is a socket that outlives its actor's sleep. It implements ws.Kept.
type keptSocket struct{ *socket }

var (
	_ ws.Socket = (*socket)(nil)
	_ ws.Kept   = keptSocket{}
	_ tunnel    = (*socket)(nil)
)

func newSocket(r *Runner, name runnerproto.Tunnel, s *slot) *socket {
	return &socket{r: r, name: name, slot: s, done: make(chan struct{}), arrived: make(chan struct{}, 1), index: 1}
}

// openSocket lets a client's socket in.
func (r *Runner) openSocket(name runnerproto.Tunnel, k *runnerproto.SocketOpen) {
	s := r.find(k.Actor, k.Generation)
	if s == nil {
		r.send(closedFrame(name, ws.CodeInternal, "Actor not found"), 64, false)
		return
	}
	r.mu.Lock()
	_, orphan := s.orphans[name]
	delete(s.orphans, name)
	r.mu.Unlock()
	if orphan { // it ended while the actor slept, which the actor knows: the gateway only wants to say so in form
		r.put(name, &ghost{r, name})
		r.send(&runnerproto.FromRunner{Tunnel: name, Kind: &runnerproto.SocketOpened{CanHibernate: true}}, 1, false)
		return
	}
	r.mu.Lock()
	known, _ := r.tunnels[name].(*socket)
	r.mu.Unlock()
	if known != nil && known.slot == s {
		known.reopen()
		return
	}
	c := newSocket(r, name, s)
	r.put(name, c)
	go c.serve(k) // ends when the actor has taken the socket
}

// serve hands the socket to its actor.
func (c *socket) serve(k *runnerproto.SocketOpen) {
	ctx, cancel := context.WithTimeout(context.Background(), awaitTimeout)
	actor, refusal := c.slot.await(ctx)
	cancel()
	if refusal != nil {
		c.refuse(refusal.Group + "." + refusal.Code)
		return
	}
	if actor == nil {
		c.Close(ws.CodeInternal, "Actor not found")
		return
	}
	header, host := headers(k.Headers)
	u, err := url.ParseRequestURI(k.Path)
	if err != nil {
		c.refuse("guard.invalid_request")
		return
	}
	req := &http.Request{
		Method: http.MethodGet, URL: u, RequestURI: k.Path, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Host: host, RemoteAddr: remote(header), Body: http.NoBody,
	}
	upgraded := false
	err = c.hand(actor, req, &upgraded)
	switch {
	case err == nil || upgraded:
		if err != nil {
			c.Close(ws.CodeInternal, "Server Error")
		}
	case errors.Is(err, link.ErrStopping):
		c.refuse("actor.restarting")
	default:
		reason := "core.internal_error"
		if f, ok := fault.From(err); ok {
			reason = f.Group + "." + f.Code
		} else {
			c.r.log.Warn("socket was refused", "actor_id", c.slot.actor, "error", err)
		}
		c.refuse(reason)
	}
}

// hand lets the actor take the socket.
func (c *socket) hand(actor link.Actor, req *http.Request, upgraded *bool) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return actor.WebSocket(req, func(kept bool) (ws.Socket, error) {
		*upgraded = true
		c.open(kept)
		if kept {
			return keptSocket{c}, nil
		}
		return c, nil
	})
}

// open completes the handshake.
func (c *socket) open(kept bool) {
	c.mu.Lock()
	if c.opened || c.err != nil {
		c.mu.Unlock()
		return
	}
	c.opened, c.kept = true, kept
	c.mu.Unlock()
	c.r.send(&runnerproto.FromRunner{Tunnel: c.name, Kind: &runnerproto.SocketOpened{CanHibernate: kept}}, 1, false)
}

// refuse opens the socket only to close it: clients see no reason of a handshake that failed.
func (c *socket) refuse(reason string) {
	c.open(false)
	c.Close(ws.CodeInternal, reason)
}

func closedFrame(name runnerproto.Tunnel, code int, reason string) *runnerproto.FromRunner {
	k := &runnerproto.SocketClosed{}
	if code != 0 && code != ws.CodeNoStatus {
		n := uint16(code)
		k.Code = &n
		reason = strings.ToValidUTF8(reason[:min(len(reason), maxCloseReason)], "")
		k.Reason = &reason
	}
	return &runnerproto.FromRunner{Tunnel: name, Kind: k}
}

func (c *socket) owner() *slot { return c.slot }

// end closes the socket on this side. It reports whether it was open.
func (c *socket) end(err error) bool {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return false
	}
	c.err = err
	c.mu.Unlock()
	close(c.done)
	c.signal()
	c.r.drop(c.name, c)
	return true
}

func (c *socket) signal() {
	select {
	case c.arrived <- struct{}{}:
	default:
	}
}

// receive implements tunnel.
func (c *socket) receive(index uint16, k runnerproto.GatewayKind) {
	switch k := k.(type) {
	case *runnerproto.SocketMessage:
		c.take(index, k)
	case *runnerproto.SocketClose:
		code, reason := ws.CodeNoStatus, ""
		if k.Code != nil {
			code = int(*k.Code)
		}
		if k.Reason != nil {
			reason = *k.Reason
		}
		if c.end(&ws.CloseError{Code: code, Reason: reason}) {
			c.r.send(closedFrame(c.name, ws.CodeNormal, ""), 16, false)
		}
	}
}

// take puts a message in the inbox, if it is the next one.
func (c *socket) take(index uint16, k *runnerproto.SocketMessage) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	// The number is that of all lives, of which the wire has the last 16 bits.
	number := c.last + uint64(int64(int16(index-uint16(c.last))))
	skipped := c.counted && number != c.last+1
	if !c.counted {
		c.counted, c.settled = true, number-1
	}
	full := c.bytes+len(k.Data) > maxInbox
	if !skipped && !full {
		c.last = number
		c.inbox = append(c.inbox, message{number, k.Data, k.Binary})
		c.bytes += len(k.Data)
	}
	c.mu.Unlock()
	switch {
	case skipped:
		c.Close(ws.CodePolicy, reasonSkipped)
	case full:
		c.Close(ws.CodePolicy, reasonFull)
	default:
		c.signal()
	}
}

// cut implements tunnel. Messages either way may be missing, so the client begins anew.
func (c *socket) cut() { c.Close(ws.CodeInternal, reasonLost) }

// abandoned implements tunnel. A life that ended in good order has closed its sockets or left them. One that did not leaves
// them too: the next life restores what was stored.
func (c *socket) abandoned() {
	c.mu.Lock()
	kept := c.kept
	c.mu.Unlock()
	if kept {
		c.leave()
	} else {
		c.Close(ws.CodeInternal, "actor.restarting")
	}
}

// ReadMessage implements ws.Socket. What came before the end can still be read.
func (c *socket) ReadMessage() (ws.Op, []byte, error) {
	for {
		c.mu.Lock()
		if errors.Is(c.err, ws.ErrLeft) || errors.Is(c.err, ws.ErrClosed) {
			defer c.mu.Unlock()
			return 0, nil, c.err
		}
		if len(c.inbox) > 0 {
			m := c.inbox[0]
			c.inbox[0] = message{}
			if c.inbox = c.inbox[1:]; len(c.inbox) == 0 {
				c.inbox = nil
			}
			c.bytes -= len(m.data)
			c.mu.Unlock()
			c.current = m.index
			if m.binary {
				return ws.OpBinary, m.data, nil
			}
			return ws.OpText, m.data, nil
		}
		if c.err != nil {
			defer c.mu.Unlock()
			return 0, nil, c.err
		}
		c.mu.Unlock()
		<-c.arrived
	}
}

// Send implements ws.Socket.
func (c *socket) Send(f ws.Frame) error {
	if f.IsZero() {
		return nil
	}
	return c.write(f.Op() == ws.OpBinary, f.Payload())
}

// SendMessage implements ws.Socket.
func (c *socket) SendMessage(op ws.Op, payload []byte) error {
	return c.write(op == ws.OpBinary, bytes.Clone(payload))
}

// Queue implements ws.Socket.
func (c *socket) Queue(f ws.Frame) error { return c.Send(f) }

// Flush implements ws.Socket.
func (c *socket) Flush() {}

func (c *socket) write(binary bool, payload []byte) error {
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	if err != nil {
		return ws.ErrClosed
	}
	if len(payload) > maxTunnelPayload {
		c.Close(ws.CodeInternal, "message.outgoing_too_long")
		return ws.ErrClosed
	}
	c.sendMu.Lock()
	defer c.sendMu.Unlock()
	c.r.send(&runnerproto.FromRunner{Tunnel: c.name, Index: c.index, Kind: &runnerproto.SocketSent{Data: payload, Binary: binary}}, len(payload), false)
	c.index++
	return nil
}

// Close implements ws.Socket.
func (c *socket) Close(code int, reason string) {
	if c.end(ws.ErrClosed) {
		c.r.send(closedFrame(c.name, code, reason), 64, false)
	}
}

// Done implements ws.Socket.
func (c *socket) Done() <-chan struct{} { return c.done }

// Origin implements ws.Kept.
func (c keptSocket) Origin() (name [8]byte) {
	copy(name[:4], c.name.Gateway[:])
	copy(name[4:], c.name.Request[:])
	return name
}

// Recounted implements ws.Kept.
func (c keptSocket) Recounted(fn func(upto uint64)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recount = fn
}

// reopen is called when the gateway opens a socket that is open: it has forgotten its own part while the actor slept, and
// counts anew from the next message. Its numbers go on from where the wire's bits begin again.
func (c *socket) reopen() {
	c.mu.Lock()
	if c.err != nil || !c.kept {
		c.mu.Unlock()
		return
	}
	c.last = (c.last>>16 + 1) << 16
	c.counted, c.settled, c.ahead = true, c.last, nil
	upto, tell, opened := c.last, c.recount, c.opened
	c.mu.Unlock()
	if tell != nil {
		tell(upto)
	}
	if opened { // else it is told when the actor has begun
		c.r.send(&runnerproto.FromRunner{Tunnel: c.name, Kind: &runnerproto.SocketOpened{CanHibernate: true}}, 1, false)
	}
}

// Index implements ws.Kept.
func (c keptSocket) Index() uint64 { return c.current }

// Settle implements ws.Kept: the gateway is told up to where no message need come again.
func (c keptSocket) Settle(index uint64) {
	c.mu.Lock()
	if c.err != nil && !errors.Is(c.err, ws.ErrClosed) {
		c.mu.Unlock()
		return
	}
	from := c.settled
	if index > c.settled {
		if c.ahead == nil {
			c.ahead = make(map[uint64]struct{})
		}
		c.ahead[index] = struct{}{}
	}
	for {
		if _, ok := c.ahead[c.settled+1]; !ok {
			break
		}
		c.settled++
		delete(c.ahead, c.settled)
	}
	upto := c.settled
	c.mu.Unlock()
	if upto > from {
		c.r.send(&runnerproto.FromRunner{Tunnel: c.name, Kind: &runnerproto.SocketAck{Index: uint16(upto)}}, 2, false)
	}
}

// Leave implements ws.Kept.
func (c keptSocket) Leave() { c.leave() }

// leave has the gateway keep the socket for the actor's next life.
func (c *socket) leave() {
	if c.end(ws.ErrLeft) {
		c.r.noteLeft(c.slot, c.name)
		m := closedFrame(c.name, ws.CodeNormal, "")
		m.Kind.(*runnerproto.SocketClosed).Hibernate = true
		c.r.send(m, 16, false)
	}
}

// ghost is a socket that ended while its actor slept, and that the gateway opens once more to say so.
type ghost struct {
	r    *Runner
	name runnerproto.Tunnel
}

func (g *ghost) receive(_ uint16, k runnerproto.GatewayKind) {
	if _, ok := k.(*runnerproto.SocketClose); ok {
		g.r.drop(g.name, g)
		g.r.send(closedFrame(g.name, ws.CodeNormal, ""), 16, false)
	}
}
func (g *ghost) cut()         { g.r.drop(g.name, g) }
func (g *ghost) owner() *slot { return nil }
func (g *ghost) abandoned()   {}

// restored are the sockets that an actor's last life left, on their way into the next.
type restored struct {
	r       *Runner
	sockets []*socket
	unknown []runnerproto.Tunnel
	kept    []link.Kept
}

// restore finds the connections of the sockets that the gateway still has.
func (s *slot) restore(hot []record.Record) *restored {
	out := &restored{r: s.r}
	stored := make(map[runnerproto.Tunnel]*record.Conn)
	for _, h := range hot {
		if record.Kind(h.Key[0]) != record.KindConn {
			continue
		}
		payload, err := record.Open(record.KindConn, h.Value)
		if err != nil {
			continue // the host says so
		}
		c, err := record.DecodeConn(h.Key, payload)
		if err != nil || len(c.Origin) < 8 {
			continue
		}
		stored[runnerproto.Tunnel{Gateway: [4]byte(c.Origin[:4]), Request: [4]byte(c.Origin[4:8])}] = c
	}
	for _, name := range s.r.alive(s.start.Sockets, stored) {
		conn := stored[name]
		if conn == nil {
			out.unknown = append(out.unknown, name)
			continue
		}
		delete(stored, name)
		c := newSocket(s.r, name, s)
		c.last, c.kept = conn.Index, true
		out.sockets = append(out.sockets, c)
		out.kept = append(out.kept, link.Kept{Conn: conn, Socket: keptSocket{c}})
		s.r.put(name, c)
	}
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	s.orphans = make(map[runnerproto.Tunnel]struct{}, len(stored))
	for name := range stored {
		s.orphans[name] = struct{}{}
	}
	return out
}

const (
	// leftFor is how long the gateway may take to note that it keeps a socket: a start that comes before does not name it.
	leftFor = 5 * time.Second
	// closedFor is how long a start may name a socket that its client has closed.
	closedFor = 2 * time.Minute
	// noteFor is how long an end is not told to the engine after a socket was left: it may start the next life at once, and
	// elsewhere, where nobody knows of a socket that the start does not name.
	noteFor = 200 * time.Millisecond
)

// leaving is a socket that was left to the gateway lately.
type leaving struct {
	until  time.Time
	closed bool // its client closed it before the gateway knew that it keeps it
}

// noteLeft remembers a socket that a life left to the gateway.
func (r *Runner) noteLeft(s *slot, name runnerproto.Tunnel) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.leftAt = time.Now()
	r.left[name] = &leaving{until: time.Now().Add(leftFor)}
	r.forgetLeft(name, leftFor)
}

// closedLeft notes that the client of such a socket has closed it.
func (r *Runner) closedLeft(name runnerproto.Tunnel) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.left[name]; l != nil {
		l.closed, l.until = true, time.Now().Add(closedFor)
		r.forgetLeft(name, closedFor)
	}
}

func (r *Runner) forgetLeft(name runnerproto.Tunnel, after time.Duration) {
	time.AfterFunc(after, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if l := r.left[name]; l != nil && !time.Now().Before(l.until) {
			delete(r.left, name)
		}
	})
}

// alive are the sockets to restore: those that a start names, without those known to be closed, and those that were left too
// lately to be named.
func (r *Runner) alive(named []runnerproto.Tunnel, stored map[runnerproto.Tunnel]*record.Conn) (out []runnerproto.Tunnel) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range named {
		if l := r.left[name]; l == nil || !l.closed {
			out = append(out, name)
		}
	}
	for name := range stored {
		if l := r.left[name]; l != nil && !l.closed && !slices.Contains(named, name) {
			out = append(out, name)
		}
	}
	return out
}

// open tells the gateway that the sockets are served again.
func (l *restored) open() {
	for _, c := range l.sockets {
		c.open(true)
	}
	for _, name := range l.unknown {
		l.r.send(closedFrame(name, ws.CodeNormal, reasonNoRecord), 64, false)
	}
}

// drop leaves the sockets to the gateway: the start failed.
func (l *restored) drop() {
	if l == nil {
		return
	}
	for _, c := range l.sockets {
		c.end(ws.ErrLeft)
	}
}
