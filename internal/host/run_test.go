package host

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A run loop that fails is started again after a delay that doubles up to a bound, and from the start of it when it was
// well for a while.
func TestG6_run_loops_are_started_again(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := boxes()
		s.Options.NoSleep = true
		began := time.Now()
		var starts []time.Duration
		s.Run = func(c *Call) error {
			starts = append(starts, time.Since(began))
			switch len(starts) {
			case 3:
				panic("oops")
			case 10:
				time.Sleep(time.Minute)
				return errBroken
			case 12:
				return nil
			}
			return errBroken
		}
		l := start(t, s, newDisk())
		pass(5 * time.Minute)
		ms := func(n ...int) (out []time.Duration) {
			at := time.Duration(0)
			for _, d := range n {
				at += time.Duration(d) * time.Millisecond
				out = append(out, at)
			}
			return out
		}
		if want := ms(0, 250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 60_250, 500); !slices.Equal(starts, want) {
			t.Errorf("started at %v, want %v", starts, want)
		}
		if st, _ := l.Run(); st.State != "finished" || st.Restarts != 11 || st.Error == "" {
			t.Errorf("status %+v", st)
		}
		l.end(false)
	})
}

func TestRunLoopStatusAndSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := boxes()
		s.Options.SleepAfter = time.Minute
		s.Run = func(c *Call) error {
			for {
				d, err := c.WaitTake(c, Take{})
				if err != nil {
					return err
				}
				time.Sleep(5 * time.Minute)
				if err := c.Complete(d[0], nil); err != nil {
					return err
				}
			}
		}
		s.Options.QueueLease = time.Hour
		l := start(t, s, newDisk())
		state := func(want string, sleepy bool) {
			t.Helper()
			synctest.Wait()
			if st, _ := l.Run(); st.State != want {
				t.Errorf("the run loop is %s, want %s", st.State, want)
			}
			if got := len(l.owner.sleep) > 0; got != sleepy {
				t.Errorf("the actor wants to sleep: %v", got)
			}
			for len(l.owner.sleep) > 0 {
				<-l.owner.sleep
			}
		}
		state("waiting", false)
		l.put("a", "1")
		pass(4 * time.Minute)
		state("running", false)
		pass(90 * time.Second)
		state("waiting", false)
		pass(time.Minute)
		state("waiting", true)
		l.end(false)
		if st, _ := l.Run(); st.State != "stopped" {
			t.Errorf("after the stop it is %s", st.State)
		}
	})
}

// A sleep waits for the run loop up to the grace period, a destroy does not.
func TestG6_an_end_does_not_wait_for_ever_for_a_run_loop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, destroy := range []bool{false, true} {
			s := boxes()
			s.Run = func(c *Call) error { <-c.Done(); return c.Err() } // it ignores Stopping
			l := start(t, s, newDisk())
			synctest.Wait()
			began := time.Now()
			l.end(destroy)
			want := s.Options.GracePeriod
			if destroy {
				want = 0
			}
			if took := time.Since(began); took != want {
				t.Errorf("destroy %v: the end took %v, want %v", destroy, took, want)
			}
		}
	})
}

// A receiver in a run loop is told to stop at once, and the time for which the loop asked wakes the actor.
func TestG4_the_time_that_a_run_loop_asked_for(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := boxes()
		at := time.Now().Add(time.Hour)
		s.Run = func(c *Call) error {
			if err := c.SetWakeAt(at); err != nil {
				return err
			}
			_, err := c.WaitTake(c, Take{})
			return err
		}
		l := start(t, s, newDisk())
		synctest.Wait()
		l.wantAlarm(at)
		l.end(false)
		l.wantAlarm(at)
		l = start(t, s, l.disk.rest())
		at = time.Time{}
		l = start(t, s, l.crash())
		synctest.Wait()
		l.end(false)
		l.wantAlarm(time.Time{})
	})
}
