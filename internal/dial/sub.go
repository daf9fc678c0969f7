package dial

import (
	"context"
	"sync"
)

// Sub is one subscription to an event of a connection. It holds what its reader has not taken yet, within the client's
// bounds; a reader that falls further behind loses the subscription, never the connection, and is told after the last
// event that was kept.
//
// Safe for concurrent use.
type Sub struct {
	conn  *Conn
	event string
	fn    func(args []byte) // nil: the reader calls Next
	wake  chan struct{}     // one slot: something changed

	mu      sync.Mutex // guards what follows
	queue   [][]byte
	bytes   int
	err     error // why nothing more comes
	calling bool  // the goroutine of a callback exists
}

// Subscribe announces interest in an event. Events that the actor sends after it has read the announcement are kept
// until Next takes them. An action that is called on the connection later is read by the actor later.
func (c *Conn) Subscribe(event string) *Sub { return c.subscribe(event, nil) }

// Handle is Subscribe with a callback: fn gets the events one after the other, each an encoded array of arguments.
func (c *Conn) Handle(event string, fn func(args []byte)) *Sub { return c.subscribe(event, fn) }

// Next returns the next event, an encoded array of arguments. It fails with the context's error, with what ended the
// connection or the subscription, and with client.slow_consumer.
func (s *Sub) Next(ctx context.Context) ([]byte, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		args, err := s.take()
		if args != nil || err != nil {
			return args, err
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
		}
	}
}

// Close ends the subscription: what is queued is dropped, and a callback that is running is the last. Idempotent.
func (s *Sub) Close() {
	s.conn.unsubscribe(s)
	s.drop()
	s.end(errUnsubscribed)
}

// drop forgets what is queued.
func (s *Sub) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue, s.bytes = nil, 0
}

// Err is why the subscription ended; nil while it goes on.
func (s *Sub) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// take removes the oldest event; nil when there is none.
func (s *Sub) take() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		return nil, s.err
	}
	args := s.queue[0]
	s.queue[0] = nil
	s.queue = s.queue[1:]
	s.bytes -= len(args)
	if len(s.queue) == 0 {
		s.queue = nil
	}
	return args, nil
}

// push adds an event and reports whether it was one too many, which has ended the subscription.
func (s *Sub) push(args []byte) (overflow bool) {
	c := s.conn.target.client
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return false
	}
	// A single event may be larger than the byte bound: it is already in memory.
	if len(s.queue) >= c.eventBuffer || len(s.queue) > 0 && s.bytes+len(args) > c.eventBufferBytes {
		s.err = failure(CodeSlowConsumer, "the events of "+s.event+" were not read fast enough; the subscription ended", nil)
		s.notify()
		return true
	}
	s.queue = append(s.queue, args)
	s.bytes += len(args)
	s.notify()
	return false
}

// end lets the reader see err after what is queued. The first end counts.
func (s *Sub) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	s.notify()
}

// notify wakes the reader; s.mu is held.
func (s *Sub) notify() {
	if s.fn == nil {
		select {
		case s.wake <- struct{}{}:
		default:
		}
		return
	}
	if !s.calling && len(s.queue) > 0 {
		s.calling = true
		go s.call()
	}
}

// call runs the callback until nothing is queued.
func (s *Sub) call() {
	for {
		s.mu.Lock()
		if len(s.queue) == 0 {
			s.calling = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		if args, _ := s.take(); args != nil {
			s.fn(args)
		}
	}
}

// maxNotices bounds what a watcher that is called too slowly may miss: older notices are dropped.
const maxNotices = 64

// watcher calls a function with each notice, in order, on a goroutine that exists only while there are notices.
type watcher[T any] struct {
	fn func(T)

	mu      sync.Mutex // guards what follows
	queue   []T
	stopped bool
	calling bool
}

func (w *watcher[T]) push(v T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	if len(w.queue) == maxNotices {
		w.queue = w.queue[1:]
	}
	w.queue = append(w.queue, v)
	if !w.calling {
		w.calling = true
		go w.call()
	}
}

// call runs until nothing is queued.
func (w *watcher[T]) call() {
	for {
		w.mu.Lock()
		if len(w.queue) == 0 {
			w.calling = false
			w.mu.Unlock()
			return
		}
		v := w.queue[0]
		w.queue = w.queue[1:]
		w.mu.Unlock()
		w.fn(v)
	}
}

func (w *watcher[T]) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped, w.queue = true, nil
}
