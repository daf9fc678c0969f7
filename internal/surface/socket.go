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
func (s *Surface) ServeWebSocket(r *http.Request, upgrade func() (*ws.Conn, error)) error {
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
	c, err := upgrade()
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
	k := &socket{surface: s, actor: s.actor, ws: c, enc: enc}
	k.version.Store(uint32(clientproto.FirstVersion))
	req := request(r)
	chain := callchain.Parse(first(r.Header, callchain.Header))
	go k.serve(req, params, chain)
	return nil
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
func drain(c *ws.Conn) {
	for {
		if _, _, err := c.ReadMessage(); err != nil {
			return
		}
	}
}

// socket is one connection WebSocket.
type socket struct {
	surface *Surface
	actor   *host.Actor
	conn    *host.Conn
	ws      *ws.Conn
	enc     clientproto.Encoding
	version atomic.Uint32 // what the client reads: its own version, once it has spoken

	mu    sync.Mutex // guards ready and early
	ready bool       // Init was sent
	early []*host.Event

	jobsMu  sync.Mutex // guards all below
	jobs    []job
	working bool
	room    chan struct{} // the reader waits here for room; nil when it does not
}

// job is a message that waits for the actor, in order.
type job struct {
	action    *clientproto.ActionRequest
	subscribe *clientproto.SubscriptionRequest
}

// serve opens the connection and reads until the socket ends. Its goroutine ends with the socket. The actor was entered.
func (k *socket) serve(req *host.Request, params []byte, chain []string) {
	conn, err := k.actor.Connect(context.Background(), req, params, chain, k)
	if err != nil {
		k.refuse(asFault(err))
		k.actor.Leave()
		drain(k.ws)
		return
	}
	k.conn = conn
	k.open()
	k.actor.Leave()
	k.read()
}

// refuse says why there is no connection, then closes.
func (k *socket) refuse(f *fault.Error) {
	k.send(&clientproto.ErrorMsg{Group: f.Group, Code: f.Code, Message: f.Message, Metadata: f.Metadata})
	k.ws.Close(ws.CodeInternal, f.Group+"."+f.Code)
}

// open sends Init, then the events that came before it.
func (k *socket) open() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.send(&clientproto.Init{ActorID: k.actor.ID(), ConnectionID: k.conn.ID()})
	for _, e := range k.early {
		k.event(e)
	}
	k.early, k.ready = nil, true
}

// Event sends an event; before Init it waits.
func (k *socket) Event(e *host.Event) {
	k.mu.Lock()
	if !k.ready {
		k.early = append(k.early, e)
		k.mu.Unlock()
		return
	}
	k.mu.Unlock()
	k.event(e)
}

// event sends an event; its frame is made once for all sockets that read the same.
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
		k.ended(k.ws.Send(frame))
	}
}

// Close ends the socket.
func (k *socket) Close(code int, reason string) { k.ws.Close(code, reason) }

// send sends a message that only this client gets.
func (k *socket) send(m clientproto.ToClient) { k.ended(k.ws.Send(k.frame(m, 0))) }

// ended is where errors of sending go: a socket that cannot send has ended or is ending, and its reader finds out.
func (k *socket) ended(error) {}

// frame encodes a message. One that cannot be encoded closes the socket, as a client would wait for it for ever.
func (k *socket) frame(m clientproto.ToClient, size int) ws.Frame {
	op := ws.OpBinary
	if k.enc.IsText() {
		op = ws.OpText
	}
	buf, err := clientproto.AppendToClient(ws.Reserve(size+64), k.enc, uint16(k.version.Load()), m)
	if err != nil {
		k.actor.Log().Error("message to a client cannot be encoded", "error", err)
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
			k.actor.Disconnect(k.conn)
			return
		}
		if f := k.actor.CheckIncoming(len(payload)); f != nil {
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
			k.actor.Log().Info("message of a client is not readable: the connection is closed", "error", err)
			k.ws.Close(ws.CodeInternal, "actor.invalid_request")
			continue
		}
		if version != 0 {
			k.version.Store(uint32(version))
		}
		if !k.handle(m) {
			return
		}
	}
}

// handle handles one message, on the reader's goroutine if nothing is in line before it. It reports false when the
// reading was taken over meanwhile.
func (k *socket) handle(m clientproto.ToServer) bool {
	var j job
	switch m := m.(type) {
	case *clientproto.ActionRequest:
		if k.actor.Concurrent(m.Name) {
			go k.run(m, false) // ends with the action
			return true
		}
		j.action = m
	case *clientproto.SubscriptionRequest:
		j.subscribe = m
	}
	if !k.idle() {
		k.enqueue(j)
		return true
	}
	stalls := k.surface.set.stalls
	stalls.enter(k)
	k.do(j, true)
	if stalls.leave(k) {
		return true
	}
	k.ws.Flush() // the new reader may wait for input already, and the reply was left to it
	k.work()     // this goroutine is the worker now
	return false
}

// idle reports whether nothing is in line.
func (k *socket) idle() bool {
	k.jobsMu.Lock()
	defer k.jobsMu.Unlock()
	return !k.working
}

// takeOver makes the goroutine that is inside a handler the socket's worker, and begins to read on another one.
func (k *socket) takeOver() {
	k.jobsMu.Lock()
	k.working = true
	k.jobsMu.Unlock()
	go k.read() // ends with the socket, or when it is taken over in turn
}

// enqueue puts a message in line; when the line is full it waits, and the client with it.
func (k *socket) enqueue(j job) {
	for {
		k.jobsMu.Lock()
		if len(k.jobs) < maxJobs {
			k.jobs = append(k.jobs, j)
			start := !k.working
			k.working = true
			k.jobsMu.Unlock()
			if start {
				go k.work() // ends when the line is empty
			}
			return
		}
		room := make(chan struct{})
		k.room = room
		k.jobsMu.Unlock()
		<-room // the worker always comes back: every turn ends or the actor does
	}
}

// work handles the line.
func (k *socket) work() {
	for {
		k.jobsMu.Lock()
		if len(k.jobs) == 0 {
			k.jobs, k.working = nil, false
			k.jobsMu.Unlock()
			return
		}
		j := k.jobs[0]
		k.jobs[0] = job{}
		k.jobs = k.jobs[1:]
		if k.room != nil {
			close(k.room)
			k.room = nil
		}
		k.jobsMu.Unlock()
		k.do(j, false)
	}
}

// do handles one message in its turn.
func (k *socket) do(j job, reading bool) {
	if j.action != nil {
		k.run(j.action, reading)
	} else {
		k.subscribe(j.subscribe)
	}
}

// run runs one action. reading says that this is the reader's goroutine, which writes what is queued before it waits for
// the next message.
func (k *socket) run(m *clientproto.ActionRequest, reading bool) {
	reply := &socketReply{socket: k, id: m.ID}
	if err := k.actor.EnterOpen(); err != nil {
		reply.Prepare(nil, asFault(err))
		reply.Release(nil)
		return
	}
	reply.inline.Store(reading)
	k.actor.Action(&host.ActionCall{Name: m.Name, Args: m.Args, Conn: k.conn, Request: k.conn.Request(), Reply: reply})
	reply.inline.Store(false)
	k.actor.Leave()
}

// subscribe changes a subscription; a refusal closes the socket.
func (k *socket) subscribe(m *clientproto.SubscriptionRequest) {
	if err := k.actor.EnterOpen(); err != nil {
		return // the actor is ending, and the socket with it
	}
	defer k.actor.Leave()
	if err := k.actor.Subscribe(context.Background(), k.conn, m.EventName, m.Subscribe); err != nil {
		f := asFault(err)
		if !errors.Is(err, context.Canceled) {
			k.ws.Close(ws.CodeInternal, f.Group+"."+f.Code)
		}
	}
}

// socketReply is the answer to one action of a socket.
type socketReply struct {
	socket *socket
	id     uint64
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
	frame := r.frame
	if failure != nil {
		frame = k.frame(r.failed(failure), 0)
	}
	if frame.IsZero() {
		return
	}
	if !r.inline.Load() {
		k.ended(k.ws.Send(frame))
		return
	}
	k.ended(k.ws.Queue(frame))
	if !r.inline.Load() { // the reader may wait for input already
		k.ws.Flush()
	}
}

// Expired sends the deadline's error.
func (r *socketReply) Expired(failure *fault.Error) { r.socket.send(r.failed(failure)) }

func (r *socketReply) failed(f *fault.Error) *clientproto.ErrorMsg {
	m := &clientproto.ErrorMsg{Group: f.Group, Code: f.Code, Message: f.Message, Metadata: f.Metadata, ActionID: r.id, HasActionID: true, Actor: f.Actor}
	if m.Actor == nil {
		m.Actor = r.socket.actor.Specifier()
	}
	return m
}
