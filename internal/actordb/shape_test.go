package actordb

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// traced is a file that notes what SQLite does with it.
type traced struct {
	*file
	calls []string
}

func (f *traced) note(call string) {
	if call == "WriteAt" && len(f.calls) > 0 && f.calls[len(f.calls)-1] == "WriteAt…" {
		return
	}
	if call == "WriteAt" {
		call = "WriteAt…"
	}
	f.calls = append(f.calls, call)
}

func (f *traced) WriteAt(p []byte, off int64) (int, error) {
	f.note("WriteAt")
	return f.file.WriteAt(p, off)
}
func (f *traced) BeginAtomicWrite() error    { f.note("Begin"); return f.file.BeginAtomicWrite() }
func (f *traced) CommitAtomicWrite() error   { f.note("Commit"); return f.file.CommitAtomicWrite() }
func (f *traced) RollbackAtomicWrite() error { f.note("Rollback"); return f.file.RollbackAtomicWrite() }
func (f *traced) Sync(s vfs.SyncFlag) error  { f.note("Sync"); return f.file.Sync(s) }
func (f *traced) Truncate(n int64) error     { f.note("Truncate"); return f.file.Truncate(n) }
func (f *traced) Overwrite() error           { f.note("Overwrite"); return nil }
func (f *traced) CommitPhaseTwo() error      { f.note("PhaseTwo"); return nil }

// openTraced opens a connection to an empty database.
func openTraced(t *testing.T, limit int) (*traced, *conn) {
	t.Helper()
	f := &traced{file: &file{src: newRecords(), limit: limit}}
	c, err := open(f.file, f, memory(limit, 64<<10), 64<<10, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	c.inside = true // BEGIN and COMMIT are the test's
	f.calls = nil
	return f, c
}

// What SQLite asks of a file for each kind of transaction. Everything rests on it: writes come in one batch, and a rollback
// does not come at all. A new release of SQLite that does otherwise fails here.
func TestCommitShape(t *testing.T) {
	f, c := openTraced(t, 1<<16)
	const batch = "Begin WriteAt… Commit Sync PhaseTwo"
	for _, step := range []struct{ sql, want string }{
		{"CREATE TABLE t(id INTEGER PRIMARY KEY, v)", batch},
		{"BEGIN; INSERT INTO t(v) VALUES(1); INSERT INTO t(v) VALUES(2); COMMIT", batch},
		{"BEGIN; INSERT INTO t(v) VALUES(3); ROLLBACK", ""},
		{"BEGIN; SAVEPOINT s; INSERT INTO t(v) VALUES(4); ROLLBACK TO s; COMMIT", batch}, // the page as it was
		{"SELECT * FROM t", ""},
		{"INSERT INTO t(v) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) SELECT zeroblob(1000) FROM n", batch}, // 3 MB with a cache of 64 KiB
		{"BEGIN; UPDATE t SET v = randomblob(1000); ROLLBACK", ""},
		{"DELETE FROM t WHERE id > 5", batch},
		{"VACUUM", "Overwrite " + batch}, // and no Truncate: the file has its new size with the commit
		{"PRAGMA user_version = 7", batch},
	} {
		f.calls = nil
		if err := c.db.Exec(step.sql); err != nil {
			t.Fatalf("%s: %v", step.sql, err)
		}
		if got := strings.Join(f.calls, " "); got != step.want {
			t.Errorf("%s:\n got %s\nwant %s", step.sql, got, step.want)
		}
		f.src.(*records).apply(f.take())
	}
}

// A page that comes outside a batch is refused, and the transaction is undone.
func TestWriteOutsideABatchIsRefused(t *testing.T) {
	f, c := openTraced(t, 1<<16)
	if err := c.db.Exec("CREATE TABLE t(v)"); err != nil {
		t.Fatal(err)
	}
	if err := c.db.SetAuthorizer(nil); err != nil {
		t.Fatal(err)
	}
	if err := c.db.Exec("PRAGMA synchronous = OFF"); err != nil { // SQLite then writes without batches
		t.Fatal(err)
	}
	before := f.head
	if err := c.db.Exec("INSERT INTO t VALUES(1)"); !errors.Is(err, sqlite3.READONLY) {
		t.Errorf("%v", err)
	}
	if slices.Contains(f.calls, "Commit") && f.head != before {
		t.Error("something was committed")
	}
}

// A commit that is refused is undone and reported: SQLite does not write the pages again in another way.
func TestRefusedCommitIsUndone(t *testing.T) {
	f, c := openTraced(t, 20)
	if err := c.db.Exec("CREATE TABLE t(v)"); err != nil {
		t.Fatal(err)
	}
	head := f.head
	err := c.db.Exec("INSERT INTO t VALUES(zeroblob(200000))")
	if !errors.Is(err, sqlite3.FULL) {
		t.Errorf("%v", err)
	}
	if f.head != head || f.batch != nil {
		t.Errorf("%+v, %d pages in the batch", f.head, len(f.batch))
	}
	c.during(context.Background())()
	if err := c.db.Exec("INSERT INTO t VALUES(1)"); err != nil {
		t.Errorf("the next transaction: %v", err)
	}
	if f.head.TxID == 0 {
		t.Error("nothing was committed")
	}
}
