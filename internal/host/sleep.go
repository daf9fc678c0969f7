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
	Running       bool // the run loop is active: it does not wait for a message, or holds one, whose lease a sleep would end
	Disconnecting int  // OnDisconnect hooks under way
	Connections   int  // standing connections that do not hibernate
}

// blockers names what keeps the actor awake, in the order in which reasons are reported; empty when it may sleep.
func (s activity) blockers() []string {
	var b []string
	add := func(blocks bool, name string) {
		if blocks {
			b = append(b, name)
		}
	}
	add(s.Loading, "loading")
	add(s.NoSleep, "no_sleep")
	add(s.Calls > 0, "calls")
	add(s.KeepAwake > 0, "keep_awake")
	add(s.Firing > 0, "schedules")
	add(s.Handling, "queue_handler")
	add(s.Delivering > 0, "outbox")
	add(s.Running, "run")
	add(s.Disconnecting > 0, "disconnecting")
	add(s.Connections > 0, "connections")
	return b
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
	if len(a.activity().blockers()) == 0 {
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
		Running:       a.runActive && (a.queueWaits == 0 || a.leased > 0),
		Disconnecting: a.disconnecting,
		Connections:   a.conns.keepAwake(),
	}
}
