package host

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/rivetgo/rivet/internal/actordb"
	"github.com/rivetgo/rivet/internal/wire/fault"
)

// callKey is the key under which a context answers with the Call it comes from.
type callKey struct{}

// callOf is the call of this actor that a context comes from; nil when there is none.
func (a *Actor) callOf(ctx context.Context) *Call {
	if c, ok := ctx.Value(callKey{}).(*Call); ok && c.actor == a {
		return c
	}
	return nil
}

// statementCtx is the context of a statement: it ends with the one that it was given and with its call. SQLite asks Err
// often, and must not pay for a timer.
type statementCtx struct {
	context.Context
	call *Call
}

func (s statementCtx) Err() error {
	if err := s.Context.Err(); err != nil {
		return err
	}
	if s.call.late() {
		return context.DeadlineExceeded
	}
	return s.call.actor.alive.Err()
}

// turnScope is where the statements of a *sql.DB run that was taken in a turn: in the turn of the context's call, or in the
// one that is under way.
type turnScope struct{ a *Actor }

func (s turnScope) find(ctx context.Context) (*Call, *turn, error) {
	if c := s.a.callOf(ctx); c != nil {
		return c, c.inTurn(), nil
	}
	t := s.a.holder.Load()
	if t == nil || t.internal || t.over.Load() {
		return nil, nil, errNoTurn
	}
	return t.call, t, nil
}

func (s turnScope) Do(ctx context.Context, work actordb.Work) error {
	c, t, err := s.find(ctx)
	if err != nil {
		return err
	}
	return c.statement(ctx, t, work)
}

func (s turnScope) Begin(ctx context.Context, where string, readOnly bool) (actordb.Transaction, error) {
	c, t, err := s.find(ctx)
	if err != nil {
		return nil, err
	}
	return c.beginTx(ctx, t, where, readOnly)
}

// callScope is where the statements of a *sql.DB run that was taken outside turns: in the turn of the context's call if it
// has one, else in one of their own.
type callScope struct{ c *Call }

func (s callScope) find(ctx context.Context) *Call {
	if c := s.c.actor.callOf(ctx); c != nil {
		return c
	}
	return s.c
}

func (s callScope) Do(ctx context.Context, work actordb.Work) error {
	c := s.find(ctx)
	return c.statement(ctx, c.inTurn(), work)
}

func (s callScope) Begin(ctx context.Context, where string, readOnly bool) (actordb.Transaction, error) {
	c := s.find(ctx)
	return c.beginTx(ctx, c.inTurn(), where, readOnly)
}

// usable says why the call can run no statement: it is over.
func (c *Call) usable(t *turn) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || t == nil && c.turn != nil {
		return errTurnOver
	}
	return nil
}

// statement runs work in a turn that the call holds, or in one of its own when t is nil.
func (c *Call) statement(ctx context.Context, t *turn, work actordb.Work) error {
	if err := c.usable(t); err != nil {
		return err
	}
	if t != nil {
		tx, err := t.beginSQL(ctx, c.actor)
		if err != nil {
			return err
		}
		return work(statementCtx{ctx, c}, tx, nil, false)
	}
	own := &turn{late: errTimedOut, internal: true}
	var failed error
	err := c.actor.doTurnIn(ctx, c, own, func(c *Call, _ State) error {
		var tx *actordb.Tx
		if tx, failed = own.beginSQL(ctx, c.actor); failed == nil {
			failed = work(statementCtx{ctx, c}, tx, nil, true)
		}
		if failed != nil {
			return errUndone
		}
		return nil
	})
	return firstError(failed, own.sqlFailed, err)
}

// errUndone ends a turn that was a statement's or transaction's own; whoever ran it is told more.
var errUndone = fault.New("sqlite", "undone", "The statement or transaction failed, and nothing of it stays.")

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// beginTx begins a transaction: a savepoint of the turn that the call holds, or a turn that lasts until its end.
func (c *Call) beginTx(ctx context.Context, t *turn, where string, readOnly bool) (actordb.Transaction, error) {
	if err := c.usable(t); err != nil {
		return nil, err
	}
	if t == nil {
		return c.beginOwn(ctx, where, readOnly)
	}
	tx, err := t.beginSQL(ctx, c.actor)
	if err != nil {
		return nil, err
	}
	sp, err := tx.Begin(where, readOnly)
	if err != nil {
		return nil, err
	}
	return savepointTx{c, tx, sp}, nil
}

// savepointTx is a transaction within a turn.
type savepointTx struct {
	c  *Call
	tx *actordb.Tx
	sp *actordb.Savepoint
}

func (s savepointTx) Do(ctx context.Context, work actordb.Work) error {
	return work(statementCtx{ctx, s.c}, s.tx, s.sp, false)
}

func (s savepointTx) End(keep bool) error { return s.sp.End(keep) }

// ownTx is a transaction that is a turn of its own. A goroutine of its own holds the turn until the verdict, the end of the
// call that began it, or the end of its time.
type ownTx struct {
	c       *Call // the turn's
	tx      *actordb.Tx
	where   string
	verdict chan bool     // keep it or not
	over    chan struct{} // closed when the turn has ended; failed is set then
	failed  error
}

// beginOwn begins a transaction outside turns.
func (c *Call) beginOwn(ctx context.Context, where string, readOnly bool) (actordb.Transaction, error) {
	a := c.actor
	if err := a.acquireFor(ctx, c); err != nil {
		return nil, err
	}
	t := &turn{internal: true, goroutine: goroutineID()}
	limit := a.spec.Options.TransactionTimeout
	t.late = expired(where, limit)
	tc := &Call{actor: a, conn: c.conn, request: c.request, chain: c.chain, deadline: time.Now().Add(limit), turn: t}
	if d := c.deadline; !d.IsZero() && d.Before(tc.deadline) {
		tc.deadline = d
	}
	o := &ownTx{c: tc, where: where, verdict: make(chan bool), over: make(chan struct{})}
	begun := make(chan error, 1)
	go func() { // ends with the transaction
		defer close(o.over)
		err := a.runTurn(tc, nil, "transaction", func() ([]byte, error) {
			tx, err := t.beginSQL(ctx, a)
			if err == nil && readOnly {
				tx.ReadOnly()
			}
			o.tx = tx
			begun <- err
			if err != nil {
				return nil, errUndone
			}
			select {
			case keep := <-o.verdict:
				if keep {
					return nil, nil
				}
				return nil, errUndone
			case <-c.Done():
				return nil, leftOpen(where)
			case <-tc.Done():
				return nil, t.late
			}
		})
		o.failed = firstError(t.sqlFailed, err)
	}()
	if err := <-begun; err != nil {
		<-o.over
		return nil, err
	}
	c.addTx(o)
	return o, nil
}

func expired(where string, limit time.Duration) *fault.Error {
	return fault.New("sqlite", "transaction_expired", fmt.Sprintf("The transaction begun at %s was open for more than %v and was rolled back: end it sooner, or raise Options.TransactionTimeout.", where, limit))
}

func leftOpen(where string) *fault.Error {
	return fault.New("sqlite", "transaction_left_open", fmt.Sprintf("The transaction begun at %s was neither committed nor rolled back when its handler returned: nothing of it stays. Call Commit, and defer Rollback.", where))
}

func (o *ownTx) Do(ctx context.Context, work actordb.Work) error {
	select {
	case <-o.over:
		return firstError(o.failed, errTurnOver)
	default:
		err := work(statementCtx{ctx, o.c}, o.tx, nil, false)
		if err != nil && o.c.late() {
			return o.c.turn.late // it was ended by the end of its transaction
		}
		return err
	}
}

func (o *ownTx) End(keep bool) error {
	select {
	case o.verdict <- keep:
		<-o.over
	case <-o.over:
	}
	if !keep {
		return nil
	}
	return o.failed
}

// callDB is what a call outside turns has of the database.
type callDB struct {
	db  *sql.DB
	txs []*ownTx // begun and perhaps not ended
}

// outsideDB is the *sql.DB of a call outside turns; it lives as long as the call.
func (c *Call) outsideDB() *sql.DB {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sql.db == nil {
		c.sql.db = actordb.OpenDB(callScope{c})
		if c.ended {
			_ = c.sql.db.Close() // nothing is open in it
		}
	}
	return c.sql.db
}

func (c *Call) addTx(o *ownTx) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := c.sql.txs[:0]
	for _, tx := range c.sql.txs {
		select {
		case <-tx.over:
		default:
			kept = append(kept, tx)
		}
	}
	c.sql.txs = append(kept, o)
}

// closeDB ends what the call has open in the database. The error names a transaction that its handler left open.
func (c *Call) closeDB() error {
	c.mu.Lock()
	db, txs := c.sql.db, c.sql.txs
	c.sql = callDB{}
	c.mu.Unlock()
	var left error
	for _, o := range txs {
		select {
		case <-o.over:
		default:
			left = leftOpen(o.where)
			_ = o.End(false) // it is rolled back in any case
		}
	}
	if db != nil {
		_ = db.Close() // its transactions have ended
	}
	return left
}

// acquireFor is acquire for code outside turns. It fails at once when the caller waits for itself.
func (a *Actor) acquireFor(ctx context.Context, c *Call) error {
	if a.tryAcquire() {
		return nil
	}
	if err := a.waitsForItself(); err != nil {
		return err
	}
	wait, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(c, stop)()
	return a.acquire(wait, c.asked())
}

var errSelfDeadlock = fault.New("actor", "self_deadlock", "This code waits for a turn that it holds itself, through a transaction or a turn that it has not ended: use that transaction, or the Ctx of that turn.")

// waitsForItself is the error of a caller that waits for a turn that its own goroutine holds.
func (a *Actor) waitsForItself() error {
	if t := a.holder.Load(); t != nil && t.goroutine != 0 && t.goroutine == goroutineID() {
		return errSelfDeadlock
	}
	var pcs [128]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, "/internal/host.(*Actor).runTurn") {
			return errSelfDeadlock
		}
		if !more {
			return nil
		}
	}
}

// goroutineID numbers the goroutine. It only serves to find code that waits for itself: Go has no other way to tell.
func goroutineID() uint64 {
	var room [32]byte
	text, _ := bytes.CutPrefix(room[:runtime.Stack(room[:], false)], []byte("goroutine "))
	var id uint64
	for _, b := range text {
		if b < '0' || b > '9' {
			break
		}
		id = id*10 + uint64(b-'0')
	}
	return id
}
