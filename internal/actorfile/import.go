package actorfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/rivetgo/rivet/internal/actordb/page"
	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// MaxBytes bounds what an actor that is imported or cloned may have, compressed: it is one batch, which waits in memory.
const MaxBytes = 1 << 30 * 15 / 16

// Content is an actor on its way into a store.
type Content struct {
	Meta    Meta
	Summary Summary
	// Dropped counts the messages to other actors that were on their way: the copy does not send them too.
	Dropped int
	batch   record.Batch
	size    int
}

func newContent() *Content {
	c := &Content{}
	c.batch.DeleteSpan(record.Span{From: []byte{1}}) // whatever the actor was before
	return c
}

func (c *Content) put(key, value []byte) error {
	if c.size += len(key) + len(value); c.size > MaxBytes {
		return fileError("too_large", "The actor has more than %d MiB after compression, the most that one commit can take.", MaxBytes>>20)
	}
	c.batch.Put(key, value)
	return nil
}

// add takes a record over, unless it belongs to the life of the actor that it came from: connections, whose sockets are
// not here; messages on their way, which that actor sends; its wish to be destroyed.
func (c *Content) add(r record.Record) error {
	switch record.Kind(r.Key[0]) {
	case record.KindConn, record.KindDoomed, record.KindDatabase, record.KindPage:
		return nil
	case record.KindOutbox:
		c.Dropped++
		return nil
	}
	c.Summary.Records++
	return c.put(r.Key, r.Value)
}

// setAlarm makes the copy wake when its original would.
func (c *Content) setAlarm(at time.Time) {
	if !at.IsZero() {
		c.batch.SetAlarm, c.batch.Alarm = true, at.UnixMilli()
	}
}

func (c *Content) setHead(pages uint32) error {
	if pages == 0 {
		return nil
	}
	c.Summary.Pages = int(pages)
	return c.put(page.HeadKey, page.Head{Pages: pages, TxID: 1}.Seal())
}

// ReadFile reads a file that is the caller's to change: it is a scratch copy of what the user gave. foreign allows a SQLite
// database that is no export: an actor is made of it whose state is that of a new one.
func ReadFile(ctx context.Context, name string, foreign bool, o Options) (*Content, error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := checkFile(f); err != nil {
		return nil, err
	}
	// A write-ahead log that was not copied with the file does not matter: what it held is not in the file.
	if _, err := f.WriteAt([]byte{1, 1}, 18); err != nil {
		return nil, err
	}
	c := newContent()
	some, err := c.readDatabase(ctx, name, foreign)
	if err != nil || !some {
		return c, err
	}
	return c, c.readPages(f, o)
}

// readDatabase checks the file, takes its records over and leaves the actor's own tables in it. some: there are any.
func (c *Content) readDatabase(ctx context.Context, name string, foreign bool) (some bool, err error) {
	db, err := openFile(ctx, name, sqlite3.OPEN_READWRITE)
	if err != nil {
		return false, fileError("damaged", "SQLite cannot open the file: %v", err)
	}
	defer func() {
		if closed := db.Close(); err == nil {
			err = closed
		}
	}()
	problems, err := checkDatabase(db)
	if err != nil {
		return false, err
	}
	if len(problems) > 0 {
		return false, fileError("damaged", "The database in the file is damaged: %s", problems[0])
	}
	meta, sum, err := readMeta(db)
	if err != nil {
		return false, err
	}
	if meta.Format == 0 && !foreign {
		return false, fileError("foreign", "The file is a SQLite database, but no export of an actor: ask for a foreign import to make an actor of its tables.")
	}
	c.Meta = meta
	if meta.Format > 0 {
		if err := readRecords(db, meta, sum, c.add); err != nil {
			return false, err
		}
		c.setAlarm(meta.Alarm)
	}
	ours, err := names(db, `type = 'table' AND name LIKE '\_rivet\_%' ESCAPE '\'`)
	if err != nil {
		return false, err
	}
	if meta.Format == 0 && len(ours) > 0 {
		return false, fileError("foreign", "The file has the table %s, a name that is reserved: rename it.", ours[0])
	}
	for _, table := range ours {
		if err := db.Exec("DROP TABLE " + quote(table)); err != nil {
			return false, err
		}
	}
	left, err := names(db, `name NOT LIKE 'sqlite\_%' ESCAPE '\'`)
	if err != nil || len(left) == 0 {
		return false, err
	}
	return true, db.Exec(fmt.Sprintf("PRAGMA page_size = %d; VACUUM", page.Size))
}

// readPages takes the pages of the file over.
func (c *Content) readPages(f *os.File, o Options) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	pages := info.Size() / page.Size
	if pages*page.Size != info.Size() || pages >= 1<<32 {
		return fmt.Errorf("the database has %d bytes, which are no pages", info.Size())
	}
	r := io.NewSectionReader(f, 0, info.Size())
	content := make([]byte, page.Size)
	for no := uint32(1); no <= uint32(pages); no++ {
		if _, err := io.ReadFull(r, content); err != nil {
			return err
		}
		if err := c.put(page.Key(no), page.Seal(no, content)); err != nil {
			return err
		}
		if o.Progress != nil && (no%pagesAtOnce == 0 || no == uint32(pages)) {
			o.Progress(Progress{Pages: int(no), Of: int(pages)})
		}
	}
	c.Summary.Bytes = info.Size()
	return c.setHead(uint32(pages))
}

// ReadView reads an actor as of a view, to clone it.
func ReadView(ctx context.Context, row store.Actor, v store.View) (*Content, error) {
	c := newContent()
	if err := eachRecord(ctx, v, c.add); err != nil {
		return nil, err
	}
	c.setAlarm(row.Alarm)
	head, err := openHead(ctx, v)
	if err != nil {
		return nil, damaged(err)
	}
	content := make([]byte, page.Size)
	for no := uint32(1); no <= head.Pages && no > 0; no++ {
		sealed, err := v.Get(ctx, page.Key(no))
		if errors.Is(err, store.ErrNotFound) {
			err = &page.CorruptError{Page: no, Cause: page.ErrMissing}
		}
		if err == nil {
			err = page.Open(content, no, sealed)
		}
		if err != nil {
			return nil, damaged(err)
		}
		if err := c.put(page.Key(no), sealed); err != nil {
			return nil, err
		}
	}
	c.Summary.Bytes = int64(head.Pages) * page.Size
	return c, c.setHead(head.Pages)
}

// Commit makes an actor of a store be what c holds, in one durable commit. Whoever runs the actor is fenced. fresh says that
// the actor was just created for it: then it must not have lived yet. ErrRaced: somebody else began to use the actor, and
// nothing was changed. c cannot be used again.
func (c *Content) Commit(ctx context.Context, st store.Store, actor id.ID, fresh bool) error {
	err := c.commit(ctx, st, actor, fresh)
	if errors.Is(err, store.ErrFenced) {
		return ErrRaced
	}
	return err
}

// ErrRaced says that somebody began to use the actor while it was imported.
var ErrRaced = fileError("raced", "Somebody began to use the actor while it was imported, so nothing was changed: destroy it and import again, or ask to replace it.")

func (c *Content) commit(ctx context.Context, st store.Store, actor id.ID, fresh bool) error {
	t, err := st.Acquire(ctx, actor)
	if err != nil {
		return err
	}
	for _, r := range t.Hot() {
		if fresh && record.Kind(r.Key[0]) != record.KindInput {
			_ = t.Release(time.Time{}) // nothing was written
			return ErrRaced
		}
	}
	done := make(chan error, 1)
	if err := t.Commit(&c.batch, func(err error) { done <- err }); err != nil {
		_ = t.Release(time.Time{}) // nothing was written
		return err
	}
	err = <-done
	if released := t.Release(time.Now()); err == nil {
		err = released
	}
	return err
}

// View shows what c holds as a store would show the actor, before Commit.
func (c *Content) View() store.View {
	v := make(contentView, len(c.batch.Puts))
	copy(v, c.batch.Puts)
	slices.SortFunc(v, func(a, b record.Record) int { return bytes.Compare(a.Key, b.Key) })
	return v
}

// contentView is records in order of their keys.
type contentView []record.Record

func (v contentView) Get(_ context.Context, key []byte) ([]byte, error) {
	i, ok := slices.BinarySearchFunc(v, key, func(r record.Record, key []byte) int { return bytes.Compare(r.Key, key) })
	if !ok {
		return nil, store.ErrNotFound
	}
	return v[i].Value, nil
}

func (v contentView) Range(_ context.Context, s record.Span, reverse bool, limit int) (out []record.Record, err error) {
	for i := range v {
		r := v[i]
		if reverse {
			r = v[len(v)-1-i]
		}
		if len(out) >= limit {
			break
		}
		if s.Contains(r.Key) {
			out = append(out, r)
		}
	}
	return out, nil
}

func (v contentView) Close() error { return nil }
