package actordb

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/rivetgo/rivet/internal/wire/fault"
)

// Result is what a statement did. It implements driver.Result.
type Result struct{ id, changes int64 }

// LastInsertId is the rowid of the row inserted last.
func (r Result) LastInsertId() (int64, error) { return r.id, nil }

// RowsAffected is how many rows the statement inserted, updated or deleted.
func (r Result) RowsAffected() (int64, error) { return r.changes, nil }

// timeFormat is how instants are stored: in UTC, to the nanosecond, so that their order is that of the texts.
const timeFormat = "2006-01-02T15:04:05.000000000Z"

// bind sets a statement's parameters. Named arguments fit parameters with the prefixes ":", "@" and "$".
func bind(s *cached, args []driver.NamedValue) error {
	if named := len(args) > 0 && args[0].Name != ""; !named && len(args) != s.params {
		return fmt.Errorf("sqlite: the statement takes %d arguments, there are %d", s.params, len(args))
	}
	for _, arg := range args {
		if arg.Name == "" {
			if err := bindValue(s.Stmt, arg.Ordinal, arg.Value); err != nil {
				return err
			}
			continue
		}
		found := false
		for _, prefix := range []string{":", "@", "$"} {
			if i := s.BindIndex(prefix + arg.Name); i > 0 {
				found = true
				if err := bindValue(s.Stmt, i, arg.Value); err != nil {
					return err
				}
			}
		}
		if !found {
			return fmt.Errorf("sqlite: the statement has no parameter named %q", arg.Name)
		}
	}
	return nil
}

func bindValue(s *sqlite3.Stmt, i int, v driver.Value) error {
	switch v := v.(type) {
	case nil:
		return s.BindNull(i)
	case int64:
		return s.BindInt64(i, v)
	case float64:
		return s.BindFloat(i, v)
	case bool:
		return s.BindBool(i, v)
	case string:
		return s.BindText(i, v)
	case []byte:
		if v == nil {
			return s.BindNull(i)
		}
		if len(v) == 0 {
			return s.BindZeroBlob(i, 0)
		}
		return s.BindBlob(i, v)
	case time.Time:
		return s.BindText(i, v.UTC().Format(timeFormat))
	}
	return fmt.Errorf("sqlite: argument %d has the type %T, which cannot be stored", i, v)
}

// kind is what the declared type of a column asks for.
type kind byte

const (
	kindPlain kind = iota
	kindBool
	kindTime
)

func kindOf(declared string) kind {
	name, _, _ := strings.Cut(strings.ToUpper(declared), "(")
	switch strings.TrimSpace(name) {
	case "BOOL", "BOOLEAN":
		return kindBool
	case "DATE", "DATETIME", "TIMESTAMP", "TIME":
		return kindTime
	}
	return kindPlain
}

// Rows is the results of a query, read while its transaction lasts. It implements driver.Rows and
// driver.RowsNextResultSet: each further statement of the text that has results is a result set.
type Rows struct {
	tx   *Tx
	sp   *Savepoint
	ctx  context.Context
	done func() // called when there is nothing more to read; nil: nothing

	// Guarded by the lock of tx.
	s       *cached
	sql     string // the statement that s is
	tail    string // what follows it
	columns []string
	ready   bool // the first row is there already
	plain   bool // values are as SQLite has them, whatever their columns are declared as
	end     error
}

// Query runs the statements of sql up to the first that has results.
func (tx *Tx) Query(ctx context.Context, sp *Savepoint, sql string, args []driver.NamedValue) (*Rows, error) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	r := &Rows{tx: tx, sp: sp, ctx: ctx, tail: sql}
	if err := r.next(args); err != nil {
		return nil, err
	}
	if r.s == nil {
		r.end = io.EOF
		return r, nil
	}
	if tx.rows == nil {
		tx.rows = make(map[*Rows]struct{})
	}
	tx.rows[r] = struct{}{}
	return r, nil
}

// next runs the text up to the next statement that has results. The caller holds the lock.
func (r *Rows) next(args []driver.NamedValue) error {
	tx := r.tx
	r.columns = nil
	for strings.TrimSpace(r.tail) != "" {
		if err := tx.enter(r.sp); err != nil {
			return err
		}
		if done, tail, err := tx.handle(r.ctx, r.sp, r.tail); err != nil {
			return err
		} else if done {
			r.tail = tail
			continue
		}
		s, tail, err := tx.prepare(r.ctx, r.sp, r.tail)
		if err != nil {
			return err
		}
		if s == nil {
			r.tail = ""
			return nil
		}
		if tail != "" && len(args) > 0 {
			tx.c.release(s)
			return errSeveral
		}
		r.sql, r.tail = statementOf(r.tail, tail), tail
		if s.ColumnCount() == 0 {
			if _, err := tx.exec(r.ctx, s, r.sql, args); err != nil {
				return err
			}
			continue
		}
		if err := bind(s, args); err != nil {
			tx.c.release(s)
			return err
		}
		return r.start(s)
	}
	return nil
}

// start makes s the statement that is read, and brings its first row: a statement that writes does so now, whether its
// results are read or not; and what columns a kept statement has after the schema changed is known only now.
func (r *Rows) start(s *cached) error {
	r.s = s
	more, err := r.step()
	if err != nil {
		r.give()
		return err
	}
	if again := s.Status(sqlite3.STMTSTATUS_REPREPARE, false); s.kinds == nil || again != s.compiled {
		n := s.ColumnCount()
		s.compiled, s.names, s.kinds = again, make([]string, n), make([]kind, n)
		for i := range n {
			s.names[i], s.kinds[i] = s.ColumnName(i), kindOf(s.ColumnDeclType(i))
		}
	}
	r.columns, r.ready = s.names, more
	if !more {
		r.end = io.EOF
	}
	return nil
}

// step moves to the next row. The caller holds the lock.
func (r *Rows) step() (more bool, err error) {
	defer r.tx.c.during(r.ctx)()
	if more, err = stepStmt(r.s.Stmt); err != nil {
		return false, r.tx.failed(r.ctx, r.sql, err)
	}
	return more, nil
}

// give gives the statement back. The caller holds the lock.
func (r *Rows) give() {
	if r.s != nil {
		r.tx.c.release(r.s)
		r.s = nil
	}
}

// readable reports whether nothing has gone wrong so far.
func (r *Rows) readable() bool { return r.end == nil || errors.Is(r.end, io.EOF) }

// finish ends the reading. The caller holds the lock.
func (r *Rows) finish(err error) {
	r.give()
	r.tail = ""
	if r.readable() {
		r.end = err
	}
	delete(r.tx.rows, r)
}

// Columns are the names of the columns.
func (r *Rows) Columns() []string { return r.columns }

// ColumnTypeDatabaseTypeName is the declared type of a column, in capitals; empty for an expression.
func (r *Rows) ColumnTypeDatabaseTypeName(i int) string {
	r.tx.mu.Lock()
	defer r.tx.mu.Unlock()
	if r.s == nil {
		return ""
	}
	name, _, _ := strings.Cut(strings.ToUpper(r.s.ColumnDeclType(i)), "(")
	return strings.TrimSpace(name)
}

// Close ends the reading.
func (r *Rows) Close() error {
	r.tx.mu.Lock()
	r.finish(io.EOF)
	r.tx.mu.Unlock()
	if r.done != nil {
		r.done()
		r.done = nil
	}
	return nil
}

// Next reads a row into dest; io.EOF when there is none.
func (r *Rows) Next(dest []driver.Value) error {
	r.tx.mu.Lock()
	defer r.tx.mu.Unlock()
	if r.end != nil {
		return r.end
	}
	if !r.ready {
		more, err := r.step()
		if err != nil || !more {
			r.give() // a statement that ended keeps nothing, so that COMMIT is not in its way
			if r.end = err; err == nil {
				r.end = io.EOF
			}
			return r.end
		}
	}
	r.ready = false
	return r.read(dest)
}

// read copies the row: what SQLite shows of it lasts until the next step only.
func (r *Rows) read(dest []driver.Value) error {
	for i := range dest {
		switch r.s.ColumnType(i) {
		case sqlite3.INTEGER:
			n := r.s.ColumnInt64(i)
			if !r.plain && r.s.kinds[i] == kindBool && (n == 0 || n == 1) {
				dest[i] = n == 1
			} else {
				dest[i] = n
			}
		case sqlite3.FLOAT:
			dest[i] = r.s.ColumnFloat(i)
		case sqlite3.TEXT:
			text := r.s.ColumnText(i)
			dest[i] = text
			if !r.plain && r.s.kinds[i] == kindTime {
				if t, err := sqlite3.TimeFormatAuto.Decode(text); err == nil {
					dest[i] = t
				}
			}
		case sqlite3.BLOB:
			if b := bytes.Clone(r.s.ColumnRawBlob(i)); b != nil {
				dest[i] = b
			} else {
				dest[i] = []byte{}
			}
		default:
			dest[i] = nil
		}
	}
	return nil
}

// HasNextResultSet reports whether statements follow.
func (r *Rows) HasNextResultSet() bool {
	r.tx.mu.Lock()
	defer r.tx.mu.Unlock()
	return strings.TrimSpace(r.tail) != "" && (r.readable())
}

// NextResultSet runs what follows up to the next statement that has results; io.EOF when there is none.
func (r *Rows) NextResultSet() error {
	r.tx.mu.Lock()
	defer r.tx.mu.Unlock()
	if !r.readable() {
		return r.end
	}
	r.give()
	r.end, r.ready = nil, false
	if err := r.next(nil); err != nil {
		r.end = err
		return err
	}
	if r.s == nil && r.end == nil {
		r.end = io.EOF
		return io.EOF
	}
	return nil
}

// buffered is results that were read to their end while their turn lasted. It implements driver.Rows and
// driver.RowsNextResultSet.
type buffered struct {
	sets []resultSet
	row  int
}

type resultSet struct {
	columns []string
	types   []string
	rows    [][]driver.Value
}

// maxBuffered bounds what a query outside turns may return.
const maxBuffered = 64 << 20

var errResultTooLarge = fault.New("sqlite", "result_too_large", fmt.Sprintf("The results of a query outside a turn have more than %d MiB: read them in a turn, in a transaction (BeginTx), or with ReadDB.", maxBuffered>>20))

// drain reads r to its end.
func drain(r *Rows) (*buffered, error) {
	defer r.Close() // it has no error of its own
	out := &buffered{}
	size := 0
	for {
		set := resultSet{columns: r.Columns()}
		for i := range set.columns {
			set.types = append(set.types, r.ColumnTypeDatabaseTypeName(i))
		}
		for {
			row := make([]driver.Value, len(set.columns))
			err := r.Next(row)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, err
			}
			for _, v := range row {
				size += 16
				switch v := v.(type) {
				case string:
					size += len(v)
				case []byte:
					size += len(v)
				}
			}
			if size > maxBuffered {
				return nil, errResultTooLarge
			}
			set.rows = append(set.rows, row)
		}
		out.sets = append(out.sets, set)
		if !r.HasNextResultSet() {
			return out, nil
		}
		if err := r.NextResultSet(); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, err
		}
	}
}

func (b *buffered) Columns() []string { return b.sets[0].columns }

func (b *buffered) ColumnTypeDatabaseTypeName(i int) string { return b.sets[0].types[i] }

func (b *buffered) Close() error { return nil }

func (b *buffered) Next(dest []driver.Value) error {
	rows := b.sets[0].rows
	if b.row == len(rows) {
		return io.EOF
	}
	copy(dest, rows[b.row])
	b.row++
	return nil
}

func (b *buffered) HasNextResultSet() bool { return len(b.sets) > 1 }

func (b *buffered) NextResultSet() error {
	if len(b.sets) == 1 {
		return io.EOF
	}
	b.sets, b.row = b.sets[1:], 0
	return nil
}
