package engine_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
	"github.com/rivetgo/rivet/engine"
)

type warehouse struct{}

var (
	warehouses = rivet.NewActor[warehouse]("warehouse")
	store      = rivet.NewAction[int, rivet.None](warehouses, "store")
	stocktake  = rivet.NewAction[rivet.None, string](warehouses, "stocktake")
)

func warehouseDefinition(turnBytes int) actor.Definition {
	d := actor.Define(warehouses, actor.Zero[warehouse, struct{ Turns int }])
	d.Options.MaxDatabaseTurnBytes = turnBytes
	d.OnCreate = func(_ *struct{ Turns int }, c *actor.Ctx, _ warehouse) error {
		_, err := c.DB().ExecContext(c, `CREATE TABLE crate(id INTEGER PRIMARY KEY, content BLOB)`)
		return err
	}
	actor.Handle(d, store, func(s *struct{ Turns int }, c *actor.Ctx, mebibytes int) (rivet.None, error) {
		s.Turns++
		for range mebibytes {
			if _, err := c.DB().ExecContext(c, `INSERT INTO crate(content) VALUES(randomblob(1 << 20))`); err != nil {
				return rivet.None{}, err
			}
		}
		return rivet.None{}, nil
	})
	actor.View(d, stocktake, func(s *struct{ Turns int }, c *actor.Ctx, _ rivet.None) (string, error) {
		var crates, bytes int
		var sound string
		if err := c.DB().QueryRowContext(c, `SELECT count(*), coalesce(sum(length(content)), 0) FROM crate`).Scan(&crates, &bytes); err != nil {
			return "", err
		}
		err := c.DB().QueryRowContext(c, `PRAGMA integrity_check`).Scan(&sound)
		return fmt.Sprint(s.Turns, " turns, ", crates, " crates of ", bytes>>20, " MiB, ", sound), err
	})
	return d
}

// One turn may change as much of the database as Options.MaxDatabaseTurnBytes allows, and what is above it is refused and leaves
// nothing.
func TestG1_large_turns_of_the_database(t *testing.T) {
	mebibytes := 250
	if testing.Short() || raceEnabled {
		mebibytes = 30
	}
	dir := t.TempDir()
	start := func() *engine.Engine {
		t.Helper()
		e, err := engine.Start(t.Context(), engine.Config{Listen: "127.0.0.1:0", StoragePath: dir, LogLevel: "error"}, warehouseDefinition((mebibytes+6)<<20))
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	e := start()
	open := func() rivet.Handle[warehouse] {
		return warehouses.GetOrCreate(e.Client(), rivet.Key{"a"}, warehouse{})
	}
	want := func(text string) {
		t.Helper()
		if got, err := stocktake.Call(t.Context(), open(), rivet.None{}); err != nil || got != text {
			t.Errorf("%s, %v, want %s", got, err, text)
		}
	}
	ctx := context.Background()
	if _, err := store.Call(ctx, open(), mebibytes+20); !rivet.Is(err, "sqlite", "transaction_too_large") {
		t.Errorf("above the limit: %v", err)
	}
	want("0 turns, 0 crates of 0 MiB, ok")
	if _, err := store.Call(ctx, open(), mebibytes); err != nil {
		t.Fatal(err)
	}
	whole := fmt.Sprint("1 turns, ", mebibytes, " crates of ", mebibytes, " MiB, ok")
	want(whole)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = start()
	defer e.Close()
	want(whole)
}
