package actordb

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/rivetgo/rivet/internal/actordb/page"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// file is the database as SQLite's writing connection sees it. Only the holder of the Tx calls it.
type file struct {
	src   Source
	limit int // pages that one transaction may change

	ctx     context.Context // of the statement under way: what reads may wait for
	stored  page.Head       // what the records hold
	head    page.Head       // with what is staged
	staged  map[uint32][]byte
	batch   map[uint32][]byte // sealed pages of the atomic batch under way; nil: there is none
	size    uint32            // pages of the database, as page 1 of the batch says; 0: page 1 is not in it
	recycle bool              // the connection must not outlive its transaction
	ahead   readAhead
	err     error // why the last read or write failed: SQLite only carries a number
}

// Changes is what a transaction changed, on its way into a batch.
type Changes struct {
	Puts    []record.Record // sealed pages and the head
	Deletes []record.Span   // pages that are gone; deleted before the puts
	Bytes   int             // of the pages, as SQLite counts them
}

// openHead reads the head.
func openHead(ctx context.Context, src Getter) (page.Head, error) {
	v, err := src.Get(ctx, page.HeadKey)
	if errors.Is(err, record.ErrNotFound) {
		return page.Head{}, nil
	}
	if err != nil {
		return page.Head{}, err
	}
	return page.OpenHead(v)
}

// ReadAt reads from one page: all of it, or a part of the header.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	no, from := pageAt(off)
	if no > f.head.Pages {
		return 0, io.EOF // SQLite makes zeros of what lies behind the end
	}
	if from+len(p) > page.Size {
		return 0, sqlite3.IOERR_READ
	}
	if len(p) == page.Size {
		return f.readPage(p, no)
	}
	var whole [page.Size]byte
	if _, err := f.readPage(whole[:], no); err != nil {
		return 0, err
	}
	return copy(p, whole[from:]), nil
}

func pageAt(off int64) (no uint32, from int) {
	return uint32(off/page.Size) + 1, int(off % page.Size)
}

func (f *file) readPage(dst []byte, no uint32) (int, error) {
	sealed, ok := f.staged[no]
	if !ok {
		var err error
		if sealed, err = f.ahead.get(f.ctx, f.src, no, f.head.Pages); err != nil {
			return 0, f.readFailed(no, err)
		}
	}
	if err := page.Open(dst, no, sealed); err != nil {
		return 0, f.readFailed(no, err)
	}
	return page.Size, nil
}

// readFailed notes why a page cannot be read and returns SQLite's number for it.
func (f *file) readFailed(no uint32, err error) error {
	f.err = readError(no, err)
	return readCode(f.err)
}

// readError is the error of a page that cannot be read.
func readError(no uint32, err error) error {
	var corrupt *page.CorruptError
	switch {
	case errors.As(err, &corrupt):
		return err
	case errors.Is(err, record.ErrNotFound):
		return &page.CorruptError{Page: no, Cause: page.ErrMissing}
	}
	return fmt.Errorf("read page %d of the database: %w", no, err)
}

func readCode(err error) error {
	var corrupt *page.CorruptError
	if errors.As(err, &corrupt) {
		return sqlite3.IOERR_CORRUPTFS
	}
	return sqlite3.IOERR_READ
}

// WriteAt takes a page of the atomic batch. Outside one nothing may be written: it could not be taken back.
func (f *file) WriteAt(p []byte, off int64) (int, error) {
	no, from := pageAt(off)
	if f.batch == nil || from != 0 || len(p) != page.Size {
		f.err = fmt.Errorf("SQLite wrote %d bytes at %d outside a batch", len(p), off)
		return 0, sqlite3.READONLY
	}
	if no == 1 {
		f.size = binary.BigEndian.Uint32(p[28:])
	}
	if _, again := f.batch[no]; !again && len(f.batch) >= f.limit {
		f.err = tooLarge(f.limit)
		return 0, sqlite3.FULL
	}
	f.batch[no] = page.Seal(no, p)
	return len(p), nil
}

func tooLarge(pages int) error {
	return fault.New("sqlite", "transaction_too_large", fmt.Sprintf("The transaction changes more than %s of the database: split it into several turns, or raise Options.MaxDatabaseTurnBytes.", size(pages*page.Size)))
}

// size shows a number of bytes to people.
func size(bytes int) string {
	if bytes < 1<<20 {
		return fmt.Sprintf("%d KiB", bytes>>10)
	}
	return fmt.Sprintf("%d MiB", bytes>>20)
}

// BeginAtomicWrite begins the commit of a transaction.
func (f *file) BeginAtomicWrite() error {
	f.batch, f.size = make(map[uint32][]byte), 0
	return nil
}

// CommitAtomicWrite stages the transaction's pages. An error must be READONLY or FULL: after any other SQLite writes the
// same pages again without a batch, and reports success.
func (f *file) CommitAtomicWrite() error {
	pages := f.head.Pages
	if f.size > 0 {
		pages = f.size
	}
	if f.staged == nil {
		f.staged = f.batch
	} else {
		maps.Copy(f.staged, f.batch)
	}
	// SQLite does not write pages that the transaction allotted and gave back. Each page has a record nevertheless, so that a
	// missing one is always an error.
	var zeros [page.Size]byte
	for no := f.head.Pages + 1; no <= pages; no++ {
		if _, ok := f.staged[no]; !ok {
			f.staged[no] = page.Seal(no, zeros[:])
		}
	}
	if pages < f.head.Pages {
		maps.DeleteFunc(f.staged, func(no uint32, _ []byte) bool { return no > pages })
	}
	f.batch = nil
	f.head.Pages = pages
	f.head.TxID = f.stored.TxID + 1
	return nil
}

// RollbackAtomicWrite forgets a commit under way.
func (f *file) RollbackAtomicWrite() error {
	f.batch = nil
	return nil
}

// take returns what was staged since the last call; the caller commits it to the records.
func (f *file) take() Changes {
	if f.staged == nil {
		return Changes{}
	}
	c := Changes{Puts: make([]record.Record, 0, len(f.staged)+1), Bytes: len(f.staged) * page.Size}
	c.Puts = append(c.Puts, record.Record{Key: page.HeadKey, Value: f.head.Seal()})
	for _, no := range slices.Sorted(maps.Keys(f.staged)) {
		c.Puts = append(c.Puts, record.Record{Key: page.Key(no), Value: f.staged[no]})
	}
	if f.head.Pages < f.stored.Pages {
		c.Deletes = []record.Span{page.Above(f.head.Pages)}
	}
	f.staged, f.stored = nil, f.head
	f.ahead.reset()
	return c
}

// Truncate comes after the commit that shrank the database, which took the size from page 1 already.
func (f *file) Truncate(size int64) error {
	if size != int64(f.head.Pages)*page.Size {
		f.err = fmt.Errorf("SQLite cut the database to %d bytes, its header says %d pages", size, f.head.Pages)
		return sqlite3.READONLY
	}
	return nil
}

// Size is the length of the database in bytes.
func (f *file) Size() (int64, error) { return int64(f.head.Pages) * page.Size, nil }

// The rest of vfs.File: nobody else has the database open, and commits make it durable.

func (f *file) Close() error                     { return nil }
func (f *file) Sync(vfs.SyncFlag) error          { return nil }
func (f *file) Lock(vfs.LockLevel) error         { return nil }
func (f *file) Unlock(vfs.LockLevel) error       { return nil }
func (f *file) CheckReservedLock() (bool, error) { return false, nil }
func (f *file) SectorSize() int                  { return page.Size }
func (f *file) DeviceCharacteristics() vfs.DeviceCharacteristic {
	return vfs.IOCAP_BATCH_ATOMIC | vfs.IOCAP_POWERSAFE_OVERWRITE | vfs.IOCAP_SUBPAGE_READ
}

var (
	_ vfs.FileBatchAtomicWrite = (*file)(nil)
)
