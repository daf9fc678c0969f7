package engine

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// reaper closes connections that send no request in time. net/http can do that with ReadHeaderTimeout and IdleTimeout,
// but sets four deadlines for every request to that end, each a change to the runtime's timers; one look at all
// connections every few seconds is enough and costs a request next to nothing.
type reaper struct {
	head time.Duration // how long the head of a request may take
	idle time.Duration // how long a connection may wait for the next one

	mu    sync.Mutex // guards conns
	conns map[net.Conn]*reaped
	some  chan struct{} // one slot: there are connections again
}

// reaped is one connection. Its fields are written by the connection's own goroutine and read by the reaper's, which
// also writes since.
type reaped struct {
	since   atomic.Int64 // when it came to its state or was last seen at work, in nanoseconds since 1970
	idle    atomic.Bool  // between two requests
	serving atomic.Int32 // handlers at work: from then on the handler's own limits count
}

type reapedKey struct{}

func newReaper(head, idle time.Duration) *reaper {
	return &reaper{head: head, idle: idle, conns: make(map[net.Conn]*reaped), some: make(chan struct{}, 1)}
}

// attach makes a server tell the reaper of its connections.
func (r *reaper) attach(s *http.Server) {
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, reapedKey{}, r.of(c))
	}
	s.ConnState = r.note
	next := s.Handler
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if e, ok := req.Context().Value(reapedKey{}).(*reaped); ok {
			e.serving.Add(1)
			defer e.serving.Add(-1)
		}
		next.ServeHTTP(w, req)
	})
}

func (r *reaper) of(c net.Conn) *reaped {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.conns[c]
	if e == nil {
		e = &reaped{}
		e.since.Store(time.Now().UnixNano())
		r.conns[c] = e
		if len(r.conns) == 1 {
			select {
			case r.some <- struct{}{}:
			default:
			}
		}
	}
	return e
}

func (r *reaper) note(c net.Conn, s http.ConnState) {
	switch s {
	case http.StateHijacked, http.StateClosed:
		r.mu.Lock()
		delete(r.conns, c)
		r.mu.Unlock()
		return
	}
	e := r.of(c)
	e.idle.Store(s == http.StateIdle)
	e.since.Store(time.Now().UnixNano())
}

// run looks at all connections from time to time, and rests while there are none, until ctx ends.
func (r *reaper) run(ctx context.Context) {
	tick := time.NewTicker(min(r.head, r.idle) / 2)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			if !r.reap(now) {
				tick.Stop()
			}
		case <-r.some:
			tick.Reset(min(r.head, r.idle) / 2)
		case <-ctx.Done():
			return
		}
	}
}

// reap closes what is overdue and reports whether there are connections at all. Closing never waits.
func (r *reaper) reap(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c, e := range r.conns {
		if e.serving.Load() > 0 {
			// The handler may be about to return: between that and the change of state, the connection is not overdue.
			e.since.Store(now.UnixNano())
			continue
		}
		limit := r.head
		if e.idle.Load() {
			limit = r.idle
		}
		if now.UnixNano()-e.since.Load() > int64(limit) {
			c.Close()
		}
	}
	return len(r.conns) > 0
}
