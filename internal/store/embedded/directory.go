package embedded

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// formatVersion is the format of a whole directory: which files it has and which tables are inside. Versions of single
// values are counted separately (layoutVersion).
//
//	1  the beginning
//	2  alarms: table 05, and the actors' own
//	3  actors' databases: records of the kinds 48 to 4a
//
// Formats from oldestFormat on are read, and raised to this one before anything else is written.
const (
	formatVersion = 3
	oldestFormat  = 1
)

// FormatError says that bytes on disk have a format version that this program does not know (G8).
type FormatError struct {
	Dir   string // "" when What is a value inside the store
	What  string // "the store", "actor row", …
	Found int    // 0: no version is recorded at all
	Known int
}

func (e *FormatError) Error() string {
	where := e.What
	if e.Dir != "" {
		where += " in " + e.Dir
	}
	if e.Found == 0 {
		return fmt.Sprintf("%s says no format version, this program knows version %d: restore the directory from a backup, or choose another one with %s", where, e.Known, StorageVariable)
	}
	return fmt.Sprintf("%s has format version %d, this program knows version %d: run the program that wrote it, or choose another directory with %s", where, e.Found, e.Known, StorageVariable)
}

// LockedError says that somebody has the directory open already.
type LockedError struct {
	Dir   string
	PID   int // of the holder; 0 when unknown
	Cause error
}

func (e *LockedError) Error() string {
	holder := "another process"
	switch e.PID {
	case 0:
	case os.Getpid():
		holder = fmt.Sprintf("this process (pid %d)", e.PID)
	default:
		holder = fmt.Sprintf("the process with pid %d", e.PID)
	}
	return fmt.Sprintf("store directory %s is in use by %s: stop it, or choose another directory with %s", e.Dir, holder, StorageVariable)
}

func (e *LockedError) Unwrap() error { return e.Cause }

// directory is the part of a store's directory that is not Pebble's.
type directory struct {
	fs   vfs.FS
	path string
	lock io.Closer
}

type formatFile struct {
	Store  string `json:"store"`
	Format int    `json:"format"`
}

const formatStore = "rivet"

// openDirectory checks the format, takes the lock and, in a directory that is new or of an older format, writes FORMAT. real says that fsys is the
// real disk, where one directory can be spelled in many ways: the lock of one process against itself goes by name.
func openDirectory(fsys vfs.FS, path string, real bool) (*directory, error) {
	if real {
		abs, err := filepath.Abs(path)
		if err != nil {
			return nil, fmt.Errorf("store directory %s: %w", path, err)
		}
		path = abs
	}
	d := &directory{fs: fsys, path: path}
	if _, err := d.format(); err != nil {
		return nil, err
	}
	if err := d.mkdir(path); err != nil {
		return nil, fmt.Errorf("store directory %s: %w", path, err)
	}
	if real {
		resolved, err := filepath.EvalSymlinks(path)
		if err != nil {
			return nil, fmt.Errorf("store directory %s: %w", path, err)
		}
		d.path = resolved
	}
	if err := d.takeLock(); err != nil {
		return nil, err
	}
	if err := d.writeFormat(); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *directory) file(name string) string { return d.fs.PathJoin(d.path, name) }

// db is the directory that belongs to Pebble.
func (d *directory) db() string { return d.file("db") }

// mkdir makes a directory with its parents, and makes the new names durable.
func (d *directory) mkdir(path string) error {
	var missing []string
	for p := path; ; {
		if _, err := d.fs.Stat(p); err == nil {
			break
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		missing = append(missing, p)
		parent := d.fs.PathDir(p)
		if parent == p {
			break
		}
		p = parent
	}
	if len(missing) == 0 {
		return nil
	}
	if err := d.fs.MkdirAll(path, 0o700); err != nil {
		return err
	}
	for _, p := range missing {
		if err := d.syncDir(d.fs.PathDir(p)); err != nil {
			return err
		}
	}
	return nil
}

func (d *directory) syncDir(path string) error {
	f, err := d.fs.OpenDir(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (d *directory) readFile(name string) ([]byte, error) {
	f, err := d.fs.Open(d.file(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 4096))
}

// format returns the format of the directory, and refuses one that is not known. 0 is a missing FORMAT, which is fine
// while nothing else is there.
func (d *directory) format() (int, error) {
	data, err := d.readFile("FORMAT")
	if errors.Is(err, fs.ErrNotExist) {
		names, err := d.fs.List(d.db())
		if errors.Is(err, fs.ErrNotExist) || err == nil && len(names) == 0 {
			return 0, nil
		}
		if err != nil {
			return 0, fmt.Errorf("store directory %s: %w", d.path, err)
		}
		return 0, &FormatError{Dir: d.path, What: "the store", Known: formatVersion}
	}
	if err != nil {
		return 0, fmt.Errorf("store directory %s: reading FORMAT: %w", d.path, err)
	}
	var f formatFile
	if err := json.Unmarshal(data, &f); err != nil || f.Store != formatStore {
		return 0, &FormatError{Dir: d.path, What: "the store", Known: formatVersion}
	}
	if f.Format < oldestFormat || f.Format > formatVersion {
		return 0, &FormatError{Dir: d.path, What: "the store", Found: f.Format, Known: formatVersion}
	}
	return f.Format, nil
}

// takeLock takes LOCK and leaves our process id for whoever finds it taken. The id has a file of its own because LOCK
// must not be opened: closing it a second time would drop the lock (fcntl).
func (d *directory) takeLock() error {
	lock, err := d.fs.Lock(d.file("LOCK"))
	if err != nil {
		// LOCK that cannot be made, or a file system without locks, is something else than a lock that is taken.
		var errno syscall.Errno
		if pe := (*fs.PathError)(nil); errors.As(err, &pe) ||
			errors.As(err, &errno) && errno != syscall.EAGAIN && errno != syscall.EACCES {
			return fmt.Errorf("store directory %s: locking: %w", d.path, err)
		}
		pid := 0
		if data, err := d.readFile("PID"); err == nil {
			pid, _ = strconv.Atoi(strings.TrimSpace(string(data)))
		}
		return &LockedError{Dir: d.path, PID: pid, Cause: err}
	}
	d.lock = lock
	if f, err := d.fs.Create(d.file("PID"), vfs.WriteCategoryUnspecified); err == nil {
		// Only an error message depends on it: a full disk must not keep a store from opening here.
		_, _ = fmt.Fprintf(f, "%d\n", os.Getpid())
		_ = f.Close()
	}
	return nil
}

// writeFormat writes FORMAT if it is not there, or raises it. The lock is held, so nobody else does.
func (d *directory) writeFormat() error {
	found, err := d.format()
	if err != nil || found == formatVersion {
		return err
	}
	data, err := json.Marshal(formatFile{Store: formatStore, Format: formatVersion})
	if err != nil {
		return err
	}
	if err := d.replace("FORMAT", append(data, '\n')); err != nil {
		return fmt.Errorf("store directory %s: writing FORMAT: %w", d.path, err)
	}
	return nil
}

// replace writes a whole file so that a crash leaves either the old or the new one.
func (d *directory) replace(name string, data []byte) error {
	temp := d.file(name + ".tmp")
	f, err := d.fs.Create(temp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := d.fs.Rename(temp, d.file(name)); err != nil {
		return err
	}
	return d.syncDir(d.path)
}

func (d *directory) close() {
	if d.lock == nil {
		return
	}
	_ = d.fs.Remove(d.file("PID"))
	_ = d.lock.Close()
	d.lock = nil
}
