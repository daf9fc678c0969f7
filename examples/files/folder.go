package main

import (
	"fmt"
	"slices"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// Folder is what a folder is created with: nothing.
type Folder struct{}

// The contract; the rest is HTTP, see web.go.
var (
	Folders = rivet.NewActor[Folder]("folder")
	List    = rivet.NewAction[rivet.None, map[string]int64](Folders, "list") // names and sizes
)

// file is what a folder knows of a file. Its bytes are in the key-value store, in parts.
type file struct {
	Upload int
	Size   int64
	Type   string
}

// folder is one live folder.
type folder struct {
	Files   map[string]file
	Uploads int   // how many began
	Open    []int // those that have neither ended nor failed

	watchers map[chan string]struct{} // not durable: it begins empty with each start
}

// partKey orders the parts of an upload. All parts of an upload have its prefix.
func partKey(upload, part int) string { return fmt.Sprintf("%s%08d", prefix(upload), part) }

func prefix(upload int) string { return fmt.Sprintf("upload/%08d/", upload) }

// wake removes what uploads left that a crash has cut off.
func (f *folder) wake(c *actor.Ctx) error {
	f.watchers = make(map[chan string]struct{})
	for _, upload := range f.Open {
		if err := c.KV().DeleteRange(prefix(upload), prefix(upload+1)); err != nil {
			return err
		}
	}
	f.Open = nil
	return nil
}

// begin opens an upload.
func (f *folder) begin() (upload int) {
	f.Uploads++
	f.Open = append(f.Open, f.Uploads)
	return f.Uploads
}

// finish makes a complete upload the file of that name, in place of an earlier one, all in one turn.
func (f *folder) finish(c *actor.Ctx, name string, whole file) error {
	if f.Files == nil {
		f.Files = make(map[string]file)
	}
	if old, ok := f.Files[name]; ok {
		if err := c.KV().DeleteRange(prefix(old.Upload), prefix(old.Upload+1)); err != nil {
			return err
		}
	}
	f.Files[name] = whole
	f.close(whole.Upload)
	return nil
}

// giveUp removes what there is of an upload.
func (f *folder) giveUp(c *actor.Ctx, upload int) error {
	f.close(upload)
	return c.KV().DeleteRange(prefix(upload), prefix(upload+1))
}

func (f *folder) close(upload int) {
	f.Open = slices.DeleteFunc(f.Open, func(u int) bool { return u == upload })
}

// tell tells everybody who watches; whoever is slow misses it.
func (f *folder) tell(name string) {
	for w := range f.watchers {
		select {
		case w <- name:
		default:
		}
	}
}

func (f *folder) list(*actor.Ctx, rivet.None) (map[string]int64, error) {
	sizes := make(map[string]int64, len(f.Files))
	for name, stored := range f.Files {
		sizes[name] = stored.Size
	}
	return sizes, nil
}

// Definition binds the contract, and HTTP and WebSockets.
func Definition() actor.Definition {
	d := actor.Define(Folders, actor.Zero[Folder, folder])
	d.OnWake = (*folder).wake
	d.OnRequest = serve
	d.OnWebSocket = echo
	actor.View(d, List, (*folder).list)
	return d
}
