package host

import (
	"sync"
	"time"
)

// maxNap is how long a wallTimer trusts the clocks to agree.
const maxNap = 10 * time.Second

// wallTimer calls fn, on a goroutine of its own, when the wall clock reaches an instant. Schedules and messages carry wall
// clock instants, while timers of the runtime count seconds that pass: the two part when the clock is set, or when the
// machine was suspended. So it looks at the wall clock again at least every maxNap. It never calls fn before the instant.
// The zero value with fn set is ready. Safe for concurrent use.
type wallTimer struct {
	fn  func()
	now func() time.Time // nil: time.Now

	mu    sync.Mutex // guards all below; never held while fn runs
	at    int64      // in milliseconds; 0: not set
	timer *time.Timer
}

// set lets the timer fire at the instant, and at no other.
func (w *wallTimer) set(at int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = at
	w.nap()
}

// stop lets it not fire any more; fn may be running.
func (w *wallTimer) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = 0
	if w.timer != nil {
		w.timer.Stop()
	}
}

// nap sets the runtime's timer for the next look. The caller holds mu.
func (w *wallTimer) nap() {
	d := min(max(time.UnixMilli(w.at).Sub(w.wall()), 0), maxNap)
	if w.timer == nil {
		w.timer = time.AfterFunc(d, w.look)
	} else {
		w.timer.Reset(d)
	}
}

func (w *wallTimer) wall() time.Time {
	if w.now != nil {
		return w.now()
	}
	return time.Now()
}

// look runs when the runtime's timer fires.
func (w *wallTimer) look() {
	w.mu.Lock()
	if w.at == 0 {
		w.mu.Unlock()
		return
	}
	if time.UnixMilli(w.at).After(w.wall()) {
		w.nap()
		w.mu.Unlock()
		return
	}
	w.at = 0
	w.mu.Unlock()
	w.fn()
}
