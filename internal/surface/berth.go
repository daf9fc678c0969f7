package surface

import (
	"sync"
	"time"

	"github.com/rivetgo/rivet/internal/host"
	"github.com/rivetgo/rivet/internal/ws"
)

// What a client may send to an actor that sleeps, for each socket (G7). Beyond it the socket is not read, and TCP holds the
// client; a message that is larger by itself waits alone.
const (
	maxHeld      = 64
	maxHeldBytes = 1 << 20
)

// life is one life of an actor as one of its sockets sees it.
type life struct {
	actor *host.Actor
	conn  *host.Conn
}

// berth is what the two kinds of sockets share: which life they belong to, and what becomes of them between two lives.
//
//	live ──Park──► parked ──Restored──► starting ──resume──► live
//	                  ▲ └────unbind, Park────┘
type berth struct {
	set   *Set
	ws    ws.Socket
	kept  ws.Kept     // ws, when its client has a keeper
	actor string      // id of the actor
	hook  bool        // the definition has OnDisconnect: an end of the socket is worth a wake
	queue interface { // what waits for the actor; called with mu held
		waiting() int
		// working reports whether somebody goes through what waits in the name of this life, and ends the connection of a
		// socket that is gone when it is through.
		working(l *life) bool
		discard()
	}

	mu       sync.Mutex // guards all below, and the queue
	id       [16]byte   // of the connection
	life     *life      // nil while parked
	starting bool       // life has not begun yet
	gone     bool       // the socket has ended
	killed   bool       // the actor was given up: nothing waits any more
	since    time.Time  // of a parked socket: since when something waits
	room     chan struct{}
}

func newBerth(set *Set, actor string, c ws.Socket) berth {
	kept, _ := c.(ws.Kept)
	return berth{set: set, ws: c, kept: kept, actor: actor}
}

// bind makes the berth that of a new connection.
func (b *berth) bind(a *host.Actor, conn *host.Conn) *life {
	l := &life{actor: a, conn: conn}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.life = l
	if conn.Hibernates() {
		b.id = conn.Key()
	}
	return l
}

// note remembers since when something waits. The caller holds mu.
func (b *berth) note() {
	if b.since.IsZero() && (b.queue.waiting() > 0 || b.gone) {
		b.since = time.Now()
	}
}

// overfull reports whether a parked socket should not be read. The caller holds mu.
func overfull(n, bytes int) bool { return n >= maxHeld || bytes >= maxHeldBytes }

// makeRoom lets a reader look again that waits for room. The caller holds mu.
func (b *berth) makeRoom() {
	if b.room != nil {
		close(b.room)
		b.room = nil
	}
}

// awaitRoom waits until the queue may have room. The caller holds mu, which awaitRoom lets go.
func (b *berth) awaitRoom() {
	room := make(chan struct{})
	b.room = room
	b.mu.Unlock()
	select {
	case <-room:
	case <-b.ws.Done(): // ReadMessage says why
	}
}

// Restored implements host.Hibernator.
func (b *berth) Restored(conn *host.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.life, b.starting = &life{actor: conn.Actor(), conn: conn}, true
}

// unbind implements parked.
func (b *berth) unbind() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.life, b.starting = nil, false
	b.note()
}

// park implements the part of Park that both kinds share. self is the socket.
func (b *berth) park(self parked) {
	if b.connection() == ([16]byte{}) { // it has not quite opened: its client may open another
		b.ws.Close(ws.CodeInternal, "actor.restarting")
		return
	}
	if b.kept != nil {
		b.mu.Lock()
		b.life, b.starting, b.killed = nil, false, true
		b.queue.discard()
		b.makeRoom()
		b.mu.Unlock()
		b.kept.Leave()
		return
	}
	b.set.lot.park(b.actor, self)
	b.mu.Lock()
	b.life, b.starting, b.since = nil, false, time.Time{}
	b.note()
	waits := !b.since.IsZero()
	b.mu.Unlock()
	if waits {
		b.set.lot.changed(b.actor, self)
	}
}

// connection implements parked.
func (b *berth) connection() [16]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.id
}

// wants implements parked.
func (b *berth) wants() (time.Time, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.since, !b.killed && (b.queue.waiting() > 0 || b.gone && b.hook)
}

// over implements parked.
func (b *berth) over() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.killed || b.gone && b.queue.waiting() == 0 && !b.hook
}

// kill implements parked.
func (b *berth) kill(code int, reason string) {
	b.mu.Lock()
	b.killed = true
	b.queue.discard()
	b.makeRoom()
	b.mu.Unlock()
	b.ws.Close(code, reason)
}

// leave notes that the socket has ended, and that its connection has, unless that is for the next life to do.
func (b *berth) leave(self parked) {
	b.mu.Lock()
	b.gone = true
	l := b.life
	switch {
	case l == nil:
		b.note()
		b.mu.Unlock()
		b.set.lot.changed(b.actor, self)
		return
	case b.starting, b.queue.waiting() > 0 && l.actor.Parks(l.conn):
		b.mu.Unlock() // resume or Park finds it
		return
	case b.queue.working(l): // what the client said before it left comes first
		b.mu.Unlock()
		return
	}
	b.mu.Unlock()
	l.actor.Disconnect(l.conn)
}
