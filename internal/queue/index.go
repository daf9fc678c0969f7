package queue

import (
	"cmp"
	"container/heap"
	"iter"
	"maps"
	"slices"
)

// Item is one message as the index sees it. The index owns it from Add until Remove; its fields are changed through the
// index only, except for Data.
type Item struct {
	ID       uint64 // its number: the order of arrival
	Name     string // the queue's name
	Attempts int    // how often it was taken, counting the lease under way

	// Data is the owner's.
	Data any

	at    int64 // delayed: when it is ready; leased: when the lease ends; in milliseconds since 1970
	state state
	slot  int // place in the heap of times
}

type state byte

const (
	ready state = iota
	delayed
	leased
)

// Leased reports whether somebody holds the message.
func (it *Item) Leased() bool { return it.state == leased }

// Index is an actor's messages in order. The zero value is empty. It is not safe for concurrent use.
//
// Invariant: byID holds every item; an item is in its name's line exactly when it is ready, and in times exactly when it
// is not.
type Index struct {
	byID  map[uint64]*Item
	lines map[string][]*Item // by ID
	times times
	held  int // leased items
}

// Len is the number of messages, held and delayed ones included.
func (x *Index) Len() int { return len(x.byID) }

// Held is the number of messages that somebody holds.
func (x *Index) Held() int { return x.held }

// Get finds a message; nil when there is none with that number.
func (x *Index) Get(id uint64) *Item { return x.byID[id] }

// Add takes a new message in; before readyAt it is delayed.
func (x *Index) Add(it *Item, readyAt, now int64) {
	if x.byID == nil {
		x.byID, x.lines = make(map[uint64]*Item), make(map[string][]*Item)
	}
	x.byID[it.ID] = it
	x.place(it, readyAt, now)
}

// place puts an item that is nowhere into its line, or among the delayed.
func (x *Index) place(it *Item, readyAt, now int64) {
	if readyAt > now {
		it.state, it.at = delayed, readyAt
		heap.Push(&x.times, it)
		return
	}
	it.state, it.at = ready, 0
	line := x.lines[it.Name]
	i, _ := slices.BinarySearchFunc(line, it.ID, func(o *Item, id uint64) int { return cmp.Compare(o.ID, id) })
	x.lines[it.Name] = slices.Insert(line, i, it)
}

// unplace takes an item out of where it is.
func (x *Index) unplace(it *Item) {
	if it.state != ready {
		if it.state == leased {
			x.held--
		}
		heap.Remove(&x.times, it.slot)
		return
	}
	line := x.lines[it.Name]
	i, found := slices.BinarySearchFunc(line, it.ID, func(o *Item, id uint64) int { return cmp.Compare(o.ID, id) })
	switch {
	case !found:
	case len(line) == 1:
		delete(x.lines, it.Name)
	case i == 0: // the usual case must not move the rest
		line[0] = nil
		x.lines[it.Name] = line[1:]
	default:
		x.lines[it.Name] = slices.Delete(line, i, i+1)
	}
}

// Next returns the first message that is ready and fits, nil when there is none. No names means any; fits may be nil.
func (x *Index) Next(names []string, fits func(*Item) bool) *Item {
	var best *Item
	consider := func(line []*Item) {
		for _, it := range line {
			if best != nil && it.ID > best.ID {
				return
			}
			if fits == nil || fits(it) {
				best = it
				return
			}
		}
	}
	if len(names) == 0 {
		for _, line := range x.lines {
			consider(line)
		}
		return best
	}
	for _, n := range names {
		consider(x.lines[n])
	}
	return best
}

// Ready is the names under which messages are ready, in no order. The index must not change meanwhile.
func (x *Index) Ready() iter.Seq[string] { return maps.Keys(x.lines) }

// Lease hands a message that is ready, or delayed, to somebody until the given instant, and counts the attempt.
func (x *Index) Lease(it *Item, until int64) {
	x.unplace(it)
	it.state, it.at = leased, until
	it.Attempts++
	x.held++
	heap.Push(&x.times, it)
}

// Extend moves the end of a lease.
func (x *Index) Extend(it *Item, until int64) {
	if it.state != leased {
		return
	}
	it.at = until
	heap.Fix(&x.times, it.slot)
}

// Release gives a message back; it is delayed until readyAt when that is later than now.
func (x *Index) Release(it *Item, readyAt, now int64) {
	x.unplace(it)
	x.place(it, readyAt, now)
}

// Remove forgets a message.
func (x *Index) Remove(it *Item) {
	x.unplace(it)
	delete(x.byID, it.ID)
}

// Ripen makes delayed messages ready whose time has come, and returns the leases that are over: their items are still
// leased, and the caller decides what becomes of them.
func (x *Index) Ripen(now int64) (over []*Item) {
	for len(x.times) > 0 && x.times[0].at <= now {
		it := x.times[0]
		if it.state == leased {
			heap.Pop(&x.times)
			over = append(over, it)
			continue
		}
		x.unplace(it)
		x.place(it, 0, now)
	}
	for _, it := range over {
		heap.Push(&x.times, it)
	}
	return over
}

// NextTime is the earliest instant at which Ripen has something to do; ok is false when there is none.
func (x *Index) NextTime() (at int64, ok bool) {
	if len(x.times) == 0 {
		return 0, false
	}
	return x.times[0].at, true
}

// NextReady is the earliest instant at which somebody who is asleep should look: 0 when a message is ready or held (a
// lease does not outlive its holder), the time of the first delayed one otherwise; ok is false when there is no message.
func (x *Index) NextReady() (at int64, ok bool) {
	if len(x.byID) == 0 {
		return 0, false
	}
	if len(x.lines) > 0 {
		return 0, true
	}
	for _, it := range x.times {
		if it.state == leased {
			return 0, true
		}
		if !ok || it.at < at {
			at, ok = it.at, true
		}
	}
	return at, ok
}

// Head is the message with the lowest number; nil when there is none.
func (x *Index) Head() *Item {
	var head *Item
	for _, it := range x.byID {
		if head == nil || it.ID < head.ID {
			head = it
		}
	}
	return head
}

// Counts is how many messages are in each state.
func (x *Index) Counts() (readyNow, delayedNow, leasedNow int) {
	for _, it := range x.times {
		if it.state == leased {
			leasedNow++
		} else {
			delayedNow++
		}
	}
	return len(x.byID) - len(x.times), delayedNow, leasedNow
}

// times is a heap of items by their time.
type times []*Item

func (h times) Len() int { return len(h) }
func (h times) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].ID < h[j].ID
}
func (h times) Swap(i, j int) { h[i], h[j] = h[j], h[i]; h[i].slot, h[j].slot = i, j }

func (h *times) Push(v any) {
	it := v.(*Item)
	it.slot = len(*h)
	*h = append(*h, it)
}

func (h *times) Pop() any {
	old := *h
	it := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return it
}

// Mark remembers where a message is, or that it is nowhere, and returns what puts it back there.
func (x *Index) Mark(it *Item) (undo func()) {
	there := x.byID[it.ID] == it
	was := *it
	return func() {
		if x.byID[it.ID] == it {
			x.Remove(it)
		}
		it.Attempts, it.Data = was.Attempts, was.Data
		if !there {
			return
		}
		x.byID[it.ID] = it
		switch was.state {
		case leased:
			it.state, it.at = leased, was.at
			x.held++
			heap.Push(&x.times, it)
		case delayed:
			x.place(it, was.at, was.at-1)
		default:
			x.place(it, 0, 0)
		}
	}
}
