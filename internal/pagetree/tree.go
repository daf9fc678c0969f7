package pagetree

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/rivetgo/rivet/internal/wire/record"
)

// Source is where pages are read from.
type Source interface {
	// Pages returns the pages of the given numbers as they are at the last commit, in their order; nil for one that does not
	// exist. The slices are the caller's.
	Pages(ctx context.Context, numbers []uint32) ([][]byte, error)
}

// ErrBroken says that a batch failed half-way: the tree in memory means nothing any more.
var ErrBroken = errors.New("pagetree: an earlier batch failed")

// Page is a page to be stored.
type Page struct {
	Number uint32
	Bytes  []byte
}

// firstRead is how many pages Open reads at once: a small actor wakes with one request.
const firstRead = 16

// maxRead is how many pages one request reads.
const maxRead = 512

// node is a leaf, a branch or a trunk in memory.
type node struct {
	no    uint32
	kind  kind
	keys  [][]byte
	cells []cell   // of a leaf: one for each key
	kids  []uint32 // of a branch: one more than keys; of a trunk: the free pages
	next  uint32   // of a trunk
	more  []uint32 // further pages of a leaf or branch
	bytes int      // of its content

	dirty  bool
	flying int // commits under way that hold it
	used   uint64
}

// loose is an overflow page that is not stored yet.
type loose struct {
	page   []byte
	dirty  bool
	flying int
}

// Tree is the records of one actor.
type Tree struct {
	src   Source
	limit int // nodes in memory that need not be there
	err   error

	root, size, trunk uint32
	alarm             int64
	metaDirty         bool

	nodes map[uint32]*node
	loose map[uint32]*loose
	dirty int // pages that Take would return, meta aside
	tick  uint64
	began uint64 // nodes used after this tick stay in memory: a change under way holds them
	views map[*View]struct{}
}

// Options configures a tree. The zero value works.
type Options struct {
	// CacheBytes bounds the pages that are kept in memory though they are stored. Default 2 MiB.
	CacheBytes int
}

// Open reads what is there. A tree without pages is empty.
func Open(ctx context.Context, src Source, o Options) (*Tree, error) {
	if o.CacheBytes == 0 {
		o.CacheBytes = 2 << 20
	}
	t := &Tree{
		src: src, limit: max(32, o.CacheBytes/Size), size: 1,
		nodes: make(map[uint32]*node), loose: make(map[uint32]*loose), views: make(map[*View]struct{}),
	}
	numbers := make([]uint32, firstRead)
	for i := range numbers {
		numbers[i] = uint32(i + 1)
	}
	pages, err := src.Pages(ctx, numbers)
	if err != nil {
		return nil, err
	}
	if len(pages) != len(numbers) {
		return nil, fmt.Errorf("pagetree: %d pages for %d", len(pages), len(numbers))
	}
	if pages[0] == nil {
		return t, nil
	}
	if _, _, _, err := open(1, pages[0], kindMeta); err != nil {
		return nil, err
	}
	r := &reader{b: pages[0][headSize:]}
	if string(r.take(len(magic))) != magic {
		return nil, &CorruptError{1, errors.New("it is not the first page of an actor's records")}
	}
	t.root, t.size, t.trunk = r.u32(), r.u32(), r.u32()
	t.alarm = int64(binary.LittleEndian.Uint64(r.take(8)))
	if t.size < 1 || t.root == 1 || t.root > t.size || t.trunk == 1 || t.trunk > t.size {
		return nil, &CorruptError{1, errShort}
	}
	for i, p := range pages[1:] {
		if p == nil || len(p) != Size {
			continue
		}
		if k := kind(p[0]); k == kindLeaf || k == kindBranch {
			// A page that is free may hold an old node: whoever asks for it by its number gets it checked.
			if n, err := t.decode(uint32(i+2), p, nil); err == nil && n != nil {
				t.nodes[n.no] = n
			}
		}
	}
	return t, nil
}

// Alarm is the instant that the batches have set, in milliseconds since 1970; 0 for none.
func (t *Tree) Alarm() int64 { return t.alarm }

// Pending is how many pages a commit would hold now.
func (t *Tree) Pending() int {
	if t.dirty == 0 && !t.metaDirty {
		return 0
	}
	return t.dirty + 1
}

// decode reads a node from its first page. more are its further pages; nil when there are some and they are not at hand.
func (t *Tree) decode(no uint32, page []byte, more [][]byte) (*node, error) {
	k, count, next, err := open(no, page, kindLeaf, kindBranch, kindTrunk)
	if err != nil {
		return nil, err
	}
	n := &node{no: no, kind: k}
	content := page[headSize:]
	if k == kindTrunk {
		n.next = next
	} else if next != 0 {
		if more == nil {
			return nil, nil
		}
		content = slices.Clone(content)
		for _, m := range more {
			n.more = append(n.more, next)
			_, _, after, err := open(next, m, kindMore)
			if err != nil {
				return nil, err
			}
			content = append(content, m[headSize:]...)
			next = after
		}
	}
	if err := n.parse(content, count, t.size); err != nil {
		return nil, &CorruptError{no, err}
	}
	return n, nil
}

// fetch reads nodes into memory. Numbers that are there already cost nothing.
func (t *Tree) fetch(ctx context.Context, numbers []uint32) error {
	var missing []uint32
	for _, no := range numbers {
		if t.nodes[no] == nil {
			missing = append(missing, no)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	pages, err := t.read(ctx, missing)
	if err != nil {
		return err
	}
	for i, no := range missing {
		var more [][]byte
		for _, _, next, err := open(no, pages[i], kindLeaf, kindBranch, kindTrunk); next != 0 && kind(pages[i][0]) != kindTrunk; {
			if err != nil || len(more) > MaxKey*8/room {
				return &CorruptError{no, errors.Join(errors.New("its further pages cannot be followed"), err)}
			}
			p, err2 := t.read(ctx, []uint32{next})
			if err2 != nil {
				return err2
			}
			if _, _, _, err = open(next, p[0], kindMore); err != nil {
				return err
			}
			more = append(more, p[0])
			next = binary.LittleEndian.Uint32(p[0][8:])
		}
		n, err := t.decode(no, pages[i], more)
		if err != nil {
			return err
		}
		t.keep(n)
	}
	return nil
}

// read reads pages, in as many requests as it takes.
func (t *Tree) read(ctx context.Context, numbers []uint32) ([][]byte, error) {
	out := make([][]byte, 0, len(numbers))
	for part := range slices.Chunk(numbers, maxRead) {
		pages, err := t.src.Pages(ctx, part)
		if err != nil {
			return nil, err
		}
		if len(pages) != len(part) {
			return nil, fmt.Errorf("pagetree: %d pages for %d", len(pages), len(part))
		}
		out = append(out, pages...)
	}
	return out, nil
}

// keep puts a node that was read in memory, and parts with others when there are too many.
func (t *Tree) keep(n *node) {
	t.nodes[n.no] = n
	t.touch(n)
	if len(t.nodes) <= t.limit+t.dirty {
		return
	}
	// Those not used for the longest time: an eighth of them at once, so that the search is worth it.
	idle := make([]*node, 0, len(t.nodes))
	for _, m := range t.nodes {
		if !m.dirty && m.flying == 0 && m != n && m.used <= t.began {
			idle = append(idle, m)
		}
	}
	slices.SortFunc(idle, func(a, b *node) int { return int(int64(a.used) - int64(b.used)) })
	for _, m := range idle[:min(len(idle), t.limit/8)] {
		delete(t.nodes, m.no)
	}
}

// begin lets go of the nodes that earlier steps held.
func (t *Tree) begin() { t.began = t.tick }

func (t *Tree) touch(n *node) {
	t.tick++
	n.used = t.tick
}

// node returns a node, which is in memory until the next one is asked for.
func (t *Tree) node(ctx context.Context, no uint32) (*node, error) {
	n := t.nodes[no]
	if n == nil {
		if err := t.fetch(ctx, []uint32{no}); err != nil {
			return nil, err
		}
		n = t.nodes[no]
	}
	t.touch(n)
	return n, nil
}

// Take returns every page that changed since the last Take, in the order of their numbers, and how many pages there are then.
// Settled must be told when they are stored, before the next Take.
func (t *Tree) Take() (pages []Page, size uint32, err error) {
	if t.err != nil {
		return nil, 0, t.err
	}
	if t.Pending() == 0 {
		return nil, t.size, nil
	}
	pages = make([]Page, 0, t.dirty+1)
	if t.metaDirty {
		pages = append(pages, Page{1, t.meta()})
		t.metaDirty = false
	}
	for _, n := range t.nodes {
		if n.dirty {
			n.dirty = false
			n.flying++
			if pages, err = n.appendPages(pages); err != nil {
				t.err = err
				return nil, 0, err
			}
		}
	}
	for no, l := range t.loose {
		if l.dirty {
			l.dirty = false
			l.flying++
			pages = append(pages, Page{no, l.page})
		}
	}
	t.dirty = 0
	slices.SortFunc(pages, func(a, b Page) int { return int(int64(a.Number) - int64(b.Number)) })
	return pages, t.size, nil
}

// Settled says that the pages of a Take are stored.
func (t *Tree) Settled(pages []Page) {
	for _, p := range pages {
		if n := t.nodes[p.Number]; n != nil && n.flying > 0 {
			n.flying--
		}
		if l := t.loose[p.Number]; l != nil && l.flying > 0 {
			l.flying--
			if l.flying == 0 && !l.dirty {
				delete(t.loose, p.Number)
			}
		}
	}
}

func (t *Tree) meta() []byte {
	page := make([]byte, Size)
	b := append(page[:headSize], magic...)
	b = binary.LittleEndian.AppendUint32(b, t.root)
	b = binary.LittleEndian.AppendUint32(b, t.size)
	b = binary.LittleEndian.AppendUint32(b, t.trunk)
	binary.LittleEndian.AppendUint64(b, uint64(t.alarm))
	seal(1, page, kindMeta, 0, 0)
	return page
}

// appendPages encodes a node.
func (n *node) appendPages(out []Page) ([]Page, error) {
	count := len(n.keys)
	if n.kind == kindTrunk {
		count = len(n.kids)
	}
	content := n.appendContent(make([]byte, 0, max(n.bytes, 4*len(n.kids))))
	all := append([]uint32{n.no}, n.more...)
	for i, no := range all {
		page := make([]byte, Size)
		content = content[copy(page[headSize:], content):]
		next := n.next
		if i+1 < len(all) {
			next = all[i+1]
		}
		k := n.kind
		if i > 0 {
			k, count = kindMore, 0
		}
		seal(no, page, k, count, next)
		out = append(out, Page{no, page})
	}
	if len(content) > 0 {
		return nil, fmt.Errorf("pagetree: page %d does not hold its content, by %d bytes", n.no, len(content))
	}
	return out, nil
}

// change prepares a node to be changed: views that are open keep it as it is.
func (t *Tree) change(n *node) {
	t.preserve(n)
	if !n.dirty {
		n.dirty = true
		t.dirty += 1 + len(n.more)
	}
}

func (t *Tree) preserve(n *node) {
	var copied *node
	for v := range t.views {
		if v.old[n.no] != nil || n.no > v.size {
			continue
		}
		if copied == nil {
			c := *n
			c.keys, c.cells, c.kids, c.more = slices.Clone(n.keys), slices.Clone(n.cells), slices.Clone(n.kids), slices.Clone(n.more)
			copied = &c
		}
		v.old[n.no] = copied
	}
}

// create makes a node on a page of its own.
func (t *Tree) create(ctx context.Context, k kind) (*node, error) {
	no, err := t.alloc(ctx)
	if err != nil {
		return nil, err
	}
	n := &node{no: no, kind: k, dirty: true}
	if old := t.nodes[no]; old != nil { // a former node of this page is on its way
		n.flying = old.flying
	}
	t.unhold(no)
	t.nodes[no] = n
	t.touch(n)
	t.dirty++
	return n, nil
}

// discard gives a node's pages back.
func (t *Tree) discard(ctx context.Context, n *node) error {
	t.preserve(n)
	if n.dirty {
		t.dirty -= 1 + len(n.more)
	}
	delete(t.nodes, n.no)
	for _, no := range append([]uint32{n.no}, n.more...) {
		if err := t.free(ctx, no); err != nil {
			return err
		}
	}
	return nil
}

// alloc takes a page, a free one if it can. While a view is open free pages may be its own.
func (t *Tree) alloc(ctx context.Context) (uint32, error) {
	if t.trunk == 0 || len(t.views) > 0 {
		return t.extend(1)
	}
	n, err := t.node(ctx, t.trunk)
	if err != nil {
		return 0, err
	}
	if len(n.kids) > 0 {
		t.change(n)
		no := n.kids[len(n.kids)-1]
		n.kids = n.kids[:len(n.kids)-1]
		return no, nil
	}
	if n.dirty {
		t.dirty--
	}
	delete(t.nodes, n.no)
	t.trunk, t.metaDirty = n.next, true
	return n.no, nil
}

// extend takes count pages that follow each other behind the last.
func (t *Tree) extend(count int) (uint32, error) {
	if uint64(t.size)+uint64(count) > 1<<31 {
		return 0, errors.New("pagetree: there are too many pages")
	}
	first := t.size + 1
	t.size += uint32(count)
	t.metaDirty = true
	return first, nil
}

// free gives a page back.
func (t *Tree) free(ctx context.Context, no uint32) error {
	if len(t.views) == 0 { // else one of them may read it
		t.unhold(no)
	}
	if t.trunk != 0 {
		n, err := t.node(ctx, t.trunk)
		if err != nil {
			return err
		}
		if len(n.kids) < room/4 {
			t.change(n)
			n.kids = append(n.kids, no)
			return nil
		}
	}
	own := no
	if len(t.views) > 0 { // it may be a page of theirs
		var err error
		if own, err = t.extend(1); err != nil {
			return err
		}
	}
	n := &node{no: own, kind: kindTrunk, next: t.trunk, dirty: true}
	t.unhold(own)
	t.nodes[own] = n
	t.touch(n)
	t.dirty++
	if own != no {
		n.kids = append(n.kids, no)
	}
	t.trunk, t.metaDirty = own, true
	return nil
}

// place makes the cell of a value.
func (t *Tree) place(ctx context.Context, value []byte) (cell, error) {
	c := cell{size: len(value)}
	want := overflow(len(value))
	rest := value
	for want > 0 {
		var first uint32
		count := 1
		var err error
		if len(c.runs) < maxRuns-1 && t.trunk != 0 && len(t.views) == 0 {
			first, err = t.alloc(ctx)
		} else {
			count = min(want, 1<<16-1)
			first, err = t.extend(count)
		}
		if err != nil {
			return cell{}, err
		}
		for i := range count {
			page := make([]byte, Size)
			rest = rest[copy(page[headSize:], rest):]
			seal(first+uint32(i), page, kindOverflow, 0, 0)
			t.hold(first+uint32(i), page)
		}
		if last := len(c.runs) - 1; last >= 0 && c.runs[last].first+uint32(c.runs[last].count) == first && int(c.runs[last].count)+count < 1<<16 {
			c.runs[last].count += uint16(count)
		} else {
			c.runs = append(c.runs, run{first, uint16(count)})
		}
		want -= count
	}
	c.tail = slices.Clone(rest)
	return c, nil
}

// hold keeps an overflow page until it is stored.
func (t *Tree) hold(no uint32, page []byte) {
	l := t.loose[no]
	if l == nil {
		l = &loose{}
		t.loose[no] = l
		if old := t.nodes[no]; old != nil {
			l.flying = old.flying
			delete(t.nodes, no)
		}
	}
	l.page = page
	if !l.dirty {
		l.dirty = true
		t.dirty++
	}
}

// unhold forgets an overflow page that is not one any more.
func (t *Tree) unhold(no uint32) {
	l := t.loose[no]
	if l == nil {
		return
	}
	if l.dirty {
		t.dirty--
	}
	delete(t.loose, no)
}

// release gives the pages of a value back: the last first, as they are taken in the opposite order.
func (t *Tree) release(ctx context.Context, c *cell) error {
	for _, r := range slices.Backward(c.runs) {
		for i := uint32(r.count); i > 0; i-- {
			if err := t.free(ctx, r.first+i-1); err != nil {
				return err
			}
		}
	}
	return nil
}

// values reads what cells hold, with one request for all of them if they are not too many.
func (t *Tree) values(ctx context.Context, cells []*cell) ([][]byte, error) {
	var missing []uint32
	for _, c := range cells {
		for _, r := range c.runs {
			for i := range uint32(r.count) {
				if t.loose[r.first+i] == nil {
					missing = append(missing, r.first+i)
				}
			}
		}
	}
	pages, err := t.read(ctx, missing)
	if err != nil {
		return nil, err
	}
	out := make([][]byte, len(cells))
	for k, c := range cells {
		value := make([]byte, 0, c.size)
		for _, r := range c.runs {
			for i := range uint32(r.count) {
				var page []byte
				if l := t.loose[r.first+i]; l != nil {
					page = l.page
				} else {
					page, pages = pages[0], pages[1:]
					if _, _, _, err := open(r.first+i, page, kindOverflow); err != nil {
						return nil, err
					}
				}
				value = append(value, page[headSize:headSize+min(room, c.size-len(value))]...)
			}
		}
		out[k] = append(value, c.tail...)
	}
	return out, nil
}

var errNotFound = record.ErrNotFound
