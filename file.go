package rivet

import (
	"context"
	"io"

	"github.com/rivetgo/rivet/internal/dial"
)

// Progress hears of a copy under way: how many bytes of all were copied; all is 0 when that is not known.
type Progress func(done, all int64)

// Copy is what an import or a clone took over.
type Copy struct {
	Pages   int   // of the actor's database
	Records int   // everything else: state, keys and values, messages, schedules
	Bytes   int64 // of the database
	// DroppedMessages counts messages to other actors that were on their way: they are left to the actor that sends them.
	DroppedMessages int
}

// Verification is what a check of an actor found.
type Verification struct {
	Sound    bool
	Pages    int      // of its database, each of which has a checksum
	Records  int      // besides them
	Problems []string // for people; empty when it is sound
}

// Export writes the actor as one SQLite file to w: its database, and in tables whose names begin with _rivet_ everything
// else that it stores. The file is of one commit. The actor goes on meanwhile, and sleeps on if it sleeps; a missing one is
// actor.not_found. After an error w holds a part of the file, which Import would refuse. Where the engine wants a token for
// its API the client's must be that; so it is with Verify, Clone and Import.
func (h Handle[I]) Export(ctx context.Context, w io.Writer, progress Progress) error {
	if err := h.usable(); err != nil {
		return err
	}
	return fromFault(h.t.Export(ctx, w, progress))
}

// Verify checks the checksums of the actor's database, SQLite's own rules in it, and the versions of all its records, as of
// one commit, without waking the actor.
func (h Handle[I]) Verify(ctx context.Context) (*Verification, error) {
	if err := h.usable(); err != nil {
		return nil, err
	}
	v, err := h.t.Verify(ctx)
	if err != nil {
		return nil, fromFault(err)
	}
	return &Verification{Sound: v.Sound, Pages: v.Pages, Records: v.Records, Problems: v.Problems}, nil
}

// Clone makes a second actor of this one under another key, as of one commit: state, database, messages in its queues,
// schedules. Its connections and the messages that it is sending to other actors stay with the original. A key that is
// taken is actor.duplicate_key.
func (h Handle[I]) Clone(ctx context.Context, to Key) (Handle[I], *Copy, error) {
	if err := h.usable(); err != nil {
		return Handle[I]{}, nil, err
	}
	t, made, err := h.t.Clone(ctx, to.clone(), false)
	if err != nil {
		return Handle[I]{}, nil, fromFault(err)
	}
	return Handle[I]{t: t}, copyOf(made), nil
}

func copyOf(c *dial.Copied) *Copy {
	return &Copy{Pages: c.Pages, Records: c.Records, Bytes: c.Bytes, DroppedMessages: c.Dropped}
}

// ImportOptions configure Import. The zero value, and nil, work.
type ImportOptions struct {
	// Replace puts the file in the place of the actor that has the key, whose data is lost. Default: that is an error.
	Replace bool
	// Foreign takes a SQLite database that is no export: its tables become those of a new actor. Default: it is refused.
	Foreign bool
	// Size of the file in bytes, if it is known, for Progress.
	Size     int64
	Progress Progress
}

// Import makes an actor with this key of a file that Export wrote: whole, or not at all. It has a new id, and wakes when its
// original would. A key that is taken is actor.duplicate_key; a file that was changed, cut short or is no export is an error
// of the group "actor_file".
func (a Actor[I]) Import(ctx context.Context, c *Client, k Key, file io.Reader, o *ImportOptions) (Handle[I], *Copy, error) {
	if o == nil {
		o = &ImportOptions{}
	}
	made, err := c.d.Import(ctx, file, dial.Import{
		Name: a.c.Name, Key: k.clone(), OwnKey: true, Replace: o.Replace, Foreign: o.Foreign, Size: o.Size, Report: o.Progress,
	})
	if err != nil {
		return Handle[I]{}, nil, fromFault(err)
	}
	return Handle[I]{t: c.d.ByID(made.ID())}, copyOf(made), nil
}
