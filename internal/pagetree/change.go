package pagetree

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sort"

	"github.com/rivetgo/rivet/internal/wire/record"
)

// SizeError says that a key or a value is longer than a tree can hold.
type SizeError struct {
	What        string // "key" or "value"
	Size, Limit int
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("a %s of %d bytes is above the limit of %d", e.What, e.Size, e.Limit)
}

// Apply changes the tree by a batch, as a whole: after an error nothing of the tree is used any more, except that of a
// *SizeError nothing was done. The batch's slices are kept.
func (t *Tree) Apply(ctx context.Context, b *record.Batch) error {
	if t.err != nil {
		return t.err
	}
	for _, p := range b.Puts {
		if len(p.Key) > MaxKey {
			return &SizeError{"key", len(p.Key), MaxKey}
		}
		if len(p.Value) > MaxValue {
			return &SizeError{"value", len(p.Value), MaxValue}
		}
	}
	if err := t.apply(ctx, b); err != nil {
		t.err = fmt.Errorf("%w: %w", ErrBroken, err)
		return err
	}
	return nil
}

func (t *Tree) apply(ctx context.Context, b *record.Batch) error {
	for _, s := range b.DeleteSpans {
		if err := t.deleteSpan(ctx, s); err != nil {
			return err
		}
	}
	for _, key := range b.Deletes {
		if err := t.deleteKey(ctx, key); err != nil {
			return err
		}
	}
	for _, p := range b.Puts {
		if err := t.put(ctx, p.Key, p.Value); err != nil {
			return err
		}
	}
	if b.SetAlarm && t.alarm != b.Alarm {
		t.alarm, t.metaDirty = b.Alarm, true
	}
	return nil
}

// step is a branch on the way to a leaf, and which child the way takes.
type step struct {
	branch *node
	at     int
}

// child is which child of a branch a key belongs to.
func (n *node) child(key []byte) int {
	return sort.Search(len(n.keys), func(i int) bool { return bytes.Compare(n.keys[i], key) > 0 })
}

// search is where a key is in a leaf, or where it would be.
func (n *node) search(key []byte) (at int, found bool) {
	return slices.BinarySearchFunc(n.keys, key, bytes.Compare)
}

// descend finds the leaf of a key and the way to it.
func (t *Tree) descend(ctx context.Context, key []byte) (leaf *node, way []step, err error) {
	no := t.root
	for {
		n, err := t.node(ctx, no)
		if err != nil {
			return nil, nil, err
		}
		switch n.kind {
		case kindLeaf:
			return n, way, nil
		case kindBranch:
			if len(way) > 64 {
				return nil, nil, &CorruptError{no, fmt.Errorf("the tree does not end")}
			}
			at := n.child(key)
			way = append(way, step{n, at})
			no = n.kids[at]
		default:
			return nil, nil, &CorruptError{no, fmt.Errorf("it is of kind %q within the tree", byte(n.kind))}
		}
	}
}

func (t *Tree) put(ctx context.Context, key, value []byte) error {
	t.begin()
	if t.root == 0 {
		leaf, err := t.create(ctx, kindLeaf)
		if err != nil {
			return err
		}
		t.root, t.metaDirty = leaf.no, true
	}
	leaf, way, err := t.descend(ctx, key)
	if err != nil {
		return err
	}
	t.change(leaf)
	at, found := leaf.search(key)
	if found {
		old := leaf.cells[at]
		leaf.bytes -= cellBytes(key, &old)
		if err := t.release(ctx, &old); err != nil {
			return err
		}
	}
	c, err := t.place(ctx, value)
	if err != nil {
		return err
	}
	if found {
		leaf.cells[at] = c
	} else {
		leaf.keys = slices.Insert(leaf.keys, at, key)
		leaf.cells = slices.Insert(leaf.cells, at, c)
	}
	leaf.bytes += cellBytes(key, &c)
	return t.settle(ctx, leaf, way)
}

// settle gives a node that has grown the room it needs: pages of its own while it has few entries, else further nodes.
func (t *Tree) settle(ctx context.Context, n *node, way []step) error {
	parts, separators := []*node{n}, [][]byte(nil)
	for i := 0; i < len(parts); {
		m := parts[i]
		if m.bytes <= room || len(m.keys) < 4 {
			i++
			continue
		}
		right, separator, err := t.split(ctx, m)
		if err != nil {
			return err
		}
		parts = slices.Insert(parts, i+1, right)
		separators = slices.Insert(separators, i, separator)
	}
	for _, m := range parts {
		if err := t.fit(ctx, m); err != nil {
			return err
		}
	}
	if len(parts) == 1 {
		return nil
	}
	var up step
	if len(way) > 0 {
		up, way = way[len(way)-1], way[:len(way)-1]
		t.change(up.branch)
	} else {
		root, err := t.create(ctx, kindBranch)
		if err != nil {
			return err
		}
		root.kids = []uint32{n.no}
		t.root, t.metaDirty = root.no, true
		up.branch = root
	}
	b := up.branch
	kids := make([]uint32, 0, len(separators))
	for _, m := range parts[1:] {
		kids = append(kids, m.no)
	}
	b.keys = slices.Insert(b.keys, up.at, separators...)
	b.kids = slices.Insert(b.kids, up.at+1, kids...)
	b.measure()
	return t.settle(ctx, b, way)
}

// fit gives a node as many further pages as it needs.
func (t *Tree) fit(ctx context.Context, n *node) error {
	want := max(0, (n.bytes+room-1)/room-1)
	if want == len(n.more) {
		return nil
	}
	t.change(n)
	for len(n.more) < want {
		no, err := t.alloc(ctx)
		if err != nil {
			return err
		}
		n.more = append(n.more, no)
		t.dirty++
	}
	for len(n.more) > want {
		no := n.more[len(n.more)-1]
		n.more = n.more[:len(n.more)-1]
		t.dirty--
		if err := t.free(ctx, no); err != nil {
			return err
		}
	}
	return nil
}

// split moves the upper half of a node, by bytes, to a new one. Each half has two entries at least.
func (t *Tree) split(ctx context.Context, n *node) (right *node, separator []byte, err error) {
	right, err = t.create(ctx, n.kind)
	if err != nil {
		return nil, nil, err
	}
	entry := func(i int) int {
		if n.kind == kindLeaf {
			return cellBytes(n.keys[i], &n.cells[i])
		}
		return separatorBytes(n.keys[i])
	}
	at, left := 0, 0
	for at < len(n.keys)-2 && (at < 2 || left+entry(at) <= n.bytes/2) {
		left += entry(at)
		at++
	}
	if n.kind == kindLeaf {
		separator = between(n.keys[at-1], n.keys[at])
		right.keys, right.cells = slices.Clone(n.keys[at:]), slices.Clone(n.cells[at:])
		n.keys, n.cells = slices.Clone(n.keys[:at]), slices.Clone(n.cells[:at])
	} else {
		separator = n.keys[at]
		right.keys, right.kids = slices.Clone(n.keys[at+1:]), slices.Clone(n.kids[at+1:])
		n.keys, n.kids = slices.Clone(n.keys[:at]), slices.Clone(n.kids[:at+1])
	}
	n.measure()
	right.measure()
	return right, separator, nil
}

// measure counts a node's bytes anew.
func (n *node) measure() {
	n.bytes = 0
	if n.kind == kindBranch {
		n.bytes = 4
	}
	for i := range n.keys {
		if n.kind == kindLeaf {
			n.bytes += cellBytes(n.keys[i], &n.cells[i])
		} else {
			n.bytes += separatorBytes(n.keys[i])
		}
	}
}

// between is the shortest text that is above low and not above high.
func between(low, high []byte) []byte {
	for i := range high {
		if i >= len(low) || low[i] != high[i] {
			return slices.Clone(high[:i+1])
		}
	}
	return slices.Clone(high)
}

func (t *Tree) deleteKey(ctx context.Context, key []byte) error {
	if t.root == 0 {
		return nil
	}
	t.begin()
	leaf, way, err := t.descend(ctx, key)
	if err != nil {
		return err
	}
	at, found := leaf.search(key)
	if !found {
		return nil
	}
	return t.cut(ctx, leaf, way, at, at+1)
}

func (t *Tree) deleteSpan(ctx context.Context, s record.Span) error {
	from := s.From
	for t.root != 0 {
		t.begin()
		leaf, way, err := t.descend(ctx, from)
		if err != nil {
			return err
		}
		first, _ := leaf.search(from)
		last := len(leaf.keys)
		if len(s.To) > 0 {
			last, _ = leaf.search(s.To)
		}
		// The next leaf begins with the nearest separator above; it is found before the tree changes.
		var next []byte
		for i := len(way) - 1; i >= 0 && next == nil; i-- {
			if st := way[i]; st.at < len(st.branch.keys) {
				next = st.branch.keys[st.at]
			}
		}
		if first < last {
			if err := t.cut(ctx, leaf, way, first, last); err != nil {
				return err
			}
		}
		if next == nil || len(s.To) > 0 && bytes.Compare(next, s.To) >= 0 {
			return nil
		}
		from = next
	}
	return nil
}

// cut removes entries of a leaf.
func (t *Tree) cut(ctx context.Context, leaf *node, way []step, first, last int) error {
	t.change(leaf)
	for i := first; i < last; i++ {
		if err := t.release(ctx, &leaf.cells[i]); err != nil {
			return err
		}
	}
	leaf.keys = slices.Delete(slices.Clone(leaf.keys), first, last)
	leaf.cells = slices.Delete(slices.Clone(leaf.cells), first, last)
	leaf.measure()
	return t.shrink(ctx, leaf, way)
}

// shrink parts with a node that became empty, and joins one that became small with a neighbour.
func (t *Tree) shrink(ctx context.Context, n *node, way []step) error {
	if err := t.fit(ctx, n); err != nil {
		return err
	}
	empty := len(n.keys) == 0 && (n.kind == kindLeaf || len(n.kids) == 0)
	if len(way) == 0 {
		switch {
		case empty:
			t.root, t.metaDirty = 0, true
		case n.kind == kindBranch && len(n.kids) == 1:
			t.root, t.metaDirty = n.kids[0], true
		default:
			return nil
		}
		return t.discard(ctx, n)
	}
	up := way[len(way)-1]
	if empty {
		t.change(up.branch)
		up.branch.remove(up.at)
		if err := t.discard(ctx, n); err != nil {
			return err
		}
		return t.shrink(ctx, up.branch, way[:len(way)-1])
	}
	if n.bytes >= room/4 || len(up.branch.kids) < 2 {
		return nil
	}
	at := up.at
	if at == len(up.branch.kids)-1 {
		at--
	}
	other := up.branch.kids[at]
	if other == n.no {
		other = up.branch.kids[at+1]
	}
	m, err := t.node(ctx, other)
	if err != nil {
		return err
	}
	left, right := n, m
	if up.branch.kids[at] == other {
		left, right = m, n
	}
	separator := up.branch.keys[at]
	sum := left.bytes + right.bytes
	if left.kind == kindBranch {
		sum += separatorBytes(separator)
	}
	if sum > room*3/4 || left.kind != right.kind {
		return nil
	}
	t.change(left)
	t.change(up.branch)
	if left.kind == kindLeaf {
		left.keys = slices.Concat(left.keys, right.keys)
		left.cells = slices.Concat(left.cells, right.cells)
	} else {
		left.keys = slices.Concat(left.keys, [][]byte{separator}, right.keys)
		left.kids = slices.Concat(left.kids, right.kids)
	}
	left.measure()
	up.branch.keys = slices.Delete(slices.Clone(up.branch.keys), at, at+1)
	up.branch.kids = slices.Delete(slices.Clone(up.branch.kids), at+1, at+2)
	up.branch.measure()
	if err := t.discard(ctx, right); err != nil {
		return err
	}
	return t.shrink(ctx, up.branch, way[:len(way)-1])
}

// remove takes a child out of a branch.
func (n *node) remove(at int) {
	n.kids = slices.Delete(slices.Clone(n.kids), at, at+1)
	if len(n.keys) > 0 {
		k := max(0, at-1)
		n.keys = slices.Delete(slices.Clone(n.keys), k, k+1)
	}
	n.measure()
}
