package actordb

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/rivetgo/rivet/internal/actordb/page"
	"github.com/rivetgo/rivet/internal/wire/fault"
)

func TestRoundTrip(t *testing.T) {
	db, s := newSQL(t)
	exec(t, db, `CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER, f REAL, s TEXT, b BLOB, at DATETIME, ok BOOLEAN)`)
	at := time.Date(2026, 3, 4, 5, 6, 7, 89, time.FixedZone("", 3600))
	blob := []byte{0, 1, 2, 0, 255}
	res := exec(t, db, `INSERT INTO t(n,f,s,b,at,ok) VALUES(?,?,?,?,?,?)`, int64(math.MinInt64), 1.5, "a\x00b", blob, at, true)
	if id, _ := res.LastInsertId(); id != 1 {
		t.Errorf("id %d", id)
	}
	if n, _ := res.RowsAffected(); n != 1 {
		t.Errorf("%d rows", n)
	}
	s.db.release(time.Now()) // the pages alone must do
	var n int64
	var f float64
	var text string
	var b []byte
	var when time.Time
	var ok bool
	if err := db.QueryRow(`SELECT n,f,s,b,at,ok FROM t`).Scan(&n, &f, &text, &b, &when, &ok); err != nil {
		t.Fatal(err)
	}
	if n != math.MinInt64 || f != 1.5 || text != "a\x00b" || !bytes.Equal(b, blob) || !when.Equal(at) || !ok {
		t.Error(n, f, text, b, when, ok)
	}
	if s.db.opens != 2 {
		t.Errorf("opened %d times", s.db.opens)
	}
	if got := one[string](t, db, `PRAGMA integrity_check`); got != "ok" {
		t.Error(got)
	}
}

func TestFTSAndJSON(t *testing.T) {
	db, s := newSQL(t)
	exec(t, db, `CREATE VIRTUAL TABLE d USING fts5(body)`)
	exec(t, db, `INSERT INTO d VALUES('the quick brown fox'),('lazy dog')`)
	s.db.release(time.Now())
	if got := one[string](t, db, `SELECT body FROM d WHERE d MATCH 'quick'`); got != "the quick brown fox" {
		t.Error(got)
	}
	if got := one[int](t, db, `SELECT json_extract('{"a":[1,2]}', '$.a[1]')`); got != 2 {
		t.Error(got)
	}
}

func TestVacuum(t *testing.T) {
	db, s := newSQL(t)
	exec(t, db, `CREATE TABLE t(v BLOB); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 500) INSERT INTO t SELECT randomblob(3000) FROM n`)
	before := len(s.src.m)
	exec(t, db, `DELETE FROM t WHERE rowid > 10`)
	exec(t, db, `VACUUM`)
	if after := len(s.src.m); after > before/10 {
		t.Errorf("%d records, %d before", after, before)
	}
	s.db.release(time.Now())
	if got := one[string](t, db, `PRAGMA integrity_check`); got != "ok" {
		t.Error(got)
	}
	if got := one[int](t, db, `SELECT count(*) FROM t`); got != 10 {
		t.Error(got)
	}
}

func TestRefused(t *testing.T) {
	db, _ := newSQL(t)
	exec(t, db, `CREATE TABLE t(v)`)
	for sql, want := range map[string]string{
		`ATTACH 'x' AS y`:                  "ATTACH",
		`VACUUM INTO 'x'`:                  "VACUUM INTO",
		`CREATE TABLE _rivet_x(v)`:         "reserved",
		`ALTER TABLE t RENAME TO _RIVET_t`: "reserved",
		`SELECT load_extension('x')`:       "load_extension",
		`PRAGMA journal_mode = WAL`:        "no journal",
		`PRAGMA synchronous = OFF`:         "durable",
		`PRAGMA foreign_keys = OFF`:        "defer_foreign_keys",
		`COMMIT`:                           "no transaction was begun",
		`INSERT INTO t VALUES(?)`:          "takes 1 arguments",
	} {
		_, err := db.Exec(sql)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", sql, err)
		}
	}
	exec(t, db, `INSERT INTO t VALUES(1)`)
}

func TestTooLarge(t *testing.T) {
	s := newTurns(t, newRecords(), Options{CacheBytes: 1 << 20, MaxTurnBytes: 1 << 20})
	db := OpenDB(s)
	defer db.Close()
	exec(t, db, `CREATE TABLE t(v)`)
	_, err := db.Exec(`INSERT INTO t VALUES(zeroblob(2<<20))`)
	var f *fault.Error
	if !errors.As(err, &f) || f.Code != "transaction_too_large" {
		t.Errorf("%v", err)
	}
	exec(t, db, `INSERT INTO t VALUES(zeroblob(1<<19))`)
	if got := one[int](t, db, `SELECT count(*) FROM t`); got != 1 {
		t.Error(got)
	}
}

func TestDamagedPageIsNamed(t *testing.T) {
	db, s := newSQL(t)
	exec(t, db, `CREATE TABLE t(v); INSERT INTO t VALUES(zeroblob(100000))`)
	for _, damage := range []func(){
		func() { delete(s.src.m, string(page.Key(5))) },
		func() { s.src.m[string(page.Key(5))] = s.src.m[string(page.Key(6))] },
	} {
		damage()
		s.db.release(time.Now())
		_, err := db.Exec(`UPDATE t SET v = v || 'x'`)
		var f *fault.Error
		if !errors.As(err, &f) || f.Code != "corrupt" || !strings.Contains(f.Message, "Page 5 ") {
			t.Errorf("%v", err)
		}
	}
}

func TestReader(t *testing.T) {
	db, s := newSQL(t)
	read := OpenReader(s.src, testOptions)
	defer read.Close()
	exec(t, db, `CREATE TABLE t(v)`)
	for i := range 5 {
		exec(t, db, `INSERT INTO t VALUES(?)`, i)
		if got := one[int](t, read, `SELECT count(*) FROM t`); got != i+1 {
			t.Errorf("%d rows, want %d", got, i+1)
		}
	}
	tx, err := read.Begin()
	if err != nil {
		t.Fatal(err)
	}
	one[int](t, tx, `SELECT count(*) FROM t`)
	exec(t, db, `DELETE FROM t`)
	if got := one[int](t, tx, `SELECT count(*) FROM t`); got != 5 {
		t.Errorf("the snapshot moved: %d", got)
	}
	if err := tx.Rollback(); err != nil {
		t.Error(err)
	}
	if got := one[int](t, read, `SELECT count(*) FROM t`); got != 0 {
		t.Errorf("%d", got)
	}
	if _, err := read.Exec(`INSERT INTO t VALUES(1)`); !errors.Is(err, ErrReadOnly) {
		t.Errorf("%v", err)
	}
}
