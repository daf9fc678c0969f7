package actordb

import (
	"bytes"
	"context"
	"database/sql"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rivetgo/rivet/internal/wire/record"
)

// records is an actor's records in a map.
type records struct {
	mu   sync.Mutex
	m    map[string][]byte
	gets int
}

func newRecords() *records { return &records{m: make(map[string][]byte)} }

func (r *records) Get(_ context.Context, key []byte) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gets++
	v, ok := r.m[string(key)]
	if !ok {
		return nil, record.ErrNotFound
	}
	return v, nil
}

func (r *records) Range(_ context.Context, s record.Span, reverse bool, limit int) ([]record.Record, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []record.Record
	for k, v := range r.m {
		if s.Contains([]byte(k)) {
			out = append(out, record.Record{Key: []byte(k), Value: v})
		}
	}
	slices.SortFunc(out, func(a, b record.Record) int { return bytes.Compare(a.Key, b.Key) })
	if reverse {
		slices.Reverse(out)
	}
	return out[:min(limit, len(out))], nil
}

func (r *records) View(context.Context) (View, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return view{&records{m: maps.Clone(r.m)}}, nil
}

type view struct{ *records }

func (view) Close() error { return nil }

func (r *records) apply(c Changes) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range c.Deletes {
		maps.DeleteFunc(r.m, func(k string, _ []byte) bool { return s.Contains([]byte(k)) })
	}
	for _, p := range c.Puts {
		r.m[string(p.Key)] = p.Value
	}
}

var testOptions = Options{CacheBytes: 2 << 20, MaxTurnBytes: 64 << 20}

// turns is a Scope in which each statement or transaction is a turn of its own, unless a turn is open.
type turns struct {
	t    *testing.T
	src  *records
	db   *DB
	slot chan struct{}
	open *Tx
}

func newTurns(t *testing.T, src *records, opts Options) *turns {
	db := New(src, NewPool(1<<30, time.Minute), opts)
	t.Cleanup(db.Close)
	return &turns{t: t, src: src, db: db, slot: make(chan struct{}, 1)}
}

func (s *turns) Do(ctx context.Context, work Work) error {
	if s.open != nil {
		return work(ctx, s.open, nil, false)
	}
	s.slot <- struct{}{}
	defer func() { <-s.slot }()
	tx, err := s.db.Begin(ctx)
	if err != nil {
		return err
	}
	if err := work(ctx, tx, nil, true); err != nil {
		tx.Rollback()
		return err
	}
	return s.commit(tx)
}

func (s *turns) commit(tx *Tx) error {
	c, err := tx.Commit()
	if err != nil {
		tx.Rollback()
		return err
	}
	s.src.apply(c)
	return nil
}

func (s *turns) Begin(ctx context.Context, where string, readOnly bool) (Transaction, error) {
	if s.open != nil {
		sp, err := s.open.Begin(where, readOnly)
		return partTx{s.open, sp}, err
	}
	s.slot <- struct{}{}
	tx, err := s.db.Begin(ctx)
	if err != nil {
		<-s.slot
		return nil, err
	}
	if readOnly {
		tx.ReadOnly()
	}
	return turnTx{s, tx}, nil
}

type turnTx struct {
	s  *turns
	tx *Tx
}

func (t turnTx) Do(ctx context.Context, work Work) error { return work(ctx, t.tx, nil, false) }

func (t turnTx) End(keep bool) error {
	defer func() { <-t.s.slot }()
	if !keep {
		t.tx.Rollback()
		return nil
	}
	return t.s.commit(t.tx)
}

// partTx is a transaction within a turn.
type partTx struct {
	tx *Tx
	sp *Savepoint
}

func (p partTx) Do(ctx context.Context, work Work) error { return work(ctx, p.tx, p.sp, false) }
func (p partTx) End(keep bool) error                     { return p.sp.End(keep) }

// newSQL is a database whose statements are turns of their own.
func newSQL(t *testing.T) (*sql.DB, *turns) {
	s := newTurns(t, newRecords(), testOptions)
	db := OpenDB(s)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db, s
}

func exec(t *testing.T, db interface {
	Exec(string, ...any) (sql.Result, error)
}, query string, args ...any) sql.Result {
	t.Helper()
	res, err := db.Exec(query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return res
}

func one[T any](t *testing.T, db interface {
	QueryRow(string, ...any) *sql.Row
}, query string, args ...any) (v T) {
	t.Helper()
	if err := db.QueryRow(query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}
