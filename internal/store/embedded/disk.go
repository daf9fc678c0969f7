package embedded

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// disk is the file system as one Pebble instance sees it. It passes everything on until the first failure of an
// operation that changes something; then it is cut off for good: changes to existing files are thrown away, new files
// go to memory, and all of them succeed. See the package documentation for why Pebble is deceived.
//
// Failures of compactions (tolerated categories) are passed on to Pebble instead: it can cope with them, and they
// concern no commit. The next compaction is held up for a moment, since Pebble would try again at once. It would do so
// with flushes too, even inside Open, which then never returns; those are not tolerated.
type disk struct {
	vfs.FS // the base; reading goes there directly

	cause atomic.Pointer[error]
	onCut func() // called once, before the operation that failed returns

	// ops is held for reading while an operation changes the base, so that quiesce can wait for those that began
	// before the cut.
	ops sync.RWMutex

	overlay *vfs.MemFS // files made after the cut

	hurry     chan struct{} // closed at the cut, or when the instance begins to close: nothing is held up any more
	hurryOnce sync.Once
	pause     struct {
		sync.Mutex
		until time.Time
		delay time.Duration
	}
}

// tolerated are Pebble's write categories of background work whose failure loses nothing.
var tolerated = []vfs.DiskWriteCategory{"pebble-compaction", "pebble-blob-file-rewrite"}

const (
	compactionPauseMin = 100 * time.Millisecond
	compactionPauseMax = 5 * time.Second
)

func newDisk(base vfs.FS, dir string, onCut func()) *disk {
	d := &disk{FS: base, onCut: onCut, overlay: vfs.NewMem(), hurry: make(chan struct{})}
	if err := d.overlay.MkdirAll(dir, 0o700); err != nil {
		panic(err) // memory only: not reached
	}
	return d
}

// failure returns why the disk is cut off, or nil while it is not.
func (d *disk) failure() error {
	if p := d.cause.Load(); p != nil {
		return *p
	}
	return nil
}

// cut cuts the disk off. Only the first cause counts.
func (d *disk) cut(cause error) {
	if d.cause.CompareAndSwap(nil, &cause) {
		d.stopHolding()
		d.onCut()
	}
}

func (d *disk) stopHolding() { d.hurryOnce.Do(func() { close(d.hurry) }) }

// quiesce returns when no operation that began before the cut is still changing the base.
func (d *disk) quiesce() {
	d.ops.Lock()
	defer d.ops.Unlock()
}

// begin says whether a change may go to the base; if so, end must follow.
func (d *disk) begin() bool {
	d.ops.RLock()
	if d.cause.Load() != nil {
		d.ops.RUnlock()
		return false
	}
	return true
}

func (d *disk) end() { d.ops.RUnlock() }

// fails decides what a failed change means. It returns true when Pebble shall see the error, false when the disk was
// cut off because of it.
func (d *disk) fails(op, name string, tolerate bool, err error) bool {
	if tolerate {
		d.pause.Lock()
		d.pause.delay = min(max(2*d.pause.delay, compactionPauseMin), compactionPauseMax)
		d.pause.until = time.Now().Add(d.pause.delay)
		d.pause.Unlock()
		return true
	}
	d.cut(fmt.Errorf("%s %s: %w", op, d.PathBase(name), err))
	return false
}

// holdUp delays a compaction that follows a failed one.
func (d *disk) holdUp() {
	d.pause.Lock()
	wait := time.Until(d.pause.until)
	if wait <= -compactionPauseMax {
		d.pause.delay = 0 // it went well for a while
	}
	d.pause.Unlock()
	if wait <= 0 {
		return
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-d.hurry:
	}
}

// manifestCategory is the write category of Pebble's manifests. Pebble syncs a new manifest but not its name, and then
// makes the marker that points to it. After a power cut the marker could be there and the manifest not, and the store
// could not be opened, on file systems that do not keep the order of names; so we sync the name first.
const manifestCategory vfs.DiskWriteCategory = "pebble-manifest"

func (d *disk) syncParent(name string) error {
	dir, err := d.FS.OpenDir(d.PathDir(name))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (d *disk) make(
	op, name string, category vfs.DiskWriteCategory, base, instead func() (vfs.File, error),
) (vfs.File, error) {
	tolerate := slices.Contains(tolerated, category)
	if tolerate {
		d.holdUp()
	}
	if !d.begin() {
		return instead()
	}
	f, err := base()
	if err == nil && category == manifestCategory {
		if err = d.syncParent(name); err != nil {
			_ = f.Close()
		}
	}
	d.end()
	if err == nil {
		return &diskFile{File: f, disk: d, name: name, tolerate: tolerate}, nil
	}
	if d.fails(op, name, tolerate, err) {
		return nil, err
	}
	return instead()
}

func (d *disk) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return d.make("create", name, category,
		func() (vfs.File, error) { return d.FS.Create(name, category) },
		func() (vfs.File, error) { return d.overlay.Create(name, category) })
}

func (d *disk) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return d.make("reuse", newname, category,
		func() (vfs.File, error) { return d.FS.ReuseForWrite(oldname, newname, category) },
		func() (vfs.File, error) { return d.overlay.Create(newname, category) })
}

func (d *disk) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return d.make("open", name, category,
		func() (vfs.File, error) { return d.FS.OpenReadWrite(name, category, opts...) },
		func() (vfs.File, error) { return d.overlay.OpenReadWrite(name, category, opts...) })
}

func (d *disk) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if d.cause.Load() != nil {
		if f, err := d.overlay.Open(name, opts...); err == nil {
			return f, nil
		}
	}
	return d.FS.Open(name, opts...)
}

func (d *disk) OpenDir(name string) (vfs.File, error) {
	f, err := d.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &diskFile{File: f, disk: d, name: name}, nil
}

func (d *disk) Link(oldname, newname string) error {
	if !d.begin() {
		return nil
	}
	defer d.end()
	return d.FS.Link(oldname, newname)
}

// Remove and RemoveAll pass failures on: a file too many loses nothing.
func (d *disk) Remove(name string) error {
	if !d.begin() {
		_ = d.overlay.Remove(name)
		return nil
	}
	defer d.end()
	return d.FS.Remove(name)
}

func (d *disk) RemoveAll(name string) error {
	if !d.begin() {
		_ = d.overlay.RemoveAll(name)
		return nil
	}
	defer d.end()
	return d.FS.RemoveAll(name)
}

func (d *disk) Rename(oldname, newname string) error {
	if d.begin() {
		err := d.FS.Rename(oldname, newname)
		d.end()
		if err == nil {
			return nil
		}
		d.fails("rename", newname, false, err)
	}
	if _, err := d.overlay.Stat(oldname); err == nil {
		return d.overlay.Rename(oldname, newname)
	}
	return nil
}

func (d *disk) MkdirAll(dir string, perm os.FileMode) error {
	if !d.begin() {
		return d.overlay.MkdirAll(dir, perm)
	}
	defer d.end()
	return d.FS.MkdirAll(dir, perm)
}

// Lock takes no lock: the store holds its directory's, over all instances of Pebble.
func (d *disk) Lock(string) (io.Closer, error) { return noLock{}, nil }

type noLock struct{}

func (noLock) Close() error { return nil }

func (d *disk) List(dir string) ([]string, error) {
	names, err := d.FS.List(dir)
	if err != nil || d.cause.Load() == nil {
		return names, err
	}
	added, err := d.overlay.List(dir)
	if err != nil {
		return names, nil
	}
	for _, n := range added {
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names, nil
}

func (d *disk) Stat(name string) (vfs.FileInfo, error) {
	if d.cause.Load() != nil {
		if fi, err := d.overlay.Stat(name); err == nil {
			return fi, nil
		}
	}
	return d.FS.Stat(name)
}

func (d *disk) Unwrap() vfs.FS { return d.FS }

// diskFile is a file of the base that is open for writing, or a directory that is open to be synced.
type diskFile struct {
	vfs.File
	disk     *disk
	name     string
	tolerate bool
}

func (f *diskFile) Write(p []byte) (int, error) {
	if !f.disk.begin() {
		return len(p), nil
	}
	n, err := f.File.Write(p)
	f.disk.end()
	if err == nil || f.disk.fails("write", f.name, f.tolerate, err) {
		return n, err
	}
	return len(p), nil
}

func (f *diskFile) WriteAt(p []byte, off int64) (int, error) {
	if !f.disk.begin() {
		return len(p), nil
	}
	n, err := f.File.WriteAt(p, off)
	f.disk.end()
	if err == nil || f.disk.fails("write", f.name, f.tolerate, err) {
		return n, err
	}
	return len(p), nil
}

// Preallocate passes failures on: Pebble ignores them, and the write that finds no room fails itself.
func (f *diskFile) Preallocate(offset, length int64) error {
	if !f.disk.begin() {
		return nil
	}
	defer f.disk.end()
	return f.File.Preallocate(offset, length)
}

func (f *diskFile) Sync() error     { return f.sync(f.File.Sync) }
func (f *diskFile) SyncData() error { return f.sync(f.File.SyncData) }

func (f *diskFile) sync(base func() error) error {
	if !f.disk.begin() {
		return nil
	}
	err := base()
	f.disk.end()
	if err == nil || f.disk.fails("sync", f.name, f.tolerate, err) {
		return err
	}
	return nil
}

func (f *diskFile) SyncTo(length int64) (bool, error) {
	if !f.disk.begin() {
		return false, nil
	}
	full, err := f.File.SyncTo(length)
	f.disk.end()
	if err == nil || f.disk.fails("sync", f.name, f.tolerate, err) {
		return full, err
	}
	return false, nil
}

func (f *diskFile) Close() error {
	err := f.File.Close()
	if err == nil || f.disk.cause.Load() != nil || errors.Is(err, os.ErrClosed) {
		return nil
	}
	if f.disk.fails("close", f.name, f.tolerate, err) {
		return err
	}
	return nil
}
