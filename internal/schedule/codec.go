package schedule

import (
	"errors"
	"fmt"

	"github.com/rivetgo/rivet/internal/wire/bare"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/record"
	"github.com/rivetgo/rivet/internal/wire/value"
)

// Stored values are a version byte (record.Version) and BARE. What their keys say, the id and the number, is not in
// them.
//
//	Row    u8 kind, u8 overlap, u8 missed, uint max history, str action, optional data args,
//	       At: i64 at; Cron: str expression, str timezone; Every: i64 interval,
//	       i64 created, i64 next, i64 last, i64 retry, uint late, uint number,
//	       list of (uint number, i64 scheduled, i64 fired, uint attempt)
//	Entry  str action, i64 scheduled, i64 fired, i64 finished, u8 result,
//	       optional (str group, str code, str message, optional data metadata)

// minRunBytes is the least that a stored run takes.
const minRunBytes = 1 + 8 + 8 + 1

// maxRuns is how many runs a row may hold: MaxParallel, and one that waits since Overlap became Queue.
const maxRuns = MaxParallel + 1

// maxAttempt bounds what is stored of a run's attempts.
const maxAttempt = 1 << 30

// AppendRow appends the stored form of r.
func AppendRow(dst []byte, r *Row) []byte {
	dst = append(dst, record.Version, byte(r.Kind), byte(r.Overlap), byte(r.Missed))
	dst = bare.AppendUint(dst, uint64(r.MaxHistory))
	dst = bare.AppendString(dst, r.Action)
	dst = appendOptionalData(dst, r.Args)
	switch r.Kind {
	case At:
		dst = bare.AppendI64(dst, r.At)
	case Cron:
		dst = bare.AppendString(dst, r.Expression)
		dst = bare.AppendString(dst, r.Timezone)
	case Every:
		dst = bare.AppendI64(dst, r.Interval)
	}
	for _, t := range [...]int64{r.CreatedAt, r.NextAt, r.LastAt, r.RetryAt} {
		dst = bare.AppendI64(dst, t)
	}
	dst = bare.AppendUint(dst, uint64(r.Late))
	dst = bare.AppendUint(dst, r.Number)
	dst = bare.AppendUint(dst, uint64(len(r.Runs)))
	for i := range r.Runs {
		run := &r.Runs[i]
		dst = bare.AppendUint(dst, run.Number)
		dst = bare.AppendI64(dst, run.ScheduledAt)
		dst = bare.AppendI64(dst, run.FiredAt)
		dst = bare.AppendUint(dst, uint64(run.Attempt))
	}
	return dst
}

// DecodeRow reads what AppendRow wrote for the schedule with an id. The row shares no memory with b. A version of
// another program is a *record.VersionError; anything else wrong is schedule.invalid_schedule_row. Expressions and
// zones are not looked at: Claim does.
func DecodeRow(id string, b []byte) (Row, error) {
	payload, err := record.Open(record.KindSchedule, b)
	if err != nil {
		return Row{}, err
	}
	in := bare.NewReader(payload)
	r := Row{Spec: Spec{ID: id, Kind: Kind(in.U8()), Overlap: Overlap(in.U8()), Missed: Missed(in.U8())}}
	r.MaxHistory = readInt(&in, MaxHistory)
	r.Action = in.String()
	r.Args = readOptionalData(&in)
	switch r.Kind {
	case At:
		r.At = in.I64()
	case Cron:
		r.Expression, r.Timezone = in.String(), in.String()
	case Every:
		r.Interval = in.I64()
	}
	r.CreatedAt, r.NextAt, r.LastAt, r.RetryAt = in.I64(), in.I64(), in.I64(), in.I64()
	r.Late = readInt(&in, MaxLate)
	r.Number = in.Uint()
	if n := in.ListLen(minRunBytes); n > maxRuns {
		in.Fail("too many runs")
	} else if n > 0 {
		r.Runs = make([]Run, n)
		for i := range r.Runs {
			r.Runs[i] = Run{Number: in.Uint(), ScheduledAt: in.I64(), FiredAt: in.I64(), Attempt: readInt(&in, maxAttempt)}
		}
	}
	if err := in.Done(); err != nil {
		return Row{}, invalidRow(id, err)
	}
	if err := r.valid(); err != nil {
		return Row{}, invalidRow(id, err)
	}
	return r, nil
}

// valid checks the invariants, and what the other functions rely on.
func (r *Row) valid() error {
	switch {
	case r.Kind < At || r.Kind > Every:
		return fmt.Errorf("kind %d is unknown", r.Kind)
	case r.Overlap < OverlapSkip || r.Overlap > OverlapParallel:
		return fmt.Errorf("overlap policy %d is unknown", r.Overlap)
	case r.Missed < MissedOnce || r.Missed > MissedAll:
		return fmt.Errorf("policy %d for missed runs is unknown", r.Missed)
	case r.NextAt < 0 || r.RetryAt < 0:
		return errors.New("a time is negative")
	case r.Late > 0 && r.Missed != MissedAll:
		return errors.New("catches up without having to")
	}
	if err := r.checkName(); err != nil {
		return err
	}
	if err := r.checkAction(); err != nil {
		return err
	}
	if r.Kind == Every {
		if err := checkInterval(r.Interval); err != nil {
			return err
		}
	}
	return r.validRuns()
}

func (r *Row) validRuns() error {
	for i, run := range r.Runs {
		if run.Number == 0 {
			continue
		}
		if run.Number > r.Number {
			return fmt.Errorf("run %d is newer than the newest entry, %d", run.Number, r.Number)
		}
		for _, other := range r.Runs[:i] {
			if other.Number == run.Number {
				return fmt.Errorf("run %d occurs twice", run.Number)
			}
		}
	}
	return nil
}

// AppendEntry appends the stored form of e.
func AppendEntry(dst []byte, e *Entry) []byte {
	dst = bare.AppendString(append(dst, record.Version), e.Action)
	for _, t := range [...]int64{e.ScheduledAt, e.FiredAt, e.FinishedAt} {
		dst = bare.AppendI64(dst, t)
	}
	dst = append(dst, byte(e.Result))
	dst = bare.AppendOptional(dst, e.Failure != nil)
	if f := e.Failure; f != nil {
		for _, s := range [...]string{f.Group, f.Code, f.Message} {
			dst = bare.AppendString(dst, toValid(s))
		}
		dst = appendOptionalData(dst, f.Metadata)
	}
	return dst
}

// DecodeEntry reads what AppendEntry wrote for entry number of the schedule with an id. The entry shares no memory with
// b. A version of another program is a *record.VersionError; anything else wrong is schedule.invalid_schedule_row.
func DecodeEntry(id string, number uint64, b []byte) (Entry, error) {
	payload, err := record.Open(record.KindFiring, b)
	if err != nil {
		return Entry{}, err
	}
	in := bare.NewReader(payload)
	e := Entry{ScheduleID: id, Number: number, Action: in.String()}
	e.ScheduledAt, e.FiredAt, e.FinishedAt = in.I64(), in.I64(), in.I64()
	e.Result = Result(in.U8())
	if e.Result > Skipped {
		in.Fail("result is unknown")
	}
	if in.Optional() {
		e.Failure = fault.New(in.String(), in.String(), in.String())
		e.Failure.Metadata = readOptionalData(&in)
		if m := e.Failure.Metadata; m != nil && value.Valid(m) != nil {
			in.Fail("metadata is not one CBOR item")
		}
	}
	if (e.Result == Failed) != (e.Failure != nil) {
		in.Fail("result and failure disagree")
	}
	if err := in.Done(); err != nil {
		return Entry{}, invalidRow(id, fmt.Errorf("entry %d: %w", number, err))
	}
	return e, nil
}

func appendOptionalData(dst, data []byte) []byte {
	dst = bare.AppendOptional(dst, data != nil)
	if data == nil {
		return dst
	}
	return bare.AppendData(dst, data)
}

func readOptionalData(in *bare.Reader) []byte {
	if !in.Optional() {
		return nil
	}
	return in.DataCopy()
}

// readInt reads a uint that is at most limit.
func readInt(in *bare.Reader, limit uint64) int {
	v := in.Uint()
	if v > limit {
		in.Fail("number is larger than its limit")
		return 0
	}
	return int(v)
}
