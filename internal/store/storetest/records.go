package storetest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/record"
)

func testHot(e *env) {
	a := e.actor("a")
	t := e.acquire(a)
	b := &record.Batch{}
	b.Put(record.Key(coldKind), []byte("cold"))
	b.Put(record.Key(record.HotEnd), []byte("cold"))
	b.Put(record.Key(record.HotEnd-1, 0xff, 0xff), []byte("3"))
	b.Put(record.Key(hotKind, 2), []byte{})
	b.Put(record.Key(hotKind), []byte("1"))
	e.commit(t, b)
	e.equal("hot records are those of the time of Acquire", len(t.Hot()), 0)
	t = e.acquire(a)
	e.equal("hot records", text(t.Hot()), "01=1 0102= 3fffff=3")
	e.equal("hot records are handed over once", len(t.Hot()), 0)
	e.equal("actor of the tenure", t.Actor(), e.row(a))
}

func testGetRange(e *env) {
	t := e.acquire(e.actor("a"))
	_, err := t.Get(e.ctx, k(1))
	e.is(err, store.ErrNotFound)
	b := &record.Batch{}
	for _, key := range [][]byte{k(), k(1), k(1, 0), k(1, 0xff), k(2), k(0xff), k(0xff, 0xff), {0xff}, {0xff, 0xff, 0xff}, {1}} {
		b.Put(key, []byte("v"))
	}
	e.ok(t.Commit(b, func(error) {})) // not waited for: reads see it anyway
	v, err := t.Get(e.ctx, k(1, 0))
	e.ok(err)
	e.equal("value", string(v), "v")
	_, err = t.Get(e.ctx, k(1, 1))
	e.is(err, store.ErrNotFound)
	_, err = t.Get(e.ctx, nil)
	e.is(err, store.ErrNotFound)
	for _, tt := range []struct {
		span    record.Span
		reverse bool
		limit   int
		want    string
	}{
		{record.Span{}, false, 100, "01 41 4101 410100 4101ff 4102 41ff 41ffff ff ffffff"},
		{record.Span{}, true, 100, "ffffff ff 41ffff 41ff 4102 4101ff 410100 4101 41 01"},
		{record.Span{}, false, 2, "01 41"},
		{record.Span{}, true, 2, "ffffff ff"},
		{record.Span{}, false, 0, ""},
		{record.Span{From: k(1), To: k(2)}, false, 100, "4101 410100 4101ff"},
		{record.Span{From: k(1), To: k(2)}, true, 2, "4101ff 410100"},
		{record.Span{From: k(1, 0xff)}, false, 3, "4101ff 4102 41ff"},
		{record.Span{From: k(3), To: k(4)}, false, 100, ""},
		{record.Span{From: k(2), To: k(1)}, false, 100, ""},
		{record.Span{From: k(2), To: k(2)}, false, 100, ""},
		{record.Span{From: []byte{0xff}}, false, 100, "ff ffffff"},
		{record.Span{To: []byte{1}}, false, 100, ""},
		{record.Span{To: []byte{1, 0}}, false, 100, "01"},
	} {
		rs, err := t.Range(e.ctx, tt.span, tt.reverse, tt.limit)
		e.ok(err)
		var keys []string
		for _, r := range rs {
			keys = append(keys, fmt.Sprintf("%x", r.Key))
		}
		e.equal(fmt.Sprintf("range %x reverse %v limit %d", tt.span, tt.reverse, tt.limit), strings.Join(keys, " "), tt.want)
	}
}

// neighbours are actors whose ids follow one another in byte order, with carries.
func (e *env) neighbours() (before, middle, after store.Tenure) {
	var ids [3]id.ID
	for i := range ids {
		ids[i] = id.New(1)
		copy(ids[i][1:], bytes.Repeat([]byte{0xff}, len(ids[i])-1))
		ids[i][2] = byte(i)
	}
	ids[0][2], ids[1][2], ids[2][2] = 6, 7, 8
	copy(ids[2][3:], make([]byte, len(ids[2])-3))
	var ts [3]store.Tenure
	for i, a := range ids {
		n := e.newActor("thing", fmt.Sprint("neighbour", i))
		n.ID = a
		e.reserve(n)
		ts[i] = e.acquire(a)
		b := &record.Batch{}
		b.Put([]byte{1}, fmt.Append(nil, i))
		b.Put([]byte{0xff, 0xff}, fmt.Append(nil, i))
		e.commit(ts[i], b)
	}
	return ts[0], ts[1], ts[2]
}

func testRangeStaysInActor(e *env) {
	before, middle, after := e.neighbours()
	for i, t := range []store.Tenure{before, middle, after} {
		for _, reverse := range []bool{false, true} {
			rs, err := t.Range(e.ctx, record.Span{}, reverse, 100)
			e.ok(err)
			if reverse {
				slices.Reverse(rs)
			}
			e.equal("records", text(rs), fmt.Sprintf("01=%d ffff=%d", i, i))
		}
	}
}

func testSpanDeleteStaysInActor(e *env) {
	before, middle, after := e.neighbours()
	row := e.row(middle.Actor().ID)
	b := &record.Batch{}
	b.DeleteSpan(record.Span{})
	b.DeleteSpan(record.Span{From: k(2), To: k(1)}) // empty
	e.commit(middle, b)
	e.equal("records", e.all(middle), "")
	e.equal("row", e.row(middle.Actor().ID), row)
	e.equal("records before", e.all(before), "01=0 ffff=0")
	e.equal("records after", e.all(after), "01=2 ffff=2")
	e.put(middle, []byte{1}, "again")
	e.ok(middle.Destroy(e.ctx, epoch))
	e.equal("records before", e.all(before), "01=0 ffff=0")
	e.equal("records after", e.all(after), "01=2 ffff=2")
}

func testBadKeys(e *env) {
	a := e.actor("a")
	t := e.acquire(a)
	for _, key := range [][]byte{nil, {0}, {0, 1}} {
		b := &record.Batch{}
		b.Put(k(1), []byte("v"))
		b.Put(key, []byte("v"))
		if err := t.Commit(b, func(error) { e.Error("done of a refused commit") }); err == nil {
			e.Fatalf("key %x was taken", key)
		}
	}
	b := &record.Batch{}
	b.Delete([]byte{0, 0})
	b.Delete([]byte{0, 1})
	b.DeleteSpan(record.Span{From: []byte{0}, To: []byte{0, 0xff}})
	b.DeleteSpan(record.Span{From: []byte{0}, To: []byte{1}})
	e.commit(t, b)
	e.equal("records", e.all(t), "")
	e.equal("generation", e.row(a).Generation, t.Generation())
}
