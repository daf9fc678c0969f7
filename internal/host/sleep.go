package host

import (
	"time"

	"github.com/rivetgo/rivet/internal/lifecycle"
)

// activity is what keeps an actor awake.
type activity struct {
	Loading       bool
	NoSleep       bool
	Calls         int  // actions, requests and hooks under way
	KeepAwake     int  // KeepAwake functions
	Firing        int  // scheduled actions under way
	Handling      bool // messages are being handled
	Delivering    int  // messages are on their way to other actors
	Running       bool // the run loop is active, and does not wait for a message
	Disconnecting int  // OnDisconnect hooks under way
	Connections   int  // standing connections
}

// blocker names what keeps the actor awake; empty when it may sleep. The order is that in which reasons are reported.
func (s activity) blocker() string {
	switch {
	case s.Loading:
		return "loading"
	case s.NoSleep:
		return "no_sleep"
	case s.Calls > 0:
		return "calls"
	case s.KeepAwake > 0:
		return "keep_awake"
	case s.Firing > 0:
		return "schedules"
	case s.Handling:
		return "queue_handler"
	case s.Delivering > 0:
		return "outbox"
	case s.Running:
		return "run"
	case s.Disconnecting > 0:
		return "disconnecting"
	case s.Connections > 0:
		return "connections"
	}
	return ""
}

// checkIdle runs when the idle timer fires: it asks for sleep when the actor was idle for long enough, and arms the
// timer for the time that is left otherwise. The timer is not touched by calls, which only note when they end.
func (a *Actor) checkIdle() {
	a.mu.Lock()
	if a.machine.Phase() != lifecycle.HostStarted {
		a.mu.Unlock()
		return
	}
	wait := a.spec.Options.SleepAfter
	ask := false
	if a.activity().blocker() == "" {
		if left := wait - time.Since(a.lastActive); left > 0 {
			wait = left
		} else {
			ask = true // asked again after another wait, should the owner not stop the actor
		}
	}
	a.idle.Reset(wait)
	a.mu.Unlock()
	if ask {
		a.owner.SleepWanted()
	}
}

// activity is what keeps the actor awake now. The caller holds mu.
func (a *Actor) activity() activity {
	return activity{
		Loading:       a.machine.Phase() == lifecycle.Loading,
		NoSleep:       a.spec.Options.NoSleep,
		Calls:         a.calls,
		KeepAwake:     a.keepAwake,
		Firing:        a.firing,
		Handling:      a.pumping,
		Delivering:    a.outbox.delivering(),
		Running:       a.runActive && a.queueWaits == 0,
		Disconnecting: a.disconnecting,
		Connections:   a.conns.standing(),
	}
}
