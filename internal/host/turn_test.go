package host

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rivetgo/rivet/internal/callchain"
	"github.com/rivetgo/rivet/internal/invariants"
	"github.com/rivetgo/rivet/internal/wire/fault"
)

func TestG1_a_failed_turn_leaves_nothing(t *testing.T) {
	for _, how := range []string{"fail", "panic"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := start(t, spec(), newDisk())
				e, _ := l.listen("told")
				l.must("add")
				o := l.call(how)
				if o.err == nil {
					t.Fatal("the call succeeded")
				}
				if n := l.count(); n != 1 {
					t.Errorf("count in memory = %d, want 1", n)
				}
				synctest.Wait()
				if n := l.disk.saved(t).N; n != 1 {
					t.Errorf("count on disk = %d, want 1", n)
				}
				if h := e.heard(); len(h) != 0 {
					t.Errorf("events of a failed turn were sent: %v", h)
				}
				l.end(false)
			})
		})
	}
}

func TestG1_connection_state_rolls_back(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spec()
		s.ConnState = func(*Call, State, []byte) (State, error) { return &tally{N: 1}, nil }
		var seen []int
		change := func(fail bool) *Action {
			return &Action{Run: func(c *Call, _ State, _ []byte) ([]byte, error) {
				cs := c.ConnState(c.Conn()).(*tally)
				seen = append(seen, cs.N)
				cs.N++
				if fail {
					return nil, errors.New("no")
				}
				return nil, nil
			}}
		}
		s.Actions["ok"], s.Actions["bad"] = change(false), change(true)
		l := start(t, s, newDisk())
		_, conn := l.listen("x")
		for _, name := range []string{"ok", "bad", "ok"} {
			c := newCaller()
			l.Action(&ActionCall{Name: name, Conn: conn, Reply: c})
			<-c.ch
		}
		if want := []int{1, 2, 2}; !slices.Equal(seen, want) {
			t.Errorf("turns saw %v, want %v", seen, want)
		}
		l.end(false)
	})
}

func TestG2_outputs_wait_for_the_commit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, spec(), newDisk())
		e, _ := l.listen("told")
		synctest.Wait()
		l.disk.set(func() { l.disk.hold = true })
		tell, get := l.send("tell"), (*caller)(nil)
		synctest.Wait()
		get = l.send("get") // reads a state that is not durable yet
		synctest.Wait()
		if tell.answered() || get.answered() || len(e.heard()) > 0 {
			t.Fatal("something left before the commit was durable")
		}
		l.disk.set(func() { l.disk.hold = false })
		l.disk.flush()
		if o := <-tell.ch; o.err != nil {
			t.Error(o.err)
		}
		if o := <-get.ch; o.err != nil || o.out[0] != 1 {
			t.Errorf("get = %v", o)
		}
		if h := e.heard(); !slices.Equal(h, []string{"told"}) {
			t.Errorf("events = %v", h)
		}
		l.end(false)
	})
}

func TestG2_turns_do_not_wait_for_durability(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, spec(), newDisk())
		synctest.Wait()
		l.disk.set(func() { l.disk.hold = true })
		var calls []*caller
		for range 10 {
			calls = append(calls, l.send("add"))
			synctest.Wait()
		}
		l.disk.set(func() {
			if n := len(l.disk.waiting); n != 10 {
				t.Errorf("%d commits are under way, want 10", n)
			}
			l.disk.hold = false
		})
		l.disk.flush()
		for _, c := range calls {
			if o := <-c.ch; o.err != nil {
				t.Error(o.err)
			}
		}
		l.end(false)
	})
}

func TestG2_each_output_waits_for_its_own_commit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, spec(), newDisk())
		synctest.Wait()
		l.disk.set(func() { l.disk.hold = true })
		first := l.send("add")
		synctest.Wait()
		second := l.send("add")
		synctest.Wait()
		l.disk.flushOne()
		if o := <-first.ch; o.err != nil {
			t.Error(o.err)
		}
		if second.answered() {
			t.Error("the second reply left with the first commit")
		}
		l.disk.set(func() { l.disk.hold = false })
		l.disk.flush()
		<-second.ch
		l.end(false)
	})
}

func TestG2_calls_to_others_wait_for_earlier_commits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spec()
		asked := make(chan error, 1)
		s.Actions["ask"] = &Action{Run: func(c *Call, _ State, _ []byte) ([]byte, error) {
			asked <- callchain.BeforeSend(c) // what the client does before a request leaves
			return nil, nil
		}}
		l := start(t, s, newDisk())
		synctest.Wait()
		l.disk.set(func() { l.disk.hold = true })
		add := l.send("add")
		synctest.Wait()
		ask := l.send("ask")
		synctest.Wait()
		if len(asked) > 0 {
			t.Error("a call left before what it could reveal was durable")
		}
		l.disk.set(func() { l.disk.hold = false })
		l.disk.flush()
		if err := <-asked; err != nil {
			t.Error(err)
		}
		<-add.ch
		<-ask.ch
		l.end(false)
	})
}

func TestG2_the_weaker_mode_does_not_wait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spec()
		s.Options.Undurable = true
		l := start(t, s, newDisk())
		synctest.Wait()
		l.disk.set(func() { l.disk.hold = true })
		l.must("add")
		l.disk.set(func() { l.disk.hold = false })
		l.disk.flush()
		l.end(false)
	})
}

func TestG10_a_failed_commit_ends_the_actor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, spec(), newDisk())
		e, _ := l.listen("told")
		l.must("add")
		synctest.Wait()
		l.disk.set(func() { l.disk.hold = true })
		tell := l.send("tell")
		synctest.Wait()
		get := l.send("get")
		synctest.Wait()
		cause := errors.New("fsync: input/output error")
		l.disk.set(func() { l.disk.lose = cause })
		l.disk.flush()
		if o := <-tell.ch; !errors.Is(o.err, errUncertain) {
			t.Errorf("the writer got %v, want commit_failed", o.err)
		}
		if o := <-get.ch; !errors.Is(o.err, errVoid) {
			t.Errorf("the reader got %v, want restarting", o.err)
		}
		if err := <-l.owner.stopped; !errors.Is(err, cause) {
			t.Errorf("stopped with %v", err)
		}
		if h := e.heard(); len(h) > 0 {
			t.Errorf("events of a void turn were sent: %v", h)
		}
		if e.end() == "" {
			t.Error("the connection is still open")
		}
		if err := l.Enter(); !errors.Is(err, ErrStopping) {
			t.Errorf("the dead actor takes calls: %v", err)
		}
		again := start(t, spec(), l.disk.rest())
		if n := again.count(); n != 1 {
			t.Errorf("after loading again count = %d, want what is durable: 1", n)
		}
		again.end(false)
	})
}

func TestG3_a_fenced_commit_ends_the_actor_without_effect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, spec(), newDisk())
		l.disk.set(func() { l.disk.refuse = errors.New("fenced") })
		if o := l.call("add"); !errors.Is(o.err, errVoid) {
			t.Errorf("got %v, want restarting", o.err)
		}
		if err := <-l.owner.stopped; err == nil {
			t.Error("stopped without an error")
		}
	})
}

func TestG6_a_call_ends_at_its_deadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spec()
		s.Options.ActionTimeout = time.Second
		s.Actions["stuck"] = &Action{Run: func(c *Call, st State, _ []byte) ([]byte, error) {
			st.(*tally).N += 100
			<-c.Done()
			time.Sleep(time.Minute) // ignores that its time is over
			return nil, nil
		}}
		l := start(t, s, newDisk())
		began := time.Now()
		stuck := l.send("stuck")
		synctest.Wait()
		waits := l.send("add")
		if o := <-stuck.ch; !errors.Is(o.err, errTimedOut) || time.Since(began) != time.Second {
			t.Errorf("stuck: %v after %v", o.err, time.Since(began))
		}
		if o := <-waits.ch; !errors.Is(o.err, errTimedOut) {
			t.Errorf("the call in line got %v, want its own time-out", o.err)
		}
		time.Sleep(2 * time.Minute)
		if n := l.count(); n != 0 {
			t.Errorf("count = %d: a turn that timed out left something", n)
		}
		if len(stuck.ch) > 0 {
			t.Error("a call got two outcomes")
		}
		l.end(false)
	})
}

func TestTurnsAreFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spec()
		gate := make(chan struct{})
		s.Actions["hold"] = &Action{Run: func(*Call, State, []byte) ([]byte, error) { <-gate; return nil, nil }}
		for i := range 20 {
			s.Actions[fmt.Sprint(i)] = &Action{Run: func(_ *Call, st State, _ []byte) ([]byte, error) {
				st.(*tally).L = append(st.(*tally).L, fmt.Sprint(i))
				return nil, nil
			}}
		}
		l := start(t, s, newDisk())
		calls := []*caller{l.send("hold")}
		var want []string
		for i := range 20 {
			synctest.Wait()
			calls = append(calls, l.send(fmt.Sprint(i)))
			want = append(want, fmt.Sprint(i))
		}
		close(gate)
		for _, c := range calls {
			<-c.ch
		}
		synctest.Wait()
		if got := l.disk.saved(t).L; !slices.Equal(got, want) {
			t.Errorf("order %v", got)
		}
		l.end(false)
	})
}

func TestG7_too_many_waiting_calls_are_refused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spec()
		s.Options.MaxWaiting = 2
		gate := make(chan struct{})
		s.Actions["hold"] = &Action{Run: func(*Call, State, []byte) ([]byte, error) { <-gate; return nil, nil }}
		l := start(t, s, newDisk())
		calls := []*caller{l.send("hold")}
		synctest.Wait()
		calls = append(calls, l.send("add"), l.send("add"))
		synctest.Wait()
		if o := l.call("add"); !errors.Is(o.err, errOverloaded) {
			t.Errorf("got %v, want overloaded", o.err)
		}
		close(gate)
		for _, c := range calls {
			if o := <-c.ch; o.err != nil {
				t.Error(o.err)
			}
		}
		l.end(false)
	})
}

func TestStateLimitIsAnErrorOfTheTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spec()
		s.Options.MaxStateBytes = 100
		s.Actions["grow"] = &Action{Run: func(_ *Call, st State, _ []byte) ([]byte, error) {
			st.(*tally).L = append(st.(*tally).L, string(make([]byte, 200)))
			return nil, nil
		}}
		l := start(t, s, newDisk())
		if o := l.call("grow"); o.err == nil || o.err.Code != "state_too_large" {
			t.Errorf("got %v", o.err)
		}
		l.must("add")
		l.end(false)
	})
}

func TestViewThatChangesTheStateIsReported(t *testing.T) {
	if !invariants.Enabled {
		t.Skip("checked in builds with the race detector")
	}
	synctest.Test(t, func(t *testing.T) {
		s := spec()
		s.Actions["bad"] = &Action{Kind: ViewAction, Run: func(_ *Call, st State, _ []byte) ([]byte, error) {
			st.(*tally).N++
			return nil, nil
		}}
		l := start(t, s, newDisk())
		if o := l.call("bad"); o.err == nil {
			t.Error("a view changed the state and nobody said so")
		}
		if n := l.count(); n != 0 {
			t.Errorf("count = %d, want 0", n)
		}
		l.end(false)
	})
}

func TestCallThatComesBackIsRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spec()
		s.Actions["free"] = &Action{Kind: ConcurrentAction, Run: func(*Call, State, []byte) ([]byte, error) { return nil, nil }}
		l := start(t, s, newDisk())
		c := newCaller()
		l.Action(&ActionCall{Name: "add", Chain: []string{l.ID(), "other"}, Reply: c})
		if o := <-c.ch; o.err == nil || o.err.Code != "call_cycle" {
			t.Errorf("got %v, want call_cycle", o.err)
		}
		c = newCaller()
		l.Action(&ActionCall{Name: "free", Chain: []string{l.ID()}, Reply: c})
		if o := <-c.ch; o.err != nil {
			t.Errorf("an action outside the turn was refused: %v", o.err)
		}
		l.end(false)
	})
}

func TestG9_untyped_errors_stay_inside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spec()
		s.Actions["leak"] = &Action{Run: func(*Call, State, []byte) ([]byte, error) {
			return nil, errors.New("password is swordfish")
		}}
		s.Actions["typed"] = &Action{Run: func(*Call, State, []byte) ([]byte, error) {
			return nil, fmt.Errorf("wrapped: %w", fault.New("user", "no", "not today"))
		}}
		l := start(t, s, newDisk())
		o := l.call("leak")
		if o.err == nil || o.err.Message != fault.InternalMessage || o.err.Group != "rivetkit" || len(o.err.Metadata) == 0 {
			t.Errorf("got %+v", o.err)
		}
		if o := l.call("typed"); o.err == nil || o.err.Message != "not today" || o.err.Actor == nil {
			t.Errorf("got %+v", o.err)
		}
		if o := l.call("nowhere"); o.err == nil || o.err.Code != "action_not_found" {
			t.Errorf("got %+v", o.err)
		}
		l.end(false)
	})
}
