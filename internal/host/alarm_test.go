package host

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/rivetgo/rivet/internal/wire/record"
)

// wantAlarm checks what the store would wake the actor for.
func (l *life) wantAlarm(want time.Time) {
	l.t.Helper()
	synctest.Wait()
	switch got := l.disk.alarm(); {
	case want.IsZero() && got != 0:
		l.t.Errorf("the alarm is set to %v", time.UnixMilli(got).UTC())
	case !want.IsZero() && !want.After(time.Now()) && got != 0 && got <= want.UnixMilli(): // due: any time that has passed
	case !want.IsZero() && got != want.UnixMilli():
		l.t.Errorf("the alarm is set to %v, want %v", time.UnixMilli(got).UTC(), want.UTC())
	}
}

// A turn that is too large stores nothing, and so nothing of what it planned may count as stored.
func TestG4_an_alarm_of_a_turn_that_was_refused_is_set_by_the_next(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scripted(spec())
		s.Options.MaxTurnBytes = 1000
		l := start(t, s, newDisk())
		due := time.Now().Add(time.Hour)
		plan := func(big bool) error {
			if err := l.turn(func(c *Call, _ *tally) error {
				if _, err := c.SetSchedule(after("a", time.Hour, "add")); err != nil {
					return err
				}
				if big {
					return c.KVPut([]Pair{{Key: []byte("k"), Value: make([]byte, 2000)}})
				}
				return nil
			}); err != nil {
				return err
			}
			return nil
		}
		if err := plan(true); !is(err, "actor", "turn_too_large") {
			t.Fatal(err)
		}
		no(t, plan(false))
		l.wantAlarm(due)
		l.end(false)
		l.wantAlarm(due)
	})
}

// While the actor is awake the alarm only becomes earlier; at its sleep it is exact, and gone when nothing is planned. A
// wake that changes nothing writes nothing.
func TestG4_the_alarm_is_never_late(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scripted(spec())
		l := start(t, s, newDisk())
		now := time.Now()
		set := func(id string, d time.Duration) {
			t.Helper()
			no(t, l.turn(func(c *Call, _ *tally) error {
				_, err := c.SetSchedule(after(id, d, "add"))
				return err
			}))
		}
		remove := func(id string) {
			t.Helper()
			no(t, l.turn(func(c *Call, _ *tally) error {
				_, err := c.RemoveSchedule(id)
				return err
			}))
		}
		set("b", 2*time.Hour)
		l.wantAlarm(now.Add(2 * time.Hour))
		set("a", time.Hour)
		l.wantAlarm(now.Add(time.Hour))
		remove("a")
		l.wantAlarm(now.Add(time.Hour)) // too early is allowed
		l.end(false)
		l.wantAlarm(now.Add(2 * time.Hour))

		l = start(t, s, l.disk.rest())
		if l.count() != 0 {
			t.Error("it ran early")
		}
		l.end(false)
		if n := l.disk.written(); n != 0 {
			t.Errorf("a wake for nothing committed %d times", n)
		}
		l.wantAlarm(now.Add(2 * time.Hour))

		l = start(t, s, l.disk.rest())
		remove("b")
		l.end(false)
		l.wantAlarm(time.Time{})
	})
}

// With the definition's leave to keep what failed turns changed, the actor's own turns are still all or nothing: a message
// that was refused must not count as received.
func TestG1_a_refused_message_leaves_nothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scripted(spec())
		s.Options.KeepFailedTurns, s.Options.MaxQueueSize = true, 1
		s.Queues = map[string]*Queue{"q": {}}
		l := start(t, s, newDisk())
		send := func(n uint64) error {
			_, _, err := l.Send(t.Context(), &MessageCall{Queue: "q", Body: []byte{1}, Peer: "p", Number: n})
			return err
		}
		no(t, send(1))
		if err := send(2); !is(err, "queue", "full") {
			t.Fatal(err)
		}
		take := func() {
			t.Helper()
			no(t, l.turn(func(c *Call, _ *tally) error {
				got, err := c.TryTake(c, Take{})
				if len(got) != 1 {
					t.Errorf("took %d", len(got))
				}
				return err
			}))
		}
		take()
		no(t, send(2))
		take()
		if n := l.disk.count(record.KindMessage); n != 0 {
			t.Errorf("%d messages remain", n)
		}
		l.end(false)
	})
}

// What comes due together may be more than one turn may store.
func TestG6_more_is_due_than_fits_into_a_turn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := boxes()
		s.Options.MaxTurnBytes, s.Options.QueueMaxAttempts = 4000, 1
		l := start(t, s, newDisk())
		for range 20 {
			l.put("a", string(make([]byte, 1000)))
			sp := after(newID(), time.Minute, "add")
			sp.Args = append([]byte{0x81, 0x59, 0x03, 0xe8}, make([]byte, 1000)...)
			l.sets(sp)
		}
		no(t, l.outside(func(c *Call) error {
			got, err := c.TryTake(c, Take{Max: 20})
			if len(got) != 20 {
				t.Errorf("took %d", len(got))
			}
			return err
		}))
		pass(2 * time.Minute)
		if n := l.disk.count(record.KindDead); n != 20 {
			t.Errorf("%d messages were given up", n)
		}
		if n := l.count(); n != 20 {
			t.Errorf("%d schedules ran", n)
		}
		l.end(false)
		l.wantAlarm(time.Time{})
	})
}
