package placement_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/rivetgo/rivet/internal/link"
	"github.com/rivetgo/rivet/internal/placement"
	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/store/memory"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/record"
	"github.com/rivetgo/rivet/internal/wire/why"
	"github.com/rivetgo/rivet/internal/ws"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// runner is a link.Runner whose actors do what a test tells them.
type runner struct {
	events link.Events
	// start, when set, decides about a start; the default succeeds at once.
	start func(ctx context.Context, p link.Placement) error
	// stop, when set, is called for every Stop; the default ends the actor at once, from another goroutine.
	stop func(a *actor, reason link.StopReason)

	mu     sync.Mutex
	starts int
	trace  []string
	last   *actor
}

type actor struct {
	r        *runner
	p        link.Placement
	stopping atomic.Bool
	ended    sync.Once
	calls    atomic.Int64
}

func (*runner) Forget(id.ID) {}

func (r *runner) Names() []link.Name { return []link.Name{{Name: "counter"}} }

func (r *runner) Start(ctx context.Context, p link.Placement) (link.Actor, error) {
	r.mu.Lock()
	r.starts++
	r.trace = append(r.trace, "start")
	r.mu.Unlock()
	if r.start != nil {
		if err := r.start(ctx, p); err != nil {
			return nil, err
		}
	}
	a := &actor{r: r, p: p}
	r.mu.Lock()
	r.last = a
	r.mu.Unlock()
	return a, nil
}

func (r *runner) log(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trace = append(r.trace, s)
}

func (r *runner) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.starts
}

func (r *runner) current() *actor {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

func (a *actor) HTTP(http.ResponseWriter, *http.Request) error {
	if a.stopping.Load() {
		return link.ErrStopping
	}
	a.calls.Add(1)
	return nil
}

func (a *actor) WebSocket(*http.Request, func(kept bool) (ws.Socket, error)) error { return nil }

func (a *actor) Why(context.Context) *why.Report { return &why.Report{State: why.Running} }

func (a *actor) Stop(reason link.StopReason) {
	a.r.log("stop " + reason.String())
	a.stopping.Store(true)
	if a.r.stop != nil {
		a.r.stop(a, reason)
		return
	}
	go a.end(nil)
}

func (a *actor) end(err error) {
	a.stopping.Store(true)
	a.ended.Do(func() { a.r.events.Stopped(a.p.ID, a.p.Generation, err) })
}

// world is a placement on a store in memory with one actor in it.
type world struct {
	*placement.Placement
	r    *runner
	st   *memory.Store
	id   id.ID
	left atomic.Int64
	// onLeft, when set, is called as well; it must be set before the first actor starts.
	onLeft func(store.Actor)
}

func newWorld(t *testing.T, cfg placement.Config) *world {
	t.Helper()
	w := &world{r: &runner{}, st: memory.New(memory.Options{})}
	cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	cfg.Left = func(row store.Actor) {
		w.left.Add(1)
		if w.onLeft != nil {
			w.onLeft(row)
		}
	}
	w.Placement = placement.New(w.st, w.r, cfg)
	w.r.events = w.Placement
	w.id = w.create(t, "a")
	t.Cleanup(func() {
		w.Close()
		w.st.Close()
	})
	return w
}

func (w *world) create(t *testing.T, key string) id.ID {
	t.Helper()
	row, _, err := w.st.Reserve(t.Context(), store.NewActor{ID: id.New(1), Name: "counter", Key: key, HasKey: true, CreatedAt: time.Now()}, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	return row.ID
}

// call is what the gateway does.
func call(a link.Actor) error { return a.HTTP(nil, nil) }

func wantFault(t *testing.T, err error, want string) *fault.Error {
	t.Helper()
	e, ok := fault.From(err)
	if !ok || e.Group+"."+e.Code != want {
		t.Fatalf("error is %v, want %s", err, want)
	}
	return e
}

func TestThousandFirstRequestsStartOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, placement.Config{})
		w.r.start = func(context.Context, link.Placement) error { time.Sleep(time.Second); return nil }
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				if err := w.With(t.Context(), w.id, call); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := w.r.count(); got != 1 {
			t.Errorf("started %d times", got)
		}
		if got := w.r.current().calls.Load(); got != 1000 {
			t.Errorf("%d calls arrived", got)
		}
		if st := w.Status(w.id); !st.Running || time.Since(st.Since) != 0 {
			t.Errorf("status %+v", st)
		}
	})
}

func TestSleepingActorIsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, placement.Config{})
		for round := range 3 {
			if err := w.With(t.Context(), w.id, call); err != nil {
				t.Fatal(err)
			}
			a := w.r.current()
			if a.p.Generation != uint64(round+1) {
				t.Errorf("round %d has generation %d", round, a.p.Generation)
			}
			w.SleepWanted(w.id, a.p.Generation)
			synctest.Wait()
			if w.Held() != 0 {
				t.Errorf("%d entries are held for sleeping actors", w.Held())
			}
		}
		rows, err := w.st.Actors(t.Context(), []id.ID{w.id})
		if err != nil || rows[0].SleptAt.IsZero() {
			t.Errorf("row %+v, %v: time of falling asleep is missing", rows, err)
		}
		if w.left.Load() != 3 {
			t.Errorf("Left was called %d times", w.left.Load())
		}
	})
}

// An actor that asks to sleep while it starts has been awake: Wake is content with one start.
func TestWakeOfAnActorThatSleepsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, placement.Config{})
		for n := range 20 {
			w.r.start = func(_ context.Context, p link.Placement) error { w.SleepWanted(p.ID, p.Generation); return nil }
			if err := w.Wake(t.Context(), w.id); err != nil || w.r.count() != n+1 {
				t.Fatalf("%v, %d starts after %d wakes", err, w.r.count(), n+1)
			}
			synctest.Wait()
		}
		w.r.start = func(context.Context, link.Placement) error { return errors.New("broken") }
		wantFault(t, w.Wake(t.Context(), w.id), "core.internal_error")
		if err := w.Destroy(t.Context(), w.id); err != nil {
			t.Fatal(err)
		}
		wantFault(t, w.Wake(t.Context(), w.id), "actor.not_found")
	})
}

// Awake is true exactly from the end of a start until just before Left.
func TestAwake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var atLeft []bool
		w := newWorld(t, placement.Config{})
		w.onLeft = func(row store.Actor) { atLeft = append(atLeft, w.Awake(row.ID)) }
		w.r.start = func(context.Context, link.Placement) error { time.Sleep(time.Second); return nil }
		w.r.stop = func(a *actor, _ link.StopReason) {
			go func() { time.Sleep(time.Second); a.end(nil) }()
		}
		wants := func(when string, awake bool) {
			t.Helper()
			synctest.Wait()
			if w.Awake(w.id) != awake {
				t.Errorf("%s: awake is %v", when, !awake)
			}
		}
		wants("asleep", false)
		w.Start(w.id)
		wants("starting", false)
		time.Sleep(time.Second)
		wants("running", true)
		w.SleepWanted(w.id, 1)
		wants("stopping", true)
		time.Sleep(time.Second)
		wants("asleep again", false)
		w.r.start = func(context.Context, link.Placement) error { return errors.New("broken") }
		w.Start(w.id)
		wants("failed", false)
		if !slices.Equal(atLeft, []bool{false, false}) {
			t.Errorf("awake at the calls of Left: %v", atLeft)
		}
	})
}

// Requests that arrive while the actor falls asleep are served by its next life, all by one start.
func TestRequestsDuringSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, placement.Config{})
		w.r.stop = func(a *actor, _ link.StopReason) {
			go func() { time.Sleep(5 * time.Second); a.end(nil) }()
		}
		if err := w.With(t.Context(), w.id, call); err != nil {
			t.Fatal(err)
		}
		first := w.r.current()
		w.SleepWanted(w.id, 1)
		begin := time.Now()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if err := w.With(t.Context(), w.id, call); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("waited %v", took)
		}
		if w.r.count() != 2 || first.calls.Load() != 1 || w.r.current().calls.Load() != 50 {
			t.Errorf("%d starts, %d and %d calls", w.r.count(), first.calls.Load(), w.r.current().calls.Load())
		}
	})
}

// The host has begun to stop by itself and has not said so yet: it turns the request away, which is placed again.
func TestTurnedAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, placement.Config{})
		if err := w.Wake(t.Context(), w.id); err != nil {
			t.Fatal(err)
		}
		first := w.r.current()
		first.stopping.Store(true)
		w.r.stop = func(a *actor, _ link.StopReason) {
			go func() { time.Sleep(time.Second); a.end(errors.New("commit failed")) }()
		}
		if err := w.With(t.Context(), w.id, call); err != nil {
			t.Fatal(err)
		}
		if w.r.count() != 2 || w.r.current().calls.Load() != 1 {
			t.Errorf("%d starts, %d calls", w.r.count(), w.r.current().calls.Load())
		}
	})
}

func TestWakeRetriesExceeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, placement.Config{})
		err := w.With(t.Context(), w.id, func(a link.Actor) error {
			go a.(*actor).end(nil)
			return link.ErrStopping
		})
		e := wantFault(t, err, "guard.actor_wake_retries_exceeded")
		if w.r.count() != 9 {
			t.Errorf("started %d times, want once and 8 more", w.r.count())
		}
		if want := "Actor " + w.id.String() + " stopped before becoming ready after 8 wake retries: actor_stopped_before_ready."; e.Message != want {
			t.Errorf("message %q", e.Message)
		}
	})
}

func TestReadyTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, placement.Config{})
		w.r.start = func(ctx context.Context, _ link.Placement) error { <-ctx.Done(); return ctx.Err() }
		begin := time.Now()
		err := w.With(t.Context(), w.id, call)
		wantFault(t, err, "guard.actor_ready_timeout")
		if time.Since(begin) != 30*time.Second {
			t.Errorf("after %v", time.Since(begin))
		}
		time.Sleep(2 * time.Minute) // the start itself has its own end
		if st := w.Status(w.id); st.Failure == nil {
			t.Errorf("status %+v", st)
		}
	})
}

func TestCallerGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, placement.Config{})
		w.r.start = func(context.Context, link.Placement) error { time.Sleep(10 * time.Second); return nil }
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.With(ctx, w.id, call); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v", err)
		}
		if err := w.With(t.Context(), w.id, call); err != nil || w.r.count() != 1 {
			t.Errorf("%v after %d starts", err, w.r.count())
		}
	})
}

// Everybody who waited for a failed start hears its error, and so does everybody during the backoff, without a start.
func TestStartFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, placement.Config{})
		refusal := fault.New("user", "closed", "The shop is closed.")
		w.r.start = func(context.Context, link.Placement) error { time.Sleep(time.Second); return refusal }
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				e := wantFault(t, w.With(t.Context(), w.id, call), "user.closed")
				if e.Actor == nil || e.Actor.ID != w.id.String() || e.Actor.Generation != 1 || e.Actor.Key != "a" {
					t.Errorf("error is of actor %+v", e.Actor)
				}
			})
		}
		wg.Wait()
		if refusal.Actor != nil {
			t.Error("the host's error was changed")
		}
		begin := time.Now()
		wantFault(t, w.With(t.Context(), w.id, call), "user.closed")
		if time.Since(begin) != 0 || w.r.count() != 1 {
			t.Errorf("answered after %v and %d starts", time.Since(begin), w.r.count())
		}
		if st := w.Status(w.id); st.Failure == nil || !st.RetryAt.After(time.Now()) {
			t.Errorf("status %+v", st)
		}

		// The first request after the backoff tries again; the backoff grows but stays bounded.
		var last time.Duration
		for range 12 {
			time.Sleep(time.Until(w.Status(w.id).RetryAt))
			synctest.Wait()
			before := w.r.count()
			wantFault(t, w.With(t.Context(), w.id, call), "user.closed")
			if w.r.count() != before+1 {
				t.Fatalf("%d starts", w.r.count()-before)
			}
			last = time.Until(w.Status(w.id).RetryAt)
		}
		if last < 7*time.Second || last > 10*time.Second {
			t.Errorf("backoff grew to %v", last)
		}

		w.r.start = nil
		time.Sleep(10 * time.Second)
		if err := w.With(t.Context(), w.id, call); err != nil {
			t.Error(err)
		}
		if st := w.Status(w.id); st.Failure != nil || !st.Running {
			t.Errorf("status %+v", st)
		}
	})
}

func TestFailureIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, placement.Config{})
		w.r.start = func(context.Context, link.Placement) error { return errors.New("secret") }
		e := wantFault(t, w.With(t.Context(), w.id, call), "core.internal_error")
		if e.Message != fault.InternalMessage || e.Cause == nil {
			t.Errorf("error %+v", e)
		}
		if w.Held() != 1 {
			t.Errorf("%d entries", w.Held())
		}
		time.Sleep(11 * time.Minute)
		if w.Held() != 0 {
			t.Errorf("%d entries", w.Held())
		}
	})
}

// TestG7_FailuresAreBounded: no more failed starts are remembered than MaxFailures, however many there are.
func TestG7_FailuresAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, placement.Config{MaxFailures: 3})
		w.r.start = func(context.Context, link.Placement) error { return errors.New("secret") }
		for round := range 2 {
			for i := range 10 {
				wantFault(t, w.With(t.Context(), w.create(t, string(rune('b'+i))), call), "core.internal_error")
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if w.Held() != 3 {
				t.Errorf("round %d: %d failures are held", round, w.Held())
			}
		}
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		if w.Held() != 0 {
			t.Errorf("%d failures are held", w.Held())
		}
	})
}

func TestUnknownActor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, placement.Config{})
		nobody := id.New(1)
		wantFault(t, w.With(t.Context(), nobody, call), "actor.not_found")
		if err := w.Destroy(t.Context(), nobody); err != nil {
			t.Error(err)
		}
		if w.Held() != 0 {
			t.Errorf("%d entries", w.Held())
		}
	})
}

func TestDestroySleepingActorDoesNotWakeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, placement.Config{})
		if err := w.Destroy(t.Context(), w.id); err != nil {
			t.Fatal(err)
		}
		if w.r.count() != 0 {
			t.Error("it was started")
		}
		rows, _ := w.st.Actors(t.Context(), []id.ID{w.id})
		if rows[0].DestroyedAt.IsZero() {
			t.Error("it lives")
		}
		wantFault(t, w.With(t.Context(), w.id, call), "actor.not_found")
		if err := w.Destroy(t.Context(), w.id); err != nil {
			t.Error(err)
		}
	})
}

// TestG2_DestroyAnswersWhenDurable also shows what those hear who wait for the actor meanwhile.
func TestG2_DestroyAnswersWhenDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, placement.Config{})
		w.r.stop = func(a *actor, _ link.StopReason) {
			go func() { time.Sleep(2 * time.Second); a.end(nil) }()
		}
		if err := w.Wake(t.Context(), w.id); err != nil {
			t.Fatal(err)
		}
		w.st.Hold()
		var deleted, refused atomic.Bool
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if err := w.Destroy(t.Context(), w.id); err != nil {
					t.Error(err)
				}
				deleted.Store(true)
			})
		}
		synctest.Wait()
		wg.Go(func() {
			wantFault(t, w.With(t.Context(), w.id, call), "actor.destroyed_while_waiting_for_ready")
			refused.Store(true)
		})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if deleted.Load() || refused.Load() {
			t.Fatal("answered before the destroy was durable")
		}
		w.st.Resume()
		wg.Wait()
		if want := []string{"start", "stop destroy"}; !slices.Equal(w.r.trace, want) {
			t.Errorf("trace %v, want %v", w.r.trace, want)
		}
	})
}

func TestDestroyRaisesSleepAndStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, placement.Config{})
		w.r.start = func(context.Context, link.Placement) error { time.Sleep(time.Second); return nil }
		w.r.stop = func(a *actor, _ link.StopReason) {
			go func() { time.Sleep(time.Second); a.end(nil) }()
		}
		w.Start(w.id)
		synctest.Wait()
		if err := w.Destroy(t.Context(), w.id); err != nil { // while it starts
			t.Fatal(err)
		}
		other := w.create(t, "b")
		if err := w.Wake(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		w.SleepWanted(other, 1)
		if err := w.Destroy(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		if want := []string{"start", "stop destroy", "start", "stop sleep", "stop destroy"}; !slices.Equal(w.r.trace, want) {
			t.Errorf("trace %v, want %v", w.r.trace, want)
		}
	})
}

// The actor's code asks for it. The key is free afterwards.
func TestDestroyWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, placement.Config{})
		if err := w.Wake(t.Context(), w.id); err != nil {
			t.Fatal(err)
		}
		w.DestroyWanted(w.id, 1)
		synctest.Wait()
		if again := w.create(t, "a"); again == w.id {
			t.Error("the key still leads to the destroyed actor")
		}
		if w.Held() != 0 {
			t.Errorf("%d entries", w.Held())
		}
	})
}

// TestG3_OlderGenerationIsNotHeard: what an actor says of an older generation changes nothing.
func TestG3_OlderGenerationIsNotHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, placement.Config{})
		for range 2 {
			if err := w.Wake(t.Context(), w.id); err != nil {
				t.Fatal(err)
			}
			if w.r.count() == 1 {
				w.SleepWanted(w.id, 1)
				synctest.Wait()
			}
		}
		w.SleepWanted(w.id, 1)
		w.DestroyWanted(w.id, 1)
		w.Stopped(w.id, 1, errors.New("late"))
		synctest.Wait()
		if !w.Status(w.id).Running {
			t.Error("the running generation was stopped")
		}
	})
}

// TestG3_Fenced: somebody else takes the actor over. Its host finds out, ends it, and the next request starts it anew
// with a higher generation.
func TestG3_Fenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, placement.Config{})
		if err := w.Wake(t.Context(), w.id); err != nil {
			t.Fatal(err)
		}
		a := w.r.current()
		if _, err := w.st.Acquire(t.Context(), w.id); err != nil {
			t.Fatal(err)
		}
		var b record.Batch
		b.Put(record.Key(record.KindState), record.Seal([]byte{0}))
		if err := a.p.Records.Commit(&b, func(error) {}); !errors.Is(err, store.ErrFenced) {
			t.Fatalf("commit: %v", err)
		}
		a.end(store.ErrFenced)
		if err := w.With(t.Context(), w.id, call); err != nil {
			t.Fatal(err)
		}
		if got := w.r.current().p.Generation; got != 3 {
			t.Errorf("generation %d", got)
		}
	})
}

// The end is reported before Start has returned.
func TestStoppedBeforeStartReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, placement.Config{})
		w.r.start = func(_ context.Context, p link.Placement) error {
			if p.Generation == 1 {
				w.Stopped(p.ID, p.Generation, errors.New("commit failed"))
			}
			return nil
		}
		if err := w.With(t.Context(), w.id, call); err != nil {
			t.Fatal(err)
		}
		if got := w.r.current().p.Generation; got != 2 {
			t.Errorf("served by generation %d", got)
		}
	})
}

// TestG6_HostThatNeverReportsTheEnd: the actor is given up, and lives again elsewhere.
func TestG6_HostThatNeverReportsTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, placement.Config{StopTimeout: time.Minute})
		if err := w.Wake(t.Context(), w.id); err != nil {
			t.Fatal(err)
		}
		stuck := w.r.current()
		w.r.stop = func(*actor, link.StopReason) {}
		w.SleepWanted(w.id, 1)
		wantFault(t, w.With(t.Context(), w.id, call), "guard.actor_ready_timeout")
		time.Sleep(time.Minute)
		if err := w.With(t.Context(), w.id, call); err != nil {
			t.Fatal(err)
		}
		var b record.Batch
		b.Put(record.Key(record.KindState), record.Seal([]byte{0}))
		if err := stuck.p.Records.Commit(&b, func(error) {}); !errors.Is(err, store.ErrFenced) {
			t.Errorf("the copy that was given up commits: %v", err)
		}
		stuck.end(nil) // late, and not heard
		synctest.Wait()
		if !w.Status(w.id).Running {
			t.Error("a late report stopped the new copy")
		}
	})
}

func TestSleepOnRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, placement.Config{})
		if err := w.Sleep(t.Context(), w.id); err != nil || w.r.count() != 0 {
			t.Errorf("sleeping actor: %v, %d starts", err, w.r.count())
		}
		w.r.start = func(context.Context, link.Placement) error { time.Sleep(time.Second); return nil }
		w.r.stop = func(a *actor, _ link.StopReason) {
			go func() { time.Sleep(time.Second); a.end(nil) }()
		}
		w.Start(w.id)
		begin := time.Now()
		if err := w.Sleep(t.Context(), w.id); err != nil {
			t.Fatal(err)
		}
		if time.Since(begin) != 2*time.Second || w.Held() != 0 {
			t.Errorf("after %v, %d entries", time.Since(begin), w.Held())
		}
	})
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, placement.Config{})
		w.r.stop = func(a *actor, _ link.StopReason) {
			go func() { time.Sleep(time.Second); a.end(nil) }()
		}
		ids := []id.ID{w.id}
		for _, key := range []string{"b", "c", "d"} {
			ids = append(ids, w.create(t, key))
		}
		for _, i := range ids[:3] {
			if err := w.Wake(t.Context(), i); err != nil {
				t.Fatal(err)
			}
		}
		// One is starting and does not come to an end by itself.
		w.r.start = func(ctx context.Context, _ link.Placement) error { <-ctx.Done(); return ctx.Err() }
		var wg sync.WaitGroup
		wg.Go(func() { wantFault(t, w.With(t.Context(), ids[3], call), "guard.service_unavailable") })
		synctest.Wait()

		var lefts []int
		if err := w.Drain(t.Context(), func(left int) { lefts = append(lefts, left) }); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if lefts[len(lefts)-1] != 0 || w.Held() != 0 {
			t.Errorf("progress %v, %d held", lefts, w.Held())
		}
		wantFault(t, w.With(t.Context(), w.id, call), "guard.service_unavailable")
		wantFault(t, w.Destroy(t.Context(), w.id), "guard.service_unavailable")
		stops := slices.DeleteFunc(slices.Clone(w.r.trace), func(s string) bool { return s != "stop going_away" })
		if len(stops) != 3 {
			t.Errorf("trace %v", w.r.trace)
		}
	})
}

func TestDrainIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, placement.Config{})
		if err := w.Wake(t.Context(), w.id); err != nil {
			t.Fatal(err)
		}
		w.r.stop = func(*actor, link.StopReason) {}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		err := w.Drain(ctx, nil)
		if d, ok := errors.AsType[*placement.DrainError](err); !ok || d.Left != 1 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v", err)
		}
	})
}

// A failed erasure is told to who asked, and tried again until it works.
func TestG6_EraseIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, placement.Config{})
		w.st.Hold()
		done := make(chan error, 1)
		go func() { done <- w.Destroy(t.Context(), w.id) }()
		synctest.Wait()
		w.st.Crash()
		w.st.Resume()
		if err := <-done; err != nil {
			wantFault(t, err, "guard.service_unavailable")
		}
		time.Sleep(time.Minute)
		if w.Held() != 0 {
			t.Errorf("%d entries", w.Held())
		}
	})
}

func TestAbort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, placement.Config{})
		if err := w.Wake(t.Context(), w.id); err != nil {
			t.Fatal(err)
		}
		w.Abort(w.id, errors.New("lost"))
		synctest.Wait()
		if w.Held() != 0 {
			t.Error("it still runs")
		}
	})
}

func BenchmarkWithRunning(b *testing.B) {
	st := memory.New(memory.Options{})
	defer st.Close()
	r := &runner{}
	p := placement.New(st, r, placement.Config{})
	defer p.Close()
	r.events = p
	row, _, err := st.Reserve(b.Context(), store.NewActor{ID: id.New(1), Name: "counter", Key: "a", HasKey: true}, func(error) {})
	if err != nil {
		b.Fatal(err)
	}
	if err := p.Wake(b.Context(), row.ID); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := p.With(b.Context(), row.ID, call); err != nil {
			b.Fatal(err)
		}
	}
}
