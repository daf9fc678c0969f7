package schedule

import "slices"

// Claimed is what a claim makes of a row.
type Claimed struct {
	Row Row
	// Fire is the run to start, nil for none. Store Fire.Entry() with Row, then run the action.
	Fire *Firing
	// Skipped tells of a trigger that does not run, or of several; nil for none. Store it with Row.
	Skipped *Entry
}

// Claim takes what is due of r: at most one run, so call it until the row is not Due. A row that is not due comes back
// as it was.
//
// Store the row before the action runs. An error is schedule.invalid_schedule_row: the zone is gone from this machine, or
// the stored expression is none. The row can never run: delete it and tell the error.
func Claim(r Row, now int64) (Claimed, error) {
	if !Due(r, now) {
		return Claimed{Row: r}, nil
	}
	r.Runs = slices.Clone(r.Runs)
	if i := r.claimable(); i >= 0 && r.RetryAt <= now {
		return r.start(i, now), nil
	}
	if r.Kind == At {
		r.NextAt = 0
		return r.run(r.At, now), nil
	}

	c, err := r.claimNext(now)
	if err != nil {
		return Claimed{}, invalidRow(r.ID, err)
	}
	return c, nil
}

// claimNext takes the trigger NextAt of a recurring schedule.
func (r *Row) claimNext(now int64) (Claimed, error) {
	trigger := r.NextAt
	next, err := r.after(trigger, now)
	if err != nil {
		return Claimed{}, err
	}
	r.NextAt = next

	switch r.Missed {
	case MissedSkip:
		if now-trigger > LateAfter {
			return r.claimRecent(trigger, now)
		}
	case MissedAll:
		return r.claimEach(trigger, now)
	}
	return r.claimTrigger(trigger, now), nil
}

// claimRecent passes over triggers that are older than LateAfter, of which missed is the first, and takes the first
// that is not.
func (r *Row) claimRecent(missed, now int64) (Claimed, error) {
	skipped := r.skip(missed, now)
	recent, err := r.after(missed, now-LateAfter-1)
	if err != nil {
		return Claimed{}, err
	}
	if recent == 0 || recent > now {
		return Claimed{Row: *r, Skipped: skipped}, nil
	}
	if !r.room() && (r.Overlap != OverlapQueue || r.waiting()) {
		return Claimed{Row: *r, Skipped: skipped}, nil // one entry tells of both
	}
	c := r.claimTrigger(recent, now)
	c.Skipped = skipped
	return c, nil
}

// claimEach takes one of several triggers that are due and leaves the others, up to MaxLate.
func (r *Row) claimEach(trigger, now int64) (Claimed, error) {
	if r.Late >= MaxLate {
		r.Late = 0
		return Claimed{Row: *r, Skipped: r.skip(trigger, now)}, nil
	}
	if !r.room() {
		r.Late = 0
		return r.claimTrigger(trigger, now), nil // overlaps in time
	}
	following, err := r.after(trigger, trigger)
	if err != nil {
		return Claimed{}, err
	}
	r.NextAt = following
	if following != 0 && following <= now {
		r.Late++
	} else {
		r.Late = 0
	}
	return r.claimTrigger(trigger, now), nil
}

// claimTrigger runs a trigger, makes it wait or skips it, as Overlap says.
func (r *Row) claimTrigger(trigger, now int64) Claimed {
	switch {
	case r.room():
		return r.run(trigger, now)
	case r.Overlap == OverlapQueue && !r.waiting():
		r.Runs = append(r.Runs, Run{ScheduledAt: trigger})
		return Claimed{Row: *r}
	}
	skipped := r.skip(trigger, now)
	return Claimed{Row: *r, Skipped: skipped}
}

// run adds a run and starts it.
func (r *Row) run(trigger, now int64) Claimed {
	r.Runs = append(r.Runs, Run{ScheduledAt: trigger})
	return r.start(len(r.Runs)-1, now)
}

// start starts the waiting run at index i.
func (r *Row) start(i int, now int64) Claimed {
	r.Number++
	r.LastAt = now
	run := &r.Runs[i]
	run.Number, run.FiredAt = r.Number, now
	run.Attempt++
	if !r.waiting() {
		r.RetryAt = 0
	}
	return Claimed{Row: *r, Fire: &Firing{
		ID: r.PublicID(), ScheduleID: r.ID, Kind: r.Kind, Name: r.Name(), Action: r.Action, Args: r.Args,
		Number: run.Number, Attempt: run.Attempt, ScheduledAt: run.ScheduledAt, FiredAt: now,
	}}
}

// skip numbers an entry for a trigger that does not run.
func (r *Row) skip(trigger, now int64) *Entry {
	r.Number++
	return &Entry{
		ScheduleID: r.ID, Number: r.Number, Action: r.Action,
		ScheduledAt: trigger, FiredAt: now, FinishedAt: now, Result: Skipped,
	}
}

// Complete ends the run with a number, whatever its action returned; false when the row has no such run (it was recovered,
// or completed before), and nothing changes. When the row is then Spent, delete it.
func Complete(r Row, number uint64) (Row, bool) {
	i := slices.IndexFunc(r.Runs, func(run Run) bool { return run.Number == number && number != 0 })
	if i < 0 {
		return r, false
	}
	r.Runs = slices.Delete(slices.Clone(r.Runs), i, i+1)
	if len(r.Runs) == 0 {
		r.Runs = nil
	}
	return r, true
}

// Recover is called on every row when an actor starts: runs that the last life did not complete wait to be claimed
// again, and the entries tell that they were interrupted. Each replaces the stored entry with its number.
func Recover(r Row, now int64) (Row, []Entry) {
	if r.Missed == MissedAll && r.NextAt != 0 && r.NextAt <= now && r.Late == 0 && len(r.Runs) > 0 {
		r.Late = 1 // what was missed waits for what is run again
	}
	if len(r.Runs) == 0 {
		return r, nil
	}
	r.Runs = slices.Clone(r.Runs)
	var entries []Entry
	var delay int64
	for i := range r.Runs {
		run := &r.Runs[i]
		delay = max(delay, RetryDelay(run.Attempt))
		if run.Number == 0 {
			continue
		}
		entries = append(entries, Entry{
			ScheduleID: r.ID, Number: run.Number, Action: r.Action,
			ScheduledAt: run.ScheduledAt, FiredAt: run.FiredAt, FinishedAt: now, Result: Failed, Failure: ErrInterrupted,
		})
		run.Number, run.FiredAt = 0, 0
	}
	var retry int64 // at once, whatever becomes of the clock
	if delay > 0 {
		retry = max(now, 0) + delay
	}
	// An earlier time stays: a start does not put off what was put off before. A later one is a clock that was set back.
	if len(entries) > 0 || r.RetryAt > retry {
		r.RetryAt = retry
	}
	return r, entries
}

// RetryDelay is how long, in ms, a run waits that was interrupted at its given attempt: not at all after the first, then
// one second, doubling up to five minutes.
func RetryDelay(attempt int) int64 {
	const first, most int64 = 1_000, 300_000
	switch {
	case attempt < 2:
		return 0
	case attempt > 10:
		return most
	}
	return min(first<<(attempt-2), most)
}
