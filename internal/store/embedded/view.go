package embedded

import (
	"context"
	"errors"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// view is a snapshot of one actor's records. The instance ends it when it is closed itself, since Pebble does not close
// under a snapshot.
type view struct {
	store *Store
	in    *instance
	actor id.ID

	mu   sync.RWMutex // held for reading while the snapshot is read
	snap *pebble.Snapshot
}

// views are the open snapshots of an instance.
type views struct {
	mu   sync.Mutex
	open map[*view]struct{}
}

// snapshot opens a view. The caller is inside in.
func (s *Store) snapshot(in *instance, actor id.ID) *view {
	v := &view{store: s, in: in, actor: actor, snap: in.db.NewSnapshot()}
	in.views.mu.Lock()
	defer in.views.mu.Unlock()
	if in.views.open == nil {
		in.views.open = make(map[*view]struct{})
	}
	in.views.open[v] = struct{}{}
	return v
}

// closeViews ends all views of an instance that nobody is inside.
func (in *instance) closeViews() {
	in.views.mu.Lock()
	all := in.views.open
	in.views.open = nil
	in.views.mu.Unlock()
	for v := range all {
		_ = v.end() // a snapshot is memory only
	}
}

// View implements store.Store.
func (s *Store) View(ctx context.Context, actor id.ID) (store.Actor, store.View, error) {
	in, err := s.enter(ctx)
	if err != nil {
		return store.Actor{}, nil, err
	}
	defer in.exit()
	v := s.snapshot(in, actor)
	row, err := v.row()
	if err == nil {
		err = s.syncLog(ctx, in)
	}
	if err != nil {
		_ = v.Close()
		return store.Actor{}, nil, err
	}
	return row, v, nil
}

// syncLog returns when everything that was applied so far is durable. A marker of the syncer would not do: what is applied
// is pushed to it a moment later.
func (s *Store) syncLog(ctx context.Context, in *instance) error {
	b := in.db.NewBatch()
	if err := b.LogData([]byte("view"), nil); err != nil {
		return err
	}
	done := make(chan error, 1)
	if err := s.commit(in, b, nil, func(err error) { done <- err }); err != nil {
		return err
	}
	return await(ctx, done)
}

// row is the actor's row in the snapshot.
func (v *view) row() (store.Actor, error) {
	var own [3][]byte
	for i, sub := range []byte{ownRow, ownFence, ownAlarm} {
		var err error
		if own[i], err = v.get(ownKey(v.actor, sub)); err != nil && !(sub != ownRow && errors.Is(err, store.ErrNotFound)) {
			return store.Actor{}, err
		}
	}
	r, err := decodeRow(own[0])
	if err != nil {
		return store.Actor{}, err
	}
	if r.destroyedMs != 0 {
		return store.Actor{}, store.ErrNotFound
	}
	var f fence
	if own[1] != nil {
		if f, err = decodeFence(own[1]); err != nil {
			return store.Actor{}, err
		}
	}
	var alarmMs int64
	if own[2] != nil {
		if alarmMs, err = decodeAlarm(own[2]); err != nil {
			return store.Actor{}, err
		}
	}
	return r.actor(v.actor, f, alarmMs), nil
}

// View implements store.Tenure.
func (t *tenure) View(ctx context.Context) (store.View, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := t.enter(); err != nil {
		return nil, err
	}
	defer t.in.exit()
	v := t.store.snapshot(t.in, t.slot.actor)
	if t.over.Load() { // a newer owner may have written what it shows
		_ = v.Close()
		return nil, store.ErrFenced
	}
	return v, nil
}

// enter admits a read; exit must follow when it returns nil.
func (v *view) enter() error {
	if err := v.store.enterInstance(v.in); err != nil {
		return err
	}
	v.mu.RLock()
	if v.snap == nil {
		v.exit()
		return store.ErrClosed
	}
	return nil
}

func (v *view) exit() {
	v.mu.RUnlock()
	v.in.exit()
}

func (v *view) get(key []byte) ([]byte, error) {
	if err := v.enter(); err != nil {
		return nil, err
	}
	defer v.exit()
	value, ok, err := v.in.getFrom(v.snap, key)
	if err == nil && !ok {
		err = store.ErrNotFound
	}
	return value, err
}

// Get returns one record's value.
func (v *view) Get(ctx context.Context, key []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !validRecordKey(key) {
		return nil, store.ErrNotFound
	}
	p := actorPrefix(v.actor)
	return v.get(append(p[:], key...))
}

// Range returns at most limit records of the span.
func (v *view) Range(ctx context.Context, s record.Span, reverse bool, limit int) ([]record.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := v.enter(); err != nil {
		return nil, err
	}
	defer v.exit()
	return v.in.records(ctx, v.snap, v.actor, s, reverse, limit)
}

// Close ends the view. Idempotent.
func (v *view) Close() error {
	v.in.views.mu.Lock()
	delete(v.in.views.open, v)
	v.in.views.mu.Unlock()
	return v.end()
}

func (v *view) end() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	snap := v.snap
	v.snap = nil
	if snap == nil {
		return nil
	}
	return snap.Close()
}
