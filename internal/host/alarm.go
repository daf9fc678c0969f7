package host

import (
	"time"

	"github.com/rivetgo/rivet/internal/wire/record"
)

// alarm is when the actor has something to do without being asked.
//
// While it is awake it watches its own time with one timer. The store keeps the instant for when it is not: that one may
// be too early, which costs a wake for nothing, but never too late (G4). So it is written when it becomes earlier, and
// exactly when the actor goes to sleep. All fields belong to the turn.
type alarm struct {
	stored int64 // what the store has, or will have; 0: none
	armed  int64 // when the timer fires; 0: it is not set
	timer  wallTimer
}

// wantedAlarm is the earliest instant at which the actor wants to be awake, 0 for never. asleep says that it is about to
// sleep in good order: then messages that are ready and that nobody wanted do not wake it again.
//
// What is due is wanted at the beginning of time, not now: were the clock set back, now would be too late.
func (a *Actor) wantedAlarm(now int64, asleep bool) int64 {
	want := int64(0)
	consider := func(at int64) {
		if at <= now {
			at = 1
		}
		if want == 0 || at < want {
			want = at
		}
	}
	if at := a.mailbox.counters.WakeAt; at > now { // one that passed while it was awake is fulfilled
		consider(at)
	}
	if a.doomed {
		consider(now)
	}
	if at, ok := a.outbox.nextTime(now); ok {
		consider(at)
	}
	if at := a.schedules.WakeAt(); at != 0 {
		consider(at)
	}
	left := false
	if asleep {
		firing, cut, again := a.unfinished()
		if firing {
			consider(now) // what is cut off is run again
		}
		if !again.IsZero() {
			consider(unixMilli(again))
		}
		left = a.mailbox.left || cut
	}
	if at, ok := a.mailbox.index.NextReady(); ok {
		switch {
		case at != 0:
			consider(at)
		case !asleep && (a.spec.Run != nil || len(a.handled) > 0):
			consider(now)
		case left && a.mailbox.index.Next(nil, nil) != nil, len(a.handled) > 0 && a.mailbox.index.Next(a.handled, nil) != nil:
			consider(now)
		case asleep:
			if at, ok := a.mailbox.index.NextTime(); ok {
				consider(at)
			}
		}
	}
	return want
}

// unfinished is what an actor that is about to sleep does not wait for any longer: whether scheduled actions are cut off,
// and the run loop; and when a run loop that failed is to be started again, the zero time when it is not.
func (a *Actor) unfinished() (firing, run bool, again time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.run.State == "failed" {
		again = a.runAgain
	}
	return a.firing > 0, a.runActive, again
}

// setAlarm adds the alarm to a batch when it must be written.
func (a *Actor) setAlarm(b *record.Batch, at time.Time, asleep bool) {
	now := unixMilli(at)
	stored := a.alarm.stored
	if !asleep && stored != 0 && stored <= now {
		return // it cannot become earlier
	}
	want := a.wantedAlarm(now, asleep)
	if want == stored || !asleep && (want == 0 || stored != 0 && stored <= want) {
		return
	}
	b.SetAlarm, b.Alarm = true, want
}

// lastCommit writes what waited for a commit when the actor is about to sleep: the records of connections and, when the
// caller holds the turn, the exact alarm. Without the turn the alarm stays as it is, which may be early.
func (a *Actor) lastCommit(held bool) {
	tc := &turnCommit{actor: a}
	if held {
		a.setAlarm(&tc.batch, time.Now(), true)
	}
	written := a.conns.takeChanges(&tc.batch, nil)
	if tc.batch.Empty() {
		return
	}
	if a.commit(tc) == nil { // else the actor has failed, which ends it
		a.conns.storedBy(written, tc.number)
	}
}

// rearm sets the timer for the next thing to do while awake. The caller holds the turn.
func (a *Actor) rearm() {
	at, ok := a.mailbox.index.NextTime()
	a.mu.Lock()
	full := a.firing >= maxFiring // whatever ends next looks again
	a.leased = a.mailbox.index.Held()
	a.mu.Unlock()
	if next := a.schedules.WakeAt(); next != 0 && !full && (!ok || next < at) {
		at, ok = next, true
	}
	if !ok {
		return // a timer that fires for nothing does no harm
	}
	a.arm(at)
}

// arm sets the timer to an instant, unless it is set to an earlier one. The caller holds the turn.
func (a *Actor) arm(at int64) {
	al := &a.alarm
	if al.armed != 0 && al.armed <= at {
		return // it looks again when it fires
	}
	al.armed = at
	al.timer.set(max(at, 1))
}

// tick runs when the timer fires.
func (a *Actor) tick() {
	if a.Enter() != nil {
		return // it stops: the stored alarm remains
	}
	defer a.Leave()
	err := a.own(func(c *Call, _ State) error {
		now := time.Now()
		a.alarm.armed = 0
		err := c.turn.change(func(t *turn) error {
			t.stage.onUndo(func() { a.arm(unixMilli(now.Add(retryTaking))) })
			a.ripen(t, now)
			t.stage.onApplied(a.rearm)
			return a.fireDue(t, now)
		})
		for name := range a.mailbox.index.Ready() { // what has ripened may be waited for
			a.queueChanged(name)
		}
		return err
	})
	if err != nil && !a.gate.void() {
		a.Log().Error("timer failed", "error", err)
	}
}
