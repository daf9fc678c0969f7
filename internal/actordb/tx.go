package actordb

import (
	"context"
	"database/sql/driver"
	"errors"
	"strings"
	"sync"

	"github.com/rivetgo/rivet/internal/wire/fault"
)

// Tx is what one turn does in the database: one transaction of SQLite's. Its methods may be called concurrently; they run
// one after the other. Commit or Rollback ends it, once.
type Tx struct {
	c     *conn
	onEnd func(discard bool) // discard: the connection must not be used again

	mu        sync.Mutex // guards all below, and the connection
	eager     bool       // it begins with a read too, so that several see the same
	began     bool       // SQLite is in the transaction
	wrote     bool       // a statement that may change something ran
	vacuumed  bool       // SQLite committed already: only throwing the connection away undoes it
	readOnly  bool
	savepoint *Savepoint // the one that is open
	rows      map[*Rows]struct{}
	lost      error // SQLite undid everything
	ended     bool
}

// ReadOnly makes the transaction refuse statements that write, from here on.
func (tx *Tx) ReadOnly() { tx.mu.Lock(); tx.readOnly = true; tx.mu.Unlock() }

// Savepoint is a transaction within the turn's: it can be undone alone.
type Savepoint struct {
	tx       *Tx
	where    string // who began it, for people
	readOnly bool
	plain    bool // begun by a BEGIN in plain SQL: every statement of the turn is a part of it
	over     bool
}

const (
	beginSQL     = "BEGIN"
	commitSQL    = "COMMIT"
	rollbackSQL  = "ROLLBACK"
	savepointSQL = `SAVEPOINT "_rivet_tx"`
	releaseSQL   = `RELEASE "_rivet_tx"`
	backSQL      = `ROLLBACK TO "_rivet_tx"`
)

// enter is what every statement begins with: it says whether the statement may run. sp is the savepoint that the statement
// is a part of; nil for the turn itself. The caller holds mu.
func (tx *Tx) enter(sp *Savepoint) error {
	switch {
	case tx.ended:
		return errOver
	case tx.lost != nil:
		return tx.lost
	case sp != nil && sp.over:
		return errOver
	case tx.savepoint != nil && sp != tx.savepoint && !tx.savepoint.plain:
		return beside(tx.savepoint.where)
	}
	return nil
}

// begin makes SQLite begin. The caller holds mu.
func (tx *Tx) begin() error {
	if tx.began {
		return nil
	}
	if err := tx.c.run(beginSQL); err != nil {
		return err
	}
	tx.began = true
	return nil
}

// Exec runs every statement of sql. Several take no arguments.
func (tx *Tx) Exec(ctx context.Context, sp *Savepoint, sql string, args []driver.NamedValue) (Result, error) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	var res Result
	rest, count := sql, 0
	for {
		if err := tx.enter(sp); err != nil {
			return Result{}, err
		}
		if done, tail, err := tx.handle(ctx, sp, rest); err != nil {
			return Result{}, located(err, sql, rest, count+1)
		} else if done {
			count++
			if rest = tail; strings.TrimSpace(rest) == "" {
				return res, nil
			}
			continue
		}
		count++
		s, tail, err := tx.prepare(ctx, sp, rest)
		if err != nil {
			return Result{}, located(err, sql, rest, count)
		}
		if s == nil {
			if count == 1 && len(args) > 0 {
				return Result{}, errNoStatement
			}
			return res, nil
		}
		if tail != "" && len(args) > 0 {
			tx.c.release(s)
			return Result{}, errSeveral
		}
		res, err = tx.exec(ctx, s, statementOf(rest, tail), args)
		if err != nil || tail == "" {
			return res, located(err, sql, rest, count)
		}
		rest = tail
	}
}

// located adds to an error of SQLite's where in a text the statement stands that failed: rest begins with it.
func located(err error, text, rest string, statement int) error {
	var e *Error
	if errors.As(err, &e) {
		before := text[:len(text)-len(rest)]
		blank := rest[:len(rest)-len(strings.TrimLeft(rest, " \t\r\n"))]
		e.Statement, e.Line = statement, 1+strings.Count(before, "\n")+strings.Count(blank, "\n")
	}
	return err
}

var errSeveral = errors.New("sqlite: arguments go with one statement only: call Exec once for each")

// statementOf is the first statement of a text, whose rest is tail.
func statementOf(text, tail string) string { return strings.TrimSpace(text[:len(text)-len(tail)]) }

// exec runs one statement to its end and gives it back. The caller holds mu.
func (tx *Tx) exec(ctx context.Context, s *cached, sql string, args []driver.NamedValue) (Result, error) {
	c := tx.c
	defer c.release(s)
	if err := bind(s, args); err != nil {
		return Result{}, err
	}
	defer c.during(ctx)()
	before := c.db.TotalChanges()
	if err := execStmt(s.Stmt); err != nil {
		return Result{}, tx.failed(ctx, sql, err)
	}
	var res Result
	if c.db.TotalChanges() != before {
		res.changes = c.db.Changes()
	}
	res.id = c.db.LastInsertRowID()
	return res, nil
}

// failed explains an error, and notes when SQLite undid the whole transaction because of it. The caller holds mu.
func (tx *Tx) failed(ctx context.Context, sql string, err error) error {
	err = tx.c.explain(ctx, sql, err)
	if tx.began && tx.c.db.GetAutocommit() {
		tx.lost = lost(err)
		tx.began = false
	}
	return err
}

// prepare compiles the first statement of sql, and makes SQLite begin if it writes. The caller holds mu.
func (tx *Tx) prepare(ctx context.Context, sp *Savepoint, sql string) (*cached, string, error) {
	// Reads need no transaction: nobody else writes while the turn lasts. A savepoint of the user's would be one.
	if !tx.began && (tx.eager || !tx.c.stmts.has(sql) && isSavepoint(sql)) {
		if err := tx.begin(); err != nil {
			return nil, "", err
		}
	}
	stop := tx.c.during(ctx)
	s, tail, err := tx.c.prepare(sql)
	stop()
	if err != nil {
		return nil, "", tx.failed(ctx, sql, err)
	}
	if s == nil {
		return nil, "", nil
	}
	if !s.readOnly {
		if tx.readOnly || sp != nil && sp.readOnly {
			tx.c.release(s)
			return nil, "", ErrReadOnly
		}
		if err := tx.begin(); err != nil {
			tx.c.release(s)
			return nil, "", err
		}
		tx.wrote = true
	}
	return s, tail, nil
}

// Check compiles sql, to tell early what is wrong with it.
func (tx *Tx) Check(ctx context.Context, sp *Savepoint, sql string) error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if err := tx.enter(sp); err != nil {
		return err
	}
	if verb(sql) != "" {
		return nil
	}
	s, _, err := tx.prepare(ctx, sp, sql)
	if s != nil {
		tx.c.release(s)
	}
	return err
}

// Begin opens a savepoint. where says who did, for people.
func (tx *Tx) Begin(where string, readOnly bool) (*Savepoint, error) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if err := tx.enter(nil); err != nil {
		return nil, err
	}
	return tx.open(where, readOnly)
}

// open opens a savepoint. The caller holds mu.
func (tx *Tx) open(where string, readOnly bool) (*Savepoint, error) {
	if err := tx.begin(); err != nil {
		return nil, err
	}
	if err := tx.c.run(savepointSQL); err != nil {
		return nil, err
	}
	tx.savepoint = &Savepoint{tx: tx, where: where, readOnly: readOnly}
	return tx.savepoint, nil
}

// End ends the savepoint. keep says that what it changed stays a part of the turn.
func (sp *Savepoint) End(keep bool) error {
	sp.tx.mu.Lock()
	defer sp.tx.mu.Unlock()
	return sp.end(keep)
}

// end ends the savepoint. The caller holds mu.
func (sp *Savepoint) end(keep bool) error {
	tx := sp.tx
	if sp.over {
		return errOver
	}
	sp.over = true
	tx.savepoint = nil
	switch {
	case tx.ended:
		return errOver
	case tx.lost != nil:
		return tx.lost
	}
	if !keep {
		tx.closeRows()
		if err := tx.c.run(backSQL); err != nil {
			return err
		}
	}
	return tx.c.run(releaseSQL)
}

// Commit ends the transaction and returns what it changed: the caller commits it to the records, or ends the actor. A
// savepoint that somebody forgot is undone and is an error; after an error the transaction is still open.
func (tx *Tx) Commit() (Changes, error) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	switch {
	case tx.ended:
		return Changes{}, errOver
	case tx.lost != nil:
		return Changes{}, tx.lost
	case tx.savepoint != nil:
		err := leftOpen(tx.savepoint.where)
		if failed := tx.savepoint.end(false); failed != nil {
			return Changes{}, failed
		}
		return Changes{}, err
	}
	tx.closeRows()
	if tx.began {
		if err := tx.c.run(commitSQL); err != nil {
			return Changes{}, err
		}
	}
	changes := tx.c.file.take()
	tx.end(tx.c.file.recycle || changes.Bytes > hugeBytes)
	return changes, nil
}

// Rollback undoes what the transaction changed and ends it. After Commit it does nothing.
func (tx *Tx) Rollback() {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.ended {
		return
	}
	tx.closeRows()
	discard := tx.vacuumed || tx.c.file.recycle
	if tx.began {
		if err := tx.c.run(rollbackSQL); err != nil {
			discard = true // what it is in is unknown
		}
	}
	tx.end(discard)
}

// end ends the transaction. The caller holds mu.
func (tx *Tx) end(discard bool) {
	tx.ended = true
	if tx.savepoint != nil {
		tx.savepoint.over = true
		tx.savepoint = nil
	}
	tx.onEnd(discard)
}

// closeRows ends every result that is still read. The caller holds mu.
func (tx *Tx) closeRows() {
	for r := range tx.rows {
		r.finish(errOver)
	}
}

// Changed reports whether a statement ran that may have changed something.
func (tx *Tx) Changed() bool { tx.mu.Lock(); defer tx.mu.Unlock(); return tx.wrote }

// handle runs a statement that is not SQLite's alone to run: BEGIN and its kin, which work on the savepoint, and VACUUM.
// done: it did, and tail follows. The caller holds mu.
func (tx *Tx) handle(ctx context.Context, sp *Savepoint, sql string) (done bool, tail string, err error) {
	if tx.c.stmts.has(sql) {
		return false, "", nil // it was looked at before
	}
	what := verb(sql)
	if what == "" {
		return false, "", nil
	}
	tail = afterStatement(sql)
	switch what {
	case "BEGIN":
		if tx.savepoint != nil {
			return false, "", beside(tx.savepoint.where)
		}
		if _, err = tx.open("a BEGIN in plain SQL", false); err == nil {
			tx.savepoint.plain = true
		}
	case "COMMIT", "END", "ROLLBACK":
		if tx.savepoint == nil || !tx.savepoint.plain {
			return false, "", errNotBegun
		}
		err = tx.savepoint.end(what != "ROLLBACK")
	case "VACUUM":
		err = tx.vacuum(ctx, statementOf(sql, tail))
	}
	return true, tail, err
}

// vacuum runs VACUUM, which SQLite does outside transactions only. The caller holds mu.
func (tx *Tx) vacuum(ctx context.Context, sql string) error {
	if tx.readOnly {
		return ErrReadOnly
	}
	if tx.wrote || tx.savepoint != nil {
		return errVacuum
	}
	tx.closeRows()
	if tx.began {
		if err := tx.c.run(commitSQL); err != nil {
			return err
		}
		tx.began = false
	}
	tx.wrote, tx.vacuumed = true, true
	defer tx.c.during(ctx)()
	tx.c.inside = true
	err := tx.c.execText(sql)
	tx.c.inside = false
	return tx.c.explain(ctx, sql, err)
}

var (
	errNotBegun = errors.New("sqlite: no transaction was begun with BEGIN: the turn's own ends with the turn; end one of BeginTx with its Commit or Rollback")
	errVacuum   = fault.New("sqlite", "vacuum_in_transaction", "VACUUM cannot follow other changes of the same turn: run it in a turn of its own, or outside turns.")
)
