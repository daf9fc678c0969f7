// Package faulty wraps any driver of package store and makes it fail on command, for tests.
//
// Rules decide which calls fail and how. They are looked at in the order in which they were added; the first that
// matches and fires decides. Everything random comes from one seed, so that a run can be repeated as long as the calls
// come in the same order.
//
//	s := faulty.New(inner, seed)
//	s.Add(faulty.Rule{On: faulty.Commit, Skip: 4, Do: faulty.Lose(err)})        // the 5th commit is lost
//	gate := faulty.NewGate()
//	s.Add(faulty.Rule{On: faulty.Commit, Actor: a, Do: faulty.Delay(gate)})     // the next one waits for gate.Open()
//	s.Add(faulty.Rule{On: faulty.Reserve, Probability: 0.1, Do: faulty.Refuse(faulty.ErrDiskFull)})
//
// The contract of package store holds for what comes out: done functions are called in the order of the commits, never
// from inside Commit, and after a failed commit every later one of the same tenure fails. The one thing that does not
// come out is what the disk did: after Keep the batch is there although its commit failed.
package faulty

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// ErrDiskFull is a refusal for want of space.
var ErrDiskFull = fmt.Errorf("%w: no space left on device", store.ErrUnavailable)

// Op is a kind of call that rules can match.
type Op int

// The kinds of calls.
const (
	Commit  Op = iota // Tenure.Commit
	Reserve           // Store.Reserve
	Acquire           // Store.Acquire
	Destroy           // Tenure.Destroy
	Read              // Get and Range of a tenure; Lookup, Actors, List, Alarms, Namespaces and Names of the store
	Control           // CreateNamespace and PutNames
)

// Rule makes calls fail. The zero values of the fields after On match and fire as widely as possible, except Times:
// a rule fires once unless told otherwise.
type Rule struct {
	On          Op
	Actor       id.ID   // only calls for this actor; zero for all. Reserve and Control have no actor
	Skip        int     // let that many matching calls pass first
	Times       int     // fire at most that often; 0 is once, negative is always
	Probability float64 // of firing on a matching call; 0 is always
	Do          Fault
}

// Fault is what a rule does to a call.
type Fault struct {
	kind  kind
	cause error
	gate  *Gate
}

type kind int

const (
	lose kind = iota
	keep
	delay
	refuse
	fence
)

// Lose makes a call fail after it was accepted; nothing of it is written. For Commit, Reserve, Destroy and Control.
func Lose(cause error) Fault { return Fault{kind: lose, cause: cause} }

// Keep makes a call fail after it was accepted, but all of it is written. For Commit, Reserve, Destroy and Control.
func Keep(cause error) Fault { return Fault{kind: keep, cause: cause} }

// Delay holds back the completion of a commit or a reservation, and of those behind it on the same tenure, until the
// gate is opened. Other calls wait at the gate before they begin.
func Delay(g *Gate) Fault { return Fault{kind: delay, gate: g} }

// Refuse makes a call return err, which should be or wrap store.ErrUnavailable, at once. For every kind of call.
func Refuse(err error) Fault { return Fault{kind: refuse, cause: err} }

// Fence makes somebody else acquire the actor just before the commit, which is then refused with store.ErrFenced.
func Fence() Fault { return Fault{kind: fence} }

// Gate holds back completions until it is opened, once and for all.
type Gate struct {
	open chan struct{}
	once sync.Once
	hit  chan struct{}
	one  sync.Once
}

// NewGate returns a closed gate.
func NewGate() *Gate { return &Gate{open: make(chan struct{}), hit: make(chan struct{})} }

// Open opens the gate. Idempotent.
func (g *Gate) Open() { g.once.Do(func() { close(g.open) }) }

// Reached is closed when the first call has come to the gate.
func (g *Gate) Reached() <-chan struct{} { return g.hit }

func (g *Gate) reach() { g.one.Do(func() { close(g.hit) }) }

// Store is the wrapper. Create it with New.
type Store struct {
	inner store.Store

	mu    sync.Mutex
	rng   *rand.Rand
	rules []*rule

	calls   sync.WaitGroup // goroutines that wait at gates, and completions that are not delivered
	closing chan struct{}
	closed  sync.Once
	result  error
	deliver chan struct{} // there is something to deliver
	ready   []func()      // guarded by mu
	quit    chan struct{} // closed when nothing more will come to be delivered
	ended   chan struct{}
}

type rule struct {
	Rule
	seen, fired int
}

var _ store.Store = (*Store)(nil)

// New wraps a store. Closing the wrapper closes it.
func New(inner store.Store, seed uint64, rules ...Rule) *Store {
	s := &Store{
		inner: inner, rng: rand.New(rand.NewPCG(seed, seed)),
		closing: make(chan struct{}), deliver: make(chan struct{}, 1), quit: make(chan struct{}), ended: make(chan struct{}),
	}
	for _, r := range rules {
		s.Add(r)
	}
	go s.run()
	return s
}

// Add adds a rule behind those that are there.
func (s *Store) Add(r Rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = append(s.rules, &rule{Rule: r})
}

// Clear removes all rules. Calls that wait at a gate go on waiting.
func (s *Store) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = nil
}

// fault finds what happens to a call.
func (s *Store) fault(op Op, actor id.ID) (Fault, bool) {
	select {
	case <-s.closing:
		return Fault{}, false // the store's own answer is ErrClosed
	default:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rules {
		if r.On != op || !r.Actor.IsZero() && r.Actor != actor {
			continue
		}
		if r.seen++; r.seen <= r.Skip {
			continue
		}
		if limit := max(r.Times, 1); r.Times >= 0 && r.fired >= limit {
			continue
		}
		if r.Probability > 0 && s.rng.Float64() >= r.Probability {
			continue
		}
		r.fired++
		return r.Do, true
	}
	return Fault{}, false
}

// later calls f from the delivering goroutine.
func (s *Store) later(f func()) {
	s.mu.Lock()
	s.ready = append(s.ready, f)
	s.mu.Unlock()
	select {
	case s.deliver <- struct{}{}:
	default:
	}
}

// run calls completions. It ends when the store is closed and nothing is left to deliver.
func (s *Store) run() {
	defer close(s.ended)
	for {
		s.mu.Lock()
		batch := s.ready
		s.ready = nil
		s.mu.Unlock()
		for _, f := range batch {
			f()
		}
		if len(batch) > 0 {
			continue
		}
		select {
		case <-s.deliver:
		case <-s.quit:
			s.mu.Lock()
			rest := len(s.ready)
			s.mu.Unlock()
			if rest == 0 {
				return
			}
		}
	}
}

// behind calls then when the gate is opened or the store is closed.
func (s *Store) behind(g *Gate, then func()) {
	g.reach()
	s.calls.Go(func() { // ends with the gate or the store
		select {
		case <-g.open:
		case <-s.closing:
		}
		then()
	})
}

// before applies the faults of calls without a completion of their own. after must be applied to the call's result.
func (s *Store) before(ctx context.Context, op Op, actor id.ID) (skip bool, after func(error) error, err error) {
	same := func(err error) error { return err }
	f, ok := s.fault(op, actor)
	if !ok {
		return false, same, nil
	}
	switch f.kind {
	case refuse:
		return true, same, f.cause
	case lose:
		return true, same, &store.CommitError{Cause: f.cause}
	case keep:
		return false, func(err error) error {
			if err == nil {
				err = &store.CommitError{Cause: f.cause}
			}
			return err
		}, nil
	case delay:
		f.gate.reach()
		select {
		case <-f.gate.open:
		case <-s.closing:
		case <-ctx.Done():
			return true, same, ctx.Err()
		}
	}
	return false, same, nil
}

// CreateNamespace implements store.Store.
func (s *Store) CreateNamespace(ctx context.Context, ns store.Namespace) error {
	skip, after, err := s.before(ctx, Control, id.ID{})
	if skip {
		return err
	}
	return after(s.inner.CreateNamespace(ctx, ns))
}

// Namespaces implements store.Store.
func (s *Store) Namespaces(ctx context.Context) ([]store.Namespace, error) {
	if skip, _, err := s.before(ctx, Read, id.ID{}); skip {
		return nil, err
	}
	return s.inner.Namespaces(ctx)
}

// PutNames implements store.Store.
func (s *Store) PutNames(ctx context.Context, ns id.ID, names []store.ActorName) error {
	skip, after, err := s.before(ctx, Control, id.ID{})
	if skip {
		return err
	}
	return after(s.inner.PutNames(ctx, ns, names))
}

// Names implements store.Store.
func (s *Store) Names(ctx context.Context, ns id.ID, name string, limit int) ([]store.ActorName, error) {
	if skip, _, err := s.before(ctx, Read, id.ID{}); skip {
		return nil, err
	}
	return s.inner.Names(ctx, ns, name, limit)
}

// Reserve implements store.Store.
func (s *Store) Reserve(ctx context.Context, n store.NewActor, durable func(error)) (store.Actor, bool, error) {
	f, ok := s.fault(Reserve, id.ID{})
	if !ok {
		return s.inner.Reserve(ctx, n, durable)
	}
	switch f.kind {
	case refuse:
		return store.Actor{}, false, f.cause
	case lose:
		// The caller gets the row that an unharmed store would have given it; it is never durable.
		if n.HasKey {
			if a, err := s.inner.Lookup(ctx, n.Namespace, n.Name, n.Key); err == nil {
				s.later(func() { durable(&store.CommitError{Cause: f.cause}) })
				return a, false, nil
			}
		}
		a := store.Actor{
			ID: n.ID, Namespace: n.Namespace, Name: n.Name, Key: n.Key, HasKey: n.HasKey,
			Pool: n.Pool, CrashPolicy: n.CrashPolicy, CreatedAt: n.CreatedAt,
		}
		s.later(func() { durable(&store.CommitError{Cause: f.cause}) })
		return a, true, nil
	case keep:
		inner := durable
		durable = func(err error) {
			if err == nil {
				err = &store.CommitError{Cause: f.cause}
			}
			inner(err)
		}
	case delay:
		inner := durable
		durable = func(err error) {
			s.behind(f.gate, func() { s.later(func() { inner(err) }) })
		}
	}
	return s.inner.Reserve(ctx, n, durable)
}

// Lookup implements store.Store.
func (s *Store) Lookup(ctx context.Context, ns id.ID, name, key string) (store.Actor, error) {
	if skip, _, err := s.before(ctx, Read, id.ID{}); skip {
		return store.Actor{}, err
	}
	return s.inner.Lookup(ctx, ns, name, key)
}

// Actors implements store.Store.
func (s *Store) Actors(ctx context.Context, ids []id.ID) ([]store.Actor, error) {
	if skip, _, err := s.before(ctx, Read, id.ID{}); skip {
		return nil, err
	}
	return s.inner.Actors(ctx, ids)
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, q store.ListQuery) ([]store.Actor, error) {
	if skip, _, err := s.before(ctx, Read, id.ID{}); skip {
		return nil, err
	}
	return s.inner.List(ctx, q)
}

// Alarms implements store.Store.
func (s *Store) Alarms(ctx context.Context, q store.AlarmQuery) ([]store.Alarm, error) {
	if skip, _, err := s.before(ctx, Read, id.ID{}); skip {
		return nil, err
	}
	return s.inner.Alarms(ctx, q)
}

// View implements store.Store.
func (s *Store) View(ctx context.Context, actor id.ID) (store.Actor, store.View, error) {
	if skip, _, err := s.before(ctx, Read, actor); skip {
		return store.Actor{}, nil, err
	}
	row, v, err := s.inner.View(ctx, actor)
	if err != nil {
		return row, nil, err
	}
	return row, &view{inner: v, store: s, actor: actor}, nil
}

// view fails reads as a tenure does.
type view struct {
	inner store.View
	store *Store
	actor id.ID
}

func (v *view) Get(ctx context.Context, key []byte) ([]byte, error) {
	if skip, _, err := v.store.before(ctx, Read, v.actor); skip {
		return nil, err
	}
	return v.inner.Get(ctx, key)
}

func (v *view) Range(ctx context.Context, s record.Span, reverse bool, limit int) ([]record.Record, error) {
	if skip, _, err := v.store.before(ctx, Read, v.actor); skip {
		return nil, err
	}
	return v.inner.Range(ctx, s, reverse, limit)
}

func (v *view) Close() error { return v.inner.Close() }

// Acquire implements store.Store.
func (s *Store) Acquire(ctx context.Context, actor id.ID) (store.Tenure, error) {
	if skip, _, err := s.before(ctx, Acquire, actor); skip {
		return nil, err
	}
	t, err := s.inner.Acquire(ctx, actor)
	if err != nil {
		return nil, err
	}
	return &tenure{Tenure: t, store: s, actor: actor}, nil
}

// Close implements store.Store. Gates that are still closed are opened.
func (s *Store) Close() error {
	s.closed.Do(func() {
		close(s.closing)
		s.result = s.inner.Close()
		s.calls.Wait()
		close(s.quit)
		<-s.ended
	})
	return s.result
}

// tenure wraps a tenure. All completions pass through it, so that one that is held back or made up keeps its place.
type tenure struct {
	store.Tenure
	store *Store
	actor id.ID

	mu     sync.Mutex
	queue  []*completion // accepted commits, oldest first
	failed bool          // a commit was made to fail: no other one may succeed
}

// completion is the outcome of one accepted commit.
type completion struct {
	done  func(error)
	known bool
	err   error
}

// settle records an outcome and delivers what is due.
func (t *tenure) settle(c *completion, err error) {
	t.store.later(func() {
		t.mu.Lock()
		c.known, c.err = true, err
		var due []*completion
		for len(t.queue) > 0 && t.queue[0].known {
			due = append(due, t.queue[0])
			t.queue = t.queue[1:]
		}
		t.mu.Unlock()
		for _, c := range due {
			c.done(c.err)
			t.store.calls.Done()
		}
	})
}

// Commit implements store.Tenure.
func (t *tenure) Commit(b *record.Batch, done func(error)) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failed {
		return fmt.Errorf("%w: an earlier commit of this tenure failed", store.ErrUnavailable)
	}
	f, ok := t.store.fault(Commit, t.actor)
	if ok && f.kind == refuse {
		return f.cause
	}
	if ok && f.kind == fence {
		other, err := t.store.inner.Acquire(context.Background(), t.actor)
		if err != nil {
			return err
		}
		if err := other.Release(time.Time{}); err != nil {
			return err
		}
		ok = false
	}
	c := &completion{done: done}
	settle := func(err error) { t.settle(c, err) }
	if ok && f.kind == delay {
		now := settle
		settle = func(err error) { t.store.behind(f.gate, func() { now(err) }) }
	}
	if ok && (f.kind == lose || f.kind == keep) {
		now := settle
		settle = func(err error) {
			if err == nil {
				err = &store.CommitError{Cause: f.cause}
			}
			now(err)
		}
	}
	t.store.calls.Add(1)
	t.queue = append(t.queue, c)
	if ok && f.kind == lose {
		t.failed = true
		settle(nil)
		return nil
	}
	if err := t.Tenure.Commit(b, settle); err != nil {
		t.queue = t.queue[:len(t.queue)-1]
		t.store.calls.Done()
		return err
	}
	if ok && f.kind == keep {
		t.failed = true
	}
	return nil
}

// Get implements store.Tenure.
func (t *tenure) Get(ctx context.Context, key []byte) ([]byte, error) {
	if skip, _, err := t.store.before(ctx, Read, t.actor); skip {
		return nil, err
	}
	return t.Tenure.Get(ctx, key)
}

// Range implements store.Tenure.
func (t *tenure) Range(ctx context.Context, s record.Span, reverse bool, limit int) ([]record.Record, error) {
	if skip, _, err := t.store.before(ctx, Read, t.actor); skip {
		return nil, err
	}
	return t.Tenure.Range(ctx, s, reverse, limit)
}

// View implements store.Tenure.
func (t *tenure) View(ctx context.Context) (store.View, error) {
	if skip, _, err := t.store.before(ctx, Read, t.actor); skip {
		return nil, err
	}
	v, err := t.Tenure.View(ctx)
	if err != nil {
		return nil, err
	}
	return &view{inner: v, store: t.store, actor: t.actor}, nil
}

// Destroy implements store.Tenure.
func (t *tenure) Destroy(ctx context.Context, at time.Time) error {
	skip, after, err := t.store.before(ctx, Destroy, t.actor)
	if skip {
		return err
	}
	return after(t.Tenure.Destroy(ctx, at))
}
