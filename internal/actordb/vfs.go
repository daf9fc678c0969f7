package actordb

import (
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"
)

// vfsName is under which name SQLite finds the files of this package.
const vfsName = "rivet-actor"

// files is how SQLite, which knows names only, comes to the files of this process.
var files struct {
	sync.Map // name → vfs.File, from the opening of its connection on
	next     atomic.Uint64
}

func init() { vfs.Register(vfsName, actorVFS{}) }

// lend makes a file known under a new name until it is returned.
func lend(f vfs.File) (name string, giveBack func()) {
	name = "db" + strconv.FormatUint(files.next.Add(1), 36)
	files.Store(name, f)
	return name, func() { files.Delete(name) }
}

type actorVFS struct{}

// Open finds a database that was lent, or makes a file in memory for what SQLite sorts and journals.
func (actorVFS) Open(name string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	if flags&vfs.OPEN_MAIN_DB != 0 {
		f, ok := files.Load(name)
		if !ok {
			return nil, flags, sqlite3.CANTOPEN
		}
		return f.(vfs.File), flags, nil
	}
	return new(vfsutil.SliceFile), flags | vfs.OPEN_MEMORY, nil
}

func (actorVFS) Delete(string, bool) error                   { return nil }
func (actorVFS) Access(string, vfs.AccessFlag) (bool, error) { return false, nil }
func (actorVFS) FullPathname(name string) (string, error)    { return name, nil }
