package schedule

import (
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/value"
)

// Firing is one run to be started.
type Firing struct {
	ID          string // as users see it: Spec.PublicID
	ScheduleID  string // as it is stored: Spec.ID
	Kind        Kind
	Name        string // empty for one-shots
	Action      string
	Args        []byte
	Number      uint64 // names the run to Complete, and its entry
	Attempt     int    // 1 unless the run was interrupted before
	ScheduledAt int64  // the trigger
	FiredAt     int64  // when it was claimed
}

// Entry is the history entry of a run that starts.
func (f *Firing) Entry() Entry {
	return Entry{
		ScheduleID: f.ScheduleID, Number: f.Number, Action: f.Action,
		ScheduledAt: f.ScheduledAt, FiredAt: f.FiredAt, Result: Running,
	}
}

// AppendFiring returns args, one CBOR array or nothing, with one item more: the object that upstream gives to scheduled
// actions as their last argument,
//
//	{kind: "at" | "cron" | "every", id, name?, scheduledAt, firedAt}
//
// The result has memory of its own. An error says that args is no array, and why.
func AppendFiring(args []byte, f Firing) ([]byte, error) {
	var items [][]byte
	if len(args) > 0 {
		var err error
		if items, err = value.ArrayItems(args); err != nil {
			return nil, err
		}
	}
	out := value.AppendArrayHead(make([]byte, 0, len(args)+128), len(items)+1)
	for _, item := range items {
		out = append(out, item...)
	}
	fields := 4
	if f.Name != "" {
		fields++
	}
	out = value.AppendMapHead(out, fields)
	out = value.AppendText(value.AppendText(out, "kind"), f.Kind.String())
	out = value.AppendText(value.AppendText(out, "id"), f.ID)
	if f.Name != "" {
		out = value.AppendText(value.AppendText(out, "name"), f.Name)
	}
	out = value.AppendInt(value.AppendText(out, "scheduledAt"), f.ScheduledAt)
	return value.AppendInt(value.AppendText(out, "firedAt"), f.FiredAt), nil
}

// Result is how a run ended. The numbers are durable, and those of upstream's table.
type Result int

// The results of runs.
const (
	Running Result = 0
	OK      Result = 1
	Failed  Result = 2
	Skipped Result = 3
)

// String is the word by which users and the inspector know the result.
func (r Result) String() string {
	switch r {
	case Running:
		return "running"
	case OK:
		return "ok"
	case Failed:
		return "error"
	case Skipped:
		return "skipped"
	}
	return "unknown"
}

// Entry is one line of a schedule's history.
type Entry struct {
	ScheduleID  string
	Number      uint64
	Action      string
	ScheduledAt int64
	FiredAt     int64
	FinishedAt  int64 // 0 while Running
	Result      Result
	// Failure is set when Result is Failed. Group, Code, Message and Metadata are kept; mask them before they are stored.
	Failure *fault.Error
}

// Finished is e after its run: OK without a failure, otherwise Failed.
func (e Entry) Finished(now int64, failure *fault.Error) Entry {
	e.FinishedAt, e.Result, e.Failure = now, OK, failure
	if failure != nil {
		e.Result = Failed
	}
	return e
}
