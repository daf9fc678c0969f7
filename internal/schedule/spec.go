package schedule

import (
	"strings"
	"unicode/utf8"

	"github.com/rivetgo/rivet/internal/wire/value"
)

// Kind says how a schedule repeats. The numbers are durable, and those of upstream's table.
type Kind int

// The kinds of schedules.
const (
	At    Kind = 0 // once, at an instant
	Cron  Kind = 1 // whenever an expression matches the wall clock
	Every Kind = 2 // at equal distances
)

// String is the word by which actions and the inspector know the kind.
func (k Kind) String() string {
	switch k {
	case At:
		return "at"
	case Cron:
		return "cron"
	case Every:
		return "every"
	}
	return "unknown"
}

// Overlap says what becomes of a trigger while an earlier run is not complete. The numbers are durable.
type Overlap int

// The policies for overlapping runs; the package comment describes them.
const (
	OverlapSkip     Overlap = 0
	OverlapQueue    Overlap = 1
	OverlapParallel Overlap = 2
)

// Missed says what becomes of triggers that could not run in time. The numbers are durable.
type Missed int

// The policies for missed triggers; the package comment describes them.
const (
	MissedOnce Missed = 0
	MissedSkip Missed = 1
	MissedAll  Missed = 2
)

// Limits.
const (
	MaxNameBytes       = 128
	MaxIDBytes         = 255
	MaxExpressionBytes = 512
	MinInterval        = 5_000                 // ms
	MaxInterval        = 8_640_000_000_000_000 // ms; the range of JavaScript's dates
	DefaultHistory     = 100                   // entries kept of a schedule unless it says otherwise
	MaxHistory         = 1_000
	MaxParallel        = 16     // runs of one schedule at once
	MaxLate            = 100    // missed triggers that MissedAll runs in a row
	LateAfter          = 60_000 // ms; how old a trigger may be for MissedSkip to run it
)

// recurringPrefix is in front of the names of recurring schedules in their ids, as upstream stores them.
const recurringPrefix = "cron:"

// RecurringID is the id of the recurring schedule with a name.
func RecurringID(name string) string { return recurringPrefix + name }

// Spec is what the user planned. Its slices and strings are not changed after it was handed over.
type Spec struct {
	ID     string // a UUID for At, RecurringID(name) for the others
	Kind   Kind
	Action string
	Args   []byte // one CBOR array; nil means no arguments

	At         int64  // At: the instant, ms; one that has passed is due at once
	Expression string // Cron
	Timezone   string // Cron: IANA name; empty means UTC
	Interval   int64  // Every: ms, at least MinInterval

	MaxHistory int // entries to keep, 0 (none) up to MaxHistory
	Overlap    Overlap
	Missed     Missed
}

// Name is the name of a recurring schedule; empty for one-shots.
func (s *Spec) Name() string {
	if s.Kind == At {
		return ""
	}
	return strings.TrimPrefix(s.ID, recurringPrefix)
}

// PublicID is how users see the id: the name of recurring schedules, the id of one-shots.
func (s *Spec) PublicID() string {
	if s.Kind == At {
		return s.ID
	}
	return s.Name()
}

// Check reports the first thing that is wrong with s, a *fault.Error with one of upstream's codes: schedule.invalid_name,
// invalid_cron_expression, invalid_timezone, invalid_interval, invalid_max_history; or, for what upstream's types
// exclude, schedule.invalid_action or invalid_policy.
func (s *Spec) Check() error {
	if err := s.checkName(); err != nil {
		return err
	}
	if err := s.checkAction(); err != nil {
		return err
	}
	switch s.Kind {
	case At:
	case Cron:
		if _, err := parseCron(s.Expression, s.Timezone); err != nil {
			return err
		}
	case Every:
		if err := checkInterval(s.Interval); err != nil {
			return err
		}
	default:
		return invalidPolicy("kind", int(s.Kind))
	}
	if s.MaxHistory < 0 || s.MaxHistory > MaxHistory {
		return invalidMaxHistory(s.MaxHistory)
	}
	if s.Overlap < OverlapSkip || s.Overlap > OverlapParallel {
		return invalidPolicy("overlap", int(s.Overlap))
	}
	if s.Missed < MissedOnce || s.Missed > MissedAll {
		return invalidPolicy("missed", int(s.Missed))
	}
	return nil
}

func (s *Spec) checkName() error {
	if s.Kind == At {
		switch {
		case s.ID == "":
			return invalidName("the id is empty")
		case len(s.ID) > MaxIDBytes:
			return invalidName("the id is longer than 255 bytes")
		case !utf8.ValidString(s.ID):
			return invalidName("the id is not valid UTF-8")
		}
		return nil
	}
	name, ok := strings.CutPrefix(s.ID, recurringPrefix)
	switch {
	case !ok:
		return invalidName("the id of a recurring schedule begins with " + recurringPrefix)
	case name == "":
		return invalidName("it is empty; give the schedule a name to find it by")
	case len(name) > MaxNameBytes:
		return invalidName("it is longer than 128 bytes")
	case !utf8.ValidString(name):
		return invalidName("it is not valid UTF-8")
	}
	return nil
}

func (s *Spec) checkAction() error {
	switch {
	case s.Action == "":
		return invalidAction("it has no name")
	case !utf8.ValidString(s.Action):
		return invalidAction("its name is not valid UTF-8")
	case s.Args != nil && (!value.IsArray(s.Args) || value.Valid(s.Args) != nil):
		return invalidAction("its arguments are not one CBOR array")
	}
	return nil
}

func checkInterval(ms int64) error {
	if ms < MinInterval || ms > MaxInterval {
		return invalidInterval(ms)
	}
	return nil
}

// sameCadence reports whether a and b are due at the same times.
func sameCadence(a, b *Spec) bool {
	if a.Kind != b.Kind {
		return false
	}
	switch a.Kind {
	case Cron:
		return a.Expression == b.Expression && zoneName(a.Timezone) == zoneName(b.Timezone)
	case Every:
		return a.Interval == b.Interval
	}
	return a.At == b.At
}
