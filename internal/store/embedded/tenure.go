package embedded

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// maxBatchBytes is far below the size at which Pebble panics (4 GiB).
const maxBatchBytes = 1 << 30

// slots are the actors that have a tenure, or had one whose commits are not durable yet.
type slots struct {
	mu   sync.Mutex // never held across anything that waits
	byID map[id.ID]*slot
}

// slot is one actor's fence in memory. The generation in it and the one in the database together fence: a tenure that
// has committed nothing is known only here.
type slot struct {
	actor id.ID
	refs  int // guarded by slots.mu: the current tenure, calls that use the slot, and a marker in the syncer's queue

	// pending counts the commits that are applied but not durable, of all tenures.
	pending atomic.Int64

	mu         sync.Mutex // held while a commit is applied: it orders commits, and acquisitions against them
	current    *tenure    // nil: nobody
	generation uint64     // newest one given out since the slot exists
}

func (s *slots) take(actor id.ID) *slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	sl := s.byID[actor]
	if sl == nil {
		sl = &slot{actor: actor}
		s.byID[actor] = sl
	}
	sl.refs++
	return sl
}

func (s *slots) drop(sl *slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sl.refs--; sl.refs == 0 {
		delete(s.byID, sl.actor)
	}
}

// dropBehind drops a reference once everything that was pushed to the syncer is done, so that an acquisition that
// comes earlier still finds the pending commits.
func (s *Store) dropBehind(in *instance, sl *slot) {
	if sl.pending.Load() == 0 {
		s.slots.drop(sl)
		return
	}
	s.syncer.push(entry{in: in, done: func(error) { s.slots.drop(sl) }})
}

// tenure is one term of ownership. It lives on one instance of the database and is dead when that fails.
type tenure struct {
	store *Store
	in    *instance
	slot  *slot
	actor store.Actor
	gen   uint64
	hot   []record.Record

	over atomic.Bool // fenced, released or destroyed; set with slot.mu held

	// Guarded by slot.mu.
	fence   fence
	fenced  bool  // the fence row of this generation is applied
	alarmMs int64 // what batches have set it to; 0 for none
}

// Acquire implements store.Store. An older tenure is fenced even when Acquire then fails.
func (s *Store) Acquire(ctx context.Context, actor id.ID) (store.Tenure, error) {
	if _, err := s.entered(ctx); err != nil {
		return nil, err
	}
	sl := s.slots.take(actor)
	t, err := s.acquire(ctx, sl)
	if err != nil {
		s.slots.drop(sl)
		return nil, err
	}
	return t, nil // it has the reference now
}

// entered is enter for calls that only want to know whether they would be admitted.
func (s *Store) entered(ctx context.Context) (*instance, error) {
	in, err := s.enter(ctx)
	if err == nil {
		in.exit()
	}
	return in, err
}

func (s *Store) acquire(ctx context.Context, sl *slot) (*tenure, error) {
	sl.mu.Lock()
	for {
		if old := sl.current; old != nil {
			sl.current = nil
			old.over.Store(true)
			s.slots.drop(sl) // the old tenure's reference; ours remains
		}
		if sl.pending.Load() == 0 {
			break
		}
		// What an older tenure committed is in memory but not durable. The new owner would show it to others without a
		// commit of its own to wait for, so it must not see it before it is durable (G2).
		sl.mu.Unlock()
		if err := s.durable(ctx, s.current.Load()); err != nil && ctx.Err() != nil {
			return nil, err
		}
		sl.mu.Lock()
	}
	defer sl.mu.Unlock()
	in, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer in.exit()
	w, err := in.wake(sl.actor)
	if err != nil {
		return nil, err
	}
	if w.row.destroyedMs != 0 {
		return nil, store.ErrNotFound
	}
	t := &tenure{
		store: s, in: in, slot: sl, actor: w.row.actor(sl.actor, w.fence, w.alarmMs), hot: w.hot,
		fence: w.fence, alarmMs: w.alarmMs,
	}
	sl.generation = max(sl.generation, w.fence.generation) + 1
	t.gen = sl.generation
	t.fence.generation = t.gen
	sl.current = t
	return t, nil
}

// waking is what a wake reads.
type waking struct {
	row     row
	fence   fence
	alarmMs int64
	hot     []record.Record
}

// wake reads what there is of an actor but its cold records, in one scan.
func (in *instance) wake(actor id.ID) (w waking, err error) {
	p := actorPrefix(actor)
	to := append(p[:], byte(record.HotEnd))
	found := false
	var all []byte // keys and values, one after the other
	var ends []int
	err = in.scan(p[:], to, false, func(key, value []byte) (bool, error) {
		key = key[actorPrefixLen:]
		if len(key) > 0 && key[0] != ownKeys {
			all = append(all, key...)
			ends = append(ends, len(all))
			all = append(all, value...)
			ends = append(ends, len(all))
			return true, nil
		}
		var err error
		switch {
		case len(key) == 2 && key[1] == ownRow:
			found = true
			w.row, err = decodeRow(value)
		case len(key) == 2 && key[1] == ownFence:
			w.fence, err = decodeFence(value)
		case len(key) == 2 && key[1] == ownAlarm:
			w.alarmMs, err = decodeAlarm(value)
		}
		return true, err
	})
	if err != nil {
		return w, err
	}
	if !found {
		return w, store.ErrNotFound
	}
	w.hot = make([]record.Record, 0, len(ends)/2)
	for i, from := 0, 0; i < len(ends); i += 2 {
		w.hot = append(w.hot, record.Record{Key: all[from:ends[i]:ends[i]], Value: all[ends[i]:ends[i+1]:ends[i+1]]})
		from = ends[i+1]
	}
	return w, nil
}

func (t *tenure) Actor() store.Actor { return t.actor }
func (t *tenure) Generation() uint64 { return t.gen }
func (t *tenure) Alarm() time.Time   { return t.actor.Alarm }

// Hot hands the records over: a state may be large, and its owner has it from then on.
func (t *tenure) Hot() []record.Record {
	hot := t.hot
	t.hot = nil
	return hot
}

// enter admits a call on the tenure's own instance.
func (t *tenure) enter() error {
	if t.over.Load() {
		return store.ErrFenced
	}
	return t.store.enterInstance(t.in)
}

// Get implements store.Tenure.
func (t *tenure) Get(ctx context.Context, key []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := t.enter(); err != nil {
		return nil, err
	}
	defer t.in.exit()
	if !validRecordKey(key) {
		return nil, store.ErrNotFound
	}
	p := actorPrefix(t.slot.actor)
	value, ok, err := t.in.get(append(p[:], key...))
	if err != nil {
		return nil, err
	}
	if t.over.Load() { // a newer owner may have written what was read
		return nil, store.ErrFenced
	}
	if !ok {
		return nil, store.ErrNotFound
	}
	return value, nil
}

// Range implements store.Tenure.
func (t *tenure) Range(ctx context.Context, s record.Span, reverse bool, limit int) ([]record.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := t.enter(); err != nil {
		return nil, err
	}
	defer t.in.exit()
	out, err := t.in.records(ctx, t.in.db, t.slot.actor, s, reverse, limit)
	if err != nil {
		return nil, err
	}
	if t.over.Load() {
		return nil, store.ErrFenced
	}
	return out, nil
}

// Commit implements store.Tenure.
func (t *tenure) Commit(b *record.Batch, done func(error)) error {
	size := b.Size() + 16 // an empty one takes room as well
	if err := checkBatch(b, size); err != nil {
		return err
	}
	s := t.store
	if t.over.Load() {
		return store.ErrFenced
	}
	if err := s.gate.enter(t.in, size); err != nil {
		return err
	}
	if err := t.commit(b, size, done); err != nil {
		s.gate.release(size)
		return err
	}
	return nil
}

func (t *tenure) commit(b *record.Batch, size int, done func(error)) error {
	t.slot.mu.Lock()
	defer t.slot.mu.Unlock()
	if err := t.enter(); err != nil {
		return err
	}
	defer t.in.exit()
	pb := t.in.db.NewBatch()
	t.fill(pb, b)
	if b.SetAlarm {
		t.fillAlarm(pb, b.Alarm)
	}
	if !t.fenced {
		if t.fence.startedMs == 0 {
			t.fence.startedMs = toMs(t.store.opts.Now())
		}
		t.putFence(pb, t.fence)
	}
	if err := t.store.applyAndPush(t.in, pb, size, &t.slot.pending, done); err != nil {
		return err
	}
	t.fenced = true
	if b.SetAlarm {
		t.alarmMs = b.Alarm
	}
	return nil
}

func checkBatch(b *record.Batch, size int) error {
	if size > maxBatchBytes {
		return fmt.Errorf("store: batch of %d bytes is larger than the limit of %d", size, maxBatchBytes)
	}
	for _, p := range b.Puts {
		if !validRecordKey(p.Key) {
			return errBadKey
		}
	}
	return nil
}

var errBadKey = errors.New("store: a record key is empty or of kind 0")

// fill writes the records of b, each key behind the actor's prefix.
func (t *tenure) fill(pb *pebble.Batch, b *record.Batch) {
	p := actorPrefix(t.slot.actor)
	for _, s := range b.DeleteSpans {
		if s, some := recordSpan(s); some {
			from, to := bounds(t.slot.actor, s)
			_ = pb.DeleteRange(from, to, nil) // fails only on indexed batches
		}
	}
	for _, k := range b.Deletes {
		if validRecordKey(k) {
			op := pb.DeleteDeferred(len(p) + len(k))
			copy(op.Key[copy(op.Key, p[:]):], k)
			_ = op.Finish()
		}
	}
	for i := range b.Puts {
		k, v := b.Puts[i].Key, b.Puts[i].Value
		op := pb.SetDeferred(len(p)+len(k), len(v))
		copy(op.Key[copy(op.Key, p[:]):], k)
		copy(op.Value, v)
		_ = op.Finish()
	}
}

// fillAlarm moves the actor's alarm to ms, in the actor and in the table of all. It reads nothing: the tenure knows what
// was there before.
func (t *tenure) fillAlarm(pb *pebble.Batch, ms int64) {
	if ms == t.alarmMs {
		return
	}
	if t.alarmMs != 0 {
		_ = pb.Delete(alarmKey(t.alarmMs, t.slot.actor), nil)
	}
	own := ownKey(t.slot.actor, ownAlarm)
	if ms == 0 {
		_ = pb.Delete(own, nil)
		return
	}
	_ = pb.Set(alarmKey(ms, t.slot.actor), sealed(), nil)
	_ = pb.Set(own, encodeAlarm(ms), nil)
}

func (t *tenure) putFence(pb *pebble.Batch, f fence) {
	p := actorPrefix(t.slot.actor)
	op := pb.SetDeferred(len(p)+2, fenceLen)
	copy(op.Key, p[:])
	op.Key[len(p)], op.Key[len(p)+1] = ownKeys, ownFence
	f.appendTo(op.Value[:0])
	_ = op.Finish()
}

// Release implements store.Tenure. The note it writes is not waited for: if it is lost, so is nothing but the time of
// falling asleep, and a generation under which nothing was committed.
func (t *tenure) Release(asleep time.Time) error {
	sl := t.slot
	sl.mu.Lock()
	defer sl.mu.Unlock()
	if t.over.Load() {
		return nil
	}
	enterErr := t.enter()
	t.over.Store(true)
	sl.current = nil
	defer t.store.dropBehind(t.in, sl)
	if enterErr != nil {
		return enterErr
	}
	defer t.in.exit()
	if t.fenced && asleep.IsZero() {
		return nil
	}
	f := t.fence
	if f.startedMs == 0 {
		f.startedMs = toMs(t.store.opts.Now())
	}
	if !asleep.IsZero() {
		f.sleptMs = toMs(asleep)
	}
	pb := t.in.db.NewBatch()
	t.putFence(pb, f)
	if _, err := t.in.apply(pb, pebble.NoSync); err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	if t.in.failed() != nil {
		return t.in.unavailable()
	}
	_ = pb.Close()
	return nil
}

// Destroy implements store.Tenure. When ctx ends first the actor may be destroyed nevertheless.
func (t *tenure) Destroy(ctx context.Context, at time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := t.enter(); err != nil {
		return err
	}
	defer t.in.exit()
	done := make(chan error, 1)
	if err := t.destroy(at, func(err error) { done <- err }); err != nil {
		return err
	}
	return await(ctx, done)
}

func (t *tenure) destroy(at time.Time, done func(error)) error {
	s, sl, a := t.store, t.slot, &t.actor
	stripe := s.stripe(a.Namespace, a.Name, a.Key)
	stripe.mu.Lock() // before slot.mu, here and nowhere else
	defer stripe.mu.Unlock()
	sl.mu.Lock()
	defer sl.mu.Unlock()
	if t.over.Load() {
		return store.ErrFenced
	}
	pb := t.in.db.NewBatch()
	if err := t.fillDestroy(pb, at); err != nil {
		_ = pb.Close()
		return err
	}
	if err := s.commit(t.in, pb, &sl.pending, done); err != nil {
		return err
	}
	t.over.Store(true)
	sl.current = nil
	s.dropBehind(t.in, sl)
	return nil
}

func (t *tenure) fillDestroy(pb *pebble.Batch, at time.Time) error {
	a := &t.actor
	everything, _ := recordSpan(record.Span{})
	from, to := bounds(t.actor.ID, everything)
	_ = pb.DeleteRange(from, to, nil)
	t.fillAlarm(pb, 0)
	if a.HasKey {
		k := keyKey(a.Namespace, a.Name, a.Key)
		v, ok, err := t.in.get(k)
		if err != nil {
			return err
		}
		if ok {
			holder, err := decodeID("key index", v)
			if err != nil {
				return err
			}
			if holder == a.ID {
				_ = pb.Delete(k, nil)
			}
		}
	}
	r := rowOf(*a)
	if r.destroyedMs = toMs(at); r.destroyedMs == 0 {
		r.destroyedMs = toMs(t.store.opts.Now())
	}
	_ = pb.Set(ownKey(a.ID, ownRow), r.encode(), nil)
	_ = pb.Set(listKey(r.namespace, r.name, r.createdMs, a.ID), sealed(listDestroyed), nil)
	if !t.fenced {
		if t.fence.startedMs == 0 {
			t.fence.startedMs = toMs(t.store.opts.Now())
		}
		t.putFence(pb, t.fence)
	}
	return nil
}
