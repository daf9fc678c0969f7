package host

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rivetgo/rivet/internal/wire/record"
)

// handlers is a definition with two queues whose messages are handled by fn; the state remembers them.
func handlers(fn func(c *Call, d *Delivery) ([]byte, error)) *Spec {
	s := boxes()
	for _, name := range []string{"h", "i"} {
		s.Queues[name] = &Queue{Handle: func(c *Call, st State, d *Delivery) ([]byte, error) {
			own := st.(*tally)
			own.L = append(own.L, string(d.Body))
			return fn(c, d)
		}}
	}
	return s
}

// enqueue puts messages into queues, in one turn.
func (l *life) enqueue(pairs ...string) {
	l.t.Helper()
	no(l.t, l.turn(func(c *Call, _ *tally) error {
		for i := 0; i < len(pairs); i += 2 {
			if _, err := c.Enqueue(c, pairs[i], []byte(pairs[i+1]), "", 0); err != nil {
				return err
			}
		}
		return nil
	}))
}

func (l *life) wantHandled(want ...string) {
	l.t.Helper()
	synctest.Wait()
	if got := l.disk.saved(l.t).L; !slices.Equal(got, want) {
		l.t.Errorf("handled %q, want %q", got, want)
	}
}

// The messages of all handled queues are handled in order of arrival; what a handler changed, the reply and the end of
// its message are one commit, and nothing of one that fails stays.
func TestG5_messages_are_handled_in_order_and_once(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fails := 2
		s := handlers(func(c *Call, d *Delivery) ([]byte, error) {
			if string(d.Body) == "2" && fails > 0 {
				fails--
				return nil, errBroken
			}
			return append([]byte("re "), d.Body...), nil
		})
		l := start(t, s, newDisk())
		asked := l.ask(&MessageCall{Queue: "h", Body: []byte("0")})
		asked.got(t, "re 0")
		l.enqueue("h", "1", "i", "2", "h", "3")
		l.wantHandled("0", "1", "3")
		l.end(false)
		l.wantAlarm(time.Now().Add(time.Second))
		l = start(t, s, l.disk.rest())
		pass(time.Second)
		l.wantHandled("0", "1", "3")
		pass(2 * time.Second)
		l.wantHandled("0", "1", "3", "2")
		if n := l.disk.count(record.KindMessage) + l.disk.count(record.KindAttempt); n != 0 {
			t.Errorf("%d records remain", n)
		}
		l.end(false)
		l.wantAlarm(time.Time{})
	})
}

// Wherever a crash comes, each message has its effect once.
func TestG5_handled_messages_count_once_wherever_a_crash_comes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := handlers(func(*Call, *Delivery) ([]byte, error) { return nil, nil })
		for commits := range 8 {
			l := start(t, s, newDisk())
			synctest.Wait()
			l.disk.set(func() { l.disk.hold = true })
			sent := l.script("turn", func(c *Call, _ *tally) ([]byte, error) {
				for n := range 4 {
					if _, err := c.Enqueue(c, "h", fmt.Append(nil, n), "", 0); err != nil {
						return nil, err
					}
				}
				return nil, nil
			})
			for range commits {
				synctest.Wait()
				if l.disk.pending() > 0 {
					l.disk.flushOne()
				}
			}
			synctest.Wait()
			acknowledged := sent.answered()
			d := l.crash()
			if acknowledged != (commits > 0) {
				t.Errorf("after %d commits acknowledged: %v", commits, acknowledged)
			}
			if acknowledged && d.count(record.KindMessage) > 0 && d.alarm() == 0 {
				t.Errorf("after %d commits nothing wakes the actor", commits)
			}
			l = start(t, s, d)
			if acknowledged {
				l.wantHandled("0", "1", "2", "3")
			} else {
				l.wantHandled()
			}
			l.end(false)
		}
	})
}

// A stop lets the message under way end, leaves the rest, and wakes the actor for it.
func TestG6_a_stop_in_the_middle_of_a_queue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := handlers(func(*Call, *Delivery) ([]byte, error) { time.Sleep(time.Second); return nil, nil })
		l := start(t, s, newDisk())
		l.enqueue("h", "1", "h", "2", "h", "3")
		pass(1500 * time.Millisecond)
		l.end(false)
		l.wantHandled("1", "2")
		l.wantAlarm(time.Now())
		l = start(t, s, l.disk.rest())
		pass(2 * time.Second)
		l.wantHandled("1", "2", "3")
		if n := len(l.owner.sleep); n != 0 {
			t.Errorf("it wanted to sleep %d times", n)
		}
		l.end(false)
		l.wantAlarm(time.Time{})
	})
}

// Messages are handled when the start is over: OnWake comes first, also before what OnCreate put there.
func TestHandlersBeginAfterTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		s := handlers(func(_ *Call, d *Delivery) ([]byte, error) { order = append(order, string(d.Body)); return nil, nil })
		s.OnCreate = func(c *Call, _ State, _ []byte) error {
			c.KeepAwake("", func(c *Call) error { // busy with the actor while it starts
				for range 10 {
					_, err := c.Enqueue(c, "h", []byte("kept awake"), "", 0)
					if err != nil {
						return err
					}
				}
				return nil
			})
			_, err := c.Enqueue(c, "h", []byte("created"), "", 0)
			return err
		}
		s.OnWake = func(c *Call, _ State) error {
			time.Sleep(time.Second)
			order = append(order, "awake")
			_, err := c.Enqueue(c, "h", []byte("woken"), "", 0)
			return err
		}
		l := start(t, s, newDisk())
		synctest.Wait()
		if len(order) != 13 || order[0] != "awake" || order[1] != "created" {
			t.Errorf("the order was %q", order)
		}
		l.end(false)
	})
}

// One pump at a time, whatever comes and goes: two would handle a message that failed out of turn.
func TestOnePumpAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := 0
		s := handlers(func(*Call, *Delivery) ([]byte, error) { busy++; return nil, nil })
		s.Options.SleepAfter = time.Nanosecond
		l := start(t, s, newDisk())
		for n := range 200 {
			l.put("h", fmt.Sprint(n))
		}
		synctest.Wait()
		l.mu.Lock()
		pumping := l.pumping
		l.mu.Unlock()
		if busy != 200 || pumping {
			t.Errorf("%d messages were handled, still pumping: %v", busy, pumping)
		}
		l.end(false)
	})
}
