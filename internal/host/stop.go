package host

import (
	"context"
	"time"

	"github.com/rivetgo/rivet/internal/lifecycle"
	"github.com/rivetgo/rivet/internal/wire/fault"
)

// Stop begins an orderly end and returns at once; Owner.Stopped tells when it is over. destroy says that OnDestroy runs
// instead of OnSleep. A second Stop can only turn a sleep into a destroy.
//
// The whole end shares one budget, Options.GracePeriod: the hook, calls under way, background work and OnDisconnect
// hooks are waited for; what is not done by then is cut off and reported in the log. Connections stay usable until that
// work is done, so that what it sends still arrives; those that hibernate are parked then, and what their clients send
// from the beginning of the end on is left for the next life.
func (a *Actor) Stop(destroy bool) {
	kind := lifecycle.KindSleep
	if destroy {
		kind = lifecycle.KindDestroy
	}
	a.happen(lifecycle.HostEvent{Event: lifecycle.StopRequested, Kind: kind})
}

// StopAway is Stop(false) because the process ends: there is nobody to keep sockets open, so connections are closed.
func (a *Actor) StopAway() {
	a.mu.Lock()
	a.away = true
	a.mu.Unlock()
	a.Stop(false)
}

// happen tells the machine what happened and does what it answers. Only BeginGrace returns at once; the rest may wait
// for storage, within bounds.
func (a *Actor) happen(e lifecycle.HostEvent) {
	a.mu.Lock()
	effects := a.machine.Step(e)
	a.mu.Unlock()
	for _, f := range effects {
		switch f.Effect {
		case lifecycle.BeginGrace:
			if f.Kind == lifecycle.KindDestroy {
				a.lastDeliveries()
			}
			a.mu.Lock()
			first := !a.ending
			a.ending = true
			a.mu.Unlock()
			if first { // else the end under way sees what kind it has become
				a.idle.Stop()
				a.closeStopping()
				go a.end() // ends with the grace period
			}
		case lifecycle.CutOff:
			a.logCutOff()
		case lifecycle.RunFinal:
			a.final(f.Save)
			a.happen(lifecycle.HostEvent{Event: lifecycle.Finalized})
		case lifecycle.Report:
			a.owner.Stopped(f.Err)
		}
	}
}

// end is the grace of an orderly end.
func (a *Actor) end() {
	grace, done := context.WithTimeout(a.alive, a.spec.Options.GracePeriod)
	defer done()
	a.lastHook(grace)
	drained := a.settleDown(grace) // replies that wait for their commits go out before the sockets close
	for _, c := range a.conns.list() {
		if !a.Parks(c) {
			c.close(closeNormal, reasonStopped)
		}
	}
	a.mu.Lock()
	a.hungUp = true
	a.mu.Unlock()
	drained = a.settleDown(grace) && drained
	event := lifecycle.Drained
	if !drained {
		event = lifecycle.GraceOver
	}
	a.happen(lifecycle.HostEvent{Event: event})
}

// final is the end of every started actor's life. An orderly one first lets its last commits become durable: the owner
// must not hear of the end before.
func (a *Actor) final(orderly bool) {
	if a.becameDestroy() {
		a.refuse(errDestroying)
	} else if orderly {
		a.refuse(fault.New("actor", "stopping", "Actor is stopping."))
	} else {
		a.refuse(errVoid)
	}
	a.outbox.close()
	a.closeSocket()
	if orderly {
		// The turn is taken for good. A handler that ignores the end of its time keeps it; it then holds an actor that is gone,
		// and its turn cannot commit any more.
		if held := a.trySlot(); !a.becameDestroy() {
			a.lastCommit(held)
		}
		bound, stop := context.WithTimeout(context.Background(), a.spec.Options.GracePeriod)
		if err := a.gate.wait(bound, 0); err != nil && !a.gate.void() {
			a.Log().Error("the last commits are not durable within the grace period", "error", err)
		}
		stop()
	}
	a.idle.Stop()
	a.alarm.timer.stop() // one that fires meanwhile finds the actor stopping
	a.closeStopping()
	a.gate.fail() // whatever still comes is void
	a.watch.stop(a.visible("end", errVoid))
	a.cut()
	a.closeDatabase()
	a.hangUp(orderly)
}

func (a *Actor) closeStopping() { a.stopOnce.Do(func() { close(a.stopping) }) }

// lastHook runs OnSleep or OnDestroy; when a sleep becomes a destroy while OnSleep runs, OnDestroy follows.
func (a *Actor) lastHook(grace context.Context) {
	run := func(name string, hook func(c *Call, s State) error) {
		if hook == nil || a.gate.void() { // nothing that the hook does could be stored
			return
		}
		deadline, _ := grace.Deadline()
		err := a.timedTurn(grace, &Call{actor: a}, name, time.Until(deadline), func(c *Call) error { return hook(c, a.state) })
		if err != nil { // the end goes on
			a.Log().Warn("hook failed", "hook", name, "error", err)
		}
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
	return a.machine.Kind() == lifecycle.KindDestroy
}

// settleDown waits until nothing is under way and nothing waits to leave: work that is to begin when a commit is durable
// begins then, and may ask for more. It reports false when ctx ended first.
func (a *Actor) settleDown(ctx context.Context) bool {
	for {
		if !a.awaitQuiet(ctx) {
			return false
		}
		if err := a.gate.wait(ctx, 0); err != nil {
			return ctx.Err() == nil // the actor failed, which ends it by itself
		}
		a.mu.Lock()
		quiet := a.underWay() == 0
		a.mu.Unlock()
		if quiet {
			return true
		}
	}
}

// awaitQuiet waits until no call, background work or disconnect hook is under way. It reports false when ctx ended first.
func (a *Actor) awaitQuiet(ctx context.Context) bool {
	a.mu.Lock()
	if a.underWay() == 0 {
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

// logCutOff tells what an end does not wait for any longer.
func (a *Actor) logCutOff() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.underWay() > 0 {
		a.Log().Warn("work is cut off", "grace", a.spec.Options.GracePeriod,
			"calls", a.calls, "keep_awake", a.keepAwake, "wait_until", a.waitUntil, "disconnecting", a.disconnecting,
			"schedules", a.firing, "run", a.runActive, "sockets", a.sockets, "outbox", a.outbox.add(0))
	}
}

// fail ends the actor because a commit failed or was fenced (G10). It may be called from anywhere and does not wait.
func (a *Actor) fail(err error) {
	if a.gate.fail() {
		a.Log().Error("commit failed: the actor ends and will be loaded from what is durable", "error", err)
		a.abandon(err)
	}
}

// Kill ends the actor as the end of its process would: no hook runs, nothing more is stored or leaves. It does not wait;
// Owner.Stopped tells the end. What still runs of the actor's code finds its context ended. For tests.
func (a *Actor) Kill() {
	if a.gate.fail() {
		a.abandon(errKilled)
	}
}

// abandon ends an actor whose gate has just been closed for good.
func (a *Actor) abandon(err error) {
	a.mu.Lock()
	loading := a.machine.Phase() == lifecycle.Loading
	a.failure = err
	a.mu.Unlock()
	a.cut()
	if !loading { // else Start reports it
		go a.happen(lifecycle.HostEvent{Event: lifecycle.Broken, Err: err}) // ends when the end is reported
	}
}
