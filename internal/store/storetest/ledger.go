package storetest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// Ledger remembers which commits a store has acknowledged, for tests with faults and crashes.
//
// Each actor counts its commits. Commit n sets the state to n, appends entry n to a log, sets a group of records to n,
// and moves the alarm to n or clears it. So whatever is found later says which commits are there, whether they are there as a whole (G1), and whether
// one is missing in between.
type Ledger struct {
	mu    sync.Mutex
	acked map[id.ID]uint64
}

// NewLedger returns an empty ledger.
func NewLedger() *Ledger { return &Ledger{acked: make(map[id.ID]uint64)} }

const (
	logKind   = record.HotEnd + 2
	groupKind = record.HotEnd + 3
	groupSize = 5
)

// Acked returns the newest acknowledged commit of each actor so far; 0 for one whose reservation is acknowledged.
func (l *Ledger) Acked() map[id.ID]uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.acked)
}

func (l *Ledger) ack(actor id.ID, n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked[actor] = max(l.acked[actor], n)
}

// Reserve reserves an actor and waits until that is durable.
func (l *Ledger) Reserve(ctx context.Context, s store.Store, key string) (id.ID, error) {
	done := make(chan error, 1)
	a, _, err := s.Reserve(ctx, store.NewActor{ID: id.New(1), Name: "ledger", Key: key, HasKey: true, CreatedAt: epoch}, func(err error) { done <- err })
	if err == nil {
		err = <-done
	}
	if err != nil {
		return id.ID{}, err
	}
	l.ack(a.ID, 0)
	return a.ID, nil
}

// Work acquires the actor, checks what it finds, and makes n commits of about size bytes without waiting in between.
// It returns when all of them are done, with the first error.
func (l *Ledger) Work(ctx context.Context, s store.Store, actor id.ID, n, size int) error {
	acked := l.Acked()[actor]
	t, err := s.Acquire(ctx, actor)
	if err != nil {
		return err
	}
	next, err := inspect(ctx, t, acked)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error  // of an accepted commit
	var refused error // nothing was written
	for range n {
		next++
		commit := next
		wg.Add(1)
		err := t.Commit(entryOf(commit, size), func(err error) {
			defer wg.Done()
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil && failed != nil:
				failed = &BrokenError{fmt.Sprintf("commit %d succeeded after %v", commit, failed)}
			case err == nil:
				l.ack(actor, commit)
			case failed == nil:
				failed = err
			}
		})
		if err != nil {
			wg.Done()
			refused = err
			break
		}
	}
	wg.Wait()
	if failed != nil {
		return failed
	}
	return refused
}

// Check looks at every actor of acked, a value that Acked returned: nothing acknowledged may be missing, and nothing
// may be there in part.
func Check(ctx context.Context, s store.Store, acked map[id.ID]uint64) (found map[id.ID]uint64, err error) {
	found = make(map[id.ID]uint64)
	for actor, n := range acked {
		t, err := s.Acquire(ctx, actor)
		if errors.Is(err, store.ErrNotFound) {
			return nil, &BrokenError{fmt.Sprintf("actor %v is gone", actor)}
		}
		if err != nil {
			return nil, err
		}
		a, err := s.Lookup(ctx, t.Actor().Namespace, t.Actor().Name, t.Actor().Key)
		if errors.Is(err, store.ErrNotFound) || err == nil && a.ID != actor {
			return nil, &BrokenError{fmt.Sprintf("key of actor %v leads to %v, %v", actor, a.ID, err)}
		}
		if err != nil {
			return nil, err
		}
		if found[actor], err = inspect(ctx, t, n); err != nil {
			return nil, err
		}
	}
	return found, checkAlarms(ctx, s, found)
}

// BrokenError says which promise was broken, as opposed to an error that the store returned.
type BrokenError struct{ What string }

func (e *BrokenError) Error() string { return "broken promise: " + e.What }

func entryOf(n uint64, size int) *record.Batch {
	v := binary.BigEndian.AppendUint64(nil, n)
	b := &record.Batch{}
	b.Put(record.Key(hotKind), v)
	b.Put(record.Key(logKind, v...), append(v, make([]byte, size)...))
	b.DeleteSpan(record.Span{From: record.Key(groupKind), To: record.Key(groupKind + 1)})
	for i := range byte(groupSize) {
		b.Put(record.Key(groupKind, i), v)
	}
	b.SetAlarm, b.Alarm = true, alarmOf(n)
	return b
}

// alarmOf is the alarm that commit n sets, in milliseconds.
func alarmOf(n uint64) int64 {
	if n%5 == 0 {
		return 0
	}
	return int64(n)
}

// checkAlarms compares the store's list of alarms with what the actors' newest commits set.
func checkAlarms(ctx context.Context, s store.Store, found map[id.ID]uint64) error {
	want := make(map[id.ID]int64)
	for actor, n := range found {
		if ms := alarmOf(n); ms != 0 {
			want[actor] = ms
		}
	}
	q := store.AlarmQuery{Limit: 100}
	for {
		page, err := s.Alarms(ctx, q)
		if err != nil {
			return err
		}
		for _, a := range page {
			n, ok := found[a.Actor]
			if !ok {
				continue // of an actor that nothing was promised about
			}
			if ms := a.At.UnixMilli(); want[a.Actor] != ms {
				return &BrokenError{fmt.Sprintf("state says %d, the list has an alarm at %d", n, ms)}
			}
			delete(want, a.Actor)
		}
		if len(page) < q.Limit {
			break
		}
		q.After = page[len(page)-1]
	}
	for actor, ms := range want {
		return &BrokenError{fmt.Sprintf("state says %d, the alarm at %d is not in the list", found[actor], ms)}
	}
	return nil
}

// inspect returns the newest commit that is there.
func inspect(ctx context.Context, t store.Tenure, acked uint64) (uint64, error) {
	var n uint64
	for _, r := range t.Hot() {
		n = binary.BigEndian.Uint64(r.Value)
	}
	ms := int64(0)
	if at := t.Alarm(); !at.IsZero() {
		ms = at.UnixMilli()
	}
	if ms != alarmOf(n) {
		return 0, &BrokenError{fmt.Sprintf("state says %d, the alarm is at %d", n, ms)}
	}
	if n < acked {
		return 0, &BrokenError{fmt.Sprintf("commit %d was acknowledged, %d is the newest there", acked, n)}
	}
	log, err := t.Range(ctx, record.Span{From: record.Key(logKind), To: record.Key(logKind + 1)}, false, 1<<30)
	if err != nil {
		return 0, err
	}
	for i, r := range log {
		if got := binary.BigEndian.Uint64(r.Value); got != uint64(i)+1 {
			return 0, &BrokenError{fmt.Sprintf("log entry %d of %d is %d", i+1, n, got)}
		}
	}
	if uint64(len(log)) != n {
		return 0, &BrokenError{fmt.Sprintf("state says %d, the log has %d entries", n, len(log))}
	}
	group, err := t.Range(ctx, record.Span{From: record.Key(groupKind), To: record.Key(groupKind + 1)}, true, 1<<30)
	if err != nil {
		return 0, err
	}
	if n > 0 && len(group) != groupSize {
		return 0, &BrokenError{fmt.Sprintf("%d records in the group", len(group))}
	}
	for _, r := range group {
		if got := binary.BigEndian.Uint64(r.Value); got != n {
			return 0, &BrokenError{fmt.Sprintf("state says %d, the group %d", n, got)}
		}
	}
	return n, nil
}
