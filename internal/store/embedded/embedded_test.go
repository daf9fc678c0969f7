package embedded

import (
	"io"
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func open(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	if o.Logger == nil {
		o.Logger = quiet
	}
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) store.Store { return open(t, "store", Options{FS: vfs.NewMem()}) })
	})
	t.Run("disk", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) store.Store { return open(t, t.TempDir(), Options{}) })
	})
	t.Run("small", func(t *testing.T) { // flushes, rotations and back-pressure all the time
		storetest.Run(t, func(t *testing.T) store.Store {
			return open(t, "store", Options{FS: vfs.NewMem(), MemTableBytes: 256 << 10, CacheBytes: 64 << 10, MaxPendingCommits: 4, MaxPendingBytes: 1 << 10})
		})
	})
}
