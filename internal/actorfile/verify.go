package actorfile

import (
	"context"
	"errors"

	"github.com/ncruces/go-sqlite3"

	"github.com/rivetgo/rivet/internal/actordb/page"
	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// Report is what Verify found.
type Report struct {
	Meta     Meta // of a file
	Pages    int
	Records  int
	Bytes    int64
	Problems []string // for people; empty: it is sound
}

// VerifyActor checks an actor as of a view: the checksum of every page, SQLite's own checks, the versions of all records.
func VerifyActor(ctx context.Context, v store.View, o Options) (*Report, error) {
	r := &Report{}
	err := eachRecord(ctx, v, func(rec record.Record) error {
		r.Records++
		if _, err := record.Open(record.Kind(rec.Key[0]), rec.Value); err != nil {
			r.Problems = append(r.Problems, err.Error())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	f, remove, err := temp(o.Dir)
	if err != nil {
		return nil, err
	}
	defer remove()
	head, err := openHead(ctx, v)
	if err == nil {
		r.Pages, r.Bytes = int(head.Pages), int64(head.Pages)*page.Size
		err = copyPages(ctx, v, head, f, o.Progress)
	}
	var corrupt *page.CorruptError
	if errors.As(err, &corrupt) {
		r.Problems = append(r.Problems, corrupt.Error())
		return r, nil // SQLite would only say the same in other words
	}
	if err != nil || head.Pages == 0 {
		return r, err
	}
	db, err := openFile(ctx, f.Name(), sqlite3.OPEN_READONLY)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	found, err := checkDatabase(db)
	r.Problems = append(r.Problems, found...)
	return r, err
}
