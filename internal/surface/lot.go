package surface

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rivetgo/rivet/internal/host"
	"github.com/rivetgo/rivet/internal/ws"
)

const (
	// maxParkedWait is how long something that a client sent to a sleeping actor waits for it at most.
	maxParkedWait = 30 * time.Second
	// A sleeping actor that does not wake is asked again after a time that doubles from one to the other.
	wakeRetryMin = 250 * time.Millisecond
	wakeRetryMax = 5 * time.Second
)

// Why parked sockets are closed.
const (
	reasonStopped  = "actor.stopped"
	reasonNotReady = "guard.actor_ready_timeout"
)

// parked is a socket as the lot sees it. Its methods may be called with the lot's mutex held; they do not call the lot.
type parked interface {
	host.Hibernator
	connection() [16]byte
	// unbind takes the socket back from a life that did not begin.
	unbind()
	// resume lets the life that restored the socket begin with what waits. It reports false when the socket is parked,
	// which it is again when the life was over at once.
	resume() bool
	// wants reports since when something waits for the actor, if anything does that is worth waking it.
	wants() (since time.Time, ok bool)
	// over reports whether the client is gone and the actor need not know before it wakes anyway.
	over() bool
	// kill closes the socket and forgets what waits.
	kill(code int, reason string)
}

// lot holds the sockets of sleeping actors, by actor, and has actors woken.
//
//	parked ──something waits──► wake asked for, again until the actor starts
//	   ▲  └──────actor starts, for whatever reason──► starting ──► resumed: gone from here
//	   └────────────────start fails──────────────────────┘
//
// A socket whose client has waited for maxParkedWait is closed.
type lot struct {
	wake func(actor string) // set before the first park

	mu     sync.Mutex // guards all below; taken before a socket's own
	closed bool
	bays   map[string]*bay
}

// bay is the sockets of one actor.
type bay struct {
	sockets  map[parked]struct{}
	starting bool
	timer    *time.Timer // runs while something waits; nil while nothing does
	delay    time.Duration
}

func newLot() *lot { return &lot{bays: make(map[string]*bay)} }

// park takes a socket over. The socket calls look when it is ready.
func (l *lot) park(actor string, k parked) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		k.kill(ws.CodeNormal, reasonStopped)
		return
	}
	defer l.mu.Unlock()
	b := l.bays[actor]
	if b == nil {
		b = &bay{sockets: make(map[parked]struct{})}
		l.bays[actor] = b
	}
	b.sockets[k] = struct{}{}
}

// changed is called when something came to wait on a parked socket, or its client left.
func (l *lot) changed(actor string, k parked) {
	l.mu.Lock()
	b := l.bays[actor]
	if b == nil {
		l.mu.Unlock()
		return
	}
	if _, here := b.sockets[k]; !here {
		l.mu.Unlock()
		return
	}
	if !b.starting && k.over() {
		delete(b.sockets, k)
		l.tidy(actor, b)
		l.mu.Unlock()
		return
	}
	_, waits := k.wants()
	if !waits || b.timer != nil {
		l.mu.Unlock()
		return
	}
	b.delay = wakeRetryMin
	b.timer = time.AfterFunc(b.delay, func() { l.look(actor, b) })
	ask := !b.starting
	l.mu.Unlock()
	if ask {
		l.wake(actor)
	}
}

// drop parts with some sockets. The caller holds the lot's mu.
func (b *bay) drop(which func(k parked) bool) {
	for k := range b.sockets {
		if which(k) {
			delete(b.sockets, k)
		}
	}
}

// tidy forgets a bay without sockets. The caller holds mu.
func (l *lot) tidy(actor string, b *bay) {
	if len(b.sockets) > 0 || b.starting {
		return
	}
	if b.timer != nil {
		b.timer.Stop()
	}
	delete(l.bays, actor)
}

// look runs while something waits: it closes the sockets that have waited for too long, and asks again for the others.
func (l *lot) look(actor string, b *bay) {
	l.mu.Lock()
	if l.bays[actor] != b || b.timer == nil {
		l.mu.Unlock()
		return
	}
	var late []parked
	waiting := false
	for k := range b.sockets {
		switch since, ok := k.wants(); {
		case !ok:
		case time.Since(since) >= maxParkedWait:
			late = append(late, k)
		default:
			waiting = true
		}
	}
	for _, k := range late {
		k.kill(ws.CodeInternal, reasonNotReady)
	}
	if !b.starting {
		b.drop(parked.over)
	}
	if waiting {
		b.delay = min(2*b.delay, wakeRetryMax)
		b.timer.Reset(b.delay)
	} else {
		b.timer = nil
	}
	l.tidy(actor, b)
	ask := waiting && !b.starting
	l.mu.Unlock()
	if ask {
		l.wake(actor)
	}
}

// take is called when a life of the actor begins to load: it is told of the sockets.
func (l *lot) take(actor string) []host.Parked {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bays[actor]
	if b == nil {
		return nil
	}
	b.starting = true
	out := make([]host.Parked, 0, len(b.sockets))
	for k := range b.sockets {
		out = append(out, host.Parked{ID: k.connection(), Sink: k})
	}
	return out
}

// failed is called when that life did not begin.
func (l *lot) failed(actor string) {
	l.mu.Lock()
	b := l.bays[actor]
	if b == nil {
		l.mu.Unlock()
		return
	}
	b.starting = false
	for k := range b.sockets {
		k.unbind()
	}
	b.drop(parked.over)
	all := slices.Collect(maps.Keys(b.sockets))
	l.tidy(actor, b)
	l.mu.Unlock()
	for _, k := range all {
		l.changed(actor, k) // something may have come meanwhile
	}
}

// started is called when that life has begun.
func (l *lot) started(actor string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bays[actor]
	if b == nil {
		return
	}
	b.starting = false
	b.drop(parked.resume)
	l.tidy(actor, b)
}

// forget closes the sockets of an actor that does not exist any more.
func (l *lot) forget(actor string) {
	l.mu.Lock()
	b := l.bays[actor]
	if b == nil {
		l.mu.Unlock()
		return
	}
	delete(l.bays, actor)
	if b.timer != nil {
		b.timer.Stop()
	}
	l.mu.Unlock()
	for k := range b.sockets {
		k.kill(ws.CodeNormal, reasonStopped)
	}
}

// close closes all sockets, and those that come later.
func (l *lot) close() {
	l.mu.Lock()
	l.closed = true
	actors := make([]string, 0, len(l.bays))
	for actor := range l.bays {
		actors = append(actors, actor)
	}
	l.mu.Unlock()
	for _, actor := range actors {
		l.forget(actor)
	}
}

// held is how many sockets are parked.
func (l *lot) held() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, b := range l.bays {
		n += len(b.sockets)
	}
	return n
}
