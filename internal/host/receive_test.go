package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// boxes is a definition with two queues that nobody handles.
func boxes() *Spec {
	s := scripted(spec())
	s.Queues = map[string]*Queue{"a": {}, "b": {}}
	return s
}

// leased takes one message outside of turns.
func (l *life) leased(want Take) (d *Delivery) {
	l.t.Helper()
	no(l.t, l.outside(func(c *Call) error {
		got, err := c.TryTake(c, want)
		if len(got) > 0 {
			d = got[0]
		}
		return err
	}))
	return d
}

var errBroken = fault.New("user", "broken", "broken")

func TestG5_a_message_taken_in_a_turn_belongs_to_it(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, boxes(), newDisk())
		asked := l.ask(&MessageCall{Queue: "a", Body: []byte("1")})
		synctest.Wait()
		err := l.turn(func(c *Call, s *tally) error {
			got, err := c.TryTake(c, Take{})
			if len(got) != 1 || err != nil {
				t.Errorf("took %d, %v", len(got), err)
			}
			return errBroken
		})
		if !is(err, "user", "broken") {
			t.Fatal(err)
		}
		// When the turn succeeds, the message ends with it, in one commit.
		before := l.disk.written()
		no(t, l.turn(func(c *Call, s *tally) error {
			got, err := c.TryTake(c, Take{})
			if len(got) != 1 || got[0].Attempt != 1 {
				t.Fatalf("took %+v", got)
			}
			s.N++
			return err
		}))
		asked.got(t, "")
		if n := l.disk.written() - before; n != 1 {
			t.Errorf("the turn committed %d times", n)
		}
		if n := l.disk.count(record.KindMessage) + l.disk.count(record.KindAttempt); n != 0 {
			t.Errorf("%d records remain", n)
		}
		l.end(false)
	})
}

func TestG6_a_lease_that_is_over_is_a_failed_attempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := boxes()
		s.Options.QueueLease, s.Options.QueueRetryDelay, s.Options.QueueMaxAttempts = time.Minute, time.Second, 3
		s.Options.ActionTimeout = time.Hour
		l := start(t, s, newDisk())
		asked := l.ask(&MessageCall{Queue: "a", Body: []byte("1"), Timeout: time.Hour})
		synctest.Wait()
		delay := time.Second
		for attempt := 1; attempt <= 3; attempt++ {
			d := l.leased(Take{})
			if d == nil || d.Attempt != attempt {
				t.Fatalf("attempt %d: %+v", attempt, d)
			}
			if l.leased(Take{}) != nil {
				t.Fatal("a leased message was taken")
			}
			pass(time.Minute)
			if err := l.outside(func(c *Call) error { return c.Complete(d, nil) }); !is(err, "queue", "lease_lost") {
				t.Errorf("Complete after the lease: %v", err)
			}
			if attempt < 3 {
				if l.leased(Take{}) != nil {
					t.Fatal("it was taken before its time")
				}
				pass(delay)
				delay *= 2
			}
		}
		asked.failed(t, "queue", "lease_lost")
		if l.disk.count(record.KindDead) != 1 || l.disk.count(record.KindMessage) != 0 {
			t.Error("it is not among the dead letters")
		}
		l.end(false)
	})
}

// Extending, releasing, holding and failing.
func TestLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := boxes()
		s.Options.QueueLease, s.Options.SleepAfter = time.Minute, time.Hour
		l := start(t, s, newDisk())
		l.put("a", "1")
		d := l.leased(Take{})
		pass(59 * time.Second)
		no(t, l.outside(func(c *Call) error { return c.Extend(d, time.Minute) }))
		pass(59 * time.Second)
		no(t, l.outside(func(c *Call) error { return c.Release(d) }))
		for _, op := range []func(c *Call) error{
			func(c *Call) error { return c.Complete(d, nil) },
			func(c *Call) error { return c.Release(d) },
			func(c *Call) error { return c.Extend(d, time.Minute) },
		} {
			if err := l.outside(op); !is(err, "queue", "lease_lost") {
				t.Errorf("after Release: %v", err)
			}
		}
		// The released attempt did not count, and whoever released it cannot end it for the next one.
		next := l.leased(Take{})
		if next.Attempt != 1 {
			t.Errorf("attempt %d after Release", next.Attempt)
		}
		if err := l.outside(func(c *Call) error { return c.Complete(d, nil) }); !is(err, "queue", "lease_lost") {
			t.Errorf("Complete of what another has: %v", err)
		}
		no(t, l.outside(func(c *Call) error { return c.Fail(next, errBroken) }))
		pass(time.Second)
		// Held beyond the turn that took it.
		var held *Delivery
		no(t, l.turn(func(c *Call, _ *tally) error {
			got, err := c.TryTake(c, Take{})
			if err != nil {
				return err
			}
			held = got[0]
			return c.Hold(held)
		}))
		if held.Attempt != 2 {
			t.Errorf("attempt %d", held.Attempt)
		}
		pass(59 * time.Second)
		no(t, l.outside(func(c *Call) error { return c.Complete(held, []byte("x")) }))
		if err := l.outside(func(c *Call) error { return c.Complete(held, nil) }); !is(err, "queue", "already_completed") {
			t.Errorf("second Complete: %v", err)
		}
		// A turn that fails takes all of this back.
		l.put("a", "2")
		d = l.leased(Take{})
		for _, op := range []func(c *Call) error{
			func(c *Call) error { return c.Complete(d, nil) },
			func(c *Call) error { return c.Release(d) },
			func(c *Call) error { return c.Fail(d, errBroken) },
			func(c *Call) error { return c.CompleteByID(d.ID, nil) },
			func(c *Call) error { return c.Extend(d, time.Hour) },
		} {
			if err := l.turn(func(c *Call, _ *tally) error { return errors.Join(op(c), errBroken) }); !is(err, "user", "broken") {
				t.Error(err)
			}
		}
		no(t, l.outside(func(c *Call) error { return c.Complete(d, nil) }))
		if n := l.disk.count(record.KindMessage) + l.disk.count(record.KindAttempt); n != 0 {
			t.Errorf("%d records remain", n)
		}
		l.end(false)
	})
}

// A message that is ended by its number within the turn that took it is ended once.
func TestMessagesAreCompletedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := boxes()
		s.Queues["h"] = &Queue{Handle: func(c *Call, _ State, d *Delivery) ([]byte, error) {
			return []byte("late"), c.CompleteByID(d.ID, []byte("by number"))
		}}
		l := start(t, s, newDisk())
		handled := l.ask(&MessageCall{Queue: "h", Body: []byte("1")})
		handled.got(t, "by number")
		asked := l.ask(&MessageCall{Queue: "a", Body: []byte("1")})
		synctest.Wait()
		l.put("a", "2")
		synctest.Wait()
		no(t, l.turn(func(c *Call, _ *tally) error {
			got, err := c.TryTake(c, Take{})
			if err != nil {
				return err
			}
			return c.CompleteByID(got[0].ID, []byte("by number"))
		}))
		asked.got(t, "by number")
		if got := l.takes(); !slices.Equal(got, []string{"2"}) {
			t.Errorf("took %q", got)
		}
		l.end(false)
	})
}

// What a turn took stays its own, however long the turn takes.
func TestALongTurnKeepsItsMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := boxes()
		s.Options.QueueLease, s.Options.ActionTimeout = time.Second, time.Minute
		l := start(t, s, newDisk())
		l.put("a", "1")
		l.put("a", "2")
		no(t, l.turn(func(c *Call, _ *tally) error {
			for want := 1; want <= 2; want++ {
				got, err := c.TryTake(c, Take{})
				if err != nil || len(got) != 1 || string(got[0].Body) != fmt.Sprint(want) {
					t.Errorf("took %v, %v", got, err)
				}
				time.Sleep(10 * time.Second)
			}
			return nil
		}))
		if n := l.disk.count(record.KindMessage) + l.disk.count(record.KindAttempt); n != 0 {
			t.Errorf("%d records remain", n)
		}
		l.end(false)
	})
}

// A message whose receiver dies with its process, again and again, is given up in the end.
func TestG6_a_message_that_kills_its_receiver_is_given_up(t *testing.T) {
	for _, how := range []string{"received", "handled"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := boxes()
				s.Options.QueueMaxAttempts = 3
				began := make(chan string, 10)
				switch how {
				case "received":
					s.Run = func(c *Call) error {
						for {
							got, err := c.WaitTake(c, Take{})
							if err != nil {
								return err
							}
							began <- string(got[0].Body)
							if string(got[0].Body) == "poison" {
								<-c.Done()
								return c.Err()
							}
							if err := c.Complete(got[0], nil); err != nil {
								return err
							}
						}
					}
				case "handled":
					s.Queues["a"].Handle = func(c *Call, _ State, d *Delivery) ([]byte, error) {
						began <- string(d.Body)
						if string(d.Body) == "poison" {
							<-c.Done()
							return nil, c.Err()
						}
						return nil, nil
					}
				}
				d := newDisk()
				l := start(t, s, d)
				no(t, l.turn(func(c *Call, _ *tally) error {
					_, err1 := c.Enqueue(c, "a", []byte("poison"), "", 0)
					_, err2 := c.Enqueue(c, "a", []byte("good"), "", 0)
					return errors.Join(err1, err2)
				}))
				var seen []string
				for range 6 {
					select {
					case body := <-began:
						seen = append(seen, body)
						if body == "good" {
							break
						}
						synctest.Wait()
						l = start(t, s, l.crash())
						continue
					case <-time.After(time.Minute):
						t.Fatalf("nothing comes after %q", seen)
					}
					break
				}
				if n := len(seen); n < 3 || n > 5 || seen[n-1] != "good" {
					t.Errorf("received %q", seen)
				}
				synctest.Wait()
				if l.disk.count(record.KindDead) != 1 || l.disk.count(record.KindMessage) != 0 {
					t.Error("the message that kills is not among the dead letters")
				}
				l.end(false)
			})
		})
	}
}

// A stop ends receivers at once; what they leave wakes the actor again, and what nobody wants does not.
func TestG6_messages_that_a_stop_left_wake_the_actor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := boxes()
		proceed := make(chan struct{})
		var got []string
		s.Run = func(c *Call) error {
			for {
				d, err := c.WaitTake(c, Take{Names: []string{"a"}})
				if err != nil {
					return err
				}
				got = append(got, string(d[0].Body))
				<-proceed
				if err := c.Complete(d[0], nil); err != nil {
					return err
				}
			}
		}
		l := start(t, s, newDisk())
		for _, body := range []string{"1", "2", "3"} {
			l.put("a", body)
		}
		l.put("b", "unwanted")
		synctest.Wait()
		l.Stop(false)
		synctest.Wait()
		close(proceed)
		no(t, <-l.owner.stopped)
		if !slices.Equal(got, []string{"1"}) {
			t.Errorf("received %q although the actor stopped", got)
		}
		l.wantAlarm(time.Now())
		if n := l.disk.count(record.KindAttempt); n != 0 {
			t.Errorf("%d attempts are noted", n)
		}
		l = start(t, s, l.disk.rest())
		synctest.Wait()
		if !slices.Equal(got, []string{"1", "2", "3"}) {
			t.Errorf("received %q", got)
		}
		l.end(false)
		l.wantAlarm(time.Time{}) // b's message must not wake it again and again
	})
}

// A message that comes while a receiver waits and the actor begins to stop is not forgotten.
func TestG6_a_message_that_meets_a_stop_wakes_the_actor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 20 { // a receiver that has both may see either first
			s := boxes()
			s.Run = func(c *Call) error {
				d, err := c.WaitTake(c, Take{})
				if err == nil {
					err = c.Complete(d[0], nil)
				}
				return err
			}
			l := start(t, s, newDisk())
			synctest.Wait()
			no(t, l.turn(func(c *Call, _ *tally) error {
				_, err := c.Enqueue(c, "a", []byte("1"), "", 0)
				l.Stop(false) // it stops as the message arrives
				return err
			}))
			no(t, <-l.owner.stopped)
			synctest.Wait()
			if l.disk.count(record.KindMessage) > 0 && l.disk.alarm() == 0 {
				t.Fatal("the message is there and nothing wakes the actor")
			}
		}
	})
}

// A run loop that failed is started again, also when the actor fell asleep meanwhile.
func TestG6_a_run_loop_that_failed_wakes_the_actor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := boxes()
		failing := true
		var got []string
		s.Run = func(c *Call) error {
			if failing {
				return errBroken
			}
			d, err := c.WaitTake(c, Take{})
			if err != nil {
				return err
			}
			got = append(got, string(d[0].Body))
			return c.Complete(d[0], nil)
		}
		l := start(t, s, newDisk())
		l.put("a", "1")
		synctest.Wait()
		if st, ok := l.Run(); !ok || st.State != "failed" {
			t.Errorf("status %+v", st)
		}
		again := time.Now().Add(minRunDelay)
		l.end(false)
		l.wantAlarm(again)
		failing = false
		l = start(t, s, l.disk.rest())
		synctest.Wait()
		if !slices.Equal(got, []string{"1"}) {
			t.Errorf("received %q", got)
		}
		l.end(false)
		l.wantAlarm(time.Time{})
	})
}

// A run loop that works keeps its actor awake, whatever else waits for messages.
func TestARunLoopThatWorksKeepsItsActorAwake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, run := range map[string]func(c *Call) error{
			"background work waits": func(c *Call) error {
				c.WaitUntil("", func(c *Call) error {
					_, err := c.WaitTake(c, Take{Names: []string{"b"}})
					if isAborted(err) {
						err = nil
					}
					return err
				})
				time.Sleep(5 * time.Minute)
				return nil
			},
			"another receiver of it waits": func(c *Call) error {
				for range 2 {
					go func() {
						for {
							d, err := c.WaitTake(c, Take{Names: []string{"a"}, Lease: time.Hour})
							if err != nil {
								return
							}
							time.Sleep(5 * time.Minute)
							_ = c.Complete(d[0], nil)
						}
					}()
				}
				<-c.Stopping()
				return nil
			},
		} {
			s := boxes()
			s.Options.SleepAfter = time.Minute
			s.Run = run
			l := start(t, s, newDisk())
			if name != "background work waits" {
				l.put("a", "1")
			}
			pass(4 * time.Minute)
			if len(l.owner.sleep) > 0 {
				t.Errorf("%s: the actor wants to sleep", name)
			}
			pass(3 * time.Minute)
			if name == "background work waits" && len(l.owner.sleep) == 0 {
				t.Errorf("%s: the actor does not want to sleep", name)
			}
			l.end(false)
		}
	})
}

// A waiter hears of its context at once, whoever holds the turn, and leaves nothing behind.
func TestWaitsEndWithTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := boxes()
		l := start(t, s, newDisk())
		busy := make(chan struct{})
		var held *caller
		var took time.Duration
		err := l.outside(func(c *Call) error {
			ctx, cancel := context.WithTimeout(c, time.Second)
			defer cancel()
			time.AfterFunc(500*time.Millisecond, func() {
				held = l.script("turn", func(*Call, *tally) ([]byte, error) { <-busy; return nil, nil })
			})
			began := time.Now()
			_, err := c.WaitTake(ctx, Take{})
			took = time.Since(began)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the wait ended with %v", err)
			}
			return nil
		})
		if took != time.Second || err != nil {
			t.Errorf("the wait took %v, %v", took, err)
		}
		close(busy)
		synctest.Wait()
		<-held.ch
		if n := len(l.mailbox.waiters); n != 0 {
			t.Errorf("%d waiters remain", n)
		}
		l.end(false)
	})
}

// Dead letters: listed with what the turn itself changed, replayed, dropped.
func TestG5_dead_letters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := boxes()
		s.Options.QueueMaxAttempts = 1
		l := start(t, s, newDisk())
		for _, body := range []string{"1", "2", "3", "4"} {
			l.put("a", body)
		}
		list := func(c *Call) (bodies []string) {
			t.Helper()
			dead, err := c.DeadLetters(c, 10)
			no(t, err)
			for _, d := range dead {
				bodies = append(bodies, string(d.Body))
			}
			return bodies
		}
		want := func(c *Call, bodies ...string) {
			t.Helper()
			if got := list(c); !slices.Equal(got, bodies) {
				t.Errorf("dead letters %q, want %q", got, bodies)
			}
		}
		for range 2 { // the second time after a turn that failed
			_ = l.turn(func(c *Call, _ *tally) error {
				got, err := c.TryTake(c, Take{Max: 3})
				no(t, err)
				for _, d := range slices.Backward(got) {
					no(t, c.Fail(d, errBroken))
				}
				want(c, "1", "2", "3")
				return errBroken
			})
		}
		no(t, l.turn(func(c *Call, _ *tally) error {
			got, err := c.TryTake(c, Take{Max: 3})
			no(t, err)
			for _, d := range got {
				no(t, c.Fail(d, errBroken))
			}
			return nil
		}))
		l = l.restart()
		no(t, l.turn(func(c *Call, _ *tally) error {
			want(c, "1", "2", "3")
			no(t, errors.Join(c.Replay(c, 1), c.DropDeadLetter(c, 2)))
			want(c, "3")
			if err := c.Replay(c, 2); !is(err, "queue", "dead_letter_not_found") {
				t.Errorf("Replay of what was dropped: %v", err)
			}
			return nil
		}))
		if got := l.takes(); !slices.Equal(got, []string{"4", "1"}) {
			t.Errorf("received %q", got)
		}
		if n := l.mailbox.counters.Dead; n != 1 {
			t.Errorf("%d dead letters are counted", n)
		}
		l.end(false)
	})
}
