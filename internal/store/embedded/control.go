package embedded

import (
	"bytes"
	"context"
	"hash/maphash"
	"math"
	"time"

	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// Marks in the values of the list index.
const (
	listLive      byte = 0
	listDestroyed byte = 1
)

// lockAdmin makes the caller the only one that changes namespaces or names. It may be held across a wait.
func (s *Store) lockAdmin(ctx context.Context) error {
	select {
	case s.admin <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closing:
		return store.ErrClosed
	}
}

func (s *Store) unlockAdmin() { <-s.admin }

// CreateNamespace implements store.Store.
func (s *Store) CreateNamespace(ctx context.Context, ns store.Namespace) error {
	if err := s.lockAdmin(ctx); err != nil {
		return err
	}
	defer s.unlockAdmin()
	in, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer in.exit()
	k := namespaceKey(ns.Name)
	if _, ok, err := in.get(k); err != nil {
		return err
	} else if ok {
		return store.ErrExists
	}
	b := in.db.NewBatch()
	_ = b.Set(k, encodeNamespace(ns), nil)
	return s.commitAndWait(in, b)
}

// Namespaces implements store.Store.
func (s *Store) Namespaces(ctx context.Context) ([]store.Namespace, error) {
	in, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer in.exit()
	var out []store.Namespace
	err = in.scan([]byte{tableNamespace}, []byte{tableNamespace + 1}, false, func(k, v []byte) (bool, error) {
		ns, err := decodeNamespace(string(k[1:]), v)
		out = append(out, ns)
		return true, err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// PutNames implements store.Store.
func (s *Store) PutNames(ctx context.Context, ns id.ID, names []store.ActorName) error {
	if err := s.lockAdmin(ctx); err != nil {
		return err
	}
	defer s.unlockAdmin()
	in, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer in.exit()
	b := in.db.NewBatch()
	for _, n := range names {
		k, v := nameKey(ns, n.Name), sealed(n.Metadata...)
		old, ok, err := in.get(k)
		if err != nil {
			_ = b.Close()
			return err
		}
		if !ok || !bytes.Equal(old, v) {
			_ = b.Set(k, v, nil)
		}
	}
	if b.Empty() {
		return b.Close()
	}
	return s.commitAndWait(in, b)
}

// Names implements store.Store.
func (s *Store) Names(ctx context.Context, ns id.ID, after string, limit int) ([]store.ActorName, error) {
	in, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer in.exit()
	if limit < 1 {
		return nil, nil
	}
	prefix := nameKey(ns, "")
	from := nameKey(ns, after)
	if after != "" {
		from = append(from, 0) // the first key behind it
	}
	var out []store.ActorName
	err = in.scan(from, successor(prefix), false, func(k, v []byte) (bool, error) {
		metadata, err := unsealed("actor name", v)
		n := store.ActorName{Name: string(k[len(prefix):])}
		if len(metadata) > 0 {
			n.Metadata = bytes.Clone(metadata)
		}
		out = append(out, n)
		return len(out) < limit, err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Store) stripe(ns id.ID, name, key string) *stripe {
	var h maphash.Hash
	h.SetSeed(s.seed)
	_, _ = h.Write(ns[:])
	_, _ = h.WriteString(name)
	_ = h.WriteByte(0)
	_, _ = h.WriteString(key)
	return &s.stripes[h.Sum64()%uint64(len(s.stripes))]
}

// Reserve implements store.Store.
func (s *Store) Reserve(ctx context.Context, n store.NewActor, durable func(error)) (store.Actor, bool, error) {
	if len(n.Name) > maxName {
		return store.Actor{}, false, errNameTooLong
	}
	in, err := s.enter(ctx)
	if err != nil {
		return store.Actor{}, false, err
	}
	defer in.exit()
	st := s.stripe(n.Namespace, n.Name, n.Key)
	if !n.HasKey {
		return s.reserve(in, st, n, durable)
	}
	st.mu.Lock()
	a, ok, err := in.liveActor(n.Namespace, n.Name, n.Key)
	switch {
	case err != nil:
		st.mu.Unlock()
		return store.Actor{}, false, err
	case !ok:
		defer st.mu.Unlock()
		return s.reserve(in, st, n, durable)
	}
	pending := st.pending.Load() > 0
	st.mu.Unlock()
	if pending {
		// Perhaps it is this row that is not durable yet. The log is written in order: what is behind it in the queue
		// is done when it is durable.
		s.syncer.push(entry{in: in, done: durable})
	} else {
		durable(nil)
	}
	return a, false, nil
}

// reserve records a new actor.
func (s *Store) reserve(in *instance, st *stripe, n store.NewActor, durable func(error)) (store.Actor, bool, error) {
	r := row{
		namespace: n.Namespace, name: n.Name, key: n.Key, hasKey: n.HasKey,
		pool: n.Pool, crashPolicy: n.CrashPolicy, createdMs: toMs(n.CreatedAt),
	}
	b := in.db.NewBatch()
	_ = b.Set(ownKey(n.ID, ownRow), r.encode(), nil)
	_ = b.Set(listKey(r.namespace, r.name, r.createdMs, n.ID), sealed(listLive), nil)
	if n.HasKey {
		_ = b.Set(keyKey(n.Namespace, n.Name, n.Key), sealed(n.ID[:]...), nil)
	}
	if n.Input != nil {
		p := actorPrefix(n.ID)
		_ = b.Set(append(p[:], record.Key(record.KindInput)...), record.Seal(n.Input), nil)
	}
	if err := s.commit(in, b, &st.pending, durable); err != nil {
		return store.Actor{}, false, err
	}
	return r.actor(n.ID, fence{}, 0), true, nil
}

// liveActor finds the actor of a key.
func (in *instance) liveActor(ns id.ID, name, key string) (store.Actor, bool, error) {
	v, ok, err := in.get(keyKey(ns, name, key))
	if err != nil || !ok {
		return store.Actor{}, false, err
	}
	actor, err := decodeID("key index", v)
	if err != nil {
		return store.Actor{}, false, err
	}
	a, ok, err := in.actor(actor)
	if err == nil && !ok {
		err = errIndex
	}
	return a, err == nil, err
}

// actor reads an actor's row, fence and alarm.
func (in *instance) actor(actor id.ID) (store.Actor, bool, error) {
	v, ok, err := in.get(ownKey(actor, ownRow))
	if err != nil || !ok {
		return store.Actor{}, false, err
	}
	r, err := decodeRow(v)
	if err != nil {
		return store.Actor{}, false, err
	}
	var f fence
	v, ok, err = in.get(ownKey(actor, ownFence))
	if err == nil && ok {
		f, err = decodeFence(v)
	}
	if err != nil {
		return store.Actor{}, false, err
	}
	var alarmMs int64
	v, ok, err = in.get(ownKey(actor, ownAlarm))
	if err == nil && ok {
		alarmMs, err = decodeAlarm(v)
	}
	return r.actor(actor, f, alarmMs), err == nil, err
}

// Lookup implements store.Store.
func (s *Store) Lookup(ctx context.Context, ns id.ID, name, key string) (store.Actor, error) {
	if len(name) > maxName {
		return store.Actor{}, store.ErrNotFound
	}
	in, err := s.enter(ctx)
	if err != nil {
		return store.Actor{}, err
	}
	defer in.exit()
	a, ok, err := in.liveActor(ns, name, key)
	if err != nil {
		return store.Actor{}, err
	}
	if !ok || !a.DestroyedAt.IsZero() { // the latter: destroyed between reading the index and the row
		return store.Actor{}, store.ErrNotFound
	}
	return a, nil
}

// Actors implements store.Store.
func (s *Store) Actors(ctx context.Context, ids []id.ID) ([]store.Actor, error) {
	in, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer in.exit()
	out := make([]store.Actor, 0, len(ids))
	for _, actor := range ids {
		a, ok, err := in.actor(actor)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, a)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, q store.ListQuery) ([]store.Actor, error) {
	if len(q.Name) > maxName {
		return nil, nil
	}
	in, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer in.exit()
	if q.Limit < 1 {
		return nil, nil
	}
	prefix := appendNamed(nil, tableList, q.Namespace, q.Name)
	from := prefix
	if !q.Before.IsZero() {
		from = appendListPosition(nil, q.Namespace, q.Name, newestBefore(q.Before))
	}
	var out []store.Actor
	err = in.scan(from, successor(prefix), false, func(k, v []byte) (bool, error) {
		mark, err := unsealed("list index", v)
		if err != nil {
			return false, err
		}
		if len(k) != len(prefix)+8+id.Size || len(mark) != 1 {
			return false, errIndex
		}
		if mark[0] == listDestroyed && !q.IncludeDestroyed {
			return true, ctx.Err()
		}
		a, ok, err := in.actor(id.ID(k[len(prefix)+8:]))
		if err != nil {
			return false, err
		}
		if !ok {
			return false, errIndex
		}
		if !q.IncludeDestroyed && !a.DestroyedAt.IsZero() { // destroyed since the scan began
			return true, nil
		}
		out = append(out, a)
		return len(out) < q.Limit, ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Alarms implements store.Store.
func (s *Store) Alarms(ctx context.Context, q store.AlarmQuery) ([]store.Alarm, error) {
	in, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer in.exit()
	if q.Limit < 1 {
		return nil, nil
	}
	from, to := []byte{tableAlarm}, []byte{tableAlarm + 1}
	if !q.After.At.IsZero() {
		from = append(alarmKey(q.After.At.UnixMilli(), q.After.Actor), 0) // the first key behind it
	}
	if !q.Until.IsZero() && q.Until.UnixMilli() < math.MaxInt64 {
		to = appendInstant([]byte{tableAlarm}, q.Until.UnixMilli()+1)
	}
	if bytes.Compare(from, to) >= 0 {
		return nil, nil
	}
	var out []store.Alarm
	err = in.scan(from, to, false, func(k, v []byte) (bool, error) {
		if _, err := unsealed("alarm", v); err != nil {
			return false, err
		}
		a, err := decodeAlarmKey(k)
		out = append(out, a)
		if err == nil {
			err = ctx.Err()
		}
		return len(out) < q.Limit, err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// newestBefore is the last millisecond before t.
func newestBefore(t time.Time) int64 {
	ms := t.UnixMilli()
	if t.Equal(time.UnixMilli(ms)) {
		return ms - 1
	}
	return ms
}

func rowOf(a store.Actor) row {
	return row{
		namespace: a.Namespace, name: a.Name, key: a.Key, hasKey: a.HasKey,
		pool: a.Pool, crashPolicy: a.CrashPolicy, createdMs: toMs(a.CreatedAt), destroyedMs: toMs(a.DestroyedAt),
	}
}
