package main

import (
	"context"
	"database/sql"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// SQL is the brand of an actor with one table.
type SQL struct{ Nothing }

var (
	SQLs          = rivet.NewActor[SQL]("sql")
	SQLInsert     = rivet.NewAction[*string, int64](SQLs, "insert")
	SQLSelect     = rivet.NewAction[*int64, string](SQLs, "select")
	SQLInsertLoop = rivet.NewAction[int64, int64](SQLs, "insertLoop")
	SQLSelectLoop = rivet.NewAction[int64, int64](SQLs, "selectLoop")
	SQLScan       = rivet.NewAction[rivet.None, int64](SQLs, "scan")
	SQLFill       = rivet.NewAction[int64, int64](SQLs, "fill")
	SQLEcho       = rivet.NewAction[rivet.Raw, rivet.Raw](SQLs, "echo")
)

type sqlState struct{}

const sqlRow = "a row of some forty bytes, as they come in"

func (*sqlState) insert(c *actor.Ctx, v *string) (int64, error) {
	text := sqlRow
	if v != nil {
		text = *v
	}
	res, err := c.DB().ExecContext(c, `INSERT INTO t(v) VALUES(?)`, text)
	if err != nil {
		return 0, err
	}
	return res.LastInsertId()
}

func (*sqlState) pick(c *actor.Ctx, id *int64) (v string, err error) {
	n := int64(1)
	if id != nil {
		n = *id
	}
	err = c.DB().QueryRow(`SELECT v FROM t WHERE id = ?`, n).Scan(&v)
	return v, err
}

func (*sqlState) insertLoop(c *actor.Ctx, n int64) (int64, error) {
	return n, insertRows(c, c.DB(), n)
}

// insertRows is what both sides of the comparison do.
func insertRows(ctx context.Context, db *sql.DB, n int64) error {
	s, err := db.PrepareContext(ctx, `INSERT INTO t(v) VALUES(?)`)
	if err != nil {
		return err
	}
	defer s.Close()
	for range n {
		if _, err := s.ExecContext(ctx, sqlRow); err != nil {
			return err
		}
	}
	return nil
}

func (*sqlState) selectLoop(c *actor.Ctx, n int64) (sum int64, err error) {
	s, err := c.DB().PrepareContext(c, `SELECT v FROM t WHERE id = ?`)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	for i := range n {
		var v string
		if err := s.QueryRowContext(c, i+1).Scan(&v); err != nil {
			return 0, err
		}
		sum += int64(len(v))
	}
	return sum, nil
}

// fill makes a table of n rows.
func (*sqlState) fill(c *actor.Ctx, n int64) (int64, error) {
	_, err := c.DB().ExecContext(c, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO t SELECT i, printf('%0100d', i) FROM n`, n)
	return n, err
}

func (*sqlState) scan(c *actor.Ctx, _ rivet.None) (n int64, err error) {
	rows, err := c.DB().QueryContext(c, `SELECT id, v FROM t`)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var v string
		if err := rows.Scan(&id, &v); err != nil {
			return 0, err
		}
		n++
	}
	return n, rows.Err()
}

func (*sqlState) echo(_ *actor.Ctx, x rivet.Raw) (rivet.Raw, error) { return x, nil }

func sqlDefinition() actor.Definition {
	d := actor.Define(SQLs, actor.Zero[SQL, sqlState])
	d.Options.SleepAfter = awake
	d.OnMigrate = func(c *actor.Ctx, isNew bool) error {
		if !isNew {
			return nil
		}
		_, err := c.DB().ExecContext(c, `CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT NOT NULL)`)
		return err
	}
	actor.Handle(d, SQLInsert, (*sqlState).insert)
	actor.View(d, SQLSelect, (*sqlState).pick)
	actor.Handle(d, SQLInsertLoop, (*sqlState).insertLoop)
	actor.View(d, SQLSelectLoop, (*sqlState).selectLoop)
	actor.View(d, SQLScan, (*sqlState).scan)
	actor.Handle(d, SQLFill, (*sqlState).fill)
	actor.View(d, SQLEcho, (*sqlState).echo)
	return d
}
