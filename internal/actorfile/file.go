package actorfile

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// Meta is what a file says of the actor in it.
type Meta struct {
	Format    int    // 0: the file is no export
	ActorID   string // of the actor that was exported
	Namespace string
	Name      string
	Key       string // canonical text
	HasKey    bool
	Alarm     time.Time // when it wanted to be awake; zero for never
	Exported  time.Time
	Records   int
}

func fileError(code, format string, args ...any) *fault.Error {
	f := fault.New("actor_file", code, fmt.Sprintf(format, args...))
	f.HTTPStatus = http.StatusBadRequest
	return f
}

// checkFile makes sure that a file is a whole SQLite database, before SQLite is asked.
func checkFile(f *os.File) error {
	var head [100]byte
	n, err := io.ReadFull(io.NewSectionReader(f, 0, 100), head[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if n < 16 || string(head[:16]) != "SQLite format 3\x00" {
		return fileError("not_sqlite", "The file is not a SQLite database: import what `rivet actor export` wrote.")
	}
	if n < len(head) {
		return fileError("truncated", "The file was cut short after %d bytes: copy it again.", n)
	}
	size := int64(binary.BigEndian.Uint16(head[16:]))
	if size == 1 {
		size = 65536
	}
	if size < 512 || size&(size-1) != 0 {
		return fileError("damaged", "The file says that its pages have %d bytes.", size)
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	want := int64(binary.BigEndian.Uint32(head[28:])) * size
	counted := string(head[24:28]) == string(head[92:96]) // else an old SQLite wrote it, which did not count
	if info.Size()%size != 0 || counted && want > info.Size() {
		return fileError("truncated", "The file was cut short: it has %d bytes of %d. Copy it again.", info.Size(), max(want, info.Size()))
	}
	return nil
}

// checkDatabase runs SQLite's own checks and lists what they find.
func checkDatabase(db *sqlite3.Conn) (problems []string, err error) {
	for _, check := range []string{"integrity_check(20)", "foreign_key_check"} {
		s, _, err := db.Prepare("PRAGMA " + check)
		if err != nil {
			return nil, fileError("damaged", "SQLite cannot read the file: %v", err)
		}
		for s.Step() {
			if check == "foreign_key_check" {
				problems = append(problems, fmt.Sprintf("row %d of table %s refers to a row of %s that is not there", s.ColumnInt64(1), s.ColumnText(0), s.ColumnText(2)))
			} else if text := s.ColumnText(0); text != "ok" {
				problems = append(problems, text)
			}
		}
		if err := s.Close(); err != nil {
			return nil, fileError("damaged", "SQLite cannot read the file: %v", err)
		}
	}
	return problems, nil
}

// readMeta reads what a file says of its actor. Format 0: it is no export.
func readMeta(db *sqlite3.Conn) (m Meta, sum string, err error) {
	var tables int
	err = query(db, `SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('_rivet_meta', '_rivet_records')`, func(s *sqlite3.Stmt) error {
		tables = s.ColumnInt(0)
		return nil
	})
	if err != nil || tables == 0 {
		return Meta{}, "", err
	}
	values := make(map[string]string)
	err = query(db, `SELECT key, value FROM _rivet_meta`, func(s *sqlite3.Stmt) error {
		values[s.ColumnText(0)] = s.ColumnText(1)
		return nil
	})
	if err != nil {
		return Meta{}, "", fileError("damaged", "The file does not say what it holds: %v", err)
	}
	number := func(key string) int {
		n, e := strconv.Atoi(values[key])
		if e != nil {
			err = fileError("damaged", "_rivet_meta has %q as %s.", values[key], key)
		}
		return n
	}
	at := func(key string) time.Time {
		if values[key] == "" {
			return time.Time{}
		}
		t, e := time.Parse(time.RFC3339, values[key])
		if e != nil {
			err = fileError("damaged", "_rivet_meta has %q as %s.", values[key], key)
		}
		return t
	}
	m = Meta{
		Format: number("format"), ActorID: values["actor_id"], Namespace: values["namespace"], Name: values["name"], Key: values["key"],
		HasKey: values["has_key"] == "true", Alarm: at("alarm_at"), Exported: at("exported_at"), Records: number("records"),
	}
	if err == nil && m.Format > Format {
		return m, "", fileError("newer", "The file has format %d, this program knows %d: use the newer program that wrote it (%s).", m.Format, Format, values["program"])
	}
	if err == nil && m.Format < 1 {
		err = fileError("damaged", "_rivet_meta has %q as format.", values["format"])
	}
	return m, values["checksum"], err
}

// readRecords calls fn for each record of a file, in order, and checks that none is missing or changed.
func readRecords(db *sqlite3.Conn, m Meta, want string, fn func(record.Record) error) error {
	sum, n := newChecksum(), 0
	err := query(db, `SELECT key, value FROM _rivet_records ORDER BY key`, func(s *sqlite3.Stmt) error {
		r := record.Record{Key: s.ColumnBlob(0, nil), Value: s.ColumnBlob(1, nil)}
		sum.add(r)
		n++
		if len(r.Key) == 0 || r.Key[0] == 0 || len(r.Value) == 0 {
			return fileError("damaged", "_rivet_records has a row with the key %x and %d bytes.", r.Key, len(r.Value))
		}
		return fn(r)
	})
	if err != nil {
		return err
	}
	if n != m.Records || sum.String() != want {
		return fileError("damaged", "The records in _rivet_records are not those that were exported: their checksum does not fit. Use the file as it was written.")
	}
	return nil
}

// query calls fn for each row.
func query(db *sqlite3.Conn, sql string, fn func(*sqlite3.Stmt) error) error {
	s, _, err := db.Prepare(sql)
	if err != nil {
		return err
	}
	for s.Step() {
		if err := fn(s); err != nil {
			_ = s.Close() // the other error says more
			return err
		}
	}
	return s.Close()
}

// names lists the objects of a file that a condition selects.
func names(db *sqlite3.Conn, where string) (out []string, err error) {
	err = query(db, `SELECT name FROM sqlite_schema WHERE `+where, func(s *sqlite3.Stmt) error {
		out = append(out, s.ColumnText(0))
		return nil
	})
	return out, err
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// Verify reports on a file.
func Verify(ctx context.Context, name string) (*Report, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := checkFile(f); err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	db, err := openFile(ctx, name, sqlite3.OPEN_READONLY)
	if err != nil {
		return nil, fileError("damaged", "SQLite cannot open the file: %v", err)
	}
	defer db.Close()
	m, sum, err := readMeta(db)
	if err != nil {
		return nil, err
	}
	r := &Report{Meta: m, Records: m.Records, Bytes: info.Size()}
	if r.Problems, err = checkDatabase(db); err != nil {
		return nil, err
	}
	if m.Format > 0 {
		if err := readRecords(db, m, sum, func(record.Record) error { return nil }); err != nil {
			r.Problems = append(r.Problems, err.Error())
		}
	}
	return r, nil
}
