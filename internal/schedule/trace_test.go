package schedule

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rivetgo/rivet/internal/wire/fault"
)

// The files of testdata/traces hold commands, a line "----" and the full trace, in blocks separated by empty lines.
// Times are clock times of Friday 2026-01-02 UTC, "+1d" in front for the days after.
//
//	set ID KIND CADENCE [overlap] [missed]   First, or Replace when there is a row: at TIME, every SECONDS, cron M_H_D_M_W
//	claim TIME                                Claim until the row is not due
//	complete TIME NUMBER, recover TIME        Complete, Recover
//
// Rewrite the expectations with -rewrite, and only commit the change if you understand what caused it.
var rewrite = flag.Bool("rewrite", false, "write the traces and golden bytes of this program into testdata")

func TestG4_Traces(t *testing.T) {
	files, err := filepath.Glob("testdata/traces/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no traces: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			var d traceDriver
			for i, block := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
				if i > 0 {
					got.WriteString("\n")
				}
				commands, _, _ := strings.Cut(block, "\n----")
				got.WriteString(commands + "\n")
				d.out = nil
				for line := range strings.Lines(commands) {
					switch line = strings.TrimSpace(line); {
					case line == "" || strings.HasPrefix(line, "#"):
					case line == "reset":
						d.row = nil
					default:
						if err := d.step(strings.Fields(line)); err != nil {
							t.Fatalf("%q: %v", line, err)
						}
					}
				}
				if len(d.out) > 0 {
					got.WriteString("----\n" + strings.Join(d.out, "\n") + "\n")
				}
			}
			if *rewrite {
				if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got.String() != string(text) {
				t.Errorf("the trace differs from %s; this program gives:\n%s", file, got.String())
			}
		})
	}
}

type traceDriver struct {
	row *Row
	out []string
}

func (d *traceDriver) say(format string, args ...any) {
	d.out = append(d.out, fmt.Sprintf(format, args...))
}

func (d *traceDriver) step(words []string) error {
	if words[0] == "set" {
		return d.set(words[1:])
	}
	now, err := parseTime(words[1])
	if err != nil {
		return err
	}
	switch words[0] {
	case "claim":
		if !Due(*d.row, now) {
			d.say("claim: not due before %s", formatTime(d.row.WakeAt()))
		}
		for Due(*d.row, now) {
			c, err := Claim(*d.row, now)
			if err != nil {
				return err
			}
			if c.Skipped != nil {
				d.say("claim: skip #%d of %s", c.Skipped.Number, formatTime(c.Skipped.ScheduledAt))
			}
			if c.Fire != nil {
				d.say("claim: fire #%d of %s, attempt %d", c.Fire.Number, formatTime(c.Fire.ScheduledAt), c.Fire.Attempt)
			}
			if c.Fire == nil && c.Skipped == nil {
				d.say("claim: wait")
			}
			*d.row = c.Row
		}
	case "complete":
		n, err := strconv.ParseUint(words[2], 10, 64)
		if err != nil {
			return err
		}
		row, ok := Complete(*d.row, n)
		*d.row = row
		d.say("complete #%d: %t", n, ok)
	case "recover":
		row, entries := Recover(*d.row, now)
		*d.row = row
		for _, e := range entries {
			d.say("recover: #%d of %s is %v %s", e.Number, formatTime(e.ScheduledAt), e.Result, e.Failure.Code)
		}
		if len(entries) == 0 {
			d.say("recover: nothing")
		}
	default:
		return errors.New("unknown command")
	}
	d.state()
	return d.row.valid()
}

func (d *traceDriver) set(words []string) error {
	now, err := parseTime(words[0])
	if err != nil {
		return err
	}
	s := Spec{Action: "act", ID: RecurringID("job")}
	switch words[1] {
	case "at":
		s.ID = "f7f5a0c4-0000-4000-8000-000000000000"
		if s.At, err = parseTime(words[2]); err != nil {
			return err
		}
	case "every":
		s.Kind = Every
		seconds, err := strconv.ParseInt(words[2], 10, 64)
		if err != nil {
			return err
		}
		s.Interval = seconds * 1000
	case "cron":
		s.Kind, s.Expression = Cron, strings.ReplaceAll(words[2], "_", " ")
	}
	for _, w := range words[3:] {
		if i := slices.Index([]string{"overlap-skip", "overlap-queue", "overlap-parallel"}, w); i >= 0 {
			s.Overlap = Overlap(i)
		} else if i := slices.Index([]string{"missed-once", "missed-skip", "missed-all"}, w); i >= 0 {
			s.Missed = Missed(i)
		} else {
			return fmt.Errorf("unknown word %q", w)
		}
	}
	var row Row
	if d.row == nil {
		row, err = First(s, now)
	} else {
		row, err = Replace(*d.row, s, now)
	}
	if e, ok := fault.From(err); ok {
		d.say("set: %s.%s", e.Group, e.Code)
		return nil
	}
	d.row = &row
	d.say("set")
	d.state()
	return row.valid()
}

// state adds the row to the newest line of the trace.
func (d *traceDriver) state() {
	r := d.row
	state := " -> next " + formatTime(r.NextAt)
	for _, run := range r.Runs {
		if run.Number == 0 {
			state += ", " + formatTime(run.ScheduledAt) + " waits"
		} else {
			state += fmt.Sprintf(", #%d runs", run.Number)
		}
	}
	if r.RetryAt != 0 {
		state += ", retry " + formatTime(r.RetryAt)
	}
	if r.Late > 0 {
		state += fmt.Sprintf(", late %d", r.Late)
	}
	if r.Spent() {
		state += ", spent"
	}
	d.out[len(d.out)-1] += state
}

var day0 = time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)

// parseTime reads 15:04:05, with "+1d" or "-1d" in front for other days.
func parseTime(s string) (int64, error) {
	days := 0
	if day, rest, ok := strings.Cut(s, "d"); ok {
		var err error
		if days, err = strconv.Atoi(day); err != nil {
			return 0, err
		}
		s = rest
	}
	t, err := time.Parse("15:04:05", s)
	if err != nil {
		return 0, err
	}
	return day0.AddDate(0, 0, days).Add(t.Sub(t.Truncate(24 * time.Hour))).UnixMilli(), nil
}

func formatTime(ms int64) string {
	if ms == 0 {
		return "never"
	}
	t := time.UnixMilli(ms).UTC()
	if days := int(t.Truncate(24*time.Hour).Sub(day0) / (24 * time.Hour)); days != 0 {
		return fmt.Sprintf("%+dd%s", days, t.Format("15:04:05"))
	}
	return t.Format("15:04:05")
}
