package surface

import (
	"sync"
	"time"
)

// stallAfter is how long a socket's reader may be inside a handler before another goroutine takes the reading over.
const stallAfter = 5 * time.Millisecond

// stallWatch watches readers that run handlers themselves. Handing each message to another goroutine would keep the reader
// free too, but waking one costs more than most handlers take; so the reader runs the handler, and only when that takes
// long does somebody else begin to read. One timer serves all sockets of a process; it runs only while there is work.
type stallWatch struct {
	mu     sync.Mutex // guards all below
	inside map[*socket]time.Time
	armed  bool
	used   bool // something was watched since the last look
	timer  *time.Timer
}

func newStallWatch() *stallWatch { return &stallWatch{inside: make(map[*socket]time.Time)} }

// enter notes that the socket's reader is inside a handler.
func (w *stallWatch) enter(k *socket) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inside[k] = now
	w.used = true
	if w.armed {
		return
	}
	w.armed = true
	if w.timer == nil {
		w.timer = time.AfterFunc(stallAfter, w.look)
	} else {
		w.timer.Reset(stallAfter)
	}
}

// leave ends what enter began. It reports false when the reading was taken over meanwhile.
func (w *stallWatch) leave(k *socket) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, ok := w.inside[k]
	delete(w.inside, k)
	return ok
}

// look takes the reading over where a reader is late, and rests when nothing happened since the last look.
func (w *stallWatch) look() {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	for k, since := range w.inside {
		if now.Sub(since) >= stallAfter {
			delete(w.inside, k)
			k.takeOver()
		}
	}
	if w.used || len(w.inside) > 0 {
		w.used = false
		w.timer.Reset(stallAfter)
	} else {
		w.armed = false
	}
}
