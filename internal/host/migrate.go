package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rivetgo/rivet/internal/actordb"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// Migration is one numbered change of the schema of an actor's database.
type Migration struct {
	Number int64
	Name   string // of its file
	SQL    string
	Sum    [32]byte // of SQL
}

var migrationsKey = record.Key(record.KindMigrations)

// migrates reports whether a start has to do with migrations at all.
func (a *Actor) migrates() bool { return len(a.spec.Migrations) > 0 || a.spec.OnMigrate != nil }

// applied reads which migrations the database has seen.
func (a *Actor) applied(ctx context.Context) ([]record.Migration, error) {
	payload, ok, err := a.read(ctx, migrationsKey)
	if err != nil || !ok {
		return nil, err
	}
	return record.DecodeMigrations(payload)
}

// pending compares what the database has seen with what the definition has, both in order of their numbers.
func pending(applied []record.Migration, defined []Migration) ([]Migration, error) {
	for _, m := range applied {
		i, ok := slices.BinarySearchFunc(defined, m.Number, func(d Migration, n int64) int { return cmp.Compare(d.Number, n) })
		switch {
		case !ok:
			return nil, fault.New("sqlite", "migration_unknown", fmt.Sprintf("Migration %s ran on this actor's database, and this program does not have it: run the newer program that wrote it, or bring the file back.", m.Name))
		case defined[i].Sum != m.Sum:
			return nil, fault.New("sqlite", "migration_changed", fmt.Sprintf("Migration %s was changed after it ran on this actor's database: bring its old text back, and put the change into a new migration.", defined[i].Name))
		}
	}
	last := int64(0)
	if len(applied) > 0 {
		last = applied[len(applied)-1].Number
	}
	var out []Migration
	for _, m := range defined {
		ran := slices.ContainsFunc(applied, func(r record.Migration) bool { return r.Number == m.Number })
		switch {
		case ran:
		case m.Number < last:
			return nil, fault.New("sqlite", "migration_order", fmt.Sprintf("Migration %s is new, and its number is below %d, which ran on this actor's database already: give it a higher one.", m.Name, last))
		default:
			out = append(out, m)
		}
	}
	return out, nil
}

// migrate runs the migrations that the database has not seen, then OnMigrate, within the turn of c.
func (a *Actor) migrate(c *Call, isNew bool) error {
	if len(a.spec.Migrations) > 0 {
		applied, err := a.applied(c)
		if err != nil {
			return err
		}
		todo, err := pending(applied, a.spec.Migrations)
		if err != nil {
			return err
		}
		for _, m := range todo {
			if err := c.runMigration(m); err != nil {
				return err
			}
			applied = append(applied, record.Migration{Number: m.Number, Name: m.Name, Sum: m.Sum, At: time.Now().UnixMilli()})
		}
		if len(todo) > 0 {
			err := c.change(func(t *turn) error {
				t.stage.put(migrationsKey, record.Seal(record.EncodeMigrations(applied)))
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	if a.spec.OnMigrate != nil {
		return a.spec.OnMigrate(c, isNew)
	}
	return nil
}

func (c *Call) runMigration(m Migration) error {
	err := c.statement(c, c.inTurn(), func(ctx context.Context, tx *actordb.Tx, _ *actordb.Savepoint, _ bool) error {
		_, err := tx.Exec(ctx, nil, m.SQL, nil)
		return err
	})
	if err == nil {
		return nil
	}
	why, at := err.Error(), ""
	var e *actordb.Error
	if errors.As(err, &e) {
		why, at = e.Message, fmt.Sprintf(" at its statement %d, line %d", e.Statement, e.Line)
	}
	f := fault.New("sqlite", "migration_failed", fmt.Sprintf("Migration %s failed%s: %s. The actor stays as it was.", m.Name, at, why))
	f.Cause = err // it shows the statement
	return f
}

// migrateAwake is migrate for an actor that lived before. It takes a turn only if there is something to do.
func (a *Actor) migrateAwake(ctx context.Context) error {
	if !a.migrates() {
		return nil
	}
	if a.spec.OnMigrate == nil {
		applied, err := a.applied(ctx)
		if err != nil {
			return err
		}
		if todo, err := pending(applied, a.spec.Migrations); err != nil || len(todo) == 0 {
			return err
		}
	}
	return a.timedTurn(ctx, &Call{actor: a}, "OnMigrate", a.spec.Options.MigrateTimeout, func(c *Call) error {
		c.turn.strict = true // a half of it is worse than none
		return a.migrate(c, false)
	})
}
