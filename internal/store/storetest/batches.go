package storetest

import (
	"bytes"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/rivetgo/rivet/internal/wire/record"
)

func testBatchOrder(e *env) {
	t := e.acquire(e.actor("a"))
	b := &record.Batch{}
	for i := range byte(6) {
		b.Put(k(i), []byte{'a' + i})
	}
	e.commit(t, b)
	// Put, delete and span of the same keys, added in the "wrong" order: spans, then deletes, then puts.
	b = &record.Batch{}
	b.Put(k(1), []byte("new"))
	b.Put(k(4), []byte("new"))
	b.Delete(k(1))
	b.Delete(k(0))
	b.Delete(k(9)) // does not exist
	b.DeleteSpan(record.Span{From: k(3), To: k(5)})
	e.commit(t, b)
	want := "4101=new 4102=c 4104=new 4105=f"
	e.equal("records", e.all(t), want)
	e.equal("records of the next owner", e.all(e.acquire(t.Actor().ID)), want)
}

func testEmptyBatch(e *env) {
	t := e.acquire(e.actor("a"))
	e.commit(t, &record.Batch{})
	e.commit(t, &record.Batch{})
	e.equal("records", e.all(t), "")
}

func testLargeBatches(e *env) {
	a := e.actor("a")
	t := e.acquire(a)
	var sizes []int
	for _, size := range []int{1, 64 << 10, 3 << 20, 20 << 20} {
		b := &record.Batch{}
		for i := range byte(4) {
			b.Put(k(i, byte(len(sizes))), bytes.Repeat([]byte{i}, size/4+1))
		}
		e.commit(t, b)
		sizes = append(sizes, size)
	}
	t = e.acquire(a)
	for n, size := range sizes {
		for i := range byte(4) {
			v, err := t.Get(e.ctx, k(i, byte(n)))
			e.ok(err)
			if !bytes.Equal(v, bytes.Repeat([]byte{i}, size/4+1)) {
				e.Fatalf("value %d of the batch of %d bytes differs", i, size)
			}
		}
	}
}

func testDoneOrder(e *env) {
	t := e.acquire(e.actor("a"))
	const n = 500
	var inside atomic.Bool
	var order []int // done functions come one after the other
	finished := make(chan error, 1)
	for i := range n {
		b := &record.Batch{}
		b.Put(k(byte(i>>8), byte(i)), []byte("v"))
		inside.Store(true)
		err := t.Commit(b, func(err error) {
			if err != nil {
				e.Errorf("commit %d: %v", i, err)
			}
			if order = append(order, i); len(order) == n {
				finished <- nil
			}
		})
		inside.Store(false)
		e.ok(err)
	}
	e.ok(e.wait(finished))
	if !slices.IsSorted(order) {
		e.Fatalf("done out of order: %v", order)
	}
	// Never inside Commit: with a lock that the committer holds.
	var mu sync.Mutex
	mu.Lock()
	e.ok(t.Commit(&record.Batch{}, func(err error) { mu.Lock(); defer mu.Unlock(); finished <- err }))
	mu.Unlock()
	e.ok(e.wait(finished))
}

func testCloseCompletes(e *env) {
	a := e.actor("a")
	t := e.acquire(a)
	const n = 200
	var done atomic.Int64
	for i := range n {
		b := &record.Batch{}
		b.Put(k(byte(i)), []byte("v"))
		e.ok(t.Commit(b, func(err error) {
			if err != nil {
				e.Errorf("commit %d: %v", i, err)
			}
			done.Add(1)
		}))
	}
	e.ok(e.s.Close())
	e.equal("completions when Close has returned", done.Load(), int64(n))
}
