package schedule

import (
	"container/heap"
	"iter"
	"maps"
)

// Queue holds the rows of one actor and knows which is due first. Beside the row itself it takes some 100 bytes for
// each. The zero Queue is empty. It is not safe for concurrent use.
type Queue struct {
	byID  map[string]*node
	order order
}

type node struct {
	row   Row
	at    int64 // the row's WakeAt
	index int   // in order
}

// Len is the number of rows.
func (q *Queue) Len() int { return len(q.order) }

// Get returns the row with an id.
func (q *Queue) Get(id string) (Row, bool) {
	n, ok := q.byID[id]
	if !ok {
		return Row{}, false
	}
	return n.row, true
}

// Put adds a row, or replaces the one with its id.
func (q *Queue) Put(r Row) {
	if n, ok := q.byID[r.ID]; ok {
		n.row, n.at = r, r.WakeAt()
		heap.Fix(&q.order, n.index)
		return
	}
	if q.byID == nil {
		q.byID = make(map[string]*node)
	}
	n := &node{row: r, at: r.WakeAt()}
	q.byID[r.ID] = n
	heap.Push(&q.order, n)
}

// Remove takes out the row with an id; false when there was none.
func (q *Queue) Remove(id string) bool {
	n, ok := q.byID[id]
	if !ok {
		return false
	}
	delete(q.byID, id)
	heap.Remove(&q.order, n.index)
	return true
}

// Min is the row that is due first, by WakeAt and then by id; false when no row is going to be due.
func (q *Queue) Min() (Row, bool) {
	if q.WakeAt() == 0 {
		return Row{}, false
	}
	return q.order[0].row, true
}

// WakeAt is when the first row is due, 0 for never.
func (q *Queue) WakeAt() int64 {
	if len(q.order) == 0 {
		return 0
	}
	return q.order[0].at
}

// All returns the rows in no order. The queue must not change meanwhile.
func (q *Queue) All() iter.Seq[Row] {
	return func(yield func(Row) bool) {
		for n := range maps.Values(q.byID) {
			if !yield(n.row) {
				return
			}
		}
	}
}

// order is a heap of nodes; those that are never due come last.
type order []*node

func (o order) Len() int { return len(o) }

func (o order) Less(i, j int) bool {
	a, b := o[i], o[j]
	if a.at == b.at {
		return a.row.ID < b.row.ID
	}
	return a.at != 0 && (b.at == 0 || a.at < b.at)
}

func (o order) Swap(i, j int) {
	o[i], o[j] = o[j], o[i]
	o[i].index, o[j].index = i, j
}

// Push is for container/heap.
func (o *order) Push(x any) {
	n := x.(*node)
	n.index = len(*o)
	*o = append(*o, n)
}

// Pop is for container/heap.
func (o *order) Pop() any {
	last := len(*o) - 1
	n := (*o)[last]
	(*o)[last] = nil
	*o = (*o)[:last]
	return n
}
