package actordb

import (
	"context"
	"sync"
	"time"

	"github.com/rivetgo/rivet/internal/actordb/page"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// Getter reads an actor's records.
type Getter interface {
	Get(ctx context.Context, key []byte) ([]byte, error)
	Range(ctx context.Context, s record.Span, reverse bool, limit int) ([]record.Record, error)
}

// View is an actor's records as they were at one commit.
type View = interface {
	Get(ctx context.Context, key []byte) ([]byte, error)
	Range(ctx context.Context, s record.Span, reverse bool, limit int) ([]record.Record, error)
	Close() error
}

// Source is where the pages of a database lie. Reads see every batch that was committed, durable or not.
type Source interface {
	Getter
	// View is the records as they are at this moment.
	View(ctx context.Context) (View, error)
}

// Options bound a database.
type Options struct {
	CacheBytes   int // pages that SQLite keeps in memory between transactions
	MaxTurnBytes int // pages that one transaction may change
}

// DB is the database of one life of an actor. Begin is called by one goroutine at a time, whose Tx ends before the next
// Begin; everything else may be called concurrently.
type DB struct {
	src  Source
	opts Options
	pool *Pool

	mu     sync.Mutex // guards all below
	conn   *conn
	file   *file
	busy   bool // a Tx uses the connection
	closed bool
	used   time.Time // when the last Tx ended
	bytes  int       // what the pool counts
	opens  int       // how often it was opened
}

// New returns a database that is opened by its first use.
func New(src Source, pool *Pool, opts Options) *DB { return &DB{src: src, pool: pool, opts: opts} }

var errClosed = fault.New("sqlite", "closed", "The actor has ended, and its database with it.")

// Begin returns the transaction of a turn. SQLite hears of it with the first statement.
func (d *DB) Begin(ctx context.Context) (*Tx, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errClosed
	}
	if d.conn == nil {
		if err := d.open(ctx); err != nil {
			return nil, err
		}
	}
	d.busy = true
	return &Tx{c: d.conn, onEnd: d.ended}, nil
}

// open opens the connection. The caller holds mu.
func (d *DB) open(ctx context.Context) error {
	head, err := openHead(ctx, d.src)
	if err != nil {
		return explain(ctx, "", err, readError(0, err), "", 0)
	}
	d.file = &file{src: d.src, limit: max(1, d.opts.MaxTurnBytes/page.Size), stored: head, head: head}
	if d.conn, err = open(d.file, d.file, memory(d.file.limit, d.opts.CacheBytes), d.opts.CacheBytes, false); err != nil {
		return err
	}
	d.opens++
	d.bytes = d.size()
	d.pool.opened(d, d.bytes)
	return nil
}

// baseBytes is what an open connection costs without any page.
const baseBytes = 300 << 10

// size is about how much memory the connection holds. The caller holds mu.
func (d *DB) size() int {
	return baseBytes + min(int(d.file.head.Pages)*page.Size, d.opts.CacheBytes)
}

// hugeBytes is after how large a transaction the connection is closed: it never gives memory back otherwise.
const hugeBytes = 16 << 20

// ended is called when the Tx is over. discard says that the connection is not to be used again.
func (d *DB) ended(discard bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.busy, d.used = false, time.Now()
	if discard || d.closed {
		d.shut()
		return
	}
	if n := d.size(); n != d.bytes {
		d.pool.grew(d, n-d.bytes)
		d.bytes = n
	}
}

// shut closes the connection. The caller holds mu.
func (d *DB) shut() {
	if d.conn == nil {
		return
	}
	d.conn.close()
	d.conn, d.file = nil, nil
	d.pool.shut(d, d.bytes)
}

// release closes the connection if nobody uses it, to save memory, and was unused since the given instant. It reports
// whether it is closed now.
func (d *DB) release(since time.Time) bool {
	if !d.mu.TryLock() {
		return false
	}
	defer d.mu.Unlock()
	if d.busy || d.used.After(since) {
		return false
	}
	d.shut()
	return true
}

// Close ends the database: now, or when the Tx that is under way ends.
func (d *DB) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if !d.busy {
		d.shut()
	}
}
