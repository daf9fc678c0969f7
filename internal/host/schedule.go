package host

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/rivetgo/rivet/internal/lifecycle"
	"github.com/rivetgo/rivet/internal/queue"
	"github.com/rivetgo/rivet/internal/schedule"
	"github.com/rivetgo/rivet/internal/wire/fault"
)

// maxFiring bounds the scheduled actions of one actor that are under way at once (G7); others wait for one to end.
const maxFiring = 64

// scheduleTable is an actor's schedules. All of it belongs to the turn.
type scheduleTable struct {
	schedule.Queue
	interrupted []schedule.Entry // what the last life did not complete, until the first tick stores it
}

// load takes over one stored schedule. Runs that the last life did not complete are due again.
func (st *scheduleTable) load(key, stored []byte) error {
	row, err := schedule.DecodeRow(string(key[1:]), slices.Clone(stored))
	if err != nil {
		return err
	}
	row, entries := schedule.Recover(row, unixMilli(time.Now()))
	st.interrupted = append(st.interrupted, entries...)
	st.Put(row)
	return nil
}

// putRow stores a schedule, within a turn.
func (a *Actor) putRow(s *stage, row schedule.Row) {
	a.undoRow(s, row.ID)
	a.schedules.Put(row)
	s.put(schedule.RowKey(row.ID), schedule.AppendRow(nil, &row))
	s.onApplied(a.rearm)
}

// removeRow removes a schedule and its history, within a turn.
func (a *Actor) removeRow(s *stage, row schedule.Row) {
	a.undoRow(s, row.ID)
	a.schedules.Remove(row.ID)
	s.delete(schedule.RowKey(row.ID))
	switch {
	case row.Number == 0 || row.Kind == schedule.At && row.MaxHistory == 0:
	case row.Number > fewEntries:
		s.deleteSpan(schedule.EntrySpan(row.ID, 0, row.Number+1))
	default: // the usual end of a one-shot: single deletes cost the storage less
		for n := range row.Number {
			s.delete(schedule.EntryKey(row.ID, n+1))
		}
	}
}

// fewEntries is how many entries of a history are removed one by one.
const fewEntries = 4

func (a *Actor) undoRow(s *stage, id string) {
	if was, ok := a.schedules.Get(id); ok {
		s.onUndo(func() { a.schedules.Put(was) })
	} else {
		s.onUndo(func() { a.schedules.Remove(id) })
	}
}

// putEntry stores a line of a schedule's history and drops the one that it replaces.
func (a *Actor) putEntry(s *stage, e schedule.Entry, keep int) {
	if keep == 0 {
		return
	}
	s.put(schedule.EntryKey(e.ScheduleID, e.Number), schedule.AppendEntry(nil, &e))
	if e.Number > uint64(keep) {
		s.delete(schedule.EntryKey(e.ScheduleID, e.Number-uint64(keep)))
	}
}

// fireDue claims what is due, within a turn, and starts it when the turn has succeeded.
func (a *Actor) fireDue(t *turn, now time.Time) error {
	s, st := &t.stage, &a.schedules
	for _, e := range st.interrupted {
		if row, ok := st.Get(e.ScheduleID); ok {
			a.putEntry(s, e, row.MaxHistory)
			a.putRow(s, row)
		}
	}
	if was := st.interrupted; was != nil {
		s.onUndo(func() { st.interrupted = was })
		st.interrupted = nil
	}
	a.mu.Lock()
	room := maxFiring - a.firing
	if a.ending {
		room = 0 // what is due now fires in the next life
	}
	a.mu.Unlock()
	for room > 0 && !a.fillsTurn(t) {
		row, ok := st.Min()
		if !ok || !schedule.Due(row, unixMilli(now)) {
			return nil
		}
		c, err := schedule.Claim(row, unixMilli(now))
		if err != nil {
			a.Log().Error("a schedule cannot run any more and was removed", "schedule", row.ID, "error", err)
			a.removeRow(s, row)
			continue
		}
		a.putRow(s, c.Row)
		if c.Skipped != nil {
			a.putEntry(s, *c.Skipped, c.Row.MaxHistory)
		}
		if f := c.Fire; f != nil {
			room--
			a.putEntry(s, f.Entry(), c.Row.MaxHistory)
			s.onApplied(func() { a.fire(f, row.CreatedAt) })
		}
	}
	return nil
}

// fire runs a scheduled action of a schedule that was set at an instant, on a goroutine that the actor owns.
func (a *Actor) fire(f *schedule.Firing, created int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.machine.Phase() >= lifecycle.Finalize {
		return // it was claimed: the next life recovers it
	}
	a.firing++
	go func() { // ends with the action
		a.runFiring(f, created)
		a.mu.Lock()
		a.firing--
		full := a.firing == maxFiring-1
		a.settleActivity()
		a.mu.Unlock()
		if full {
			a.tick()
		}
	}()
}

// runFiring runs a scheduled action and completes its run: in the action's own turn when that succeeds, so that both are
// durable together.
func (a *Actor) runFiring(f *schedule.Firing, created int64) {
	finished := func(t *turn, failure *fault.Error) error {
		s := &t.stage
		row, ok := a.schedules.Get(f.ScheduleID)
		if !ok || row.CreatedAt != created || !runs(&row, f) {
			return nil // it was cancelled meanwhile, and perhaps set anew
		}
		row, _ = schedule.Complete(row, f.Number)
		a.putEntry(s, f.Entry().Finished(unixMilli(time.Now()), failure), row.MaxHistory)
		if row.Spent() || failure != nil && failure.Code == "action_not_found" && failure.Group == "actor" && f.Kind != schedule.At {
			a.removeRow(s, row)
			return nil
		}
		a.putRow(s, row)
		return nil
	}
	err := a.runScheduled(f, finished)
	if err == nil {
		return
	}
	if a.alive.Err() != nil || a.gate.void() {
		return // the next life recovers it
	}
	failure := a.visible("schedule "+f.ID, err)
	a.Log().Error("scheduled action failed", "schedule", f.ID, "action", f.Action, "error", failure.Error())
	err = a.own(func(c *Call, _ State) error {
		return c.turn.change(func(t *turn) error { return finished(t, failure) })
	})
	if err != nil && !a.gate.void() {
		a.Log().Error("a schedule's run cannot be completed", "schedule", f.ID, "error", err)
	}
}

// runs reports whether a row knows of a run.
func runs(row *schedule.Row, f *schedule.Firing) bool {
	return slices.ContainsFunc(row.Runs, func(r schedule.Run) bool {
		return r.Number == f.Number && r.FiredAt == f.FiredAt && r.ScheduledAt == f.ScheduledAt
	})
}

// runScheduled runs the action of a firing; finished completes it within a turn.
func (a *Actor) runScheduled(f *schedule.Firing, finished func(*turn, *fault.Error) error) error {
	act := a.spec.Actions[f.Action]
	if act == nil {
		return actionNotFound(f.Action)
	}
	args, err := schedule.AppendFiring(f.Args, *f)
	if err != nil {
		return err
	}
	complete := func(t *turn) error { return finished(t, nil) }
	c := &Call{actor: a, firing: f}
	if act.Kind == TurnAction { // it waits for the turn as long as that takes: it must not fail without having run
		return a.timedTurn(a.alive, c, f.Action, a.spec.Options.ActionTimeout, func(c *Call) error {
			if _, err := act.Run(c, a.state, args); err != nil {
				return err
			}
			return c.turn.change(complete)
		})
	}
	if act.Kind == ViewAction {
		err = a.timedTurn(a.alive, c, f.Action, a.spec.Options.ActionTimeout, func(c *Call) error {
			_, err := act.Run(c, a.state, args)
			return err
		})
	} else {
		c.deadline = time.Now().Add(a.spec.Options.ActionTimeout)
		_, err = a.protect(f.Action, func() ([]byte, error) { return act.Run(c, nil, args) })
		if c.late() {
			err = errTimedOut
		}
		c.end()
	}
	if err != nil {
		return err
	}
	return a.own(func(c *Call, _ State) error { return c.turn.change(complete) })
}

// Firing is the run of a schedule that the call is; nil when it is none.
func (c *Call) Firing() *schedule.Firing { return c.firing }

// SetSchedule adds a schedule, or replaces the one with its id, as part of the call's turn; outside one it is a turn of
// its own. It returns the row.
func (c *Call) SetSchedule(spec schedule.Spec) (row schedule.Row, err error) {
	a := c.actor
	err = c.change(func(t *turn) error {
		now := unixMilli(time.Now())
		old, ok := a.schedules.Get(spec.ID)
		switch {
		case ok:
			row, err = schedule.Replace(old, spec, now)
		case a.schedules.Len() >= a.spec.Options.MaxSchedules:
			err = schedule.TooMany(a.spec.Options.MaxSchedules)
		default:
			row, err = schedule.First(spec, now)
		}
		if err == nil {
			a.putRow(&t.stage, row)
		}
		return err
	})
	return row, err
}

// RemoveSchedule removes a schedule and its history, as SetSchedule adds; it reports false when there is none that
// matches. A run under way goes on.
func (c *Call) RemoveSchedule(id string) (removed bool, err error) {
	a := c.actor
	err = c.change(func(t *turn) error {
		row, ok := a.schedules.Get(id)
		if !ok {
			return nil
		}
		removed = true
		a.removeRow(&t.stage, row)
		return nil
	})
	return removed, err
}

// look runs fn while the call's turn, or one of its own, keeps everything as it is.
func (c *Call) look(fn func() error) error {
	if t := c.inTurn(); t != nil {
		t.stageMu.Lock()
		defer t.stageMu.Unlock()
		return fn()
	}
	return c.actor.doTurn(c, &turn{late: errTimedOut, internal: true}, func(*Call, State) error { return fn() })
}

// Schedule finds a schedule by its id.
func (c *Call) Schedule(id string) (row schedule.Row, ok bool, err error) {
	err = c.look(func() error {
		row, ok = c.actor.schedules.Get(id)
		return nil
	})
	return row, ok, err
}

// Schedules lists the schedules by the time of their next trigger, then by id.
func (c *Call) Schedules() (rows []schedule.Row, err error) {
	err = c.look(func() error {
		rows = slices.Collect(c.actor.schedules.All())
		return nil
	})
	slices.SortFunc(rows, func(x, y schedule.Row) int {
		if x.NextAt != y.NextAt {
			return int(min(max(x.NextAt-y.NextAt, -1), 1))
		}
		if x.ID < y.ID {
			return -1
		}
		return 1
	})
	return rows, err
}

// History lists the newest entries of a schedule first, at most limit, with what the call's own turn changed.
func (c *Call) History(ctx context.Context, id string, limit int) (entries []schedule.Entry, err error) {
	row, ok, err := c.Schedule(id)
	if err != nil || !ok {
		return nil, err
	}
	for n := row.Number; n > 0 && len(entries) < limit && row.Number-n < schedule.MaxHistory; n-- {
		payload, found, err := c.loadRaw(ctx, schedule.EntryKey(id, n))
		if err != nil {
			return nil, err
		}
		if !found {
			continue
		}
		e, err := schedule.DecodeEntry(id, n, payload)
		if err != nil {
			return nil, errors.Join(errors.New("history of "+id), err)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// SetWakeAt sets when the actor is to be awake for its run loop, the zero time for never, as part of the call's turn.
func (c *Call) SetWakeAt(at time.Time) error {
	if c.actor.spec.Run == nil {
		return &fault.Error{Group: "actor", Code: "run_handler_unavailable", HTTPStatus: 409, Message: "The actor's definition has no Run: there is nothing to wake for."}
	}
	ms := int64(0)
	if !at.IsZero() {
		ms = max(unixMilli(at), 1)
	}
	return c.change(func(t *turn) error {
		c.actor.count(&t.stage, func(c *queue.Counters) { c.WakeAt = ms })
		return nil
	})
}
