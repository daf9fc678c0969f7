package dial

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rivetgo/rivet/internal/callchain"
	"github.com/rivetgo/rivet/internal/wire/fault"
)

// Status is where a connection stands; the package comment draws how it moves.
type Status int

const (
	Connecting   Status = iota // a socket is being opened, or open and not yet greeted
	Connected                  // the actor has greeted the connection
	Disconnected               // the socket is lost; the next attempt is waited for
	Closed                     // over for good
)

func (s Status) String() string {
	switch s {
	case Connecting:
		return "connecting"
	case Connected:
		return "connected"
	case Disconnected:
		return "disconnected"
	}
	return "closed"
}

// Conn is a connection to an actor that outlives its sockets. Safe for concurrent use; Close it.
type Conn struct {
	target *Target
	params []byte // JSON; nil for none
	log    *slog.Logger

	ctx    context.Context // ends when the connection is over
	cancel context.CancelFunc
	done   chan struct{} // closed when the connection is over and run has ended

	lastID atomic.Uint64 // of an action; not reset by a new socket

	mu      sync.Mutex // guards what follows
	current *session   // from the open socket to its end
	greeted *session   // current, once it was greeted
	changed chan struct{}
	status  Status
	err     error // set when Closed
	closing bool
	actorID string
	connID  string
	// subs are the subscriptions by event. The slices are replaced, never changed, so that events are handed out
	// without the lock.
	subs      map[string][]*Sub
	subsCount uint64 // raised with each change of subs
	onStatus  []*watcher[Status]
	onError   []*watcher[error]
}

// Connect opens a connection and waits for the actor's greeting. params is what the actor's hooks get: JSON, nil for
// none.
//
// Only ctx bounds the first attempt. It is repeated, for a few seconds, when the actor was between two lives; any other
// failure, also of the network, is returned at once. After that the connection is independent of ctx.
func (t *Target) Connect(ctx context.Context, params []byte) (*Conn, error) {
	if t.err != nil {
		return nil, t.err
	}
	c := &Conn{
		target: t, params: params, log: t.client.log,
		done: make(chan struct{}), changed: make(chan struct{}), subs: map[string][]*Sub{},
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if err := t.client.adopt(c); err != nil {
		c.cancel()
		return nil, err
	}
	// The chain of calls that waits for this connection waits for its first socket only.
	go c.run(callchain.With(c.ctx, callchain.From(ctx)))

	_, err := c.await(ctx)
	if err == nil {
		return c, nil
	}
	c.Close()
	return nil, err
}

// adopt makes Close of the client close the connection too.
func (c *Client) adopt(conn *Conn) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errClientClosed
	}
	c.conns[conn] = struct{}{}
	return nil
}

func (c *Client) disown(conn *Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.conns, conn)
}

// ActorID is the actor of the last greeting.
func (c *Conn) ActorID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.actorID
}

// ID is the connection id of the last greeting; a new socket has a new one.
func (c *Conn) ID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.connID
}

// Status is the state at this moment.
func (c *Conn) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status
}

// Err is nil until the connection is over, then why: what the actor or the gateway said, or client.closed.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Done is closed when the connection is over for good.
func (c *Conn) Done() <-chan struct{} { return c.done }

// OnStatus calls fn with every change of the status, in order, until stop is called.
func (c *Conn) OnStatus(fn func(Status)) (stop func()) {
	w := &watcher[Status]{fn: fn}
	c.mu.Lock()
	c.onStatus = append(slices.Clone(c.onStatus), w)
	c.mu.Unlock()
	return func() {
		w.stop()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.onStatus = without(c.onStatus, w)
	}
}

// OnError calls fn with the errors that no call returns: what the actor says about the connection as a whole, reasons
// of lost sockets, failed attempts, and callbacks that lost their subscription.
func (c *Conn) OnError(fn func(error)) (stop func()) {
	w := &watcher[error]{fn: fn}
	c.mu.Lock()
	c.onError = append(slices.Clone(c.onError), w)
	c.mu.Unlock()
	return func() {
		w.stop()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.onError = without(c.onError, w)
	}
}

func without[T comparable](list []T, v T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(x T) bool { return x == v })
}

// Report hands err to the OnError watchers.
func (c *Conn) Report(err error) {
	c.mu.Lock()
	watchers := c.onError
	c.mu.Unlock()
	for _, w := range watchers {
		w.push(err)
	}
}

// setStatus moves the status and tells the watchers; c.mu is held.
func (c *Conn) setStatus(s Status) {
	if c.status == s {
		return
	}
	c.status = s
	for _, w := range c.onStatus {
		w.push(s)
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// closeTimeout bounds how long Close waits for the peer to confirm.
const closeTimeout = 2 * time.Second

// Close ends the connection with code 1000: actions in flight fail with client.closed, subscriptions end. It returns
// when the connection's goroutines are gone, but does not wait for a callback that is running. Idempotent.
func (c *Conn) Close() error {
	c.mu.Lock()
	firstTime := !c.closing
	c.closing = true
	s := c.current
	c.mu.Unlock()
	if firstTime {
		if s != nil {
			s.dispose()
		}
		c.cancel()
	}
	<-c.done
	return nil
}

// Action calls an action over the connection's socket and returns its encoded output. args is an encoded array of
// arguments. While there is no socket it waits for the next one. When the socket is lost before the reply, the action
// fails with client.connection_lost: it may have run.
func (c *Conn) Action(ctx context.Context, name string, args []byte) ([]byte, error) {
	if err := callchain.BeforeSend(ctx); err != nil {
		return nil, err
	}
	for {
		s, err := c.await(ctx)
		if err != nil {
			return nil, err
		}
		output, sent, err := s.action(ctx, c.lastID.Add(1), name, args)
		if sent || err != nil {
			return output, err
		}
	}
}

// await returns the session of a greeted socket, waiting for one when there is none.
func (c *Conn) await(ctx context.Context) (*session, error) {
	for {
		c.mu.Lock()
		s, changed, err := c.greeted, c.changed, c.err
		if err == nil && c.closing {
			err = errConnClosed
		}
		c.mu.Unlock()
		if err != nil {
			return nil, err
		}
		if s != nil {
			return s, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// run is the connection's goroutine: it opens one socket after the other and reads it. It ends when the connection is
// closed or over.
func (c *Conn) run(firstCtx context.Context) {
	defer close(c.done)
	t := c.target
	first := retries{kind: t.kind} // until the first greeting
	var wait backoff               // after it
	everGreeted := false
	ctx := firstCtx
	for {
		c.mu.Lock()
		c.setStatus(Connecting)
		c.mu.Unlock()
		greeted, open, err := c.session(ctx)
		if c.ctx.Err() != nil || c.isClosing() {
			c.finish(errConnClosed)
			return
		}
		if greeted {
			everGreeted, ctx = true, c.ctx
			wait.lost(open)
		}
		delay, again := c.next(err, everGreeted, greeted, &first, &wait)
		if !again {
			c.finish(err)
			return
		}
		c.mu.Lock()
		c.setStatus(Disconnected)
		c.mu.Unlock()
		c.log.Debug("rivet: connection lost", "actor_name", t.name, "actor_id", c.ActorID(), "error", err, "retry_in", delay)
		if everGreeted {
			c.Report(err)
		}
		if pause(c.ctx, delay, err) != nil {
			c.finish(errConnClosed)
			return
		}
	}
}

// next decides whether another socket is opened after one that was lost or could not be opened, and when.
func (c *Conn) next(err error, everGreeted, greeted bool, first *retries, wait *backoff) (time.Duration, bool) {
	k := c.target.kind
	f, isFault := fault.From(err)
	gone := isFault && isGone(f) && c.target.forget() // the key may name another actor by now
	switch {
	case everGreeted && greeted:
		if isFault && isFinalClose(f) {
			return 0, false
		}
		return jitter(wait.next()), true
	case everGreeted:
		if !gone && !(isFault && isTransient(f, k)) {
			return 0, false
		}
		return jitter(wait.next()), true
	case !isFault:
		return 0, false
	case gone && k == get && !first.refound:
		first.refound = true
		return 0, true
	case isReconnect(f):
		f = errGoingAway
	}
	delay, again := first.next(f, time.Now())
	return jitter(delay), again
}

// errGoingAway stands for every reason that is repeated like a boundary answer.
var errGoingAway = fault.New("actor", "restarting", "")

func (c *Conn) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing
}

// finish ends the connection for good.
func (c *Conn) finish(err error) {
	c.cancel()
	c.mu.Lock()
	c.err = err
	c.setStatus(Closed)
	subs := c.subs
	c.subs = map[string][]*Sub{}
	c.mu.Unlock()
	if !errors.Is(err, errConnClosed) {
		c.Report(err)
	}
	for _, list := range subs {
		for _, s := range list {
			if s.fn != nil && errors.Is(err, errConnClosed) {
				s.drop() // no callback after Close
			}
			s.end(err)
		}
	}
	c.target.client.disown(c)
}

// ---- subscriptions ----

func (c *Conn) subscribe(event string, fn func([]byte)) *Sub {
	s := &Sub{conn: c, event: event, fn: fn, wake: make(chan struct{}, 1)}
	c.mu.Lock()
	if c.err != nil {
		s.err = c.err
		c.mu.Unlock()
		return s
	}
	c.subs[event] = append(slices.Clone(c.subs[event]), s)
	c.subsCount++
	current := c.current
	c.mu.Unlock()
	if current != nil {
		current.announceSoon()
	}
	return s
}

func (c *Conn) unsubscribe(s *Sub) {
	c.mu.Lock()
	if rest := without(c.subs[s.event], s); len(rest) > 0 {
		c.subs[s.event] = rest
	} else {
		delete(c.subs, s.event)
	}
	c.subsCount++
	current := c.current
	c.mu.Unlock()
	if current != nil {
		current.announceSoon()
	}
}

// deliver hands an event to its subscriptions. It never waits for them.
func (c *Conn) deliver(event string, args []byte) {
	c.mu.Lock()
	subs := c.subs[event]
	c.mu.Unlock()
	for _, s := range subs {
		if !s.push(args) {
			continue
		}
		c.unsubscribe(s)
		if s.fn != nil {
			c.Report(s.Err())
		}
		c.log.Warn("rivet: a subscription ended because its events were not read fast enough", "event", event, "actor_id", c.ActorID())
	}
}
