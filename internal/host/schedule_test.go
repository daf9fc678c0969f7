package host

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rivetgo/rivet/internal/schedule"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// sets adds schedules in one turn.
func (l *life) sets(specs ...schedule.Spec) {
	l.t.Helper()
	no(l.t, l.turn(func(c *Call, _ *tally) error {
		for _, s := range specs {
			if _, err := c.SetSchedule(s); err != nil {
				return err
			}
		}
		return nil
	}))
}

// history lists the results of a schedule's runs, oldest first.
func (l *life) history(id string) (out []string) {
	l.t.Helper()
	no(l.t, l.turn(func(c *Call, _ *tally) error {
		entries, err := c.History(c, id, 1000)
		for _, e := range slices.Backward(entries) {
			text := []string{"running", "ok", "failed", "skipped"}[e.Result]
			if e.Failure != nil {
				text += " " + e.Failure.Code
			}
			out = append(out, text)
		}
		return err
	}))
	return out
}

func every(name string, d time.Duration, action string) schedule.Spec {
	return schedule.Spec{ID: "cron:" + name, Kind: schedule.Every, Action: action, Interval: d.Milliseconds(), MaxHistory: 100}
}

// What a scheduled turn does and the end of its run are one commit: wherever a crash comes, it happens once; and a crash
// after the claim does not lose it. The actor is woken for it without being asked.
func TestG4_a_one_shot_happens_once_wherever_a_crash_comes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for commits := range 6 { // how many become durable before the crash, from the time the schedule is due
			l := start(t, scripted(spec()), newDisk())
			l.sets(after("a", time.Second, "add"))
			l.disk.set(func() { l.disk.hold = true })
			pass(900 * time.Millisecond)
			for range commits {
				pass(50 * time.Millisecond)
				l.disk.mu.Lock()
				some := len(l.disk.waiting) > 0
				l.disk.mu.Unlock()
				if some {
					l.disk.flushOne()
				}
			}
			pass(200 * time.Millisecond)
			d := l.crash()
			if alarm := d.alarm(); d.count(record.KindSchedule) > 0 && (alarm == 0 || alarm > unixMilli(time.Now())) {
				t.Errorf("after %d commits nothing wakes the actor: %d", commits, alarm)
			}
			l = start(t, scripted(spec()), d)
			pass(time.Second)
			if n := l.count(); n != 1 {
				t.Errorf("after %d commits it happened %d times", commits, n)
			}
			l.end(false)
			l.wantAlarm(time.Time{})
			if n := l.disk.count(record.KindSchedule) + l.disk.count(record.KindFiring); n != 0 {
				t.Errorf("%d records remain", n)
			}
		}
	})
}

// A crash in the middle of the action: it runs again in the next life, and the history tells.
func TestG4_an_interrupted_run_is_run_again(t *testing.T) {
	for _, kind := range []ActionKind{TurnAction, ConcurrentAction} {
		synctest.Test(t, func(t *testing.T) {
			s := scripted(spec())
			runs := 0
			s.Actions["slow"] = &Action{Kind: kind, Run: func(c *Call, st State, _ []byte) ([]byte, error) {
				runs++
				if f := c.Firing(); f == nil || f.Attempt != runs {
					t.Errorf("run %d is %+v", runs, f)
				}
				if runs < 3 {
					<-c.Done()
					return nil, c.Err()
				}
				return nil, nil
			}}
			l := start(t, s, newDisk())
			l.sets(every("a", time.Hour, "slow"))
			pass(time.Hour + time.Second)
			l = start(t, s, l.crash())
			pass(time.Second)
			// The second end is orderly, and cuts the action off.
			began := time.Now()
			l.end(false)
			if took := time.Since(began); took != s.Options.GracePeriod {
				t.Errorf("the end took %v", took)
			}
			if alarm := l.disk.alarm(); alarm == 0 || alarm > unixMilli(time.Now()) {
				t.Errorf("nothing wakes the actor: %d", alarm)
			}
			l = start(t, s, l.disk.rest())
			pass(time.Minute)
			if got := l.history("cron:a"); !slices.Equal(got, []string{"failed interrupted", "failed interrupted", "ok"}) {
				t.Errorf("history %q", got)
			}
			l.end(false)
		})
	}
}

func TestG4_runs_that_fail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scripted(spec())
		s.Options.ActionTimeout, s.Options.SleepAfter = time.Second, 24*time.Hour
		s.Actions["slow"] = &Action{Run: func(*Call, State, []byte) ([]byte, error) { time.Sleep(2 * time.Second); return nil, nil }}
		l := start(t, s, newDisk())
		few := every("few", time.Minute, "fail")
		few.MaxHistory = 3
		l.sets(every("fail", time.Minute, "fail"), every("panic", time.Minute, "panic"), every("slow", time.Minute, "slow"),
			every("gone", time.Minute, "no such"), few, after("once", time.Minute, "fail"), after("never", time.Minute, "no such"))
		pass(5*time.Minute + 30*time.Second)
		for name, want := range map[string]string{"fail": "failed no", "panic": "failed internal_error", "slow": "failed callback_timed_out"} {
			if got := l.history("cron:" + name); len(got) != 5 || slices.ContainsFunc(got, func(s string) bool { return s != want }) {
				t.Errorf("history of %s: %q", name, got)
			}
		}
		if got := l.history("cron:few"); len(got) != 3 {
			t.Errorf("history of few: %q", got)
		}
		if n := l.count(); n != 0 {
			t.Errorf("turns that failed left %d", n)
		}
		// Those without an action are removed, and one-shots have run.
		var rows []schedule.Row
		no(t, l.turn(func(c *Call, _ *tally) (err error) { rows, err = c.Schedules(); return err }))
		if len(rows) != 4 {
			t.Errorf("schedules %+v", rows)
		}
		if n := l.disk.count(record.KindFiring); n != 5+5+5+3 {
			t.Errorf("%d entries are kept", n)
		}
		no(t, l.turn(func(c *Call, _ *tally) error {
			for _, r := range rows {
				if _, err := c.RemoveSchedule(r.ID); err != nil {
					return err
				}
			}
			return nil
		}))
		synctest.Wait()
		if n := l.disk.count(record.KindFiring) + l.disk.count(record.KindSchedule); n != 0 {
			t.Errorf("%d records remain", n)
		}
		l.end(false)
		l.wantAlarm(time.Time{})
	})
}

func TestG4_overlapping_and_missed_triggers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scripted(spec())
		s.Options.ActionTimeout, s.Options.SleepAfter = time.Hour, 24*time.Hour
		s.Actions["slow"] = &Action{Kind: ConcurrentAction, Run: func(*Call, State, []byte) ([]byte, error) { time.Sleep(150 * time.Second); return nil, nil }}
		l := start(t, s, newDisk())
		specs := map[string]schedule.Spec{}
		for name, o := range map[string]schedule.Overlap{"skip": schedule.OverlapSkip, "queue": schedule.OverlapQueue, "parallel": schedule.OverlapParallel} {
			sp := every(name, time.Minute, "slow")
			sp.Overlap = o
			specs[name] = sp
			l.sets(sp)
		}
		pass(4*time.Minute + 10*time.Second) // triggers at 1, 2, 3, 4 minutes; a run takes 2½
		for name, want := range map[string]string{
			"skip": "ok,skipped,skipped,running", "queue": "ok,skipped,running", "parallel": "ok,running,running,running",
		} {
			if got := strings.Join(l.history("cron:"+name), ","); got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
		}
		l.crash()
		l = start(t, scripted(spec()), newDisk())
		for name, m := range map[string]schedule.Missed{"once": schedule.MissedOnce, "skip": schedule.MissedSkip, "all": schedule.MissedAll} {
			sp := every(name, time.Hour, "add")
			sp.Missed = m
			l.sets(sp)
		}
		l.end(false)
		time.Sleep(3*time.Hour + 30*time.Minute)
		l = start(t, scripted(spec()), l.disk.rest())
		pass(time.Second)
		for name, want := range map[string]string{"once": "ok", "skip": "skipped", "all": "ok,ok,ok"} {
			if got := strings.Join(l.history("cron:"+name), ","); got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
		}
		l.end(false)
	})
}

// Many at once: a bounded number run together, all run, and the claim of one moment is one commit.
func TestG7_many_schedules_at_once(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scripted(spec())
		s.Options.MaxSchedules, s.Options.SleepAfter = 300, 24*time.Hour
		running, most, done := make(chan struct{}, 1000), 0, make(chan struct{}, 1000)
		s.Actions["slow"] = &Action{Kind: ConcurrentAction, Run: func(*Call, State, []byte) ([]byte, error) {
			running <- struct{}{}
			time.Sleep(time.Second)
			<-running
			done <- struct{}{}
			return nil, nil
		}}
		l := start(t, s, newDisk())
		var specs []schedule.Spec
		for n := range 300 {
			specs = append(specs, after(fmt.Sprint("s", n), time.Hour, "slow"))
		}
		l.sets(specs...)
		err := l.turn(func(c *Call, _ *tally) error { _, err := c.SetSchedule(after("more", time.Hour, "slow")); return err })
		if err == nil || err.Group != "schedule" {
			t.Errorf("one too many: %v", err)
		}
		before := l.disk.written()
		pass(time.Hour)
		if n := l.disk.written() - before; n > 2 {
			t.Errorf("%d commits to claim what is due at one moment", n)
		}
		for range 10 {
			most = max(most, len(running))
			pass(time.Second)
		}
		if most != maxFiring || len(done) != 300 {
			t.Errorf("%d ran at once, %d in all", most, len(done))
		}
		l.end(false)
		l.wantAlarm(time.Time{})
		if n := l.disk.count(record.KindSchedule); n != 0 {
			t.Errorf("%d schedules remain", n)
		}
	})
}

// A schedule that is removed while it runs, and set again, is another schedule.
func TestG4_a_run_of_a_removed_schedule_ends_nothing_else(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scripted(spec())
		s.Options.SleepAfter = time.Hour
		s.Actions["slow"] = &Action{Kind: ConcurrentAction, Run: func(*Call, State, []byte) ([]byte, error) { time.Sleep(10 * time.Second); return nil, nil }}
		l := start(t, s, newDisk())
		l.sets(after("a", time.Second, "slow"))
		pass(2 * time.Second)
		no(t, l.turn(func(c *Call, _ *tally) error {
			removed, err := c.RemoveSchedule("a")
			if !removed {
				t.Error("it was not there")
			}
			return err
		}))
		l.sets(after("a", time.Second, "slow"))
		pass(10 * time.Second) // the first run has ended, the second has not
		d := l.crash()
		if d.count(record.KindSchedule) != 1 {
			t.Error("the second run was taken for complete")
		}
		l = start(t, s, d)
		pass(time.Minute)
		l.end(false)
		if n := l.disk.count(record.KindSchedule); n != 0 {
			t.Errorf("%d schedules remain", n)
		}
	})
}

func TestG1_schedules_of_a_failed_turn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, scripted(spec()), newDisk())
		l.sets(every("a", time.Hour, "add"), after("b", 2*time.Hour, "add"))
		rows := func() string {
			var rows []schedule.Row
			no(t, l.turn(func(c *Call, _ *tally) (err error) { rows, err = c.Schedules(); return err }))
			return fmt.Sprint(rows)
		}
		want := rows()
		err := l.turn(func(c *Call, _ *tally) error {
			_, err1 := c.RemoveSchedule("cron:a")
			_, err2 := c.SetSchedule(every("a", time.Minute, "fail"))
			_, err3 := c.SetSchedule(after("c", time.Second, "add"))
			_, err4 := c.RemoveSchedule("b")
			no(t, errors.Join(err1, err2, err3, err4))
			return errBroken
		})
		if !is(err, "user", "broken") || rows() != want {
			t.Errorf("%v: the schedules are %s, want %s", err, rows(), want)
		}
		pass(time.Minute)
		if l.count() != 0 {
			t.Error("a schedule of a failed turn ran")
		}
		o := <-l.script("view", func(c *Call, _ *tally) ([]byte, error) {
			_, err := c.SetSchedule(after("c", time.Second, "add"))
			return nil, err
		}).ch
		if !is(o.err, "actor", "read_only") {
			t.Errorf("a view set a schedule: %v", o.err)
		}
		l.end(false)
	})
}
