package actorfile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/ext/fts5"

	"github.com/rivetgo/rivet/internal/actordb/page"
	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// Format is the version of the file that this program writes, and the newest that it reads.
const Format = 1

// Options are what Export and Verify need to know besides the actor.
type Options struct {
	Namespace string // its name
	Program   string // the version of the program that writes
	Dir       string // for temporary files; empty: where the system keeps them
	Progress  func(Progress)
}

// Summary is what was copied.
type Summary struct {
	Pages   int   // of the database
	Records int   // besides them
	Bytes   int64 // of the file
}

// Export writes the actor as of a view to a file and hands that over to use, which reads it from its beginning.
func Export(ctx context.Context, row store.Actor, v store.View, o Options, use func(f io.Reader, s Summary) error) error {
	f, remove, err := temp(o.Dir)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	defer remove()
	s, err := write(ctx, row, v, o, f)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return use(f, s)
}

// write writes the whole file.
func write(ctx context.Context, row store.Actor, v store.View, o Options, f *os.File) (s Summary, err error) {
	head, err := openHead(ctx, v)
	if err != nil {
		return s, damaged(err)
	}
	if err := copyPages(ctx, v, head, f, o.Progress); err != nil {
		return s, damaged(err)
	}
	db, err := openFile(ctx, f.Name(), sqlite3.OPEN_READWRITE|sqlite3.OPEN_CREATE)
	if err != nil {
		return s, err
	}
	s, err = addTables(ctx, db, row, v, o, head)
	if closed := db.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return s, err
	}
	info, err := f.Stat()
	if err != nil {
		return s, err
	}
	s.Bytes = info.Size()
	return s, nil
}

// damaged is the error of a database that cannot be read, as callers see it.
func damaged(err error) error {
	var corrupt *page.CorruptError
	if errors.As(err, &corrupt) {
		return fault.New("sqlite", "corrupt", "The actor's database cannot be read: "+corrupt.Error()+". Restore the actor from an export.")
	}
	return err
}

// openFile opens a file that is nobody else's: it needs neither a journal nor an fsync.
func openFile(ctx context.Context, name string, flags sqlite3.OpenFlag) (*sqlite3.Conn, error) {
	db, err := sqlite3.OpenFlags(name, flags)
	if err != nil {
		return nil, err
	}
	if err := fts5.Register(db); err != nil {
		_ = db.Close() // the other error says more
		return nil, err
	}
	db.SetInterrupt(ctx)
	if err := db.Exec(`PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE; PRAGMA foreign_keys = OFF; PRAGMA trusted_schema = OFF; PRAGMA cache_size = -8192`); err != nil {
		_ = db.Close() // the other error says more
		return nil, err
	}
	return db, nil
}

// addTables adds the tables whose names begin with _rivet_.
func addTables(ctx context.Context, db *sqlite3.Conn, row store.Actor, v store.View, o Options, head page.Head) (s Summary, err error) {
	if err := db.Exec("BEGIN;" + schema); err != nil {
		return s, err
	}
	t, err := newTables(db)
	if err != nil {
		return s, err
	}
	defer t.close()
	sum := newChecksum()
	err = eachRecord(ctx, v, func(r record.Record) error {
		s.Records++
		sum.add(r)
		return t.add(r)
	})
	if err != nil {
		return s, err
	}
	s.Pages = int(head.Pages)
	meta := [][2]string{
		{"format", strconv.Itoa(Format)},
		{"actor_id", row.ID.String()},
		{"namespace", o.Namespace},
		{"name", row.Name},
		{"key", row.Key},
		{"has_key", strconv.FormatBool(row.HasKey)},
		{"generation", strconv.FormatUint(row.Generation, 10)},
		{"created_at", instant(row.CreatedAt.UnixMilli())},
		{"alarm_at", instant(alarmOf(row))},
		{"exported_at", instant(time.Now().UnixMilli())},
		{"program", o.Program},
		{"database_pages", strconv.Itoa(s.Pages)},
		{"database_commits", strconv.FormatUint(head.TxID, 10)},
		{"records", strconv.Itoa(s.Records)},
		{"checksum", sum.String()},
	}
	for _, m := range meta {
		if err := t.insert("_rivet_meta", m[0], m[1]); err != nil {
			return s, err
		}
	}
	return s, db.Exec("COMMIT")
}

func alarmOf(row store.Actor) int64 {
	if row.Alarm.IsZero() {
		return 0
	}
	return row.Alarm.UnixMilli()
}

// eachRecord calls fn for every record of a view, in order of keys, except those that hold the database's pages.
func eachRecord(ctx context.Context, v store.View, fn func(record.Record) error) error {
	spans := []record.Span{
		{From: []byte{1}, To: record.Key(record.KindDatabase)},
		{From: record.Key(record.KindPage + 1)},
	}
	for _, span := range spans {
		for {
			recs, err := v.Range(ctx, span, false, 256)
			if err != nil {
				return fmt.Errorf("read the actor's records: %w", err)
			}
			for _, r := range recs {
				if err := fn(r); err != nil {
					return err
				}
			}
			if len(recs) < 256 {
				break
			}
			span.From = append(append([]byte(nil), recs[len(recs)-1].Key...), 0)
		}
	}
	return nil
}

// checksum is taken over records in order of their keys.
type checksum struct{ h hash.Hash }

func newChecksum() checksum { return checksum{sha256.New()} }

func (c checksum) add(r record.Record) {
	fmt.Fprintf(c.h, "%d,%d;", len(r.Key), len(r.Value))
	c.h.Write(r.Key)
	c.h.Write(r.Value)
}

func (c checksum) String() string { return hex.EncodeToString(c.h.Sum(nil)) }

// instant is a time as the file shows it; empty for none.
func instant(ms int64) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
}
