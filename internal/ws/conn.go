package ws

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// state is where a connection is on its way from open to closed; doc.go draws it.
type state = uint32

const (
	stateOpen state = iota
	// stateClosing: a close frame waits to be written, after what was queued before it.
	stateClosing
	// stateCloseSent: the close frame is written; the peer's is awaited.
	stateCloseSent
	stateClosed
)

// Conn is the server side of one WebSocket.
//
// ReadMessage and Buffered belong to one goroutine at a time, the reader. Every other method may be called by any
// goroutine at any time, none of them waits for the peer, and frames queued by one goroutine keep their order.
type Conn struct {
	// Set once, before anyone else knows the Conn.
	nc    net.Conn
	opts  *UpgradeOptions
	began time.Time

	// lastRead is when bytes last arrived, in nanoseconds after began.
	lastRead atomic.Int64
	// state only grows. It is changed with mu held, so that those who hold mu see it still.
	state atomic.Uint32

	in  input  // belongs to the reader
	out output // belongs to the writer, that is, to whoever set writing

	mu sync.Mutex // protects the rest

	// queue is what waits to be written, in order. The bytes and frames of the writer's batch count until they are
	// written.
	queue        []segment
	queuedBytes  int
	queuedFrames int
	writing      bool // somebody is the writer
	corked       int  // open Corks
	pingDue      bool
	pong         []byte // frame that answers the newest ping, if not yet taken by the writer
	closing      []byte // close frame, if not yet taken by the writer

	peerClosed bool  // the peer's close frame has arrived
	failed     bool  // the peer broke the protocol: there is no point in reading its close frame
	cause      error // why the connection left stateOpen
	timer      *time.Timer
	armedFor   int64         // when timer is to fire, in nanoseconds after began
	done       chan struct{} // made by the first Done
	gone       bool          // the transport is closed
}

// newConn makes an open connection of a transport on which the handshake is over. early is input that was already
// read; it is copied. opts has its defaults filled in and is kept.
func newConn(nc net.Conn, early []byte, opts *UpgradeOptions) *Conn {
	opts.Header = nil // may be large
	c := &Conn{nc: nc, opts: opts, began: time.Now()}
	raw := socketOf(nc)
	c.out.socket.init(raw)
	c.in.socket.init(raw, &c.in)
	c.in.init(early, opts.ReadBufferBytes)
	if opts.PingEvery > 0 {
		c.mu.Lock()
		// Connections that came together should not be asked together for ever.
		c.arm(opts.PingEvery - rand.N(opts.PingEvery/2+1))
		c.mu.Unlock()
	}
	return c
}

// RemoteAddr is the peer's address as the transport reports it.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// Done is closed when the transport is closed.
func (c *Conn) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.gone {
			close(c.done)
		}
	}
	return c.done
}

// Close begins the close handshake and returns at once. What was queued before is written first, then a close frame,
// and the transport is closed when the peer has answered or after CloseTimeout. The reader should go on calling
// ReadMessage, which drops messages from now on, until it fails; otherwise the answer is not seen.
//
// A code that may not be sent becomes CodeInternal; 0 and CodeNoStatus send none. The reason is cut to 123 bytes. Close
// does nothing on a connection that is not open.
func (c *Conn) Close(code int, reason string) {
	c.mu.Lock()
	if c.state.Load() == stateOpen {
		c.beginClose(closeFrame(code, reason), ErrClosed)
		c.arm(c.opts.WriteTimeout)
	}
	c.mu.Unlock()
	c.Flush()
}

// CloseNow closes the transport without a word.
func (c *Conn) CloseNow() { c.teardown(ErrClosed) }

// beginClose leaves stateOpen. Callers hold mu, arm the timer, and flush after they let mu go.
func (c *Conn) beginClose(frame []byte, cause error) {
	c.state.Store(stateClosing)
	c.cause = cause
	c.closing = frame
	c.pong, c.pingDue = nil, false
}

// cutOff ends the connection of a peer that does not read. Callers hold mu and give the writer a start.
func (c *Conn) cutOff() {
	c.dropQueue()
	c.beginClose(closeFrame(CodePolicy, "ws.slow_reader"), ErrSlowReader)
	c.arm(c.opts.CloseTimeout)
}

// violate ends the connection of a peer that broke the protocol and returns the reader's error. The peer is told, and
// whatever else it sent is read and dropped: a transport closed over unread input resets, and a reset can overtake
// the close frame.
func (c *Conn) violate(code int, reason, detail string) error {
	err := &ProtocolError{Code: code, Reason: reason, Detail: detail}
	c.mu.Lock()
	if c.state.Load() != stateOpen {
		cause := c.cause
		c.mu.Unlock()
		c.teardown(cause)
		return cause
	}
	c.failed = true
	c.beginClose(closeFrame(code, reason), err)
	c.arm(c.opts.WriteTimeout)
	c.mu.Unlock()
	c.Flush()
	go c.discard()
	return err
}

// discard reads until the transport ends; the timer sees to that at the latest.
func (c *Conn) discard() {
	buf := getBuffer(size4K)
	defer putBuffer(buf)
	for {
		if _, err := c.nc.Read(buf[:cap(buf)]); err != nil {
			c.teardown(err)
			return
		}
	}
}

// peerClose handles the peer's close frame and returns the reader's error.
func (c *Conn) peerClose(code int, reason string) error {
	c.mu.Lock()
	c.peerClosed = true
	switch c.state.Load() {
	case stateOpen:
		c.beginClose(closeFrame(code, ""), &CloseError{Code: code, Reason: reason})
		fallthrough
	case stateClosing:
		// Clients drop what arrives after their close frame.
		c.dropQueue()
		c.arm(c.opts.CloseTimeout)
	}
	sent, cause := c.state.Load() >= stateCloseSent, c.cause
	c.mu.Unlock()
	if sent {
		c.teardown(cause)
	} else {
		c.Flush()
	}
	return cause
}

// closeWritten is called by the writer when the close frame is on its way.
func (c *Conn) closeWritten() {
	c.mu.Lock()
	if c.state.Load() != stateClosing {
		c.mu.Unlock()
		return
	}
	c.state.Store(stateCloseSent)
	c.arm(c.opts.CloseTimeout)
	finished, failed, cause := c.peerClosed, c.failed, c.cause
	c.mu.Unlock()
	if failed {
		// The peer gets an end of input right behind the close frame, so it need not wait for the timeout to be done.
		half, ok := c.nc.(interface{ CloseWrite() error })
		finished = !ok || half.CloseWrite() != nil
	}
	if finished {
		c.teardown(cause)
	}
}

// teardown closes the transport, which wakes a blocked reader and writer. cause counts if none is known yet.
func (c *Conn) teardown(cause error) error {
	c.mu.Lock()
	if c.state.Load() == stateClosed {
		cause = c.cause
		c.mu.Unlock()
		return cause
	}
	c.state.Store(stateClosed)
	if c.cause == nil {
		c.cause = cause
	}
	cause = c.cause
	c.dropQueue()
	c.queue, c.pong, c.closing = nil, nil, nil
	if c.timer != nil {
		c.timer.Stop()
	}
	c.mu.Unlock()

	closeTransport(c.nc)
	switch cause {
	case ErrSlowReader, ErrWriteTimeout, ErrSilent:
		c.opts.Logger.Info("websocket cut off", "cause", cause, "remote", c.nc.RemoteAddr())
	}

	c.mu.Lock()
	c.gone = true
	if c.done != nil {
		close(c.done)
	}
	c.mu.Unlock()
	return cause
}

// closeTransport closes nc without waiting. A tls.Conn would wait for room to write its alert; the close frame has
// said already that this is the end.
func closeTransport(nc net.Conn) {
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		nc = t.NetConn()
	}
	nc.Close()
}

// lost ends the connection because of a transport error and returns the reader's error.
func (c *Conn) lost(err error) error { return c.teardown(fmt.Errorf("%w: %w", ErrLost, err)) }

// now is the time since the connection began, in nanoseconds.
func (c *Conn) now() int64 { return int64(time.Since(c.began)) }

// arm sets the timer. Callers hold mu.
func (c *Conn) arm(d time.Duration) {
	if c.state.Load() == stateClosed {
		return
	}
	c.armedFor = c.now() + int64(d)
	if c.timer == nil {
		c.timer = time.AfterFunc(d, c.tick)
	} else {
		c.timer.Reset(d)
	}
}

// tick is the timer's function: keepalive while open, time limit later.
func (c *Conn) tick() {
	c.mu.Lock()
	now := c.now()
	if now < c.armedFor || c.state.Load() == stateClosed {
		c.mu.Unlock() // armed again meanwhile
		return
	}
	if c.state.Load() != stateOpen {
		cause := c.cause
		c.mu.Unlock()
		c.teardown(cause)
		return
	}
	silent := time.Duration(now - c.lastRead.Load())
	every, dead := c.opts.PingEvery, c.opts.DeadAfter
	if dead > 0 && silent >= dead {
		c.mu.Unlock()
		c.teardown(ErrSilent)
		return
	}
	// Half the interval of silence is enough, so that the answer to one ping does not put off the next by a whole turn.
	if silent >= every/2 {
		c.pingDue = true
	}
	if dead > 0 {
		every = min(every, dead-silent)
	}
	c.arm(every)
	c.mu.Unlock()
	c.Flush()
}
