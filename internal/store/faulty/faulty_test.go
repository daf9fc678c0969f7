package faulty_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/store/faulty"
	"github.com/rivetgo/rivet/internal/store/memory"
	"github.com/rivetgo/rivet/internal/store/storetest"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformanceWithoutRules(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return faulty.New(memory.New(memory.Options{}), 1) })
}

var errDisk = errors.New("the disk is on fire")

// fixture is a store under faults with one actor, under synctest.
type fixture struct {
	*testing.T
	s     *faulty.Store
	actor id.ID
	log   []string // outcomes in the order in which they came; read after synctest.Wait
}

func with(t *testing.T, run func(*fixture)) {
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{T: t, s: faulty.New(memory.New(memory.Options{}), 1)}
		defer f.s.Close()
		n := store.NewActor{ID: id.New(1), Name: "thing", Key: "k", HasKey: true, CreatedAt: time.Now()}
		if _, _, err := f.s.Reserve(t.Context(), n, func(error) {}); err != nil {
			t.Fatal(err)
		}
		f.actor = n.ID
		run(f)
	})
}

func (f *fixture) acquire() store.Tenure {
	f.Helper()
	t, err := f.s.Acquire(f.Context(), f.actor)
	if err != nil {
		f.Fatal(err)
	}
	return t
}

func (f *fixture) commit(t store.Tenure, value string) error {
	b := &record.Batch{}
	b.Put(record.Key(record.KindState), []byte(value))
	return t.Commit(b, func(err error) {
		var ce *store.CommitError
		switch {
		case err == nil:
			f.log = append(f.log, value+" ok")
		case errors.As(err, &ce) && errors.Is(err, errDisk):
			f.log = append(f.log, value+" failed")
		default:
			f.log = append(f.log, value+" "+err.Error())
		}
	})
}

func (f *fixture) commits(t store.Tenure, values ...string) {
	f.Helper()
	for _, v := range values {
		if err := f.commit(t, v); err != nil {
			f.Fatalf("commit %s: %v", v, err)
		}
	}
}

func (f *fixture) expect(log ...string) {
	f.Helper()
	synctest.Wait()
	if got, want := fmt.Sprint(f.log), fmt.Sprint(log); got != want {
		f.Fatalf("outcomes %s, want %s", got, want)
	}
	f.log = nil
}

// state is what a new owner finds.
func (f *fixture) state() string {
	f.Helper()
	for _, r := range f.acquire().Hot() {
		return string(r.Value)
	}
	return ""
}

func TestLose(t *testing.T) {
	with(t, func(f *fixture) {
		f.s.Add(faulty.Rule{On: faulty.Commit, Skip: 2, Do: faulty.Lose(errDisk)})
		t := f.acquire()
		f.commits(t, "1", "2", "3")
		if err := f.commit(t, "4"); !errors.Is(err, store.ErrUnavailable) {
			f.Fatal(err)
		}
		f.expect("1 ok", "2 ok", "3 failed")
		if got := f.state(); got != "2" {
			f.Fatalf("state %q", got)
		}
		f.commits(f.acquire(), "5") // the rule has fired
		f.expect("5 ok")
	})
}

func TestKeep(t *testing.T) {
	with(t, func(f *fixture) {
		f.s.Add(faulty.Rule{On: faulty.Commit, Skip: 1, Do: faulty.Keep(errDisk)})
		t := f.acquire()
		f.commits(t, "1", "2")
		if err := f.commit(t, "3"); !errors.Is(err, store.ErrUnavailable) {
			f.Fatal(err)
		}
		f.expect("1 ok", "2 failed")
		if got := f.state(); got != "2" {
			f.Fatalf("state %q", got)
		}
	})
}

func TestDelayKeepsTheOrder(t *testing.T) {
	with(t, func(f *fixture) {
		g := faulty.NewGate()
		f.s.Add(faulty.Rule{On: faulty.Commit, Actor: f.actor, Skip: 1, Do: faulty.Delay(g)})
		f.s.Add(faulty.Rule{On: faulty.Commit, Skip: 2, Do: faulty.Lose(errDisk)})
		t := f.acquire()
		f.commits(t, "1", "2", "3", "4") // the second rule does not see 2
		<-g.Reached()
		f.expect("1 ok")
		g.Open()
		g.Open()
		f.expect("2 ok", "3 ok", "4 failed")
	})
}

func TestRefuse(t *testing.T) {
	with(t, func(f *fixture) {
		t := f.acquire()
		f.s.Add(faulty.Rule{On: faulty.Commit, Times: 2, Do: faulty.Refuse(faulty.ErrDiskFull)})
		for range 2 {
			if err := f.commit(t, "1"); !errors.Is(err, faulty.ErrDiskFull) || !errors.Is(err, store.ErrUnavailable) {
				f.Fatal(err)
			}
		}
		f.commits(t, "2")
		f.expect("2 ok")
		f.s.Add(faulty.Rule{On: faulty.Read, Times: -1, Do: faulty.Refuse(store.ErrUnavailable)})
		f.s.Add(faulty.Rule{On: faulty.Acquire, Do: faulty.Refuse(store.ErrUnavailable)})
		f.s.Add(faulty.Rule{On: faulty.Control, Do: faulty.Refuse(store.ErrUnavailable)})
		for range 3 {
			if _, err := f.s.Lookup(f.Context(), id.ID{}, "thing", "k"); !errors.Is(err, store.ErrUnavailable) {
				f.Fatal(err)
			}
			if _, err := t.Get(f.Context(), []byte{1}); !errors.Is(err, store.ErrUnavailable) {
				f.Fatal(err)
			}
		}
		if _, err := f.s.Acquire(f.Context(), f.actor); !errors.Is(err, store.ErrUnavailable) {
			f.Fatal(err)
		}
		if err := f.s.PutNames(f.Context(), id.ID{}, nil); !errors.Is(err, store.ErrUnavailable) {
			f.Fatal(err)
		}
		f.s.Clear()
		if got := f.state(); got != "2" {
			f.Fatalf("state %q", got)
		}
	})
}

func TestFence(t *testing.T) {
	with(t, func(f *fixture) {
		f.s.Add(faulty.Rule{On: faulty.Commit, Skip: 1, Do: faulty.Fence()})
		t := f.acquire()
		f.commits(t, "1")
		if err := f.commit(t, "2"); !errors.Is(err, store.ErrFenced) {
			f.Fatal(err)
		}
		f.expect("1 ok")
		next := f.acquire()
		if next.Generation() < t.Generation()+2 {
			f.Fatalf("generation %d after %d", next.Generation(), t.Generation())
		}
	})
}

func TestReserveFaults(t *testing.T) {
	with(t, func(f *fixture) {
		reserve := func(key string) (id.ID, bool, *error) {
			n := store.NewActor{ID: id.New(1), Name: "other", Key: key, HasKey: true, CreatedAt: time.Now()}
			durable := new(error)
			*durable = errors.New("not yet")
			a, created, err := f.s.Reserve(f.Context(), n, func(err error) { *durable = err })
			if err != nil {
				f.Fatal(err)
			}
			return a.ID, created, durable
		}
		g := faulty.NewGate()
		f.s.Add(faulty.Rule{On: faulty.Reserve, Do: faulty.Lose(errDisk)})
		f.s.Add(faulty.Rule{On: faulty.Reserve, Skip: 0, Do: faulty.Keep(errDisk)})
		f.s.Add(faulty.Rule{On: faulty.Reserve, Do: faulty.Delay(g)})
		f.s.Add(faulty.Rule{On: faulty.Reserve, Do: faulty.Refuse(faulty.ErrDiskFull)})

		lost, created, durable := reserve("k")
		synctest.Wait()
		if !created || !errors.Is(*durable, errDisk) {
			f.Fatal(created, *durable)
		}
		if _, err := f.s.Acquire(f.Context(), lost); !errors.Is(err, store.ErrNotFound) {
			f.Fatal(err)
		}
		kept, created, durable := reserve("k")
		synctest.Wait()
		if !created || !errors.Is(*durable, errDisk) {
			f.Fatal(created, *durable)
		}
		same, created, durable := reserve("k")
		synctest.Wait()
		if created || same != kept || *durable == nil {
			f.Fatal(created, *durable)
		}
		g.Open()
		synctest.Wait()
		if *durable != nil {
			f.Fatal(*durable)
		}
		if _, _, err := f.s.Reserve(f.Context(), store.NewActor{}, func(error) { f.Error("durable") }); !errors.Is(err, faulty.ErrDiskFull) {
			f.Fatal(err)
		}
	})
}

func TestDestroyFaults(t *testing.T) {
	with(t, func(f *fixture) {
		f.s.Add(faulty.Rule{On: faulty.Destroy, Do: faulty.Lose(errDisk)})
		if err := f.acquire().Destroy(f.Context(), time.Now()); !errors.Is(err, errDisk) {
			f.Fatal(err)
		}
		f.s.Add(faulty.Rule{On: faulty.Destroy, Do: faulty.Keep(errDisk)})
		if err := f.acquire().Destroy(f.Context(), time.Now()); !errors.Is(err, errDisk) {
			f.Fatal(err)
		}
		if _, err := f.s.Acquire(f.Context(), f.actor); !errors.Is(err, store.ErrNotFound) {
			f.Fatal(err)
		}
	})
}

func TestCloseOpensGates(t *testing.T) {
	with(t, func(f *fixture) {
		f.s.Add(faulty.Rule{On: faulty.Commit, Do: faulty.Delay(faulty.NewGate())})
		f.commits(f.acquire(), "1", "2")
		f.expect()
		if err := f.s.Close(); err != nil {
			f.Fatal(err)
		}
		f.expect("1 ok", "2 ok")
	})
}

// TestG10_PromisesHoldUnderRandomFaults works on a store whose commits fail at random, lost or kept, and demands what a
// real failing disk must keep: nothing acknowledged is missing, nothing is there in part, nothing succeeds after a
// failure.
func TestG10_PromisesHoldUnderRandomFaults(t *testing.T) {
	for seed := range uint64(20) {
		s := faulty.New(memory.New(memory.Options{}), seed,
			faulty.Rule{On: faulty.Commit, Times: -1, Probability: 0.02, Do: faulty.Lose(errDisk)},
			faulty.Rule{On: faulty.Commit, Times: -1, Probability: 0.02, Do: faulty.Keep(errDisk)},
			faulty.Rule{On: faulty.Commit, Times: -1, Probability: 0.02, Do: faulty.Refuse(store.ErrUnavailable)},
			faulty.Rule{On: faulty.Commit, Times: -1, Probability: 0.02, Do: faulty.Fence()},
		)
		ledger := storetest.NewLedger()
		actor, err := ledger.Reserve(t.Context(), s, "k")
		if err != nil {
			t.Fatal(err)
		}
		failures := 0
		for range 40 {
			err := ledger.Work(t.Context(), s, actor, 10, 0)
			var broken *storetest.BrokenError
			if errors.As(err, &broken) {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if err != nil {
				failures++
			}
		}
		if _, err := storetest.Check(t.Context(), s, ledger.Acked()); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if failures == 0 {
			t.Fatalf("seed %d: nothing failed", seed)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
