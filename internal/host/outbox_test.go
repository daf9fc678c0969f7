package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rivetgo/rivet/internal/queue"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// postOffice delivers an actor's messages into the queue "a" of other live actors, by the names that targets use.
type postOffice struct {
	mu     sync.Mutex
	at     map[string]*life // by target name or id; nil: unavailable
	slow   map[string]time.Duration
	refuse map[string]error
}

func newPostOffice() *postOffice {
	return &postOffice{at: map[string]*life{}, slow: map[string]time.Duration{}, refuse: map[string]error{}}
}

func (p *postOffice) Deliver(ctx context.Context, out *Outgoing) error {
	name := out.Target.Name + out.Target.ID
	p.mu.Lock()
	to, slow, refuse := p.at[name], p.slow[name], p.refuse[name]
	p.mu.Unlock()
	if slow > 0 {
		select {
		case <-time.After(slow):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if refuse != nil {
		return refuse
	}
	if to == nil {
		return errors.New("nobody is there")
	}
	_, _, err := to.Send(ctx, &MessageCall{Queue: out.Queue, Body: out.Body, Peer: out.Sender, Number: out.Number})
	return err
}

func (p *postOffice) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

func (p *postOffice) sender(t *testing.T, s *Spec, d *disk) *life {
	t.Helper()
	l, err := beginIn(t, s, d, &Env{Deliver: p.Deliver})
	no(t, err)
	return l
}

func (l *life) post(to queue.Target, bodies ...string) *fault.Error {
	l.t.Helper()
	return l.turn(func(c *Call, _ *tally) error {
		for _, b := range bodies {
			if err := c.Post(to, "a", []byte(b)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Two targets may be one actor without showing it: by key and by id, with an input and without. Whichever is faster, no
// message may be taken for a repetition of another.
func TestG5_posts_to_one_actor_by_several_names_all_arrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPostOffice()
		to := start(t, boxes(), newDisk())
		p.at["name"], p.at["id"] = to, to
		p.slow["name"] = time.Second
		l := p.sender(t, boxes(), newDisk())
		byKey, byInput, byID := queue.Target{Name: "name", Key: []string{"k"}}, queue.Target{Name: "name", Key: []string{"k"}, Create: true, Input: []byte{1}, HasInput: true}, queue.Target{ID: "id"}
		no(t, l.post(byKey, "1"))
		no(t, l.post(byInput, "2"))
		no(t, l.post(byID, "3"))
		no(t, l.post(byKey, "4"))
		pass(10 * time.Second)
		got := to.takes()
		if want := []string{"3", "1", "2", "4"}; !slices.Equal(got, want) {
			t.Errorf("received %q, want %q", got, want)
		}
		l.end(false)
		l.wantAlarm(time.Time{})
		if n := l.disk.count(record.KindOutbox); n != 0 {
			t.Errorf("%d messages remain", n)
		}
		to.end(false)
	})
}

// What cannot be delivered now is tried again, across sleeps and crashes, and what is refused for good is kept.
func TestG6_posts_are_delivered_or_kept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPostOffice()
		to := start(t, boxes(), newDisk())
		d := newDisk()
		l := p.sender(t, boxes(), d)
		target := queue.Target{Name: "x"}
		if err := l.turn(func(c *Call, _ *tally) error { return errors.Join(c.Post(target, "a", []byte("never")), errBroken) }); err == nil {
			t.Fatal("the turn should fail")
		}
		no(t, l.post(target, "1", "2"))
		pass(5 * time.Second)
		l.end(false)
		if at := l.disk.alarm(); at == 0 || at > unixMilli(time.Now().Add(maxSendDelay)) {
			t.Errorf("the alarm is %d", at)
		}
		l = p.sender(t, boxes(), l.disk.rest())
		pass(time.Second)
		l = p.sender(t, boxes(), l.crash())
		p.set(func() { p.at["x"] = to })
		pass(time.Minute)
		if got := to.takes(); !slices.Equal(got, []string{"1", "2"}) {
			t.Errorf("received %q", got)
		}
		// Full is for now, an unknown queue for ever.
		p.set(func() { p.refuse["x"] = queueFull(1, 0) })
		no(t, l.post(target, "3"))
		pass(time.Second)
		p.set(func() { p.refuse["x"] = queueNotFound("a") })
		pass(time.Minute)
		var dead []DeadLetter
		no(t, l.turn(func(c *Call, _ *tally) (err error) { dead, err = c.DeadLetters(c, 10); return err }))
		if len(dead) != 1 || string(dead[0].Body) != "3" || dead[0].Failure.Code != "not_found" {
			t.Fatalf("dead letters %+v", dead)
		}
		p.set(func() { delete(p.refuse, "x") })
		no(t, l.turn(func(c *Call, _ *tally) error { return c.Replay(c, dead[0].ID) }))
		pass(time.Second)
		if got := to.takes(); !slices.Equal(got, []string{"3"}) {
			t.Errorf("received %q", got)
		}
		l.end(false)
		l.wantAlarm(time.Time{})
		to.end(false)
	})
}

// A refusal that a crash makes the sender forget must not make the receiver take the message for old.
func TestG5_a_refused_post_survives_a_crash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPostOffice()
		to := start(t, boxes(), newDisk())
		p.at["x"] = to
		p.refuse["x"] = queueNotFound("a")
		d := newDisk()
		l := p.sender(t, boxes(), d)
		target := queue.Target{Name: "x"}
		p.slow["x"] = time.Second
		no(t, l.post(target, "1", "2"))
		d.set(func() { d.hold = true })
		pass(500 * time.Millisecond) // 1 will be refused, and that is not durable
		p.set(func() { delete(p.refuse, "x") })
		pass(10 * time.Second)
		l = p.sender(t, boxes(), l.crash())
		pass(10 * time.Second)
		if got := to.takes(); !slices.Equal(got, []string{"1", "2"}) {
			t.Errorf("received %q", got)
		}
		l.end(false)
		to.end(false)
	})
}

// An actor that is destroyed delivers what it sent before.
func TestG5_posts_of_an_actor_that_destroys_itself_arrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPostOffice()
		to := start(t, boxes(), newDisk())
		p.at["x"], p.slow["x"] = to, time.Second
		l := p.sender(t, boxes(), newDisk())
		no(t, l.turn(func(c *Call, _ *tally) error {
			c.Destroy()
			return errors.Join(c.Post(queue.Target{Name: "x"}, "a", []byte("1")), c.Post(queue.Target{Name: "x"}, "a", []byte("2")))
		}))
		<-l.owner.destroy
		l.end(true)
		if got := to.takes(); !slices.Equal(got, []string{"1", "2"}) {
			t.Errorf("received %q", got)
		}
		// Nobody is waited for longer than the grace period.
		l = p.sender(t, boxes(), newDisk())
		no(t, l.post(queue.Target{Name: "nobody"}, "1"))
		began := time.Now()
		l.end(true)
		if took := time.Since(began); took != l.spec.Options.GracePeriod {
			t.Errorf("the end took %v", took)
		}
		if !strings.Contains(l.logged.String(), "outbox=1") {
			t.Errorf("the log does not tell of what was lost:\n%s", &l.logged)
		}
		to.end(false)
	})
}

// A wish to be destroyed outlives a crash, and so does what was sent before it.
func TestG6_a_wish_to_be_destroyed_survives_a_crash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPostOffice()
		to := start(t, boxes(), newDisk())
		l := p.sender(t, boxes(), newDisk())
		no(t, l.turn(func(c *Call, _ *tally) error {
			c.Destroy()
			return c.Post(queue.Target{Name: "x"}, "a", []byte("1"))
		}))
		<-l.owner.destroy
		d := l.crash()
		if d.alarm() == 0 {
			t.Error("nothing wakes the actor")
		}
		p.set(func() { p.at["x"] = to })
		s := boxes()
		s.OnWake = func(*Call, State) error { return errBroken } // its end does not depend on a good start
		l = p.sender(t, s, d)
		<-l.owner.destroy
		l.end(true)
		if got := to.takes(); !slices.Equal(got, []string{"1"}) {
			t.Errorf("received %q", got)
		}
		to.end(false)
	})
}

// Without waiting for durability messages still leave after their commit: their numbers would be given again.
func TestG5_posts_of_an_undurable_actor_wait_for_their_commit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPostOffice()
		receiver := boxes()
		receiver.Options.Undurable = true
		to := start(t, receiver, newDisk())
		p.at["x"] = to
		s := boxes()
		s.Options.Undurable = true
		d := newDisk()
		l := p.sender(t, s, d)
		synctest.Wait()
		d.set(func() { d.hold = true })
		no(t, l.post(queue.Target{Name: "x"}, "forgotten"))
		synctest.Wait()
		l = p.sender(t, s, l.crash())
		no(t, l.post(queue.Target{Name: "x"}, "1"))
		synctest.Wait()
		// Nor is a message acknowledged to its sender before it is durable.
		to.disk.set(func() { to.disk.hold = true })
		no(t, l.post(queue.Target{Name: "x"}, "2"))
		synctest.Wait()
		to = start(t, receiver, to.crash())
		p.set(func() { p.at["x"] = to })
		pass(time.Minute)
		if got := to.takes(); !slices.Equal(got, []string{"1", "2"}) {
			t.Errorf("received %q", got)
		}
		l.end(false)
		to.end(false)
	})
}

func TestG7_the_outbox_is_bounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPostOffice()
		s := boxes()
		s.Options.MaxQueueSize = 3
		l := p.sender(t, s, newDisk())
		target := queue.Target{Name: "x"}
		no(t, l.post(target, "1", "2", "3"))
		if err := l.post(target, "4"); !is(err, "queue", "outbox_full") {
			t.Errorf("4th message: %v", err)
		}
		p.set(func() { p.refuse["x"] = queueNotFound("a") })
		pass(time.Minute)
		if n := l.disk.count(record.KindDead); n != 3 {
			t.Errorf("%d dead letters", n)
		}
		if err := l.post(target, "4"); !is(err, "queue", "outbox_full") { // refused messages must not pile up either
			t.Errorf("with dead letters: %v", err)
		}
		l.end(false)
	})
}

// Senders and receivers that crash, sleep and fail at random: every message of a turn that succeeded arrives once, in order.
func TestG5_posts_arrive_exactly_once_whatever_crashes(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) { exactlyOnce(t, seed) })
	}
}

func exactlyOnce(t *testing.T, seed uint64) {
	r := newRand(seed)
	p := newPostOffice()
	names := []string{"x", "y", "id"}
	receivers := map[string]*life{}
	for _, n := range names {
		receivers[n] = start(t, boxes(), newDisk())
		p.at[n] = receivers[n]
	}
	s := boxes()
	l := p.sender(t, s, newDisk())
	sent, n := map[string][]string{}, 0
	for range 60 {
		name := names[r.IntN(len(names))]
		target := queue.Target{Name: name, Create: r.IntN(2) == 0}
		if name == "id" {
			target = queue.Target{ID: name}
		}
		switch r.IntN(8) {
		case 0:
			l = p.sender(t, s, l.crash())
		case 1:
			l.end(false)
			l = p.sender(t, s, l.disk.rest())
		case 2:
			p.set(func() { p.at[name] = nil })
			receivers[name] = start(t, boxes(), receivers[name].crash())
			p.set(func() { p.at[name] = receivers[name] })
		case 3:
			p.set(func() { p.slow[name] = time.Duration(r.IntN(3)) * 100 * time.Millisecond })
		case 4:
			_ = l.turn(func(c *Call, _ *tally) error { return errors.Join(c.Post(target, "a", []byte("never")), errBroken) })
		default:
			body := fmt.Sprint(n)
			n++
			err := l.turn(func(c *Call, s *tally) error { s.N++; return c.Post(target, "a", []byte(body)) })
			no(t, err)
			sent[name] = append(sent[name], body)
			time.Sleep(time.Duration(r.IntN(150)) * time.Millisecond)
		}
	}
	pass(5 * time.Minute)
	for _, name := range slices.Sorted(maps.Keys(receivers)) {
		if got := receivers[name].takes(); !slices.Equal(got, sent[name]) {
			t.Errorf("seed %d: %s received %q, want %q", seed, name, got, sent[name])
		}
		receivers[name].end(false)
	}
	l.end(false)
	l.wantAlarm(time.Time{})
}
