package storetest

import (
	"time"

	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/record"
)

func testReleaseSleep(e *env) {
	a := e.actor("a")
	t := e.acquire(a)
	e.ok(t.Release(time.Time{}))
	e.equal("slept", e.row(a).SleptAt, time.Time{})
	e.equal("generation", e.row(a).Generation, t.Generation())
	t = e.acquire(a)
	e.ok(t.Release(epoch.Add(time.Second)))
	e.equal("slept", e.row(a).SleptAt, epoch.Add(time.Second))
	t = e.acquire(a)
	e.put(t, k(1), "v")
	e.equal("slept, after a wake", e.row(a).SleptAt, epoch.Add(time.Second))
	e.ok(t.Release(time.Time{}))
	e.equal("slept, after a release that is no sleep", e.row(a).SleptAt, epoch.Add(time.Second))
	t = e.acquire(a)
	e.put(t, k(1), "v")
	e.ok(t.Release(epoch.Add(time.Minute)))
	e.equal("slept", e.row(a).SleptAt, epoch.Add(time.Minute))
	e.equal("generation", e.row(a).Generation, t.Generation())
}

func testReleaseEnds(e *env) {
	a := e.actor("a")
	t := e.acquire(a)
	e.put(t, k(1), "v")
	e.ok(t.Release(epoch))
	e.ok(t.Release(epoch.Add(time.Hour)))
	e.equal("slept", e.row(a).SleptAt, epoch)
	e.is(t.Commit(&record.Batch{}, func(error) { e.Error("done of a refused commit") }), store.ErrFenced)
	_, err := t.Get(e.ctx, k(1))
	e.is(err, store.ErrFenced)
	_, err = t.Range(e.ctx, record.Span{}, false, 1)
	e.is(err, store.ErrFenced)
	e.is(t.Destroy(e.ctx, epoch), store.ErrFenced)
	e.equal("records", e.all(e.acquire(a)), "4101=v")
}

func testStarted(e *env) {
	a := e.actor("a")
	e.equal("started", e.row(a).StartedAt, time.Time{})
	t := e.acquire(a)
	e.equal("started", e.row(a).StartedAt, time.Time{})
	e.put(t, k(1), "v")
	started := e.row(a).StartedAt
	if started.IsZero() {
		e.Fatal("not started after the first commit")
	}
	t = e.acquire(a)
	e.put(t, k(1), "v")
	e.ok(t.Release(epoch))
	e.equal("started", e.row(a).StartedAt, started)
}

func testDestroy(e *env) {
	n := e.newActor("thing", "a")
	n.Input = []byte{0xf6}
	first, _ := e.reserve(n)
	t := e.acquire(first.ID)
	e.put(t, k(1), "v")
	e.ok(t.Destroy(e.ctx, epoch.Add(time.Hour)))
	e.is(t.Destroy(e.ctx, epoch), store.ErrFenced)
	e.is(t.Commit(&record.Batch{}, func(error) {}), store.ErrFenced)
	_, err := t.Get(e.ctx, k(1))
	e.is(err, store.ErrFenced)
	e.ok(t.Release(epoch))
	_, err = e.s.Lookup(e.ctx, e.ns, "thing", "a")
	e.is(err, store.ErrNotFound)
	row := e.row(first.ID)
	e.equal("destroyed", row.DestroyedAt, epoch.Add(time.Hour))
	e.equal("generation", row.Generation, t.Generation())
	e.equal("slept", row.SleptAt, time.Time{})

	second, created := e.reserve(e.newActor("thing", "a"))
	if !created || second.ID == first.ID {
		e.Fatalf("the key was not free: %v, created %v", second.ID, created)
	}
	e.equal("records of the new actor", e.all(e.acquire(second.ID)), "")
	found, err := e.s.Lookup(e.ctx, e.ns, "thing", "a")
	e.ok(err)
	e.equal("found", found.ID, second.ID)

	// An actor without a key, and one that was never committed to.
	n = e.newActor("thing", "")
	n.HasKey = false
	anonymous, _ := e.reserve(n)
	e.ok(e.acquire(anonymous.ID).Destroy(e.ctx, epoch))
	e.equal("destroyed", e.row(anonymous.ID).DestroyedAt, epoch)
}

func testDestroyFenced(e *env) {
	a := e.actor("a")
	old := e.acquire(a)
	t := e.acquire(a)
	e.is(old.Destroy(e.ctx, epoch), store.ErrFenced)
	e.equal("destroyed", e.row(a).DestroyedAt, time.Time{})
	e.put(t, k(1), "v")
}
