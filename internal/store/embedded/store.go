package embedded

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/id"
)

var errStuck = fmt.Errorf("%w: too many commits wait for the disk", store.ErrUnavailable)

// Store is the embedded driver. Create it with Open.
type Store struct {
	opts    Options
	log     *slog.Logger
	dir     *directory
	opener  opener
	gate    *gate
	syncer  *syncer
	stats   stats
	diskEnd func() // ends the disk's health checks

	current atomic.Pointer[instance] // never nil; a failed one while recovering
	broken  chan *instance           // to the recoverer
	closing chan struct{}
	closed  sync.Once
	ended   chan struct{} // closed by the recoverer's end
	result  error         // of Close

	slots   slots
	stripes [256]stripe
	seed    maphash.Seed
	admin   chan struct{} // one slot: whoever changes namespaces or names holds it
}

// stripe serialises reservations of keys with the same hash.
type stripe struct {
	mu      sync.Mutex
	pending atomic.Int64 // reservations that are applied but not durable
}

type stats struct {
	commits, bytes, failed, recoveries atomic.Uint64
}

// Stats are counters since Open.
type Stats struct {
	Commits    uint64 // batches of any kind that became durable
	Bytes      uint64 // their size
	Failed     uint64 // batches whose outcome is unknown
	Recoveries uint64 // how often the database was opened again after a failure
	Serving    bool   // false while it is recovering
}

var _ store.Store = (*Store)(nil)

// Open opens the store in dir, or makes a new one. It fails with *LockedError when somebody has it open, and with
// *FormatError when its format is not known; in both cases nothing was changed.
func Open(dir string, opts Options) (*Store, error) {
	opts = opts.withDefaults()
	s := &Store{
		opts:    opts,
		log:     opts.Logger,
		diskEnd: func() {},
		broken:  make(chan *instance, 1),
		closing: make(chan struct{}),
		ended:   make(chan struct{}),
		seed:    maphash.MakeSeed(),
		admin:   make(chan struct{}, 1),
	}
	s.slots.byID = make(map[id.ID]*slot)

	fsys, real := opts.FS, false
	if fsys == nil {
		checked, closer := vfs.WithDiskHealthChecks(vfs.Default, 5*time.Second, nil, func(info vfs.DiskSlowInfo) {
			s.log.Warn("store: the disk is slow", "detail", info.String())
		})
		fsys, real = checked, true
		s.diskEnd = func() { _ = closer.Close() }
	}
	d, err := openDirectory(fsys, dir, real)
	if err != nil {
		s.diskEnd()
		return nil, err
	}
	s.dir = d
	s.opener = opener{
		fs: fsys, dir: d.db(), cache: pebble.NewCache(opts.CacheBytes), memTable: opts.MemTableBytes, log: s.log,
		onBroken: func(in *instance) {
			select {
			case s.broken <- in:
			default: // the recoverer knows already
			}
		},
	}
	in, err := s.opener.open()
	if err != nil {
		s.opener.cache.Unref()
		d.close()
		s.diskEnd()
		return nil, fmt.Errorf("opening store in %s: %w", d.path, explain(err))
	}
	s.gate = &gate{maxCount: opts.MaxPendingCommits, maxBytes: opts.MaxPendingBytes, wait: opts.CommitWait, closing: s.closing}
	s.syncer = newSyncer(s.gate, &s.stats)
	s.publish(in)
	go s.recoverer()
	return s, nil
}

// explain adds what an operator can do.
func explain(err error) error {
	if diskFull(err) {
		return fmt.Errorf("%w: free some space, or choose another directory with %s", err, StorageVariable)
	}
	return err
}

func diskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// publish makes in the instance that serves.
func (s *Store) publish(in *instance) {
	s.current.Store(in)
	in.published.Store(true)
	if in.failed() != nil { // between the end of open and published
		s.opener.onBroken(in)
	}
}

// enter admits a call and returns the instance that serves it; exit must follow.
func (s *Store) enter(ctx context.Context) (*instance, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	in := s.current.Load()
	if err := s.enterInstance(in); err != nil {
		return nil, err
	}
	return in, nil
}

func (s *Store) enterInstance(in *instance) error {
	select {
	case <-s.closing:
		return store.ErrClosed
	default:
	}
	return in.enter()
}

// Stats returns the counters.
func (s *Store) Stats() Stats {
	return Stats{
		Commits: s.stats.commits.Load(), Bytes: s.stats.bytes.Load(), Failed: s.stats.failed.Load(),
		Recoveries: s.stats.recoveries.Load(), Serving: s.current.Load().failed() == nil,
	}
}

// Close waits for commits in flight, then closes. After an error everything that was reported durable is still safe;
// notes that nobody waits for (the end of a tenure) may be lost.
func (s *Store) Close() error {
	s.closed.Do(func() {
		close(s.closing)
		<-s.ended
		if in := s.current.Load(); in.retired {
			s.drain()
		} else if in.failed() != nil {
			s.retire(in) // it failed after the recoverer had ended
			s.result = in.failed()
		} else {
			in.leave(0)
			s.drain()
			s.result = in.close()
		}
		s.syncer.stop()
		s.opener.cache.Unref()
		s.dir.close()
		s.diskEnd()
	})
	return s.result
}

// drain waits until the syncer has finished everything that was pushed before.
func (s *Store) drain() {
	done := make(chan struct{})
	s.syncer.push(entry{in: s.current.Load(), done: func(error) { close(done) }})
	<-done
}

// durable waits until everything that was pushed before is durable, or has failed.
func (s *Store) durable(ctx context.Context, in *instance) error {
	done := make(chan error, 1)
	s.syncer.push(entry{in: in, done: func(err error) { done <- err }})
	return await(ctx, done)
}

func await(ctx context.Context, done <-chan error) error {
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// commit applies a batch of the control plane and hands it to the syncer. An error means that nothing was written and
// done is not called. The caller is inside in.
func (s *Store) commit(in *instance, b *pebble.Batch, count *atomic.Int64, done func(error)) error {
	size := b.Len()
	if err := s.gate.enter(in, size); err != nil {
		_ = b.Close()
		return err
	}
	if err := s.applyAndPush(in, b, size, count, done); err != nil {
		s.gate.release(size)
		return err
	}
	return nil
}

func (s *Store) applyAndPush(in *instance, b *pebble.Batch, size int, count *atomic.Int64, done func(error)) error {
	waits, err := in.apply(b, pebble.Sync)
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	if !waits {
		b = nil // the collector's: Pebble may still hold it
	}
	if count != nil {
		count.Add(1)
	}
	s.syncer.push(entry{in: in, batch: b, size: size, count: count, done: done})
	return nil
}

// commitAndWait is commit, and returns when the batch is durable. No context ends the wait: others would see what is
// not durable.
func (s *Store) commitAndWait(in *instance, b *pebble.Batch) error {
	done := make(chan error, 1)
	if err := s.commit(in, b, nil, func(err error) { done <- err }); err != nil {
		return err
	}
	return <-done
}

// Recovery.

const (
	backoffMin = 50 * time.Millisecond
	backoffMax = 5 * time.Second
	// goodFor is how long an instance must have served before its failure begins with a short backoff again.
	goodFor = 10 * time.Second
	// abandonAfter is how long the end of a failed instance is waited for. Since its disk is cut off nothing keeps it
	// from ending, unless Pebble panicked with a lock held; then it is left behind, which is a leak and no danger.
	abandonAfter = 10 * time.Second
)

// recoverer replaces failed instances. It ends when the store is closed.
func (s *Store) recoverer() {
	defer close(s.ended)
	delay, opened := time.Duration(0), time.Now()
	for {
		select {
		case <-s.closing:
			return
		case in := <-s.broken:
			if in != s.current.Load() {
				continue
			}
			if time.Since(opened) > goodFor {
				delay = 0
			}
			if !s.reopen(in, &delay) {
				return
			}
			opened = time.Now()
		}
	}
}

// reopen retires a failed instance and opens a new one, for as long as it takes. It returns false when the store is
// closed first.
func (s *Store) reopen(in *instance, delay *time.Duration) bool {
	cause := in.failed()
	s.log.Error("store: a write failed; all actors stop and reload from what is durable", "dir", s.dir.path, "error", cause)
	s.retire(in)
	for {
		if *delay > 0 {
			t := time.NewTimer(time.Duration((0.5 + rand.Float64()) * float64(*delay)))
			select {
			case <-t.C:
			case <-s.closing:
				t.Stop()
				return false
			}
		}
		*delay = min(max(2*(*delay), backoffMin), backoffMax)
		select {
		case <-s.closing:
			return false
		default:
		}
		if diskFull(cause) && !s.roomAgain() {
			s.log.Warn("store: the disk is full; waiting for space", "dir", s.dir.path)
			continue
		}
		next, err := s.opener.open()
		if err != nil {
			cause = err
			s.log.Warn("store: opening again failed; trying again", "dir", s.dir.path, "error", explain(err))
			continue
		}
		s.stats.recoveries.Add(1)
		s.publish(next)
		s.log.Info("store: serving again", "dir", s.dir.path)
		return true
	}
}

// retire ends a failed instance as well as it can be ended, and makes sure that it changes nothing on disk any more.
func (s *Store) retire(in *instance) {
	left := in.leave(abandonAfter)
	s.drain()
	if left {
		closed := make(chan struct{})
		go func() { // ends with Pebble's Close
			defer close(closed)
			defer func() { _ = recover() }() // it is broken, and its disk is cut off
			_ = in.close()
		}()
		t := time.NewTimer(abandonAfter)
		defer t.Stop()
		select {
		case <-closed:
		case <-t.C:
			left = false
		}
	}
	if !left {
		s.log.Error("store: the failed database did not end; it is left behind and its memory is lost until the process ends")
	}
	in.retired = true
	in.disk.quiesce()
}

// roomAgain reports whether there is room to open: replaying moves the log's content to new files before it frees
// anything. Unknown counts as yes.
func (s *Store) roomAgain() bool {
	usage, err := s.opener.fs.GetDiskUsage(s.dir.path)
	return err != nil || usage.AvailBytes >= uint64(s.opts.MemTableBytes)
}
