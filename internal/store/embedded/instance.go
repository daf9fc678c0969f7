package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// pebbleFormat is pinned, not pebble.FormatNewest: a raised format cannot be lowered again, so a new release of Pebble
// must not raise it unnoticed.
const pebbleFormat = pebble.FormatValueSeparation

// instance is one opened Pebble. When it fails it is replaced as a whole.
type instance struct {
	db     *pebble.DB
	disk   *disk
	broken chan struct{} // closed when it fails

	// users counts the calls that are inside; gone refuses new ones. The order (count first, look second) makes sure
	// that leave sees every call that saw gone unset.
	users atomic.Int64
	gone  atomic.Bool
	idle  chan struct{} // a hint that users became zero

	pace  pace
	views views

	published atomic.Bool // it is the store's current instance: a failure must start a recovery
	retired   bool        // the recoverer has ended it
}

// failed returns why the instance failed, or nil.
func (in *instance) failed() error { return in.disk.failure() }

// unavailable is the answer to calls that meet a failed instance.
func (in *instance) unavailable() error {
	return fmt.Errorf("%w: %w", store.ErrUnavailable, in.failed())
}

// enter admits a call. When it returns nil, exit must follow.
func (in *instance) enter() error {
	in.users.Add(1)
	if in.failed() != nil {
		in.exit()
		return in.unavailable()
	}
	if in.gone.Load() {
		in.exit()
		return store.ErrClosed
	}
	return nil
}

func (in *instance) exit() {
	if in.users.Add(-1) == 0 && in.gone.Load() {
		select {
		case in.idle <- struct{}{}:
		default:
		}
	}
}

// leave refuses new calls and waits for those inside, but not longer than patience. It reports whether all have left.
func (in *instance) leave(patience time.Duration) bool {
	in.gone.Store(true)
	var timeout <-chan time.Time
	if patience > 0 {
		t := time.NewTimer(patience)
		defer t.Stop()
		timeout = t.C
	}
	for in.users.Load() != 0 {
		select {
		case <-in.idle:
		case <-timeout:
			return false
		}
	}
	return true
}

// apply applies the batch and returns before it is synced. An error means that nothing was written. waits says whether
// SyncWait must be called: after a failure it might never return.
func (in *instance) apply(b *pebble.Batch, o *pebble.WriteOptions) (waits bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			// Pebble panics inside the commit pipeline when it can go no further. Whether the batch got into the log
			// is unknown, like after any failed commit.
			in.disk.cut(fmt.Errorf("pebble panicked: %v", r))
			waits, err = false, nil
		}
	}()
	if o.Sync {
		err = in.db.ApplyNoSyncWait(b, o)
	} else {
		err = in.db.Apply(b, o)
	}
	if err != nil {
		return false, err
	}
	in.pace.applied.Add(1)
	return o.Sync && in.failed() == nil, nil
}

// get returns a copy of the value; ok is false when there is none.
func (in *instance) get(key []byte) (value []byte, ok bool, err error) { return in.getFrom(in.db, key) }

// getFrom is get from the database or a snapshot of it.
func (in *instance) getFrom(r pebble.Reader, key []byte) (value []byte, ok bool, err error) {
	v, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, in.readError(nil)
	}
	if err != nil {
		return nil, false, in.readError(err)
	}
	value = append(make([]byte, 0, len(v)), v...)
	return value, true, in.readError(closer.Close())
}

// readError is what a read returns: what was read from an instance that failed meanwhile may be lost already.
func (in *instance) readError(err error) error {
	if in.failed() != nil {
		return in.unavailable()
	}
	if err != nil {
		return fmt.Errorf("store: reading: %w", err)
	}
	return nil
}

// scan calls each for every key of [from, to), ascending or descending, until it returns false. The slices are valid
// only during the call.
func (in *instance) scan(from, to []byte, reverse bool, each func(key, value []byte) (bool, error)) (err error) {
	return in.scanFrom(in.db, from, to, reverse, each)
}

// scanFrom is scan of the database or a snapshot of it.
func (in *instance) scanFrom(r pebble.Reader, from, to []byte, reverse bool, each func(key, value []byte) (bool, error)) (err error) {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return in.readError(err)
	}
	step, ok := it.Next, false
	if reverse {
		step, ok = it.Prev, it.Last()
	} else {
		ok = it.First()
	}
	for more := true; ok && more; {
		v, verr := it.ValueAndErr()
		if verr != nil {
			err = verr
			break
		}
		var eachErr error
		if more, eachErr = each(it.Key(), v); eachErr != nil {
			_ = it.Close()
			if in.failed() != nil {
				return in.unavailable()
			}
			return eachErr
		}
		if more {
			ok = step()
		}
	}
	return in.readError(errors.Join(err, it.Error(), it.Close()))
}

// records returns at most limit records of an actor, from the database or a snapshot of it.
func (in *instance) records(ctx context.Context, r pebble.Reader, actor id.ID, s record.Span, reverse bool, limit int) ([]record.Record, error) {
	s, some := recordSpan(s)
	if !some || limit < 1 {
		return nil, nil
	}
	from, to := bounds(actor, s)
	var out []record.Record
	err := in.scanFrom(r, from, to, reverse, func(key, value []byte) (bool, error) {
		key = key[actorPrefixLen:]
		both := append(append(make([]byte, 0, len(key)+len(value)), key...), value...)
		n := len(key)
		out = append(out, record.Record{Key: both[:n:n], Value: both[n:]})
		return len(out) < limit, ctx.Err()
	})
	return out, err
}

// bounds are the database keys of a clamped span.
func bounds(actor id.ID, s record.Span) (from, to []byte) {
	p := actorPrefix(actor)
	from = append(p[:], s.From...)
	if len(s.To) == 0 {
		return from, successor(p[:])
	}
	return from, append(p[:], s.To...)
}

// opener is what all instances of a store have in common.
type opener struct {
	fs       vfs.FS
	dir      string // Pebble's
	cache    *pebble.Cache
	memTable int
	log      *slog.Logger
	onBroken func(*instance)
}

// openingPatience is how long opening may take before it is worth a line in the log.
const openingPatience = time.Second

func (o *opener) open() (in *instance, err error) {
	in = &instance{broken: make(chan struct{}), idle: make(chan struct{}, 1)}
	in.disk = newDisk(o.fs, o.dir, func() {
		close(in.broken)
		if in.published.Load() {
			o.onBroken(in)
		}
	})
	log := &pebbleLogger{log: o.log, in: in}
	opts := &pebble.Options{
		FS:                 in.disk,
		Cache:              o.cache,
		MemTableSize:       uint64(o.memTable),
		FormatMajorVersion: pebbleFormat,
		Logger:             log,
		EventListener:      log.events(),
		WALMinSyncInterval: in.pace.rest,
	}
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10) // most gets are for keys that may not exist
	}
	done := o.watch()
	in.db, err = openPebble(o.dir, opts)
	done()
	if cause := in.failed(); cause != nil {
		// A write failed, and whatever Open says was built on writes that were thrown away.
		if in.db != nil {
			_ = in.close()
		}
		return nil, cause
	}
	if err != nil {
		return nil, err
	}
	return in, nil
}

func openPebble(dir string, opts *pebble.Options) (db *pebble.DB, err error) {
	defer func() {
		if r := recover(); r != nil {
			db, err = nil, fmt.Errorf("pebble panicked while opening: %v", r)
		}
	}()
	return pebble.Open(dir, opts)
}

// watch writes to the log while an opening takes long.
func (o *opener) watch() (done func()) {
	began := time.Now()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // ends when stop is closed
		defer close(stopped)
		t := time.NewTimer(openingPatience)
		defer t.Stop()
		for {
			select {
			case <-stop:
				return
			case <-t.C:
				o.log.Info("opening store: still replaying the write-ahead log", "dir", o.dir, "elapsed", time.Since(began).Round(time.Second))
				t.Reset(5 * openingPatience)
			}
		}
	}()
	return func() { close(stop); <-stopped }
}

// close ends the instance: nobody may be inside. It returns an error when something may not have reached the disk.
func (in *instance) close() error {
	in.disk.stopHolding()
	in.closeViews()
	err := in.db.Close()
	if cause := in.failed(); cause != nil {
		return cause
	}
	return err
}

// pebbleLogger hands Pebble's messages to slog, and its fatal ones to the failure path. Fatalf returns: Pebble goes on
// for a moment, on a disk that is cut off.
type pebbleLogger struct {
	log     *slog.Logger
	in      *instance
	stalled atomic.Bool // Pebble holds writers back
}

func (l *pebbleLogger) Infof(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("pebble: " + fmt.Sprintf(format, args...))
	}
}

func (l *pebbleLogger) Errorf(format string, args ...any) {
	if l.in.failed() == nil { // afterwards it is noise
		l.log.Warn("pebble: " + fmt.Sprintf(format, args...))
	}
}

func (l *pebbleLogger) Fatalf(format string, args ...any) {
	l.in.disk.cut(fmt.Errorf("pebble gave up: "+format, args...))
}

func (l *pebbleLogger) events() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) { l.Errorf("background work failed: %v", err) },
		// Without this hook Pebble calls Fatalf. Opening again would not mend a damaged table: whoever reads it gets
		// the error, everybody else is served.
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			if l.in.failed() == nil {
				l.log.Error("store: damaged data on disk", "detail", info.String())
			}
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			l.stalled.Store(true)
			l.log.Warn("store: writes wait for compactions or flushes", "reason", info.Reason)
		},
		WriteStallEnd: func() {
			l.stalled.Store(false)
			l.log.Info("store: writes go on")
		},
		// A failed compaction is nobody's business until commits wait for it: then they would wait for ever.
		CompactionEnd: func(info pebble.CompactionInfo) {
			if info.Err != nil && !errors.Is(info.Err, pebble.ErrCancelledCompaction) && l.stalled.Load() {
				l.in.disk.cut(fmt.Errorf("commits wait for a compaction that fails: %w", info.Err))
			}
		},
	}
}
