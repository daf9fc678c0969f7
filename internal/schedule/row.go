package schedule

import (
	"math"
	"slices"
)

// Row is a schedule as it is stored. Functions take and return rows by value and never change a row they were given, so
// the row from before a turn is what undoes it.
//
// Invariants: the numbers of Runs are 0 or unique and at most Number; a run is only started beside others when Overlap is
// OverlapParallel; NextAt grows until the cadence is replaced; Late is 0 unless Missed is MissedAll.
type Row struct {
	Spec
	CreatedAt int64
	NextAt    int64  // the next trigger; 0 when there is none, as in a one-shot that was claimed
	LastAt    int64  // when a run was last claimed; 0 for never
	RetryAt   int64  // waiting runs are not claimed before; 0 for at once
	Late      int    // MissedAll: how many missed triggers were claimed in a row; over 0 the row is catching up
	Number    uint64 // of the newest entry
	Runs      []Run  // not complete, oldest first
}

// Run is one trigger that was claimed and is not complete.
type Run struct {
	Number      uint64 // of its entry; 0 while it waits
	ScheduledAt int64  // its trigger
	FiredAt     int64  // when it was claimed; 0 while it waits
	Attempt     int    // how often it was claimed
}

// First is the row of a new schedule. Errors are those of Check; an expression that never matches in its zone is
// schedule.invalid_cron_expression.
func First(spec Spec, now int64) (Row, error) {
	if err := spec.Check(); err != nil {
		return Row{}, err
	}
	r := Row{Spec: spec, CreatedAt: now}
	switch spec.Kind {
	case At:
		r.At = max(spec.At, 1) // 0 means none
		r.NextAt = r.At
	default:
		next, err := r.after(max(now, 0), now)
		if err != nil {
			return Row{}, err
		}
		switch {
		case next == 0 && spec.Kind == Every: // a clock at the end of all time
			return Row{}, invalidInterval(spec.Interval)
		case next == 0:
			return Row{}, invalidCron("it matches no time that exists in its timezone")
		}
		r.NextAt = next
	}
	return r, nil
}

// Replace is the row of a schedule that is set again under the id of old. With an unchanged cadence the plan stays as it
// is; a changed one is planned anew from now. What runs goes on, what waits runs with the new action and arguments.
// Errors are those of First.
func Replace(old Row, spec Spec, now int64) (Row, error) {
	r, err := First(spec, now)
	if err != nil {
		return Row{}, err
	}
	if sameCadence(&old.Spec, &r.Spec) && (old.NextAt != 0 || r.Kind == At) {
		r.NextAt = old.NextAt
		if spec.Missed == MissedAll {
			r.Late = old.Late
		}
	}
	r.CreatedAt, r.LastAt, r.RetryAt, r.Number, r.Runs = old.CreatedAt, old.LastAt, old.RetryAt, old.Number, old.Runs
	return r, nil
}

// WakeAt is the earliest time at which Claim would do something; 0 for not before a run is complete, or never. A row
// that has one waiting is due at a time that has long passed.
func (r *Row) WakeAt() int64 {
	at := r.NextAt
	if r.blocked() {
		at = 0
	}
	if r.claimable() >= 0 {
		if retry := max(r.RetryAt, 1); at == 0 || retry < at {
			at = retry
		}
	}
	return at
}

// Due reports whether Claim would do something now.
func Due(r Row, now int64) bool {
	at := r.WakeAt()
	return at != 0 && at <= now
}

// Spent reports whether nothing will ever become of r: it is to be deleted.
func (r *Row) Spent() bool { return r.NextAt == 0 && len(r.Runs) == 0 }

// blocked reports whether the next trigger waits for a run, because the row is catching up.
func (r *Row) blocked() bool { return r.Late > 0 && !r.room() }

// room reports whether a new trigger may run beside what is not complete.
func (r *Row) room() bool {
	if r.Overlap == OverlapParallel {
		return len(r.Runs) < MaxParallel
	}
	return len(r.Runs) == 0
}

// claimable is the index of the first waiting run that may run beside those that run, or -1.
func (r *Row) claimable() int {
	first, running := -1, 0
	for i := range r.Runs {
		if r.Runs[i].Number != 0 {
			running++
		} else if first < 0 {
			first = i
		}
	}
	limit := 1
	if r.Overlap == OverlapParallel {
		limit = MaxParallel
	}
	if running >= limit {
		return -1
	}
	return first
}

// waiting reports whether a run waits.
func (r *Row) waiting() bool {
	return slices.ContainsFunc(r.Runs, func(run Run) bool { return run.Number == 0 })
}

// after is the first trigger of a recurring schedule that follows trigger and is later than now; 0 for none. trigger is
// not negative.
func (r *Row) after(trigger, now int64) (int64, error) {
	now = max(now, trigger)
	if r.Kind == Cron {
		c, err := parseCron(r.Expression, r.Timezone)
		if err != nil {
			return 0, err
		}
		return c.next(now), nil
	}
	if err := checkInterval(r.Interval); err != nil {
		return 0, err
	}
	// In unsigned numbers the distance of any two times fits.
	steps := (uint64(now)-uint64(trigger))/uint64(r.Interval) + 1
	if room := (uint64(math.MaxInt64) - uint64(trigger)) / uint64(r.Interval); steps > room {
		return 0, nil // not in any time that can be written
	}
	return int64(uint64(trigger) + steps*uint64(r.Interval)), nil
}
