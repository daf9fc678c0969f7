package host

import (
	"context"
	"database/sql"
	"sync"

	"github.com/rivetgo/rivet/internal/actordb"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// View is an actor's records as they were at one commit.
type View = interface {
	Get(ctx context.Context, key []byte) ([]byte, error)
	Range(ctx context.Context, s record.Span, reverse bool, limit int) ([]record.Record, error)
	Close() error
}

// database is an actor's SQLite database, once it was asked for.
//
// A turn's first statement begins its transaction (turn.sql); settle commits it as the last step before the turn's batch
// leaves, which then carries the pages; rollback undoes it. Outside turns see dbscope.go.
type database struct {
	mu     sync.Mutex // guards all below
	db     *actordb.DB
	inTurn *sql.DB // what Call.DB returns in turns
	read   *sql.DB // what Call.ReadDB returns
	closed bool
}

// database returns the actor's database; it opens nothing.
func (a *Actor) database() *actordb.DB {
	a.sql.mu.Lock()
	defer a.sql.mu.Unlock()
	if a.sql.db == nil {
		a.sql.db = actordb.New(a.records, a.env.Databases, a.databaseOptions())
		if a.sql.closed {
			a.sql.db.Close()
		}
	}
	return a.sql.db
}

func (a *Actor) databaseOptions() actordb.Options {
	o := &a.spec.Options
	return actordb.Options{CacheBytes: o.DatabaseCacheBytes, MaxTurnBytes: o.MaxDatabaseTurnBytes}
}

// closeDatabase ends the database with the actor's life. A turn that never ends keeps the connection until it does.
func (a *Actor) closeDatabase() {
	a.sql.mu.Lock()
	defer a.sql.mu.Unlock()
	a.sql.closed = true
	if a.sql.db != nil {
		a.sql.db.Close()
	}
	for _, db := range []*sql.DB{a.sql.inTurn, a.sql.read} {
		if db != nil {
			_ = db.Close() // its connections are ours and fail only with an error that was returned before
		}
	}
}

// DB is the actor's database. In a turn its statements are a part of the turn; outside, each statement and each transaction
// is a turn of its own. In a turn it is the same *sql.DB each time, which may be kept for later turns.
func (c *Call) DB() *sql.DB {
	if c.turn == nil {
		return c.outsideDB()
	}
	a := c.actor
	a.sql.mu.Lock()
	defer a.sql.mu.Unlock()
	if a.sql.inTurn == nil {
		a.sql.inTurn = actordb.OpenDB(turnScope{a})
		if a.sql.closed {
			_ = a.sql.inTurn.Close() // nothing is open in it
		}
	}
	return a.sql.inTurn
}

// ReadDB is the actor's database as of its last commit, for reading only. It waits for nobody.
func (c *Call) ReadDB() *sql.DB {
	a := c.actor
	a.sql.mu.Lock()
	defer a.sql.mu.Unlock()
	if a.sql.read == nil {
		a.sql.read = actordb.OpenReader(a.records, a.databaseOptions())
		if a.sql.closed {
			_ = a.sql.read.Close()
		}
	}
	return a.sql.read
}

// beginSQL returns the turn's transaction, which begins with its first use.
func (t *turn) beginSQL(ctx context.Context, a *Actor) (*actordb.Tx, error) {
	t.sqlMu.Lock()
	defer t.sqlMu.Unlock()
	if t.sql != nil {
		return t.sql, nil // should it be over, it says so itself
	}
	if t.sqlOver {
		return nil, errTurnOver
	}
	tx, err := a.database().Begin(ctx)
	if err != nil {
		return nil, err
	}
	if t.view {
		tx.ReadOnly()
	}
	t.sql = tx
	return tx, nil
}

// commitSQL ends the turn's transaction and adds what it changed to the turn's batch.
func (t *turn) commitSQL(b *record.Batch) error {
	t.sqlMu.Lock()
	defer t.sqlMu.Unlock()
	if t.sql != nil {
		changes, err := t.sql.Commit()
		if err != nil {
			t.sqlFailed = err
			return err
		}
		b.DeleteSpans = append(b.DeleteSpans, changes.Deletes...)
		b.Puts = append(b.Puts, changes.Puts...)
	}
	t.sqlOver = true
	return nil
}

// rollbackSQL undoes what the turn changed in the database.
func (t *turn) rollbackSQL() {
	t.sqlMu.Lock()
	defer t.sqlMu.Unlock()
	t.sqlOver = true
	if t.sql != nil {
		t.sql.Rollback()
	}
}

var errNoTurn = fault.New("sqlite", "outside_turn", "This *sql.DB comes from a turn, and no turn is under way: pass the Ctx at hand to the statement, or take its DB.")
