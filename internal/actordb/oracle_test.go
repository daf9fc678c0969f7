package actordb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"
	"github.com/ncruces/go-sqlite3/ext/fts5"

	"github.com/rivetgo/rivet/internal/wire/fault"
)

// oracle runs the same random statements on an actor's database, over a store that fails, and on stock SQLite, and demands
// the same results.
//
// A turn is a transaction of the oracle's. When the store refuses a turn's commit, or the process "crashes" in the middle of
// one, the actor's database is opened anew on what the store holds, and the oracle rolls back. When a commit survives its
// own failure, the oracle commits.
type oracle struct {
	t      *testing.T
	seed   uint64
	rnd    *rand.Rand
	src    *records
	turns  *turns
	bound  int // of a turn, in bytes
	ours   *sql.DB
	stock  *sql.DB
	conn   *sql.Conn // of stock: one connection, so that BEGIN and the rest mean the same
	gen    generator
	ran    int
	faults map[string]int
	stale  bool     // what the generator remembers of tables may be wrong
	log    []string // the statements of the turn
}

// Environment variables: a seed repeats a run that failed.
const (
	oracleSeed       = "RIVET_ORACLE_SEED"
	oracleStatements = "RIVET_ORACLE_STATEMENTS"
)

func newOracle(t *testing.T, seed uint64) *oracle {
	o := &oracle{t: t, seed: seed, rnd: rand.New(rand.NewPCG(seed, 1)), src: newRecords(), faults: map[string]int{}}
	o.gen = generator{rnd: o.rnd, tables: map[string][]string{}}
	o.bound = pick(&o.gen, 64<<20, 48<<10) // the smaller one some turns reach
	o.reopen()
	var err error
	if o.stock, err = driver.Open(":memory:", fts5.Register); err != nil {
		t.Fatal(err)
	}
	o.stock.SetMaxOpenConns(1)
	if o.conn, err = o.stock.Conn(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.conn.Close(); o.stock.Close(); o.end() })
	return o
}

// reopen begins the actor's next life on what the store holds.
func (o *oracle) reopen() {
	o.end()
	o.turns = &turns{t: o.t, src: o.src, db: New(o.src, NewPool(1<<30, time.Hour), Options{CacheBytes: 64 << 10, MaxTurnBytes: o.bound}), slot: make(chan struct{}, 1)}
	o.ours = OpenDB(o.turns)
}

func (o *oracle) end() {
	if o.turns == nil {
		return
	}
	if tx := o.turns.open; tx != nil {
		tx.Rollback()
	}
	o.turns.db.Close()
	o.ours.Close()
}

func (o *oracle) fatal(format string, args ...any) {
	o.t.Helper()
	o.t.Fatalf("seed %d, statement %d: %s\nthe turn:\n%s", o.seed, o.ran, fmt.Sprintf(format, args...), strings.Join(o.log, ";\n"))
}

// must runs a statement of the oracle's own on stock SQLite.
func (o *oracle) must(sql string) {
	o.t.Helper()
	if _, err := o.conn.ExecContext(o.t.Context(), sql); err != nil {
		o.fatal("stock: %s: %v", sql, err)
	}
}

// turn runs some statements and ends as it may.
func (o *oracle) turn() {
	o.log = nil
	if o.rnd.IntN(40) == 0 {
		o.vacuum()
		return
	}
	if o.rnd.IntN(8) == 0 {
		o.turns.db.release(time.Now().Add(time.Hour)) // as the pool may at any time between turns
	}
	if o.stale {
		o.learn()
		o.stale = false
	}
	schema := o.gen.clone()
	o.begin()
	for range 1 + o.rnd.IntN(30) {
		if !o.statement(o.gen.next()) { // only ours has a bound
			o.turns.open.Rollback()
			o.turns.open = nil
			o.must("ROLLBACK")
			o.gen.tables = schema
			o.faults["no memory"]++
			return
		}
	}
	switch o.rnd.IntN(12) {
	case 0: // the handler fails
		o.turns.open.Rollback()
		o.turns.open = nil
		o.must("ROLLBACK")
		o.gen.tables = schema
		o.faults["failed"]++
		return
	case 1: // the process dies in the middle
		o.reopen()
		o.must("ROLLBACK")
		o.gen.tables = schema
		o.faults["died"]++
		return
	}
	changes, err := o.turns.open.Commit()
	if err != nil {
		o.turns.open.Rollback()
		o.turns.open = nil
		what := "refused"
		if tooMuch(err) { // only ours has a bound
			what = "too large"
		} else if _, stock := o.conn.ExecContext(o.t.Context(), "COMMIT"); codeOf(stock) != codeOf(err) {
			// A constraint that is checked in the end, which stock SQLite must refuse too.
			o.fatal("COMMIT: %v; stock: %v", err, stock)
		}
		o.must("ROLLBACK")
		o.gen.tables = schema
		o.faults[what]++
		return
	}
	o.turns.open = nil
	switch o.rnd.IntN(15) {
	case 0: // the store refuses the commit: the actor ends
		o.reopen()
		o.must("ROLLBACK")
		o.gen.tables = schema
		o.faults["not committed"]++
		return
	case 1: // the commit survives its own failure
		o.src.apply(changes)
		o.reopen()
		o.faults["uncertain"]++
	default:
		o.src.apply(changes)
	}
	o.must("COMMIT")
}

func (o *oracle) begin() {
	tx, err := o.turns.db.Begin(o.t.Context())
	if err != nil {
		o.fatal("Begin: %v", err)
	}
	o.turns.open = tx
	o.must("BEGIN")
}

// vacuum is a turn of its own. It may number rows anew.
func (o *oracle) vacuum() {
	o.log = []string{"VACUUM"}
	if _, err := o.ours.Exec("VACUUM"); tooMuch(err) {
		o.faults["too large"]++
		return
	} else if err != nil {
		o.fatal("VACUUM: %v", err)
	}
	o.must("VACUUM")
	o.faults["vacuum"]++
}

// tooMuch reports whether a statement needed more memory than a connection of ours may use.
func tooMuch(err error) bool {
	f, ok := fault.From(err)
	return ok && f.Code == "transaction_too_large"
}

// statement runs one statement on both. It reports false when it needed too much memory.
func (o *oracle) statement(s statement) bool {
	o.ran++
	o.log = append(o.log, s.String())
	ctx := o.t.Context()
	mine, myErr := results(ctx, o.ours, s)
	if tooMuch(myErr) {
		o.t.Logf("seed %d, statement %d needs too much memory: %s\nthe turn:\n%s", o.seed, o.ran, s.String(), strings.Join(o.log, ";\n"))
		return false
	}
	theirs, theirErr := results(ctx, o.conn, s)
	if codeOf(myErr) != codeOf(theirErr) {
		o.fatal("%v; stock: %v", myErr, theirErr)
	}
	if !reflect.DeepEqual(mine, theirs) {
		o.fatal("the results differ:\n%v\nstock:\n%v", mine, theirs)
	}
	if strings.HasPrefix(s.sql, "ROLLBACK") {
		o.stale = true
	}
	if myErr == nil && s.done != nil {
		s.done()
	}
	return true
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// results is every row of a statement.
func results(ctx context.Context, db querier, s statement) (out [][]any, err error) {
	rows, err := db.QueryContext(ctx, s.sql, s.args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		row, to := make([]any, len(columns)), make([]any, len(columns))
		for i := range row {
			to[i] = &row[i]
		}
		if err := rows.Scan(to...); err != nil {
			return nil, err
		}
		out = append(out, row)
	}
	return out, rows.Err()
}

// codeOf is SQLite's primary code of an error; 0 for none.
func codeOf(err error) int {
	var mine *Error
	var code sqlite3.ErrorCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &mine):
		return mine.Code
	case errors.As(err, &code):
		return int(code)
	}
	return -1
}

// compare reads both databases to their end.
func (o *oracle) compare() {
	if got := one[string](o.t, o.ours, "PRAGMA integrity_check"); got != "ok" {
		o.fatal("integrity_check: %s", got)
	}
	o.learn()
	for _, name := range slices.Sorted(maps.Keys(o.gen.tables)) {
		s := statement{sql: "SELECT rowid, * FROM " + name + " ORDER BY rowid"}
		mine, err := results(o.t.Context(), o.ours, s)
		if err != nil {
			o.fatal("%s: %v", s.sql, err)
		}
		theirs, err := results(o.t.Context(), o.conn, s)
		if err != nil {
			o.fatal("stock: %s: %v", s.sql, err)
		}
		if !reflect.DeepEqual(mine, theirs) {
			o.fatal("table %s differs: %d rows; stock: %d", name, len(mine), len(theirs))
		}
	}
}

// learn asks which tables there are: savepoints may have undone what the generator remembers. Both sides must have the same.
func (o *oracle) learn() {
	s := statement{sql: `SELECT m.name, group_concat(c.name, ' ') FROM sqlite_schema m JOIN pragma_table_info(m.name) c
		WHERE m.type = 'table' AND m.name NOT GLOB 'words_*' GROUP BY 1 ORDER BY 1`}
	mine, err := results(o.t.Context(), o.ours, s)
	if err != nil {
		o.fatal("%s: %v", s.sql, err)
	}
	theirs, err := results(o.t.Context(), o.conn, s)
	if err != nil {
		o.fatal("stock: %s: %v", s.sql, err)
	}
	if !reflect.DeepEqual(mine, theirs) {
		o.fatal("the schemas differ: %v; stock: %v", mine, theirs)
	}
	clear(o.gen.tables)
	for _, row := range theirs {
		o.gen.tables[row[0].(string)] = strings.Fields(row[1].(string))
	}
}

// Random SQL over a store that fails gives what stock SQLite gives, and a sound database.
func TestG1_OracleOfStockSQLite(t *testing.T) {
	statements := 10_000
	if raceEnabled {
		statements = 4_000 // SQLite is twenty times slower then
	}
	if n := os.Getenv(oracleStatements); n != "" {
		var err error
		if statements, err = strconv.Atoi(n); err != nil {
			t.Fatal(err)
		}
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv(oracleSeed); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed %d", seed) // here too, lest a panic keep it
	total, faults := 0, map[string]int{}
	for i := uint64(0); total < statements; i++ {
		o := newOracle(t, seed+i)
		for o.ran < 5_000 && total+o.ran < statements {
			before := o.ran / 1000
			o.turn()
			if o.ran/1000 != before {
				o.compare()
			}
		}
		o.compare()
		total += o.ran
		for what, n := range o.faults {
			faults[what] += n
		}
	}
	t.Logf("oracle: %d statements, seed %d, %v", total, seed, faults)
}
