package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/record"
)

func testNamespaces(e *env) {
	all, err := e.s.Namespaces(e.ctx)
	e.ok(err)
	e.equal("namespaces of a new store", len(all), 0)
	var want []store.Namespace
	for i, name := range []string{"b", "", "a", "ab", "ä"} {
		ns := store.Namespace{ID: id.New(1), Name: name, DisplayName: fmt.Sprint("Display ", i), CreatedAt: epoch.Add(time.Duration(i) * time.Hour)}
		e.ok(e.s.CreateNamespace(e.ctx, ns))
		want = append(want, ns)
	}
	e.is(e.s.CreateNamespace(e.ctx, store.Namespace{ID: id.New(1), Name: "a"}), store.ErrExists)
	slices.SortFunc(want, func(a, b store.Namespace) int { return strings.Compare(a.Name, b.Name) })
	all, err = e.s.Namespaces(e.ctx)
	e.ok(err)
	e.equal("namespaces", all, want)

	var created atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := e.s.CreateNamespace(e.ctx, store.Namespace{ID: id.New(1), Name: "same"}); err == nil {
				created.Add(1)
			} else if !errors.Is(err, store.ErrExists) {
				e.Errorf("create: %v", err)
			}
		})
	}
	wg.Wait()
	e.equal("creations", created.Load(), int64(1))
}

func testNames(e *env) {
	other := id.New(1)
	names := func(ns id.ID, after string, limit int) string {
		got, err := e.s.Names(e.ctx, ns, after, limit)
		e.ok(err)
		var b []string
		for _, n := range got {
			b = append(b, n.Name+"="+string(n.Metadata))
		}
		return strings.Join(b, " ")
	}
	e.ok(e.s.PutNames(e.ctx, e.ns, []store.ActorName{{Name: "b", Metadata: []byte("1")}, {Name: "a"}, {Name: "ab", Metadata: []byte("3")}}))
	e.ok(e.s.PutNames(e.ctx, other, []store.ActorName{{Name: "x", Metadata: []byte("9")}}))
	e.equal("names", names(e.ns, "", 10), "a= ab=3 b=1")
	e.ok(e.s.PutNames(e.ctx, e.ns, []store.ActorName{{Name: "b", Metadata: []byte("2")}, {Name: "c"}, {Name: "a"}}))
	e.ok(e.s.PutNames(e.ctx, e.ns, []store.ActorName{{Name: "b", Metadata: []byte("2")}}))
	e.ok(e.s.PutNames(e.ctx, e.ns, nil))
	e.equal("names", names(e.ns, "", 10), "a= ab=3 b=2 c=")
	e.equal("names", names(e.ns, "", 2), "a= ab=3")
	e.equal("names", names(e.ns, "ab", 2), "b=2 c=")
	e.equal("names", names(e.ns, "aa", 1), "ab=3")
	e.equal("names", names(e.ns, "c", 5), "")
	e.equal("names", names(e.ns, "", 0), "")
	e.equal("names of the other namespace", names(other, "", 10), "x=9")
	e.equal("names of no namespace", names(id.New(1), "", 10), "")
}

func testReserve(e *env) {
	n := e.newActor("thing", "a")
	a, created := e.reserve(n)
	want := store.Actor{ID: n.ID, Namespace: e.ns, Name: "thing", Key: "a", HasKey: true, Pool: "default", CrashPolicy: "sleep", CreatedAt: epoch}
	e.equal("created", created, true)
	e.equal("row", a, want)
	e.equal("row", e.row(n.ID), want)

	n = e.newActor("thing", "a")
	n.Pool, n.CreatedAt = "other", epoch.Add(time.Hour)
	a, created = e.reserve(n)
	e.equal("created", created, false)
	e.equal("row", a, want)
	a, err := e.s.Lookup(e.ctx, e.ns, "thing", "a")
	e.ok(err)
	e.equal("row", a, want)
	_, err = e.s.Lookup(e.ctx, e.ns, "thing", "b")
	e.is(err, store.ErrNotFound)
	e.equal("discarded id", len(e.rows(n.ID)), 0)
}

func (e *env) rows(ids ...id.ID) []store.Actor {
	e.Helper()
	rows, err := e.s.Actors(e.ctx, ids)
	e.ok(err)
	return rows
}

func testReserveAnonymous(e *env) {
	seen := make(map[id.ID]bool)
	for range 3 {
		n := e.newActor("thing", "")
		n.HasKey = false
		a, created := e.reserve(n)
		if !created || seen[a.ID] || a.HasKey {
			e.Fatalf("row %+v, created %v", a, created)
		}
		seen[a.ID] = true
	}
	_, err := e.s.Lookup(e.ctx, e.ns, "thing", "")
	e.is(err, store.ErrNotFound)
	a, created := e.reserve(e.newActor("thing", "")) // the empty key is a key
	if !created || !a.HasKey || seen[a.ID] {
		e.Fatalf("row %+v, created %v", a, created)
	}
}

func testReserveInput(e *env) {
	n := e.newActor("thing", "a")
	n.Input = []byte{0x82, 1, 2}
	e.reserve(n)
	hot := e.acquire(n.ID).Hot()
	e.equal("number of records", len(hot), 1)
	e.equal("key", hot[0].Key, record.Key(record.KindInput))
	input, err := record.Open(record.KindInput, hot[0].Value)
	e.ok(err)
	e.equal("input", input, n.Input)
	// The input of a reservation that found the actor is not kept.
	again := e.newActor("thing", "a")
	again.Input = []byte{9}
	e.reserve(again)
	e.equal("records", text(e.acquire(n.ID).Hot()), text(hot))
	e.equal("records without input", e.all(e.acquire(e.actor("b"))), "")
}

func testAddresses(e *env) {
	seen := make(map[id.ID]string)
	for _, ns := range []id.ID{e.ns, id.New(1)} {
		for _, at := range [][2]string{{"ab", "c"}, {"a", "bc"}, {"", "abc"}, {"abc", ""}, {"a", ""}, {"a\x00", "b"}, {"a", "\x00b"}, {"\xff", "\xff\xff"}, {strings.Repeat("n", 300), strings.Repeat("k", 5000)}} {
			n := e.newActor(at[0], at[1])
			n.Namespace = ns
			a, created := e.reserve(n)
			if !created {
				e.Fatalf("%q collides with %s", at, seen[a.ID])
			}
			seen[a.ID] = fmt.Sprintf("%q", at)
			found, err := e.s.Lookup(e.ctx, ns, at[0], at[1])
			e.ok(err)
			e.equal("found", found.ID, n.ID)
		}
	}
}

func testReserveConcurrent(e *env) {
	const workers, keys = 16, 12
	var creations atomic.Int64
	var got [keys][workers]id.ID
	var wg, durable sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range keys {
				durable.Add(1)
				var calls atomic.Int64
				a, created, err := e.s.Reserve(e.ctx, e.newActor("thing", fmt.Sprint(i)), func(err error) {
					if err != nil || calls.Add(1) != 1 {
						e.Errorf("durable: call %d, %v", calls.Load(), err)
					}
					durable.Done()
				})
				if err != nil {
					e.Errorf("reserve: %v", err)
					durable.Done()
					return
				}
				if created {
					creations.Add(1)
				}
				got[i][w] = a.ID
				if found, err := e.s.Lookup(e.ctx, e.ns, "thing", fmt.Sprint(i)); err != nil || found.ID != a.ID {
					e.Errorf("lookup after reserve: %v, %v", found.ID, err)
				}
			}
		})
	}
	wg.Wait()
	durable.Wait()
	e.equal("creations", creations.Load(), int64(keys))
	for i := range keys {
		for w := range workers {
			e.equal("id", got[i][w], got[i][0])
		}
	}
}

func testReserveAgainstDestroy(e *env) {
	// Reservations and destructions of one key: each destroyed actor was created once, and one at most is live.
	const workers, rounds = 6, 25
	var creations, destructions atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range rounds {
				done := make(chan error, 1)
				a, created, err := e.s.Reserve(e.ctx, e.newActor("thing", "a"), func(err error) { done <- err })
				if err != nil {
					e.Errorf("reserve: %v", err)
					return
				}
				if err := <-done; err != nil {
					e.Errorf("durable: %v", err)
				}
				if created {
					creations.Add(1)
				}
				t, err := e.s.Acquire(e.ctx, a.ID)
				if errors.Is(err, store.ErrNotFound) {
					continue
				}
				if err == nil {
					err = t.Destroy(e.ctx, epoch)
				}
				switch {
				case err == nil:
					destructions.Add(1)
				case !errors.Is(err, store.ErrFenced):
					e.Errorf("destroy: %v", err)
				}
			}
		})
	}
	wg.Wait()
	live := int64(0)
	if _, err := e.s.Lookup(e.ctx, e.ns, "thing", "a"); err == nil {
		live = 1
	}
	e.equal("creations", creations.Load(), destructions.Load()+live)
	rows, err := e.s.List(e.ctx, store.ListQuery{Namespace: e.ns, Name: "thing", IncludeDestroyed: true, Limit: 10_000})
	e.ok(err)
	e.equal("rows", int64(len(rows)), creations.Load())
}

func testActors(e *env) {
	a, b, c := e.actor("a"), e.actor("b"), e.actor("c")
	e.ok(e.acquire(b).Destroy(e.ctx, epoch))
	rows := e.rows(c, id.New(1), a, b, c)
	var got []id.ID
	for _, r := range rows {
		got = append(got, r.ID)
	}
	e.equal("ids", got, []id.ID{c, a, b, c})
	e.equal("destroyed", rows[2].DestroyedAt, epoch)
	e.equal("no ids", len(e.rows()), 0)
}

func testList(e *env) {
	var ids []id.ID // oldest first
	for i := range 10 {
		n := e.newActor("thing", fmt.Sprint(i))
		n.HasKey = i%2 == 0
		n.CreatedAt = epoch.Add(time.Duration(i-5) * time.Minute)
		a, _ := e.reserve(n)
		ids = append(ids, a.ID)
	}
	list := func(q store.ListQuery) string {
		e.Helper()
		q.Namespace, q.Name = e.ns, "thing"
		rows, err := e.s.List(e.ctx, q)
		e.ok(err)
		var b []string
		for _, r := range rows {
			b = append(b, fmt.Sprint(slices.Index(ids, r.ID)))
			e.equal("row", r, e.row(r.ID))
		}
		return strings.Join(b, " ")
	}
	at := func(i int) time.Time { return epoch.Add(time.Duration(i-5) * time.Minute) }
	e.equal("list", list(store.ListQuery{Limit: 100}), "9 8 7 6 5 4 3 2 1 0")
	e.equal("list", list(store.ListQuery{Limit: 3}), "9 8 7")
	e.equal("list", list(store.ListQuery{Limit: 3, Before: at(7)}), "6 5 4")
	e.equal("list", list(store.ListQuery{Limit: 2, Before: at(7).Add(1)}), "7 6")
	e.equal("list", list(store.ListQuery{Limit: 2, Before: at(7).Add(-1)}), "6 5")
	e.equal("list", list(store.ListQuery{Limit: 2, Before: at(0)}), "")
	e.equal("list", list(store.ListQuery{Limit: 0}), "")
	for _, i := range []int{9, 6, 5} {
		e.ok(e.acquire(ids[i]).Destroy(e.ctx, epoch))
	}
	e.equal("list", list(store.ListQuery{Limit: 3}), "8 7 4")
	e.equal("list", list(store.ListQuery{Limit: 3, IncludeDestroyed: true}), "9 8 7")
	e.equal("list", list(store.ListQuery{Limit: 2, Before: at(7), IncludeDestroyed: true}), "6 5")
}

func testListExact(e *env) {
	other := id.New(1)
	for _, at := range []struct {
		ns   id.ID
		name string
	}{{e.ns, "a"}, {e.ns, "ab"}, {e.ns, ""}, {other, "a"}, {other, "b"}} {
		n := e.newActor(at.name, "k")
		n.Namespace = at.ns
		e.reserve(n)
	}
	for _, name := range []string{"a", "ab", ""} {
		rows, err := e.s.List(e.ctx, store.ListQuery{Namespace: e.ns, Name: name, Limit: 10})
		e.ok(err)
		if len(rows) != 1 || rows[0].Name != name || rows[0].Namespace != e.ns {
			e.Fatalf("list of %q: %+v", name, rows)
		}
	}
	rows, err := e.s.List(e.ctx, store.ListQuery{Namespace: e.ns, Name: "b", Limit: 10})
	e.ok(err)
	e.equal("rows", len(rows), 0)
}

func testMillis(e *env) {
	n := e.newActor("thing", "a")
	n.CreatedAt = epoch.Add(1_234_567 * time.Nanosecond).In(time.FixedZone("x", 3600))
	want := epoch.Add(time.Millisecond)
	a, _ := e.reserve(n)
	e.equal("created", a.CreatedAt, want)
	e.equal("created", e.row(n.ID).CreatedAt, want)
	e.ok(e.acquire(n.ID).Release(n.CreatedAt))
	e.equal("slept", e.row(n.ID).SleptAt, want)
	e.ok(e.acquire(n.ID).Destroy(e.ctx, n.CreatedAt))
	e.equal("destroyed", e.row(n.ID).DestroyedAt, want)
}
