package alarm_test

import (
	"context"
	"errors"
	"fmt"
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

	"github.com/rivetgo/rivet/internal/alarm"
	"github.com/rivetgo/rivet/internal/link"
	"github.com/rivetgo/rivet/internal/placement"
	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/store/embedded"
	"github.com/rivetgo/rivet/internal/store/faulty"
	"github.com/rivetgo/rivet/internal/store/memory"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/record"
	"github.com/rivetgo/rivet/internal/wire/why"
	"github.com/rivetgo/rivet/internal/ws"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a clock on a store and a real placement, whose actors do what a test tells them.
type world struct {
	testing.TB
	st    *faulty.Store
	p     *placement.Placement
	clock *alarm.Clock
	began time.Time

	// start decides about a start; nil succeeds at once.
	start func(ctx context.Context, name string) error
	// live is what an actor does once it runs; nil stays awake.
	live func(a *actor)

	mu       sync.Mutex // guards the rest
	woken    []string   // the starts: "name@seconds"
	starting int
	most     int // starts at once
}

type actor struct {
	w    *world
	p    link.Placement
	name string
	stop sync.Once
}

func newWorld(t *testing.T, cfg alarm.Config) *world {
	return newWorldOn(t, memory.New(memory.Options{}), cfg)
}

func newWorldOn(t testing.TB, st store.Store, cfg alarm.Config) *world {
	w := &world{TB: t, st: faulty.New(st, 1), began: time.Now()}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	cfg.Logger = quiet
	w.p = placement.New(w.st, w, placement.Config{Logger: quiet, Left: func(row store.Actor) { w.clock.Left(row.ID) }})
	w.clock = alarm.New(w.st, w.p, cfg)
	t.Cleanup(func() {
		w.clock.Close()
		if err := w.p.Drain(context.Background(), nil); err != nil {
			t.Error(err)
		}
		w.p.Close()
		w.st.Close()
	})
	return w
}

func (w *world) Names() []link.Name { return nil }

func (w *world) Start(ctx context.Context, p link.Placement) (link.Actor, error) {
	a := &actor{w: w, p: p, name: p.Key}
	w.mu.Lock()
	w.woken = append(w.woken, fmt.Sprintf("%s@%v", a.name, time.Since(w.began)))
	w.starting++
	w.most = max(w.most, w.starting)
	w.mu.Unlock()
	var err error
	if w.start != nil {
		err = w.start(ctx, a.name)
	}
	w.mu.Lock()
	w.starting--
	w.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if w.live != nil {
		go w.live(a)
	}
	return a, nil
}

func (a *actor) HTTP(http.ResponseWriter, *http.Request) error                     { return nil }
func (a *actor) WebSocket(*http.Request, func(kept bool) (ws.Socket, error)) error { return nil }
func (w *world) Forget(id.ID)                                                      {}
func (a *actor) Why(context.Context) *why.Report                                   { return &why.Report{} }
func (a *actor) Stop(link.StopReason)                                              { go a.end() }
func (a *actor) end()                                                              { a.stop.Do(func() { a.w.p.Stopped(a.p.ID, a.p.Generation, nil) }) }
func (a *actor) sleep()                                                            { a.w.p.SleepWanted(a.p.ID, a.p.Generation) }
func (a *actor) setAlarm(in time.Duration)                                         { setAlarm(a.w, a.p.Records, time.Now().Add(in)) }
func (a *actor) clearAlarm()                                                       { setAlarm(a.w, a.p.Records, time.Time{}) }

func setAlarm(t testing.TB, r link.Records, at time.Time) {
	b := &record.Batch{SetAlarm: true}
	if !at.IsZero() {
		b.Alarm = at.UnixMilli()
	}
	done := make(chan error, 1)
	err := r.Commit(b, func(err error) { done <- err })
	if err == nil {
		err = <-done
	}
	if err != nil {
		t.Error(err)
	}
}

// sleeping makes a sleeping actor whose alarm is in so long from now; it may be negative.
func (w *world) sleeping(name string, in time.Duration) id.ID {
	w.Helper()
	actor, err := w.make(name, time.Now().Add(in))
	if err != nil {
		w.Fatal(err)
	}
	return actor
}

func (w *world) make(name string, at time.Time) (id.ID, error) {
	n := store.NewActor{ID: id.New(1), Name: "n", Key: name, HasKey: true, CreatedAt: time.Now()}
	if _, _, err := w.st.Reserve(w.Context(), n, func(error) {}); err != nil {
		return n.ID, err
	}
	t, err := w.st.Acquire(w.Context(), n.ID)
	if err != nil {
		return n.ID, err
	}
	setAlarm(w, t, at)
	return n.ID, t.Release(time.Now())
}

func (w *world) starts() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.woken)
}

func (w *world) wants(want ...string) {
	w.Helper()
	synctest.Wait()
	if got := w.starts(); !slices.Equal(got, want) {
		w.Fatalf("starts after %v: %v, want %v", time.Since(w.began), got, want)
	}
}

func TestG4_WakesAtItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, alarm.Config{})
		w.sleeping("far", 3*time.Hour)
		w.sleeping("b", 90*time.Second)
		w.sleeping("a", 1500*time.Millisecond)
		w.sleeping("now", 0)
		w.clock.Start()
		w.wants("now@0s")
		time.Sleep(time.Minute)
		w.wants("now@0s", "a@1.5s")
		time.Sleep(4 * time.Hour)
		w.wants("now@0s", "a@1.5s", "b@1m30s", "far@3h0m0s")
	})
}

func TestNothingBeforeStartNorAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, alarm.Config{})
		actor := w.sleeping("a", -time.Hour)
		w.clock.Left(actor)
		time.Sleep(time.Minute)
		w.wants()
		w.sleeping("b", 5*time.Minute)
		w.clock.Start()
		w.clock.Start()
		time.Sleep(time.Minute)
		w.wants("a@1m0s")
		w.clock.Close()
		w.clock.Close()
		w.clock.Start()
		w.clock.Left(actor)
		time.Sleep(time.Hour)
		w.wants("a@1m0s")
		alarm.New(w.st, w.p, alarm.Config{}).Close() // never started
	})
}

// What is overdue when the process starts is served at a bounded pace, the earliest first.
func TestG4_OverdueAtStartWithoutStampede(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, alarm.Config{MaxWakes: 4})
		w.start = func(context.Context, string) error { time.Sleep(time.Second); return nil }
		var want []string
		for i := range 1000 {
			w.sleeping(fmt.Sprintf("%03d", i), time.Duration(i-2000)*time.Second)
			want = append(want, fmt.Sprintf("%03d@%v", i, time.Duration(i/4)*time.Second))
		}
		w.clock.Start()
		time.Sleep(time.Hour)
		got := w.starts()
		slices.Sort(got) // those of one second come in any order
		if !slices.Equal(got, want) || w.most != 4 {
			t.Errorf("%d at once, starts %.200s", w.most, fmt.Sprint(got))
		}
	})
}

func TestFailingActorsDoNotBlockOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, alarm.Config{MaxWakes: 2})
		var broken atomic.Bool
		broken.Store(true)
		w.start = func(_ context.Context, name string) error {
			if name[0] == 'x' && broken.Load() {
				return errors.New("broken")
			}
			return nil
		}
		for i := range 20 {
			w.sleeping(fmt.Sprint("x", i), -time.Hour)
		}
		w.sleeping("good", 0)
		w.sleeping("later", time.Minute)
		w.clock.Start()
		time.Sleep(time.Hour)
		got := w.starts()
		if !slices.Contains(got, "good@0s") || !slices.Contains(got, "later@1m0s") {
			t.Errorf("starts %v", got)
		}
		// Doubling up to a minute: about 8 tries to get there, one a minute then.
		if n := len(got); n < 20*50 || n > 20*100 {
			t.Errorf("%d starts of 20 actors that fail", n)
		}
		broken.Store(false)
		time.Sleep(2 * time.Minute)
		n := len(w.starts())
		time.Sleep(time.Hour)
		if len(w.starts()) != n || w.p.Held() != 22 {
			t.Errorf("%d starts after all went well, %d are awake", len(w.starts())-n, w.p.Held())
		}
	})
}

func TestHangingStartsDoNotBlockOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, alarm.Config{MaxWakes: 2})
		w.start = func(ctx context.Context, name string) error {
			if name[0] == 'x' {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		for i := range 4 {
			w.sleeping(fmt.Sprint("x", i), -time.Hour)
		}
		w.sleeping("good", 0)
		w.clock.Start()
		time.Sleep(time.Minute)
		if got := w.starts(); !slices.Contains(got, "good@20s") {
			t.Errorf("starts %v", got)
		}
	})
}

func TestRunningActorIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, alarm.Config{})
		var a *actor
		w.live = func(self *actor) { a = self }
		actor := w.sleeping("a", 10*time.Second)
		w.clock.Start()
		time.Sleep(5 * time.Second)
		if err := w.p.Wake(t.Context(), actor); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		w.wants("a@5s")
		a.sleep() // with its alarm long past
		w.wants("a@5s", "a@1h0m5s")
	})
}

func TestFallingAsleep(t *testing.T) {
	for _, tt := range []struct {
		name string
		last func(a *actor)
		want []string
	}{
		{"with_a_new_alarm_in_the_past", func(a *actor) { a.setAlarm(-time.Second) }, []string{"a@0s", "a@30s"}},
		{"with_an_alarm_soon", func(a *actor) { a.setAlarm(1234 * time.Millisecond) }, []string{"a@0s", "a@31.234s"}},
		{"with_an_alarm_later", func(a *actor) { a.setAlarm(10 * time.Minute) }, []string{"a@0s", "a@10m30s"}},
		{"without_an_alarm", func(a *actor) { a.clearAlarm() }, []string{"a@0s"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, alarm.Config{})
				w.live = func(a *actor) {
					if a.p.Generation > 2 { // the first was that of sleeping
						return
					}
					time.Sleep(30 * time.Second)
					tt.last(a)
					a.sleep()
				}
				w.sleeping("a", 0)
				w.clock.Start()
				time.Sleep(time.Hour)
				w.wants(tt.want...)
			})
		})
	}
}

// An actor that falls asleep again and again with the alarm that it was woken for is not woken in a busy loop.
func TestPauseWhenWakingComesToNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, alarm.Config{})
		w.live = func(a *actor) { a.sleep() }
		w.sleeping("a", 0)
		w.clock.Start()
		time.Sleep(time.Hour)
		if n := len(w.starts()); n < 50 || n > 100 {
			t.Errorf("%d starts", n)
		}
	})
}

func TestDestroyedActorIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, alarm.Config{})
		w.start = func(_ context.Context, name string) error {
			if name == "failing" {
				return errors.New("broken")
			}
			return nil
		}
		asleep := w.sleeping("asleep", 10*time.Second)
		failing := w.sleeping("failing", 0)
		w.clock.Start()
		time.Sleep(5 * time.Second)
		n := len(w.starts())
		for _, actor := range []id.ID{asleep, failing} {
			if err := w.p.Destroy(t.Context(), actor); err != nil {
				t.Fatal(err)
			}
		}
		// Behind placement's back.
		tenure, err := w.st.Acquire(t.Context(), w.sleeping("other", 10*time.Second))
		if err == nil {
			time.Sleep(time.Second)
			err = tenure.Destroy(t.Context(), time.Now())
		}
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if got := w.starts(); len(got) != n {
			t.Errorf("starts %v", got[n:])
		}
	})
}

func TestG4_ClockJumps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var offset time.Duration
		jump := func(d time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			offset += d
		}
		w := newWorld(t, alarm.Config{Now: func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return time.Now().Add(offset).Round(0)
		}})
		w.sleeping("a", time.Hour)
		w.sleeping("b", 2*time.Hour)
		w.sleeping("c", 20*time.Second)
		w.clock.Start()
		time.Sleep(11 * time.Second)
		jump(-time.Hour)
		time.Sleep(30 * time.Minute)
		w.wants()
		time.Sleep(time.Hour)
		w.wants("c@1h0m20s")
		jump(time.Hour) // back where it was: an hour and a half has passed
		time.Sleep(10 * time.Second)
		if got := w.starts(); len(got) != 2 || got[1][:2] != "a@" {
			t.Fatalf("starts %v", got)
		}
		jump(20 * time.Minute)
		time.Sleep(time.Hour)
		if got := w.starts(); len(got) != 3 || got[2] != "b@1h40m0s" {
			t.Fatalf("starts %v", got)
		}
	})
}

func TestG4_StoreFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, alarm.Config{})
		var a *actor
		w.live = func(self *actor) { a = self }
		w.sleeping("a", 5*time.Second)
		w.clock.Start()
		time.Sleep(10 * time.Second)
		w.wants("a@5s")
		// The reading after it falls asleep fails, and those that follow.
		w.st.Add(faulty.Rule{On: faulty.Read, Times: 5, Do: faulty.Refuse(store.ErrUnavailable)})
		a.setAlarm(time.Second)
		a.sleep()
		time.Sleep(time.Minute)
		w.wants("a@5s", "a@15s")
		// The wake fails.
		w.st.Add(faulty.Rule{On: faulty.Acquire, Do: faulty.Refuse(store.ErrUnavailable)})
		a.setAlarm(time.Second)
		a.sleep()
		time.Sleep(time.Minute)
		if n := len(w.starts()); n != 3 {
			t.Errorf("starts %v", w.starts())
		}
	})
}

// TestG4_Lateness has two thousand actors wake ten times each within a minute. In fake time, what is late is what the
// clock held back; the rest is a matter of the machine, which BenchmarkLateness measures.
func TestG4_Lateness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, alarm.Config{})
		w.start = func(context.Context, string) error { time.Sleep(10 * time.Millisecond); return nil }
		late := w.load(2_000, 20_000, time.Minute)
		if len(late) < 18_000 {
			t.Fatalf("%d wakes", len(late))
		}
		if p99 := late[len(late)*99/100]; p99 > 100*time.Millisecond {
			t.Errorf("p99 of the lateness is %v, the worst %v", p99, late[len(late)-1])
		}
	})
}

// BenchmarkLateness has ten thousand sleeping actors of a store on disk wake ten times each, spread over a minute.
func BenchmarkLateness(b *testing.B) {
	for b.Loop() {
		st, err := embedded.Open(b.TempDir(), embedded.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
		if err != nil {
			b.Fatal(err)
		}
		late := newWorldOn(b, st, alarm.Config{}).load(10_000, 100_000, time.Minute)
		b.ReportMetric(float64(len(late)), "wakes")
		for name, at := range map[string]int{"p50_ms": 50, "p99_ms": 99} {
			b.ReportMetric(float64(late[len(late)*at/100].Microseconds())/1000, name)
		}
		b.ReportMetric(float64(late[len(late)-1].Microseconds())/1000, "worst_ms")
	}
}

// load spreads alarms evenly over actors and time: each actor sets the next one when it wakes, and sleeps again. It
// returns how late each was, sorted.
func (w *world) load(actors, alarms int, within time.Duration) []time.Duration {
	w.Helper()
	every := within / time.Duration(alarms/actors)
	var mu sync.Mutex
	var late []time.Duration
	w.live = func(a *actor) {
		due := a.p.Records.Alarm()
		mu.Lock()
		late = append(late, time.Since(due))
		mu.Unlock()
		setAlarm(w, a.p.Records, due.Add(every))
		a.sleep()
	}
	made := time.Now()
	spare := 10 * time.Second // to make the actors in
	var making sync.WaitGroup
	for worker := range 50 {
		making.Go(func() {
			for i := worker; i < actors; i += 50 {
				if _, err := w.make(fmt.Sprint(i), made.Add(spare+time.Duration(i)*every/time.Duration(actors))); err != nil {
					w.Error(err)
				}
			}
		})
	}
	making.Wait()
	if time.Since(made) > spare {
		w.Fatalf("making %d actors took %v", actors, time.Since(made))
	}
	w.clock.Start()
	time.Sleep(time.Until(made.Add(spare + within - every/2)))
	w.clock.Close()
	time.Sleep(time.Second) // starts under way go on
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(late)
	return late
}
