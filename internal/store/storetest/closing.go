package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/record"
)

func testCancelled(e *env) {
	a := e.actor("a")
	t := e.acquire(a)
	ctx, cancel := context.WithCancel(e.ctx)
	cancel()
	for name, err := range e.calls(ctx, t) {
		if !errors.Is(err, context.Canceled) {
			e.Errorf("%s: %v", name, err)
		}
	}
	e.put(t, k(1), "v") // the tenure still lives
}

// calls makes every call that takes a context.
func (e *env) calls(ctx context.Context, t store.Tenure) map[string]error {
	out := make(map[string]error)
	out["CreateNamespace"] = e.s.CreateNamespace(ctx, store.Namespace{ID: id.New(1), Name: "n"})
	_, out["Namespaces"] = e.s.Namespaces(ctx)
	out["PutNames"] = e.s.PutNames(ctx, e.ns, []store.ActorName{{Name: "n"}})
	_, out["Names"] = e.s.Names(ctx, e.ns, "", 1)
	_, _, out["Reserve"] = e.s.Reserve(ctx, e.newActor("thing", "calls"), func(error) { e.Error("durable of a refused reservation") })
	_, out["Lookup"] = e.s.Lookup(ctx, e.ns, "thing", "a")
	_, out["Actors"] = e.s.Actors(ctx, []id.ID{id.New(1)})
	_, out["List"] = e.s.List(ctx, store.ListQuery{Namespace: e.ns, Name: "thing", Limit: 1})
	_, out["Alarms"] = e.s.Alarms(ctx, store.AlarmQuery{Limit: 1})
	_, out["Acquire"] = e.s.Acquire(ctx, t.Actor().ID)
	_, out["Get"] = t.Get(ctx, k(1))
	_, out["Range"] = t.Range(ctx, record.Span{}, false, 1)
	out["Destroy"] = t.Destroy(ctx, epoch)
	return out
}

func testClosed(e *env) {
	t := e.acquire(e.actor("a"))
	e.ok(e.s.Close())
	e.ok(e.s.Close())
	for name, err := range e.calls(e.ctx, t) {
		if !errors.Is(err, store.ErrClosed) {
			e.Errorf("%s: %v", name, err)
		}
	}
	e.is(t.Commit(&record.Batch{}, func(error) { e.Error("done of a refused commit") }), store.ErrClosed)
	if err := t.Release(epoch); err != nil && !errors.Is(err, store.ErrClosed) {
		e.Errorf("Release: %v", err)
	}
}

func testConcurrentReads(e *env) {
	a := e.actor("a")
	t := e.acquire(a)
	const rounds = 60
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				// A batch writes ten records of one value: whoever reads sees one value.
				rs, err := t.Range(e.ctx, record.Span{From: k(), To: k(100)}, false, 100)
				if err != nil {
					e.Errorf("range: %v", err)
					return
				}
				for _, r := range rs {
					if !bytes.Equal(r.Value, rs[0].Value) {
						e.Errorf("torn batch: %s", text(rs))
						return
					}
				}
				if _, err := e.s.List(e.ctx, store.ListQuery{Namespace: e.ns, Name: "thing", Limit: 5}); err != nil {
					e.Errorf("list: %v", err)
					return
				}
			}
		})
	}
	for i := range rounds {
		b := &record.Batch{}
		for j := range byte(10) {
			b.Put(k(j), fmt.Append(nil, i))
		}
		e.commit(t, b)
	}
	close(stop)
	readers.Wait()
}
