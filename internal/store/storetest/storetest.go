// Package storetest is the suite that every driver of package store passes.
//
// Run checks each sentence of the contract on one store at a time. Agree makes two stores go through the same random
// life and demands the same answers. Faults and power cuts are a driver's own matter, so the drivers' tests bring them;
// Ledger helps them to remember what was promised.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
