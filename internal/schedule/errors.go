package schedule

import (
	"fmt"

	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/value"
)

// group is the group of every error of schedules; clients see their messages.
const group = "schedule"

// ErrInterrupted is the failure of a run that the process did not live to complete; only histories hold it.
var ErrInterrupted = fault.New(group, "interrupted", "Scheduled action was interrupted before completion.")

// TooMany says that an actor has as many schedules as it may have.
func TooMany(maximum int) error {
	return fault.New(group, "max_schedules_exceeded",
		fmt.Sprintf("Actor has reached its limit of %d pending schedules.", maximum)).
		With(metadata("maximum", int64(maximum)))
}

func invalidName(reason string) error {
	return fault.New(group, "invalid_name", "Schedule name is invalid: "+reason).With(metadata("reason", reason))
}

func invalidAction(reason string) error {
	return fault.New(group, "invalid_action", "Scheduled action is invalid: "+reason).With(metadata("reason", reason))
}

func invalidPolicy(field string, got int) error {
	return fault.New(group, "invalid_policy", fmt.Sprintf("Schedule %s %d is unknown.", field, got)).
		With(metadata("field", field, "received", int64(got)))
}

func invalidCron(reason string) error {
	return fault.New(group, "invalid_cron_expression", "Cron expression is invalid: "+reason).
		With(metadata("reason", reason))
}

func invalidTimezone(name string) error {
	return fault.New(group, "invalid_timezone",
		fmt.Sprintf("Schedule timezone '%s' is invalid. Use an IANA name such as Europe/Berlin, or none for UTC.", name)).
		With(metadata("timezone", name))
}

func invalidInterval(ms int64) error {
	if ms > MaxInterval {
		return fault.New(group, "invalid_interval",
			fmt.Sprintf("Schedule interval must be at most %d ms; received %d ms.", int64(MaxInterval), ms)).
			With(metadata("interval_ms", ms, "maximum_ms", int64(MaxInterval)))
	}
	return fault.New(group, "invalid_interval",
		fmt.Sprintf("Schedule interval must be at least %d ms; received %d ms.", MinInterval, ms)).
		With(metadata("interval_ms", ms, "minimum_ms", int64(MinInterval)))
}

func invalidMaxHistory(got int) error {
	return fault.New(group, "invalid_max_history",
		fmt.Sprintf("Schedule maxHistory must be between 0 and %d; received %d.", MaxHistory, got)).
		With(metadata("max_history", int64(got), "maximum", int64(MaxHistory)))
}

func invalidRow(id string, cause error) error {
	e := fault.New(group, "invalid_schedule_row", fmt.Sprintf("Stored schedule '%s' is invalid: %v", id, cause)).
		With(metadata("schedule_id", id, "reason", cause.Error()))
	e.Cause = cause
	return e
}

// metadata is a CBOR map of names and values, alternating; values are texts and integers.
func metadata(pairs ...any) []byte {
	b := value.AppendMapHead(nil, len(pairs)/2)
	for _, p := range pairs {
		switch p := p.(type) {
		case string:
			b = value.AppendText(b, toValid(p))
		case int64:
			b = value.AppendInt(b, p)
		}
	}
	return b
}
