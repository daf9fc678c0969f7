package embedded

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/rivetgo/rivet/internal/store"
)

// entry is a batch that was applied and waits to be durable, or a marker that waits for everything before it.
type entry struct {
	in    *instance
	batch *pebble.Batch // nil: nothing of its own to wait for
	size  int           // room it holds in the gate
	count *atomic.Int64 // decremented when the entry is done; nil for none
	done  func(error)
}

// syncer waits for batches to be synced, in the order in which they were pushed, and calls their done.
type syncer struct {
	gate  *gate
	stats *stats

	mu     sync.Mutex
	some   sync.Cond // queue is not empty, or end is set
	queue  []entry
	end    bool
	ended  chan struct{}
	asleep bool
}

func newSyncer(g *gate, st *stats) *syncer {
	s := &syncer{gate: g, stats: st, ended: make(chan struct{})}
	s.some.L = &s.mu
	go s.run()
	return s
}

// push appends an entry. Entries of one actor, and markers behind them, must be pushed in their order by the caller.
// After stop only markers come, and there is nothing left for them to wait for.
func (s *syncer) push(e entry) {
	s.mu.Lock()
	if s.end {
		s.mu.Unlock()
		e.done(store.ErrClosed)
		return
	}
	s.queue = append(s.queue, e)
	wake := s.asleep
	s.asleep = false
	s.mu.Unlock()
	if wake {
		s.some.Signal()
	}
}

// run ends when stop is called.
func (s *syncer) run() {
	defer close(s.ended)
	var batch []entry
	for {
		s.mu.Lock()
		for len(s.queue) == 0 && !s.end {
			s.asleep = true
			s.some.Wait()
		}
		s.asleep = false
		if len(s.queue) == 0 {
			s.mu.Unlock()
			return
		}
		batch, s.queue = s.queue, batch[:0]
		s.mu.Unlock()
		for i := range batch {
			s.finish(&batch[i])
			batch[i] = entry{}
		}
		if cap(batch) > 4*maxPendingCommits {
			batch = nil
		}
	}
}

func (s *syncer) finish(e *entry) {
	var err error
	if e.batch != nil {
		if err = e.batch.SyncWait(); err == nil {
			_ = e.batch.Close()
		}
	}
	// Only now: a failure is recorded before Pebble learns the outcome of the sync.
	if cause := e.in.failed(); cause != nil {
		err = cause
	}
	if err != nil {
		e.in.disk.cut(err) // in case Pebble itself found the reason
		err = &store.CommitError{Cause: err}
		if e.size > 0 {
			s.stats.failed.Add(1)
		}
	} else if e.size > 0 {
		s.stats.commits.Add(1)
		s.stats.bytes.Add(uint64(e.size))
	}
	if e.count != nil {
		e.count.Add(-1)
	}
	e.done(err)
	if e.size > 0 {
		s.gate.release(e.size)
	}
}

// stop ends the goroutine after everything that was pushed.
func (s *syncer) stop() {
	s.mu.Lock()
	s.end = true
	s.mu.Unlock()
	s.some.Signal()
	<-s.ended
}

// gate bounds what is applied but not durable. Who enters may overshoot the bytes: a large commit must not starve
// behind small ones.
type gate struct {
	maxCount, maxBytes int
	wait               time.Duration
	closing            <-chan struct{}

	mu    sync.Mutex
	count int
	bytes int
	room  chan struct{} // closed when there may be room again; nil while nobody waits
}

// enter takes room for size bytes. It blocks while there is none, at most as long as g.wait.
func (g *gate) enter(in *instance, size int) error {
	var timeout <-chan time.Time
	for {
		g.mu.Lock()
		if g.count < g.maxCount && g.bytes < g.maxBytes {
			g.count++
			g.bytes += size
			g.mu.Unlock()
			return nil
		}
		if g.room == nil {
			g.room = make(chan struct{})
		}
		room := g.room
		g.mu.Unlock()
		if timeout == nil {
			t := time.NewTimer(g.wait)
			defer t.Stop()
			timeout = t.C
		}
		select {
		case <-room:
		case <-timeout:
			return errStuck
		case <-in.broken:
			return in.unavailable()
		case <-g.closing:
			return store.ErrClosed
		}
	}
}

func (g *gate) release(size int) {
	g.mu.Lock()
	g.count--
	g.bytes -= size
	// Half empty before the waiting ones are woken, so that they do not all run for one free place.
	if g.room != nil && g.count <= g.maxCount/2 && g.bytes <= g.maxBytes/2 {
		close(g.room)
		g.room = nil
	}
	g.mu.Unlock()
}
