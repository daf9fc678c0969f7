package embedded

import (
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// StorageVariable is the environment variable that chooses the directory; messages to operators name it.
const StorageVariable = "RIVETKIT_STORAGE_PATH"

// Options tune a store. The zero value is right for most uses.
type Options struct {
	// FS is the file system; nil is the real disk.
	FS vfs.FS
	// Logger gets what operators should know; nil is slog.Default().
	Logger *slog.Logger
	// Now is the clock for the rows' times; nil is time.Now.
	Now func() time.Time

	// CacheBytes is the memory for blocks read from disk. 0 is 32 MiB.
	CacheBytes int64
	// MemTableBytes is the size at which recent writes are moved from memory to a table file; up to four of them may
	// exist. They start small and grow to this size only under load. 0 is 16 MiB.
	MemTableBytes int

	// MaxPendingCommits bounds the commits that wait to be durable. 0 is 4000, which is also the maximum.
	MaxPendingCommits int
	// MaxPendingBytes bounds their bytes: while there are that many, no other is let in. 0 is 64 MiB.
	MaxPendingBytes int
	// CommitWait is how long a commit waits for room before it returns store.ErrUnavailable. 0 is 10 s.
	CommitWait time.Duration
}

// maxPendingCommits stays below the 4095 commits that Pebble lets wait for a sync at once (record.SyncConcurrency), so
// that commits wait at our gate, where they can be refused, and not inside Pebble.
const maxPendingCommits = 4000

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.CacheBytes <= 0 {
		o.CacheBytes = 32 << 20
	}
	if o.MemTableBytes <= 0 {
		o.MemTableBytes = 16 << 20
	}
	if o.MaxPendingCommits <= 0 || o.MaxPendingCommits > maxPendingCommits {
		o.MaxPendingCommits = maxPendingCommits
	}
	if o.MaxPendingBytes <= 0 {
		o.MaxPendingBytes = 64 << 20
	}
	if o.CommitWait <= 0 {
		o.CommitWait = 10 * time.Second
	}
	return o
}
