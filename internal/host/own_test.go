package host

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rivetgo/rivet/internal/schedule"
	"github.com/rivetgo/rivet/internal/wire/fault"
)

// crowd fills the line for the turn: a call holds it and others wait, as many as may. The returned function lets them go.
func (l *life) crowd() (disperse func()) {
	l.t.Helper()
	gate := make(chan struct{})
	var all []*caller
	for range l.spec.Options.MaxWaiting + 1 {
		all = append(all, l.script("turn", func(*Call, *tally) ([]byte, error) { <-gate; return nil, nil }))
		synctest.Wait()
	}
	if o := l.call("add"); o.err == nil || o.err.Code != "overloaded" {
		l.t.Fatalf("the line is not full: %v", o.err)
	}
	return func() {
		close(gate)
		for _, c := range all {
			<-c.ch
		}
		synctest.Wait()
	}
}

// after is a one-shot schedule.
func after(id string, d time.Duration, action string) schedule.Spec {
	return schedule.Spec{ID: id, Kind: schedule.At, Action: action, At: unixMilli(time.Now().Add(d))}
}

// A line full of callers must not keep the actor from its own work: a schedule whose time comes then runs afterwards.
func TestG4_schedules_fire_although_the_line_is_full(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scripted(spec())
		s.Options.MaxWaiting = 3
		l := start(t, s, newDisk())
		no(t, l.turn(func(c *Call, _ *tally) error {
			_, err := c.SetSchedule(after("a", time.Second, "add"))
			return err
		}))
		disperse := l.crowd()
		pass(2 * time.Second)
		disperse()
		if got := l.count(); got != 1 {
			t.Errorf("the schedule ran %d times", got)
		}
		l.end(false)
		if n := l.disk.alarm(); n != 0 {
			t.Errorf("an alarm at %d remains", n)
		}
	})
}

// A schedule that is due waits as long as the turn is taken; it does not fail because of that.
func TestG4_schedules_wait_for_a_long_turn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scripted(spec())
		s.Options.ActionTimeout = time.Second
		l := start(t, s, newDisk())
		no(t, l.turn(func(c *Call, _ *tally) error {
			_, err := c.SetSchedule(after("a", 500*time.Millisecond, "add"))
			return err
		}))
		stuck := l.script("turn", func(*Call, *tally) ([]byte, error) { time.Sleep(time.Minute); return nil, nil })
		if o := <-stuck.ch; o.err == nil {
			t.Error("the long turn ended in time")
		}
		pass(2 * time.Minute)
		if got := l.count(); got != 1 {
			t.Errorf("the schedule ran %d times", got)
		}
		l.end(false)
	})
}

// Messages that come while the line is full are handled when it is not.
func TestG6_messages_are_handled_although_the_line_was_full(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scripted(spec())
		s.Options.MaxWaiting = 3
		var got []string
		fail := true
		s.Queues = map[string]*Queue{"q": {Handle: func(_ *Call, _ State, d *Delivery) ([]byte, error) {
			got = append(got, string(d.Body))
			if fail {
				fail = false
				return nil, fault.New("user", "no", "no")
			}
			return nil, nil
		}}}
		l := start(t, s, newDisk())
		no(t, l.turn(func(c *Call, _ *tally) error {
			_, err := c.Enqueue(c, "q", []byte("a"), "", time.Second)
			return err
		}))
		disperse := l.crowd()
		pass(2 * time.Second)
		disperse()
		pass(10 * time.Second)
		if !slices.Equal(got, []string{"a", "a"}) {
			t.Errorf("handled %q", got)
		}
		l.end(false)
	})
}

// A receiver's own steps are not refused either: its message would come again.
func TestG5_messages_are_completed_although_the_line_is_full(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scripted(spec())
		s.Options.MaxWaiting = 3
		s.Queues = map[string]*Queue{"q": {}}
		taken, complete := make(chan struct{}), make(chan struct{})
		var ended error
		s.Run = func(c *Call) error {
			got, err := c.WaitTake(c, Take{})
			if err != nil {
				return err
			}
			close(taken)
			<-complete
			ended = c.Complete(got[0], nil)
			<-c.Stopping()
			return nil
		}
		l := start(t, s, newDisk())
		if _, _, err := l.Send(t.Context(), &MessageCall{Queue: "q", Body: []byte{1}}); err != nil {
			t.Fatal(err)
		}
		<-taken
		disperse := l.crowd()
		close(complete)
		synctest.Wait()
		disperse()
		l.end(false)
		if ended != nil {
			t.Error(ended)
		}
	})
}

// A handler that does not end in time fails its attempt like any other.
func TestG6_handlers_that_time_out_fail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scripted(spec())
		s.Options.ActionTimeout = time.Second
		attempts := 0
		s.Queues = map[string]*Queue{"q": {Handle: func(c *Call, _ State, d *Delivery) ([]byte, error) {
			attempts++
			if attempts < 3 {
				<-c.Done()
				time.Sleep(time.Second) // slow to notice
			}
			return []byte{1}, nil
		}}}
		l := start(t, s, newDisk())
		status, _, err := l.Send(t.Context(), &MessageCall{Queue: "q", Body: []byte{1}, Wait: true, Timeout: time.Minute})
		if status != TimedOut || err != nil {
			t.Fatalf("status %v, %v", status, err)
		}
		pass(10 * time.Minute)
		if attempts != 3 || l.disk.count(0x41) != 0 {
			t.Errorf("%d attempts", attempts)
		}
		l.end(false)
	})
}

// A storage that cannot be read for a while puts messages off, and does not make the actor spin.
func TestG6_messages_are_handled_although_reads_failed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		s := scripted(spec())
		s.Options.QueueLease = time.Second
		handled := 0
		s.Queues = map[string]*Queue{
			"held": {},
			"q":    {Handle: func(*Call, State, *Delivery) ([]byte, error) { handled++; return nil, nil }},
		}
		s.Options.MaxQueueMessageBytes = 2 * maxHeldBodies
		s.Options.QueueMaxAttempts = 1
		l := start(t, s, d)
		big := make([]byte, maxHeldBodies+1)
		for _, q := range []string{"held", "q"} {
			delay := time.Second
			if q == "held" {
				delay = 0
			}
			no(t, l.turn(func(c *Call, _ *tally) error {
				_, err := c.Enqueue(c, q, big, "", delay)
				return err
			}))
		}
		no(t, l.outside(func(c *Call) error {
			got, err := c.TryTake(c, Take{Names: []string{"held"}})
			if len(got) != 1 {
				t.Errorf("took %d", len(got))
			}
			return err
		}))
		d.set(func() { d.unread = context.DeadlineExceeded })
		pass(time.Minute) // the lease is over and the message for q is due
		d.set(func() { d.unread = nil })
		if n := strings.Count(l.logged.String(), "\n"); n > 200 {
			t.Errorf("%d lines in the log after a minute", n)
		}
		pass(5 * time.Minute)
		if handled != 1 {
			t.Errorf("handled %d times", handled)
		}
		if n := d.count(0x44); n != 1 {
			t.Errorf("%d dead letters: the lease was over for good", n)
		}
		l.end(false)
	})
}
