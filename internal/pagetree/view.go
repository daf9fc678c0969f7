package pagetree

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/rivetgo/rivet/internal/wire/record"
)

// finder finds nodes: those of the tree as it is, or as a view has them.
type finder interface {
	node(ctx context.Context, no uint32) (*node, error)
	// fetch reads nodes ahead.
	fetch(ctx context.Context, numbers []uint32) error
}

// Get returns a value, or record.ErrNotFound.
func (t *Tree) Get(ctx context.Context, key []byte) ([]byte, error) {
	if t.err != nil {
		return nil, t.err
	}
	return t.get(ctx, t, t.root, key)
}

// Range returns at most limit records of a span, in the order of their keys or in reverse.
func (t *Tree) Range(ctx context.Context, s record.Span, reverse bool, limit int) ([]record.Record, error) {
	if t.err != nil {
		return nil, t.err
	}
	return t.scan(ctx, t, t.root, s, reverse, limit)
}

// View is the tree as it was at one moment. It shares the tree's memory and is used under the same rules.
type View struct {
	tree       *Tree
	root, size uint32
	old        map[uint32]*node // nodes that changed since
}

// View keeps the tree as it is. Close ends it: until then no page that becomes free is used again.
func (t *Tree) View() *View {
	v := &View{tree: t, root: t.root, size: t.size, old: make(map[uint32]*node)}
	t.views[v] = struct{}{}
	return v
}

// Close ends the view. Idempotent.
func (v *View) Close() { delete(v.tree.views, v) }

func (v *View) node(ctx context.Context, no uint32) (*node, error) {
	if n := v.old[no]; n != nil {
		return n, nil
	}
	return v.tree.node(ctx, no)
}

func (v *View) fetch(ctx context.Context, numbers []uint32) error {
	numbers = slices.DeleteFunc(slices.Clone(numbers), func(no uint32) bool { return v.old[no] != nil })
	return v.tree.fetch(ctx, numbers)
}

// Get returns a value, or record.ErrNotFound. A tree that failed since still shows its views what is stored.
func (v *View) Get(ctx context.Context, key []byte) ([]byte, error) {
	return v.tree.get(ctx, v, v.root, key)
}

// Range returns at most limit records of a span, in the order of their keys or in reverse.
func (v *View) Range(ctx context.Context, s record.Span, reverse bool, limit int) ([]record.Record, error) {
	return v.tree.scan(ctx, v, v.root, s, reverse, limit)
}

func (t *Tree) get(ctx context.Context, find finder, root uint32, key []byte) ([]byte, error) {
	t.begin()
	for no, depth := root, 0; no != 0; depth++ {
		n, err := find.node(ctx, no)
		if err != nil {
			return nil, err
		}
		switch {
		case n.kind == kindLeaf:
			at, found := n.search(key)
			if !found {
				return nil, errNotFound
			}
			values, err := t.values(ctx, []*cell{&n.cells[at]})
			if err != nil {
				return nil, err
			}
			return values[0], nil
		case n.kind != kindBranch || depth > 64:
			return nil, &CorruptError{no, fmt.Errorf("it is of kind %q within the tree", byte(n.kind))}
		}
		no = n.kids[n.child(key)]
	}
	return nil, errNotFound
}

// scanner collects the records of a span.
type scanner struct {
	tree    *Tree
	find    finder
	span    record.Span
	reverse bool
	limit   int
	out     []record.Record
}

func (t *Tree) scan(ctx context.Context, find finder, root uint32, span record.Span, reverse bool, limit int) ([]record.Record, error) {
	if root == 0 || limit < 1 || len(span.To) > 0 && bytes.Compare(span.From, span.To) >= 0 {
		return nil, nil
	}
	t.began = 1<<64 - 1 // a scan holds no node that may not leave memory
	s := &scanner{tree: t, find: find, span: span, reverse: reverse, limit: limit}
	if err := s.walk(ctx, root, 0); err != nil {
		return nil, err
	}
	return s.out, nil
}

func (s *scanner) walk(ctx context.Context, no uint32, depth int) error {
	n, err := s.find.node(ctx, no)
	if err != nil {
		return err
	}
	if n.kind == kindLeaf {
		return s.leaf(ctx, n)
	}
	if n.kind != kindBranch || depth > 64 {
		return &CorruptError{no, fmt.Errorf("it is of kind %q within the tree", byte(n.kind))}
	}
	first, last := n.child(s.span.From), len(n.kids)-1
	if len(s.span.To) > 0 {
		last = n.child(s.span.To)
	}
	kids := slices.Clone(n.kids[first : last+1]) // the node may leave memory while its children are read
	if s.reverse {
		slices.Reverse(kids)
	}
	ahead := 0 // children that were read already
	for i, kid := range kids {
		if len(s.out) >= s.limit {
			return nil
		}
		if i >= ahead {
			// About as many children as may be wanted, in one request.
			ahead = i + min(len(kids)-i, max(1, min((s.limit-len(s.out))/16, s.tree.limit/4, 64)))
			if ahead > i+1 {
				if err := s.find.fetch(ctx, kids[i:ahead]); err != nil {
					return err
				}
			}
		}
		if err := s.walk(ctx, kid, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (s *scanner) leaf(ctx context.Context, n *node) error {
	first, _ := n.search(s.span.From)
	last := len(n.keys)
	if len(s.span.To) > 0 {
		last, _ = n.search(s.span.To)
	}
	if first >= last {
		return nil
	}
	at := make([]int, 0, last-first)
	for i := first; i < last; i++ {
		at = append(at, i)
	}
	if s.reverse {
		slices.Reverse(at)
	}
	at = at[:min(len(at), s.limit-len(s.out))]
	cells := make([]*cell, len(at))
	for k, i := range at {
		cells[k] = &n.cells[i]
	}
	values, err := s.tree.values(ctx, cells)
	if err != nil {
		return err
	}
	for k, i := range at {
		s.out = append(s.out, record.Record{Key: n.keys[i], Value: values[k]})
	}
	return nil
}
