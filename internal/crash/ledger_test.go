package crash

import (
	"fmt"
	"sync"
)

// ledger is what callers know of each actor. Safe for concurrent use.
type ledger struct {
	mu     sync.Mutex // guards all below
	actors map[string]*entry
	acked  int
}

type entry struct {
	life  int   // the server's life in which it was last asked
	told  int64 // the highest count that anybody was told
	asked int64 // increments ever asked for
}

func newLedger() *ledger { return &ledger{actors: map[string]*entry{}} }

func (l *ledger) of(key string) *entry {
	e := l.actors[key]
	if e == nil {
		e = &entry{}
		l.actors[key] = e
	}
	return e
}

// ask notes an increment before it is sent.
func (l *ledger) ask(key string, life int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.of(key)
	e.asked++
	e.life = life
}

// ack notes a reply to an increment.
func (l *ledger) ack(key string, count int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked++
	e := l.of(key)
	e.told = max(e.told, count)
}

// tell notes a count that somebody saw by other means.
func (l *ledger) tell(key string, count int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.of(key)
	e.told = max(e.told, count)
}

// keys lists the actors with something to lose that were asked in the given life or later.
func (l *ledger) keys(life int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for k, e := range l.actors {
		if e.told > 0 && e.life >= life {
			out = append(out, k)
		}
	}
	return out
}

func (l *ledger) acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked
}

// check holds a count that a restarted server tells against the ledger.
func (l *ledger) check(key string, count int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.of(key)
	if count < e.told {
		return fmt.Errorf("actor %s: count is %d, but somebody was told %d: %d lost", key, count, e.told, e.told-count)
	}
	if count > e.asked {
		return fmt.Errorf("actor %s: count is %d, but only %d increments were ever asked for", key, count, e.asked)
	}
	e.told = count
	return nil
}
