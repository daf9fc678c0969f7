package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/rivetgo/rivet/actor"
)

// The worker's database notes the same effects as its store does, in the same turns: one way or the other, so that turns
// with and without a transaction of their own, growing and shrinking databases and VACUUM are all hit by kills.
const tables = `
CREATE TABLE noted(id TEXT PRIMARY KEY, times INTEGER NOT NULL, padding BLOB) WITHOUT ROWID;
CREATE TABLE latest(id TEXT NOT NULL);
INSERT INTO latest VALUES('');
CREATE TABLE taken(id TEXT PRIMARY KEY);`

// noteSQL notes the effect of id in the database, within the turn.
func noteSQL(c *actor.Ctx, n int, id string) error {
	if n%3 == 0 { // in a transaction, after one that is undone
		undone, err := c.DB().BeginTx(c, nil)
		if err != nil {
			return err
		}
		if _, err := undone.ExecContext(c, `DELETE FROM noted; UPDATE latest SET id = 'undone'`); err != nil {
			return err
		}
		if err := undone.Rollback(); err != nil {
			return err
		}
		tx, err := c.DB().BeginTx(c, nil)
		if err != nil {
			return err
		}
		if err := insertNoted(c, tx, n, id); err != nil {
			return err
		}
		return tx.Commit()
	}
	return insertNoted(c, c.DB(), n, id)
}

func insertNoted(c *actor.Ctx, db interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}, n int, id string) error {
	if _, err := db.ExecContext(c, `INSERT INTO noted VALUES(?, 1, randomblob(?)) ON CONFLICT(id) DO UPDATE SET times = times + 1`, id, 50*(n%60)); err != nil {
		return err
	}
	_, err := db.ExecContext(c, `UPDATE latest SET id = ?`, id)
	return err
}

// tidy makes the database smaller from time to time: one turn of its own, outside all others.
func tidy(c *actor.Ctx, n int) error {
	if n%20 != 0 {
		return nil
	}
	if _, err := c.DB().ExecContext(c, `UPDATE noted SET padding = NULL`); err != nil {
		return err
	}
	_, err := c.DB().ExecContext(c, `VACUUM`)
	return err
}

// take notes that the run loop took a message, as a turn of its own.
func take(c *actor.Ctx, id string) error {
	_, err := c.DB().ExecContext(c, `INSERT OR IGNORE INTO taken VALUES(?)`, id)
	return err
}

// checkSQL says how the database and the store disagree, and what is wrong with the database itself; empty: nothing.
func checkSQL(c *actor.Ctx, last string, noted map[string]int64) (wrong string, err error) {
	var found string
	if err := c.DB().QueryRowContext(c, `PRAGMA integrity_check`).Scan(&found); err != nil || found != "ok" {
		return found, err
	}
	if err := c.DB().QueryRowContext(c, `SELECT id FROM latest`).Scan(&found); err != nil {
		return "", err
	}
	if found != last {
		return fmt.Sprintf("the database has %q as the last effect, the store %q", found, last), nil
	}
	rows, err := c.DB().QueryContext(c, `SELECT id, times FROM noted`)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		var id string
		var times int64
		if err := rows.Scan(&id, &times); err != nil {
			return "", err
		}
		if noted[id] != times {
			return fmt.Sprintf("the database has %s %d times, the store %d", id, times, noted[id]), nil
		}
	}
	if n != len(noted) {
		return fmt.Sprintf("the database has %d effects, the store %d", n, len(noted)), nil
	}
	return "", rows.Err()
}

var errTaken = errors.New("what the run loop took is not in its database")

// checkTaken makes sure that a turn of the run loop finds what its statement before committed.
func checkTaken(c *actor.Ctx, id string) error {
	var n int
	if err := c.DB().QueryRowContext(c, `SELECT count(*) FROM taken WHERE id = ?`, id).Scan(&n); err != nil {
		return err
	}
	if n != 1 {
		return errTaken
	}
	return nil
}
