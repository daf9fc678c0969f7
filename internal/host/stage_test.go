package host

import (
	"errors"
	"fmt"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rivetgo/rivet/internal/queue"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// everything changes all that a turn can change.
func everything(c *Call, s *tally, got *Delivery) error {
	s.N++
	_, err1 := c.Enqueue(c, "b", []byte("new"), "key", time.Hour)
	_, err2 := c.SetSchedule(after("s", time.Hour, "add"))
	err3 := c.KVPut([]Pair{{[]byte("k"), []byte("v")}})
	err4 := c.Post(queue.Target{Name: "x"}, "a", []byte("post"))
	err5 := c.SetWakeAt(time.Now().Add(time.Minute))
	err6 := c.Complete(got, nil)
	return errors.Join(err1, err2, err3, err4, err5, err6)
}

// memory is what an actor keeps in memory of its queues, schedules and sends, as text.
func (l *life) memory() string {
	text := ""
	no(l.t, l.turn(func(c *Call, s *tally) error {
		m := &l.mailbox
		r, d, h := m.index.Counts()
		rows, err := c.Schedules()
		text = fmt.Sprint(s.N, m.counters, m.held, r, d, h, rows, l.outbox.add(0), len(m.senders), l.doomed)
		return err
	}))
	return text
}

func TestG1_a_turn_is_one_batch_or_none(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPostOffice()
		s := boxes()
		s.Run = func(c *Call) error { <-c.Stopping(); return nil }
		s.Options.MaxTurnBytes = 10_000
		l := p.sender(t, s, newDisk())
		l.put("a", "old")
		synctest.Wait()
		was, disk := l.memory(), l.disk.rest()
		for name, end := range map[string]func(c *Call) error{
			"an error": func(*Call) error { return errBroken },
			"a panic":  func(*Call) error { panic("oops") },
			"too much": func(c *Call) error { return c.KVPut([]Pair{{[]byte("big"), make([]byte, 20_000)}}) },
			"too late": func(*Call) error { time.Sleep(2 * s.Options.ActionTimeout); return nil },
			"a wish":   func(c *Call) error { c.Destroy(); return errBroken },
		} {
			err := l.turn(func(c *Call, st *tally) error {
				got, err := c.TryTake(c, Take{})
				if err != nil || len(got) != 1 {
					t.Fatalf("took %d, %v", len(got), err)
				}
				return errors.Join(everything(c, st, got[0]), end(c))
			})
			if err == nil {
				t.Fatalf("%s: the turn succeeded", name)
			}
			pass(10 * time.Minute)
			if now := l.memory(); now != was {
				t.Errorf("%s: in memory is %s, want %s", name, now, was)
			}
			if !maps.EqualFunc(l.disk.durable.records, disk.durable.records, func(a, b []byte) bool { return string(a) == string(b) }) {
				t.Errorf("%s: something was stored", name)
			}
		}
		before := l.disk.written()
		hold := make(chan struct{})
		p.set(func() { p.slow["x"] = time.Hour })
		no(t, l.turn(func(c *Call, st *tally) error {
			got, err := c.TryTake(c, Take{})
			if err != nil || len(got) != 1 || got[0].Attempt != 1 {
				t.Fatalf("took %+v, %v", got, err)
			}
			close(hold)
			return everything(c, st, got[0])
		}))
		if n := l.disk.written() - before; n != 1 {
			t.Errorf("the turn committed %d times", n)
		}
		b := l.disk.batches[before]
		kinds := map[record.Kind]int{}
		for _, r := range b.Puts {
			kinds[record.Kind(r.Key[0])]++
		}
		for _, k := range b.Deletes {
			kinds[record.Kind(k[0])]--
		}
		want := map[record.Kind]int{
			record.KindState: 1, record.KindMessage: 0, record.KindReceipt: 1, record.KindSchedule: 1, record.KindKV: 1,
			record.KindOutbox: 1, record.KindCounters: 1,
		}
		if !maps.Equal(kinds, want) {
			t.Errorf("the batch has %v, want %v", kinds, want)
		}
		l.crash()
	})
}

// A view sees all and changes nothing.
func TestG1_a_view_cannot_change_anything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPostOffice()
		s := boxes()
		s.Run = func(c *Call) error { <-c.Stopping(); return nil }
		l := p.sender(t, s, newDisk())
		l.put("a", "1")
		d := l.leased(Take{})
		before := l.disk.written()
		for name, op := range map[string]func(c *Call) error{
			"enqueue":  func(c *Call) error { _, err := c.Enqueue(c, "a", nil, "", 0); return err },
			"take":     func(c *Call) error { _, err := c.TryTake(c, Take{}); return err },
			"complete": func(c *Call) error { return c.Complete(d, nil) },
			"fail":     func(c *Call) error { return c.Fail(d, errBroken) },
			"release":  func(c *Call) error { return c.Release(d) },
			"extend":   func(c *Call) error { return c.Extend(d, time.Hour) },
			"by id":    func(c *Call) error { return c.CompleteByID(d.ID, nil) },
			"schedule": func(c *Call) error { _, err := c.SetSchedule(after("a", time.Hour, "add")); return err },
			"remove":   func(c *Call) error { _, err := c.RemoveSchedule("a"); return err },
			"put":      func(c *Call) error { return c.KVPut([]Pair{{[]byte("k"), nil}}) },
			"delete":   func(c *Call) error { return c.KVDelete([][]byte{[]byte("k")}) },
			"range":    func(c *Call) error { return c.KVDeleteRange(nil, nil) },
			"post":     func(c *Call) error { return c.Post(queue.Target{Name: "x"}, "a", nil) },
			"wake":     func(c *Call) error { return c.SetWakeAt(time.Now()) },
			"replay":   func(c *Call) error { return c.Replay(c, 1) },
			"drop":     func(c *Call) error { return c.DropDeadLetter(c, 1) },
		} {
			o := <-l.script("view", func(c *Call, _ *tally) ([]byte, error) { return nil, op(c) }).ch
			if !is(o.err, "actor", "read_only") {
				t.Errorf("%s: %v", name, o.err)
			}
		}
		o := <-l.script("view", func(c *Call, _ *tally) ([]byte, error) {
			_, err1 := c.Schedules()
			_, err2 := c.DeadLetters(c, 1)
			_, _, err3 := c.KVGet(c, []byte("k"))
			_, err4 := c.KVRange(c, nil, nil, false, 1)
			_, err5 := c.History(c, "a", 1)
			return nil, errors.Join(err1, err2, err3, err4, err5)
		}).ch
		no(t, o.err)
		if n := l.disk.written() - before; n != 0 {
			t.Errorf("views committed %d times", n)
		}
		l.end(false)
	})
}

// A Ctx that outlives its handler changes nothing of a turn that is over: what it does is a turn of its own.
func TestG1_a_call_that_is_over_adds_nothing_to_its_turn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, boxes(), newDisk())
		var kept *Call
		if err := l.turn(func(c *Call, _ *tally) error { kept = c; return errBroken }); err == nil {
			t.Fatal("the turn succeeded")
		}
		_ = kept.KVPut([]Pair{{[]byte("k"), nil}}) // whether it is refused or done: it must not hang or be lost halfway
		synctest.Wait()
		l.end(false)
	})
}
