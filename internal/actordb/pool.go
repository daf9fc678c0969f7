package actordb

import (
	"container/list"
	"sync"
	"time"
)

// Pool bounds what the open databases of a process hold in memory, and closes those that were not used for a while.
//
// Locks: a DB calls the pool with its own lock held, so the pool never waits for a DB: it asks, and passes over those that
// are busy.
type Pool struct {
	limit int
	idle  time.Duration

	mu    sync.Mutex // guards all below
	open  *list.List // of *DB, least recently opened or checked first
	at    map[*DB]*list.Element
	bytes int
	timer *time.Timer // runs while a database is open
}

// NewPool returns a pool that closes databases when more than limit bytes are in use, and those that were idle for so long.
func NewPool(limit int, idle time.Duration) *Pool {
	return &Pool{limit: limit, idle: idle, open: list.New(), at: make(map[*DB]*list.Element)}
}

// opened counts a database that was just opened, and makes room for it.
func (p *Pool) opened(d *DB, bytes int) {
	p.mu.Lock()
	p.at[d] = p.open.PushBack(d)
	p.bytes += bytes
	if p.timer == nil {
		p.timer = time.AfterFunc(p.idle, p.sweep)
	}
	p.mu.Unlock()
	p.makeRoom(d)
}

// grew notes that an open database holds more.
func (p *Pool) grew(d *DB, by int) {
	p.mu.Lock()
	p.bytes += by
	p.mu.Unlock()
	p.makeRoom(d)
}

// shut notes that a database was closed.
func (p *Pool) shut(d *DB, bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open.Remove(p.at[d])
	delete(p.at, d)
	p.bytes -= bytes
	if p.open.Len() == 0 && p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}

// makeRoom closes databases that nobody uses, but not this one, until what is open fits. When all are in use more is open
// than should be: nothing waits for memory while it holds some.
func (p *Pool) makeRoom(except *DB) {
	for _, d := range p.candidates(except) {
		d.release(time.Now())
		p.mu.Lock()
		fits := p.bytes <= p.limit
		p.mu.Unlock()
		if fits {
			return
		}
	}
}

// candidates is the databases that might be closed to make room; none when everything fits.
func (p *Pool) candidates(except *DB) []*DB {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bytes <= p.limit {
		return nil
	}
	var out []*DB
	for e := p.open.Front(); e != nil && len(out) < 64; e = e.Next() {
		if d := e.Value.(*DB); d != except {
			out = append(out, d)
		}
	}
	// Those at the front go to the back, so that many busy ones do not hide idle ones from the next look.
	for _, d := range out {
		p.open.MoveToBack(p.at[d])
	}
	return out
}

// sweep closes the databases that were idle for long enough.
func (p *Pool) sweep() {
	p.mu.Lock()
	if p.timer == nil {
		p.mu.Unlock()
		return
	}
	all := make([]*DB, 0, p.open.Len())
	for e := p.open.Front(); e != nil; e = e.Next() {
		all = append(all, e.Value.(*DB))
	}
	p.mu.Unlock()
	for _, d := range all {
		d.release(time.Now().Add(-p.idle))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Reset(p.idle / 2)
	}
}

// Open is how many databases are open, and about how much memory they hold.
func (p *Pool) Open() (databases, bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open.Len(), p.bytes
}
