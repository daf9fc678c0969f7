package runner

import (
	"context"
	"time"

	"github.com/rivetgo/rivet/internal/wire/runnerproto"
	"github.com/rivetgo/rivet/internal/ws"
)

const (
	// maxBacklog bounds the frames that wait for a connection, and those kept until the engine is known to have them.
	maxBacklog = 32 << 20
	// maxTunnelPayload is the largest payload of one frame: the engine ends the whole connection over a larger one.
	maxTunnelPayload = 20<<20 - 64<<10
)

// tunnel is one request or socket of a client. Its methods are called by whoever reads the connection, or with nothing
// held, and return at once.
type tunnel interface {
	// receive handles a message of the gateway.
	receive(index uint16, k runnerproto.GatewayKind)
	// cut is called when the connection is lost: what was sent may not have arrived.
	cut()
	// owner is the life that serves it; nil for none.
	owner() *slot
	// abandoned is called when that life is over.
	abandoned()
}

// outgoing is what happens to tunnel frames while there is no connection. The runner's mu guards it.
type outgoing struct {
	backlog []*runnerproto.FromRunner // wait for a connection
	bytes   int
	// sent are whole responses that the engine may not have yet: their number on the line, and themselves.
	sent      []sentResponse
	sentBytes int
}

type sentResponse struct {
	number  uint64
	message *runnerproto.FromRunner
	size    int
}

// send sends a tunnel frame, now or with the next connection. size is that of its payload. whole says that it is all of an
// answer, which is said again if the connection is lost before the engine is known to have it.
func (r *Runner) send(m *runnerproto.FromRunner, size int, whole bool) {
	for {
		r.mu.Lock()
		l := r.line
		if l == nil {
			if r.outgoing.bytes+size <= maxBacklog {
				r.outgoing.backlog = append(r.outgoing.backlog, m)
				r.outgoing.bytes += size
			} // else the client waits for the gateway's own timeout
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
		b, err := runnerproto.AppendToRivet(make([]byte, 0, size+256), l.version, m) // it copies much, so nobody waits for it
		if err != nil {
			r.log.Error("an answer cannot be written", "error", err)
			return
		}
		r.mu.Lock()
		if r.line != l {
			r.mu.Unlock()
			continue
		}
		n := l.sendBytes(b)
		if o := &r.outgoing; whole && o.sentBytes+size <= maxBacklog {
			o.sent = append(o.sent, sentResponse{n, m, size})
			o.sentBytes += size
		}
		r.mu.Unlock()
		return
	}
}

// confirmed forgets what the engine has.
func (r *Runner) confirmed(upto uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := &r.outgoing
	n := 0
	for n < len(o.sent) && o.sent[n].number <= upto {
		o.sentBytes -= o.sent[n].size
		n++
	}
	o.sent = append([]sentResponse(nil), o.sent[n:]...)
}

// tunnelsLost is called when the connection is lost. The caller holds mu.
func (r *Runner) tunnelsLost() {
	o := &r.outgoing
	for _, s := range o.sent {
		if o.bytes+s.size <= maxBacklog {
			o.backlog = append(o.backlog, s.message)
			o.bytes += s.size
		}
	}
	o.sent, o.sentBytes = nil, 0
	for _, t := range r.tunnels {
		go t.cut() // ends soon
	}
}

// resendTunnel sends what waited for a connection. The caller holds mu.
func (r *Runner) resendTunnel(l *line) {
	for _, m := range r.outgoing.backlog {
		l.send(m)
	}
	r.outgoing.backlog, r.outgoing.bytes = nil, 0
}

// slotTunnelsEnded tells tunnels that their actor is gone. The caller holds mu.
func (r *Runner) slotTunnelsEnded(s *slot) {
	for _, t := range r.tunnels {
		if t.owner() == s {
			go t.abandoned() // ends soon
		}
	}
}

// put makes a tunnel known, in place of one of the same name.
func (r *Runner) put(name runnerproto.Tunnel, t tunnel) {
	r.mu.Lock()
	old := r.tunnels[name]
	r.tunnels[name] = t
	r.mu.Unlock()
	if old != nil {
		old.cut()
	}
}

// next returns the life that follows one that is over, when it begins in this process; nil if ctx ends before.
func (r *Runner) next(ctx context.Context, s *slot) *slot {
	select {
	case <-s.gone:
	case <-ctx.Done():
		return nil
	}
	for {
		r.mu.Lock()
		n, begins := r.slots[s.actor], r.begins
		r.mu.Unlock()
		if n != nil && n.generation > s.generation {
			return n
		}
		select {
		case <-begins:
		case <-ctx.Done():
			return nil
		}
	}
}

// drop forgets a tunnel.
func (r *Runner) drop(name runnerproto.Tunnel, t tunnel) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tunnels[name] == t {
		delete(r.tunnels, name)
	}
}

// find returns the slot that a request is for; nil for none.
func (r *Runner) find(actor string, generation *uint32) *slot {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.slots[actor]
	if s == nil || s.over || generation != nil && *generation != s.generation {
		return nil
	}
	return s
}

// fromGateway hands a tunnel message to whom it is for. A message of a socket that was left to the gateway is dropped: the gateway
// has it still.
func (r *Runner) fromGateway(m *runnerproto.FromGateway) {
	switch k := m.Kind.(type) {
	case *runnerproto.RequestStart:
		r.mu.Lock()
		known, _ := r.tunnels[m.Tunnel].(*exchange)
		r.mu.Unlock()
		if known != nil && known.again() {
			return
		}
		x := newExchange(r, m.Tunnel, r.find(k.Actor, k.Generation), k)
		r.put(m.Tunnel, x)
		go x.serve(k) // ends with the handler
		return
	case *runnerproto.SocketOpen:
		r.openSocket(m.Tunnel, k)
		return
	}
	r.mu.Lock()
	t, left := r.tunnels[m.Tunnel], r.left[m.Tunnel]
	r.mu.Unlock()
	switch m.Kind.(type) {
	default:
		if t != nil {
			t.receive(m.Index, m.Kind)
		}
	case *runnerproto.SocketClose:
		if t != nil {
			t.receive(m.Index, m.Kind)
		} else {
			r.closedLeft(m.Tunnel)
		}
	case *runnerproto.SocketMessage:
		switch {
		case t != nil:
			t.receive(m.Index, m.Kind)
		case left == nil: // nobody here will ever know of it: its client begins anew
			r.send(closedFrame(m.Tunnel, ws.CodeInternal, reasonLost), 64, false)
		}
	}
}

// awaitTimeout bounds the wait of a request for an actor that starts.
const awaitTimeout = startTimeout + 5*time.Second
