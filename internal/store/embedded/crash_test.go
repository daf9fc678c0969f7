package embedded

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/store/memory"
	"github.com/rivetgo/rivet/internal/store/storetest"
	"github.com/rivetgo/rivet/internal/wire/id"
)

// small makes flushes, log rotations and compactions happen within a short test.
var small = Options{MemTableBytes: 256 << 10, CacheBytes: 64 << 10, Logger: quiet}

func smallOn(fs vfs.FS) Options {
	o := small
	o.FS = fs
	return o
}

// TestG1G2_PowerCut cuts the power at random moments of a busy store, with a random part of what was not synced
// surviving, and opens what is left.
func TestG1G2_PowerCut(t *testing.T) {
	rounds, cuts := 4, 8
	if testing.Short() {
		rounds = 1
	}
	for round := range rounds {
		t.Run(fmt.Sprintf("seed_%d", round), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(uint64(round), 1))
			fs := vfs.NewCrashableMem()
			s := open(t, "a/store", smallOn(fs))
			defer s.Close()
			ledger := storetest.NewLedger()

			// Workers tell when something was acknowledged; the power is cut after a random number of such signals.
			acked := make(chan struct{}, 1)
			stop := make(chan struct{})
			var wg sync.WaitGroup
			for w := range 4 {
				seed := rng.Uint64()
				wg.Go(func() {
					rng := rand.New(rand.NewPCG(seed, 2))
					for i := 0; ; i++ {
						actor, err := ledger.Reserve(context.Background(), s, fmt.Sprint(w, i/10))
						if err == nil {
							err = ledger.Work(context.Background(), s, actor, 1+rng.IntN(20), rng.IntN(2000))
						}
						if err != nil {
							t.Error(err)
							return
						}
						select {
						case acked <- struct{}{}:
						case <-stop:
							return
						}
					}
				})
			}
			for cut := range cuts {
				for range 1 + rng.IntN(25) {
					<-acked
				}
				promised := ledger.Acked() // before the cut
				clone := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 50, 100, rng.IntN(101)}[cut%4], RNG: rng})
				after := open(t, "a/store", smallOn(clone))
				found, err := storetest.Check(context.Background(), after, promised)
				if err != nil {
					t.Fatalf("cut %d: %v", cut, err)
				}
				// What was read is durable: it survives a second cut at once.
				again := open(t, "a/store", smallOn(clone.CrashClone(vfs.CrashCloneCfg{})))
				if _, err := storetest.Check(context.Background(), again, found); err != nil {
					t.Fatalf("cut %d, second cut: %v", cut, err)
				}
				if err := again.Close(); err != nil {
					t.Fatal(err)
				}
				if err := after.Close(); err != nil {
					t.Fatal(err)
				}
			}
			close(stop)
			wg.Wait()
		})
	}
}

// TestPowerCutWhileOpening cuts the power at each write of an opening, the very first one and one that replays a log:
// no repair step is ever needed, and nothing acknowledged is lost.
func TestPowerCutWhileOpening(t *testing.T) {
	t.Run("new", func(t *testing.T) {
		cutWhileOpening(t, vfs.NewCrashableMem, nil)
	})
	t.Run("after_a_crash", func(t *testing.T) {
		fs := vfs.NewCrashableMem()
		s := open(t, "a/store", smallOn(fs))
		defer s.Close()
		ledger := storetest.NewLedger()
		actor, err := ledger.Reserve(t.Context(), s, "k")
		if err == nil {
			err = ledger.Work(t.Context(), s, actor, 100, 5000)
		}
		if err != nil {
			t.Fatal(err)
		}
		cutWhileOpening(t, func() *vfs.MemFS { return fs.CrashClone(vfs.CrashCloneCfg{}) }, ledger.Acked())
	})
	t.Run("older_format", func(t *testing.T) {
		fs := vfs.NewCrashableMem()
		s := open(t, "a/store", smallOn(fs))
		ledger := storetest.NewLedger()
		if _, err := ledger.Reserve(t.Context(), s, "k"); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		d := directory{fs: fs, path: "a/store"}
		if err := d.replace("FORMAT", []byte(`{"store":"rivet","format":1}`)); err != nil {
			t.Fatal(err)
		}
		cutWhileOpening(t, func() *vfs.MemFS { return fs.CrashClone(vfs.CrashCloneCfg{}) }, ledger.Acked())
	})
}

func cutWhileOpening(t *testing.T, start func() *vfs.MemFS, acked map[id.ID]uint64) {
	for n := 0; ; n++ {
		fs := start()
		var clone *vfs.MemFS
		var count atomic.Int64
		s := open(t, "a/store", smallOn(onWrite(fs, func(string) error {
			if count.Add(1) == int64(n)+1 {
				clone = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(uint64(n), 3))})
			}
			return nil
		})))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if clone == nil {
			if n < 20 {
				t.Fatalf("only %d writes", n)
			}
			return
		}
		s = open(t, "a/store", smallOn(clone))
		if _, err := storetest.Check(t.Context(), s, acked); err != nil {
			t.Fatalf("cut at write %d: %v", n, err)
		}
		if err := s.CreateNamespace(t.Context(), store.Namespace{ID: id.New(1), Name: "n"}); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAgreesWithMemory lives a random life on this driver and on the memory driver, with power cuts.
func TestAgreesWithMemory(t *testing.T) {
	storetest.Agree(t,
		func(now func() time.Time) storetest.Subject {
			fs := vfs.NewCrashableMem()
			var subject func(fs *vfs.MemFS) storetest.Subject
			subject = func(fs *vfs.MemFS) storetest.Subject {
				o := smallOn(fs)
				o.Now = now
				s := open(t, "store", o)
				return storetest.Subject{Store: s, Crash: func() storetest.Subject {
					clone := fs.CrashClone(vfs.CrashCloneCfg{})
					_ = s.Close()
					return subject(clone)
				}}
			}
			return subject(fs)
		},
		func(now func() time.Time) storetest.Subject {
			s := memory.New(memory.Options{Now: now})
			var subject storetest.Subject
			subject = storetest.Subject{Store: s, Crash: func() storetest.Subject { s.Crash(); return subject }}
			return subject
		})
}
