package actordb

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
)

// Table is everything that a statement answered.
type Table struct {
	Columns []string
	Rows    [][]any // of int64, float64, string, []byte and nil, as SQLite has them
	Changes int64   // rows that it changed
	LastID  *int64  // the rowid that was inserted last, if it changed anything and there is one
}

// ErrTableTooLarge is the error of results above the bound.
var ErrTableTooLarge = errors.New("sqlite: the results are longer than may be read at once")

// All runs a statement and reads all of its results, which take up to so many bytes when each value has ten more than its own,
// each row five and each column's name five. Above, it is ErrTableTooLarge.
func (tx *Tx) All(ctx context.Context, sp *Savepoint, sql string, args []driver.NamedValue, bytes int) (Table, error) {
	before, _, _ := tx.counters()
	r, err := tx.Query(ctx, sp, sql, args)
	if err != nil {
		return Table{}, err
	}
	defer r.Close()
	r.plain = true
	t := Table{Columns: r.Columns()}
	for _, name := range t.Columns {
		bytes -= len(name) + 5
	}
	row := make([]driver.Value, len(t.Columns))
	for {
		if err := r.Next(row); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return Table{}, err
		}
		values := make([]any, len(row))
		for i, v := range row {
			values[i] = v
			switch v := v.(type) {
			case string:
				bytes -= len(v)
			case []byte:
				bytes -= len(v)
			}
			bytes -= 10
		}
		bytes -= 5
		if bytes < 0 {
			return Table{}, ErrTableTooLarge
		}
		t.Rows = append(t.Rows, values)
	}
	if after, changes, last := tx.counters(); after != before {
		t.Changes = changes
		if last != 0 {
			t.LastID = &last
		}
	}
	return t, nil
}

// counters are what SQLite counts of changes: of all statements, of the last one, and the rowid that was inserted last.
func (tx *Tx) counters() (all, changes, last int64) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.ended {
		return 0, 0, 0
	}
	db := tx.c.db
	return db.TotalChanges(), db.Changes(), db.LastInsertRowID()
}
