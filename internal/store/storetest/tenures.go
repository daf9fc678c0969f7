package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/record"
)

func testHandover(e *env) {
	a := e.actor("a")
	for round := range 20 {
		t := e.acquire(a)
		for i := range 20 {
			b := &record.Batch{}
			b.Put(k(byte(i)), fmt.Append(nil, round))
			e.ok(t.Commit(b, func(err error) {
				if err != nil {
					e.Errorf("commit: %v", err)
				}
			}))
		}
		if round%2 == 0 {
			e.ok(t.Release(time.Time{}))
		}
		t = e.acquire(a)
		rs, err := t.Range(e.ctx, record.Span{}, false, 100)
		e.ok(err)
		e.equal("number of records", len(rs), 20)
		for _, r := range rs {
			e.equal("value", string(r.Value), fmt.Sprint(round))
		}
	}
}

func testFenced(e *env) {
	a := e.actor("a")
	old := e.acquire(a)
	e.put(old, k(1), "old")
	t := e.acquire(a)
	if t.Generation() <= old.Generation() {
		e.Fatalf("generation %d after %d", t.Generation(), old.Generation())
	}
	b := &record.Batch{}
	b.Put(k(1), []byte("stale"))
	e.is(old.Commit(b, func(error) { e.Error("done of a fenced commit") }), store.ErrFenced)
	_, err := old.Get(e.ctx, k(1))
	e.is(err, store.ErrFenced)
	_, err = old.Range(e.ctx, record.Span{}, false, 1)
	e.is(err, store.ErrFenced)
	e.ok(old.Release(epoch)) // changes nothing
	e.equal("records", e.all(t), "4101=old")
	e.put(t, k(1), "new")
	e.equal("records", e.all(t), "4101=new")
	e.equal("slept", e.row(a).SleptAt, time.Time{})
}

func testGenerationsGrow(e *env) {
	a := e.actor("a")
	last := uint64(0)
	for i := range 12 {
		t := e.acquire(a)
		if t.Generation() <= last {
			e.Fatalf("generation %d after %d (round %d)", t.Generation(), last, i)
		}
		last = t.Generation()
		if i%3 == 1 {
			e.put(t, k(1), "v")
		}
		switch i % 4 {
		case 1:
			e.ok(t.Release(time.Time{}))
		case 2:
			e.ok(t.Release(epoch))
		case 3:
			e.put(t, k(2), "v")
			e.ok(t.Release(epoch))
		}
	}
}

func testNoLostUpdate(e *env) {
	a := e.actor("a")
	const workers, rounds = 8, 40
	var accepted atomic.Int64
	var wg, dones sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range rounds {
				t, err := e.s.Acquire(e.ctx, a)
				if err != nil {
					e.Errorf("acquire: %v", err)
					return
				}
				n := 0
				for _, r := range t.Hot() {
					if _, err := fmt.Sscan(string(r.Value), &n); err != nil {
						e.Errorf("counter %q: %v", r.Value, err)
					}
				}
				for range 3 {
					n++
					b := &record.Batch{}
					b.Put(record.Key(hotKind), fmt.Append(nil, n))
					dones.Add(1)
					err := t.Commit(b, func(err error) {
						if err != nil {
							e.Errorf("commit: %v", err)
						}
						dones.Done()
					})
					if err != nil {
						dones.Done()
						if !errors.Is(err, store.ErrFenced) {
							e.Errorf("commit: %v", err)
						}
						break
					}
					accepted.Add(1)
				}
			}
		})
	}
	wg.Wait()
	dones.Wait()
	t := e.acquire(a)
	v, err := t.Get(e.ctx, record.Key(hotKind))
	e.ok(err)
	e.equal("counter", string(v), fmt.Sprint(accepted.Load()))
}

func testAcquireWritesNothing(e *env) {
	a := e.actor("a")
	before := e.row(a)
	e.acquire(a)
	e.acquire(a)
	e.equal("row after acquisitions", e.row(a), before)
	e.equal("generation", before.Generation, uint64(0))
}

func testAcquireNotFound(e *env) {
	_, err := e.s.Acquire(e.ctx, id.New(1))
	e.is(err, store.ErrNotFound)
	a := e.actor("a")
	e.ok(e.acquire(a).Destroy(e.ctx, epoch))
	_, err = e.s.Acquire(e.ctx, a)
	e.is(err, store.ErrNotFound)
}
