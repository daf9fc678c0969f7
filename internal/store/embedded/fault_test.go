package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/store/storetest"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// onWrite calls before with the name of each operation that changes something, "sync 000002.log", and fails the
// operation with its error.
func onWrite(fs vfs.FS, before func(op string) error) vfs.FS {
	names := map[errorfs.OpKind]string{
		errorfs.OpCreate: "create", errorfs.OpRename: "rename", errorfs.OpReuseForWrite: "reuse",
		errorfs.OpFileWrite: "write", errorfs.OpFileSync: "sync", errorfs.OpFileSyncData: "sync", errorfs.OpFileSyncTo: "sync",
		errorfs.OpRemove: "remove", errorfs.OpMkdirAll: "mkdir", errorfs.OpFilePreallocate: "preallocate",
	}
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		name, ok := names[op.Kind]
		if !ok {
			return nil
		}
		return before(name + " " + fs.PathBase(op.Path))
	}))
}

// signals is a slog.Handler that tells when the store says that it serves again, or that it could not open.
type signals struct {
	slog.Handler
	mu      sync.Mutex
	serving chan struct{} // closed at the next "serving again"
	failing chan string   // "opening again failed", "waiting for space", "still replaying"
}

func newSignals() *signals {
	return &signals{Handler: slog.NewTextHandler(io.Discard, nil), serving: make(chan struct{}), failing: make(chan string, 100)}
}

func (s *signals) Handle(_ context.Context, r slog.Record) error {
	switch {
	case strings.Contains(r.Message, "serving again"):
		s.mu.Lock()
		close(s.serving)
		s.serving = make(chan struct{})
		s.mu.Unlock()
	case strings.Contains(r.Message, "still replaying"), strings.Contains(r.Message, "opening again failed"), strings.Contains(r.Message, "waiting for space"):
		select {
		case s.failing <- r.Message:
		default:
		}
	}
	return nil
}

func (s *signals) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.serving
}

// untilServed repeats f until it is not told to come later, waiting for the store to serve in between.
func untilServed(sig *signals, f func() error) error {
	for {
		next := sig.next() // before f, so that no signal is missed
		err := f()
		var ce *store.CommitError
		switch {
		case errors.Is(err, store.ErrUnavailable):
			<-next
		case errors.As(err, &ce):
			// Either the store fails now, and f will be told so, or it serves again already.
		default:
			return err
		}
	}
}

// live makes some actors work until each has done its rounds of commits of the given size, whatever happens to the
// disk.
func live(t *testing.T, s *Store, sig *signals, ledger *storetest.Ledger, actors, rounds, size int) {
	var wg sync.WaitGroup
	for i := range actors {
		wg.Go(func() {
			var actor id.ID
			err := untilServed(sig, func() (err error) {
				actor, err = ledger.Reserve(context.Background(), s, fmt.Sprint(i))
				return err
			})
			for round := 0; err == nil && round < rounds; round++ {
				err = untilServed(sig, func() error { return ledger.Work(context.Background(), s, actor, 8, size) })
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// verify checks a store that serves: nothing acknowledged is missing, neither now nor after a power cut at once.
func verify(t *testing.T, s *Store, fs *vfs.MemFS, sig *signals, ledger *storetest.Ledger) {
	t.Helper()
	var found map[id.ID]uint64
	err := untilServed(sig, func() (err error) {
		found, err = storetest.Check(context.Background(), s, ledger.Acked())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	cut := open(t, "store", smallOn(fs.CrashClone(vfs.CrashCloneCfg{})))
	defer cut.Close()
	if _, err := storetest.Check(context.Background(), cut, found); err != nil {
		t.Fatalf("after a power cut: %v", err)
	}
}

// TestG10_EachFailingOperation fails the n-th operation that changes the disk, for many n, once. The process goes on,
// the store recovers, and nothing acknowledged is lost.
func TestG10_EachFailingOperation(t *testing.T) {
	step := 3 // each third one: they come again and again
	if testing.Short() {
		step = 7
	}
	failed := make(map[string]int)
	for n := 0; ; n += step {
		fs, sig := vfs.NewCrashableMem(), newSignals()
		var armed atomic.Bool
		var count atomic.Int64
		var what atomic.Value
		o := smallOn(onWrite(fs, func(op string) error {
			if armed.Load() && count.Add(1) == int64(n)+1 {
				what.Store(op)
				return &errno{syscall.EIO}
			}
			return nil
		}))
		o.Logger = slog.New(sig)
		s := open(t, "store", o)
		ledger := storetest.NewLedger()
		armed.Store(true)
		live(t, s, sig, ledger, 3, 4, 12_000)
		verify(t, s, fs, sig, ledger)
		err := s.Close()
		op, reached := what.Load().(string)
		if t.Failed() || err != nil && s.Stats().Serving {
			t.Fatalf("operation %d, %s: %v", n, op, err)
		}
		if !reached {
			t.Logf("failing operations: %v", failed)
			return
		}
		verb, file, _ := strings.Cut(op, " ")
		if i := strings.IndexByte(file, '.'); i > 0 {
			file = file[i:]
		}
		failed[verb+" "+strings.TrimRight(file, "0123456789-.")]++
	}
}

// errno is a system error that is not wrapped in anything known.
type errno struct{ err syscall.Errno }

func (e *errno) Error() string { return "injected: " + e.err.Error() }
func (e *errno) Unwrap() error { return e.err }

// TestG10_DiskFullUntilHealed fails every write for a while, of everything or of the log only.
func TestG10_DiskFullUntilHealed(t *testing.T) {
	for _, tt := range []struct {
		name  string
		err   error
		match func(op string) bool
	}{
		{"disk_full", syscall.ENOSPC, func(op string) bool {
			return strings.HasPrefix(op, "write ") || strings.HasPrefix(op, "create ") || strings.HasPrefix(op, "preallocate ")
		}},
		{"log_fsync", syscall.EIO, func(op string) bool { return strings.HasPrefix(op, "sync ") && strings.HasSuffix(op, ".log") }},
		{"every_fsync", syscall.EIO, func(op string) bool { return strings.HasPrefix(op, "sync ") }},
		{"tables", syscall.EIO, func(op string) bool { return strings.HasSuffix(op, ".sst") }},
		{"manifest", syscall.EIO, func(op string) bool { return strings.Contains(op, "MANIFEST") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fs, sig := vfs.NewCrashableMem(), newSignals()
			var sick atomic.Bool
			o := smallOn(onWrite(fs, func(op string) error {
				if sick.Load() && tt.match(op) {
					return &errno{tt.err.(syscall.Errno)}
				}
				return nil
			}))
			o.Logger = slog.New(sig)
			s := open(t, "store", o)
			defer s.Close()
			ledger := storetest.NewLedger()
			live(t, s, sig, ledger, 3, 3, 3000)
			sick.Store(true)
			worked := make(chan struct{})
			go func() {
				defer close(worked)
				live(t, s, sig, ledger, 3, 6, 3000)
			}()
			if tt.name == "log_fsync" {
				// Opening needs no sync of a log, so the store comes back and fails again and again.
				<-sig.next()
				<-sig.next()
			} else {
				<-sig.failing
				<-sig.failing
				_, err := s.Acquire(context.Background(), id.New(1))
				if !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, tt.err) {
					t.Errorf("acquire on a sick disk: %v", err)
				}
			}
			sick.Store(false)
			<-worked
			verify(t, s, fs, sig, ledger)
			if got := s.Stats(); got.Recoveries == 0 || !got.Serving {
				t.Errorf("stats %+v", got)
			}
		})
	}
}

// TestG10_FailedCommit looks at one failing fsync from close.
func TestG10_FailedCommit(t *testing.T) {
	fs, sig := vfs.NewCrashableMem(), newSignals()
	var sick atomic.Bool
	o := smallOn(onWrite(fs, func(op string) error {
		if strings.HasPrefix(op, "sync ") && strings.HasSuffix(op, ".log") && sick.CompareAndSwap(true, false) {
			return &errno{syscall.EIO}
		}
		return nil
	}))
	o.Logger = slog.New(sig)
	s := open(t, "store", o)
	defer s.Close()
	ctx := context.Background()
	actor, err := storetest.NewLedger().Reserve(ctx, s, "k")
	if err != nil {
		t.Fatal(err)
	}
	tn, err := s.Acquire(ctx, actor)
	if err != nil {
		t.Fatal(err)
	}
	// Another actor's tenure dies as well: it may have read what is lost now.
	bystander, err := storetest.NewLedger().Reserve(ctx, s, "l")
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.Acquire(ctx, bystander)
	if err != nil {
		t.Fatal(err)
	}
	next := sig.next()
	sick.Store(true)
	done := make(chan error, 10)
	accepted := 0
	for range 10 {
		b := &record.Batch{}
		b.Put(record.Key(record.KindState), []byte("v"))
		if err := tn.Commit(b, func(err error) { done <- err }); err == nil {
			accepted++
		} else if !errors.Is(err, store.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	var ce *store.CommitError
	for i := range accepted {
		if err := <-done; !errors.As(err, &ce) || !errors.Is(err, syscall.EIO) {
			t.Fatalf("commit %d of %d: %v", i, accepted, err)
		}
	}
	for _, tn := range []store.Tenure{tn, other} {
		if err := tn.Commit(&record.Batch{}, func(error) { t.Error("done") }); !errors.Is(err, store.ErrUnavailable) {
			t.Fatal(err)
		}
		if _, err := tn.Get(ctx, []byte{1}); !errors.Is(err, store.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	<-next
	if err := tn.Commit(&record.Batch{}, func(error) { t.Error("done") }); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("a dead tenure came back: %v", err)
	}
	again, err := s.Acquire(ctx, actor)
	if err != nil {
		t.Fatal(err)
	}
	if again.Generation() <= tn.Generation() {
		t.Fatalf("generation %d after %d", again.Generation(), tn.Generation())
	}
	if err := tn.Commit(&record.Batch{}, func(error) { t.Error("done") }); !errors.Is(err, store.ErrFenced) {
		t.Fatal(err)
	}
	_ = other.Release(time.Time{})
}

// TestReserveFails: the durable function of a reservation, and of one that found its row, reports the failure; the
// row is either there or not, and the key works afterwards.
func TestReserveFails(t *testing.T) {
	fs, sig := vfs.NewCrashableMem(), newSignals()
	reached, release := make(chan struct{}), make(chan struct{})
	var sick atomic.Bool
	o := smallOn(onWrite(fs, func(op string) error {
		if strings.HasPrefix(op, "sync ") && strings.HasSuffix(op, ".log") && sick.CompareAndSwap(true, false) {
			close(reached)
			<-release
			return &errno{syscall.EIO}
		}
		return nil
	}))
	o.Logger = slog.New(sig)
	s := open(t, "store", o)
	defer s.Close()
	ctx := context.Background()
	next := sig.next()
	sick.Store(true)
	n := func() store.NewActor {
		return store.NewActor{ID: id.New(1), Name: "n", Key: "k", HasKey: true, CreatedAt: time.Now()}
	}
	done := make(chan error, 2)
	first, created, err := s.Reserve(ctx, n(), func(err error) { done <- err })
	if err != nil || !created {
		t.Fatal(created, err)
	}
	<-reached
	second, created, err := s.Reserve(ctx, n(), func(err error) { done <- err })
	if err != nil || created || first.ID != second.ID {
		t.Fatal(created, err)
	}
	select {
	case err := <-done:
		t.Fatalf("durable before the fsync has ended: %v", err)
	default:
	}
	close(release)
	var ce *store.CommitError
	for range 2 {
		if err := <-done; !errors.As(err, &ce) {
			t.Fatal(err)
		}
	}
	<-next
	if _, _, err := s.Reserve(ctx, n(), func(err error) { done <- err }); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestG7_BackPressure: with a stuck disk, commits wait at the gate and are refused in the end; nothing is lost.
func TestG7_BackPressure(t *testing.T) {
	fs := vfs.NewCrashableMem()
	reached, release := make(chan struct{}), make(chan struct{})
	var stuck atomic.Bool
	o := smallOn(onWrite(fs, func(op string) error {
		if strings.HasPrefix(op, "sync ") && strings.HasSuffix(op, ".log") && stuck.CompareAndSwap(true, false) {
			close(reached)
			<-release
		}
		return nil
	}))
	o.MaxPendingCommits, o.CommitWait = 3, time.Millisecond
	s := open(t, "store", o)
	defer s.Close()
	ctx := context.Background()
	actor, err := storetest.NewLedger().Reserve(ctx, s, "k")
	if err != nil {
		t.Fatal(err)
	}
	tn, err := s.Acquire(ctx, actor)
	if err != nil {
		t.Fatal(err)
	}
	stuck.Store(true)
	done := make(chan error, 10)
	for i := range 3 {
		b := &record.Batch{}
		b.Put(record.Key(record.KindState, byte(i)), []byte("v"))
		if err := tn.Commit(b, func(err error) { done <- err }); err != nil {
			t.Fatal(err)
		}
	}
	<-reached
	b := &record.Batch{}
	b.Put(record.Key(record.KindState, 9), []byte("v"))
	if err := tn.Commit(b, func(error) { t.Error("done of a refused commit") }); !errors.Is(err, store.ErrUnavailable) {
		t.Fatal(err)
	}
	close(release)
	for range 3 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tn.Get(ctx, record.Key(record.KindState, 9)); !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
}

// TestDiskFullWaitsForSpace: after ENOSPC the store does not open again before there is room for it.
func TestDiskFullWaitsForSpace(t *testing.T) {
	fs, sig := vfs.NewCrashableMem(), newSignals()
	var sick atomic.Bool
	o := smallOn(onWrite(fs, func(op string) error {
		if strings.HasPrefix(op, "write ") && sick.CompareAndSwap(true, false) {
			return &errno{syscall.ENOSPC}
		}
		return nil
	}))
	o.Logger = slog.New(sig)
	s := open(t, "store", o)
	defer s.Close()
	ctx := context.Background()
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 10, TotalBytes: 1 << 30, UsedBytes: 1<<30 - 1<<10})
	sick.Store(true)
	if err := s.CreateNamespace(ctx, store.Namespace{ID: id.New(1), Name: "n"}); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	<-sig.failing
	next := sig.next()
	if _, err := s.Namespaces(ctx); !errors.Is(err, store.ErrUnavailable) {
		t.Fatal(err)
	}
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 29, TotalBytes: 1 << 30, UsedBytes: 1 << 29})
	<-next
	if _, err := s.Namespaces(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestCloseWhileRecovering: Close does not wait for a disk that never heals.
func TestCloseWhileRecovering(t *testing.T) {
	fs, sig := vfs.NewCrashableMem(), newSignals()
	var sick atomic.Bool
	o := smallOn(onWrite(fs, func(string) error {
		if sick.Load() {
			return &errno{syscall.EIO}
		}
		return nil
	}))
	o.Logger = slog.New(sig)
	s := open(t, "store", o)
	sick.Store(true)
	if err := s.CreateNamespace(context.Background(), store.Namespace{ID: id.New(1), Name: "n"}); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	<-sig.failing
	if err := s.Close(); err != nil {
		t.Log(err)
	}
	if _, err := s.Namespaces(context.Background()); !errors.Is(err, store.ErrClosed) {
		t.Fatal(err)
	}
}

// TestFatalIsAFailure: when Pebble gives up by itself, the store opens it again.
func TestFatalIsAFailure(t *testing.T) {
	sig := newSignals()
	o := smallOn(vfs.NewMem())
	o.Logger = slog.New(sig)
	s := open(t, "store", o)
	defer s.Close()
	next := sig.next()
	(&pebbleLogger{log: quiet, in: s.current.Load()}).Fatalf("invariant %d", 1)
	if _, err := s.Namespaces(context.Background()); err != nil && !errors.Is(err, store.ErrUnavailable) {
		t.Fatal(err)
	}
	<-next
	if _, err := s.Namespaces(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// TestPanicIsAFailure: a panic in Pebble's commit path neither ends the process nor the store.
func TestPanicIsAFailure(t *testing.T) {
	sig := newSignals()
	o := smallOn(vfs.NewMem())
	o.Logger = slog.New(sig)
	s := open(t, "store", o)
	defer s.Close()
	next := sig.next()
	in := s.current.Load()
	if err := in.enter(); err != nil {
		t.Fatal(err)
	}
	b := in.db.NewBatch()
	_ = b.Set([]byte{0xff}, nil, nil)
	for i, want := range []bool{true, false} { // Pebble panics when a batch is applied twice
		if waits, err := in.apply(b, pebble.Sync); err != nil || waits != want {
			t.Fatal(i, waits, err)
		}
	}
	_ = b.SyncWait()
	in.exit()
	<-next
	if _, err := s.Namespaces(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// failingCompactions fails what compactions write while sick is set.
type failingCompactions struct {
	vfs.FS
	sick   atomic.Bool
	failed atomic.Int64
}

func (f *failingCompactions) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if category == "pebble-compaction" && f.sick.Load() {
		f.failed.Add(1)
		return nil, &errno{syscall.EIO}
	}
	return f.FS.Create(name, category)
}

// TestFailingCompactionsHurtNobody until commits would have to wait for them; then the store fails in an orderly way,
// and all is well when the disk is.
func TestFailingCompactionsHurtNobody(t *testing.T) {
	fs, sig := vfs.NewCrashableMem(), newSignals()
	sick := &failingCompactions{FS: fs}
	sick.sick.Store(true)
	o := smallOn(sick)
	o.Logger = slog.New(sig)
	s := open(t, "store", o)
	defer s.Close()
	ledger := storetest.NewLedger()
	for i := 0; sick.failed.Load() == 0; i++ {
		live(t, s, sig, ledger, 3, 1, 12_000)
	}
	if got := s.Stats(); got.Recoveries != 0 || got.Failed != 0 {
		t.Fatalf("stats %+v", got)
	}
	worked := make(chan struct{})
	go func() {
		defer close(worked)
		for s.Stats().Recoveries == 0 && !t.Failed() {
			live(t, s, sig, ledger, 3, 3, 12_000)
		}
	}()
	<-sig.next()
	sick.sick.Store(false)
	<-worked
	verify(t, s, fs, sig, ledger)
}

// TestSlowOpeningIsLogged opens on a disk that does nothing until the log has said so.
func TestSlowOpeningIsLogged(t *testing.T) {
	sig := newSignals()
	o := smallOn(onWrite(vfs.NewMem(), func(op string) error {
		if strings.HasPrefix(op, "create MANIFEST") {
			if msg := <-sig.failing; !strings.Contains(msg, "still replaying") {
				t.Error(msg)
			}
		}
		return nil
	}))
	o.Logger = slog.New(sig)
	if err := open(t, "store", o).Close(); err != nil {
		t.Fatal(err)
	}
}
