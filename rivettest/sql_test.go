package rivettest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
	"github.com/rivetgo/rivet/rivettest"
)

// notes keeps rows in its database and their number in its state: the two must always agree.
type notes struct{ N int }

type notebook struct{}

var (
	notebooks = rivet.NewActor[notebook]("notebook")
	do        = rivet.NewAction[string, string](notebooks, "do")
	aside     = rivet.NewAction[string, string](notebooks, "aside")
	look      = rivet.NewAction[string, string](notebooks, "look")
)

type (
	turnCase  func(s *notes, c *actor.Ctx) (string, error)
	asideCase func(c *actor.Ctx, self actor.Self[notes]) (string, error)
)

// notebookDefinition binds actions that run one of the given cases by name.
func notebookDefinition(turns map[string]turnCase, asides map[string]asideCase, o actor.Options) *actor.Spec[notebook, notes] {
	d := actor.Define(notebooks, actor.Zero[notebook, notes])
	d.Options = o
	d.OnCreate = func(_ *notes, c *actor.Ctx, _ notebook) error {
		_, err := c.DB().ExecContext(c, `CREATE TABLE note(id INTEGER PRIMARY KEY, body TEXT NOT NULL UNIQUE)`)
		return err
	}
	run := func(s *notes, c *actor.Ctx, name string) (string, error) { return turns[name](s, c) }
	actor.Handle(d, do, run)
	actor.View(d, look, run)
	actor.HandleConcurrent(d, aside, func(c *actor.Ctx, self actor.Self[notes], name string) (string, error) {
		return asides[name](c, self)
	})
	return d
}

func insertNote(s *notes, c *actor.Ctx, body string) error {
	s.N++
	_, err := c.DB().ExecContext(c, `INSERT INTO note(body) VALUES(?)`, body)
	return err
}

// agree says how many notes there are, and fails where the state counts others.
func agree(s *notes, c *actor.Ctx) (string, error) {
	var n int
	if err := c.DB().QueryRow(`SELECT count(*) FROM note`).Scan(&n); err != nil {
		return "", err
	}
	if n != s.N {
		return "", &rivet.Error{Group: "test", Code: "disagree", Message: fmt.Sprintf("%d rows, the state counts %d", n, s.N)}
	}
	return fmt.Sprint(n), nil
}

func openNotebook(t *testing.T, app *rivettest.App) rivet.Handle[notebook] {
	return notebooks.GetOrCreate(app.Client(), rivet.Key{"a"}, notebook{})
}

func wantResult(t *testing.T, a rivet.Action[notebook, string, string], h rivet.Handle[notebook], name, result string) {
	t.Helper()
	got, err := a.Call(t.Context(), h, name)
	if err != nil || got != result {
		t.Errorf("%s: %q, %v, want %q", name, got, err, result)
	}
}

func wantCode(t *testing.T, a rivet.Action[notebook, string, string], h rivet.Handle[notebook], name, group, code string) {
	t.Helper()
	if got, err := a.Call(t.Context(), h, name); !rivet.Is(err, group, code) {
		t.Errorf("%s: %q, %v, want %s.%s", name, got, err, group, code)
	}
}

var errFails = error(&rivet.Error{Group: "test", Code: "failed", Message: "it fails as asked"})

// A turn that fails undoes what it changed in the database with what it changed in the state, and nothing else.
func TestG1_SQLAndStateAgree(t *testing.T) {
	app := rivettest.Start(t, notebookDefinition(map[string]turnCase{
		"add": func(s *notes, c *actor.Ctx) (string, error) { return "", insertNote(s, c, c.Key()[0]+fmt.Sprint(s.N)) },
		"fail": func(s *notes, c *actor.Ctx) (string, error) {
			return "", errors.Join(insertNote(s, c, "lost"), errFails)
		},
		"panic": func(s *notes, c *actor.Ctx) (string, error) { _ = insertNote(s, c, "lost"); panic("as asked") },
		"twice": func(s *notes, c *actor.Ctx) (string, error) {
			return "", errors.Join(insertNote(s, c, "x"), insertNote(s, c, "x"))
		},
		"check": agree,
		"tx": func(s *notes, c *actor.Ctx) (string, error) {
			tx, err := c.DB().Begin()
			if err != nil {
				return "", err
			}
			if _, err := tx.Exec(`INSERT INTO note(body) VALUES('undone')`); err != nil {
				return "", err
			}
			if err := tx.Rollback(); err != nil {
				return "", err
			}
			return "", insertNote(s, c, "kept")
		},
		"open": func(s *notes, c *actor.Ctx) (string, error) {
			s.N++
			tx, err := c.DB().Begin()
			if err != nil {
				return "", err
			}
			_, err = tx.Exec(`INSERT INTO note(body) VALUES('open')`)
			return "", err
		},
		"beside": func(s *notes, c *actor.Ctx) (string, error) {
			tx, err := c.DB().Begin()
			if err != nil {
				return "", err
			}
			defer tx.Rollback()
			return "", insertNote(s, c, "beside")
		},
		"rows": func(s *notes, c *actor.Ctx) (string, error) {
			rows, err := c.DB().Query(`SELECT id FROM note ORDER BY id`)
			if err != nil {
				return "", err
			}
			defer rows.Close()
			for rows.Next() {
				var id int
				if err := rows.Scan(&id); err != nil {
					return "", err
				}
				if _, err := c.DB().Exec(`UPDATE note SET body = body || '!' WHERE id = ?`, id); err != nil {
					return "", err
				}
			}
			return "", rows.Err()
		},
		"write": func(s *notes, c *actor.Ctx) (string, error) { return "", insertNote(s, c, "view") },
	}, nil, actor.Options{}))
	h := openNotebook(t, app)
	wantResult(t, do, h, "add", "")
	wantResult(t, do, h, "add", "")
	wantCode(t, do, h, "fail", "test", "failed")
	if _, err := do.Call(t.Context(), h, "panic"); err == nil {
		t.Error("the panic was not reported")
	}
	wantCode(t, do, h, "twice", "rivetkit", "internal_error")
	wantResult(t, do, h, "check", "2")
	wantResult(t, do, h, "tx", "")
	wantCode(t, do, h, "open", "sqlite", "transaction_left_open")
	wantCode(t, do, h, "beside", "sqlite", "transaction_open")
	wantResult(t, do, h, "rows", "")
	wantResult(t, do, h, "check", "3")
	wantResult(t, look, h, "check", "3")
	wantCode(t, look, h, "write", "sqlite", "read_only")
	app.Crash()
	wantResult(t, do, h, "check", "3")
	app.Faults().FailCommits(1, nil)
	wantCode(t, do, h, "add", "actor", "commit_failed")
	wantResult(t, do, h, "check", "3")
}

// Outside turns each statement and each transaction is a turn of its own.
func TestStatementsOutsideTurns(t *testing.T) {
	insert := func(c context.Context, db interface {
		ExecContext(context.Context, string, ...any) (sql.Result, error)
	}, body string) error {
		_, err := db.ExecContext(c, `INSERT INTO note(body) VALUES(?)`, body)
		return err
	}
	count := func(c *actor.Ctx) (string, error) {
		var n int
		err := c.DB().QueryRow(`SELECT count(*) FROM note`).Scan(&n)
		return fmt.Sprint(n), err
	}
	app := rivettest.Start(t, notebookDefinition(map[string]turnCase{
		"count": func(_ *notes, c *actor.Ctx) (string, error) { return count(c) },
	}, map[string]asideCase{
		"count": func(c *actor.Ctx, _ actor.Self[notes]) (string, error) { return count(c) },
		"one":   func(c *actor.Ctx, _ actor.Self[notes]) (string, error) { return "", insert(c, c.DB(), "one") },
		"same": func(c *actor.Ctx, _ actor.Self[notes]) (string, error) {
			err := insert(c, c.DB(), "one")
			var e *actor.SQLError
			if !errors.As(err, &e) || e.Extended != 2067 {
				return "", fmt.Errorf("got %v", err)
			}
			return e.Message, nil
		},
		"tx": func(c *actor.Ctx, _ actor.Self[notes]) (string, error) {
			tx, err := c.DB().BeginTx(c, nil)
			if err != nil {
				return "", err
			}
			defer tx.Rollback()
			if err := errors.Join(insert(c, tx, "two"), insert(c, tx, "three")); err != nil {
				return "", err
			}
			return "", tx.Commit()
		},
		"undone": func(c *actor.Ctx, _ actor.Self[notes]) (string, error) {
			tx, err := c.DB().BeginTx(c, nil)
			if err != nil {
				return "", err
			}
			return "", errors.Join(insert(c, tx, "four"), tx.Rollback())
		},
		"open": func(c *actor.Ctx, _ actor.Self[notes]) (string, error) {
			tx, err := c.DB().BeginTx(c, nil)
			if err != nil {
				return "", err
			}
			return "", insert(c, tx, "five")
		},
		"deadlock": func(c *actor.Ctx, _ actor.Self[notes]) (string, error) {
			tx, err := c.DB().BeginTx(c, nil)
			if err != nil {
				return "", err
			}
			defer tx.Rollback()
			return "", insert(c, c.DB(), "six")
		},
		"inside": func(c *actor.Ctx, self actor.Self[notes]) (string, error) {
			var failed error
			err := self.Do(func(*notes) { failed = insert(context.Background(), c.DB(), "seven") })
			return "", errors.Join(err, failed)
		},
		"joined": func(c *actor.Ctx, self actor.Self[notes]) (string, error) {
			db := c.DB()
			return "", self.Turn(func(_ *notes, c *actor.Ctx) error { return insert(c, db, "eight") })
		},
		"late": func(c *actor.Ctx, self actor.Self[notes]) (string, error) {
			tx, err := c.DB().BeginTx(c, nil)
			if err != nil {
				return "", err
			}
			defer tx.Rollback()
			for err == nil {
				_, err = tx.ExecContext(c, `SELECT 1`)
			}
			return "", err
		},
		"read": func(c *actor.Ctx, self actor.Self[notes]) (string, error) {
			var n int
			err := self.Turn(func(_ *notes, c *actor.Ctx) error {
				return errors.Join(insert(c, c.DB(), "nine"), c.ReadDB().QueryRowContext(c, `SELECT count(*) FROM note WHERE body = 'nine'`).Scan(&n))
			})
			if err != nil || n != 0 {
				return "", fmt.Errorf("%d rows of the turn under way, %w", n, err)
			}
			err = c.ReadDB().QueryRow(`SELECT count(*) FROM note WHERE body = 'nine'`).Scan(&n)
			return fmt.Sprint(n), err
		},
	}, actor.Options{TransactionTimeout: 100 * time.Millisecond}))
	h := openNotebook(t, app)
	wantResult(t, aside, h, "one", "")
	if msg, err := aside.Call(t.Context(), h, "same"); err != nil || !strings.Contains(msg, "UNIQUE") {
		t.Errorf("%q, %v", msg, err)
	}
	wantResult(t, aside, h, "count", "1")
	wantResult(t, aside, h, "tx", "")
	wantResult(t, aside, h, "count", "3")
	wantResult(t, aside, h, "undone", "")
	wantCode(t, aside, h, "open", "sqlite", "transaction_left_open")
	wantCode(t, aside, h, "deadlock", "actor", "self_deadlock")
	wantCode(t, aside, h, "inside", "actor", "self_deadlock")
	wantResult(t, aside, h, "count", "3")
	wantResult(t, aside, h, "joined", "")
	wantResult(t, do, h, "count", "4")
	wantCode(t, aside, h, "late", "sqlite", "transaction_expired")
	wantResult(t, aside, h, "read", "1")
	app.Crash()
	wantResult(t, aside, h, "count", "5")
}

// A statement that would run for ever ends with its action's time.
func TestRunawayStatement(t *testing.T) {
	app := rivettest.Start(t, notebookDefinition(map[string]turnCase{
		"for ever": func(s *notes, c *actor.Ctx) (string, error) {
			var n int
			err := c.DB().QueryRow(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT max(i) FROM n`).Scan(&n)
			return "", err
		},
		"check": agree,
	}, nil, actor.Options{ActionTimeout: 200 * time.Millisecond}))
	h := openNotebook(t, app)
	wantCode(t, do, h, "for ever", "actor", "action_timed_out")
	wantResult(t, do, h, "check", "0")
}

// A disk that is full in the middle of a large transaction takes neither the rows nor the state, and nothing of it is seen.
func TestG10_a_full_disk_in_a_large_transaction(t *testing.T) {
	d := notebookDefinition(map[string]turnCase{
		"one": func(s *notes, c *actor.Ctx) (string, error) { return "", insertNote(s, c, fmt.Sprint("note ", s.N)) },
		"many": func(s *notes, c *actor.Ctx) (string, error) {
			_, err := c.DB().ExecContext(c, `WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 4000) INSERT INTO note(body) SELECT hex(randomblob(1000)) FROM n`)
			s.N += 4000
			return "", err
		},
		"agree": agree,
		"sound": func(_ *notes, c *actor.Ctx) (out string, err error) {
			err = c.DB().QueryRowContext(c, `PRAGMA integrity_check`).Scan(&out)
			return out, err
		},
	}, nil, actor.Options{})
	app := rivettest.Start(t, d)
	h := openNotebook(t, app)
	for range 3 {
		wantResult(t, do, h, "one", "")
	}
	app.Faults().FailCommits(1, syscall.ENOSPC)
	if _, err := do.Call(t.Context(), h, "many"); !rivet.Is(err, "actor", "commit_failed") {
		t.Errorf("%v", err)
	}
	app.Faults().Clear()
	eventually := func(name, want string) {
		t.Helper()
		var got string
		var err error
		for range 100 { // the storage may take a moment to be itself again
			if got, err = do.Call(t.Context(), h, name); err == nil {
				break
			}
			app.Advance(time.Second)
		}
		if err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
	eventually("agree", "3")
	eventually("sound", "ok")
	eventually("many", "")
	eventually("agree", "4003")
	eventually("sound", "ok")
}

// A statement that needs more memory than a connection may use fails with an error, and the actor goes on.
func TestAStatementThatNeedsTooMuchMemory(t *testing.T) {
	d := notebookDefinition(map[string]turnCase{
		"one": func(s *notes, c *actor.Ctx) (string, error) { return "", insertNote(s, c, fmt.Sprint("note ", s.N)) },
		"huge": func(s *notes, c *actor.Ctx) (string, error) {
			if err := insertNote(s, c, "beside it"); err != nil {
				return "", err
			}
			var n int
			err := c.DB().QueryRowContext(c, `SELECT length(CAST(zeroblob(300000000) || 'x' AS BLOB))`).Scan(&n)
			return fmt.Sprint(n), err
		},
		"agree": agree,
	}, nil, actor.Options{MaxDatabaseTurnBytes: 8 << 20})
	app := rivettest.Start(t, d)
	h := openNotebook(t, app)
	wantResult(t, do, h, "one", "")
	for range 3 {
		if got, err := do.Call(t.Context(), h, "huge"); !rivet.Is(err, "sqlite", "transaction_too_large") {
			t.Errorf("%q, %v", got, err)
		}
		wantResult(t, do, h, "one", "")
	}
	wantResult(t, do, h, "agree", "4")
}
