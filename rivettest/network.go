package rivettest

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/rivetgo/rivet/internal/pipenet"
)

// errRefused is what a dial gets while the process is down.
var errRefused = errors.New("rivettest: connection refused: the process is down")

// network is the way from clients to whichever process lives now. Its connections are pipes in memory, which virtual
// time can see through.
//
//	starting (dials wait) ──reach──► up (dials connect)
//	   ▲        ▲                     │        │
//	 pause      └────────pause────────┘      refuse
//	   └──────────────── down (dials fail) ◄───┘
//
// None of these ends a connection that is open: sever does.
type network struct {
	mu       sync.Mutex // guards all below
	listener *pipenet.Listener
	changed  chan struct{} // closed when a dial that waits must look again
	down     bool
	conns    map[*conn]struct{}
}

func newNetwork() *network {
	return &network{changed: make(chan struct{}), conns: make(map[*conn]struct{})}
}

// reach makes l what dials reach.
func (n *network) reach(l *pipenet.Listener) { n.move(l, false) }

// pause makes dials wait.
func (n *network) pause() { n.move(nil, false) }

// refuse has dials refused.
func (n *network) refuse() { n.move(nil, true) }

func (n *network) move(l *pipenet.Listener, down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listener, n.down = l, down
	close(n.changed)
	n.changed = make(chan struct{})
}

// sever ends all connections without a word.
func (n *network) sever() {
	n.mu.Lock()
	conns := n.conns
	n.conns = make(map[*conn]struct{})
	n.mu.Unlock()
	for c := range conns {
		c.Conn.Close() // either end of a pipe ends both
	}
}

// dial opens a connection to the process that lives, and waits for one that is about to.
func (n *network) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	for {
		n.mu.Lock()
		l, changed, down := n.listener, n.changed, n.down
		n.mu.Unlock()
		if down {
			return nil, errRefused
		}
		if l == nil {
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		pipe, err := l.Dial(ctx, network, addr)
		if errors.Is(err, net.ErrClosed) {
			if n.stale(l) {
				continue
			}
			return nil, errRefused // the engine stopped on its own
		}
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: pipe, network: n}
		if !n.keep(l, c) {
			pipe.Close() // accepted by a process that has ended meanwhile
			continue
		}
		return c, nil
	}
}

// stale reports whether l is not what dials reach any more.
func (n *network) stale(l *pipenet.Listener) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.listener != l
}

// keep notes a connection through l, so that it can be severed. It reports false when it would have been already.
func (n *network) keep(l *pipenet.Listener, c *conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listener != l {
		return false
	}
	n.conns[c] = struct{}{}
	return true
}

// conn is the client's end of a connection.
type conn struct {
	net.Conn
	network *network
}

// Close ends the connection.
func (c *conn) Close() error {
	c.network.mu.Lock()
	delete(c.network.conns, c)
	c.network.mu.Unlock()
	return c.Conn.Close()
}
