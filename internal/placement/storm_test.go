package placement_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rivetgo/rivet/internal/link"
	"github.com/rivetgo/rivet/internal/placement"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/id"
)

// TestStorm does everything to a few actors at once and checks what must hold whatever the order: one copy of an actor
// runs at a time, no call is left without an answer, every start is followed by one end, and in the end nothing is left.
// The seed of a run is in its failures.
func TestStorm(t *testing.T) {
	for range 20 {
		seed := rand.Uint64()
		synctest.Test(t, func(t *testing.T) { storm(t, seed) })
	}
}

func storm(t *testing.T, seed uint64) {
	w := newWorld(t, placement.Config{})
	ids := []id.ID{w.id, w.create(t, "b"), w.create(t, "c")}
	running := map[id.ID]*atomic.Int64{}
	for _, i := range ids {
		running[i] = new(atomic.Int64)
	}
	var mu sync.Mutex
	rnd := rand.New(rand.NewPCG(seed, 0))
	chance := func(oneIn int) bool {
		mu.Lock()
		defer mu.Unlock()
		return rnd.IntN(oneIn) == 0
	}
	pause := func() {
		mu.Lock()
		d := time.Duration(rnd.IntN(50)) * time.Millisecond
		mu.Unlock()
		time.Sleep(d)
	}
	var served, ends atomic.Int64
	w.r.start = func(_ context.Context, p link.Placement) error {
		pause()
		if chance(5) {
			return fault.New("user", "closed", "no")
		}
		if n := running[p.ID].Add(1); n != 1 {
			t.Errorf("seed %d: %d copies of an actor run", seed, n)
		}
		return nil
	}
	end := func(a *actor, err error) {
		a.stopping.Store(true)
		a.ended.Do(func() {
			ends.Add(1)
			running[a.p.ID].Add(-1)
			w.Stopped(a.p.ID, a.p.Generation, err)
		})
	}
	var hosts sync.WaitGroup // what the hosts do on their own
	w.r.stop = func(a *actor, _ link.StopReason) {
		hosts.Go(func() { pause(); end(a, nil) })
	}

	var wg sync.WaitGroup
	for n := range 12 {
		wg.Go(func() {
			for range 40 {
				pause()
				actorID := ids[n%len(ids)]
				switch {
				case n == 0 && chance(30):
					if err := w.Destroy(t.Context(), ids[2]); err != nil {
						t.Errorf("seed %d: destroy: %v", seed, err)
					}
				case chance(8):
					if err := w.Sleep(t.Context(), actorID); err != nil {
						t.Errorf("seed %d: sleep: %v", seed, err)
					}
				default:
					err := w.With(t.Context(), actorID, func(a link.Actor) error {
						live := a.(*actor)
						switch {
						case live.stopping.Load():
							return link.ErrStopping
						case chance(15):
							hosts.Go(func() { end(live, errors.New("commit failed")) })
						case chance(10):
							hosts.Go(func() { w.SleepWanted(live.p.ID, live.p.Generation) })
						}
						served.Add(1)
						return nil
					})
					if e, ok := fault.From(err); err != nil && (!ok || e.Code != "closed" && e.Code != "not_found" && e.Code != "destroyed_while_waiting_for_ready") {
						t.Errorf("seed %d: %v", seed, err)
					}
				}
			}
		})
	}
	wg.Wait()
	if err := w.Drain(t.Context(), nil); err != nil {
		t.Errorf("seed %d: %v", seed, err)
	}
	hosts.Wait()
	for _, n := range running {
		if n.Load() != 0 {
			t.Errorf("seed %d: something still runs", seed)
		}
	}
	if w.Held() != 0 || served.Load() == 0 || ends.Load() == 0 {
		t.Errorf("seed %d: %d held, %d served, %d ends", seed, w.Held(), served.Load(), ends.Load())
	}
}
