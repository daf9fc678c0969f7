package interop

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxy stands between a runner and its engine, and does to their connection what networks do.
type proxy struct {
	l      net.Listener
	target string

	refuse atomic.Bool  // new connections are closed at once
	delay  atomic.Int64 // nanoseconds that each piece waits, either way
	deaf   atomic.Bool  // what the engine says is swallowed

	mu    sync.Mutex // guards conns
	conns map[net.Conn]struct{}
	wg    sync.WaitGroup
}

// last is how long a fault lasts: that is its nature, not a wait for something.
func last(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	<-t.C
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{l: l, target: target, conns: make(map[net.Conn]struct{})}
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) url() string { return "http://" + p.l.Addr().String() }

func (p *proxy) keep(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = struct{}{}
}

func (p *proxy) drop(c net.Conn) {
	c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // as a reset: what is under way is gone
		}
		c.Close()
	}
}

func (p *proxy) serve(c net.Conn) {
	p.keep(c)
	defer p.drop(c)
	if p.refuse.Load() {
		return
	}
	s, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(context.Background(), "tcp", p.target)
	if err != nil {
		return
	}
	p.keep(s)
	defer p.drop(s)
	done := make(chan struct{})
	go func() { // ends with the connections
		defer close(done)
		p.pass(s, c, false)
		c.Close()
	}()
	p.pass(c, s, true)
	s.Close()
	<-done
}

// pass copies from one side to the other.
func (p *proxy) pass(to io.Writer, from io.Reader, fromEngine bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if d := p.delay.Load(); d > 0 {
				last(time.Duration(d))
			}
			if fromEngine && p.deaf.Load() {
				continue // only until the connection is cut: nothing fits what comes after a gap
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
