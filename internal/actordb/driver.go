package actordb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"runtime"
	"strings"
)

// Work is what runs with the transaction of a turn. sp is the savepoint that it is a part of, nil for the turn itself. own
// says that the turn is this statement's alone and ends with it.
type Work func(ctx context.Context, tx *Tx, sp *Savepoint, own bool) error

// Scope finds the turn that a statement belongs to. Its methods may be called concurrently.
type Scope interface {
	// Do runs work in the turn that ctx or the scope belongs to; where there is none, as a turn of its own. The context that
	// work gets ends with ctx, with the turn and with the actor.
	Do(ctx context.Context, work Work) error
	// Begin begins a transaction: within the turn, or as a turn of its own that lasts until End. where says who did.
	Begin(ctx context.Context, where string, readOnly bool) (Transaction, error)
}

// Transaction is what Scope.Begin began.
type Transaction interface {
	// Do runs work in it.
	Do(ctx context.Context, work Work) error
	// End commits or rolls back, once. After a turn of its own that was kept, what it changed is committed.
	End(keep bool) error
}

// OpenDB returns a *sql.DB whose statements run where scope says. It has as many connections as its callers ask for: they
// cost nothing, for all share the one connection of the turn's transaction.
func OpenDB(scope Scope) *sql.DB { return sql.OpenDB(connector{scope}) }

type connector struct{ scope Scope }

func (c connector) Connect(context.Context) (driver.Conn, error) {
	return &session{scope: c.scope}, nil
}
func (c connector) Driver() driver.Driver { return noDriver{} }

// noDriver is the driver of databases that cannot be opened by name.
type noDriver struct{}

func (noDriver) Open(string) (driver.Conn, error) {
	return nil, fmt.Errorf("sqlite: an actor's database is opened by Ctx.DB only")
}

// session is a connection as database/sql sees it: at most one transaction.
type session struct {
	scope Scope
	tx    Transaction // nil: none is open
}

var (
	_ driver.ExecerContext      = (*session)(nil)
	_ driver.QueryerContext     = (*session)(nil)
	_ driver.ConnBeginTx        = (*session)(nil)
	_ driver.ConnPrepareContext = (*session)(nil)
)

func (s *session) do(ctx context.Context, work Work) error {
	if s.tx != nil {
		return s.tx.Do(ctx, work)
	}
	return s.scope.Do(ctx, work)
}

func (s *session) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (res driver.Result, err error) {
	err = s.do(ctx, func(ctx context.Context, tx *Tx, sp *Savepoint, _ bool) (err error) {
		res, err = tx.Exec(ctx, sp, query, args)
		return err
	})
	return res, err
}

func (s *session) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (rows driver.Rows, err error) {
	err = s.do(ctx, func(ctx context.Context, tx *Tx, sp *Savepoint, own bool) error {
		r, err := tx.Query(ctx, sp, query, args)
		if err != nil {
			return err
		}
		if rows = r; own {
			rows, err = drain(r)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

func (s *session) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	err := s.do(ctx, func(ctx context.Context, tx *Tx, sp *Savepoint, _ bool) error { return tx.Check(ctx, sp, query) })
	if err != nil {
		return nil, err
	}
	return &prepared{session: s, query: query}, nil
}

func (s *session) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	tx, err := s.scope.Begin(ctx, caller(), opts.ReadOnly) // every isolation that can be asked for is given
	if err != nil {
		return nil, err
	}
	s.tx = tx
	return s, nil
}

func (s *session) Commit() error   { return s.end(true) }
func (s *session) Rollback() error { return s.end(false) }

func (s *session) end(keep bool) error {
	tx := s.tx
	if tx == nil {
		return errOver
	}
	s.tx = nil
	return tx.End(keep)
}

// Close ends a transaction that is open.
func (s *session) Close() error {
	if s.tx == nil {
		return nil
	}
	return s.end(false)
}

// Prepare and Begin are what database/sql uses without a context, which it never does here.
func (s *session) Prepare(query string) (driver.Stmt, error) {
	return s.PrepareContext(context.Background(), query)
}
func (s *session) Begin() (driver.Tx, error) {
	return s.BeginTx(context.Background(), driver.TxOptions{})
}

// prepared is a statement that is compiled already or will be found in the connection's cache; it outlives the connection.
type prepared struct {
	session *session
	query   string
}

var (
	_ driver.StmtExecContext  = (*prepared)(nil)
	_ driver.StmtQueryContext = (*prepared)(nil)
)

func (p *prepared) Close() error  { return nil }
func (p *prepared) NumInput() int { return -1 } // it is checked when it runs
func (p *prepared) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return p.session.ExecContext(ctx, p.query, args)
}
func (p *prepared) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return p.session.QueryContext(ctx, p.query, args)
}
func (p *prepared) Exec(args []driver.Value) (driver.Result, error) {
	return p.ExecContext(context.Background(), named(args))
}
func (p *prepared) Query(args []driver.Value) (driver.Rows, error) {
	return p.QueryContext(context.Background(), named(args))
}

func named(args []driver.Value) []driver.NamedValue {
	out := make([]driver.NamedValue, len(args))
	for i, v := range args {
		out[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return out
}

// caller is the file and line of the code that called database/sql.
func caller() string {
	var pcs [16]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, "database/sql.") && !strings.Contains(f.Function, "/internal/actordb.") {
			return fmt.Sprintf("%s:%d", f.File, f.Line)
		}
		if !more {
			return "an unknown place"
		}
	}
}
