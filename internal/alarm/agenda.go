package alarm

import (
	"slices"
	"time"

	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/id"
)

// ahead is how far into the future the window is read; half of it is always kept.
const ahead = 30 * time.Second

// bounds of an agenda.
type bounds struct {
	page    int // alarms in one reading
	waiting int // sleeping actors in the window; up to twice as many for a moment
	backing int // actors whose failures are remembered
}

var usual = bounds{page: 512, waiting: 8192, backing: 10_000}

// moment is now, on two clocks.
type moment struct {
	wall time.Time     // what alarms are compared with; it may jump
	up   time.Duration // since the Clock began; it only grows
}

type state uint8

const (
	waiting state = iota // for its alarm
	backing              // for the end of a pause after waking it came to nothing
	waking               // handed out by next
	woken                // it was woken for its alarm; while it is awake nothing more is to be done
)

// item is one actor that the agenda knows. Items of actors that are awake are kept only when it was the agenda that had
// them woken.
type item struct {
	store.Alarm
	state    state
	failures int           // how often it was woken in a row without its alarm having changed
	retryAt  time.Duration // end of the pause; of backing
	place    int           // in the queue of waiting or backing
}

// agenda decides who is woken when. It is pure: it is told the time and what the store says. Not safe for concurrent use.
//
// Invariants: an actor has one item at most; waiting and retries hold exactly the items of state waiting and backing;
// every waiting item is at or before read; every alarm at or before read belongs to an item, or to an actor that was
// awake when its alarm was read, unless its item was dropped over the bound of backing.
type agenda struct {
	bounds  bounds
	items   map[id.ID]*item
	waiting queue
	retries queue
	read    store.Alarm // the window is read up to and including this position
	turn    bool        // whose turn it is when both queues have something due
	pause   func(failures int) time.Duration
}

func newAgenda(pause func(failures int) time.Duration) *agenda {
	return &agenda{
		bounds:  usual,
		items:   make(map[id.ID]*item),
		waiting: queue{less: func(a, b *item) bool { return a.Compare(b.Alarm) < 0 }},
		retries: queue{less: func(a, b *item) bool { return a.retryAt < b.retryAt }},
		pause:   pause,
	}
}

// more says what to read next from the store's list of alarms; ok is false while there is enough.
func (g *agenda) more(now moment) (q store.AlarmQuery, ok bool) {
	if g.waiting.len() >= g.bounds.waiting/2 || g.read.At.After(now.wall.Add(ahead/2)) {
		return q, false
	}
	return store.AlarmQuery{After: g.read, Until: now.wall.Add(ahead), Limit: g.bounds.page}, true
}

// lastActor sorts behind every id.
var lastActor = id.ID(slices.Repeat([]byte{0xff}, id.Size))

// page notes what the store answered to a query of more. The alarms of actors that sleep are to be handed to found.
func (g *agenda) page(q store.AlarmQuery, rows []store.Alarm) {
	if len(rows) < q.Limit {
		g.read = store.Alarm{At: q.Until, Actor: lastActor}
	} else {
		g.read = rows[len(rows)-1]
	}
}

// caughtUp reports whether everything that is due has been read.
func (g *agenda) caughtUp(now moment) bool { return g.read.At.After(now.wall) }

// restart has the window read anew from the earliest alarm on.
func (g *agenda) restart() {
	g.read = store.Alarm{}
	for _, it := range g.waiting.items {
		delete(g.items, it.Actor)
	}
	g.waiting.clear()
}

// fallen lists the actors that were woken and are not awake, in case nobody has said so.
func (g *agenda) fallen(awake func(id.ID) bool) []id.ID {
	var out []id.ID
	for actor, it := range g.items {
		if it.state == woken && !awake(actor) {
			out = append(out, actor)
		}
	}
	return out
}

// busy reports whether the actor is being woken: what the store says of it is looked at when that is over.
func (g *agenda) busy(actor id.ID) bool {
	it := g.items[actor]
	return it != nil && it.state == waking
}

// found notes that an actor sleeps and has the alarm a.
func (g *agenda) found(a store.Alarm, now moment) {
	it := g.items[a.Actor]
	switch {
	case it == nil:
	case it.state == waking, it.state != woken && it.At.Equal(a.At):
		return
	case it.state == woken && it.At.Equal(a.At):
		g.failed(it, now)
		return
	default:
		g.drop(it) // the alarm has moved
	}
	if a.Compare(g.read) > 0 {
		return // the window will come to it
	}
	it = &item{Alarm: a}
	g.items[a.Actor] = it
	g.waiting.push(it)
	if g.waiting.len() > 2*g.bounds.waiting {
		g.trim()
	}
}

// failed has an actor woken again after a pause: waking it has come to nothing so far.
func (g *agenda) failed(it *item, now moment) {
	if g.retries.len() >= g.bounds.backing {
		g.drop(it)
		return
	}
	it.failures++
	it.state, it.retryAt = backing, now.up+g.pause(it.failures)
	g.retries.push(it)
}

// none notes that an actor sleeps and has no alarm, or is no more.
func (g *agenda) none(actor id.ID) {
	if it := g.items[actor]; it != nil && it.state != waking {
		g.drop(it)
	}
}

func (g *agenda) drop(it *item) {
	switch it.state {
	case waiting:
		g.waiting.remove(it)
	case backing:
		g.retries.remove(it)
	}
	delete(g.items, it.Actor)
}

// trim shortens the window to as many actors as it may have.
func (g *agenda) trim() {
	all, n := slices.Clone(g.waiting.items), g.bounds.waiting
	slices.SortFunc(all, func(a, b *item) int { return a.Compare(b.Alarm) })
	for _, it := range all[n:] {
		delete(g.items, it.Actor)
	}
	g.waiting.reset(slices.Clone(all[:n]))
	g.read = all[n-1].Alarm
}

// next hands out an actor that is due to be woken; finished or skip must follow. The two queues take turns, so that
// neither many alarms nor many failures can keep the other away.
func (g *agenda) next(now moment) (a store.Alarm, ok bool) {
	g.turn = !g.turn
	it := g.dueAlarm(now)
	if retry := g.dueRetry(now); it == nil || retry != nil && g.turn {
		it = retry
	}
	if it == nil {
		return a, false
	}
	if it.state == waiting {
		g.waiting.remove(it)
	} else {
		g.retries.remove(it)
	}
	it.state = waking
	return it.Alarm, true
}

func (g *agenda) dueAlarm(now moment) *item {
	if it := g.waiting.first(); it != nil && !it.At.After(now.wall) {
		return it
	}
	return nil
}

func (g *agenda) dueRetry(now moment) *item {
	if it := g.retries.first(); it != nil && it.retryAt <= now.up {
		return it
	}
	return nil
}

// skip takes back what next has handed out: the actor is awake already.
func (g *agenda) skip(actor id.ID) {
	if g.busy(actor) {
		delete(g.items, actor)
	}
}

// finished notes that waking an actor is over, well or not. If the actor does not stay awake, found or none must tell
// what the store says of it.
func (g *agenda) finished(actor id.ID) {
	if it := g.items[actor]; it != nil && it.state == waking {
		it.state = woken
	}
}

// failures is how often waking an actor has come to nothing in a row.
func (g *agenda) failures(actor id.ID) int {
	if it := g.items[actor]; it != nil {
		return it.failures
	}
	return 0
}

// wait is how long next has nothing to hand out, at most limit.
func (g *agenda) wait(now moment, limit time.Duration) time.Duration {
	if it := g.waiting.first(); it != nil {
		limit = min(limit, it.At.Sub(now.wall))
	}
	if it := g.retries.first(); it != nil {
		limit = min(limit, it.retryAt-now.up)
	}
	return max(limit, 0)
}
