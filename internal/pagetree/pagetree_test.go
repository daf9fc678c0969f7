package pagetree_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/rivetgo/rivet/internal/pagetree"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// disk stores pages, and counts requests.
type disk struct {
	pages map[uint32][]byte
	reads int
	fail  error
}

func (d *disk) Pages(_ context.Context, numbers []uint32) ([][]byte, error) {
	d.reads++
	if d.fail != nil {
		return nil, d.fail
	}
	out := make([][]byte, len(numbers))
	for i, no := range numbers {
		out[i] = bytes.Clone(d.pages[no])
	}
	return out, nil
}

func newDisk() *disk { return &disk{pages: make(map[uint32][]byte)} }

func (d *disk) store(t *testing.T, tree *pagetree.Tree) {
	t.Helper()
	want := tree.Pending()
	pages, size, err := tree.Take()
	if err != nil {
		t.Fatal(err)
	}
	if len(pages) > want {
		t.Fatalf("%d pages, %d were announced", len(pages), want)
	}
	for i, p := range pages {
		if i > 0 && pages[i-1].Number >= p.Number || p.Number < 1 || p.Number > size || len(p.Bytes) != pagetree.Size {
			t.Fatalf("page %d of %d after %d with %d bytes", p.Number, size, pages[max(0, i-1)].Number, len(p.Bytes))
		}
		d.pages[p.Number] = bytes.Clone(p.Bytes)
	}
	tree.Settled(pages)
}

func open(t *testing.T, d *disk) *pagetree.Tree {
	t.Helper()
	tree, err := pagetree.Open(t.Context(), d, pagetree.Options{CacheBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// reader is a tree or a view of one.
type reader interface {
	Get(ctx context.Context, key []byte) ([]byte, error)
	Range(ctx context.Context, s record.Span, reverse bool, limit int) ([]record.Record, error)
}

// model is what a tree must say.
type model map[string][]byte

func (m model) apply(b *record.Batch) {
	for _, s := range b.DeleteSpans {
		maps.DeleteFunc(m, func(k string, _ []byte) bool { return s.Contains([]byte(k)) })
	}
	for _, k := range b.Deletes {
		delete(m, string(k))
	}
	for _, p := range b.Puts {
		m[string(p.Key)] = p.Value
	}
}

func (m model) check(t *testing.T, r reader, s record.Span, reverse bool, limit int) {
	t.Helper()
	keys := slices.Sorted(maps.Keys(m))
	if reverse {
		slices.Reverse(keys)
	}
	var want []string
	for _, k := range keys {
		if s.Contains([]byte(k)) && len(want) < limit {
			want = append(want, k)
		}
	}
	got, err := r.Range(t.Context(), s, reverse, limit)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d records of %q to %q (reverse %t, limit %d), want %d", len(got), s.From, s.To, reverse, limit, len(want))
	}
	for i, rec := range got {
		if string(rec.Key) != want[i] || !bytes.Equal(rec.Value, m[want[i]]) {
			t.Fatalf("record %d is %.40q with %d bytes, want %.40q with %d", i, rec.Key, len(rec.Value), want[i], len(m[want[i]]))
		}
	}
}

// script draws random batches.
type script struct {
	*rand.Rand
	keys int
}

func (r *script) key() []byte {
	n := r.IntN(r.keys)
	k := fmt.Appendf([]byte{byte(n % 3)}, "key-%06d", n)
	switch n % 97 {
	case 0: // long, and alike at the beginning
		return append(bytes.Repeat([]byte{'x'}, 3000+n%700), k...)
	case 1:
		return append(k, bytes.Repeat([]byte{byte(n)}, 500)...)
	case 2:
		return append(bytes.Repeat([]byte{'y'}, 9000), k...)
	}
	return k
}

func (r *script) value() []byte {
	n := r.IntN(60)
	switch r.IntN(12) {
	case 0:
		n = r.IntN(2000)
	case 1:
		n = 4000 + r.IntN(300)
	case 2:
		n = r.IntN(40_000)
	}
	v := make([]byte, n)
	for i := range v {
		v[i] = byte(r.Uint32())
	}
	return v
}

func (r *script) span() record.Span {
	s := record.Span{From: r.key(), To: r.key()}
	if bytes.Compare(s.From, s.To) > 0 {
		s.From, s.To = s.To, s.From
	}
	switch r.IntN(8) {
	case 0:
		s.To = nil
	case 1:
		s.From = nil
	}
	return s
}

func (r *script) batch() *record.Batch {
	b := &record.Batch{}
	puts, deletes := 1+r.IntN(12), r.IntN(12)
	if r.IntN(3) == 0 {
		deletes *= 4
	}
	if r.IntN(40) == 0 {
		b.DeleteSpan(r.span())
	}
	for range deletes {
		b.Delete(r.key())
	}
	for range puts {
		b.Put(r.key(), r.value())
	}
	if r.IntN(5) == 0 {
		b.SetAlarm, b.Alarm = true, int64(r.IntN(1000))
	}
	return b
}

func TestG1_random_batches_agree_with_a_model(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := &script{rand.New(rand.NewPCG(seed, 1)), []int{20, 300, 3000}[seed%3]}
			d, m := newDisk(), model{}
			tree := open(t, d)
			type view struct {
				*pagetree.View
				m model
			}
			var views []view
			var alarm int64
			for range 600 {
				b := r.batch()
				m.apply(b)
				if b.SetAlarm {
					alarm = b.Alarm
				}
				if err := tree.Apply(t.Context(), b); err != nil {
					t.Fatal(err)
				}
				if tree.Alarm() != alarm {
					t.Fatalf("alarm %d, want %d", tree.Alarm(), alarm)
				}
				switch r.IntN(6) {
				case 0, 1:
					d.store(t, tree)
				case 2:
					key := r.key()
					got, err := tree.Get(t.Context(), key)
					want, ok := m[string(key)]
					if ok != (err == nil) || !bytes.Equal(got, want) || !ok && !errors.Is(err, record.ErrNotFound) {
						t.Fatalf("%.40q: %d bytes, %v; want %d bytes, %t", key, len(got), err, len(want), ok)
					}
				case 3:
					m.check(t, tree, r.span(), r.IntN(2) == 0, 1+r.IntN(100))
				}
				switch r.IntN(60) {
				case 0:
					views = append(views, view{tree.View(), maps.Clone(m)})
				case 1:
					if len(views) > 0 {
						i := r.IntN(len(views))
						views[i].Close()
						views = slices.Delete(views, i, i+1)
					}
				case 2:
					for _, v := range views {
						v.m.check(t, v, r.span(), r.IntN(2) == 0, 1+r.IntN(100))
					}
				case 3: // another life
					for _, v := range views {
						v.m.check(t, v, record.Span{}, false, 1<<30)
						v.Close()
					}
					views = nil
					d.store(t, tree)
					tree = open(t, d)
				}
			}
			m.check(t, tree, record.Span{}, false, 1<<30)
			d.store(t, tree)
			tree = open(t, d)
			m.check(t, tree, record.Span{}, true, 1<<30)
			if tree.Alarm() != alarm {
				t.Errorf("alarm %d, want %d", tree.Alarm(), alarm)
			}

			// Everything goes, and its pages are used again.
			if err := tree.Apply(t.Context(), &record.Batch{DeleteSpans: []record.Span{{}}}); err != nil {
				t.Fatal(err)
			}
			d.store(t, tree)
			model{}.check(t, tree, record.Span{}, false, 1<<30)
			before := len(d.pages)
			for k, v := range m {
				if err := tree.Apply(t.Context(), &record.Batch{Puts: []record.Record{{Key: []byte(k), Value: v}}}); err != nil {
					t.Fatal(err)
				}
			}
			d.store(t, tree)
			if after := len(d.pages); after > before+before/8+8 {
				t.Errorf("%d pages held it, now it takes %d", before, after)
			}
			m.check(t, open(t, d), record.Span{}, false, 1<<30)
		})
	}
}

func TestG1_a_commit_holds_whole_batches(t *testing.T) {
	d := newDisk()
	tree := open(t, d)
	r := &script{rand.New(rand.NewPCG(7, 7)), 500}
	m := model{}
	for range 100 {
		b := r.batch()
		m.apply(b)
		if err := tree.Apply(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		d.store(t, tree)
		tree.Apply(t.Context(), r.batch()) // never stored
		tree = open(t, d)
		m.check(t, tree, record.Span{}, false, 1<<30)
	}
}

func TestASmallChangeIsOnePage(t *testing.T) {
	d := newDisk()
	tree := open(t, d)
	put := func(value string) int {
		if err := tree.Apply(t.Context(), &record.Batch{Puts: []record.Record{{Key: []byte{1}, Value: []byte(value)}}}); err != nil {
			t.Fatal(err)
		}
		pages, _, err := tree.Take()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pages {
			d.pages[p.Number] = p.Bytes
		}
		tree.Settled(pages)
		return len(pages)
	}
	put("first")
	if n := put("second"); n != 1 {
		t.Errorf("%d pages for one small record", n)
	}
	d.reads = 0
	tree = open(t, d)
	if v, err := tree.Get(t.Context(), []byte{1}); string(v) != "second" || err != nil || d.reads != 1 {
		t.Errorf("%q, %v after %d requests", v, err, d.reads)
	}
	if pages, _, err := tree.Take(); len(pages) != 0 || err != nil {
		t.Errorf("%d pages changed by reading, %v", len(pages), err)
	}
}

func TestALargeValueIsReadAtOnce(t *testing.T) {
	d := newDisk()
	tree := open(t, d)
	v := bytes.Repeat([]byte("0123456789abcdef"), 64<<10) // 1 MiB
	if err := tree.Apply(t.Context(), &record.Batch{Puts: []record.Record{{Key: []byte{1}, Value: v}}}); err != nil {
		t.Fatal(err)
	}
	d.store(t, tree)
	tree = open(t, d)
	d.reads = 0
	if got, err := tree.Get(t.Context(), []byte{1}); !bytes.Equal(got, v) || err != nil || d.reads > 1 {
		t.Errorf("%d bytes, %v, after %d requests", len(got), err, d.reads)
	}
}

func TestDamageIsTold(t *testing.T) {
	build := func() (*disk, model) {
		d, m := newDisk(), model{}
		tree := open(t, d)
		r := &script{rand.New(rand.NewPCG(3, 3)), 400}
		for range 60 {
			b := r.batch()
			m.apply(b)
			if err := tree.Apply(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
		d.store(t, tree)
		return d, m
	}
	whole, m := build()
	for no := range whole.pages {
		for name, damage := range map[string]func(d *disk){
			"flipped bit": func(d *disk) { d.pages[no][1000] ^= 4 },
			"missing":     func(d *disk) { delete(d.pages, no) },
			"short":       func(d *disk) { d.pages[no] = d.pages[no][:100] },
			"another's":   func(d *disk) { d.pages[no] = bytes.Clone(d.pages[no%uint32(len(d.pages))+1]) },
			"zeros":       func(d *disk) { d.pages[no] = make([]byte, pagetree.Size) },
		} {
			if no == 1 && name == "missing" {
				continue // an actor without pages is a new one: whoever stores the pages knows that they are there
			}
			d := newDisk()
			for n, p := range whole.pages {
				d.pages[n] = bytes.Clone(p)
			}
			damage(d)
			tree, err := pagetree.Open(t.Context(), d, pagetree.Options{})
			var recs []record.Record
			if err == nil {
				recs, err = tree.Range(t.Context(), record.Span{}, false, 1<<30)
			}
			var corrupt *pagetree.CorruptError
			switch {
			case errors.As(err, &corrupt):
				if !strings.Contains(err.Error(), fmt.Sprint(corrupt.Page)) {
					t.Errorf("the error does not name the page: %v", err)
				}
			case err != nil:
				t.Errorf("page %d %s: %v", no, name, err)
			case len(recs) != len(m): // a free page may be anything
				t.Errorf("page %d %s: %d records, want %d", no, name, len(recs), len(m))
			}
		}
	}
}

func TestG10_a_tree_that_failed_refuses(t *testing.T) {
	d := newDisk()
	tree := open(t, d)
	r := &script{rand.New(rand.NewPCG(5, 5)), 3000}
	for range 200 {
		if err := tree.Apply(t.Context(), r.batch()); err != nil {
			t.Fatal(err)
		}
		d.store(t, tree)
	}
	tree = open(t, d)
	d.fail = errors.New("the line is dead")
	var err error
	for err == nil {
		err = tree.Apply(t.Context(), r.batch())
	}
	if !errors.Is(err, d.fail) {
		t.Errorf("%v", err)
	}
	d.fail = nil
	if err := tree.Apply(t.Context(), r.batch()); !errors.Is(err, pagetree.ErrBroken) {
		t.Errorf("a batch after the failed one: %v", err)
	}
	if _, _, err := tree.Take(); !errors.Is(err, pagetree.ErrBroken) {
		t.Errorf("pages of the failed batch: %v", err)
	}
	if _, err := tree.Range(t.Context(), record.Span{}, false, 10); !errors.Is(err, pagetree.ErrBroken) {
		t.Errorf("a read after it: %v", err)
	}
}

func TestTooLong(t *testing.T) {
	tree := open(t, newDisk())
	var size *pagetree.SizeError
	err := tree.Apply(t.Context(), &record.Batch{Puts: []record.Record{{Key: make([]byte, pagetree.MaxKey+1)}}})
	if !errors.As(err, &size) || size.What != "key" {
		t.Errorf("%v", err)
	}
	if err := tree.Apply(t.Context(), &record.Batch{Puts: []record.Record{{Key: make([]byte, pagetree.MaxKey), Value: []byte("x")}}}); err != nil {
		t.Errorf("after a refusal: %v", err)
	}
}

// Pages come from another machine: whatever they are, reading them ends and does not panic.
func FuzzPages(f *testing.F) {
	d := newDisk()
	tree, err := pagetree.Open(context.Background(), d, pagetree.Options{})
	if err != nil {
		f.Fatal(err)
	}
	r := &script{rand.New(rand.NewPCG(9, 9)), 300}
	for range 20 {
		if err := tree.Apply(context.Background(), r.batch()); err != nil {
			f.Fatal(err)
		}
	}
	pages, _, err := tree.Take()
	if err != nil {
		f.Fatal(err)
	}
	for _, p := range pages[:min(len(pages), 8)] {
		f.Add(p.Number, p.Bytes[:200], uint16(8))
	}
	f.Fuzz(func(t *testing.T, no uint32, content []byte, at uint16) {
		d := newDisk()
		for _, p := range pages {
			d.pages[p.Number] = bytes.Clone(p.Bytes)
		}
		if p := d.pages[no]; p != nil {
			copy(p[min(int(at), len(p)):], content)
			pagetree.Reseal(no, p)
		}
		tree, err := pagetree.Open(t.Context(), d, pagetree.Options{})
		if err != nil {
			return
		}
		tree.Range(t.Context(), record.Span{}, false, 1<<20)
		tree.Apply(t.Context(), &record.Batch{DeleteSpans: []record.Span{{}}})
	})
}
