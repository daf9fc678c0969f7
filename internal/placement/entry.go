package placement

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rivetgo/rivet/internal/lifecycle"
	"github.com/rivetgo/rivet/internal/link"
	"github.com/rivetgo/rivet/internal/refusal"
	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/actorkey"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/id"
)

// entry is one actor that is awake, in transition, or remembered for a failure.
type entry struct {
	actor id.ID
	live  atomic.Pointer[term] // the term, exactly while requests are admitted

	mu      sync.Mutex // guards the rest; never held across a call out
	machine lifecycle.Engine
	term    *term // from acquiring the tenure until it is given back
	gone    bool  // removed from its shard: whoever finds it so looks again
	missing bool  // there is no such actor
	lingers bool  // counted in Placement.lingers

	abandon context.CancelFunc // ends the start under way
	changed chan struct{}      // closed when those who wait must ask again; nil when nobody does
	timer   *time.Timer        // the one delay or deadline that runs
	alarms  uint64             // counts timers, so that one which fires late is known
	retryAt time.Time          // end of the backoff
}

// term is one generation of an actor on the runner.
type term struct {
	tenure store.Tenure
	actor  link.Actor // nil while it starts; written before live points here
	since  time.Time
}

// view is an entry as it was at one moment.
type view struct {
	answer  lifecycle.Effect // to a Request or Delete
	state   lifecycle.State
	term    *term
	changed <-chan struct{} // only from step
	failure error
	missing bool
}

func (e *entry) look() view {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.viewLocked()
}

func (e *entry) viewLocked() view {
	v := view{state: e.machine.State(), term: e.term, missing: e.missing}
	v.failure, _ = e.machine.Failure()
	return v
}

// step feeds the machine one event and carries out the effects. It is called with e.mu held and returns without it.
//
// Effects that call out run after the lock is let go, so those of two events may overlap. That is safe: Start, Release
// and Erase follow one another because the next is only asked for when the one before has reported, and a Stop that
// overtakes another is one that the host ignores or that raises it (see link.Actor).
func (p *Placement) step(e *entry, ev lifecycle.Event) view {
	fx := e.machine.Step(ev)
	t := e.term
	if e.machine.State() == lifecycle.Running {
		e.live.Store(t)
	} else {
		e.live.Store(nil)
	}
	if e.lingers && e.machine.State() != lifecycle.Failed {
		e.lingers = false
		p.lingers.Add(-1)
	}
	if e.changed == nil && (ev.Kind == lifecycle.Request || ev.Kind == lifecycle.Delete || ev.Kind == lifecycle.SleepWanted) {
		e.changed = make(chan struct{}) // the caller may wait
	}
	changed := e.changed

	var answer lifecycle.Effect
	var start context.Context
	var cancel context.CancelFunc
	for _, f := range fx {
		switch f.Kind {
		case lifecycle.Start:
			e.disarm()
			start, cancel = context.WithTimeout(p.ctx, p.cfg.StartTimeout)
			e.abandon = cancel
		case lifecycle.Abandon:
			if e.abandon != nil {
				e.abandon()
			}
		case lifecycle.Stop:
			p.arm(e, p.cfg.StopTimeout, func() { p.overdue(e) })
		case lifecycle.Release, lifecycle.Erase:
			e.disarm()
		case lifecycle.Backoff:
			d := p.backoff(f.Failures)
			e.retryAt = time.Now().Add(d)
			p.armEvent(e, d, lifecycle.BackoffOver)
		case lifecycle.Linger:
			keep := p.cfg.KeepFailure
			if p.lingers.Load() >= int64(p.cfg.MaxFailures) {
				keep = 0
			} else {
				e.lingers = true
				p.lingers.Add(1)
			}
			p.armEvent(e, keep, lifecycle.Forgotten)
		case lifecycle.Wake:
			if e.changed != nil {
				close(e.changed)
				e.changed = nil
			}
		case lifecycle.Forget:
			p.forget(e)
		case lifecycle.Admit, lifecycle.Wait, lifecycle.Refuse:
			answer = f
		}
	}
	v := e.viewLocked()
	v.answer, v.changed = answer, changed
	e.mu.Unlock()

	for _, f := range fx {
		switch f.Kind {
		case lifecycle.Start:
			if !p.spawn(func() { p.start(start, cancel, e) }) {
				cancel()
				p.report(e, lifecycle.Event{Kind: lifecycle.StartFailed, Err: refusal.Unavailable(errDraining)})
			}
		case lifecycle.Stop:
			t.actor.Stop(stopReason(f.Reason))
		case lifecycle.Release:
			p.release(t, time.Now())
			p.report(e, lifecycle.Event{Kind: lifecycle.Released})
		case lifecycle.Erase:
			if !p.spawn(func() { p.erase(e, t) }) {
				p.report(e, lifecycle.Event{Kind: lifecycle.EraseFailed, Err: refusal.Unavailable(errDraining)})
			}
		}
	}
	return v
}

// report feeds back what an effect came to.
func (p *Placement) report(e *entry, ev lifecycle.Event) {
	e.mu.Lock()
	if ev.Kind == lifecycle.Released || ev.Kind == lifecycle.Erased || ev.Kind == lifecycle.EraseFailed {
		e.term = nil
	}
	p.step(e, ev)
}

func stopReason(r lifecycle.Reason) link.StopReason {
	switch r {
	case lifecycle.Destroy:
		return link.StopDestroy
	case lifecycle.GoingAway:
		return link.StopGoingAway
	}
	return link.StopSleep
}

// start acquires the actor and starts it on the runner. It ends with the start, or when ctx does.
func (p *Placement) start(ctx context.Context, cancel context.CancelFunc, e *entry) {
	defer cancel()
	tenure, err := p.store.Acquire(ctx, e.actor)
	if errors.Is(err, store.ErrNotFound) {
		p.runner.Forget(e.actor)
		e.mu.Lock()
		e.missing = true
		p.step(e, lifecycle.Event{Kind: lifecycle.StartMissing})
		return
	}
	if err != nil {
		p.report(e, lifecycle.Event{Kind: lifecycle.StartFailed, Err: p.startError(ctx, e, nil, err)})
		return
	}

	// The host may speak of this generation before Start has returned.
	t := &term{tenure: tenure}
	e.mu.Lock()
	e.term = t
	e.mu.Unlock()

	row := tenure.Actor()
	live, err := p.runner.Start(ctx, link.Placement{
		ID: e.actor, Namespace: p.cfg.NamespaceName(row.Namespace), Name: row.Name, Key: row.Key,
		Generation: tenure.Generation(), CreatedAt: row.CreatedAt, Records: tenure,
	})
	if err != nil {
		failure := p.startError(ctx, e, tenure, err)
		p.release(t, time.Time{})
		e.mu.Lock()
		e.term = nil
		p.step(e, lifecycle.Event{Kind: lifecycle.StartFailed, Err: failure})
		return
	}
	e.mu.Lock()
	t.actor, t.since = live, time.Now()
	p.step(e, lifecycle.Event{Kind: lifecycle.Started})
}

// startError is what the callers of a failed start are told: the actor's own error when it is one that may be told.
func (p *Placement) startError(ctx context.Context, e *entry, tenure store.Tenure, err error) *fault.Error {
	if err := p.ctx.Err(); err != nil {
		return refusal.Unavailable(errDraining)
	}
	log := p.cfg.Logger.With("actor", e.actor)
	if tenure != nil {
		row := tenure.Actor()
		log = log.With("name", row.Name, "key", row.Key, "generation", tenure.Generation())
	}
	log.Error("actor did not start", "error", err)

	var commit *store.CommitError
	public, ok := fault.From(err)
	switch {
	case ok:
		copied := *public
		public = &copied // the runner's error is not ours to change
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil:
		return refusal.ReadyTimeout(e.actor)
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrClosed), errors.Is(err, store.ErrFenced), errors.As(err, &commit):
		return refusal.Unavailable(err)
	default:
		public = refusal.Internal(err)
	}
	if public.Actor == nil && tenure != nil {
		row := tenure.Actor()
		public.Actor = &fault.Actor{ID: e.actor.String(), Generation: tenure.Generation(), HasKey: row.HasKey}
		if row.HasKey {
			public.Actor.Key = actorkey.HeaderValue(actorkey.Parse(row.Key))
		}
	}
	return public
}

// release gives a tenure back. at is when the actor fell asleep, zero when it never ran.
func (p *Placement) release(t *term, at time.Time) {
	if err := t.tenure.Release(at); err != nil && !errors.Is(err, store.ErrFenced) && !errors.Is(err, store.ErrClosed) {
		p.cfg.Logger.Warn("tenure not released", "actor", t.tenure.Actor().ID, "error", err)
	}
	p.cfg.Left(t.tenure.Actor())
}

// erase destroys the actor's records durably. t is the term that just ended, nil when the actor slept.
func (p *Placement) erase(e *entry, t *term) {
	ctx, cancel := context.WithTimeout(p.ctx, p.cfg.EraseTimeout)
	defer cancel()
	var tenure store.Tenure
	if t != nil {
		tenure = t.tenure
	}
	var err error
	// A tenure that was fenced or released, or whose last commit failed, cannot destroy; a fresh one can.
	for range 2 {
		if tenure == nil {
			if tenure, err = p.store.Acquire(ctx, e.actor); err != nil {
				tenure = nil
				break
			}
		}
		if err = tenure.Destroy(ctx, time.Now()); err == nil {
			p.cfg.Left(tenure.Actor())
			break
		}
		var commit *store.CommitError
		if !errors.Is(err, store.ErrFenced) && !errors.As(err, &commit) {
			p.release(&term{tenure: tenure}, time.Time{})
			break
		}
		tenure = nil
	}
	if err == nil || errors.Is(err, store.ErrNotFound) {
		p.runner.Forget(e.actor)
		p.report(e, lifecycle.Event{Kind: lifecycle.Erased})
		return
	}
	p.cfg.Logger.Error("actor not erased", "actor", e.actor, "error", err)
	p.report(e, lifecycle.Event{Kind: lifecycle.EraseFailed, Err: refusal.Unavailable(err)})
}

// overdue gives up an actor whose host does not report its end. Releasing the tenure fences what may be left of it.
func (p *Placement) overdue(e *entry) {
	p.cfg.Logger.Error("actor given up: its host did not report its end", "actor", e.actor, "after", p.cfg.StopTimeout)
	p.step(e, lifecycle.Event{Kind: lifecycle.Stopped, Err: errOverdue})
}

var errOverdue = errors.New("placement: the host did not report the end of the actor")

// arm runs f, with e.mu held, after d, unless another timer is armed before. f must let e.mu go, as step does.
func (p *Placement) arm(e *entry, d time.Duration, f func()) {
	e.disarm()
	mine := e.alarms
	e.timer = time.AfterFunc(d, func() {
		e.mu.Lock()
		if e.alarms != mine {
			e.mu.Unlock()
			return
		}
		f()
	})
}

func (p *Placement) armEvent(e *entry, d time.Duration, k lifecycle.EventKind) {
	p.arm(e, d, func() { p.step(e, lifecycle.Event{Kind: k}) })
}

func (e *entry) disarm() {
	e.alarms++
	if e.timer != nil {
		e.timer.Stop()
		e.timer = nil
	}
}

// forget removes an entry. Called with e.mu held.
func (p *Placement) forget(e *entry) {
	if e.gone {
		return
	}
	e.gone = true
	e.disarm()
	s := p.shard(e.actor)
	s.mu.Lock()
	delete(s.entries, e.actor)
	s.mu.Unlock()
	p.entries.Add(-1)
	select {
	case p.left <- struct{}{}:
	default:
	}
}

// backoff doubles from BackoffMin to BackoffMax with the number of failures, less up to a quarter at random.
func (p *Placement) backoff(failures int) time.Duration {
	d := p.cfg.BackoffMin
	for i := 1; i < failures && d < p.cfg.BackoffMax; i++ {
		d *= 2
	}
	d = min(d, p.cfg.BackoffMax)
	return d - rand.N(d/4+1)
}
