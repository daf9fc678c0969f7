// Package schedule decides when schedules are due: what is planned (Spec), what is known about it (Row), and what each
// passing of time, completion and crash makes of it.
//
// It is pure: every function takes the time and the row as they are and returns the row as it is to be stored, with what
// is to be done. There is no clock, goroutine, lock or I/O here, save that the first use of a time zone reads it from
// the system's zone files, or from those inside the program. The shell (internal/host) stores what it gets back in the
// turn that acts on it (G1), so each step below is durable as a whole or did not happen.
//
// Times are milliseconds since 1970 UTC, durations milliseconds; 0 means none.
//
// # A row
//
//	First ─► planned
//	           │ NextAt reached: Claim
//	           ├──────────────── room ────────────────────► running ───── Complete ─────► done; a one-shot is then
//	           │                                            ▲     │                       Spent, and deleted
//	           ├── none, Overlap is Queue ───► waiting ─────┘     │
//	           │                                  ▲  RetryAt      │ Recover: the process died
//	           │                                  │  reached:     │ (entry schedule.interrupted)
//	           │                                  │  Claim        │
//	           │                                  └───────────────┘
//	           └── none, or missed ──────────► skipped (an entry says so)
//
// NextAt is the next trigger that nobody claimed. Claim takes it and sets the following one at once, so the plan never
// depends on how long a run takes; runs are kept beside it, in Runs. A row can therefore be planned, running and waiting
// at the same time. A one-shot has one trigger and is deleted when its run is complete.
//
// # At least once (G4)
//
// A claim is stored before its action runs, and Complete with what the action did. A run that was claimed and not
// completed when the process died is found by Recover at the next start. One-shots and recurring schedules are treated
// alike: the history gets an error schedule.interrupted, and the run waits to be claimed again, with the same trigger,
// the next attempt and a new number. The first time it is due at once, then after RetryDelay, which grows, so that an
// action that kills its process does not do so without a pause. An action that returned an error is complete: it ran.
//
// # Overlap
//
// A trigger is due while an earlier run of the same schedule is running or waiting:
//
//   - Skip (the default, as upstream): it does not run; an entry says so.
//   - Queue: one waits and runs afterwards; while one waits, others are skipped.
//   - Parallel: it runs too, up to MaxParallel at once; more are skipped.
//
// # Missed triggers
//
// The actor was down, or the clock jumped forward, and several triggers are due:
//
//   - Once (the default, as upstream): they collapse into one late run. No entry tells of the others.
//   - Skip: triggers older than LateAfter do not run, and one entry says so for all of them; younger ones collapse.
//   - All: each runs, oldest first, up to MaxLate of them; the rest are dropped, and one entry says so. While a row
//     catches up its triggers wait for the run before them instead of being skipped or queued.
//
// One-shots always run, however late.
//
// # Clocks
//
// Triggers follow from triggers, never from the time at which they were noticed: an interval's next trigger is
// trigger + interval × (floor((now − trigger) / interval) + 1), so nothing drifts. NextAt only grows while the cadence
// stays the same, so no trigger fires twice. A clock set back delays what is planned by as much and repeats nothing; one
// set forward is a time in which triggers were missed. After a clock that was far ahead for a while, a schedule is
// planned for then: replace its cadence, or delete it and set it again, to plan it from now.
//
// # Cron
//
// An expression has exactly five fields: minute, hour, day of month, month, day of week. Lists, ranges, steps, names,
// '?', L, W and # are understood; when both days are given, either matches. Seconds, years, descriptors (@daily) and zones
// inside of the expression are refused; the zone is a field of its own, an IANA name, by default UTC. An expression
// that matches no time within 40 years, such as the 31st of February, is refused.
//
// Expressions are compared with the wall clock of the zone:
//
//   - Wall clock times that a change of the clock leaves out are skipped: 02:30 every day does not run on the day when
//     02:30 does not exist.
//   - Wall clock times that happen twice: when the hour field is fixed (1, 1-5, 1,13), only the first of the two runs.
//     When it has a wildcard (*, */2) or names all hours, both run, so what runs every hour runs every real hour.
//
// # History
//
// Every claim and every skip that is told of has a number that is unique within the schedule and grows by one. The entry
// is stored under it, first as running and then with its end. To keep MaxHistory entries, delete
// number − MaxHistory with every new number.
package schedule
