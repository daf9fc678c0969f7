package actordb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"io"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/rivetgo/rivet/internal/actordb/page"
)

// How many readers a database has at most, and how long one stays open without use.
const (
	maxReaders = 4
	readerIdle = 10 * time.Second
)

// OpenReader returns a *sql.DB that reads the database as of its last commit: each statement, and each transaction from its
// first statement on, sees one commit whole, and waits for nobody. Its connections are SQLite's own, 300 KiB each. The
// caller closes it.
func OpenReader(src Source, opts Options) *sql.DB {
	db := sql.OpenDB(readConnector{src, opts})
	db.SetMaxOpenConns(maxReaders)
	db.SetConnMaxIdleTime(readerIdle)
	return db
}

type readConnector struct {
	src  Source
	opts Options
}

func (r readConnector) Driver() driver.Driver { return noDriver{} }

func (r readConnector) Connect(ctx context.Context) (driver.Conn, error) {
	f := &readFile{file: file{limit: 1}, src: r.src}
	c, err := open(&f.file, f, memory(1, r.opts.CacheBytes), r.opts.CacheBytes, true)
	if err != nil {
		return nil, err
	}
	return &readSession{session{scope: reader{c}}, reader{c}}, nil
}

// readSession is one reader's connection as database/sql sees it. It is used by one goroutine at a time.
type readSession struct {
	session
	reader reader
}

// QueryContext keeps the snapshot until the results are closed.
func (s *readSession) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if s.tx != nil {
		return s.session.QueryContext(ctx, query, args)
	}
	tx := s.reader.begin()
	r, err := tx.Query(ctx, nil, query, args)
	if err != nil {
		tx.Rollback()
		return nil, err
	}
	r.done = tx.Rollback
	return r, nil
}

// PrepareContext makes statements that come back to this reader.
func (s *readSession) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if _, err := s.session.PrepareContext(ctx, query); err != nil {
		return nil, err
	}
	return &readPrepared{prepared{&s.session, query}, s}, nil
}

type readPrepared struct {
	prepared
	s *readSession
}

func (p *readPrepared) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return p.s.QueryContext(ctx, p.query, args)
}

func (s *readSession) Close() error {
	err := s.session.Close()
	s.reader.c.close()
	return err
}

// reader is the Scope of one reader.
type reader struct{ c *conn }

func (r reader) begin() *Tx { return &Tx{c: r.c, readOnly: true, eager: true, onEnd: func(bool) {}} }

// Do runs one statement.
func (r reader) Do(ctx context.Context, work Work) error {
	tx := r.begin()
	defer tx.Rollback()
	return work(ctx, tx, nil, true)
}

// Begin begins a transaction whose snapshot is taken by its first statement.
func (r reader) Begin(context.Context, string, bool) (Transaction, error) {
	return readTransaction{r.begin()}, nil
}

type readTransaction struct{ tx *Tx }

func (t readTransaction) Do(ctx context.Context, work Work) error { return work(ctx, t.tx, nil, false) }
func (t readTransaction) End(bool) error                          { t.tx.Rollback(); return nil }

// readFile is the database as a reader sees it: a view that is taken when SQLite begins to read, and given back when it ends.
type readFile struct {
	file // for its errors
	src  Source
	view View
}

// Lock takes the view.
func (f *readFile) Lock(level vfs.LockLevel) error {
	if level != vfs.LOCK_SHARED {
		return sqlite3.READONLY
	}
	if f.view != nil {
		return nil
	}
	v, err := f.src.View(f.ctx)
	if err != nil {
		f.err = err
		return sqlite3.IOERR_LOCK
	}
	head, err := openHead(f.ctx, v)
	if err != nil {
		f.err = readError(0, err)
		_ = v.Close() // the other error says more
		return sqlite3.IOERR_LOCK
	}
	f.view, f.head = v, head
	f.ahead.reset()
	return nil
}

// Unlock gives the view back.
func (f *readFile) Unlock(level vfs.LockLevel) error {
	if level != vfs.LOCK_NONE || f.view == nil {
		return nil
	}
	v := f.view
	f.view = nil
	if err := v.Close(); err != nil {
		f.err = err
		return sqlite3.IOERR_UNLOCK
	}
	return nil
}

func (f *readFile) ReadAt(p []byte, off int64) (int, error) {
	no, from := pageAt(off)
	if f.view == nil || no > f.head.Pages {
		return 0, io.EOF
	}
	var whole [page.Size]byte
	sealed, err := f.ahead.get(f.ctx, f.view, no, f.head.Pages)
	if err == nil {
		err = page.Open(whole[:], no, sealed)
	}
	if err != nil {
		return 0, f.readFailed(no, err)
	}
	if no == 1 {
		// SQLite compares this counter to know whether its cache is of this commit. The writer, who is alone, does not count.
		binary.BigEndian.PutUint32(whole[24:], uint32(f.head.TxID))
	}
	return copy(p, whole[from:]), nil
}

func (f *readFile) WriteAt([]byte, int64) (int, error) { return 0, sqlite3.READONLY }
func (f *readFile) Truncate(int64) error               { return sqlite3.READONLY }
func (f *readFile) BeginAtomicWrite() error            { return sqlite3.READONLY }

func (f *readFile) Close() error { return f.Unlock(vfs.LOCK_NONE) }
