package schedule

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rivetgo/rivet/internal/wire/fault"
)

// wallClock is how the tables below write instants: with their offset, which tells the two halves of a repeated hour
// apart.
const wallClock = "2006-01-02 15:04 -0700"

func instants(t interface{ Fatal(...any) }, expression, zone, from, to string) []string {
	c, err := parseCron(expression, zone)
	if err != nil {
		t.Fatal(err)
	}
	start, err := time.Parse(wallClock, from)
	if err != nil {
		t.Fatal(err)
	}
	end, err := time.Parse(wallClock, to)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for at := start.UnixMilli() - 1; ; {
		at = c.next(at)
		if at == 0 || at >= end.UnixMilli() {
			return out
		}
		out = append(out, time.UnixMilli(at).In(c.zone).Format(wallClock))
	}
}

func TestG4_CronAcrossChangesOfTheClock(t *testing.T) {
	for _, v := range []struct {
		name, zone, expression, from, to string
		want                             []string
	}{
		{
			"New York, forward: 02:30 does not exist", "America/New_York", "30 2 * * *", "2026-03-07 00:00 -0500", "2026-03-10 00:00 -0400",
			[]string{"2026-03-07 02:30 -0500", "2026-03-09 02:30 -0400"},
		},
		{
			"New York, forward: every real hour", "America/New_York", "0 * * * *", "2026-03-08 00:00 -0500", "2026-03-08 05:00 -0400",
			[]string{"2026-03-08 00:00 -0500", "2026-03-08 01:00 -0500", "2026-03-08 03:00 -0400", "2026-03-08 04:00 -0400"},
		},
		{
			"New York, back: 01:30 runs once", "America/New_York", "30 1 * * *", "2026-10-31 00:00 -0400", "2026-11-03 00:00 -0500",
			[]string{"2026-10-31 01:30 -0400", "2026-11-01 01:30 -0400", "2026-11-02 01:30 -0500"},
		},
		{
			"New York, back: a range of hours is fixed", "America/New_York", "0,30 1-2 * * *", "2026-11-01 00:00 -0400", "2026-11-01 23:00 -0500",
			[]string{"2026-11-01 01:00 -0400", "2026-11-01 01:30 -0400", "2026-11-01 02:00 -0500", "2026-11-01 02:30 -0500"},
		},
		{
			"New York, back: every real hour", "America/New_York", "30 * * * *", "2026-11-01 00:00 -0400", "2026-11-01 03:00 -0500",
			[]string{"2026-11-01 00:30 -0400", "2026-11-01 01:30 -0400", "2026-11-01 01:30 -0500", "2026-11-01 02:30 -0500"},
		},
		{
			"New York, back: all hours by name", "America/New_York", "30 0-23 * * *", "2026-11-01 01:00 -0400", "2026-11-01 02:00 -0500",
			[]string{"2026-11-01 01:30 -0400", "2026-11-01 01:30 -0500"},
		},
		{
			"Berlin, forward: 02:30 does not exist", "Europe/Berlin", "30 2 * * *", "2026-03-28 00:00 +0100", "2026-03-31 00:00 +0200",
			[]string{"2026-03-28 02:30 +0100", "2026-03-30 02:30 +0200"},
		},
		{
			"Berlin, back: 02:30 runs once", "Europe/Berlin", "30 2 * * *", "2026-10-24 00:00 +0200", "2026-10-27 00:00 +0100",
			[]string{"2026-10-24 02:30 +0200", "2026-10-25 02:30 +0200", "2026-10-26 02:30 +0100"},
		},
		{
			"Berlin, back: every second hour is a wildcard", "Europe/Berlin", "0 */2 * * *", "2026-10-25 00:00 +0200", "2026-10-25 05:00 +0100",
			[]string{"2026-10-25 00:00 +0200", "2026-10-25 02:00 +0200", "2026-10-25 02:00 +0100", "2026-10-25 04:00 +0100"},
		},
		{
			"Lord Howe, forward by half an hour: 02:15 does not exist", "Australia/Lord_Howe", "15,45 2 * * *", "2026-10-03 12:00 +1030", "2026-10-05 12:00 +1100",
			[]string{"2026-10-04 02:45 +1100", "2026-10-05 02:15 +1100", "2026-10-05 02:45 +1100"},
		},
		{
			"Lord Howe, back by half an hour: 01:45 runs once", "Australia/Lord_Howe", "15,45 1 * * *", "2026-04-05 00:00 +1100", "2026-04-05 12:00 +1030",
			[]string{"2026-04-05 01:15 +1100", "2026-04-05 01:45 +1100"},
		},
		{
			"Lord Howe, back: with a wildcard both run", "Australia/Lord_Howe", "15,45 * * * *", "2026-04-05 01:00 +1100", "2026-04-05 03:00 +1030",
			[]string{"2026-04-05 01:15 +1100", "2026-04-05 01:45 +1100", "2026-04-05 01:45 +1030", "2026-04-05 02:15 +1030", "2026-04-05 02:45 +1030"},
		},
		{
			"São Paulo, back at midnight: the last hour of the day happens twice", "America/Sao_Paulo", "30 * 17 2 *", "2018-02-17 22:00 -0200", "2018-02-19 00:00 -0300",
			[]string{"2018-02-17 22:30 -0200", "2018-02-17 23:30 -0200", "2018-02-17 23:30 -0300"},
		},
		{
			"Samoa left out a whole day", "Pacific/Apia", "0 12 * * *", "2011-12-29 00:00 -1000", "2012-01-01 00:00 +1400",
			[]string{"2011-12-29 12:00 -1000", "2011-12-31 12:00 +1400"},
		},
		{
			"UTC", "", "*/20 23 31 12 *", "2026-01-01 00:00 +0000", "2027-12-31 23:20 +0000",
			[]string{"2026-12-31 23:00 +0000", "2026-12-31 23:20 +0000", "2026-12-31 23:40 +0000", "2027-12-31 23:00 +0000"},
		},
		{
			"the 13th or any Friday", "UTC", "0 0 13 * 5", "2026-03-01 00:00 +0000", "2026-04-01 00:00 +0000",
			[]string{"2026-03-06 00:00 +0000", "2026-03-13 00:00 +0000", "2026-03-20 00:00 +0000", "2026-03-27 00:00 +0000"},
		},
		{
			"last day, leap day, across years without a change of the clock in between", "America/New_York", "0 9 29 2 *", "2026-03-01 00:00 -0500", "2034-01-01 00:00 -0500",
			[]string{"2028-02-29 09:00 -0500", "2032-02-29 09:00 -0500"},
		},
		{
			"no leap day in 2100", "Europe/Berlin", "0 0 29 2 *", "2096-03-01 00:00 +0100", "2105-01-01 00:00 +0100",
			[]string{"2104-02-29 00:00 +0100"},
		},
		{
			"L, W and #", "UTC", "0 0 L,15W * *", "2026-08-01 00:00 +0000", "2026-10-01 00:00 +0000",
			[]string{"2026-08-14 00:00 +0000", "2026-08-31 00:00 +0000", "2026-09-15 00:00 +0000", "2026-09-30 00:00 +0000"},
		},
	} {
		t.Run(v.name, func(t *testing.T) {
			if got := instants(t, v.expression, v.zone, v.from, v.to); !slices.Equal(got, v.want) {
				t.Errorf("%q in %s:\n got %s\nwant %s", v.expression, v.zone, strings.Join(got, "\n     "), strings.Join(v.want, "\n     "))
			}
		})
	}
}

func TestCronRefusals(t *testing.T) {
	for _, v := range []struct{ expression, zone, code, says string }{
		{"", "", "invalid_cron_expression", "0 fields"},
		{"* * * *", "", "invalid_cron_expression", "4 fields"},
		{"0 * * * * *", "", "invalid_cron_expression", "6 fields"},
		{"@daily", "", "invalid_cron_expression", "0 0 * * *"},
		{"@every 5s", "", "invalid_cron_expression", "descriptors"},
		{"TZ=UTC * * * * *", "", "invalid_cron_expression", "timezone"},
		{"CRON_TZ=UTC * * * *", "", "invalid_cron_expression", "timezone"},
		{"60 * * * *", "", "invalid_cron_expression", "60"},
		{"* * * * 8", "", "invalid_cron_expression", "8"},
		{"*/0 * * * *", "", "invalid_cron_expression", "step"},
		{"H * * * *", "", "invalid_cron_expression", ""},
		{", * * * *", "", "invalid_cron_expression", "empty item"},
		{"1,,2 * * * *", "", "invalid_cron_expression", "empty item"},
		{"0 0 31 2 *", "", "invalid_cron_expression", "no date"},
		{"0 0 31 4,6,9,11 *", "", "invalid_cron_expression", "no date"},
		{"\xff * * * *", "", "invalid_cron_expression", ""},
		{strings.Repeat("1,", 300) + "1 * * * *", "", "invalid_cron_expression", "512"},
		{"* * * * *", "Mars/Olympus", "invalid_timezone", "Mars/Olympus"},
		{"* * * * *", "Local", "invalid_timezone", "IANA"},
		{"* * * * *", "../etc/passwd", "invalid_timezone", ""},
		{"* * * * *", "posix/Europe/Berlin", "invalid_timezone", ""},
		{"* * * * *", strings.Repeat("A", 1000), "invalid_timezone", ""},
		{"* * * * *", "\xff", "invalid_timezone", ""},
	} {
		_, err := parseCron(v.expression, v.zone)
		e, ok := fault.From(err)
		if !ok || e.Group != "schedule" || e.Code != v.code || !strings.Contains(e.Message, v.says) {
			t.Errorf("%q in %q: %v; want %s with %q", v.expression, v.zone, err, v.code, v.says)
		}
	}
}

func TestCronEndsAtTheEndOfTime(t *testing.T) {
	c, err := parseCron("* * * * *", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct{ after, want int64 }{
		{-1 << 63, -62_135_596_740_000},
		{-1, 0},
		{0, 60_000},
		{59_999, 60_000},
		{60_000, 120_000},
		{lastMillis, 0},
		{1<<63 - 1, 0},
	} {
		if got := c.next(v.after); got != v.want {
			t.Errorf("next(%d) = %d, want %d", v.after, got, v.want)
		}
	}
}

// TestCronAgainstEveryMinute compares next with a walk over every minute around the changes of the clock.
func TestCronAgainstEveryMinute(t *testing.T) {
	changes := map[string][]string{
		"America/New_York":    {"2026-03-08 07:00", "2026-11-01 06:00"},
		"Europe/Berlin":       {"2026-03-29 01:00", "2026-10-25 01:00"},
		"Australia/Lord_Howe": {"2026-04-04 15:00", "2026-10-03 15:30"},
		"America/Sao_Paulo":   {"2018-02-18 02:00", "2018-11-04 03:00"},
		"Asia/Kathmandu":      {"2026-06-01 00:00"},
		"Pacific/Apia":        {"2011-12-30 10:00"},
	}
	names := make([]string, 0, len(changes))
	for name := range changes {
		names = append(names, name)
	}
	slices.Sort(names)
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(names).Draw(t, "zone")
		change, err := time.Parse("2006-01-02 15:04", rapid.SampledFrom(changes[name]).Draw(t, "change"))
		if err != nil {
			t.Fatal(err)
		}
		minutes := rapid.SliceOfNDistinct(rapid.IntRange(0, 59), 1, 3, rapid.ID[int]).Draw(t, "minutes")
		hours := rapid.SliceOfNDistinct(rapid.IntRange(0, 23), 1, 6, rapid.ID[int]).Draw(t, "hours")
		wild := rapid.Bool().Draw(t, "every hour")
		expression := join(minutes) + " " + join(hours) + " * * *"
		if wild {
			expression = join(minutes) + " * * * *"
		}
		c, err := parseCron(expression, name)
		if err != nil {
			t.Fatal(err)
		}

		var want []string
		seen := map[string]bool{}
		from, to := change.Add(-14*time.Hour), change.Add(26*time.Hour)
		for at := from.Add(-3 * time.Hour); at.Before(to); at = at.Add(time.Minute) {
			local := at.In(c.zone)
			wall := local.Format("2006-01-02 15:04")
			if slices.Contains(minutes, local.Minute()) && (wild || slices.Contains(hours, local.Hour())) &&
				(wild || !seen[wall]) && !at.Before(from) {
				want = append(want, local.Format(wallClock))
			}
			seen[wall] = true
		}
		got := instants(t, expression, name, from.Format(wallClock), to.Format(wallClock))
		if !slices.Equal(got, want) {
			t.Fatalf("%q in %s:\n got %v\nwant %v", expression, name, got, want)
		}
	})
}

func join(numbers []int) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(numbers), " ", ","), "[]")
}

func FuzzCron(f *testing.F) {
	for _, s := range []string{"* * * * *", "*/5 1-5 L,15W JAN-MAR 5#2", "0 0 29 2 5#5", "30 2 8-14 3 0", "? ? ? ? ?", "1/2,3 22-2 31 11 7", "* * L-30 2 *"} {
		f.Add(s, "America/New_York", int64(1_790_000_000_000))
		f.Add(s, "Australia/Lord_Howe", int64(0))
	}
	f.Add("@every 1s", "", int64(1))
	f.Fuzz(func(t *testing.T, expression, zone string, after int64) {
		begin := time.Now()
		c, err := parseCron(expression, zone)
		if err != nil {
			if e, ok := fault.From(err); !ok || e.Group != "schedule" {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		for range 5 {
			next := c.next(after)
			if next == 0 {
				break
			}
			if next <= after || next%1000 != 0 {
				t.Fatalf("next(%d) = %d", after, next)
			}
			after = next
		}
		if d := time.Since(begin); d > 5*time.Second {
			t.Fatalf("took %v", d)
		}
	})
}

func BenchmarkCronNext(b *testing.B) {
	c, err := parseCron("30 2 * * *", "America/New_York")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		c.next(1_790_000_000_000)
	}
}

func BenchmarkCronParse(b *testing.B) {
	for b.Loop() {
		if _, err := parseCron("30 2 * * *", "America/New_York"); err != nil {
			b.Fatal(err)
		}
	}
}
