// Package storetest is the suite that every driver of package store passes.
//
// Run checks each sentence of the contract on one store at a time. Agree makes two stores go through the same random
// life and demands the same answers. Faults and power cuts are a driver's own matter, so the drivers' tests bring them;
// Ledger helps them to remember what was promised.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// Kinds of records that the suite uses: one that a wake reads, one that it does not.
const (
	hotKind  = record.KindState
	coldKind = record.HotEnd + 1
)

// Run runs the suite. open returns an empty store; the suite closes it.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	tests := []struct {
		name string
		run  func(*env)
	}{
		{"G1_batch_is_applied_as_a_whole_in_the_documented_order", testBatchOrder},
		{"G1_empty_batch_completes", testEmptyBatch},
		{"G1_large_batches", testLargeBatches},
		{"G2_done_in_the_order_of_commits_and_not_inside_Commit", testDoneOrder},
		{"G2_close_completes_what_is_in_flight", testCloseCompletes},
		{"G2_new_owner_sees_every_accepted_commit", testHandover},
		{"G3_older_generation_is_fenced", testFenced},
		{"G3_generations_only_grow", testGenerationsGrow},
		{"G3_no_update_is_lost_among_owners", testNoLostUpdate},
		{"acquire_writes_nothing_that_others_see", testAcquireWritesNothing},
		{"acquire_unknown_or_destroyed", testAcquireNotFound},
		{"hot_records", testHot},
		{"get_and_range", testGetRange},
		{"range_does_not_leave_the_actor", testRangeStaysInActor},
		{"span_deletes_do_not_leave_the_actor", testSpanDeleteStaysInActor},
		{"bad_record_keys_are_refused", testBadKeys},
		{"view_stays_as_it_was", testViewStaysAsItWas},
		{"view_of_a_sleeper", testViewOfSleeper},
		{"G1_view_is_one_commit", testViewIsOneCommit},
		{"G3_view_of_a_fenced_owner", testViewOfFenced},
		{"view_of_a_closed_store", testViewOfClosedStore},
		{"release_notes_sleep", testReleaseSleep},
		{"release_is_idempotent_and_ends_the_tenure", testReleaseEnds},
		{"started_at_is_the_first_commit", testStarted},
		{"G1_alarm_is_set_with_its_batch", testAlarmBatch},
		{"G2_new_owner_sees_the_accepted_alarm", testAlarmHandover},
		{"G3_alarm_of_a_fenced_commit_is_not_set", testAlarmFenced},
		{"G4_alarms_in_the_order_of_time", testAlarmOrder},
		{"alarms_with_cursor_bound_and_limit", testAlarmQuery},
		{"alarm_of_a_destroyed_actor_is_gone", testAlarmDestroy},
		{"destroy_erases_and_frees_the_key", testDestroy},
		{"destroy_of_a_fenced_tenure", testDestroyFenced},
		{"namespaces", testNamespaces},
		{"names", testNames},
		{"reserve_new_and_existing", testReserve},
		{"reserve_anonymous", testReserveAnonymous},
		{"reserve_input", testReserveInput},
		{"reserve_addresses_do_not_collide", testAddresses},
		{"reserve_is_linearizable", testReserveConcurrent},
		{"reserve_against_destroy", testReserveAgainstDestroy},
		{"actors_in_the_order_asked_for", testActors},
		{"list_newest_first_with_before_and_limit", testList},
		{"list_by_exact_name_and_namespace", testListExact},
		{"rows_have_millisecond_times", testMillis},
		{"cancelled_context", testCancelled},
		{"closed_store", testClosed},
		{"readers_and_writers_at_once", testConcurrentReads},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t)
			t.Cleanup(func() { _ = s.Close() })
			tt.run(&env{T: t, s: s, ctx: t.Context(), ns: id.New(1)})
		})
	}
}

// env is what one test works with.
type env struct {
	*testing.T
	s   store.Store
	ctx context.Context
	ns  id.ID
}

func (e *env) ok(err error) {
	e.Helper()
	if err != nil {
		e.Fatalf("unexpected error: %v", err)
	}
}

func (e *env) is(err, want error) {
	e.Helper()
	if !errors.Is(err, want) {
		e.Fatalf("error is %v, want %v", err, want)
	}
}

func (e *env) equal(what string, got, want any) {
	e.Helper()
	if d := cmp.Diff(want, got); d != "" {
		e.Fatalf("%s (-want +got):\n%s", what, d)
	}
}

var epoch = time.UnixMilli(1_700_000_000_000).UTC()

func (e *env) newActor(name, key string) store.NewActor {
	return store.NewActor{ID: id.New(1), Namespace: e.ns, Name: name, Key: key, HasKey: true, Pool: "default", CrashPolicy: "sleep", CreatedAt: epoch}
}

// reserve reserves durably.
func (e *env) reserve(n store.NewActor) (store.Actor, bool) {
	e.Helper()
	done := make(chan error, 1)
	a, created, err := e.s.Reserve(e.ctx, n, func(err error) { done <- err })
	e.ok(err)
	e.ok(e.wait(done))
	return a, created
}

func (e *env) actor(key string) id.ID {
	e.Helper()
	a, created := e.reserve(e.newActor("thing", key))
	if !created {
		e.Fatalf("actor %q existed", key)
	}
	return a.ID
}

func (e *env) acquire(actor id.ID) store.Tenure {
	e.Helper()
	t, err := e.s.Acquire(e.ctx, actor)
	e.ok(err)
	return t
}

func (e *env) wait(done <-chan error) error {
	e.Helper()
	select {
	case err := <-done:
		return err
	case <-e.ctx.Done():
		e.Fatal("the test ended")
		return nil
	}
}

// commit commits durably.
func (e *env) commit(t store.Tenure, b *record.Batch) {
	e.Helper()
	done := make(chan error, 1)
	e.ok(t.Commit(b, func(err error) { done <- err }))
	e.ok(e.wait(done))
}

func (e *env) put(t store.Tenure, key []byte, value string) {
	e.Helper()
	b := &record.Batch{}
	b.Put(key, []byte(value))
	e.commit(t, b)
}

// all returns the actor's records as text.
func (e *env) all(t store.Tenure) string {
	e.Helper()
	rs, err := t.Range(e.ctx, record.Span{}, false, 1<<20)
	e.ok(err)
	return text(rs)
}

func text(rs []record.Record) string {
	var b strings.Builder
	for _, r := range rs {
		fmt.Fprintf(&b, "%x=%s ", r.Key, r.Value)
	}
	return strings.TrimSpace(b.String())
}

func (e *env) row(actor id.ID) store.Actor {
	e.Helper()
	rows, err := e.s.Actors(e.ctx, []id.ID{actor})
	e.ok(err)
	if len(rows) != 1 {
		e.Fatalf("%d rows of actor %v", len(rows), actor)
	}
	return rows[0]
}

func k(rest ...byte) []byte { return record.Key(coldKind, rest...) }

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

func testHot(e *env) {
	a := e.actor("a")
	t := e.acquire(a)
	b := &record.Batch{}
	b.Put(record.Key(coldKind), []byte("cold"))
	b.Put(record.Key(record.HotEnd), []byte("cold"))
	b.Put(record.Key(record.HotEnd-1, 0xff, 0xff), []byte("3"))
	b.Put(record.Key(hotKind, 2), []byte{})
	b.Put(record.Key(hotKind), []byte("1"))
	e.commit(t, b)
	e.equal("hot records are those of the time of Acquire", len(t.Hot()), 0)
	t = e.acquire(a)
	e.equal("hot records", text(t.Hot()), "01=1 0102= 3fffff=3")
	e.equal("hot records are handed over once", len(t.Hot()), 0)
	e.equal("actor of the tenure", t.Actor(), e.row(a))
}

func testGetRange(e *env) {
	t := e.acquire(e.actor("a"))
	_, err := t.Get(e.ctx, k(1))
	e.is(err, store.ErrNotFound)
	b := &record.Batch{}
	for _, key := range [][]byte{k(), k(1), k(1, 0), k(1, 0xff), k(2), k(0xff), k(0xff, 0xff), {0xff}, {0xff, 0xff, 0xff}, {1}} {
		b.Put(key, []byte("v"))
	}
	e.ok(t.Commit(b, func(error) {})) // not waited for: reads see it anyway
	v, err := t.Get(e.ctx, k(1, 0))
	e.ok(err)
	e.equal("value", string(v), "v")
	_, err = t.Get(e.ctx, k(1, 1))
	e.is(err, store.ErrNotFound)
	_, err = t.Get(e.ctx, nil)
	e.is(err, store.ErrNotFound)
	for _, tt := range []struct {
		span    record.Span
		reverse bool
		limit   int
		want    string
	}{
		{record.Span{}, false, 100, "01 41 4101 410100 4101ff 4102 41ff 41ffff ff ffffff"},
		{record.Span{}, true, 100, "ffffff ff 41ffff 41ff 4102 4101ff 410100 4101 41 01"},
		{record.Span{}, false, 2, "01 41"},
		{record.Span{}, true, 2, "ffffff ff"},
		{record.Span{}, false, 0, ""},
		{record.Span{From: k(1), To: k(2)}, false, 100, "4101 410100 4101ff"},
		{record.Span{From: k(1), To: k(2)}, true, 2, "4101ff 410100"},
		{record.Span{From: k(1, 0xff)}, false, 3, "4101ff 4102 41ff"},
		{record.Span{From: k(3), To: k(4)}, false, 100, ""},
		{record.Span{From: k(2), To: k(1)}, false, 100, ""},
		{record.Span{From: k(2), To: k(2)}, false, 100, ""},
		{record.Span{From: []byte{0xff}}, false, 100, "ff ffffff"},
		{record.Span{To: []byte{1}}, false, 100, ""},
		{record.Span{To: []byte{1, 0}}, false, 100, "01"},
	} {
		rs, err := t.Range(e.ctx, tt.span, tt.reverse, tt.limit)
		e.ok(err)
		var keys []string
		for _, r := range rs {
			keys = append(keys, fmt.Sprintf("%x", r.Key))
		}
		e.equal(fmt.Sprintf("range %x reverse %v limit %d", tt.span, tt.reverse, tt.limit), strings.Join(keys, " "), tt.want)
	}
}

// neighbours are actors whose ids follow one another in byte order, with carries.
func (e *env) neighbours() (before, middle, after store.Tenure) {
	var ids [3]id.ID
	for i := range ids {
		ids[i] = id.New(1)
		copy(ids[i][1:], bytes.Repeat([]byte{0xff}, len(ids[i])-1))
		ids[i][2] = byte(i)
	}
	ids[0][2], ids[1][2], ids[2][2] = 6, 7, 8
	copy(ids[2][3:], make([]byte, len(ids[2])-3))
	var ts [3]store.Tenure
	for i, a := range ids {
		n := e.newActor("thing", fmt.Sprint("neighbour", i))
		n.ID = a
		e.reserve(n)
		ts[i] = e.acquire(a)
		b := &record.Batch{}
		b.Put([]byte{1}, fmt.Append(nil, i))
		b.Put([]byte{0xff, 0xff}, fmt.Append(nil, i))
		e.commit(ts[i], b)
	}
	return ts[0], ts[1], ts[2]
}

func testRangeStaysInActor(e *env) {
	before, middle, after := e.neighbours()
	for i, t := range []store.Tenure{before, middle, after} {
		for _, reverse := range []bool{false, true} {
			rs, err := t.Range(e.ctx, record.Span{}, reverse, 100)
			e.ok(err)
			if reverse {
				slices.Reverse(rs)
			}
			e.equal("records", text(rs), fmt.Sprintf("01=%d ffff=%d", i, i))
		}
	}
}

func testSpanDeleteStaysInActor(e *env) {
	before, middle, after := e.neighbours()
	row := e.row(middle.Actor().ID)
	b := &record.Batch{}
	b.DeleteSpan(record.Span{})
	b.DeleteSpan(record.Span{From: k(2), To: k(1)}) // empty
	e.commit(middle, b)
	e.equal("records", e.all(middle), "")
	e.equal("row", e.row(middle.Actor().ID), row)
	e.equal("records before", e.all(before), "01=0 ffff=0")
	e.equal("records after", e.all(after), "01=2 ffff=2")
	e.put(middle, []byte{1}, "again")
	e.ok(middle.Destroy(e.ctx, epoch))
	e.equal("records before", e.all(before), "01=0 ffff=0")
	e.equal("records after", e.all(after), "01=2 ffff=2")
}

func testBadKeys(e *env) {
	a := e.actor("a")
	t := e.acquire(a)
	for _, key := range [][]byte{nil, {0}, {0, 1}} {
		b := &record.Batch{}
		b.Put(k(1), []byte("v"))
		b.Put(key, []byte("v"))
		if err := t.Commit(b, func(error) { e.Error("done of a refused commit") }); err == nil {
			e.Fatalf("key %x was taken", key)
		}
	}
	b := &record.Batch{}
	b.Delete([]byte{0, 0})
	b.Delete([]byte{0, 1})
	b.DeleteSpan(record.Span{From: []byte{0}, To: []byte{0, 0xff}})
	b.DeleteSpan(record.Span{From: []byte{0}, To: []byte{1}})
	e.commit(t, b)
	e.equal("records", e.all(t), "")
	e.equal("generation", e.row(a).Generation, t.Generation())
}

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
