package rivettest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
	"github.com/rivetgo/rivet/engine"
	"github.com/rivetgo/rivet/rivettest"
)

// The tests' actor: a count, and what it takes to look into it.
type tally struct{ Start int }

var (
	tallies = rivet.NewActor[tally]("tally")
	add     = rivet.NewAction[int, int](tallies, "add")
	get     = rivet.NewAction[rivet.None, int](tallies, "get")
	nap     = rivet.NewAction[time.Duration, int](tallies, "nap")
	ask     = rivet.NewAction[string, int](tallies, "ask")
	changed = rivet.NewEvent[int](tallies, "changed")
)

type state struct{ N int }

// hooks counts what ran.
type hooks struct {
	mu                    sync.Mutex
	created, woken, slept int
}

func (h *hooks) count(n *int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*n++
}

func (h *hooks) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return fmt.Sprintf("created %d, woken %d, slept %d", h.created, h.woken, h.slept)
}

func definition(h *hooks, o actor.Options) actor.Definition {
	if h == nil {
		h = &hooks{}
	}
	d := actor.Define(tallies, func(_ *actor.Ctx, in tally) (*state, error) {
		if in.Start < 0 {
			return nil, &rivet.Error{Code: "negative", Message: "no tally starts below zero"}
		}
		h.count(&h.created)
		return &state{N: in.Start}, nil
	})
	d.Options = o
	d.OnWake = func(*state, *actor.Ctx) error { h.count(&h.woken); return nil }
	d.OnSleep = func(*state, *actor.Ctx) error { h.count(&h.slept); return nil }
	actor.Handle(d, add, func(s *state, c *actor.Ctx, by int) (int, error) {
		s.N += by
		actor.Broadcast(c, changed, s.N)
		return s.N, nil
	})
	actor.View(d, get, func(s *state, _ *actor.Ctx, _ rivet.None) (int, error) { return s.N, nil })
	actor.Handle(d, nap, func(s *state, _ *actor.Ctx, d time.Duration) (int, error) {
		s.N++
		time.Sleep(d)
		return s.N, nil
	})
	actor.Handle(d, ask, func(_ *state, c *actor.Ctx, key string) (int, error) {
		return add.Call(c, tallies.GetOrCreate(c.Client(), rivet.Key{key}, tally{}), 1)
	})
	return d
}

func handle(app *rivettest.App, key string) rivet.Handle[tally] {
	return tallies.GetOrCreate(app.Client(), rivet.Key{key}, tally{})
}

func want[A any](t *testing.T, act rivet.Action[tally, A, int], target rivet.Target[tally], arg A, n int) {
	t.Helper()
	if got, err := act.Call(t.Context(), target, arg); err != nil || got != n {
		t.Fatalf("%s = %d, %v; want %d", act.Name(), got, err, n)
	}
}

func awake(t *testing.T, app *rivettest.App, target rivettest.Target, want bool) {
	t.Helper()
	if app.Awake(target) != want {
		t.Fatalf("awake: %t, want %t", !want, want)
	}
}

// everywhere runs a test under virtual time and under real time.
func everywhere(t *testing.T, f func(t *testing.T)) {
	t.Run("virtual", func(t *testing.T) { synctest.Test(t, f) })
	t.Run("real", f)
}

func TestG2_acknowledged_survives_a_crash(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		h := &hooks{}
		app := rivettest.Start(t, definition(h, actor.Options{}))
		a := tallies.GetOrCreate(app.Client(), rivet.Key{"a"}, tally{Start: 40})
		want(t, add, a, 2, 42)
		for i := range 5 {
			app.Crash()
			want(t, add, a, 1, 43+i)
		}
		if got := h.String(); got != "created 1, woken 6, slept 0" {
			t.Errorf("hooks: %s", got)
		}
	})
}

func TestRestartIsOrderly(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		h := &hooks{}
		app := rivettest.Start(t, definition(h, actor.Options{}))
		a := handle(app, "a")
		want(t, add, a, 1, 1)
		app.Restart()
		awake(t, app, a, false)
		want(t, get, a, rivet.None{}, 1)
		if got := h.String(); got != "created 1, woken 2, slept 1" {
			t.Errorf("hooks: %s", got)
		}
	})
}

func TestHeldCommitsAreLostInACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := rivettest.Start(t, definition(nil, actor.Options{}))
		a := handle(app, "a")
		want(t, add, a, 1, 1)
		app.Faults().HoldCommits()
		lost := make(chan error, 1)
		go func() {
			_, err := add.Call(t.Context(), a, 10)
			lost <- err
		}()
		app.Advance(time.Second)
		select {
		case err := <-lost:
			t.Fatalf("a reply left before its commit was durable: %v", err)
		default:
		}
		app.Crash()
		if err := <-lost; !rivet.Is(err, "client", "request_failed") {
			t.Errorf("the call that was hit: %v", err)
		}
		want(t, add, a, 1, 2)

		app.Faults().HoldCommits()
		go func() {
			_, err := add.Call(t.Context(), a, 1)
			lost <- err
		}()
		synctest.Wait()
		app.Faults().ReleaseCommits()
		if err := <-lost; err != nil {
			t.Error(err)
		}
		app.Crash()
		want(t, get, a, rivet.None{}, 3)
	})
}

func TestAnUndurableActorIsGoneAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hooks{}
		app := rivettest.Start(t, definition(h, actor.Options{}))
		app.Faults().HoldCommits()
		a := handle(app, "a")
		go add.Call(t.Context(), a, 1)
		app.Crash()
		want(t, add, a, 1, 1)
		if got := h.String(); got != "created 2, woken 2, slept 0" {
			t.Errorf("hooks: %s", got)
		}
	})
}

func TestSlowStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := rivettest.Start(t, definition(nil, actor.Options{}))
		a := handle(app, "a")
		want(t, add, a, 1, 1)
		app.Faults().DelayCommits(3 * time.Second)
		begin := time.Now()
		want(t, add, a, 1, 2)
		if d := time.Since(begin); d != 3*time.Second {
			t.Errorf("a commit took %v, want 3 s", d)
		}
		lost := make(chan error, 1)
		go func() {
			_, err := add.Call(t.Context(), a, 1)
			lost <- err
		}()
		app.Advance(2 * time.Second)
		app.Crash()
		if err := <-lost; err == nil {
			t.Error("a call got its reply although its commit was lost")
		}
		begin = time.Now()
		want(t, add, a, 1, 3)
		if d := time.Since(begin); d != 0 {
			t.Errorf("the storage is slow after the crash: %v", d)
		}
	})
}

func TestG10_failed_commits_end_the_actor(t *testing.T) {
	for name, c := range map[string]struct {
		fail func(*rivettest.Faults)
		then int
	}{
		"lost":   {func(f *rivettest.Faults) { f.FailCommits(1, nil) }, 1},
		"stored": {func(f *rivettest.Faults) { f.FailAcknowledgements(1, errors.New("fsync: input/output error")) }, 11},
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T) {
				h := &hooks{}
				app := rivettest.Start(t, definition(h, actor.Options{}))
				a := handle(app, "a")
				want(t, add, a, 1, 1)
				c.fail(app.Faults())
				if _, err := add.Call(t.Context(), a, 10); !rivet.Is(err, "actor", "commit_failed") {
					t.Fatalf("the call whose commit failed: %v", err)
				}
				want(t, get, a, rivet.None{}, c.then)
				want(t, add, a, 1, c.then+1)
				if got := h.String(); got != "created 1, woken 2, slept 0" {
					t.Errorf("hooks: %s", got)
				}
			})
		})
	}
}

func TestClearEndsAllFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := rivettest.Start(t, definition(nil, actor.Options{}))
		f := app.Faults()
		f.FailCommits(100, nil)
		f.FailCommits(0, nil) // no commit at all
		f.DelayCommits(time.Hour)
		f.HoldCommits()
		f.Clear()
		begin := time.Now()
		want(t, add, handle(app, "a"), 1, 1)
		if d := time.Since(begin); d != 0 {
			t.Errorf("took %v", d)
		}
	})
}

func TestIdleActorsSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hooks{}
		app := rivettest.Start(t, definition(h, actor.Options{}))
		a := handle(app, "a")
		want(t, add, a, 1, 1)
		app.Advance(29 * time.Second)
		awake(t, app, a, true)
		app.Advance(time.Second)
		awake(t, app, a, false)
		want(t, get, a, rivet.None{}, 1)
		awake(t, app, a, true)
		if got := h.String(); got != "created 1, woken 2, slept 1" {
			t.Errorf("hooks: %s", got)
		}
	})
}

func TestSleepAndWake(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		h := &hooks{}
		app := rivettest.Start(t, definition(h, actor.Options{NoSleep: true}))
		a := handle(app, "a")
		app.Wake(a)
		awake(t, app, a, true)
		app.Wake(a)
		app.Sleep(a)
		awake(t, app, a, false)
		app.Sleep(a)
		awake(t, app, a, false)
		if got := h.String(); got != "created 1, woken 1, slept 1" {
			t.Errorf("hooks: %s", got)
		}
	})
}

func TestConnectionsComeBack(t *testing.T) {
	for name, end := range map[string]func(*rivettest.App){
		"crash":          (*rivettest.App).Crash,
		"restart":        (*rivettest.App).Restart,
		"a day's outage": func(app *rivettest.App) { app.CrashFor(24 * time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				app := rivettest.Start(t, definition(nil, actor.Options{}))
				a := handle(app, "a")
				conn, err := a.Connect(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				var got []int
				defer changed.On(conn, func(n int) { got = append(got, n) })()
				want(t, add, conn, 1, 1)
				app.Advance(0)
				first := conn.ID()
				end(app)
				app.Advance(30 * time.Second) // the longest wait between two attempts
				if s := conn.Status(); s != rivet.ConnConnected || conn.ID() == first {
					t.Fatalf("the connection is %v, its id %q was %q", s, conn.ID(), first)
				}
				want(t, add, a, 1, 2)
				app.Advance(0)
				if fmt.Sprint(got) != "[1 2]" {
					t.Errorf("events: %v", got)
				}
			})
		})
	}
}

func TestCallsFailWhileTheProcessIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := rivettest.Start(t, definition(nil, actor.Options{}))
		a := handle(app, "a")
		want(t, add, a, 1, 1)
		failed := make(chan error, 1)
		time.AfterFunc(time.Minute, func() {
			_, err := add.Call(t.Context(), a, 1)
			failed <- err
		})
		begin := time.Now()
		app.CrashFor(time.Hour)
		if d := time.Since(begin); d != time.Hour {
			t.Errorf("the process was down for %v", d)
		}
		if err := <-failed; !rivet.Is(err, "client", "request_failed") || !strings.Contains(err.Error(), "refused") {
			t.Errorf("a call meanwhile: %v", err)
		}
		want(t, add, a, 1, 2)
	})
}

func TestHoursPassAtOnce(t *testing.T) {
	real := time.Now()
	synctest.Test(t, func(t *testing.T) {
		app := rivettest.Start(t, definition(nil, actor.Options{ActionTimeout: 2 * time.Hour}))
		begin := time.Now()
		want(t, nap, handle(app, "a"), time.Hour, 1)
		if d := time.Since(begin); d != time.Hour {
			t.Errorf("%v passed, want 1 h", d)
		}
	})
	if d := time.Since(real); d > time.Minute {
		t.Errorf("an hour of virtual time took %v", d)
	}
}

func TestACrashHitsHandlersThatRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := rivettest.Start(t, definition(nil, actor.Options{}))
		a := handle(app, "a")
		want(t, add, a, 1, 1)
		hit := make(chan error, 1)
		go func() {
			_, err := nap.Call(t.Context(), a, 30*time.Second)
			hit <- err
		}()
		app.Advance(time.Second)
		app.Crash()
		if err := <-hit; !rivet.Is(err, "client", "request_failed") {
			t.Errorf("the call that was hit: %v", err)
		}
		want(t, add, a, 1, 2)
		app.Advance(time.Minute) // the handler of the dead process returns, to nobody
		want(t, get, a, rivet.None{}, 2)
	})
}

func TestActorsCallActors(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		app := rivettest.Start(t, definition(nil, actor.Options{}))
		want(t, ask, handle(app, "a"), "b", 1)
		app.Crash()
		want(t, ask, handle(app, "a"), "b", 2)
		want(t, get, handle(app, "b"), rivet.None{}, 2)
	})
}

func TestConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		app := rivettest.StartWith(t, engine.Config{
			GatewayToken: "open sesame", Log: slog.New(slog.NewTextHandler(&log, nil)),
			Listen: "not an address", StoragePath: "/dev/null",
		}, definition(nil, actor.Options{}))
		if _, err := get.Call(t.Context(), handle(app, "a"), rivet.None{}); !rivet.Is(err, "api", "forbidden") {
			t.Errorf("without the token: %v", err)
		}
		c, err := app.NewClient(&rivet.ClientOptions{Token: "open sesame", Encoding: rivet.EncodingJSON})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		a := tallies.GetOrCreate(c, rivet.Key{"a"}, tally{})
		want(t, add, a, 1, 1)
		app.Faults().FailCommits(1, nil)
		if _, err := add.Call(t.Context(), a, 1); err == nil {
			t.Error("a failing commit was acknowledged")
		}
		app.Advance(0)
		if !strings.Contains(log.String(), "commit failed") {
			t.Errorf("the log: %s", &log)
		}
	})
}

func TestClientsLeftOpenEndWithTheApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := rivettest.Start(t, definition(nil, actor.Options{}))
		if _, err := handle(app, "a").Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		want(t, add, handle(app, "a"), 1, 1)
	})
}

func TestManyApps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all []*rivettest.App
		for range 50 {
			all = append(all, rivettest.Start(t, definition(nil, actor.Options{})))
		}
		for i, app := range all {
			want(t, add, handle(app, "a"), i, i)
		}
		all[0].Advance(time.Hour)
		for i, app := range all {
			if i%2 == 0 {
				app.Crash()
			}
			want(t, get, handle(app, "a"), rivet.None{}, i)
		}
	})
}

func TestAppsOneAfterTheOther(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			app := rivettest.Start(t, definition(nil, actor.Options{}))
			conn, err := handle(app, "a").Connect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			want(t, add, conn, 1, 1)
		})
	}
}

// fatal is a test that fails.
type fatal struct {
	testing.TB
	message string
}

type gaveUp struct{}

func (f *fatal) Fatal(args ...any) { f.message = fmt.Sprint(args...); panic(gaveUp{}) }

func (f *fatal) Fatalf(format string, args ...any) { f.Fatal(fmt.Sprintf(format, args...)) }

// failure returns how fn fails a test.
func failure(t *testing.T, fn func(testing.TB)) string {
	t.Helper()
	f := &fatal{TB: t}
	func() {
		defer func() {
			if r := recover(); r != nil && r != any(gaveUp{}) {
				panic(r)
			}
		}()
		fn(f)
	}()
	return f.message
}

func TestWhatFailsATest(t *testing.T) {
	for name, c := range map[string]struct {
		fn   func(t testing.TB)
		want string
	}{
		"definitions": {func(t testing.TB) { rivettest.Start(t, nil) }, "a definition is nil"},
		"log level":   {func(t testing.TB) { rivettest.StartWith(t, engine.Config{LogLevel: "loud"}) }, "loud"},
		"advance":     {func(t testing.TB) { rivettest.Start(t).Advance(time.Second) }, "wrap the test"},
		"an outage":   {func(t testing.TB) { rivettest.Start(t).CrashFor(time.Second) }, "wrap the test"},
		"nobody": {func(t testing.TB) {
			app := rivettest.Start(t, definition(nil, actor.Options{}))
			app.Sleep(tallies.Get(app.Client(), rivet.Key{"a"}))
		}, "not found"},
		"a start": {func(t testing.TB) {
			app := rivettest.Start(t, definition(nil, actor.Options{}))
			app.Wake(tallies.GetOrCreate(app.Client(), rivet.Key{"a"}, tally{Start: -1}))
		}, "below zero"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := failure(t, c.fn); !strings.Contains(got, c.want) {
				t.Errorf("fails with %q, want %q in it", got, c.want)
			}
		})
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	app := rivettest.Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if c, err := app.Dial(ctx, "", ""); err == nil {
		c.Close() // the process was quicker
	}
}
