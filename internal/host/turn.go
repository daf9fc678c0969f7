package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rivetgo/rivet/internal/actordb"
	"github.com/rivetgo/rivet/internal/invariants"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// maxPendingCommits bounds how far turns may run ahead of durability (G7): the next turn waits.
const maxPendingCommits = 1024

// turn is one exclusive run on the state.
type turn struct {
	view      bool
	what      string       // for people
	by        *Conn        // who called, if anybody did
	began     time.Time    // when it was taken
	internal  bool         // no code of the user's runs in it: the state is what it was
	records   bool         // it commits records of connections that changed, though nothing else did
	index     uint64       // of the client's message that asked for it, where a keeper counts them
	strict    bool         // it is undone when it fails, whatever the definition says
	late      *fault.Error // what a run that did not end in time ends with
	committed bool         // a batch of this turn was handed to the storage
	call      *Call        // that runs in it
	goroutine uint64       // of the code that holds it open, when that is not the one that runs it; 0: unknown

	// over is set when the turn has ended: a Call that outlives it must not add to it.
	over atomic.Bool
	// changed is set while OnStateChange runs.
	changed atomic.Bool
	// fate decides once between the handler's outcome and the deadline.
	fate atomic.Int32

	mu      sync.Mutex // guards the next two against goroutines that a handler started
	outs    []output
	touched []touchedConn

	sqlMu     sync.Mutex  // guards the next three likewise
	sql       *actordb.Tx // nil until the first statement
	sqlOver   bool        // nothing can begin any more
	sqlFailed error       // why the transaction could not be committed

	stageMu sync.Mutex // guards all below likewise
	stage   stage
	sealed  bool // nothing can be staged any more
}

// touchedConn is a connection whose state the turn may have changed, and what it was before.
type touchedConn struct {
	conn   *Conn
	before []byte
}

// touch remembers the state of a connection, so that it can be rolled back.
func (t *turn) touch(c *Conn) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, d := range t.touched {
		if d.conn == c {
			return nil
		}
	}
	before, err := c.state.AppendTo(nil)
	if err != nil {
		return fmt.Errorf("encode the state of a connection: %w", err)
	}
	t.touched = append(t.touched, touchedConn{c, before})
	return nil
}

const (
	fateOpen    = 0 // the handler runs
	fateDecided = 1 // the handler's outcome counts
	fateExpired = 2 // the caller was told that time is up: nothing of the turn stays
)

// expire lets the deadline win. It reports false when the handler's outcome counts already.
func (t *turn) expire() bool { return t.fate.CompareAndSwap(fateOpen, fateExpired) }

// emit adds an output to the turn. It reports false when the turn is over.
func (t *turn) emit(o output) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over.Load() {
		return false
	}
	t.outs = append(t.outs, o)
	return true
}

// finish ends the turn's life as a collector and returns what it collected.
func (t *turn) finish() []output {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over.Store(true)
	return t.outs
}

// tryAcquire takes the turn if nobody holds it or waits for it and turns may run further ahead.
func (a *Actor) tryAcquire() bool {
	if a.gate.pending() > maxPendingCommits {
		return false
	}
	if !a.trySlot() {
		return false
	}
	if a.gate.void() || a.alive.Err() != nil {
		a.release()
		return false
	}
	return true
}

// trySlot takes the turn if nobody holds it, whatever the actor's condition.
func (a *Actor) trySlot() bool {
	select {
	case a.slot <- struct{}{}:
		return true
	default:
		return false
	}
}

// acquire takes the turn: first come, first served. The caller must call release exactly once when it returns nil.
//
// asked says that somebody outside waits for the call: those are refused when too many wait. What the actor does of its own
// is not, for nobody would do it again; it is bounded by what starts it.
func (a *Actor) acquire(ctx context.Context, asked bool) error {
	if err := a.gate.wait(ctx, maxPendingCommits); err != nil {
		return a.ended(ctx, err)
	}
	select {
	case a.slot <- struct{}{}:
	default:
		if asked {
			defer a.waiting.Add(-1)
			if int(a.waiting.Add(1)) > a.spec.Options.MaxWaiting {
				return errOverloaded
			}
		}
		select {
		case a.slot <- struct{}{}:
		case <-ctx.Done():
			return a.ended(ctx, ctx.Err())
		case <-a.alive.Done():
			return errVoid
		}
	}
	if a.gate.void() || a.alive.Err() != nil {
		a.release()
		return errVoid
	}
	return nil
}

func (a *Actor) release() { <-a.slot }

// ended says why a wait for the turn was given up.
func (a *Actor) ended(ctx context.Context, err error) error {
	switch {
	case a.alive.Err() != nil || a.gate.void():
		return errVoid
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return errTimedOut
	}
	return err
}

// runTurn runs fn as a turn that the caller has acquired, commits or rolls back, queues the turn's outputs and the
// reply, and releases the turn. c.turn is the turn. It returns the turn's error as the caller may see it.
func (a *Actor) runTurn(c *Call, reply Reply, what string, fn func() ([]byte, error)) error {
	t := c.turn
	t.what, t.by, t.call = what, c.conn, c
	if t.began.IsZero() {
		t.began = time.Now()
	}
	a.holder.Store(t)
	out, err := a.protect(what, fn)
	decided := t.fate.CompareAndSwap(fateOpen, fateDecided)
	switch {
	case !decided, c.late():
		err = t.late
	case err == nil:
		err = a.settle(c, t)
	}
	kept := err == nil || a.keepsFailed(t) && a.settle(c, t) == nil
	if kept {
		t.stage.apply()
	}
	outs, uncertain := t.finish(), t.committed
	if !kept {
		a.rollback(t, what)
		outs = outs[:0]
	}
	var f *fault.Error
	if err != nil {
		f = a.visible(what, err)
	}
	if reply != nil && decided {
		if f == nil {
			f = a.checkOutgoing(len(out))
		}
		reply.Prepare(out, f)
		outs = append(outs, output{reply: reply, uncertain: uncertain})
	}
	if len(outs) > 0 {
		a.gate.push(outs...)
	}
	c.end()
	a.watch.end()
	a.holder.Store(nil)
	a.release()
	if f != nil {
		return f
	}
	return nil
}

// keepsFailed reports whether what a turn changed stays although it failed, as the definition asks.
func (a *Actor) keepsFailed(t *turn) bool {
	return a.spec.Options.KeepFailedTurns && !t.strict && !t.internal && !t.view && !t.committed && a.encoded != nil
}

// settle ends a successful turn: it encodes the state, and commits it if it changed together with what else the turn
// staged.
func (a *Actor) settle(c *Call, t *turn) error {
	if t.view {
		t.rollbackSQL() // it only read
		return a.checkView()
	}
	var sealed []byte // the state; nil: it has not changed
	if !t.internal {
		var err error
		if sealed, err = a.changedState(c); err != nil {
			return err
		}
	}
	if err := t.seal(); err != nil {
		return err
	}
	states, err := t.newStates()
	if err != nil {
		return err
	}
	tc := &turnCommit{actor: a}
	if sealed != nil {
		sealed = bytes.Clone(sealed) // the storage keeps it; the scratch buffer is ours
		tc.put[0] = record.Record{Key: stateKey, Value: sealed}
		tc.batch.Puts = tc.put[:1]
	}
	t.stage.fill(&tc.batch)
	a.setAlarm(&tc.batch, time.Now(), false)
	if size, limit := tc.batch.Size(), a.spec.Options.MaxTurnBytes; size > limit {
		return turnTooLarge(size, limit)
	}
	// From here on only a commit that fails can undo what SQLite has committed, and that ends the actor.
	if err := t.commitSQL(&tc.batch); err != nil {
		return err
	}
	if tc.batch.Empty() && len(states) == 0 && !t.records {
		return nil
	}
	if t.index > 0 {
		a.conns.counted(c.conn, t.index)
	}
	written := a.conns.takeChanges(&tc.batch, states)
	if tc.batch.Empty() {
		return nil
	}
	if err := a.commit(tc); err != nil {
		return err
	}
	a.conns.storedBy(written, tc.number)
	t.committed = true
	if sealed != nil {
		a.encoded = sealed[1:]
	}
	return nil
}

// changedState is the state sealed, if the turn changed it, else nil. It is in the scratch buffer.
func (a *Actor) changedState(c *Call) ([]byte, error) {
	sealed, err := a.state.AppendTo(append(a.scratch[:0], record.Version))
	if err != nil {
		return nil, fmt.Errorf("encode the state: %w", err)
	}
	a.keepScratch(sealed)
	if bytes.Equal(sealed[1:], a.encoded) {
		return nil, nil
	}
	return sealed, a.stateChanged(c, sealed[1:])
}

// stateChanged runs the hook that hears of a new state, and refuses one that cannot be stored.
func (a *Actor) stateChanged(c *Call, enc []byte) error {
	if a.spec.OnStateChange != nil && a.encoded != nil {
		c.turn.changed.Store(true)
		err := a.spec.OnStateChange(c, a.state)
		c.turn.changed.Store(false)
		if err != nil {
			return err
		}
		again, err := a.state.AppendTo(nil)
		if err != nil {
			return fmt.Errorf("encode the state: %w", err)
		}
		if !bytes.Equal(again, enc) {
			return errReentrant
		}
	}
	if len(enc) > a.spec.Options.MaxStateBytes {
		return fault.New("actor", "state_too_large", fmt.Sprintf("The state would be %d bytes, the limit is %d: keep less in it, or raise Options.MaxStateBytes", len(enc), a.spec.Options.MaxStateBytes))
	}
	return nil
}

var errReentrant = fault.New("actor", "state_mutation_reentrant", "State mutations are not allowed inside OnStateChange.")

// stateKey is the key of the state's record.
var stateKey = record.Key(record.KindState)

// turnCommit is a turn's commit under way, in one piece.
type turnCommit struct {
	actor  *Actor
	number uint64
	batch  record.Batch
	put    [1]record.Record
}

// done hears from the storage.
func (tc *turnCommit) done(err error) {
	if err != nil {
		tc.actor.fail(err)
		return
	}
	tc.actor.gate.complete(tc.number)
}

// checkView makes sure, where checks are on, that a handler declared read-only changed nothing.
func (a *Actor) checkView() error {
	if !invariants.Enabled {
		return nil
	}
	enc, err := a.state.AppendTo(nil)
	if err != nil {
		return fmt.Errorf("encode the state: %w", err)
	}
	if !bytes.Equal(enc, a.encoded) {
		return errors.Join(errors.New("a handler bound with View changed the state: bind it with Handle"), a.state.Restore(a.encoded))
	}
	return nil
}

// keepScratch keeps the encoding buffer for the next turn, unless it grew large.
func (a *Actor) keepScratch(b []byte) {
	if cap(b) <= 4<<10 {
		a.scratch = b
	} else {
		a.scratch = nil
	}
}

// commit hands a batch to the storage. An error means that nothing was written and the actor is done for.
func (a *Actor) commit(tc *turnCommit) error {
	n, ok := a.gate.issue()
	if !ok {
		return errVoid
	}
	tc.number = n
	if tc.batch.SetAlarm {
		a.alarm.stored = tc.batch.Alarm
	}
	if err := a.records.Commit(&tc.batch, tc.done); err != nil {
		a.gate.retract()
		a.fail(err)
		return errVoid
	}
	return nil
}

// rollback makes the state and the connections' states what they were before the turn. Bytes that cannot be read back end
// the actor: memory must not disagree with what is stored.
func (a *Actor) rollback(t *turn, what string) {
	t.rollbackSQL()
	t.undo()
	for _, d := range t.touched {
		if err := d.conn.state.Restore(d.before); err != nil {
			a.Log().Error("connection state cannot be restored after a failed turn: the actor ends", "during", what, "error", err)
			a.fail(err)
		}
	}
	if t.view || t.internal {
		return
	}
	if a.encoded == nil {
		a.state = nil // the first turn failed: there never was a state
		return
	}
	if err := a.state.Restore(a.encoded); err != nil {
		a.Log().Error("state cannot be restored after a failed turn: the actor ends", "during", what, "error", err)
		a.fail(err)
	}
}

// protect runs user code and turns a panic into an error that carries the stack.
func (a *Actor) protect(what string, fn func() ([]byte, error)) (out []byte, err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if r := recover(); r != nil {
			err = &panicError{value: r, stack: debug.Stack()}
		} else {
			err = errors.New("the handler ended its goroutine (runtime.Goexit)")
		}
	}()
	out, err = fn()
	returned = true
	return out, err
}

type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// timedTurn runs fn as a turn on a goroutine of its own and waits for it at most the timeout, counted from the moment it
// has the turn. When time is up the caller gets callback_timed_out and nothing of the turn stays, whenever it ends.
func (a *Actor) timedTurn(ctx context.Context, c *Call, hook string, timeout time.Duration, fn func(c *Call) error) error {
	return a.timedTurnHeld(ctx, false, c, hook, timeout, fn)
}

// timedTurnHeld is timedTurn for a caller that may hold the turn already.
func (a *Actor) timedTurnHeld(ctx context.Context, held bool, c *Call, hook string, timeout time.Duration, fn func(c *Call) error) error {
	if held && (a.gate.void() || a.alive.Err() != nil) {
		a.release()
		return errVoid
	}
	if !held {
		if err := a.acquire(ctx, c.asked()); err != nil {
			return err
		}
	}
	c.deadline = time.Now().Add(timeout)
	c.turn = &turn{late: callbackTimedOut(hook, timeout)}
	done := make(chan error, 1)
	go func() { // ends when the hook returns; its context ends at the deadline
		done <- a.runTurn(c, nil, hook, func() ([]byte, error) { return nil, fn(c) })
	}()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		if !c.turn.expire() {
			return <-done
		}
		a.Log().Error("hook timed out", "hook", hook, "timeout", timeout)
		return a.visible(hook, c.turn.late)
	}
}
