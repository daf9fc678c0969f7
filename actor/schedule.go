package actor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/internal/codec"
	"github.com/rivetgo/rivet/internal/host"
	"github.com/rivetgo/rivet/internal/schedule"
	"github.com/rivetgo/rivet/internal/wire/value"
)

// ScheduleOption configures a recurring schedule.
type ScheduleOption func(*schedule.Spec)

// TimeZone is the IANA name of the zone whose wall clock Cron compares with. Default UTC.
func TimeZone(name string) ScheduleOption { return func(s *schedule.Spec) { s.Timezone = name } }

// KeepHistory bounds the lines of history that are kept of a schedule, 0 to 1,000. Default 100.
func KeepHistory(n int) ScheduleOption { return func(s *schedule.Spec) { s.MaxHistory = n } }

// OverlapPolicy says what becomes of a time that comes while an earlier run of the same schedule is under way.
type OverlapPolicy int

// The policies for runs that overlap.
const (
	OverlapSkip     = OverlapPolicy(schedule.OverlapSkip)     // it does not run: the default
	OverlapQueue    = OverlapPolicy(schedule.OverlapQueue)    // one waits for the end of the other
	OverlapParallel = OverlapPolicy(schedule.OverlapParallel) // up to 16 run at once, which only concurrent handlers can
)

// Overlap sets the policy for runs that overlap.
func Overlap(p OverlapPolicy) ScheduleOption {
	return func(s *schedule.Spec) { s.Overlap = schedule.Overlap(p) }
}

// MissedPolicy says what becomes of times that passed while the actor could not run.
type MissedPolicy int

// The policies for missed times.
const (
	MissedOnce = MissedPolicy(schedule.MissedOnce) // they make one late run: the default
	MissedSkip = MissedPolicy(schedule.MissedSkip) // those older than a minute do not run
	MissedAll  = MissedPolicy(schedule.MissedAll)  // each runs, up to 100 of them
)

// Missed sets the policy for missed times.
func Missed(p MissedPolicy) ScheduleOption {
	return func(s *schedule.Spec) { s.Missed = schedule.Missed(p) }
}

// After plans an action of this actor for the given time from now, and returns the schedule's id. In a turn it is part of
// the turn; elsewhere it is one of its own. The action runs at least once, at or after its time, across sleep and crash:
// when its turn succeeds the schedule is gone with it. An action that returns an error has run. A negative time is
// schedule.invalid_delay; more schedules than Options.MaxSchedules are schedule.max_schedules_exceeded.
func After[I, A, R any](c *Ctx, d time.Duration, action rivet.Action[I, A, R], arg A) (id string, err error) {
	if d < 0 {
		return "", &rivet.Error{Group: "schedule", Code: "invalid_delay", Message: fmt.Sprintf("The delay %s is negative: use At for a time that may have passed.", d)}
	}
	return At(c, time.Now().Add(d), action, arg)
}

// At is After with an instant, to the millisecond; one that has passed is due at once.
func At[I, A, R any](c *Ctx, at time.Time, action rivet.Action[I, A, R], arg A) (id string, err error) {
	args, err := scheduledArgs(c, action, arg)
	if err != nil {
		return "", err
	}
	return c.Schedules().at(at, action.Name(), args)
}

// Cron plans an action whenever the expression matches the wall clock: minute, hour, day of month, month, day of week. A
// schedule with this name is replaced; an unchanged expression keeps its next time.
//
// Wall clock times that a change of the clock leaves out are skipped. Of times that happen twice the first counts, unless
// the hour is a wildcard.
func Cron[I, A, R any](c *Ctx, name, expression string, action rivet.Action[I, A, R], arg A, options ...ScheduleOption) error {
	args, err := scheduledArgs(c, action, arg)
	if err != nil {
		return err
	}
	s := schedule.Spec{ID: schedule.RecurringID(name), Kind: schedule.Cron, Expression: expression, Action: action.Name(), Args: args}
	return c.Schedules().set(s, options)
}

// Every plans an action at equal distances of at least 5 s, the first one distance from now; distances are kept however
// long a run takes. A schedule with this name is replaced; an unchanged interval keeps its next time.
func Every[I, A, R any](c *Ctx, name string, interval time.Duration, action rivet.Action[I, A, R], arg A, options ...ScheduleOption) error {
	args, err := scheduledArgs(c, action, arg)
	if err != nil {
		return err
	}
	s := schedule.Spec{ID: schedule.RecurringID(name), Kind: schedule.Every, Interval: interval.Milliseconds(), Action: action.Name(), Args: args}
	return c.Schedules().set(s, options)
}

func scheduledArgs[I, A, R any](c *Ctx, action rivet.Action[I, A, R], arg A) ([]byte, error) {
	if owner := action.Actor().Name(); owner != c.Name() {
		return nil, fmt.Errorf("actor: action %q belongs to actor %q: an actor schedules its own", action.Name(), owner)
	}
	args, err := codec.AppendArgs(nil, &arg)
	if err != nil {
		return nil, fmt.Errorf("actor: the arguments of %s cannot be encoded: %w", action.Name(), err)
	}
	return args, nil
}

// Schedules is an actor's schedules. Safe for concurrent use.
type Schedules struct{ call *host.Call }

// Schedules is the actor's schedules: After, At, Cron and Every add to them.
func (c *Ctx) Schedules() Schedules { return Schedules{c.call} }

// Schedule is one schedule.
type Schedule struct {
	ID     string // of At and After; the name of Cron and Every
	Kind   string // "at", "cron", "every"
	Action string
	Args   rivet.Raw // a CBOR array

	Expression string        // cron
	TimeZone   string        // cron
	Interval   time.Duration // every
	MaxHistory int           // cron and every

	NextAt  time.Time // zero: it runs for the last time now
	LastAt  time.Time // when it last ran; zero: not yet
	Running int       // runs under way, or waiting
}

// AtName is At for an action that is only known by name, with its arguments encoded in order.
func (s Schedules) AtName(at time.Time, action string, args ...any) (id string, err error) {
	enc, err := encodeArgs(args)
	if err != nil {
		return "", err
	}
	return s.at(at, action, enc)
}

// CronName is Cron for an action that is only known by name.
func (s Schedules) CronName(name, expression, action string, args []any, options ...ScheduleOption) error {
	enc, err := encodeArgs(args)
	if err != nil {
		return err
	}
	return s.set(schedule.Spec{ID: schedule.RecurringID(name), Kind: schedule.Cron, Expression: expression, Action: action, Args: enc}, options)
}

// EveryName is Every for an action that is only known by name.
func (s Schedules) EveryName(name string, interval time.Duration, action string, args []any, options ...ScheduleOption) error {
	enc, err := encodeArgs(args)
	if err != nil {
		return err
	}
	return s.set(schedule.Spec{ID: schedule.RecurringID(name), Kind: schedule.Every, Interval: interval.Milliseconds(), Action: action, Args: enc}, options)
}

func encodeArgs(args []any) ([]byte, error) {
	out := value.AppendArrayHead(nil, len(args))
	for _, a := range args {
		var err error
		if out, err = codec.AppendWire(out, a); err != nil {
			return nil, fmt.Errorf("actor: the arguments of a schedule cannot be encoded: %w", err)
		}
	}
	return out, nil
}

func (s Schedules) at(at time.Time, action string, args []byte) (string, error) {
	id := uuid.NewString()
	_, err := s.call.SetSchedule(schedule.Spec{ID: id, Kind: schedule.At, At: at.UnixMilli(), Action: action, Args: args})
	if err != nil {
		return "", local(err)
	}
	return id, nil
}

func (s Schedules) set(spec schedule.Spec, options []ScheduleOption) error {
	spec.MaxHistory = schedule.DefaultHistory
	for _, o := range options {
		o(&spec)
	}
	_, err := s.call.SetSchedule(spec)
	return local(err)
}

// Get finds a schedule of At or After by its id.
func (s Schedules) Get(id string) (Schedule, bool, error) { return s.get(id, true) }

// GetNamed finds a schedule of Cron or Every by its name.
func (s Schedules) GetNamed(name string) (Schedule, bool, error) {
	return s.get(schedule.RecurringID(name), false)
}

func (s Schedules) get(id string, once bool) (Schedule, bool, error) {
	row, ok, err := s.call.Schedule(id)
	if err != nil || !ok || (row.Kind == schedule.At) != once {
		return Schedule{}, false, local(err)
	}
	return scheduleOf(&row), true, nil
}

// List lists all schedules by their next time.
func (s Schedules) List() ([]Schedule, error) {
	rows, err := s.call.Schedules()
	out := make([]Schedule, len(rows))
	for i := range rows {
		out[i] = scheduleOf(&rows[i])
	}
	return out, local(err)
}

// Cancel removes a schedule of At or After; false when there is none with this id, or none any more.
func (s Schedules) Cancel(id string) (bool, error) {
	row, ok, err := s.call.Schedule(id)
	if err != nil || !ok || row.Kind != schedule.At {
		return false, local(err)
	}
	removed, err := s.call.RemoveSchedule(id)
	return removed, local(err)
}

// Delete removes a schedule of Cron or Every with its history; false when there is none with this name.
func (s Schedules) Delete(name string) (bool, error) {
	removed, err := s.call.RemoveSchedule(schedule.RecurringID(name))
	return removed, local(err)
}

// Run is one line of a schedule's history.
type Run struct {
	Action      string
	ScheduledAt time.Time
	FiredAt     time.Time
	FinishedAt  time.Time    // zero while it runs
	Result      string       // "running", "ok", "error", "skipped"
	Err         *rivet.Error // of Result "error", as a caller would have seen it
}

// History lists the runs of a schedule of Cron or Every, newest first, at most limit: 1 to 1,000, 0 for 20.
func (s Schedules) History(ctx context.Context, name string, limit int) ([]Run, error) {
	switch {
	case limit == 0:
		limit = 20
	case limit < 0 || limit > schedule.MaxHistory:
		return nil, &rivet.Error{Group: "schedule", Code: "invalid_history_limit", Message: fmt.Sprintf("History takes a limit of 1 to %d, not %d.", schedule.MaxHistory, limit)}
	}
	entries, err := s.call.History(ctx, schedule.RecurringID(name), limit)
	out := make([]Run, len(entries))
	for i, e := range entries {
		out[i] = Run{Action: e.Action, ScheduledAt: time.UnixMilli(e.ScheduledAt), FiredAt: time.UnixMilli(e.FiredAt), FinishedAt: instant(e.FinishedAt), Result: e.Result.String()}
		if e.Failure != nil {
			var typed *rivet.Error
			if errors.As(local(e.Failure), &typed) {
				out[i].Err = typed
			}
		}
	}
	return out, local(err)
}

func instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

func scheduleOf(r *schedule.Row) Schedule {
	s := Schedule{
		ID: r.PublicID(), Kind: r.Kind.String(), Action: r.Action, Args: r.Args, MaxHistory: r.MaxHistory,
		NextAt: instant(r.NextAt), LastAt: instant(r.LastAt), Running: len(r.Runs),
	}
	switch r.Kind {
	case schedule.Cron:
		s.Expression, s.TimeZone = r.Expression, r.Timezone
		if s.TimeZone == "" {
			s.TimeZone = "UTC"
		}
	case schedule.Every:
		s.Interval = time.Duration(r.Interval) * time.Millisecond
	}
	if s.Args == nil {
		s.Args = rivet.Raw{0x80}
	}
	return s
}

// Firing is why a scheduled action runs. Callers in JavaScript get the same as an object behind the action's arguments.
type Firing struct {
	Kind        string // "at", "cron", "every"
	ID          string // of At and After; the name of Cron and Every
	Name        string // of Cron and Every
	Attempt     int    // above 1 when earlier runs for the same time were interrupted
	ScheduledAt time.Time
	FiredAt     time.Time
}

// Firing is the run of a schedule that the call is; ok is false when somebody else called the action.
func (c *Ctx) Firing() (Firing, bool) {
	f := c.call.Firing()
	if f == nil {
		return Firing{}, false
	}
	return Firing{Kind: f.Kind.String(), ID: f.ID, Name: f.Name, Attempt: f.Attempt, ScheduledAt: time.UnixMilli(f.ScheduledAt), FiredAt: time.UnixMilli(f.FiredAt)}, true
}
