package surface

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/rivetgo/rivet/internal/callchain"
	"github.com/rivetgo/rivet/internal/host"
	"github.com/rivetgo/rivet/internal/wire/clientproto"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/ws"
)

// maxJobs bounds the messages of one socket that wait for the actor (G7). Beyond it the socket is not read.
const maxJobs = 256

// ServeWebSocket serves one socket. upgrade completes the handshake; it is called once the request is known to be good.
// host.ErrStopping means that it was not called and nothing was done; a *fault.Error refuses the socket. The call returns
// when the socket has goroutines of its own.
func (s *Surface) ServeWebSocket(r *http.Request, upgrade func(kept bool) (ws.Socket, error)) error {
	if err := s.actor.Enter(); err != nil {
		return err
	}
	switch r.URL.Path {
	case "/connect":
	case "/inspector/connect":
		s.actor.Leave()
		return fault.New("actor", "websocket_not_supported", "this actor has no inspector")
	default:
		return s.serveRawSocket(r, upgrade)
	}
	enc, known, params, f := handshake(r)
	if f != nil {
		s.actor.Leave()
		return f
	}
	c, err := upgrade(s.actor.Hibernation(false))
	if err != nil {
		s.actor.Leave()
		return err
	}
	if !known {
		c.Close(ws.CodeUnsupported, "actor.unsupported_websocket_encoding")
		s.actor.Leave()
		go drain(c)
		return nil
	}
	k := newSocket(s.set, s.actor.ID(), c, enc)
	k.admit(s.actor)
	req := request(r)
	chain := callchain.Parse(first(r.Header, callchain.Header))
	go k.serve(s.actor, req, params, chain)
	return nil
}

// newSocket makes a socket that belongs to no life yet.
func newSocket(set *Set, actor string, c ws.Socket, enc clientproto.Encoding) *socket {
	k := &socket{berth: newBerth(set, actor, c), enc: enc}
	k.queue = k
	k.watchCount()
	k.version.Store(uint32(clientproto.FirstVersion))
	return k
}

// admit takes over what the actor's definition says of its sockets.
func (k *socket) admit(a *host.Actor) {
	k.hook, k.limit = a.HasDisconnectHook(), a.Options().MaxIncomingBytes
}

// handshake reads what the subprotocols configure. The first entry of a kind wins.
func handshake(r *http.Request) (enc clientproto.Encoding, known bool, params []byte, f *fault.Error) {
	known, params = true, noParams
	seenEncoding, seenParams := false, false
	for _, p := range ws.Protocols(r) {
		if name, ok := strings.CutPrefix(p, "rivet_encoding."); ok && !seenEncoding {
			seenEncoding = true
			enc, known = clientproto.ParseEncoding(name)
		}
		if text, ok := strings.CutPrefix(p, "rivet_conn_params."); ok && !seenParams {
			seenParams = true
			plain, err := url.QueryUnescape(text)
			if err != nil {
				return enc, known, nil, fault.New("actor", "invalid_request", "connection parameters are not properly percent-encoded")
			}
			if params, f = parseParams(plain); f != nil {
				return enc, known, nil, f
			}
		}
	}
	return enc, known, params, nil
}

// drain reads until the close handshake of a socket that nobody serves is over.
func drain(c ws.Socket) {
	for {
		if _, _, err := c.ReadMessage(); err != nil {
			return
		}
	}
}

// socket is one connection WebSocket. It may outlive its actor's life (see berth); what waits is then in its line.
type socket struct {
	berth
	enc     clientproto.Encoding
	limit   int           // of an incoming message
	version atomic.Uint32 // what the client reads: its own version, once it has spoken

	eventMu sync.Mutex // guards ready and early
	ready   bool       // Init was sent
	early   []*host.Event

	// Guarded by the berth's mu.
	jobs   []job // the line
	bytes  int   // of the line
	held   bool  // the actor goes to sleep: the line waits for its next life
	worker *life // in whose name a goroutine handles the line; nil when none does
	inside *life // in whose name the reader is inside a handler
}

// job is a message that waits for the actor, in order.
type job struct {
	action    *clientproto.ActionRequest
	subscribe *clientproto.SubscriptionRequest
	size      int
	index     uint64 // of the message, where a keeper counts them
}

// serve opens the connection and reads until the socket ends. Its goroutine ends with the socket. The actor was entered.
func (k *socket) serve(a *host.Actor, req *host.Request, params []byte, chain []string) {
	conn, err := a.Connect(context.Background(), req, params, chain, k)
	if err != nil {
		k.refuse(asFault(err))
		a.Leave()
		drain(k.ws)
		return
	}
	k.bind(a, conn)
	k.open(a.ID(), conn.ID())
	a.Leave()
	k.read()
}

// refuse says why there is no connection, then closes.
func (k *socket) refuse(f *fault.Error) {
	k.send(&clientproto.ErrorMsg{Group: f.Group, Code: f.Code, Message: f.Message, Metadata: f.Metadata})
	k.ws.Close(ws.CodeInternal, f.Group+"."+f.Code)
}

// open sends Init, then the events that came before it.
func (k *socket) open(actor, conn string) {
	k.eventMu.Lock()
	defer k.eventMu.Unlock()
	k.send(&clientproto.Init{ActorID: actor, ConnectionID: conn})
	for _, e := range k.early {
		k.event(e)
	}
	k.early, k.ready = nil, true
}

// Event sends an event; before Init it waits.
func (k *socket) Event(e *host.Event) {
	k.eventMu.Lock()
	if !k.ready {
		k.early = append(k.early, e)
		k.eventMu.Unlock()
		return
	}
	k.eventMu.Unlock()
	k.event(e)
}

func (k *socket) event(e *host.Event) {
	version := uint16(k.version.Load())
	slot := int(k.enc)<<1 | 1
	if version < clientproto.MaxVersion {
		slot &^= 1
		if version < clientproto.FirstVersion { // rare: versions 1 and 2 differ in their number only
			k.send(&clientproto.Event{Name: e.Name, Args: e.Args})
			return
		}
	}
	frame, ok := e.Frames[slot].(ws.Frame)
	if !ok {
		frame = k.frame(&clientproto.Event{Name: e.Name, Args: e.Args}, len(e.Args))
		e.Frames[slot] = frame
	}
	if !frame.IsZero() {
		k.sent(k.ws.Send(frame))
	}
}

// Close ends the socket.
func (k *socket) Close(code int, reason string) { k.ws.Close(code, reason) }

// send sends a message that only this client gets.
func (k *socket) send(m clientproto.ToClient) { k.sent(k.ws.Send(k.frame(m, 0))) }

// sent is where errors of sending go: a socket that cannot send has ended or is ending, and its reader finds out.
func (k *socket) sent(error) {}

// frame encodes a message. One that cannot be encoded closes the socket, as a client would wait for it for ever.
func (k *socket) frame(m clientproto.ToClient, size int) ws.Frame {
	op := ws.OpBinary
	if k.enc.IsText() {
		op = ws.OpText
	}
	buf, err := clientproto.AppendToClient(ws.Reserve(size+64), k.enc, uint16(k.version.Load()), m)
	if err != nil {
		k.set.log.Error("message to a client cannot be encoded", "actor_id", k.actor, "error", err)
		k.ws.Close(ws.CodeInternal, "actor.send_failed")
		return ws.Frame{}
	}
	return ws.Seal(op, buf)
}

// read handles messages until the socket ends, or until another goroutine has taken the reading over. Whoever reads
// last ends the connection.
func (k *socket) read() {
	for {
		op, payload, err := k.ws.ReadMessage()
		if err != nil {
			k.leave(k)
			return
		}
		if len(payload) > k.limit {
			k.ws.Close(ws.CodeInternal, "message.incoming_too_long")
			continue
		}
		if op == ws.OpText && !k.enc.IsText() {
			k.ws.Close(ws.CodeInternal, "actor.invalid_request")
			continue
		}
		// What is decoded shares the message's memory, which the next read overwrites.
		m, version, err := clientproto.DecodeToServer(k.enc, append([]byte(nil), payload...), true)
		if err != nil {
			k.set.log.Info("message of a client is not readable: the connection is closed", "actor_id", k.actor, "error", err)
			k.ws.Close(ws.CodeInternal, "actor.invalid_request")
			continue
		}
		if version != 0 {
			k.version.Store(uint32(version))
		}
		j := job{size: len(payload), index: k.index()}
		switch m := m.(type) {
		case *clientproto.ActionRequest:
			j.action = m
		case *clientproto.SubscriptionRequest:
			j.subscribe = m
		}
		if !k.handle(j) {
			return
		}
	}
}

// handle handles one message, on the reader's goroutine if nothing is in line before it. It reports false when the
// reading was taken over meanwhile.
func (k *socket) handle(j job) bool {
	k.mu.Lock()
	l := k.life
	now := l != nil && !k.starting && !k.held
	aside := now && j.action != nil && l.actor.Concurrent(j.action.Name)
	if !now || !aside && (k.worker != nil || len(k.jobs) > 0) {
		k.mu.Unlock()
		k.enqueue(j)
		return true
	}
	if !aside {
		k.inside = l
	}
	k.mu.Unlock()
	err := l.actor.EnterOn(l.conn)
	switch {
	case errors.Is(err, host.ErrStopping):
		k.hold(l)
		k.enqueue(j)
		return true
	case aside:
		go k.do(l, j, err, false) // ends with the action
		return true
	}
	stalls := k.set.stalls
	stalls.enter(k)
	k.do(l, j, err, true)
	if stalls.leave(k) {
		return true
	}
	k.ws.Flush() // the new reader may wait for input already, and the reply was left to it
	k.work(l)    // this goroutine is the worker now
	return false
}

// hold stops the line: the actor of this life takes no more.
func (k *socket) hold(l *life) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.life == l {
		k.held = true
	}
}

// takeOver makes the goroutine that is inside a handler the socket's worker, and begins to read on another one.
func (k *socket) takeOver() {
	k.mu.Lock()
	if k.life == k.inside {
		k.worker = k.inside
	}
	k.mu.Unlock()
	go k.read() // ends with the socket, or when it is taken over in turn
}

// enqueue puts a message in line; when the line is full it waits, and the client with it.
func (k *socket) enqueue(j job) {
	for {
		k.mu.Lock()
		if k.killed {
			k.mu.Unlock()
			return
		}
		sleeping := k.life == nil || k.starting || k.held
		if len(k.jobs) >= maxJobs || sleeping && overfull(len(k.jobs), k.bytes) {
			k.awaitRoom()
			if k.isOver() {
				return
			}
			continue
		}
		k.jobs = append(k.jobs, j)
		k.bytes += j.size
		l := k.life
		if l == nil {
			k.note()
		}
		begin := !sleeping && k.worker == nil
		if begin {
			k.worker = l
		}
		k.mu.Unlock()
		if begin {
			go k.work(l) // ends when the line is empty
		}
		if l == nil {
			k.set.lot.changed(k.actor, k)
		}
		return
	}
}

// isOver reports whether the transport is closed.
func (k *socket) isOver() bool {
	select {
	case <-k.ws.Done():
		return true
	default:
		return false
	}
}

// work handles the line, in the name of a life. A message leaves the line when the actor has let it in.
func (k *socket) work(l *life) {
	for {
		k.mu.Lock()
		if k.worker != l {
			k.mu.Unlock()
			return // another life has begun
		}
		if k.life != l || k.held || len(k.jobs) == 0 {
			k.worker = nil
			over := k.gone && k.life == l && !k.held
			if len(k.jobs) == 0 {
				k.jobs = nil
			}
			k.mu.Unlock()
			if over {
				l.actor.Disconnect(l.conn)
			}
			return
		}
		k.mu.Unlock()
		err := l.actor.EnterOn(l.conn)
		k.mu.Lock()
		if k.worker != l || len(k.jobs) == 0 || errors.Is(err, host.ErrStopping) {
			if k.life == l && errors.Is(err, host.ErrStopping) {
				k.held = true
			}
			k.mu.Unlock()
			if err == nil {
				l.actor.Leave()
			}
			continue
		}
		j := k.jobs[0]
		k.jobs[0] = job{}
		k.jobs = k.jobs[1:]
		k.bytes -= j.size
		k.makeRoom()
		k.mu.Unlock()
		if j.action != nil && l.actor.Concurrent(j.action.Name) {
			go k.do(l, j, err, false) // ends with the action
		} else {
			k.do(l, j, err, false)
		}
	}
}

// do handles one message that the actor has let in, or refused with an error. reading says that this is the reader's
// goroutine, which writes what is queued before it waits for the next message.
func (k *socket) do(l *life, j job, refused error, reading bool) {
	if refused == nil {
		defer l.actor.Leave()
	}
	if j.action != nil {
		k.run(l, j, refused, reading)
	} else if refused == nil { // else the actor is ending, and the socket with it
		k.subscribe(l, j)
	}
}

// errReplyLost is the outcome of a message whose effects are there and whose reply is not.
var errReplyLost = fault.New("actor", "reply_lost", "The action took effect, but its reply was lost with the process that ran it: ask the actor for the result, or make the action one that may be repeated.")

// run runs one action.
func (k *socket) run(l *life, j job, refused error, reading bool) {
	m := j.action
	reply := &socketReply{socket: k, actor: l.actor, id: m.ID, index: j.index}
	if j.index > 0 && j.index <= l.conn.Floor() {
		refused = errReplyLost
	}
	if refused != nil {
		reply.Prepare(nil, asFault(refused))
		reply.Release(nil)
		return
	}
	reply.inline.Store(reading)
	l.actor.Action(&host.ActionCall{Name: m.Name, Args: m.Args, Conn: l.conn, Request: l.conn.Request(), Index: j.index, Reply: reply})
	reply.inline.Store(false)
}

// subscribe changes a subscription; a refusal closes the socket.
func (k *socket) subscribe(l *life, j job) {
	m := j.subscribe
	if err := l.actor.Subscribe(context.Background(), l.conn, m.EventName, m.Subscribe); err != nil {
		f := asFault(err)
		if !errors.Is(err, context.Canceled) {
			k.ws.Close(ws.CodeInternal, f.Group+"."+f.Code)
		}
		return
	}
	if j.index > 0 {
		l.actor.StoreConns(func() { k.settle(j.index) })
	}
}

// begin starts what reads a socket of an earlier life, once the life that restored it has begun.
func (k *socket) begin() {
	if k.resume() {
		go k.read() // ends with the socket
	}
}

// origin implements kept.
func (k *socket) origin() origin { return origin{enc: k.enc, version: uint16(k.version.Load())} }

// Origin implements host.Keeper.
func (k *socket) Origin() []byte { return k.originOf(k.origin()) }

// Park implements host.Hibernator.
func (k *socket) Park() {
	k.mu.Lock()
	k.held, k.worker = true, nil
	k.mu.Unlock()
	k.park(k)
}

// resume implements parked.
func (k *socket) resume() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.life == nil {
		return false
	}
	k.starting, k.held, k.worker = false, false, nil
	k.makeRoom()
	if len(k.jobs) > 0 || k.gone {
		k.worker = k.life
		go k.work(k.life) // ends when the line is empty
	}
	return true
}

// waiting is the length of the line. The caller holds mu.
func (k *socket) waiting() int { return len(k.jobs) }

func (k *socket) working(l *life) bool { return k.worker == l }

// discard forgets the line. The caller holds mu.
func (k *socket) discard() { k.jobs, k.bytes = nil, 0 }

// socketReply is the answer to one action of a socket.
type socketReply struct {
	socket *socket
	actor  *host.Actor
	id     uint64
	index  uint64
	frame  ws.Frame
	// inline: the action runs on the reader's goroutine, which flushes the socket after it.
	inline atomic.Bool
}

// Prepare makes the frame, on the goroutine that ran the action.
func (r *socketReply) Prepare(output []byte, failure *fault.Error) {
	if failure != nil {
		r.frame = r.socket.frame(r.failed(failure), 0)
		return
	}
	r.frame = r.socket.frame(&clientproto.ActionResponse{ID: r.id, Output: output}, len(output))
}

// Release sends it.
func (r *socketReply) Release(failure *fault.Error) {
	k := r.socket
	defer k.settle(r.index)
	frame := r.frame
	if failure != nil {
		frame = k.frame(r.failed(failure), 0)
	}
	if frame.IsZero() {
		return
	}
	if !r.inline.Load() {
		k.sent(k.ws.Send(frame))
		return
	}
	k.sent(k.ws.Queue(frame))
	if !r.inline.Load() { // the reader may wait for input already
		k.ws.Flush()
	}
}

// Expired sends the deadline's error.
func (r *socketReply) Expired(failure *fault.Error) {
	r.socket.send(r.failed(failure))
	r.socket.settle(r.index)
}

func (r *socketReply) failed(f *fault.Error) *clientproto.ErrorMsg {
	m := &clientproto.ErrorMsg{Group: f.Group, Code: f.Code, Message: f.Message, Metadata: f.Metadata, ActionID: r.id, HasActionID: true, Actor: f.Actor}
	if m.Actor == nil {
		m.Actor = r.actor.Specifier()
	}
	return m
}
