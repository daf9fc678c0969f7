package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// What SQL actors share: statements as upstream has them.

// row is a row as callers see it: column name → value.
type row map[string]any

// runner is what statements run on: a *sql.DB or a *sql.Tx.
type runner interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// execute runs one statement, or a script of several without arguments, and returns the rows of all.
func execute(c context.Context, db runner, query string, args ...any) ([]row, error) {
	rows, err := db.QueryContext(c, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := []row{}
	for {
		columns, err := rows.Columns()
		if err != nil {
			return nil, err
		}
		for rows.Next() {
			values, to := make([]any, len(columns)), make([]any, len(columns))
			for i := range values {
				to[i] = &values[i]
			}
			if err := rows.Scan(to...); err != nil {
				return nil, err
			}
			r := make(row, len(columns))
			for i, name := range columns {
				r[name] = sqlNumber(values[i])
			}
			out = append(out, r)
		}
		if !rows.NextResultSet() {
			return out, rows.Err()
		}
	}
}

// sqlNumber keeps integers that JavaScript would make bigints of from being that.
func sqlNumber(v any) any {
	if n, ok := v.(int64); ok && (n > math.MaxInt32 || n < math.MinInt32) {
		return float64(n)
	}
	return v
}

// exec runs a statement or a script for its effect.
func exec(c context.Context, db runner, query string, args ...any) error {
	_, err := db.ExecContext(c, query, args...)
	return err
}

// one returns the first column of the first row; the zero value when there is none.
func one[T any](c context.Context, db runner, query string, args ...any) (v T, err error) {
	err = db.QueryRowContext(c, query, args...).Scan(&v)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return v, err
}

// column returns the first column of all rows; never nil.
func column[T any](c context.Context, db runner, query string, args ...any) ([]T, error) {
	out := []T{}
	rows, err := db.QueryContext(c, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var v T
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// inserted runs an INSERT and returns the id of the row.
func inserted(c context.Context, db runner, query string, args ...any) (int64, error) {
	res, err := db.ExecContext(c, query, args...)
	if err != nil {
		return 0, err
	}
	return res.LastInsertId()
}

// transaction runs fn in a transaction, which is rolled back when fn fails.
func transaction(c context.Context, db *sql.DB, fn func(tx *sql.Tx) error) error {
	tx, err := db.BeginTx(c, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// migrates makes script the migration of an actor: it runs at each start.
func migrates[S any](d definition[S], script string) {
	d.OnMigrate = func(c *actor.Ctx, _ bool) error { return exec(c, c.DB(), script) }
}

// The tables of the catalogue.
const (
	logTable  = `CREATE TABLE IF NOT EXISTS sleep_log(id INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL, created_at INTEGER NOT NULL)`
	dataTable = `CREATE TABLE IF NOT EXISTS test_data(id INTEGER PRIMARY KEY AUTOINCREMENT, value TEXT NOT NULL, payload TEXT NOT NULL DEFAULT '', created_at INTEGER NOT NULL)`
)

// logEvent inserts a row into the log table.
func logEvent(c *actor.Ctx, event string) error {
	return exec(c, c.DB(), `INSERT INTO sleep_log(event, created_at) VALUES(?, ?)`, event, int64(now()))
}

// coordinator lets transactions of one actor wait for each other, and statements for transactions, as upstream's does: a
// transaction that runs out of time ends those that wait for it too. Our own would refuse at once what waits for itself.
type coordinator struct {
	mu sync.Mutex
	tx *held // the one that is open
}

// held is an open transaction of a coordinator.
type held struct {
	tx      *sql.Tx
	key     string
	timeout time.Duration
	over    chan struct{} // closed when it has ended; expired is set then
	expired bool
	done    bool // committed
}

// enter waits until no transaction is open, and takes the place if hold. The error is that of a transaction that ran out of
// time meanwhile.
func (co *coordinator) enter(c context.Context, hold *held) error {
	for {
		co.mu.Lock()
		open := co.tx
		if open == nil {
			co.tx = hold
			co.mu.Unlock()
			return nil
		}
		co.mu.Unlock()
		select {
		case <-open.over:
			if open.expired {
				return errExpired(open.timeout)
			}
		case <-c.Done():
			return c.Err()
		}
	}
}

func (co *coordinator) leave(h *held) {
	co.mu.Lock()
	defer co.mu.Unlock()
	if co.tx == h {
		co.tx = nil
	}
	select {
	case <-h.over:
	default:
		close(h.over)
	}
}

func errExpired(timeout time.Duration) error {
	return &rivet.Error{Group: "sqlite", Code: "transaction_expired", Message: fmt.Sprintf("SQLite transaction expired after %d ms and was rolled back; "+
		"this timeout is a deadlock-safety backstop. Increase the db.transaction() `timeout` option if the transaction legitimately needs longer, and check for a nested "+
		"transaction or use of the outer `db` instead of `tx` inside the callback.", timeout.Milliseconds())}
}

func errTerminal(key string) error {
	return &rivet.Error{Group: "sqlite", Code: "transaction_terminal", Message: fmt.Sprintf("SQLite transaction handle `%s` is already committed.", key)}
}

// transact runs fn in a transaction with a timeout. It is for code outside turns.
func (co *coordinator) transact(c *actor.Ctx, timeout time.Duration, fn func(h *held) error) error {
	h := &held{key: fmt.Sprintf("tx-%d", time.Now().UnixNano()), timeout: timeout, over: make(chan struct{})}
	if err := co.enter(c, h); err != nil {
		return err
	}
	tx, err := c.DB().BeginTx(c, nil)
	if err != nil {
		co.leave(h)
		return err
	}
	h.tx = tx
	timer := time.AfterFunc(timeout, func() {
		co.mu.Lock()
		ended := h.done
		h.expired = !ended
		co.mu.Unlock()
		if !ended {
			_ = tx.Rollback() // it may have ended by itself
			co.leave(h)
		}
	})
	defer timer.Stop()
	failed := fn(h)
	co.mu.Lock()
	expired := h.expired
	h.done = true
	co.mu.Unlock()
	if expired {
		return errExpired(timeout)
	}
	defer co.leave(h)
	if failed != nil {
		return errors.Join(failed, ignoreDone(tx.Rollback()))
	}
	return tx.Commit()
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// on runs a statement of the transaction.
func (h *held) on(c *actor.Ctx, query string, args ...any) ([]row, error) {
	select {
	case <-h.over:
		if h.expired {
			return nil, errExpired(h.timeout)
		}
		return nil, errTerminal(h.key)
	default:
	}
	rows, err := execute(c, h.tx, query, args...)
	if err != nil && strings.Contains(err.Error(), sql.ErrTxDone.Error()) {
		return nil, errExpired(h.timeout)
	}
	return rows, err
}

// ordinary runs a statement outside of transactions, when none is open.
func (co *coordinator) ordinary(c *actor.Ctx, query string, args ...any) ([]row, error) {
	if err := co.enter(c, nil); err != nil {
		return nil, err
	}
	return execute(c, c.DB(), query, args...)
}

// errorText is what callers see of an error that was caught.
func errorText(err error) string {
	if e, ok := errors.AsType[*rivet.Error](err); ok {
		return e.Message
	}
	return err.Error()
}
