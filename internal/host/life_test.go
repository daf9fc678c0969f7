package host

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rivetgo/rivet/internal/wire/fault"
)

// journal is a list that hooks write to.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := j.lines
	j.lines = nil
	return out
}

// hooked is spec with every hook writing its name.
func hooked(j *journal) *Spec {
	s := spec()
	note := func(name string) func(*Call, State) error {
		return func(*Call, State) error { j.add(name); return nil }
	}
	s.Create = func(*Call, []byte) (State, error) { j.add("create"); return &tally{}, nil }
	s.OnCreate = func(*Call, State, []byte) error { j.add("OnCreate"); return nil }
	s.OnWake, s.OnSleep, s.OnDestroy = note("OnWake"), note("OnSleep"), note("OnDestroy")
	s.BeforeConnect = func(*Call, State, []byte) error { j.add("OnBeforeConnect"); return nil }
	s.ConnState = func(*Call, State, []byte) (State, error) { j.add("ConnState"); return &tally{}, nil }
	s.OnConnect = func(*Call, State, *Conn) error { j.add("OnConnect"); return nil }
	s.OnDisconnect = func(*Call, State, *Conn) error { j.add("OnDisconnect"); return nil }
	return s
}

func expect(t *testing.T, j *journal, want ...string) {
	t.Helper()
	if got := j.take(); !slices.Equal(got, want) {
		t.Errorf("hooks ran as %v, want %v", got, want)
	}
}

func TestHooksRunInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		d := newDisk()
		l := start(t, hooked(j), d)
		expect(t, j, "create", "OnCreate", "OnWake")
		_, conn := l.listen("x")
		expect(t, j, "OnBeforeConnect", "ConnState", "OnConnect")
		l.Disconnect(conn)
		synctest.Wait()
		expect(t, j, "OnDisconnect")
		l.end(false)
		expect(t, j, "OnSleep")
		l = start(t, hooked(j), d)
		expect(t, j, "OnWake")
		l.end(true)
		expect(t, j, "OnDestroy")
	})
}

func TestWakingWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		l := start(t, hooked(&journal{}), d)
		l.must("add")
		l.end(false)
		before := d.commits
		l = start(t, hooked(&journal{}), d)
		if n := l.count(); n != 1 {
			t.Errorf("count = %d, want 1", n)
		}
		l.end(false)
		if d.commits != before {
			t.Errorf("waking and sleeping made %d commits", d.commits-before)
		}
	})
}

func TestG1_a_failed_first_start_leaves_nothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		s := hooked(&journal{})
		s.OnCreate = func(*Call, State, []byte) error { return fault.New("user", "full", "no more") }
		if _, err := begin(t, s, d); !errors.Is(err, fault.New("user", "full", "")) {
			t.Errorf("start: %v, want the hook's own error", err)
		}
		if d.saved(t) != nil {
			t.Error("a state was stored")
		}
		j := &journal{}
		l := start(t, hooked(j), d)
		expect(t, j, "create", "OnCreate", "OnWake")
		l.end(false)
	})
}

func TestIdleActorAsksToSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, spec(), newDisk())
		time.Sleep(20 * time.Second)
		l.must("add")
		time.Sleep(25 * time.Second)
		if len(l.owner.sleep) > 0 {
			t.Fatal("asked to sleep 25 s after the last call, want 30 s")
		}
		time.Sleep(6 * time.Second)
		if len(l.owner.sleep) == 0 {
			t.Fatal("did not ask to sleep after 31 s")
		}
		l.end(false)
	})
}

func TestWhatKeepsAwake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spec()
		release := make(chan struct{})
		s.Actions["work"] = &Action{Run: func(c *Call, _ State, _ []byte) ([]byte, error) {
			c.KeepAwake("", func(*Call) error { <-release; return nil })
			return nil, nil
		}}
		s.Actions["later"] = &Action{Run: func(c *Call, _ State, _ []byte) ([]byte, error) {
			c.WaitUntil("", func(c *Call) error { <-c.Stopping(); return nil })
			return nil, nil
		}}
		l := start(t, s, newDisk())
		_, conn := l.listen("x")
		time.Sleep(time.Hour)
		if len(l.owner.sleep) > 0 {
			t.Fatal("sleepy with an open connection")
		}
		l.must("work")
		l.Disconnect(conn)
		time.Sleep(time.Hour)
		if len(l.owner.sleep) > 0 {
			t.Fatal("sleepy while KeepAwake runs")
		}
		close(release)
		l.must("later")
		time.Sleep(time.Minute)
		if len(l.owner.sleep) == 0 {
			t.Fatal("WaitUntil must not hold off sleep")
		}
		l.end(false)
	})
}

func TestSleepPredicate(t *testing.T) {
	for want, a := range map[string]activity{
		"": {}, "loading": {Loading: true}, "no_sleep": {NoSleep: true}, "calls": {Calls: 1},
		"keep_awake": {KeepAwake: 1}, "schedules": {Firing: 1}, "queue_handler": {Handling: true}, "outbox": {Delivering: 1},
		"run": {Running: true}, "disconnecting": {Disconnecting: 1}, "connections": {Connections: 1},
		"calls,run": {Calls: 2, Running: true},
	} {
		if got := strings.Join(a.blockers(), ","); got != want {
			t.Errorf("%+v is blocked by %q, want %q", a, got, want)
		}
	}
}

func TestEndWaitsForWorkAndKeepsConnectionsUntilThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spec()
		s.OnSleep = func(c *Call, _ State) error { return c.Broadcast("bye", []byte{0x80}) }
		s.Actions["slow"] = &Action{Kind: ConcurrentAction, Run: func(c *Call, _ State, _ []byte) ([]byte, error) {
			time.Sleep(5 * time.Second)
			return []byte("done"), nil
		}}
		l := start(t, s, newDisk())
		e, _ := l.listen("bye")
		slow := l.send("slow")
		synctest.Wait()
		began := time.Now()
		l.end(false)
		if d := time.Since(began); d != 5*time.Second {
			t.Errorf("the end took %v, want the 5 s of the call under way", d)
		}
		if o := <-slow.ch; o.err != nil || string(o.out) != "done" {
			t.Errorf("the call under way got %v", o)
		}
		if h := e.heard(); !slices.Equal(h, []string{"bye"}) || e.end() != "actor.stopped" {
			t.Errorf("the connection heard %v and ended with %q", h, e.end())
		}
	})
}

func TestG6_the_grace_period_bounds_the_end(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spec()
		s.Options.GracePeriod = 3 * time.Second
		s.Options.ActionTimeout = time.Hour
		hang := make(chan struct{})
		s.Actions["hang"] = &Action{Run: func(*Call, State, []byte) ([]byte, error) { <-hang; return nil, nil }}
		l := start(t, s, newDisk())
		hung := l.send("hang")
		synctest.Wait()
		began := time.Now()
		l.end(false)
		if d := time.Since(began); d > 7*time.Second {
			t.Errorf("the end took %v", d)
		}
		if o := <-hung.ch; !errors.Is(o.err, errVoid) {
			t.Errorf("the cut-off call got %v, want restarting", o.err)
		}
		close(hang)
	})
}

func TestSleepThatBecomesADestroy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		s := hooked(j)
		s.OnSleep = func(*Call, State) error { j.add("OnSleep"); time.Sleep(time.Second); return nil }
		l := start(t, s, newDisk())
		j.take()
		l.Stop(false)
		synctest.Wait()
		l.end(true)
		expect(t, j, "OnSleep", "OnDestroy")
	})
}

func TestRefusedConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		no := fault.New("user", "denied", "denied")
		for name, change := range map[string]func(*Spec){
			"OnBeforeConnect": func(s *Spec) { s.BeforeConnect = func(*Call, State, []byte) error { return no } },
			"ConnState":       func(s *Spec) { s.ConnState = func(*Call, State, []byte) (State, error) { return nil, no } },
			"OnConnect":       func(s *Spec) { s.OnConnect = func(*Call, State, *Conn) error { return no } },
		} {
			j := &journal{}
			s := hooked(j)
			change(s)
			l := start(t, s, newDisk())
			j.take()
			if _, err := l.Connect(t.Context(), nil, []byte{0xf6}, nil, &ear{}); !errors.Is(err, no) {
				t.Errorf("%s: %v", name, err)
			}
			if n := len(l.Conns()); n != 0 {
				t.Errorf("%s: %d connections are left", name, n)
			}
			synctest.Wait()
			if slices.Contains(j.take(), "OnDisconnect") {
				t.Errorf("%s: OnDisconnect ran for a connection that never was", name)
			}
			l.end(false)
		}
	})
}

func TestG6_a_hook_ends_at_its_deadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spec()
		s.BeforeConnect = func(c *Call, st State, _ []byte) error {
			st.(*tally).N = 7
			<-c.Done()
			return nil
		}
		l := start(t, s, newDisk())
		began := time.Now()
		_, err := l.Connect(t.Context(), nil, []byte{0xf6}, nil, &ear{})
		if f, ok := fault.From(err); !ok || f.Code != "callback_timed_out" || time.Since(began) != 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if n := l.count(); n != 0 {
			t.Errorf("count = %d: a hook that timed out left something", n)
		}
		l.end(false)
	})
}

func TestSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spec()
		s.CanSubscribe = map[string]func(*Call, State) (bool, error){
			"secret": func(*Call, State) (bool, error) { return false, nil },
		}
		l := start(t, s, newDisk())
		e, conn := l.listen("told")
		if err := l.Subscribe(t.Context(), conn, "told", true); err != nil {
			t.Errorf("a second subscription: %v", err)
		}
		l.must("tell")
		if err := l.Subscribe(t.Context(), conn, "told", false); err != nil {
			t.Fatal(err)
		}
		l.must("tell")
		if h := e.heard(); len(h) != 1 {
			t.Errorf("heard %v, want one event", h)
		}
		if err := l.Subscribe(t.Context(), conn, "secret", true); !errors.Is(err, errForbidden) {
			t.Errorf("subscribing to a secret: %v", err)
		}
		l.end(false)
	})
}

func TestSleepAndDestroyWishesBelongToTheTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spec()
		wish := func(fail bool) *Action {
			return &Action{Run: func(c *Call, _ State, _ []byte) ([]byte, error) {
				c.Sleep()
				if fail {
					return nil, errors.New("no")
				}
				return nil, nil
			}}
		}
		s.Actions["sleep"], s.Actions["failsleep"] = wish(false), wish(true)
		l := start(t, s, newDisk())
		l.call("failsleep")
		if len(l.owner.sleep) > 0 {
			t.Error("a failed turn's wish was passed on")
		}
		l.call("sleep")
		if len(l.owner.sleep) != 1 {
			t.Error("the wish was not passed on")
		}
		l.end(false)
	})
}

func TestDoFromOutsideTheTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spec()
		s.Actions["both"] = &Action{Kind: ConcurrentAction, Run: func(c *Call, _ State, _ []byte) ([]byte, error) {
			for range 3 {
				if err := c.Do(func(_ *Call, st State) error { st.(*tally).N++; return nil }); err != nil {
					return nil, err
				}
			}
			bad := errors.New("no")
			if err := c.Do(func(_ *Call, st State) error { st.(*tally).N = 50; return bad }); err == nil {
				return nil, errors.New("a failed turn succeeded")
			}
			return nil, nil
		}}
		s.Actions["nested"] = &Action{Run: func(c *Call, _ State, _ []byte) ([]byte, error) {
			return nil, c.Do(func(*Call, State) error { return nil })
		}}
		l := start(t, s, newDisk())
		l.must("both")
		if n := l.count(); n != 3 {
			t.Errorf("count = %d, want 3", n)
		}
		if o := l.call("nested"); o.err == nil || o.err.Code != "nested_turn" {
			t.Errorf("Do inside a turn: %v", o.err)
		}
		l.end(false)
	})
}

// A handler that keeps the turn must not make the end forget the commits made before it.
func TestG2_the_end_is_not_reported_before_the_last_commit_is_durable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spec()
		s.Options.GracePeriod = 3 * time.Second
		s.Options.ActionTimeout = time.Hour
		hang := make(chan struct{})
		s.Actions["hang"] = &Action{Run: func(*Call, State, []byte) ([]byte, error) { <-hang; return nil, nil }}
		l := start(t, s, newDisk())
		synctest.Wait()
		l.disk.set(func() { l.disk.hold = true })
		add := l.send("add")
		synctest.Wait()
		l.send("hang")
		synctest.Wait()
		l.Stop(false)
		time.Sleep(4 * time.Second) // the grace is over, the commit is not durable
		if len(l.owner.stopped) > 0 {
			t.Error("the end was reported while a commit was under way")
		}
		l.disk.flush()
		if err := <-l.owner.stopped; err != nil {
			t.Error(err)
		}
		if o := <-add.ch; o.err != nil {
			t.Errorf("a commit that became durable is told as %v", o.err)
		}
		close(hang)
	})
}

func TestG6_a_connection_does_not_wait_for_the_turn_for_ever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := hooked(&journal{})
		s.CanSubscribe = map[string]func(*Call, State) (bool, error){"x": func(*Call, State) (bool, error) { return true, nil }}
		s.Options.ActionTimeout = time.Minute
		hang := make(chan struct{})
		s.Actions["hang"] = &Action{Run: func(*Call, State, []byte) ([]byte, error) { <-hang; return nil, nil }}
		l := start(t, s, newDisk())
		conn, err := l.Connect(t.Context(), nil, []byte{0xf6}, nil, &ear{})
		if err != nil {
			t.Fatal(err)
		}
		l.send("hang")
		synctest.Wait()
		for what, wait := range map[string]func() error{
			"connect":   func() error { _, err := l.Connect(t.Context(), nil, []byte{0xf6}, nil, &ear{}); return err },
			"subscribe": func() error { return l.Subscribe(t.Context(), conn, "x", true) },
		} {
			began := time.Now()
			if err := wait(); !errors.Is(err, errTimedOut) || time.Since(began) != time.Minute {
				t.Errorf("%s: %v after %v, want a time-out after a minute", what, err, time.Since(began))
			}
		}
		close(hang)
		l.end(false)
	})
}

// Nobody else hears of these errors: the log must.
func TestErrorsOfHooksAndBackgroundWorkAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spec()
		refusal := func(what string) error { return fault.New("user", what, what+" went wrong") }
		s.OnSleep = func(*Call, State) error { return refusal("sleeping") }
		s.OnDisconnect = func(*Call, State, *Conn) error { return refusal("disconnecting") }
		s.Actions["work"] = &Action{Run: func(c *Call, _ State, _ []byte) ([]byte, error) {
			c.KeepAwake("", func(*Call) error { return refusal("working") })
			return nil, nil
		}}
		l := start(t, s, newDisk())
		_, conn := l.listen("x")
		l.must("work")
		l.Disconnect(conn)
		synctest.Wait()
		l.end(false)
		for _, want := range []string{"working went wrong", "disconnecting went wrong", "sleeping went wrong"} {
			if !strings.Contains(l.logged.String(), want) {
				t.Errorf("the log lacks %q:\n%s", want, &l.logged)
			}
		}
	})
}

func TestAKilledActorEndsWithoutHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		l := start(t, hooked(j), newDisk())
		expect(t, j, "create", "OnCreate", "OnWake")
		synctest.Wait() // the first commit is durable
		l.disk.set(func() { l.disk.hold = true })
		add := l.send("add")
		synctest.Wait()
		l.Kill()
		l.Stop(false) // too late for hooks, if perhaps in time for an end without an error
		l.Kill()
		if err := <-l.owner.stopped; err != nil && !errors.Is(err, errKilled) {
			t.Errorf("stopped with %v", err)
		}
		if o := <-add.ch; !errors.Is(o.err, errUncertain) {
			t.Errorf("the call whose commit was under way got %v", o.err)
		}
		l.disk.flush() // what comes of it now is told nobody
		synctest.Wait()
		expect(t, j)
	})
}
