package embedded

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/record"
)

const benchValue = 200

// BenchmarkRatios runs the comparisons of the two benchmarks below in turns, a little of each side at a time, so that
// what else the disk does hits both alike, and reports how many times faster the store is: 1.0 is equal.
func BenchmarkRatios(b *testing.B) {
	const round = 4096
	b.Run("store_64_to_pebble_64", func(b *testing.B) {
		alternate(b, pebbleWorkers(b, 64, round), storeWorkers(b, 64, round))
	})
	b.Run("pipelined_to_sequential", func(b *testing.B) {
		// A sequential round is shorter, it would take most of the time otherwise.
		sequential := storeWorkers(b, 1, round/32)
		alternate(b, func() float64 { return sequential() * 32 }, storePipeline(b, 64, round))
	})
}

// alternate runs both sides b.N times in turns. A side returns the seconds it took.
func alternate(b *testing.B, reference, subject func() float64) {
	var ratios []float64
	for n := 0; b.Loop(); n++ {
		var r, s float64
		if n%2 == 0 {
			r, s = reference(), subject()
		} else {
			s, r = subject(), reference()
		}
		ratios = append(ratios, r/s)
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "times_faster_median")
	b.ReportMetric(ratios[len(ratios)/10], "times_faster_p10")
	b.ReportMetric(ratios[len(ratios)*9/10], "times_faster_p90")
}

func timed(f func()) float64 {
	began := time.Now()
	f()
	return time.Since(began).Seconds()
}

func spread(workers, n int, op func(worker, i int)) {
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range n / workers {
				op(w, i)
			}
		})
	}
	wg.Wait()
}

func pebbleWorkers(b *testing.B, workers, n int) func() float64 {
	db := rawPebble(b)
	ops := make([]func(), workers)
	for w := range ops {
		ops[w] = pebbleOp(b, db, w)
	}
	return func() float64 { return timed(func() { spread(workers, n, func(w, _ int) { ops[w]() }) }) }
}

func storeWorkers(b *testing.B, workers, n int) func() float64 {
	s := benchStore(b)
	ops := make([]func(), workers)
	for w := range ops {
		ops[w] = storeOp(b, s, w)
	}
	return func() float64 { return timed(func() { spread(workers, n, func(w, _ int) { ops[w]() }) }) }
}

func storePipeline(b *testing.B, depth, n int) func() float64 {
	op, wait := pipelineOp(b, benchStore(b), depth)
	return func() float64 {
		return timed(func() {
			for range n {
				op()
			}
			wait()
		})
	}
}

func benchStore(b *testing.B) *Store {
	s := open(b, b.TempDir(), Options{})
	b.Cleanup(func() { _ = s.Close() })
	return s
}

// pebbleOp is one worker of Pebble alone.
func pebbleOp(b *testing.B, db *pebble.DB, worker int) func() {
	key := make([]byte, 24)
	binary.BigEndian.PutUint64(key, uint64(worker))
	value := make([]byte, benchValue)
	n := uint64(0)
	return func() {
		n++
		binary.BigEndian.PutUint64(key[16:], n%64)
		batch := db.NewBatch()
		_ = batch.Set(key, value, nil)
		if err := db.Apply(batch, pebble.Sync); err != nil {
			b.Error(err)
		}
		_ = batch.Close()
	}
}

// storeOp is one actor that waits for each of its commits.
func storeOp(b *testing.B, s *Store, worker int) func() {
	t := benchTenure(b, s, worker)
	commits := benchBatches()
	done := make(chan error, 1)
	complete := func(err error) { done <- err }
	n := 0
	return func() {
		n++
		err := t.Commit(&commits[n%64], complete)
		if err == nil {
			err = <-done
		}
		if err != nil {
			b.Error(err)
		}
	}
}

// pipelineOp is one actor that keeps depth commits in flight; wait waits for the last ones.
func pipelineOp(b *testing.B, s *Store, depth int) (op, wait func()) {
	t := benchTenure(b, s, 0)
	commits := benchBatches()
	room := make(chan struct{}, depth)
	complete := func(err error) {
		if err != nil {
			b.Error(err)
		}
		<-room
	}
	n := 0
	return func() {
			n++
			room <- struct{}{}
			if err := t.Commit(&commits[n%64], complete); err != nil {
				b.Error(err)
			}
		}, func() {
			for range depth {
				room <- struct{}{}
			}
			for range depth {
				<-room
			}
		}
}

// BenchmarkCommit64 compares 64 concurrent committers, each waiting for its own commit: Pebble alone and the store.
func BenchmarkCommit64(b *testing.B) {
	b.Run("pebble", func(b *testing.B) {
		db := rawPebble(b)
		parallel(b, 64, func(worker int) func() { return pebbleOp(b, db, worker) })
	})
	b.Run("store", func(b *testing.B) {
		s := benchStore(b)
		parallel(b, 64, func(worker int) func() { return storeOp(b, s, worker) })
	})
}

// BenchmarkPipeline compares one actor that waits for each commit with one that keeps 64 in flight.
func BenchmarkPipeline(b *testing.B) {
	b.Run("sequential", func(b *testing.B) {
		op := storeOp(b, benchStore(b), 0)
		b.ReportAllocs()
		for b.Loop() {
			op()
		}
	})
	b.Run("in_flight_64", func(b *testing.B) {
		op, wait := pipelineOp(b, benchStore(b), 64)
		b.ReportAllocs()
		for b.Loop() {
			op()
		}
		wait()
	})
}

// BenchmarkWake is the one read of a wake, of an actor with a state and three other records.
func BenchmarkWake(b *testing.B) {
	s := open(b, b.TempDir(), Options{})
	defer s.Close()
	ids := make([]id.ID, 1000)
	for i := range ids {
		t := benchTenure(b, s, i)
		ids[i] = t.Actor().ID
		batch := &record.Batch{}
		for j := range byte(4) {
			batch.Put(record.Key(record.KindState, j), make([]byte, benchValue))
		}
		if err := t.Commit(batch, func(error) {}); err != nil {
			b.Fatal(err)
		}
		if err := t.Release(time.Time{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		t, err := s.Acquire(context.Background(), ids[n%len(ids)])
		if err != nil {
			b.Fatal(err)
		}
		_ = t
	}
}

// parallel spreads b.N operations over workers, without the overhead of asking for each one.
func parallel(b *testing.B, workers int, worker func(n int) func()) {
	ops := make([]func(), workers)
	for i := range ops {
		ops[i] = worker(i)
	}
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for i, op := range ops {
		n := b.N / workers
		if i < b.N%workers {
			n++
		}
		wg.Go(func() {
			for range n {
				op()
			}
		})
	}
	wg.Wait()
	b.StopTimer()
}

func rawPebble(b *testing.B) *pebble.DB {
	cache := pebble.NewCache(32 << 20)
	defer cache.Unref()
	db, err := pebble.Open(b.TempDir(), &pebble.Options{
		Cache: cache, MemTableSize: 16 << 20, FormatMajorVersion: pebbleFormat, Logger: &pebbleLogger{log: quiet},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	return db
}

func benchTenure(b *testing.B, s *Store, n int) store.Tenure {
	done := make(chan error, 1)
	a, _, err := s.Reserve(context.Background(), store.NewActor{
		ID: id.New(1), Name: "bench", Key: fmt.Sprint(n), HasKey: true, CreatedAt: time.Now(),
	}, func(err error) { done <- err })
	if err == nil {
		err = <-done
	}
	if err != nil {
		b.Fatal(err)
	}
	t, err := s.Acquire(context.Background(), a.ID)
	if err != nil {
		b.Fatal(err)
	}
	return t
}

func benchBatches() []record.Batch {
	out := make([]record.Batch, 64)
	for i := range out {
		out[i].Put(record.Key(record.KindState, byte(i)), make([]byte, benchValue))
	}
	return out
}

// BenchmarkAlarms reads the first alarms of a store with few and with many that are not due: it must cost the same.
func BenchmarkAlarms(b *testing.B) {
	for _, n := range []int{100, 100_000} {
		b.Run(fmt.Sprintf("due_64_of_%d", n), func(b *testing.B) {
			s := open(b, b.TempDir(), Options{})
			defer s.Close()
			base := time.UnixMilli(1_700_000_000_000)
			withAlarms(b, s, n, func(i int) time.Time { return base.Add(time.Duration(i) * time.Millisecond) })
			q := store.AlarmQuery{Until: base.Add(time.Hour), Limit: 64}
			for b.Loop() {
				if rows, err := s.Alarms(b.Context(), q); err != nil || len(rows) != 64 {
					b.Fatal(len(rows), err)
				}
			}
		})
	}
}

// withAlarms makes n actors with an alarm each.
func withAlarms(b *testing.B, s *Store, n int, at func(i int) time.Time) {
	var done sync.WaitGroup
	for i := range n {
		actor := id.New(1)
		done.Add(2)
		report := func(err error) {
			if err != nil {
				b.Error(err)
			}
			done.Done()
		}
		if _, _, err := s.Reserve(b.Context(), store.NewActor{ID: actor, Name: "n"}, report); err != nil {
			b.Fatal(err)
		}
		t, err := s.Acquire(b.Context(), actor)
		if err != nil {
			b.Fatal(err)
		}
		if err := t.Commit(&record.Batch{SetAlarm: true, Alarm: at(i).UnixMilli()}, report); err != nil {
			b.Fatal(err)
		}
		if err := t.Release(time.Time{}); err != nil {
			b.Fatal(err)
		}
	}
	done.Wait()
}
