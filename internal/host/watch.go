package host

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/rivetgo/rivet/internal/wire/fault"
)

// watch answers actions whose handler still runs at their deadline. One turn runs at a time, so one timer is enough, and
// it is not touched by turns that end in time: it stays armed for a deadline that has passed harmlessly, and looks again
// when it fires. A timer for each call would cost more than the call, because the runtime wakes a thread to take note of
// it.
type watch struct {
	running atomic.Pointer[watched]
	armed   atomic.Bool // the timer will look at running
	expired func(*watched)

	mu    sync.Mutex // guards timer, and armed while it is set
	timer *time.Timer
}

// watched is a turn with a caller who waits for it.
type watched struct {
	turn     *turn
	reply    Reply
	deadline time.Time
}

// begin watches a turn until end. The caller holds the actor's turn.
func (w *watch) begin(t *watched) {
	w.running.Store(t)
	if !w.armed.Load() {
		w.arm(t.deadline)
	}
}

// end ends what begin began.
func (w *watch) end() { w.running.Store(nil) }

// arm sets the timer unless it is set.
func (w *watch) arm(deadline time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.armed.Load() {
		return
	}
	w.armed.Store(true)
	d := time.Until(deadline)
	if w.timer == nil {
		w.timer = time.AfterFunc(d, w.look)
	} else {
		w.timer.Reset(d)
	}
}

// look runs when the timer fires. begin stores the turn before it reads armed, and look clears armed before it reads
// the turn again: so no turn is overlooked by both.
func (w *watch) look() {
	t := w.running.Load()
	if t != nil && !time.Now().Before(t.deadline) {
		if t.turn.expire() {
			w.expired(t)
		}
		w.running.CompareAndSwap(t, nil)
	}
	w.mu.Lock()
	w.armed.Store(false)
	w.mu.Unlock()
	if t := w.running.Load(); t != nil {
		w.arm(t.deadline)
	}
}

// stop ends the watch for good: a caller whose handler still runs is answered with f.
func (w *watch) stop(f *fault.Error) {
	if t := w.running.Load(); t != nil && t.turn.expire() {
		t.reply.Expired(f)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
}
