package placement

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rivetgo/rivet/internal/lifecycle"
	"github.com/rivetgo/rivet/internal/link"
	"github.com/rivetgo/rivet/internal/refusal"
	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/id"
)

// Store is what placement needs of the store.
type Store interface {
	Acquire(ctx context.Context, actor id.ID) (store.Tenure, error)
}

// Config configures a Placement. The zero value works, apart from NamespaceName.
type Config struct {
	// ReadyTimeout is how long a request waits for an actor to run. Default 30 s.
	ReadyTimeout time.Duration
	// MaxWakes is how often a request has an actor woken again that stops before it took the request. Default 8.
	MaxWakes int
	// StartTimeout bounds one start, hooks included. Default 2 min.
	StartTimeout time.Duration
	// StopTimeout is when an actor that does not report its end is given up. It must be longer than any grace period.
	// Default 30 min.
	StopTimeout time.Duration
	// EraseTimeout bounds one attempt to erase. Default 30 s.
	EraseTimeout time.Duration
	// BackoffMin and BackoffMax bound the time after a failed start, doubling from one to the other, during which the
	// failure is answered without another start. Default 100 ms and 10 s.
	BackoffMin, BackoffMax time.Duration
	// KeepFailure is how long a failed start is shown in Status after its backoff, and MaxFailures how many are; those
	// beyond are forgotten at the end of their backoff. Default 10 min and 10,000.
	KeepFailure time.Duration
	MaxFailures int
	// NamespaceName names a namespace for the host. Default: the text of its id.
	NamespaceName func(ns id.ID) string
	// Left is called when an actor is not awake any more: asleep or destroyed. It must return quickly.
	Left func(row store.Actor)
	// Logger hears of failed starts and of actors that end on their own. Default slog.Default.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&c.ReadyTimeout, 30*time.Second)
	set(&c.StartTimeout, 2*time.Minute)
	set(&c.StopTimeout, 30*time.Minute)
	set(&c.EraseTimeout, 30*time.Second)
	set(&c.BackoffMin, 100*time.Millisecond)
	set(&c.BackoffMax, 10*time.Second)
	set(&c.KeepFailure, 10*time.Minute)
	if c.MaxWakes <= 0 {
		c.MaxWakes = 8
	}
	if c.MaxFailures <= 0 {
		c.MaxFailures = 10_000
	}
	if c.NamespaceName == nil {
		c.NamespaceName = id.ID.String
	}
	if c.Left == nil {
		c.Left = func(store.Actor) {}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

const shardCount = 64

// Placement places actors on one Runner. All methods may be called concurrently. It is the Runner's link.Events.
//
// Errors of With, Destroy and Sleep that are *fault.Error may be sent to clients; the others are the end of the caller's
// context and whatever fn returned.
type Placement struct {
	store  Store
	runner link.Runner
	cfg    Config

	shards  [shardCount]shard
	entries atomic.Int64
	lingers atomic.Int64  // entries kept for a failure only
	left    chan struct{} // capacity 1: an entry was removed

	draining atomic.Bool // written before the shards are scanned, read under a shard's lock

	// ctx ends starts and erasures at Close.
	ctx    context.Context
	cancel context.CancelFunc
	workMu sync.Mutex // guards closed, and work.Add against work.Wait
	closed bool
	work   sync.WaitGroup
}

var _ link.Events = (*Placement)(nil)

type shard struct {
	mu      sync.RWMutex // guards entries; never held together with a call out, and never before an entry's lock
	entries map[id.ID]*entry
}

// New returns a Placement that starts actors on runner. The caller makes it the runner's link.Events, and calls Close.
func New(st Store, runner link.Runner, cfg Config) *Placement {
	p := &Placement{store: st, runner: runner, cfg: cfg.withDefaults(), left: make(chan struct{}, 1)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	for i := range p.shards {
		p.shards[i].entries = make(map[id.ID]*entry)
	}
	return p
}

// shard picks by a random byte of the id.
func (p *Placement) shard(actor id.ID) *shard { return &p.shards[actor[1]%shardCount] }

// find returns the entry of an actor, nil when it has none.
func (p *Placement) find(actor id.ID) *entry {
	s := p.shard(actor)
	s.mu.RLock()
	e := s.entries[actor]
	s.mu.RUnlock()
	return e
}

// entry returns the entry of an actor with its lock held, making one if need be.
func (p *Placement) entry(actor id.ID) (*entry, error) {
	for {
		e := p.find(actor)
		if e == nil {
			s := p.shard(actor)
			s.mu.Lock()
			if e = s.entries[actor]; e == nil {
				if p.draining.Load() {
					s.mu.Unlock()
					return nil, refusal.Unavailable(errDraining)
				}
				e = &entry{actor: actor}
				s.entries[actor] = e
				p.entries.Add(1)
			}
			s.mu.Unlock()
		}
		e.mu.Lock()
		if !e.gone {
			return e, nil
		}
		e.mu.Unlock() // forgotten in between: there is a new one, or will be
	}
}

var errDraining = errors.New("placement: the process shuts down")

// With runs fn on the running actor, waking it first when it sleeps. When fn answers link.ErrStopping, which means that
// nothing was done, it waits until the actor has stopped, wakes it again and runs fn anew. It returns what fn returns, or:
//
//   - the actor's own error, when it cannot be started because of one (Error.Actor is set then)
//   - actor.not_found, actor.destroyed_while_waiting_for_ready
//   - guard.actor_ready_timeout, guard.actor_wake_retries_exceeded, guard.service_unavailable
//   - the error of ctx, which is only looked at while waiting
func (p *Placement) With(ctx context.Context, actor id.ID, fn func(link.Actor) error) error {
	tries := 0
	if e := p.find(actor); e != nil {
		if t := e.live.Load(); t != nil {
			err := fn(t.actor)
			if err == nil || !errors.Is(err, link.ErrStopping) {
				return err
			}
			p.turnedAway(e, t)
			tries = 1
		}
	}
	return p.place(ctx, actor, fn, tries)
}

var errNotReady = errors.New("placement: not ready in time")

// place is With for an actor that does not run. tries counts the starts and admissions that came to nothing. Without fn it
// is enough that a start that it waited for succeeds, or that the actor runs.
func (p *Placement) place(ctx context.Context, actor id.ID, fn func(link.Actor) error, tries int) error {
	wait, cancel := context.WithTimeoutCause(ctx, p.cfg.ReadyTimeout, errNotReady)
	defer cancel()
	for {
		if tries > p.cfg.MaxWakes {
			return refusal.WakeRetriesExceeded(actor, p.cfg.MaxWakes)
		}
		e, err := p.entry(actor)
		if err != nil {
			return err
		}
		now := p.step(e, lifecycle.Event{Kind: lifecycle.Request})
		switch now.answer.Kind {
		case lifecycle.Admit:
			if fn == nil {
				return nil
			}
			err := fn(now.term.actor)
			if err == nil || !errors.Is(err, link.ErrStopping) {
				return err
			}
			p.turnedAway(e, now.term)
			tries = max(tries, 1)
			continue
		case lifecycle.Refuse:
			return p.refused(now)
		}

		if now.state == lifecycle.Starting {
			tries++
		}
		select {
		case <-now.changed:
		case <-wait.Done():
			if ctx.Err() == nil && context.Cause(wait) == errNotReady {
				return refusal.ReadyTimeout(actor)
			}
			return ctx.Err()
		}
		switch then := e.look(); then.state {
		case lifecycle.Failed:
			return then.failure
		case lifecycle.Destroyed:
			if then.missing {
				return refusal.ActorNotFound()
			}
			return refusal.DestroyedWhileWaiting()
		}
		if fn == nil && now.state == lifecycle.Starting && !p.draining.Load() {
			return nil
		}
	}
}

// refused is the error of an answer Refuse.
func (p *Placement) refused(v view) error {
	switch v.answer.Why {
	case lifecycle.Gone:
		return refusal.ActorNotFound()
	case lifecycle.LastFailure:
		return v.failure
	}
	return refusal.Unavailable(errDraining)
}

// turnedAway notes that the actor of a term refused a request because it has begun to stop.
func (p *Placement) turnedAway(e *entry, t *term) {
	e.mu.Lock()
	if e.term != t {
		e.mu.Unlock()
		return
	}
	p.step(e, lifecycle.Event{Kind: lifecycle.TurnedAway})
}

// Wake makes the actor run and returns when it does, or when it has: one that falls asleep at once is not started again.
// Errors are those of With.
func (p *Placement) Wake(ctx context.Context, actor id.ID) error {
	return p.place(ctx, actor, nil, 0)
}

// Awake reports whether the actor runs, or is on its way to sleep: then Config.Left follows when it is not any more. An
// actor that starts is not awake yet, since the start may fail, and one whose tenure is being given back is not any more.
func (p *Placement) Awake(actor id.ID) bool {
	e := p.find(actor)
	if e == nil {
		return false
	}
	if e.live.Load() != nil {
		return true
	}
	st := e.look().state
	return st == lifecycle.Running || st == lifecycle.Stopping
}

// Start begins to wake an actor and does not wait for it. What becomes of it is seen in Status.
func (p *Placement) Start(actor id.ID) {
	if e, err := p.entry(actor); err == nil {
		p.step(e, lifecycle.Event{Kind: lifecycle.Request})
	}
}

// Sleep makes a running actor sleep and returns when it does. An actor that sleeps is left alone.
func (p *Placement) Sleep(ctx context.Context, actor id.ID) error {
	e := p.find(actor)
	for e != nil {
		e.mu.Lock()
		if st := e.machine.State(); e.gone || st == lifecycle.Failed {
			e.mu.Unlock()
			return nil
		}
		now := p.step(e, lifecycle.Event{Kind: lifecycle.SleepWanted})
		select {
		case <-now.changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Abort stops an actor whose existence turned out not to be durable.
func (p *Placement) Abort(actor id.ID, err error) {
	e := p.find(actor)
	if e == nil {
		return
	}
	p.cfg.Logger.Error("actor is stopped: its creation was lost", "actor", actor, "error", err)
	e.mu.Lock()
	p.step(e, lifecycle.Event{Kind: lifecycle.SleepWanted})
}

// Destroy erases an actor: a running one is stopped first, with its OnDestroy; a sleeping one is not woken. It returns
// when that is durable; destroying what does not exist succeeds. When it fails, the actor may be gone all the same, and
// if it is not, erasing it is tried again in the background.
func (p *Placement) Destroy(ctx context.Context, actor id.ID) error {
	for {
		e, err := p.entry(actor)
		if err != nil {
			return err
		}
		now := p.step(e, lifecycle.Event{Kind: lifecycle.Delete})
		if now.answer.Kind == lifecycle.Refuse {
			if now.answer.Why == lifecycle.Gone {
				return nil
			}
			return p.refused(now)
		}
		select {
		case <-now.changed:
		case <-ctx.Done():
			return ctx.Err()
		}
		switch then := e.look(); then.state {
		case lifecycle.Destroyed:
			return nil
		case lifecycle.Failed:
			return then.failure
		}
	}
}

// Status is what placement knows of one actor.
type Status struct {
	Running bool
	Since   time.Time // when it last became ready; zero unless Running
	Failure error     // of the last start, when that failed not long ago
	RetryAt time.Time // while Failure is answered without another start
}

// Status reports on an actor; the zero Status is one that sleeps.
func (p *Placement) Status(actor id.ID) Status {
	e := p.find(actor)
	if e == nil {
		return Status{}
	}
	if t := e.live.Load(); t != nil {
		return Status{Running: true, Since: t.since}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	s := Status{}
	s.Failure, _ = e.machine.Failure()
	if e.machine.State() == lifecycle.Failed && e.retryAt.After(time.Now()) {
		s.RetryAt = e.retryAt
	}
	return s
}

// Live lists the actors that are on the runner now, those that stop included, for an end that does not wait for them.
// Drain is the orderly one.
func (p *Placement) Live() []link.Actor {
	var live []link.Actor
	for i := range p.shards {
		s := &p.shards[i]
		s.mu.RLock()
		all := make([]*entry, 0, len(s.entries))
		for _, e := range s.entries {
			all = append(all, e)
		}
		s.mu.RUnlock()
		for _, e := range all {
			e.mu.Lock()
			if e.term != nil && e.term.actor != nil {
				live = append(live, e.term.actor)
			}
			e.mu.Unlock()
		}
	}
	return live
}

// Held returns how many actors are awake, in transition or remembered for a failure.
func (p *Placement) Held() int { return int(p.entries.Load()) }

// WakeWanted implements link.Events.
func (p *Placement) WakeWanted(actor id.ID) { p.Start(actor) }

// SleepWanted implements link.Events.
func (p *Placement) SleepWanted(actor id.ID, generation uint64) {
	p.tell(actor, generation, lifecycle.Event{Kind: lifecycle.SleepWanted})
}

// DestroyWanted implements link.Events.
func (p *Placement) DestroyWanted(actor id.ID, generation uint64) {
	p.tell(actor, generation, lifecycle.Event{Kind: lifecycle.DestroyWanted})
}

// Stopped implements link.Events.
func (p *Placement) Stopped(actor id.ID, generation uint64, err error) {
	if err != nil {
		p.cfg.Logger.Warn("actor ended on its own", "actor", actor, "generation", generation, "error", err)
	}
	p.tell(actor, generation, lifecycle.Event{Kind: lifecycle.Stopped, Err: err})
}

// tell passes on what the host says of one generation; news of an older one is dropped.
func (p *Placement) tell(actor id.ID, generation uint64, ev lifecycle.Event) {
	e := p.find(actor)
	if e == nil {
		return
	}
	e.mu.Lock()
	if e.gone || e.term == nil || e.term.tenure.Generation() != generation {
		e.mu.Unlock()
		return
	}
	p.step(e, ev)
}

// DrainError says that actors were left when the time to drain was over.
type DrainError struct {
	Left  int
	Cause error // why it ended
}

func (e *DrainError) Error() string {
	return fmt.Sprintf("placement: %d actors have not stopped: %v", e.Left, e.Cause)
}

func (e *DrainError) Unwrap() error { return e.Cause }

// Drain stops every actor with link.StopGoingAway and admits no other. It returns when all have stopped, or a *DrainError
// when ctx ends first. progress, which may be nil, is called now and then with how many are left.
func (p *Placement) Drain(ctx context.Context, progress func(left int)) error {
	p.draining.Store(true)
	for i := range p.shards {
		s := &p.shards[i]
		s.mu.Lock()
		all := make([]*entry, 0, len(s.entries))
		for _, e := range s.entries {
			all = append(all, e)
		}
		s.mu.Unlock()
		for _, e := range all {
			e.mu.Lock()
			p.step(e, lifecycle.Event{Kind: lifecycle.Drain})
		}
	}
	for {
		left := p.Held()
		if progress != nil {
			progress(left)
		}
		if left == 0 {
			return nil
		}
		select {
		case <-p.left:
		case <-ctx.Done():
			return &DrainError{Left: p.Held(), Cause: ctx.Err()}
		}
	}
}

// Close abandons starts and erasures under way and waits for them. It does not stop actors: Drain does. Idempotent.
func (p *Placement) Close() {
	p.draining.Store(true)
	p.workMu.Lock()
	p.closed = true
	p.workMu.Unlock()
	p.cancel()
	p.work.Wait()
	for i := range p.shards {
		s := &p.shards[i]
		s.mu.Lock()
		all := make([]*entry, 0, len(s.entries))
		for _, e := range s.entries {
			all = append(all, e)
		}
		s.mu.Unlock()
		for _, e := range all {
			e.mu.Lock()
			e.disarm()
			e.mu.Unlock()
		}
	}
}

// spawn runs f in a goroutine that Close waits for. It reports false, and does nothing, after Close.
func (p *Placement) spawn(f func()) bool {
	p.workMu.Lock()
	defer p.workMu.Unlock()
	if p.closed {
		return false
	}
	p.work.Go(f)
	return true
}
