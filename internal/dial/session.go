package dial

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/rivetgo/rivet/internal/wire/clientproto"
	"github.com/rivetgo/rivet/internal/wire/fault"
)

const (
	// openTimeout bounds one attempt to open a socket; the gateway gives up before that.
	openTimeout = 90 * time.Second
	// greetingTimeout bounds the wait for the actor's Init on an open socket.
	greetingTimeout = 30 * time.Second
	// pingEvery and pingTimeout find sockets whose peer is gone without a word.
	pingEvery   = 30 * time.Second
	pingTimeout = 30 * time.Second
	// maxQueued bounds the frames that wait to be written; their callers wait with them.
	maxQueued = 16
)

// session is one socket of a connection. Its reader is the connection's run goroutine; write and ping are its own
// goroutines, which end before session returns.
type session struct {
	conn     *Conn
	ws       *websocket.Conn
	encoding clientproto.Encoding
	typ      websocket.MessageType

	ctx    context.Context // ends with the session
	cancel context.CancelFunc
	out    chan []byte   // frames to write
	subs   chan struct{} // one slot: the connection's subscriptions changed
	ended  chan struct{} // closed when nothing is read any more
	heard  atomic.Bool   // a frame came since the last ping

	// Of the reader:
	greetedAt time.Time    // zero before Init
	refusal   *fault.Error // the last Error frame that was about the connection

	mu      sync.Mutex // guards what follows
	pending map[uint64]chan<- reply
	cause   error // why the session was ended on this side
}

type reply struct {
	output []byte
	err    error
}

// session opens a socket and serves it until it is lost. It reports whether the actor greeted it, and for how long it
// was open after that.
func (c *Conn) session(ctx context.Context) (greeted bool, open time.Duration, err error) {
	ws, err := c.open(ctx)
	if err != nil {
		return false, 0, err
	}
	s := &session{
		conn: c, ws: ws, encoding: c.target.client.encoding, typ: websocket.MessageBinary,
		out: make(chan []byte, maxQueued), subs: make(chan struct{}, 1), ended: make(chan struct{}),
		pending: map[uint64]chan<- reply{},
	}
	if s.encoding.IsText() {
		s.typ = websocket.MessageText
	}
	s.ctx, s.cancel = context.WithCancel(c.ctx)

	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		s.cancel()
		ws.CloseNow()
		return false, 0, errConnClosed
	}
	c.current = s
	c.mu.Unlock()

	late := time.AfterFunc(greetingTimeout, func() {
		s.fail(failure(CodeConnectionFailed, "the actor did not greet the connection in time", nil))
	})
	var own sync.WaitGroup
	own.Go(s.write)
	own.Go(s.ping)
	err = s.read(late)
	late.Stop()

	c.mu.Lock()
	c.current, c.greeted = nil, nil
	closing := c.closing
	if !closing && !s.greetedAt.IsZero() {
		c.setStatus(Disconnected)
	}
	c.mu.Unlock()
	s.reject(err, closing, true)
	close(s.ended)
	s.cancel()
	ws.CloseNow()
	own.Wait()
	if s.greetedAt.IsZero() {
		return false, 0, err
	}
	return true, time.Since(s.greetedAt), err
}

// open performs the upgrade. Its error is a *fault.Error or the context's.
func (c *Conn) open(ctx context.Context) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	client := c.target.client
	url, err := c.target.urlFor(ctx, "/connect")
	if err != nil {
		return nil, c.openError(err)
	}
	protocols := []string{"rivet", "rivet_encoding." + client.encoding.String()}
	if c.params != nil {
		protocols = append(protocols, "rivet_conn_params."+escape(string(c.params)))
	}
	header := client.headersFor(ctx)
	client.addHeaders(header)
	ws, res, err := websocket.Dial(ctx, url, &websocket.DialOptions{
		HTTPClient: client.http, HTTPHeader: header, Subprotocols: protocols,
	})
	if err != nil {
		if res != nil && res.StatusCode != http.StatusSwitchingProtocols {
			return nil, upgradeRefused(res)
		}
		return nil, c.openError(transportError(ctx, CodeConnectionFailed, "the connection cannot be opened", err))
	}
	if p := ws.Subprotocol(); p != "" && p != "rivet" {
		ws.CloseNow()
		return nil, failure(CodeConnectionFailed, fmt.Sprintf("the server speaks %q, not rivet", p), nil)
	}
	ws.SetReadLimit(maxMessage)
	return ws, nil
}

// openError turns the end of an attempt's own time into a failure.
func (c *Conn) openError(err error) error {
	if errors.Is(err, context.DeadlineExceeded) && c.ctx.Err() == nil {
		return failure(CodeConnectionFailed, "the connection was not opened in time", err)
	}
	return err
}

// read handles frames until the socket is lost and returns why. late is stopped by the greeting.
func (s *session) read(late *time.Timer) error {
	for {
		_, frame, err := s.ws.Read(s.ctx)
		if err != nil {
			return s.lost(err)
		}
		s.heard.Store(true)
		m, err := clientproto.DecodeToClient(s.encoding, frame)
		if err != nil {
			f := failure(CodeInvalidResponse, "a message of the actor cannot be read: "+err.Error(), err)
			s.ws.Close(websocket.StatusProtocolError, "client.invalid_response")
			return f
		}
		s.handle(m, late)
	}
}

func (s *session) handle(m clientproto.ToClient, late *time.Timer) {
	c := s.conn
	switch m := m.(type) {
	case *clientproto.Init:
		if !s.greetedAt.IsZero() {
			return
		}
		late.Stop()
		s.greetedAt = time.Now()
		c.mu.Lock()
		c.actorID, c.connID = m.ActorID, m.ConnectionID
		if !c.closing {
			c.greeted = s
			c.setStatus(Connected)
		}
		c.mu.Unlock()
		s.announceSoon()
	case *clientproto.Event:
		// Also before Init: the actor's hook may have sent it.
		c.deliver(m.Name, m.Args)
	case *clientproto.ActionResponse:
		s.answer(m.ID, reply{output: m.Output})
	case *clientproto.ErrorMsg:
		f := &fault.Error{Group: m.Group, Code: m.Code, Message: m.Message, Metadata: m.Metadata, Actor: m.Actor}
		if m.HasActionID {
			s.answer(m.ActionID, reply{err: f})
			return
		}
		// The actor refuses the connection, or is about to close the socket.
		s.refusal = f
		if !s.greetedAt.IsZero() {
			c.Report(f)
			s.reject(f, false, false)
		}
	}
}

// lost says why reading failed: what this side did, what an Error frame said, what the close reason says.
func (s *session) lost(err error) error {
	s.mu.Lock()
	cause := s.cause
	s.mu.Unlock()
	if cause != nil {
		return cause
	}
	var closed websocket.CloseError
	if !errors.As(err, &closed) {
		if errors.Is(err, websocket.ErrMessageTooBig) {
			return failure(CodeConnectionLost, "a message of the actor was larger than 32 MiB", err)
		}
		return failure(CodeConnectionLost, "the connection was lost: "+err.Error(), err)
	}
	f := parseReason(closed.Reason)
	if s.refusal != nil && (f == nil || f.Is(s.refusal)) {
		if f != nil && s.refusal.Ray == "" {
			s.refusal.Ray = f.Ray
		}
		return s.refusal
	}
	if f != nil {
		return f
	}
	return failure(CodeConnectionLost, fmt.Sprintf("the connection was closed: %d %s", closed.Code, closed.Reason), err)
}

// parseReason reads the close reason group.code or group.code#ray; nil when it is just text.
func parseReason(reason string) *fault.Error {
	main, ray, _ := strings.Cut(reason, "#")
	group, code, ok := strings.Cut(main, ".")
	if code, _, _ = strings.Cut(code, "."); !ok || !isWord(group) || !isWord(code) {
		return nil
	}
	f := fault.New(group, code, "connection closed: "+main)
	f.Ray = ray
	return f
}

func isWord(s string) bool {
	for i := range len(s) {
		if c := s[i]; c == '.' || c == '~' || !unreserved(c) {
			return false
		}
	}
	return s != ""
}

// fail ends the session from this side.
func (s *session) fail(err error) {
	s.mu.Lock()
	if s.cause == nil {
		s.cause = err
	}
	s.mu.Unlock()
	s.cancel()
}

// dispose closes the socket as the client's own wish and waits, for a bounded time, until the peer has confirmed.
func (s *session) dispose() {
	stop := time.AfterFunc(closeTimeout, s.cancel)
	defer stop.Stop()
	s.ws.Close(websocket.StatusNormalClosure, "Disposed")
}

// action sends an action and waits for its reply. sent is false when the session was over before the frame was taken;
// then the action has certainly not run.
func (s *session) action(ctx context.Context, id uint64, name string, args []byte) (output []byte, sent bool, err error) {
	frame, err := clientproto.AppendToServer(nil, s.encoding, &clientproto.ActionRequest{ID: id, Name: name, Args: args})
	if err != nil {
		return nil, false, failure(CodeInvalidTarget, "the arguments cannot be encoded: "+err.Error(), err)
	}
	replies := make(chan reply, 1)
	s.mu.Lock()
	if s.pending == nil {
		s.mu.Unlock()
		return nil, false, nil
	}
	s.pending[id] = replies
	s.mu.Unlock()

	select {
	case s.out <- frame:
	case <-s.ended:
		return nil, false, nil
	case <-ctx.Done():
		s.forget(id)
		return nil, false, ctx.Err()
	}
	select {
	case r := <-replies:
		return r.output, true, r.err
	case <-ctx.Done():
		s.forget(id)
		return nil, true, ctx.Err()
	}
}

func (s *session) forget(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pending, id)
}

// answer hands a reply to its action; one that nobody waits for any more is dropped.
func (s *session) answer(id uint64, r reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ch, ok := s.pending[id]; ok {
		delete(s.pending, id)
		ch <- r
	}
}

// reject fails every action in flight. After the last time, actions find the session over.
func (s *session) reject(why error, closing, last bool) {
	err := error(errConnClosed)
	if !closing {
		err = lostError(why)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ch := range s.pending {
		ch <- reply{err: err}
	}
	clear(s.pending)
	if last {
		s.pending = nil
	}
}

// lostError is what actions in flight fail with.
func lostError(why error) *fault.Error {
	if f, ok := fault.From(why); ok && f.Group == clientGroup && f.Code == CodeConnectionLost {
		return f
	} else if ok {
		e := failure(CodeConnectionLost, fmt.Sprintf("the connection was lost before the reply came: %s.%s", f.Group, f.Code), f)
		e.Ray = f.Ray
		return e
	}
	return failure(CodeConnectionLost, "the connection was lost before the reply came: "+why.Error(), why)
}

// announceSoon lets write compare the connection's subscriptions with what the actor was told.
func (s *session) announceSoon() {
	select {
	case s.subs <- struct{}{}:
	default:
	}
}

// write is the goroutine that writes frames. It ends with the session.
func (s *session) write() {
	told := map[string]bool{} // events whose subscription the actor knows
	var seen uint64           // the state of the connection's subscriptions that told reflects
	for {
		var frame []byte
		select {
		case <-s.ctx.Done():
			return
		case <-s.subs:
		case frame = <-s.out:
		}
		// Subscriptions go first: they were made before the action that may cause their events.
		if !s.announce(told, &seen) {
			return
		}
		if frame != nil && !s.send(frame) {
			return
		}
	}
}

// announce writes the difference between told and the connection's subscriptions. Nothing is announced before the
// greeting.
func (s *session) announce(told map[string]bool, seen *uint64) bool {
	c := s.conn
	c.mu.Lock()
	if c.greeted != s || c.subsCount == *seen {
		c.mu.Unlock()
		return true
	}
	*seen = c.subsCount
	var add, drop []string
	for event := range c.subs {
		if !told[event] {
			add = append(add, event)
		}
	}
	for event := range told {
		if c.subs[event] == nil {
			drop = append(drop, event)
		}
	}
	c.mu.Unlock()
	for _, event := range add {
		told[event] = true
		if !s.sendSubscription(event, true) {
			return false
		}
	}
	for _, event := range drop {
		delete(told, event)
		if !s.sendSubscription(event, false) {
			return false
		}
	}
	return true
}

func (s *session) sendSubscription(event string, on bool) bool {
	frame, err := clientproto.AppendToServer(nil, s.encoding, &clientproto.SubscriptionRequest{EventName: event, Subscribe: on})
	if err != nil {
		s.fail(failure(CodeInvalidTarget, "the name of an event cannot be encoded: "+err.Error(), err))
		return false
	}
	return s.send(frame)
}

func (s *session) send(frame []byte) bool {
	if err := s.ws.Write(s.ctx, s.typ, frame); err != nil {
		// Reading fails too, and knows why.
		return false
	}
	return true
}

// ping is the goroutine that notices a peer that is gone without a word. It ends with the session.
func (s *session) ping() {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		if s.heard.Swap(false) {
			continue
		}
		ctx, cancel := context.WithTimeout(s.ctx, pingTimeout)
		err := s.ws.Ping(ctx)
		cancel()
		if err != nil {
			s.fail(failure(CodeConnectionLost, "the connection was lost: the server does not answer pings", err))
			return
		}
	}
}
