package main

import (
	"fmt"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
	"github.com/rivetgo/rivet/interop/ledger"
)

// entries is the state of a ledger: how many rows its table has.
type entries struct{ N int64 }

func ledgerDefinition() actor.Definition {
	d := actor.Define(ledger.Ledgers, actor.Zero[ledger.Ledger, entries])
	d.OnMigrate = func(c *actor.Ctx, _ bool) error {
		_, err := c.DB().ExecContext(c, `CREATE TABLE IF NOT EXISTS entry(id TEXT PRIMARY KEY, n INTEGER NOT NULL, pad BLOB NOT NULL)`)
		return err
	}
	actor.Handle(d, ledger.Add, func(s *entries, c *actor.Ctx, id string) (int64, error) {
		s.N++
		_, err := c.DB().ExecContext(c, `INSERT INTO entry(id, n, pad) VALUES(?, ?, randomblob(abs(random()) % 6000))`, id, s.N)
		if err != nil {
			return 0, &rivet.Error{Group: "ledger", Code: "twice", Message: err.Error()}
		}
		return s.N, c.KV().Put("last", []byte(id))
	})
	actor.Handle(d, ledger.Fill, func(s *entries, c *actor.Ctx, a rivet.Args2[string, int64]) (int64, error) {
		s.N++
		if _, err := c.DB().ExecContext(c, `INSERT INTO entry(id, n, pad) VALUES(?, ?, randomblob(?))`, a.A, s.N, a.B); err != nil {
			return 0, err
		}
		return s.N, c.KV().Put("last", []byte(a.A))
	})
	actor.View(d, ledger.Held, func(_ *entries, c *actor.Ctx, _ rivet.None) (n int64, err error) {
		err = c.DB().QueryRowContext(c, `SELECT coalesce(sum(length(pad)), 0) FROM entry`).Scan(&n)
		return n, err
	})
	actor.View(d, ledger.All, func(s *entries, c *actor.Ctx, _ rivet.None) ([]string, error) {
		var sound string
		if err := c.DB().QueryRowContext(c, `PRAGMA integrity_check`).Scan(&sound); err != nil || sound != "ok" {
			return nil, &rivet.Error{Group: "ledger", Code: "unsound", Message: fmt.Sprint(sound, err)}
		}
		rows, err := c.DB().QueryContext(c, `SELECT id, n FROM entry ORDER BY n`)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		all := []string{}
		for rows.Next() {
			var id string
			var n int64
			if err := rows.Scan(&id, &n); err != nil {
				return nil, err
			}
			all = append(all, id)
			if n != int64(len(all)) {
				return nil, &rivet.Error{Group: "ledger", Code: "gap", Message: fmt.Sprintf("row %d has number %d", len(all), n)}
			}
		}
		if err := rows.Err(); err != nil {
			return nil, err
		}
		if s.N != int64(len(all)) {
			return nil, &rivet.Error{Group: "ledger", Code: "disagree", Message: fmt.Sprintf("%d rows, the state counts %d", len(all), s.N)}
		}
		if last, _, err := c.KV().Get(c, "last"); len(all) > 0 && (err != nil || string(last) != all[len(all)-1]) {
			return nil, &rivet.Error{Group: "ledger", Code: "disagree", Message: fmt.Sprintf("the last row is %s, the key says %s, %v", all[len(all)-1], last, err)}
		}
		return all, nil
	})
	return d
}
