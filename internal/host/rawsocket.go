package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"unicode/utf8"
)

// RawMessage is one message of a raw socket.
type RawMessage struct {
	Binary bool
	Data   []byte // the receiver's own
	// Index counts the messages of the socket from 1.
	Index uint64
}

// RawSink is the transport of a raw socket. Its methods never block and may be called from any goroutine.
type RawSink interface {
	Sink
	// Send sends one message; it copies data.
	Send(binary bool, data []byte)
	// Arrived receives when there may be something to take.
	Arrived() <-chan struct{}
	// Take takes the next message of the client; ok is false when there is none yet. After the last one of a socket that
	// has ended it returns the *CloseError.
	Take() (m RawMessage, ok bool, err error)
}

// CloseError says how a raw socket ended: by whose close frame, or 1006 when it was lost without one.
type CloseError struct {
	Code   int
	Reason string
}

func (e *CloseError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("websocket: closed with code %d", e.Code)
	}
	return fmt.Sprintf("websocket: closed with code %d: %s", e.Code, e.Reason)
}

// Codes of CloseError that the host gives by itself.
const (
	closeNormal   = 1000
	CloseLost     = 1006 // never on the wire: the socket ended without a close frame
	closeInternal = 1011
)

var errNotText = errors.New("websocket: the message is not UTF-8: send it as a binary one")

// maxHeldBytes bounds what a raw socket's handler may have written that waits for a commit (G7): then it waits too.
const maxHeldBytes = 1 << 20

// RawSocket is one raw socket in one life of its actor. Read belongs to one goroutine at a time; the other methods may be
// called concurrently.
//
// While its handler is inside Read it rests: it neither keeps the actor awake nor is waited for when the actor stops. From
// the return of Read to the next one it counts as a call.
type RawSocket struct {
	actor *Actor
	conn  *Conn
	sink  RawSink
	call  *Call
	held  atomic.Int64 // bytes that wait in the gate

	mu      sync.Mutex // guards all below
	working bool       // counted in actor.calls
	over    bool       // the handler has returned
}

// HandlesSockets reports whether the definition has a handler for raw WebSockets.
func (a *Actor) HandlesSockets() bool { return a.spec.OnWebSocket != nil }

// RunSocket runs the actor's handler of raw sockets on a goroutine of its own, which the actor owns, for a connection that
// was opened on the sink. When the handler returns, the socket is closed: 1000, or 1011 with the code of its error. The
// caller has entered.
func (a *Actor) RunSocket(conn *Conn, sink RawSink, chain []string) {
	c := &Call{actor: a, conn: conn, request: conn.request, chain: chain}
	s := &RawSocket{actor: a, conn: conn, sink: sink, call: c, working: true}
	a.mu.Lock()
	a.calls++
	a.sockets++
	a.mu.Unlock()
	conn.socket.Store(s)
	if !conn.Open() {
		c.end() // it was closed before its handler could begin
	}
	go func() { // ends with the handler, whose context ends with the socket and with the actor
		_, err := a.protect("OnWebSocket", func() ([]byte, error) { return nil, a.spec.OnWebSocket(c, s) })
		c.end()
		s.finish(err)
	}()
}

// finish closes the socket when its handler has returned.
func (s *RawSocket) finish(err error) {
	a := s.actor
	code, reason := closeNormal, ""
	if a.Parks(s.conn) {
		s.leave() // the socket waits for the next life
		return
	}
	if err != nil && s.conn.Open() && a.alive.Err() == nil {
		f := a.visible("OnWebSocket", err)
		code, reason = closeInternal, f.Group+"."+f.Code
	}
	s.Close(code, reason)
	s.leave()
}

// leave says that the handler has returned.
func (s *RawSocket) leave() {
	a := s.actor
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	s.rest()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sockets--
	a.settleActivity()
}

// rest says that the handler does nothing but wait for a message.
func (s *RawSocket) rest() {
	s.mu.Lock()
	was := s.working
	s.working = false
	s.mu.Unlock()
	if was {
		s.actor.Leave()
	}
}

// work says that the handler has something to do; entered says that it is counted already.
func (s *RawSocket) work(entered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	again := s.working || s.over
	if !again {
		s.working = true
	}
	switch {
	case again && entered:
		s.actor.Leave()
	case !again && !entered:
		s.actor.enterAnyhow()
	}
}

// enterAnyhow counts a call that the actor cannot refuse.
func (a *Actor) enterAnyhow() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls++
}

// Conn is the socket's connection.
func (s *RawSocket) Conn() *Conn { return s.conn }

// Read waits for the client's next message. Its errors: a *CloseError when the socket has ended, and everything that came
// before was read; why the actor takes no more messages; the error of ctx.
func (s *RawSocket) Read(ctx context.Context) (RawMessage, error) {
	s.rest()
	m, entered, err := s.next(ctx)
	s.work(entered)
	return m, err
}

func (s *RawSocket) next(ctx context.Context) (m RawMessage, entered bool, err error) {
	a := s.actor
	var stopping <-chan struct{}
	if s.conn.hibernates {
		stopping = a.stopping
	}
	for last := error(nil); ; {
		if err := a.EnterOn(s.conn); errors.Is(err, ErrStopping) {
			return RawMessage{}, false, errAsleep
		} else if err != nil {
			return RawMessage{}, false, err
		}
		m, ok, err := s.sink.Take()
		if ok || err != nil {
			return m, true, err
		}
		a.Leave()
		if last != nil {
			return RawMessage{}, false, last
		}
		select {
		case <-s.sink.Arrived():
		case <-stopping:
			stopping = nil // which EnterOn knows more about
		case <-ctx.Done():
			last = ctx.Err() // unless the socket has just ended, which then is the better answer
		case <-a.alive.Done():
			last = errVoid
		}
	}
}

// Write sends a message. When in is a turn's, it leaves when the turn is durable and not at all when the turn fails;
// otherwise it waits for the commits made so far. Write itself waits only while too much waits already. An error says
// that the socket has ended; none does not say that the client has the message.
func (s *RawSocket) Write(in *Call, binary bool, data []byte) error {
	if !s.conn.Open() {
		return &CloseError{Code: CloseLost, Reason: "the socket has ended"}
	}
	if !binary && !utf8.Valid(data) {
		return errNotText
	}
	data = bytes.Clone(data) // it may leave later
	if t := turnOf(in); t != nil && t.emit(output{act: func() { s.sink.Send(binary, data) }}) {
		return nil
	}
	if s.held.Load() > maxHeldBytes {
		if err := s.call.BeforeSend(s.actor.alive); err != nil {
			return errVoid
		}
	}
	n := int64(len(data))
	s.held.Add(n)
	s.actor.gate.push(output{act: func() {
		s.held.Add(-n)
		s.sink.Send(binary, data)
	}})
	return nil
}

func turnOf(c *Call) *turn {
	if c == nil {
		return nil
	}
	return c.inTurn()
}

// Close closes the socket, after what was written before. The reason is cut to 123 bytes; a code that may not be sent
// becomes 1011.
func (s *RawSocket) Close(code int, reason string) {
	s.actor.gate.push(output{act: func() { s.conn.close(code, reason) }})
}
