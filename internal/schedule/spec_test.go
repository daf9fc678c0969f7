package schedule

import (
	"errors"
	"strings"
	"testing"

	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/value"
)

func TestCheck(t *testing.T) {
	at := Spec{ID: "i", Kind: At, Action: "a"}
	cron := Spec{ID: "cron:n", Kind: Cron, Action: "a", Expression: "0 9 * * MON-FRI", Timezone: "Europe/Berlin", MaxHistory: MaxHistory}
	every := Spec{ID: "cron:n", Kind: Every, Action: "a", Interval: MinInterval, Args: []byte{0x80}}
	for _, good := range []Spec{
		at, cron, every,
		with(every, func(s *Spec) { s.ID = RecurringID(strings.Repeat("n", MaxNameBytes)) }),
		with(every, func(s *Spec) { s.Interval = MaxInterval }),
	} {
		if err := good.Check(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
	for _, v := range []struct {
		spec                    Spec
		code, message, metadata string
	}{
		{with(every, func(s *Spec) { s.ID = "cron:" }), "invalid_name", "Schedule name is invalid: it is empty; give the schedule a name to find it by", ""},
		{with(every, func(s *Spec) { s.ID = RecurringID(strings.Repeat("n", MaxNameBytes+1)) }), "invalid_name", "Schedule name is invalid: it is longer than 128 bytes", `{"reason":"it is longer than 128 bytes"}`},
		{with(every, func(s *Spec) { s.ID = "cron:\xff" }), "invalid_name", "", ""},
		{with(every, func(s *Spec) { s.ID = "n" }), "invalid_name", "", ""},
		{with(at, func(s *Spec) { s.ID = "" }), "invalid_name", "", ""},
		{with(at, func(s *Spec) { s.ID = strings.Repeat("i", MaxIDBytes+1) }), "invalid_name", "", ""},
		{with(at, func(s *Spec) { s.ID = "\xff" }), "invalid_name", "", ""},
		{with(at, func(s *Spec) { s.Action = "" }), "invalid_action", "", ""},
		{with(at, func(s *Spec) { s.Action = "\xff" }), "invalid_action", "", ""},
		{with(at, func(s *Spec) { s.Args = []byte{0xa0} }), "invalid_action", "", ""},
		{with(at, func(s *Spec) { s.Args = []byte{0x81} }), "invalid_action", "", ""},
		{with(at, func(s *Spec) { s.Args = []byte{} }), "invalid_action", "", ""},
		{with(at, func(s *Spec) { s.Kind = 3; s.ID = "cron:n" }), "invalid_policy", "Schedule kind 3 is unknown.", `{"field":"kind","received":3}`},
		{with(at, func(s *Spec) { s.Overlap = 3 }), "invalid_policy", "Schedule overlap 3 is unknown.", ""},
		{with(at, func(s *Spec) { s.Missed = -1 }), "invalid_policy", "Schedule missed -1 is unknown.", ""},
		{with(at, func(s *Spec) { s.MaxHistory = -1 }), "invalid_max_history", "Schedule maxHistory must be between 0 and 1000; received -1.", `{"max_history":-1,"maximum":1000}`},
		{with(at, func(s *Spec) { s.MaxHistory = 1001 }), "invalid_max_history", "", ""},
		{with(every, func(s *Spec) { s.Interval = 4999 }), "invalid_interval", "Schedule interval must be at least 5000 ms; received 4999 ms.", `{"interval_ms":4999,"minimum_ms":5000}`},
		{with(every, func(s *Spec) { s.Interval = MaxInterval + 1 }), "invalid_interval", "Schedule interval must be at most 8640000000000000 ms; received 8640000000000001 ms.", ""},
		{with(cron, func(s *Spec) { s.Timezone = "Mars" }), "invalid_timezone", "Schedule timezone 'Mars' is invalid. Use an IANA name such as Europe/Berlin, or none for UTC.", `{"timezone":"Mars"}`},
		{with(cron, func(s *Spec) { s.Expression = "1 2 3" }), "invalid_cron_expression", "", `{"reason":"it has 3 fields; exactly 5 are expected: minute, hour, day of month, month, day of week"}`},
	} {
		err := v.spec.Check()
		e, ok := fault.From(err)
		if !ok || e.Group != "schedule" || e.Code != v.code || v.message != "" && e.Message != v.message {
			t.Errorf("%+v: %v; want %s: %s", v.spec, err, v.code, v.message)
			continue
		}
		json, err := value.ToJSON(nil, e.Metadata, value.UndefinedNull)
		if err != nil || v.metadata != "" && string(json) != v.metadata {
			t.Errorf("%s: metadata %s, %v; want %s", e.Message, json, err, v.metadata)
		}
		if _, err := First(v.spec, 1); err == nil {
			t.Errorf("%+v is planned", v.spec)
		}
		if _, err := Replace(Row{}, v.spec, 1); err == nil {
			t.Errorf("%+v replaces", v.spec)
		}
	}
}

func with(s Spec, change func(*Spec)) Spec {
	change(&s)
	return s
}

func TestTooMany(t *testing.T) {
	e, ok := fault.From(TooMany(1000))
	if !ok || e.Error() != "schedule.max_schedules_exceeded: Actor has reached its limit of 1000 pending schedules." {
		t.Errorf("TooMany = %v", e)
	}
}

func TestClaimOfARowThatCannotRun(t *testing.T) {
	row := Row{Spec: Spec{ID: "cron:n", Kind: Cron, Action: "a", Expression: "* * * * *", Timezone: "Atlantis/Capital"}, NextAt: 5}
	_, err := Claim(row, 10)
	e, ok := fault.From(err)
	if !ok || e.Code != "invalid_schedule_row" || !strings.Contains(e.Message, "Stored schedule 'cron:n' is invalid: schedule.invalid_timezone") {
		t.Errorf("Claim = %v", err)
	}
}

// TestClaimKeepsItsArgument: the row from before a turn undoes the turn.
func TestClaimKeepsItsArgument(t *testing.T) {
	row, err := First(Spec{ID: "cron:n", Kind: Every, Action: "a", Interval: MinInterval, Overlap: OverlapParallel}, epoch)
	if err != nil {
		t.Fatal(err)
	}
	rows := []Row{row}
	stored := []string{string(AppendRow(nil, &row))}
	keep := func(r Row) {
		rows = append(rows, r)
		stored = append(stored, string(AppendRow(nil, &r)))
	}
	now := int64(epoch)
	for range 3 {
		now += MinInterval
		c, err := Claim(rows[len(rows)-1], now)
		if err != nil {
			t.Fatal(err)
		}
		keep(c.Row)
	}
	done, _ := Complete(rows[len(rows)-1], 2)
	keep(done)
	back, _ := Recover(rows[len(rows)-1], now)
	keep(back)
	for i, r := range rows {
		if got := string(AppendRow(nil, &r)); got != stored[i] {
			t.Errorf("row %d was changed by a later step", i)
		}
	}
}

func TestG4_AOneShotSetAgainWhileItRunsIsNotPlannedTwice(t *testing.T) {
	s := Spec{ID: "one", Kind: At, Action: "a", At: -5}
	row, err := First(s, epoch)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Claim(row, epoch)
	if err != nil || c.Fire == nil {
		t.Fatalf("Claim = %+v, %v", c, err)
	}
	row, err = Replace(c.Row, s, epoch)
	if err != nil || Due(row, epoch) || row.Spent() {
		t.Errorf("Replace = %+v, %v", row, err)
	}
}

func TestCronThatNeverExistsInItsZone(t *testing.T) {
	// New York's clock is set forward at 02:00 of the second Sunday in March.
	_, err := First(Spec{ID: "cron:n", Kind: Cron, Action: "a", Expression: "30 2 * 3 0#2", Timezone: "America/New_York"}, 1_790_000_000_000)
	if !errors.Is(err, fault.New("schedule", "invalid_cron_expression", "")) || !strings.Contains(err.Error(), "no time that exists") {
		t.Errorf("First = %v", err)
	}
}

func TestRetryDelay(t *testing.T) {
	for _, v := range []struct {
		attempt int
		want    int64
	}{{0, 0}, {1, 0}, {2, 1_000}, {3, 2_000}, {9, 128_000}, {10, 256_000}, {11, 300_000}, {1 << 30, 300_000}} {
		if got := RetryDelay(v.attempt); got != v.want {
			t.Errorf("RetryDelay(%d) = %d, want %d", v.attempt, got, v.want)
		}
	}
}

func TestEveryAtTheEndsOfTime(t *testing.T) {
	s := Spec{ID: "cron:n", Kind: Every, Action: "a", Interval: MinInterval}
	if row, err := First(s, -1<<63); err != nil || row.NextAt != MinInterval {
		t.Errorf("before 1970: %+v, %v", row, err)
	}
	if row, err := First(s, 1<<63-1); err == nil {
		t.Errorf("planned at %d", row.NextAt)
	}
	row, err := First(s, 0)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Claim(row, 1<<63-1)
	if err != nil || c.Fire == nil || c.Row.NextAt != 0 {
		t.Errorf("Claim = %+v, %v", c, err)
	}
}
