package host

import (
	"context"
	"time"

	"github.com/rivetgo/rivet/internal/wire/fault"
)

// Stop begins an orderly end and returns at once; Owner.Stopped tells when it is over. destroy says that OnDestroy runs
// instead of OnSleep. A second Stop can only turn a sleep into a destroy.
//
// The whole end shares one budget, Options.GracePeriod: the hook, calls under way, background work and OnDisconnect
// hooks are waited for; what is not done by then is cut off and reported in the log. Connections stay usable until that
// work is done, so that what it sends still arrives.
func (a *Actor) Stop(destroy bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.destroy = a.destroy || destroy
	if a.phase != phaseStarted {
		return
	}
	a.phase = phaseStopping
	a.idle.Stop()
	close(a.stopping)
	go a.end() // ends with the grace period at the latest
}

// end is the orderly end.
func (a *Actor) end() {
	grace, done := context.WithTimeout(a.alive, a.spec.Options.GracePeriod)
	defer done()

	a.lastHook(grace)
	cutOff := !a.awaitQuiet(grace)
	// Replies that wait for their commits go out before the sockets close. An error means that time is up or the actor
	// failed, which ends it below.
	_ = a.gate.wait(grace, 0)
	for _, c := range a.conns.list() {
		c.close(1000, "actor.stopped")
	}
	cutOff = !a.awaitQuiet(grace) || cutOff
	if a.becameDestroy() {
		a.refuse(fault.New("actor", "destroying", "Actor is destroying."))
	} else {
		a.refuse(fault.New("actor", "stopping", "Actor is stopping."))
	}
	if cutOff && a.alive.Err() == nil {
		a.logCutOff()
	}
	// From here on nobody gets the turn: what still runs may go on, but its turns are refused.
	if err := a.takeLastTurn(grace); err == nil {
		// All commits were handed over; the owner must not hear of the end before they are durable.
		bound, stop := context.WithTimeout(context.Background(), a.spec.Options.GracePeriod)
		if err := a.gate.wait(bound, 0); err != nil && !a.gate.void() {
			a.Log().Error("the last commits are not durable within the grace period", "error", err)
		}
		stop()
	}
	a.gone(nil)
}

// lastHook runs OnSleep or OnDestroy; when a sleep becomes a destroy while OnSleep runs, OnDestroy follows.
func (a *Actor) lastHook(grace context.Context) {
	run := func(name string, hook func(c *Call, s State) error) {
		if hook == nil {
			return
		}
		deadline, _ := grace.Deadline()
		// The error was logged when it became visible, or is a timeout, logged too; the end goes on.
		_ = a.timedTurn(grace, &Call{actor: a}, name, time.Until(deadline), func(c *Call) error { return hook(c, a.state) })
	}
	if !a.becameDestroy() {
		run("OnSleep", a.spec.OnSleep)
	}
	if a.becameDestroy() {
		run("OnDestroy", a.spec.OnDestroy)
	}
}

func (a *Actor) becameDestroy() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.destroy
}

// awaitQuiet waits until no call, background work or disconnect hook is under way. It reports false when ctx ended first.
func (a *Actor) awaitQuiet(ctx context.Context) bool {
	a.mu.Lock()
	if a.calls+a.keepAwake+a.waitUntil+a.disconnecting == 0 {
		a.mu.Unlock()
		return true
	}
	quiet := make(chan struct{})
	a.quiet = quiet
	a.mu.Unlock()
	select {
	case <-quiet:
		return true
	case <-ctx.Done():
		return false
	}
}

// takeLastTurn takes the turn for good. A handler that ignores the end of its time keeps it; it then holds an actor that
// is gone, and its turn cannot commit any more.
func (a *Actor) takeLastTurn(grace context.Context) error {
	select {
	case a.slot <- struct{}{}:
		return nil
	default:
	}
	select {
	case a.slot <- struct{}{}:
		return nil
	case <-grace.Done():
		return grace.Err()
	}
}

func (a *Actor) logCutOff() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.Log().Warn("work was cut off at the end of the grace period",
		"grace", a.spec.Options.GracePeriod, "calls", a.calls, "keep_awake", a.keepAwake, "wait_until", a.waitUntil, "disconnecting", a.disconnecting)
}

// fail ends the actor because a commit failed or was fenced (G10). It may be called from anywhere and does not wait.
func (a *Actor) fail(err error) {
	if !a.gate.fail() {
		return
	}
	a.mu.Lock()
	loading := a.phase == phaseLoading
	a.failure = err
	a.mu.Unlock()
	a.Log().Error("commit failed: the actor ends and will be loaded from what is durable", "error", err)
	a.cut()
	if loading {
		return // Start reports it
	}
	go a.gone(err)
}

// gone is the end of every started actor's life, orderly (nil) or not. Only the first call counts.
func (a *Actor) gone(err error) {
	a.mu.Lock()
	if a.phase == phaseGone {
		a.mu.Unlock()
		return
	}
	if a.phase == phaseStarted {
		a.idle.Stop()
		close(a.stopping)
	}
	a.phase = phaseGone
	if a.refusal == nil {
		a.refusal = errVoid
	}
	if err == nil {
		err = a.failure
	}
	a.mu.Unlock()
	a.gate.fail() // whatever still comes is void
	a.watch.stop(a.visible("end", errVoid))
	a.cut()
	for _, c := range a.conns.list() {
		c.close(1011, "actor.restarting")
	}
	a.owner.Stopped(err)
}
