package actorfile

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/rivetgo/rivet/internal/actordb/page"
	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// Progress is how far a copy has come.
type Progress struct {
	Pages int // of the database, copied so far
	Of    int // pages of the database
}

// pagesAtOnce is how many pages one read brings.
const pagesAtOnce = 64

// openHead reads the head of the database; the zero Head when the actor has none.
func openHead(ctx context.Context, v store.View) (page.Head, error) {
	b, err := v.Get(ctx, page.HeadKey)
	if errors.Is(err, store.ErrNotFound) {
		return page.Head{}, nil
	}
	if err != nil {
		return page.Head{}, fmt.Errorf("read the database's head: %w", err)
	}
	return page.OpenHead(b)
}

// copyPages writes the database of a view to dst, page by page. A page that is missing or damaged is a *page.CorruptError.
func copyPages(ctx context.Context, v store.View, head page.Head, dst io.Writer, progress func(Progress)) error {
	w := bufio.NewWriterSize(dst, 16*page.Size)
	content := make([]byte, page.Size)
	for no := uint32(1); no <= head.Pages && no > 0; {
		recs, err := v.Range(ctx, record.Span{From: page.Key(no), To: page.Above(head.Pages).From}, false, pagesAtOnce)
		if err != nil {
			return fmt.Errorf("read page %d of the database: %w", no, err)
		}
		if len(recs) == 0 {
			return &page.CorruptError{Page: no, Cause: page.ErrMissing}
		}
		for _, r := range recs {
			if got, ok := page.Number(r.Key); !ok || got != no {
				return &page.CorruptError{Page: no, Cause: page.ErrMissing}
			}
			if err := page.Open(content, no, r.Value); err != nil {
				return err
			}
			if no == 1 {
				content[18], content[19] = 1, 1 // no write-ahead log, whatever it once had: a reader would look for its file
			}
			if _, err := w.Write(content); err != nil {
				return err
			}
			no++
		}
		if progress != nil {
			progress(Progress{Pages: int(no - 1), Of: int(head.Pages)})
		}
	}
	return w.Flush()
}

// temp makes a temporary file in dir, or where the system keeps such files. remove closes and removes it.
func temp(dir string) (f *os.File, remove func(), err error) {
	f, err = os.CreateTemp(dir, "rivet-actor-*.sqlite")
	if err != nil {
		return nil, nil, err
	}
	return f, func() {
		_ = f.Close() // it is removed
		_ = os.Remove(f.Name())
	}, nil
}
