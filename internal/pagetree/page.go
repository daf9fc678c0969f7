package pagetree

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Size is the size of a page.
const Size = 4096

const (
	headSize = 12
	room     = Size - headSize // of a page, for content

	formatVersion = 1
	magic         = "RIVETRECORDS"

	// inlineMax is the longest value that lies in its leaf; tailMax is how much of a longer one may, so that it does not
	// take a page of its own.
	inlineMax = 1024
	tailMax   = 512

	// MaxKey is the longest key.
	MaxKey = 32 << 10
	// MaxValue is the longest value.
	MaxValue = 1 << 30
	// maxRuns is how many runs of pages a value has at most.
	maxRuns = 16
)

type kind byte

const (
	kindMeta     kind = 'M'
	kindLeaf     kind = 'L'
	kindBranch   kind = 'B'
	kindMore     kind = 'C'
	kindOverflow kind = 'O'
	kindTrunk    kind = 'T'
)

// CorruptError says that a page does not hold what was written. Nothing can be done with the actor's records: restore
// them from an export.
type CorruptError struct {
	Page  uint32
	Cause error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("page %d of the actor's storage is damaged: %v", e.Page, e.Cause)
}
func (e *CorruptError) Unwrap() error { return e.Cause }

var (
	errMissing  = errors.New("it is missing")
	errChecksum = errors.New("its checksum does not fit")
	errShort    = errors.New("its content ends early")
)

var table = crc32.MakeTable(crc32.Castagnoli)

func sum(no uint32, page []byte) uint32 {
	var n [4]byte
	binary.LittleEndian.PutUint32(n[:], no)
	s := crc32.Checksum(n[:], table)
	s = crc32.Update(s, table, page[:4])
	return crc32.Update(s, table, page[8:])
}

// seal fills in the head of a page.
func seal(no uint32, page []byte, k kind, count int, next uint32) {
	page[0], page[1] = byte(k), formatVersion
	binary.LittleEndian.PutUint16(page[2:], uint16(count))
	binary.LittleEndian.PutUint32(page[8:], next)
	binary.LittleEndian.PutUint32(page[4:], sum(no, page))
}

// open checks a page and returns what its head says.
func open(no uint32, page []byte, want ...kind) (k kind, count int, next uint32, err error) {
	bad := func(cause error) (kind, int, uint32, error) { return 0, 0, 0, &CorruptError{no, cause} }
	switch {
	case page == nil:
		return bad(errMissing)
	case len(page) != Size:
		return bad(fmt.Errorf("it has %d bytes", len(page)))
	case binary.LittleEndian.Uint32(page[4:]) != sum(no, page):
		return bad(errChecksum)
	case page[1] != formatVersion:
		return bad(fmt.Errorf("it has format version %d; this program knows version %d: run the newer program that wrote it", page[1], formatVersion))
	}
	k = kind(page[0])
	if !bytes.ContainsRune(kinds(want), rune(k)) {
		return bad(fmt.Errorf("it is of kind %q where %q is expected", byte(k), kinds(want)))
	}
	return k, int(binary.LittleEndian.Uint16(page[2:])), binary.LittleEndian.Uint32(page[8:]), nil
}

func kinds(list []kind) []byte {
	out := make([]byte, len(list))
	for i, k := range list {
		out[i] = byte(k)
	}
	return out
}

// run is pages that follow each other.
type run struct {
	first uint32
	count uint16
}

// cell is a value as its leaf has it.
type cell struct {
	size int
	runs []run
	tail []byte // the whole value when there are no runs
}

// overflow is how many pages a value of size bytes takes besides its leaf.
func overflow(size int) int {
	if size <= inlineMax {
		return 0
	}
	n := size / room
	if size%room > tailMax {
		n++
	}
	return n
}

// tailLen is how many of its bytes lie in the leaf.
func tailLen(size int) int { return max(0, size-overflow(size)*room) }

func uvarintLen(v int) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

// cellBytes is what a key and its value take in a leaf.
func cellBytes(key []byte, c *cell) int {
	return uvarintLen(len(key)) + len(key) + uvarintLen(c.size) + 1 + 6*len(c.runs) + len(c.tail)
}

// separatorBytes is what a separator takes in a branch.
func separatorBytes(key []byte) int { return uvarintLen(len(key)) + len(key) + 4 }

// appendContent appends what a node's pages hold, heads aside.
func (n *node) appendContent(dst []byte) []byte {
	switch n.kind {
	case kindLeaf:
		for i, key := range n.keys {
			c := &n.cells[i]
			dst = append(binary.AppendUvarint(dst, uint64(len(key))), key...)
			dst = append(binary.AppendUvarint(dst, uint64(c.size)), byte(len(c.runs)))
			for _, r := range c.runs {
				dst = binary.LittleEndian.AppendUint32(dst, r.first)
				dst = binary.LittleEndian.AppendUint16(dst, r.count)
			}
			dst = append(dst, c.tail...)
		}
	case kindBranch:
		dst = binary.LittleEndian.AppendUint32(dst, n.kids[0])
		for i, key := range n.keys {
			dst = append(binary.AppendUvarint(dst, uint64(len(key))), key...)
			dst = binary.LittleEndian.AppendUint32(dst, n.kids[i+1])
		}
	case kindTrunk:
		for _, no := range n.kids {
			dst = binary.LittleEndian.AppendUint32(dst, no)
		}
	}
	return dst
}

// reader reads content; what it hands out shares its memory.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad = true
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) uvarint(limit uint64) int {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > limit {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return int(v)
}

func (r *reader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u16() uint16 {
	if b := r.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *reader) u8() int {
	if b := r.take(1); b != nil {
		return int(b[0])
	}
	return 0
}

// parse reads a node's content; size is how many pages there are.
func (n *node) parse(content []byte, count int, size uint32) error {
	r := &reader{b: content}
	page := func(no uint32) uint32 {
		if no < 2 || no > size {
			r.bad = true
		}
		return no
	}
	switch n.kind {
	case kindLeaf:
		for range count {
			key := r.take(r.uvarint(MaxKey))
			c := cell{size: r.uvarint(MaxValue)}
			pages := 0
			for range r.u8() {
				u := run{first: page(r.u32()), count: r.u16()}
				if uint64(u.first)+uint64(u.count) > uint64(size)+1 {
					r.bad = true
				}
				c.runs = append(c.runs, u)
				pages += int(u.count)
			}
			if pages != overflow(c.size) {
				r.bad = true
			}
			c.tail = r.take(tailLen(c.size))
			if r.bad {
				return errShort
			}
			n.keys, n.cells = append(n.keys, key), append(n.cells, c)
			n.bytes += cellBytes(key, &c)
		}
	case kindBranch:
		n.kids, n.bytes = append(n.kids, page(r.u32())), 4
		for range count {
			key := r.take(r.uvarint(MaxKey))
			n.kids = append(n.kids, page(r.u32()))
			if r.bad {
				return errShort
			}
			n.keys = append(n.keys, key)
			n.bytes += separatorBytes(key)
		}
	case kindTrunk:
		for range count {
			n.kids = append(n.kids, page(r.u32()))
		}
	}
	for i := 1; i < len(n.keys); i++ {
		if bytes.Compare(n.keys[i-1], n.keys[i]) >= 0 {
			return fmt.Errorf("its keys are not in order")
		}
	}
	if r.bad {
		return errShort
	}
	return nil
}
