package storetest

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// viewText is every record of a view.
func (e *env) viewText(v store.View) string {
	e.Helper()
	rs, err := v.Range(e.ctx, record.Span{}, false, 1<<20)
	e.ok(err)
	return text(rs)
}

// testViewStaysAsItWas: commits that follow do not change a view, and neither does the end of its actor.
func testViewStaysAsItWas(e *env) {
	a := e.actor("a")
	t := e.acquire(a)
	key := record.Key(coldKind, 'k')
	e.put(t, key, "1")
	e.put(t, record.Key(hotKind), "s")
	row, v, err := e.s.View(e.ctx, a)
	e.ok(err)
	tv, err := t.View(e.ctx)
	e.ok(err)
	before := e.all(t)
	e.equal("row", row.Key, "a")
	e.put(t, key, "2")
	e.put(t, record.Key(coldKind, 'l'), "3")
	e.ok(t.Destroy(e.ctx, epoch))
	for name, v := range map[string]store.View{"of the store": v, "of the tenure": tv} {
		e.equal("view "+name, e.viewText(v), before)
		got, err := v.Get(e.ctx, key)
		e.ok(err)
		e.equal("record of the view "+name, string(got), "1")
		_, err = v.Get(e.ctx, record.Key(coldKind, 'l'))
		e.is(err, store.ErrNotFound)
		e.ok(v.Close())
		e.ok(v.Close())
		_, err = v.Get(e.ctx, key)
		e.is(err, store.ErrClosed)
	}
	_, _, err = e.s.View(e.ctx, a)
	e.is(err, store.ErrNotFound)
	_, _, err = e.s.View(e.ctx, id.New(1))
	e.is(err, store.ErrNotFound)
}

// testViewOfSleeper: a view needs no owner and disturbs none.
func testViewOfSleeper(e *env) {
	a := e.actor("a")
	t := e.acquire(a)
	e.put(t, record.Key(coldKind), "x")
	generation := t.Generation()
	_, v, err := e.s.View(e.ctx, a)
	e.ok(err)
	e.ok(v.Close())
	e.put(t, record.Key(coldKind), "y") // it is not fenced
	e.ok(t.Release(epoch))
	row, v, err := e.s.View(e.ctx, a)
	e.ok(err)
	e.equal("records", e.viewText(v), text([]record.Record{{Key: record.Key(coldKind), Value: []byte("y")}}))
	e.equal("slept", row.SleptAt, epoch)
	e.ok(v.Close())
	e.equal("next generation", e.acquire(a).Generation(), generation+1)
}

// testViewOfFenced: an owner that is fenced shows nothing any more.
func testViewOfFenced(e *env) {
	a := e.actor("a")
	old := e.acquire(a)
	e.acquire(a)
	_, err := old.View(e.ctx)
	e.is(err, store.ErrFenced)
}

// testViewIsOneCommit: a view shows every batch whole, and what it shows is durable.
func testViewIsOneCommit(e *env) {
	a := e.actor("a")
	t := e.acquire(a)
	x, y := record.Key(coldKind, 'x'), record.Key(coldKind, 'y')
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			b := &record.Batch{}
			b.Put(x, []byte(fmt.Sprint(i)))
			b.Put(y, []byte(fmt.Sprint(i)))
			if err := t.Commit(b, func(error) {}); err != nil {
				e.Errorf("commit: %v", err)
				return
			}
		}
	})
	for range 50 {
		_, v, err := e.s.View(e.ctx, a)
		e.ok(err)
		gx, errX := v.Get(e.ctx, x)
		gy, errY := v.Get(e.ctx, y)
		if (errX != nil) != (errY != nil) || string(gx) != string(gy) {
			e.Errorf("the view shows %q and %q (%v, %v)", gx, gy, errX, errY)
		}
		e.ok(v.Close())
	}
	close(stop)
	wg.Wait()
}

// testViewOfClosedStore: a store closes under views, which then say so.
func testViewOfClosedStore(e *env) {
	a := e.actor("a")
	t := e.acquire(a)
	e.put(t, record.Key(coldKind), "x")
	_, v, err := e.s.View(e.ctx, a)
	e.ok(err)
	closed := make(chan error, 1)
	go func() { closed <- e.s.Close() }()
	select {
	case err := <-closed:
		e.ok(err)
	case <-time.After(30 * time.Second):
		e.Fatal("the store does not close while a view is open")
	}
	if _, err := v.Get(e.ctx, record.Key(coldKind)); !errors.Is(err, store.ErrClosed) {
		e.Errorf("a read of a closed store: %v", err)
	}
	e.ok(v.Close())
	_, _, err = e.s.View(e.ctx, a)
	e.is(err, store.ErrClosed)
}
