package host

import (
	"time"

	"github.com/rivetgo/rivet/internal/lifecycle"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/why"
)

// Bounds of the time between a run loop's failure and its next try.
const (
	minRunDelay = 250 * time.Millisecond
	maxRunDelay = 30 * time.Second
)

// RunStatus is how an actor's run loop is doing.
type RunStatus struct {
	State    string    // "running", "waiting" (for a message), "finished", "failed" (and to be tried again), "stopped"
	Since    time.Time // of the state, except for waiting
	Restarts int       // how often it was started again in this life
	Error    string    // of the last failure; empty when there was none
}

// startRun starts the run loop. The actor has just started.
func (a *Actor) startRun() {
	if a.spec.Run == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.run = RunStatus{State: "running", Since: time.Now()}
	a.runActive = true
	go a.runLoop() // ends when Run returns without an error, or when the actor stops
}

// runLoop runs Run until it returns without an error; a failure is tried again, after a delay that doubles.
func (a *Actor) runLoop() {
	delay := minRunDelay
	for {
		began := time.Now()
		c := &Call{actor: a, loop: true}
		_, err := a.protect("Run", func() ([]byte, error) { return nil, a.spec.Run(c) })
		c.end()
		if a.isStopping() || a.alive.Err() != nil {
			if err != nil && !isAborted(err) {
				a.Log().Warn("run loop failed while the actor stopped", "error", err)
			}
			a.runEnded("stopped", nil)
			return
		}
		if err == nil {
			a.runEnded("finished", nil)
			return
		}
		f := a.visible("Run", err) // logs what is not typed
		if time.Since(began) > maxRunDelay {
			delay = minRunDelay // it was well for a while
		}
		a.Log().Error("run loop failed: it is started again", "after", delay, "error", err)
		a.mu.Lock()
		a.runAgain = time.Now().Add(delay)
		a.mu.Unlock()
		a.runEnded("failed", f)
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-a.stopping:
			timer.Stop()
			return
		case <-a.alive.Done():
			timer.Stop()
			return
		}
		delay = min(2*delay, maxRunDelay)
		a.mu.Lock()
		if a.ending || a.machine.Phase() >= lifecycle.Finalize {
			a.mu.Unlock()
			return
		}
		a.run.State, a.run.Since = "running", time.Now()
		a.run.Restarts++
		a.runActive = true
		a.mu.Unlock()
	}
}

// runEnded notes that Run has returned.
func (a *Actor) runEnded(state string, f *fault.Error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.run.State, a.run.Since = state, time.Now()
	if f != nil {
		a.run.Error = f.Error()
		a.lastError = &why.Failure{At: time.Now(), During: "Run", Error: f.Error()}
	}
	a.runActive = false
	a.settleActivity()
}

// queueWait notes that the run loop begins or ends to wait for a message; it may do so several times at once.
func (a *Actor) queueWait(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.queueWaits += n
	if n > 0 && a.queueWaits == 1 && a.calls == 0 {
		a.lastActive = time.Now() // idle time counts from here
	}
}

// Run reports on the run loop; ok is false when the definition has none.
func (a *Actor) Run() (s RunStatus, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s = a.run
	if s.State == "running" && a.queueWaits > 0 {
		s.State = "waiting"
	}
	return s, a.spec.Run != nil
}
