package actordb

import (
	"context"

	"github.com/rivetgo/rivet/internal/actordb/page"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// readAhead reads several pages at once when pages are read in order: a scan of a table that was written in order would pay
// for a lookup of its own for each page otherwise.
type readAhead struct {
	last  uint32 // the page that was read last
	row   int    // how many were read in order
	pages map[uint32][]byte
}

const (
	aheadAfter = 3  // so many pages in order begin it
	aheadPages = 32 // 128 KiB at most
)

func (r *readAhead) reset() { *r = readAhead{} }

// get returns the sealed page no of a database of so many pages.
func (r *readAhead) get(ctx context.Context, src Getter, no, pages uint32) ([]byte, error) {
	if no == r.last+1 {
		r.row++
	} else {
		r.row = 0
	}
	r.last = no
	if sealed, ok := r.pages[no]; ok {
		delete(r.pages, no) // SQLite keeps it in its own cache
		return sealed, nil
	}
	if r.row < aheadAfter || no == pages {
		return src.Get(ctx, page.Key(no))
	}
	last := min(uint64(no)+aheadPages-1, uint64(pages))
	recs, err := src.Range(ctx, record.Span{From: page.Key(no), To: page.Above(uint32(last)).From}, false, aheadPages)
	if err != nil {
		return nil, err
	}
	r.pages = make(map[uint32][]byte, len(recs))
	for _, rec := range recs {
		if n, ok := page.Number(rec.Key); ok {
			r.pages[n] = rec.Value
		}
	}
	sealed, ok := r.pages[no]
	if !ok {
		return nil, record.ErrNotFound
	}
	delete(r.pages, no)
	return sealed, nil
}
