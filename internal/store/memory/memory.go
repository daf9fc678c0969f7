// Package memory is a driver of package store that keeps everything in maps, for tests.
//
// It shares no code with the other drivers, so that a suite that compares them compares two opinions. It is made of
// channels and short critical sections only: under testing/synctest its one goroutine is durably blocked whenever
// there is nothing to do.
//
// There are two images of the data: what commits have applied, which everybody reads, and what is durable. Normally
// the second follows the first at once. Hold stops it, Slow puts it off, Flush lets it catch up, and Crash throws away
// what it has not got, as a power cut would; Kill and Reopen are a crash whose survivors meet a store that is closed:
//
//	Commit ──► applied ──► queue ──► durable ──► done(nil)
//	                         │
//	                         └─ Crash: applied := durable; done(*store.CommitError); every tenure is fenced
package memory

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// ErrCrashed is the cause of the commit errors that Crash makes.
var ErrCrashed = errors.New("memory: crashed")

var errBadKey = errors.New("store: a record key is empty or of kind 0")

// Options tune a store. The zero value is right for most tests.
type Options struct {
	// Now is the clock for the rows' times; nil is time.Now.
	Now func() time.Time
}

// Store is the driver. Create it with New.
type Store struct {
	now func() time.Time

	mu      sync.Mutex // never held across a wait
	applied *image
	durable *image
	queue   []entry
	held    bool
	slow    time.Duration // how long it takes to become durable
	allowed int           // entries of the queue that may become durable although held or slow
	tenures map[id.ID]*tenure
	// given is the newest generation handed out per actor in this life of the store.
	given   map[id.ID]uint64
	pending map[id.ID]int // entries in the queue per actor
	closed  bool

	wake  chan struct{} // the queue or the permission to empty it has grown
	ended chan struct{} // closed when the goroutine has ended
}

// entry is one change that is applied and not durable yet, or a marker behind such changes.
type entry struct {
	actor  id.ID
	change func(*image) // nil: a marker
	done   func(error)  // nil: nobody waits
	fail   error
}

var _ store.Store = (*Store)(nil)

// New returns an empty store.
func New(o Options) *Store {
	if o.Now == nil {
		o.Now = time.Now
	}
	return open(o.Now, newImage(), newImage())
}

// open makes a store of two equal images.
func open(now func() time.Time, applied, durable *image) *Store {
	s := &Store{
		now:     now,
		applied: applied,
		durable: durable,
		tenures: make(map[id.ID]*tenure),
		given:   make(map[id.ID]uint64),
		pending: make(map[id.ID]int),
		wake:    make(chan struct{}, 1),
		ended:   make(chan struct{}),
	}
	go s.run()
	return s
}

// Hold keeps what is committed from now on from becoming durable, until Flush or Resume.
func (s *Store) Hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = true
}

// Flush makes everything durable that was committed so far, and returns after the done functions have run. A hold
// stays in effect.
func (s *Store) Flush() {
	done := make(chan struct{})
	s.mu.Lock()
	s.push(entry{done: func(error) { close(done) }})
	s.allowed = len(s.queue)
	s.mu.Unlock()
	s.kick()
	select {
	case <-done:
	case <-s.ended:
	}
}

// Resume ends a hold.
func (s *Store) Resume() {
	s.mu.Lock()
	s.held = false
	s.mu.Unlock()
	s.kick()
}

// Crash is a power cut and a restart in one: what is not durable is gone, its done functions get a *store.CommitError,
// and every tenure is fenced. A hold stays in effect.
func (s *Store) Crash() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lose()
	s.kick()
}

// lose is Crash with mu held.
func (s *Store) lose() {
	s.applied = s.durable.clone()
	for i := range s.queue {
		s.queue[i].change = nil
		s.queue[i].fail = &store.CommitError{Cause: ErrCrashed}
	}
	s.allowed = len(s.queue)
	for _, t := range s.tenures {
		t.over = true
	}
	clear(s.tenures)
	clear(s.given)
}

// Close makes everything durable, also what is held, and ends the store.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.kick()
	<-s.ended
	return nil
}

func (s *Store) kick() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// push is called with mu held.
func (s *Store) push(e entry) {
	s.queue = append(s.queue, e)
	s.pending[e.actor]++
	s.kick()
}

// commit applies a change and queues it; called with mu held.
func (s *Store) commit(actor id.ID, change func(*image), done func(error)) {
	change(s.applied)
	s.push(entry{actor: actor, change: change, done: done})
}

// open reports whether the next entry of the queue may become durable now; called with mu held.
func (s *Store) open() bool { return s.closed || s.allowed > 0 || !s.held && s.slow == 0 }

// run makes changes durable in their order. It ends when the store is closed and the queue is empty.
func (s *Store) run() {
	defer close(s.ended)
	for {
		s.mu.Lock()
		if len(s.queue) == 0 || !s.open() {
			n, end, held, slow := len(s.queue), s.closed, s.held, s.slow
			s.mu.Unlock()
			switch {
			case end:
				return
			case n > 0 && !held:
				s.sync(n, slow)
			default:
				<-s.wake
			}
			continue
		}
		e := s.queue[0]
		s.queue = s.queue[1:]
		s.allowed = max(s.allowed-1, 0)
		if e.change != nil {
			e.change(s.durable)
		}
		if s.pending[e.actor]--; s.pending[e.actor] == 0 {
			delete(s.pending, e.actor)
		}
		s.mu.Unlock()
		if e.done != nil {
			e.done(e.fail)
		}
	}
}

// barrier returns a channel that gets a value when everything that is queued now is durable; called with mu held.
func (s *Store) barrier() <-chan error {
	done := make(chan error, 1)
	s.push(entry{done: func(err error) { done <- err }})
	return done
}

// lock begins a call. When it returns nil, mu is held.
func (s *Store) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return store.ErrClosed
	}
	return nil
}

// image is one state of all tables.
type image struct {
	namespaces map[string]store.Namespace
	names      map[id.ID]map[string][]byte
	actors     map[id.ID]store.Actor
	keys       map[address]id.ID
	records    map[id.ID]map[string][]byte
}

type address struct {
	namespace id.ID
	name, key string
}

func newImage() *image {
	return &image{
		namespaces: make(map[string]store.Namespace),
		names:      make(map[id.ID]map[string][]byte),
		actors:     make(map[id.ID]store.Actor),
		keys:       make(map[address]id.ID),
		records:    make(map[id.ID]map[string][]byte),
	}
}

func (im *image) clone() *image {
	c := &image{
		namespaces: maps.Clone(im.namespaces),
		names:      make(map[id.ID]map[string][]byte, len(im.names)),
		actors:     maps.Clone(im.actors),
		keys:       maps.Clone(im.keys),
		records:    make(map[id.ID]map[string][]byte, len(im.records)),
	}
	for k, v := range im.names {
		c.names[k] = maps.Clone(v)
	}
	for k, v := range im.records {
		c.records[k] = maps.Clone(v)
	}
	return c
}

func (im *image) update(actor id.ID, change func(*store.Actor)) {
	a, ok := im.actors[actor]
	if !ok {
		return
	}
	change(&a)
	im.actors[actor] = a
}

func (im *image) write(actor id.ID, b *record.Batch) {
	r := im.records[actor]
	if r == nil {
		r = make(map[string][]byte)
		im.records[actor] = r
	}
	for _, span := range b.DeleteSpans {
		maps.DeleteFunc(r, func(k string, _ []byte) bool { return span.Contains([]byte(k)) })
	}
	for _, k := range b.Deletes {
		delete(r, string(k))
	}
	for _, p := range b.Puts {
		r[string(p.Key)] = p.Value
	}
}

// setAlarm is the part of a batch that write leaves out.
func (im *image) setAlarm(actor id.ID, b *record.Batch) {
	if !b.SetAlarm {
		return
	}
	im.update(actor, func(a *store.Actor) {
		a.Alarm = time.Time{}
		if b.Alarm != 0 {
			a.Alarm = time.UnixMilli(b.Alarm).UTC()
		}
	})
}

func (im *image) span(actor id.ID, s record.Span, reverse bool, limit int) []record.Record {
	var out []record.Record
	for k, v := range im.records[actor] {
		if s.Contains([]byte(k)) {
			out = append(out, record.Record{Key: []byte(k), Value: bytes.Clone(v)})
		}
	}
	slices.SortFunc(out, func(a, b record.Record) int {
		if reverse {
			a, b = b, a
		}
		return bytes.Compare(a.Key, b.Key)
	})
	return out[:min(len(out), max(limit, 0))]
}

// CreateNamespace implements store.Store.
func (s *Store) CreateNamespace(ctx context.Context, ns store.Namespace) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	if _, ok := s.applied.namespaces[ns.Name]; ok {
		s.mu.Unlock()
		return store.ErrExists
	}
	ns.CreatedAt = millis(ns.CreatedAt)
	done := make(chan error, 1)
	s.commit(id.ID{}, func(im *image) { im.namespaces[ns.Name] = ns }, func(err error) { done <- err })
	s.mu.Unlock()
	return <-done
}

// Namespaces implements store.Store.
func (s *Store) Namespaces(ctx context.Context) ([]store.Namespace, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.applied.namespaces), func(a, b store.Namespace) int {
		return strings.Compare(a.Name, b.Name)
	}), nil
}

// PutNames implements store.Store.
func (s *Store) PutNames(ctx context.Context, ns id.ID, names []store.ActorName) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	names = slices.Clone(names)
	names = slices.DeleteFunc(names, func(n store.ActorName) bool {
		old, ok := s.applied.names[ns][n.Name]
		return ok && bytes.Equal(old, n.Metadata)
	})
	var done <-chan error
	if len(names) == 0 {
		done = s.barrier() // another call may have written them a moment ago
	} else {
		ch := make(chan error, 1)
		done = ch
		s.commit(id.ID{}, func(im *image) {
			m := im.names[ns]
			if m == nil {
				m = make(map[string][]byte)
				im.names[ns] = m
			}
			for _, n := range names {
				m[n.Name] = bytes.Clone(n.Metadata)
			}
		}, func(err error) { ch <- err })
	}
	s.mu.Unlock()
	return <-done
}

// Names implements store.Store.
func (s *Store) Names(ctx context.Context, ns id.ID, after string, limit int) ([]store.ActorName, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var out []store.ActorName
	for _, name := range slices.Sorted(maps.Keys(s.applied.names[ns])) {
		if len(out) >= limit {
			break
		}
		if after != "" && name <= after {
			continue
		}
		n := store.ActorName{Name: name}
		if m := s.applied.names[ns][name]; len(m) > 0 {
			n.Metadata = bytes.Clone(m)
		}
		out = append(out, n)
	}
	return out, nil
}

// Reserve implements store.Store.
func (s *Store) Reserve(ctx context.Context, n store.NewActor, durable func(error)) (store.Actor, bool, error) {
	if err := s.lock(ctx); err != nil {
		return store.Actor{}, false, err
	}
	at := address{n.Namespace, n.Name, n.Key}
	if actor, ok := s.applied.keys[at]; ok && n.HasKey {
		a := s.applied.actors[actor]
		_, known := s.durable.actors[actor]
		if !known {
			s.push(entry{done: durable}) // behind the reservation
		}
		s.mu.Unlock()
		if known {
			durable(nil)
		}
		return a, false, nil
	}
	defer s.mu.Unlock()
	a := store.Actor{
		ID: n.ID, Namespace: n.Namespace, Name: n.Name, Key: n.Key, HasKey: n.HasKey,
		Pool: n.Pool, CrashPolicy: n.CrashPolicy, CreatedAt: millis(n.CreatedAt),
	}
	s.commit(id.ID{}, func(im *image) {
		im.actors[a.ID] = a
		if n.HasKey {
			im.keys[at] = a.ID
		}
		if n.Input != nil {
			b := record.Batch{}
			b.Put(record.Key(record.KindInput), record.Seal(n.Input))
			im.write(a.ID, &b)
		}
	}, durable)
	return a, true, nil
}

// Lookup implements store.Store.
func (s *Store) Lookup(ctx context.Context, ns id.ID, name, key string) (store.Actor, error) {
	if err := s.lock(ctx); err != nil {
		return store.Actor{}, err
	}
	defer s.mu.Unlock()
	actor, ok := s.applied.keys[address{ns, name, key}]
	if !ok {
		return store.Actor{}, store.ErrNotFound
	}
	return s.applied.actors[actor], nil
}

// Actors implements store.Store.
func (s *Store) Actors(ctx context.Context, ids []id.ID) ([]store.Actor, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var out []store.Actor
	for _, actor := range ids {
		if a, ok := s.applied.actors[actor]; ok {
			out = append(out, a)
		}
	}
	return out, nil
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, q store.ListQuery) ([]store.Actor, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var out []store.Actor
	for _, a := range s.applied.actors {
		if a.Namespace == q.Namespace && a.Name == q.Name &&
			(q.IncludeDestroyed || a.DestroyedAt.IsZero()) &&
			(q.Before.IsZero() || a.CreatedAt.Before(q.Before)) {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b store.Actor) int {
		if c := b.CreatedAt.Compare(a.CreatedAt); c != 0 {
			return c
		}
		return bytes.Compare(a.ID[:], b.ID[:])
	})
	return out[:min(len(out), max(q.Limit, 0))], nil
}

// Alarms implements store.Store.
func (s *Store) Alarms(ctx context.Context, q store.AlarmQuery) ([]store.Alarm, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var out []store.Alarm
	for _, a := range s.applied.actors {
		if row := (store.Alarm{At: a.Alarm, Actor: a.ID}); !a.Alarm.IsZero() &&
			row.Compare(q.After) > 0 && (q.Until.IsZero() || !a.Alarm.After(q.Until)) {
			out = append(out, row)
		}
	}
	slices.SortFunc(out, store.Alarm.Compare)
	return out[:min(len(out), max(q.Limit, 0))], nil
}

// View implements store.Store.
func (s *Store) View(ctx context.Context, actor id.ID) (store.Actor, store.View, error) {
	if err := s.lock(ctx); err != nil {
		return store.Actor{}, nil, err
	}
	row, ok := s.applied.actors[actor]
	if !ok || !row.DestroyedAt.IsZero() {
		s.mu.Unlock()
		return store.Actor{}, nil, store.ErrNotFound
	}
	v := s.view(actor)
	durable := make(chan error, 1)
	s.push(entry{done: func(err error) { durable <- err }})
	s.mu.Unlock()
	select {
	case err := <-durable:
		if err != nil {
			return store.Actor{}, nil, err
		}
		return row, v, nil
	case <-ctx.Done():
		return store.Actor{}, nil, ctx.Err()
	}
}

// view copies an actor's records; called with mu held.
func (s *Store) view(actor id.ID) store.View {
	return &view{store: s, actor: actor, image: &image{records: map[id.ID]map[string][]byte{actor: maps.Clone(s.applied.records[actor])}}}
}

// view is an actor's records as they were.
type view struct {
	store  *Store
	actor  id.ID
	image  *image // guarded by store.mu, as closed
	closed bool
}

func (v *view) lock(ctx context.Context) error {
	if err := v.store.lock(ctx); err != nil {
		return err
	}
	if v.closed {
		v.store.mu.Unlock()
		return store.ErrClosed
	}
	return nil
}

func (v *view) Get(ctx context.Context, key []byte) ([]byte, error) {
	if err := v.lock(ctx); err != nil {
		return nil, err
	}
	defer v.store.mu.Unlock()
	b, ok := v.image.records[v.actor][string(key)]
	if !ok {
		return nil, store.ErrNotFound
	}
	return append([]byte{}, b...), nil
}

func (v *view) Range(ctx context.Context, s record.Span, reverse bool, limit int) ([]record.Record, error) {
	if err := v.lock(ctx); err != nil {
		return nil, err
	}
	defer v.store.mu.Unlock()
	return v.image.span(v.actor, s, reverse, limit), nil
}

func (v *view) Close() error {
	v.store.mu.Lock()
	defer v.store.mu.Unlock()
	v.closed = true
	return nil
}

// Acquire implements store.Store.
func (s *Store) Acquire(ctx context.Context, actor id.ID) (store.Tenure, error) {
	for {
		if err := s.lock(ctx); err != nil {
			return nil, err
		}
		if old := s.tenures[actor]; old != nil {
			old.over = true
			delete(s.tenures, actor)
		}
		if s.pending[actor] == 0 {
			break
		}
		done := s.barrier() // a new owner sees only what is durable
		s.mu.Unlock()
		select {
		case <-done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	defer s.mu.Unlock()
	a, ok := s.applied.actors[actor]
	if !ok || !a.DestroyedAt.IsZero() {
		return nil, store.ErrNotFound
	}
	t := &tenure{store: s, actor: a}
	t.generation = max(s.given[actor], a.Generation) + 1
	s.given[actor] = t.generation
	t.hot = s.applied.span(actor, record.Span{To: record.Key(record.HotEnd)}, false, len(s.applied.records[actor]))
	s.tenures[actor] = t
	return t, nil
}

// tenure is one term of ownership.
type tenure struct {
	store      *Store
	actor      store.Actor
	generation uint64
	hot        []record.Record
	over       bool // guarded by store.mu
	recorded   bool // the generation is in the actor's row; guarded by store.mu
}

func (t *tenure) Actor() store.Actor { return t.actor }
func (t *tenure) Generation() uint64 { return t.generation }
func (t *tenure) Alarm() time.Time   { return t.actor.Alarm }

// Hot hands the records over: a state may be large, and its owner has it from then on.
func (t *tenure) Hot() []record.Record {
	hot := t.hot
	t.hot = nil
	return hot
}

// lock begins a call. When it returns nil, store.mu is held.
func (t *tenure) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t.store.mu.Lock()
	var err error
	switch {
	case t.over:
		err = store.ErrFenced
	case t.store.closed:
		err = store.ErrClosed
	}
	if err != nil {
		t.store.mu.Unlock()
	}
	return err
}

// Get implements store.Tenure.
func (t *tenure) Get(ctx context.Context, key []byte) ([]byte, error) {
	if err := t.lock(ctx); err != nil {
		return nil, err
	}
	defer t.store.mu.Unlock()
	v, ok := t.store.applied.records[t.actor.ID][string(key)]
	if !ok {
		return nil, store.ErrNotFound
	}
	return append([]byte{}, v...), nil
}

// Range implements store.Tenure.
func (t *tenure) Range(ctx context.Context, s record.Span, reverse bool, limit int) ([]record.Record, error) {
	if err := t.lock(ctx); err != nil {
		return nil, err
	}
	defer t.store.mu.Unlock()
	return t.store.applied.span(t.actor.ID, s, reverse, limit), nil
}

// View implements store.Tenure.
func (t *tenure) View(ctx context.Context) (store.View, error) {
	if err := t.lock(ctx); err != nil {
		return nil, err
	}
	defer t.store.mu.Unlock()
	return t.store.view(t.actor.ID), nil
}

// Commit implements store.Tenure.
func (t *tenure) Commit(b *record.Batch, done func(error)) error {
	for _, p := range b.Puts {
		if len(p.Key) == 0 || p.Key[0] == 0 {
			return errBadKey
		}
	}
	if err := t.lock(context.Background()); err != nil {
		return err
	}
	defer t.store.mu.Unlock()
	note := t.note(time.Time{})
	t.store.commit(t.actor.ID, func(im *image) {
		im.write(t.actor.ID, b)
		im.setAlarm(t.actor.ID, b)
		im.update(t.actor.ID, note)
	}, done)
	return nil
}

// note returns the change of the actor's row that records this tenure; called with store.mu held.
func (t *tenure) note(asleep time.Time) func(*store.Actor) {
	t.recorded = true
	now := millis(t.store.now())
	return func(a *store.Actor) {
		a.Generation = t.generation
		if a.StartedAt.IsZero() {
			a.StartedAt = now
		}
		if !asleep.IsZero() {
			a.SleptAt = millis(asleep)
		}
	}
}

// Release implements store.Tenure.
func (t *tenure) Release(asleep time.Time) error {
	switch err := t.lock(context.Background()); {
	case errors.Is(err, store.ErrFenced):
		return nil
	case err != nil:
		return err
	}
	defer t.store.mu.Unlock()
	t.over = true
	delete(t.store.tenures, t.actor.ID)
	if t.recorded && asleep.IsZero() {
		return nil
	}
	note := t.note(asleep)
	// As an entry of no actor: an acquisition need not wait for it.
	t.store.commit(id.ID{}, func(im *image) { im.update(t.actor.ID, note) }, nil)
	return nil
}

// Destroy implements store.Tenure.
func (t *tenure) Destroy(ctx context.Context, at time.Time) error {
	if err := t.lock(ctx); err != nil {
		return err
	}
	t.over = true
	delete(t.store.tenures, t.actor.ID)
	note := t.note(time.Time{})
	if at.IsZero() {
		at = t.store.now()
	}
	done := make(chan error, 1)
	t.store.commit(t.actor.ID, func(im *image) {
		delete(im.records, t.actor.ID)
		key := address{t.actor.Namespace, t.actor.Name, t.actor.Key}
		if t.actor.HasKey && im.keys[key] == t.actor.ID {
			delete(im.keys, key)
		}
		im.update(t.actor.ID, note)
		im.update(t.actor.ID, func(a *store.Actor) { a.DestroyedAt, a.Alarm = millis(at), time.Time{} })
	}, func(err error) { done <- err })
	t.store.mu.Unlock()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func millis(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return time.UnixMilli(t.UnixMilli()).UTC()
}
