package actordb

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"github.com/rivetgo/rivet/internal/actordb/page"
	"github.com/rivetgo/rivet/internal/wire/fault"
)

// Error is what SQLite says of a statement that failed.
type Error struct {
	Code     int    // SQLite's primary result code, as 19 for a constraint
	Extended int    // SQLite's extended result code, as 2067 for a UNIQUE constraint
	Message  string // SQLite's words
	SQL      string // the statement, cut to 200 bytes
	// Statement and Line say where a text of several statements failed, both from 1.
	Statement, Line int
	cause           error
}

func (e *Error) Error() string {
	msg := e.Message
	if e.cause != nil {
		msg += ": " + e.cause.Error()
	}
	if e.SQL == "" {
		return "sqlite: " + msg
	}
	return fmt.Sprintf("sqlite: %s, in %q", msg, e.SQL)
}

func (e *Error) Unwrap() error { return e.cause }

// maxShown bounds how much of a statement an error shows.
const maxShown = 200

func shown(sql string) string {
	sql = strings.TrimSpace(sql)
	if len(sql) <= maxShown {
		return sql
	}
	return strings.ToValidUTF8(sql[:maxShown], "") + "…"
}

// explain makes of SQLite's error one that says what to do. ctx is that of the statement.
func (c *conn) explain(ctx context.Context, sql string, err error) error {
	if err == nil {
		return nil
	}
	cause, denied := c.file.err, c.denied
	c.file.err, c.denied = nil, ""
	return explain(ctx, sql, err, cause, denied, c.file.limit)
}

func explain(ctx context.Context, sql string, err, cause error, denied string, limit int) error {
	var corrupt *page.CorruptError
	if errors.As(cause, &corrupt) {
		return fault.New("sqlite", "corrupt", upper(corrupt.Error())+". Restore the actor from an export.")
	}
	if f, ok := fault.From(cause); ok {
		return f
	}
	if denied != "" {
		return fault.New("sqlite", "refused", denied)
	}
	switch {
	case errors.Is(err, sqlite3.INTERRUPT):
		if ended := ctx.Err(); ended != nil {
			return fmt.Errorf("sqlite: the statement was ended, in %q: %w", shown(sql), ended)
		}
	case errors.Is(err, sqlite3.NOMEM):
		return tooLarge(limit)
	}
	out := &Error{Message: err.Error(), SQL: shown(sql), cause: cause}
	var e *sqlite3.Error
	var code sqlite3.ErrorCode
	var ext sqlite3.ExtendedErrorCode
	if errors.As(err, &e) {
		out.Message = strings.TrimPrefix(e.Error(), "sqlite3: ")
	}
	if errors.As(err, &code) {
		out.Code, out.Extended = int(code), int(code)
	}
	if errors.As(err, &ext) {
		out.Extended = int(ext)
		out.Code = int(ext) & 0xff
	}
	return out
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// leftOpen is the error of a transaction that somebody began and did not end.
func leftOpen(where string) error {
	return fault.New("sqlite", "transaction_left_open", fmt.Sprintf("The transaction begun at %s was neither committed nor rolled back: nothing of it stays. Call Commit, and defer Rollback.", where))
}

// beside is the error of a statement beside an open transaction.
func beside(where string) error {
	return fault.New("sqlite", "transaction_open", fmt.Sprintf("A transaction of the same turn is open, begun at %s, and this statement is not part of it: run it on that transaction, or end that first.", where))
}

var (
	errOver = fault.New("sqlite", "transaction_over", "The turn or transaction that this statement belongs to is over.")
	// ErrReadOnly is the error of a statement that would write where nothing may be written.
	ErrReadOnly = fault.New("sqlite", "read_only", "This statement writes, and here a database can only be read: bind the action with Handle instead of View, and use DB instead of ReadDB.")
)

// lost is the error of what follows after SQLite gave up a turn's whole transaction.
func lost(because error) error {
	return fault.New("sqlite", "transaction_lost", fmt.Sprintf("SQLite undid everything that this turn had changed in the database when a statement failed, so the turn cannot go on: %v", because))
}
