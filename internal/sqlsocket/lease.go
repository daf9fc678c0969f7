package sqlsocket

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rivetgo/rivet/internal/actordb"
	"github.com/rivetgo/rivet/internal/wire/fault"
)

// lease is a transaction of a client over several requests.
type lease struct {
	timeout time.Duration
	ctx     context.Context // of its statements
	cancel  context.CancelCauseFunc
	ready   chan struct{} // closed when it has begun or failed to; tx and timer are set then
	tx      actordb.Transaction
	timer   *time.Timer

	once   sync.Once
	failed error // of the end
}

// expiredError is the error of a lease whose time is over.
type expiredError struct{ timeout time.Duration }

func (e *expiredError) Error() string {
	return fmt.Sprintf("The lease was rolled back after %v, the deadlock-safety backstop: the actor waits while a lease is open. Commit sooner, or begin it with a longer timeoutMs.", e.timeout)
}

var errLeaseOver = errors.New("the lease is over")

// begun is called with the transaction, or nil when there is none.
func (l *lease) begun(tx actordb.Transaction) {
	if l.tx = tx; tx != nil {
		expired := &expiredError{l.timeout}
		l.timer = time.AfterFunc(l.timeout, func() { _ = l.end(false, expired) }) // whoever asks next is told
	}
	close(l.ready)
}

func (l *lease) expired() bool {
	var e *expiredError
	return errors.As(context.Cause(l.ctx), &e)
}

// do runs work in the transaction. Requests that come at once run one after the other.
func (l *lease) do(work actordb.Work) error {
	<-l.ready
	if l.tx == nil {
		return errLeaseOver
	}
	if err := l.ctx.Err(); err != nil {
		return context.Cause(l.ctx)
	}
	err := l.tx.Do(l.ctx, work)
	if err != nil && l.ctx.Err() != nil {
		return context.Cause(l.ctx) // it was ended by the end of its lease
	}
	return l.late(err)
}

// late knows the error of a transaction that the actor ended when its own time was over, which is that of the longest lease.
func (l *lease) late(err error) error {
	if f, ok := fault.From(err); ok && f.Code == "transaction_expired" {
		expired := &expiredError{l.timeout}
		l.cancel(expired)
		return expired
	}
	return err
}

// end ends the transaction; because is why, when it was not asked for. The first end counts.
func (l *lease) end(keep bool, because error) error {
	<-l.ready
	l.once.Do(func() {
		if l.tx == nil {
			l.failed = errLeaseOver
			return
		}
		if because == nil {
			because = errLeaseOver
		}
		if !keep {
			l.cancel(because) // what runs is interrupted
		}
		l.failed = l.late(l.tx.End(keep))
		l.cancel(because)
		// The timer does nothing any more, whether it is stopped or finds the lease over.
		if l.timer != nil {
			l.timer.Stop()
		}
	})
	if l.expired() {
		return context.Cause(l.ctx)
	}
	return l.failed
}
