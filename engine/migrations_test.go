package engine

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

type ledger struct{}

type ledgerState struct{ Starts int }

var (
	ledgers = rivet.NewActor[ledger]("ledger")
	schema  = rivet.NewAction[rivet.None, []string](ledgers, "schema")
	enter   = rivet.NewAction[string, rivet.None](ledgers, "enter")
)

// ledgerDefinition is a program's version: its migrations by file name.
func ledgerDefinition(onMigrate func(c *actor.Ctx, isNew bool) error, files map[string]string) actor.Definition {
	d := actor.Define(ledgers, actor.Zero[ledger, ledgerState])
	d.OnMigrate = onMigrate
	m := fstest.MapFS{}
	for name, text := range files {
		m["migrations/"+name] = &fstest.MapFile{Data: []byte(text)}
	}
	if len(files) > 0 {
		d.Migrations = m
	}
	actor.Handle(d, schema, func(_ *ledgerState, c *actor.Ctx, _ rivet.None) (out []string, err error) {
		rows, err := c.DB().QueryContext(c, `SELECT m.name || '.' || c.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c ORDER BY 1`)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		for rows.Next() {
			var s string
			if err := rows.Scan(&s); err != nil {
				return nil, err
			}
			out = append(out, s)
		}
		return out, rows.Err()
	})
	actor.Handle(d, enter, func(_ *ledgerState, c *actor.Ctx, text string) (rivet.None, error) {
		_, err := c.DB().ExecContext(c, `INSERT INTO entry(body) VALUES(?)`, text)
		return rivet.None{}, err
	})
	return d
}

const (
	firstSQL   = "CREATE TABLE entry(id INTEGER PRIMARY KEY, body TEXT);\n"
	secondSQL  = "-- two columns\nALTER TABLE entry ADD COLUMN at TEXT;\nALTER TABLE entry ADD COLUMN by TEXT;\n"
	failingSQL = "CREATE TABLE page(n);\n\nUPDATE entry SET body = NULL;\nCREATE UNIQUE INDEX one ON entry(at);\nALTER TABLE missing ADD COLUMN x;\n"
)

// A program's versions follow each other on one directory. Each start runs what its actor has not seen, whole or not at all.
func TestG1_MigrationsOverVersions(t *testing.T) {
	dir := t.TempDir()
	var seen []bool
	onMigrate := func(c *actor.Ctx, isNew bool) error {
		seen = append(seen, isNew)
		_, err := c.DB().ExecContext(c, `SELECT count(*) FROM entry`) // what the numbered migrations made is there
		return err
	}
	with := func(files map[string]string, use func(h rivet.Handle[ledger])) {
		t.Helper()
		e, err := Start(t.Context(), Config{Listen: "127.0.0.1:0", StoragePath: dir, LogLevel: "error"}, ledgerDefinition(onMigrate, files))
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		}()
		use(ledgers.GetOrCreate(e.Client(), rivet.Key{"a"}, ledger{}))
	}
	columns := func(h rivet.Handle[ledger], want ...string) {
		t.Helper()
		got, err := schema.Call(t.Context(), h, rivet.None{})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%v, %v, want %v", got, err, want)
		}
	}
	refused := func(h rivet.Handle[ledger], code string, words ...string) {
		t.Helper()
		_, err := schema.Call(t.Context(), h, rivet.None{})
		if !rivet.Is(err, "sqlite", code) {
			t.Errorf("%v, want sqlite.%s", err, code)
			return
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%v does not say %q", err, w)
			}
		}
	}
	file := filepath.Join(t.TempDir(), "a.sqlite")

	with(map[string]string{"0001_broken.sql": firstSQL + "CREATE TABEL x(y);"}, func(h rivet.Handle[ledger]) {
		refused(h, "migration_failed", "0001_broken.sql", "statement 2", "line 2")
	})
	with(map[string]string{"0001_init.sql": firstSQL}, func(h rivet.Handle[ledger]) {
		columns(h, "entry.body", "entry.id")
		if _, err := enter.Call(t.Context(), h, "one"); err != nil {
			t.Error(err)
		}
		f, err := os.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Export(t.Context(), f, nil); err != nil {
			t.Error(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	with(map[string]string{"0001_init.sql": firstSQL, "0002_more.sql": secondSQL}, func(h rivet.Handle[ledger]) {
		columns(h, "entry.at", "entry.body", "entry.by", "entry.id")
	})
	with(map[string]string{"0001_init.sql": firstSQL, "0002_more.sql": secondSQL, "0003_bad.sql": failingSQL}, func(h rivet.Handle[ledger]) {
		refused(h, "migration_failed", "0003_bad.sql", "statement 4", "line 5", "no such table")
	})
	with(map[string]string{"0001_init.sql": firstSQL, "0002_more.sql": secondSQL + " "}, func(h rivet.Handle[ledger]) {
		refused(h, "migration_changed", "0002_more.sql")
	})
	with(map[string]string{"0001_init.sql": firstSQL}, func(h rivet.Handle[ledger]) { refused(h, "migration_unknown", "0002_more.sql") })
	with(map[string]string{"0001_init.sql": firstSQL, "0002_more.sql": secondSQL, "0003_ok.sql": "CREATE TABLE page(n)", "0009_far.sql": "SELECT 1"}, func(h rivet.Handle[ledger]) {
		columns(h, "entry.at", "entry.body", "entry.by", "entry.id", "page.n")
	})
	with(map[string]string{"0001_init.sql": firstSQL, "0002_more.sql": secondSQL, "0003_ok.sql": "CREATE TABLE page(n)", "0005_late.sql": "SELECT 1", "0009_far.sql": "SELECT 1"},
		func(h rivet.Handle[ledger]) { refused(h, "migration_order", "0005_late.sql", "9") })
	if want := []bool{true, false, false}; !slices.Equal(seen, want) {
		t.Errorf("OnMigrate was told %v, want %v", seen, want)
	}

	// What a start would do can be tried on a file.
	try := func(files map[string]string) ([]string, error) {
		return TryMigrations(t.Context(), file, ledgerDefinition(func(*actor.Ctx, bool) error { return nil }, files))
	}
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if ran, err := try(map[string]string{"0001_init.sql": firstSQL, "0002_more.sql": secondSQL}); err != nil || !slices.Equal(ran, []string{"0002_more.sql"}) {
		t.Errorf("%v, %v", ran, err)
	}
	if _, err := try(map[string]string{"0001_init.sql": firstSQL, "0003_bad.sql": failingSQL}); err == nil || !strings.Contains(err.Error(), "0003_bad.sql failed at its statement 3, line 4") {
		t.Errorf("%v", err)
	}
	if after, err := os.ReadFile(file); err != nil || string(after) != string(before) {
		t.Errorf("the file was changed (%v)", err)
	}
}

// A migration that fails undoes what the constructor and OnCreate would have done, and the other way round.
func TestG1_MigrationsAreOneTurnWithTheFirstStart(t *testing.T) {
	fails := true
	d := actor.Define(ledgers, func(*actor.Ctx, ledger) (*ledgerState, error) {
		if fails {
			return nil, &rivet.Error{Group: "test", Code: "failed"}
		}
		return &ledgerState{}, nil
	})
	d.Migrations = fstest.MapFS{"1_init.sql": {Data: []byte(firstSQL)}}
	actor.Handle(d, schema, func(_ *ledgerState, c *actor.Ctx, _ rivet.None) ([]string, error) {
		var n string
		err := c.DB().QueryRow(`SELECT count(*) FROM entry`).Scan(&n)
		return []string{n}, err
	})
	actor.Handle(d, enter, func(*ledgerState, *actor.Ctx, string) (rivet.None, error) { return rivet.None{}, nil })
	dir := t.TempDir()
	for _, fails = range []bool{true, false} {
		e, err := Start(context.Background(), Config{Listen: "127.0.0.1:0", StoragePath: dir, LogLevel: "error"}, d)
		if err != nil {
			t.Fatal(err)
		}
		got, err := schema.Call(t.Context(), ledgers.GetOrCreate(e.Client(), rivet.Key{"a"}, ledger{}), rivet.None{})
		if fails && !rivet.Is(err, "test", "failed") || !fails && (err != nil || !slices.Equal(got, []string{"0"})) {
			t.Errorf("fails %v: %v, %v", fails, got, err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Mistakes in the names of migrations are found when the program starts.
func TestMigrationMistakes(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"is named":    {"init.sql": firstSQL},
		"same number": {"1_a.sql": firstSQL, "01_b.sql": firstSQL},
		"no number":   {"0_a.sql": firstSQL},
	} {
		_, err := Start(t.Context(), Config{Listen: "127.0.0.1:0", StoragePath: t.TempDir()}, ledgerDefinition(nil, files))
		if err == nil || !strings.Contains(err.Error(), "Spec.Migrations") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
