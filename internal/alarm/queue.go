package alarm

import "container/heap"

// queue is a heap of items that know their place in it, so that any of them can be removed.
type queue struct {
	items []*item
	less  func(a, b *item) bool
}

func (q *queue) len() int { return len(q.items) }

// first is the least item, nil when there is none.
func (q *queue) first() *item {
	if len(q.items) == 0 {
		return nil
	}
	return q.items[0]
}

func (q *queue) push(it *item)   { heap.Push((*ordered)(q), it) }
func (q *queue) remove(it *item) { heap.Remove((*ordered)(q), it.place) }
func (q *queue) clear()          { clear(q.items); q.items = q.items[:0] }

// reset makes the queue consist of items, which are sorted and become its own.
func (q *queue) reset(items []*item) {
	for i, it := range items {
		it.place = i
	}
	q.items = items
}

// ordered is the queue as container/heap sees it.
type ordered queue

func (o *ordered) Len() int           { return len(o.items) }
func (o *ordered) Less(i, j int) bool { return o.less(o.items[i], o.items[j]) }

func (o *ordered) Swap(i, j int) {
	o.items[i], o.items[j] = o.items[j], o.items[i]
	o.items[i].place, o.items[j].place = i, j
}

func (o *ordered) Push(x any) {
	it := x.(*item)
	it.place = len(o.items)
	o.items = append(o.items, it)
}

func (o *ordered) Pop() any {
	last := len(o.items) - 1
	it := o.items[last]
	o.items[last] = nil
	o.items = o.items[:last]
	return it
}
