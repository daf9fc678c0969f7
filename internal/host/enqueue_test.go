package host

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rivetgo/rivet/internal/wire/record"
)

// completes completes the next message with a reply.
func (l *life) completes(reply string) {
	l.t.Helper()
	no(l.t, l.turn(func(c *Call, _ *tally) error {
		got, err := c.TryTake(c, Take{})
		if err != nil || len(got) == 0 {
			return errors.Join(err, errors.New("there is no message"))
		}
		return c.Complete(got[0], []byte(reply))
	}))
}

// restart ends a life in good order and begins the next.
func (l *life) restart() *life {
	l.t.Helper()
	l.end(false)
	return start(l.t, l.spec, l.disk.rest())
}

func TestG2_a_message_is_acknowledged_when_it_is_durable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, boxes(), newDisk())
		synctest.Wait()
		l.disk.set(func() { l.disk.hold = true })
		sent := make(chan error, 1)
		go func() {
			_, _, err := l.Send(t.Context(), &MessageCall{Queue: "a", Body: []byte("1")})
			sent <- err
		}()
		asked := l.ask(&MessageCall{Queue: "a", Body: []byte("2"), Timeout: time.Second})
		pass(10 * time.Second)
		if len(sent) > 0 {
			t.Error("acknowledged before it was durable")
		}
		select {
		case <-asked.done:
			t.Errorf("the sender was told %v, %v of a message that is not durable", asked.status, asked.err)
		default:
		}
		l.disk.set(func() { l.disk.hold = false })
		l.disk.flush()
		if err := <-sent; err != nil {
			t.Error(err)
		}
		<-asked.done
		if asked.status != TimedOut || asked.err != nil {
			t.Errorf("the sender got %v, %v", asked.status, asked.err)
		}
		l.end(false)
	})
}

// A sender that waits across the end of a life gets its answer from the next, or the one after.
func TestG5_a_waiting_sender_is_answered_by_a_later_life(t *testing.T) {
	for _, key := range []string{"", "key"} {
		t.Run("completed later, key="+key, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := start(t, boxes(), newDisk())
				asked := l.ask(&MessageCall{Queue: "a", Body: []byte("1"), Key: key})
				for range 3 {
					synctest.Wait()
					next := l.restart()
					id := asked.moved(t)
					l, asked = next, next.await(id, 0)
				}
				synctest.Wait()
				l.completes("yes")
				asked.got(t, "yes")
				l.end(false)
			})
		})
		t.Run("completed between, key="+key, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := start(t, boxes(), newDisk())
				asked := l.ask(&MessageCall{Queue: "a", Body: []byte("1"), Key: key})
				synctest.Wait()
				l = l.restart()
				id := asked.moved(t)
				l.completes("yes")
				l = l.restart()
				l.await(id, 0).got(t, "yes")
				l.await(id, 0).failed(t, "queue", "completion_waiter_dropped") // it was told once
				l.end(false)
			})
		})
		t.Run("failed between, key="+key, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := boxes()
				s.Options.QueueMaxAttempts = 1
				l := start(t, s, newDisk())
				asked := l.ask(&MessageCall{Queue: "a", Body: []byte("1"), Key: key})
				synctest.Wait()
				l = l.restart()
				id := asked.moved(t)
				d := l.leased(Take{})
				no(t, l.outside(func(c *Call) error { return c.Fail(d, errBroken) }))
				l = start(t, s, l.crash())
				l.await(id, time.Nanosecond).failed(t, "user", "broken")
				l.end(false)
			})
		})
	}
}

// One who joins the wait for a message of somebody else, by its key, is answered as well.
func TestG5_a_sender_that_joins_by_key_is_answered_by_a_later_life(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, boxes(), newDisk())
		if _, _, err := l.Send(t.Context(), &MessageCall{Queue: "a", Body: []byte("1"), Key: "k"}); err != nil {
			t.Fatal(err)
		}
		asked := l.ask(&MessageCall{Queue: "a", Body: []byte("1"), Key: "k"})
		synctest.Wait()
		l = l.restart()
		first := l.await(asked.moved(t), 0)
		synctest.Wait()
		l = l.restart()
		id := first.moved(t)
		again := l.await(id, 0)
		synctest.Wait()
		l.Stop(false) // completed while nobody listens, in the life that hears of the wait last
		<-again.done
		no(t, <-l.owner.stopped)
		l = start(t, l.spec, l.disk.rest())
		<-l.await(id, time.Nanosecond).done // it listens for a moment
		l.completes("yes")
		l.await(id, 0).got(t, "yes")
		l.end(false)
	})
}

// A message that was never durable is not waited for in the next life: its number is another message's there.
func TestG2_a_sender_whose_message_was_lost_is_told(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, boxes(), newDisk())
		synctest.Wait()
		l.disk.set(func() { l.disk.hold = true })
		asked := l.ask(&MessageCall{Queue: "a", Body: []byte("1")})
		synctest.Wait()
		l.crash()
		asked.failed(t, "actor", "commit_failed")
	})
}

func TestG5_an_idempotency_key_counts_once(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := boxes()
		s.Options.KeepReceipts = time.Hour
		l := start(t, s, newDisk())
		send := func() (string, error) {
			_, reply, err := l.Send(t.Context(), &MessageCall{Queue: "a", Body: []byte("1"), Key: "k"})
			return string(reply), err
		}
		for range 3 {
			if reply, err := send(); reply != "" || err != nil {
				t.Errorf("%q, %v", reply, err)
			}
		}
		if _, _, err := l.Send(t.Context(), &MessageCall{Queue: "b", Body: []byte("1"), Key: "k"}); !is(err, "queue", "idempotency_conflict") {
			t.Errorf("another queue: %v", err)
		}
		one, two := l.ask(&MessageCall{Queue: "a", Key: "k"}), l.ask(&MessageCall{Queue: "a", Key: "k"})
		synctest.Wait()
		l.completes("yes")
		one.got(t, "yes")
		two.got(t, "yes")
		l = start(t, s, l.crash())
		pass(59 * time.Minute)
		if reply, err := send(); reply != "yes" || err != nil {
			t.Errorf("after a crash: %q, %v", reply, err)
		}
		if got := l.takes(); len(got) != 0 {
			t.Errorf("received %q again", got)
		}
		pass(2 * time.Minute)
		if reply, err := send(); reply != "" || err != nil {
			t.Errorf("after its time: %q, %v", reply, err)
		}
		if got := l.takes(); len(got) != 1 {
			t.Errorf("after its time received %q", got)
		}
		l.end(false)
	})
}

// Outcomes are kept for a while, not for ever: also those that only senders who went away would ask for.
func TestG7_receipts_do_not_pile_up(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, key := range []bool{true, false} {
			s := boxes()
			s.Options.KeepReceipts, s.Options.SleepAfter = time.Minute, time.Hour
			l := start(t, s, newDisk())
			for n := range 100 {
				call := &MessageCall{Queue: "a", Body: []byte("1"), Timeout: time.Second}
				if key {
					call.Key = fmt.Sprint(n)
				}
				<-l.ask(call).done // in vain
				l.completes("late")
				pass(10 * time.Second)
			}
			if n := l.disk.count(record.KindReceipt); n > 30 {
				t.Errorf("keys %v: %d receipts are kept", key, n)
			}
			l.end(false)
		}
	})
}

func TestG7_a_full_queue_refuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := boxes()
		s.Options.MaxQueueSize, s.Options.QueueMaxAttempts, s.Options.MaxQueueMessageBytes = 3, 1, 100
		l := start(t, s, newDisk())
		if _, _, err := l.Send(t.Context(), &MessageCall{Queue: "a", Body: make([]byte, 100)}); !is(err, "queue", "message_too_large") {
			t.Errorf("a large message: %v", err)
		}
		if _, _, err := l.Send(t.Context(), &MessageCall{Queue: "c"}); !is(err, "queue", "not_found") {
			t.Errorf("an unknown queue: %v", err)
		}
		for range 3 {
			l.put("a", "1")
		}
		full := func() error {
			_, _, err := l.Send(t.Context(), &MessageCall{Queue: "b", Body: []byte("2")})
			return err
		}
		if err := full(); !is(err, "queue", "full") {
			t.Errorf("4th message: %v", err)
		}
		d := l.leased(Take{}) // what is held counts, and so do dead letters
		if err := full(); !is(err, "queue", "full") {
			t.Errorf("with one held: %v", err)
		}
		no(t, l.outside(func(c *Call) error { return c.Fail(d, errBroken) }))
		if err := full(); !is(err, "queue", "full") {
			t.Errorf("with a dead letter: %v", err)
		}
		l = l.restart()
		if err := full(); !is(err, "queue", "full") {
			t.Errorf("after a restart: %v", err)
		}
		no(t, l.turn(func(c *Call, _ *tally) error { return c.DropDeadLetter(c, d.ID) }))
		no(t, full())
		l.end(false)
	})
}

// Bodies over the bound are not kept in memory, and read back when they are taken.
func TestG7_bodies_in_memory_are_bounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := boxes()
		s.Options.MaxQueueMessageBytes = 1 << 20
		l := start(t, s, newDisk())
		var want [][]byte
		for n := range 10 {
			body := bytes.Repeat([]byte{byte(n)}, 300_000)
			want = append(want, body)
			l.put("a", string(body))
		}
		check := func() {
			t.Helper()
			if held := l.mailbox.held; held > maxHeldBodies || held < maxHeldBodies/2 {
				t.Errorf("%d bytes are held", held)
			}
		}
		check()
		l = l.restart()
		check()
		if err := l.turn(func(c *Call, _ *tally) error {
			_, err := c.TryTake(c, Take{Max: 10})
			return errors.Join(err, errBroken)
		}); !is(err, "user", "broken") {
			t.Error(err)
		}
		check()
		var got [][]byte
		for _, b := range l.takes() {
			got = append(got, []byte(b))
		}
		if !slices.EqualFunc(got, want, bytes.Equal) {
			t.Error("the bodies are others")
		}
		if l.mailbox.held != 0 {
			t.Errorf("%d bytes are held of nothing", l.mailbox.held)
		}
		l.end(false)
	})
}

func TestDelayedMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := boxes()
		l := start(t, s, newDisk())
		send := func(body string, delay time.Duration) {
			t.Helper()
			_, _, err := l.Send(t.Context(), &MessageCall{Queue: "a", Body: []byte(body), Delay: delay})
			no(t, err)
		}
		began := time.Now()
		send("3", 3*time.Hour)
		send("1", time.Hour)
		send("0", 0)
		got := make(chan string)
		waiting := l.script("concurrent", func(c *Call, _ *tally) ([]byte, error) {
			_, err := c.WaitTake(c, Take{Names: []string{"b"}})
			return nil, err
		})
		if got := l.takes(); !slices.Equal(got, []string{"0"}) {
			t.Errorf("received %q", got)
		}
		<-waiting.ch // its time is up
		l.end(false)
		l.wantAlarm(began.Add(time.Hour))
		s.Run = func(c *Call) error {
			for {
				d, err := c.WaitTake(c, Take{})
				if err != nil {
					return err
				}
				got <- fmt.Sprint(string(d[0].Body), " after ", time.Since(began))
				if err := c.Complete(d[0], nil); err != nil {
					return err
				}
			}
		}
		s.Options.SleepAfter = 24 * time.Hour
		l = start(t, s, l.disk.rest())
		for _, want := range []string{"1 after 1h0m0s", "3 after 3h0m0s"} {
			if got := <-got; got != want {
				t.Errorf("received %s, want %s", got, want)
			}
		}
		l.end(false)
		l.wantAlarm(time.Time{})
	})
}
