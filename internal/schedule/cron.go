package schedule

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/netresearch/go-cron"
)

// searchYears bounds how far ahead a match is looked for. The rarest that exist, fifth weekdays of February, are 40 years
// apart where a century has no leap day.
const searchYears = 40

// maxSteps bounds the search of next. Each step passes a change of the clock, of which no zone has more than a few a year.
const maxSteps = 16 * searchYears

// The times that next answers for: years 1 to 9999, as time.Time prints and parses them.
const (
	firstMillis = -62_135_596_800_000
	lastMillis  = 253_402_300_799_999
)

// parser reads five fields and compares days as upstream does: when both are restricted, either matches.
var parser = cron.MustNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.DowOrDom | cron.Extended).
	WithMaxSearchYears(searchYears)

// cronSpec is a parsed expression in its zone.
type cronSpec struct {
	fields *cron.SpecSchedule // compared with the wall clock as if that were UTC
	zone   *time.Location
	// everyHour says that the hour field is no fixed choice: times that happen twice run twice.
	everyHour bool
}

// parseCron returns an error with upstream's code for anything but an expression that can match, in a zone that exists.
func parseCron(expression, timezone string) (cronSpec, error) {
	zone, err := loadZone(timezone)
	if err != nil {
		return cronSpec{}, err
	}
	if len(expression) > MaxExpressionBytes {
		return cronSpec{}, invalidCron(fmt.Sprintf("it has %d bytes; the limit is %d", len(expression), MaxExpressionBytes))
	}
	fields := strings.Fields(expression)
	switch {
	case strings.HasPrefix(expression, "@"):
		return cronSpec{}, invalidCron("descriptors such as @daily are not supported; write the five fields, for @daily 0 0 * * *")
	case strings.Contains(expression, "="):
		return cronSpec{}, invalidCron("a time zone does not belong into the expression; use the schedule's timezone")
	case len(fields) != 5:
		return cronSpec{}, invalidCron(fmt.Sprintf("it has %d fields; exactly 5 are expected: minute, hour, day of month, month, day of week", len(fields)))
	}
	for _, f := range fields {
		// The library passes over empty items, and a field of nothing else would match nothing, slowly.
		if slices.Contains(strings.Split(f, ","), "") {
			return cronSpec{}, invalidCron(fmt.Sprintf("the list %q has an empty item", toValid(f)))
		}
	}
	parsed, err := parser.Parse(strings.Join(fields, " "))
	if err != nil {
		return cronSpec{}, invalidCron(toValid(err.Error()))
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return cronSpec{}, invalidCron("it is not made of fields")
	}
	spec.Location = time.UTC
	c := cronSpec{fields: spec, zone: zone}
	const hours = 1<<24 - 1
	c.everyHour = strings.ContainsAny(fields[1], "*?") || bits.OnesCount64(spec.Hour&hours) == 24
	if spec.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return cronSpec{}, invalidCron("no date matches it")
	}
	return c, nil
}

// next is the first match later than after, both ms; 0 when there is none within searchYears.
//
// The wall clock runs evenly between two changes of the clock. So the library searches on the wall clock alone, where its
// answer is exact, and this function goes from change to change: a match beyond the next change is looked for again
// behind it, which leaves out the times that do not exist and finds those that happen twice.
func (c *cronSpec) next(after int64) int64 {
	if after >= lastMillis {
		return 0
	}
	from := time.UnixMilli(max(after, firstMillis) + 1).In(c.zone)
	limit := from.AddDate(searchYears, 0, 0)
	for range maxSteps {
		start, end := from.ZoneBounds()
		_, seconds := from.Zone()
		offset := time.Duration(seconds) * time.Second

		wall := c.fields.Next(from.UTC().Add(offset - 1)) // the library's answer is later than what it is given
		if wall.IsZero() {
			return 0
		}
		at := wall.Add(-offset)
		switch {
		case at.After(limit):
			return 0
		case !end.IsZero() && !at.Before(end):
			from = beyond(from, end, wall).In(c.zone)
		case !c.everyHour && at.Before(repeatEnd(start, offset)):
			from = repeatEnd(start, offset).In(c.zone)
		case at.UnixMilli() <= after: // an invariant of the library
			return 0
		default:
			return at.UnixMilli()
		}
	}
	return 0
}

// beyond is where to go on when nothing matched between from and the change at end, and the next wall clock time that
// matches is wall. That is end, or, to save the steps in between, shortly before wall. The change at end itself must
// not be passed when it may repeat wall clock times from before from.
func beyond(from, end, wall time.Time) time.Time {
	const margin = 36 * time.Hour // more than any two offsets differ
	if far := wall.Add(-margin); far.After(end) && end.Sub(from) > margin {
		return far
	}
	return end
}

// repeatEnd is until when the wall clock, set back at start to offset, shows times that it has shown before. It is not
// after start when the clock was not set back there.
func repeatEnd(start time.Time, offset time.Duration) time.Time {
	if start.IsZero() {
		return start
	}
	_, before := start.Add(-1).Zone()
	return start.Add(time.Duration(before)*time.Second - offset)
}

// toValid replaces what is not UTF-8, for texts that cross the wire.
func toValid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
