package queue

import (
	"maps"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// model is what Index should be, without its speed: items by number.
type model map[uint64]modelItem

type modelItem struct {
	name     string
	attempts int
	state    state
	at       int64
}

func (m model) ids() []uint64 { return slices.Sorted(maps.Keys(m)) }

func (m model) next(names []string, fits func(uint64) bool) uint64 {
	for _, id := range m.ids() {
		it := m[id]
		if it.state == ready && (len(names) == 0 || slices.Contains(names, it.name)) && fits(id) {
			return id
		}
	}
	return 0
}

func (m model) place(id uint64, readyAt, now int64) {
	it := m[id]
	if it.state, it.at = ready, 0; readyAt > now {
		it.state, it.at = delayed, readyAt
	}
	m[id] = it
}

func (m model) ripen(now int64) (over []uint64) {
	for id, it := range m {
		switch {
		case it.state == delayed && it.at <= now:
			m.place(id, 0, now)
		case it.state == leased && it.at <= now:
			over = append(over, id)
		}
	}
	slices.Sort(over)
	return over
}

// world runs an index beside its model.
type world struct {
	index Index
	model model
	items map[uint64]*Item // those that are gone included
	now   int64
	last  uint64
	// undo takes back what the turn under way did, newest last, and saved is the model before it.
	undo  []func()
	saved model
}

func newWorld() *world {
	return &world{model: model{}, items: map[uint64]*Item{}, now: 1000, saved: model{}}
}

var names = []string{"a", "b", "c"}

// some draws one of the messages that are there; nil when there is none.
func (w *world) some(t *rapid.T, ok func(modelItem) bool) *Item {
	ids := slices.DeleteFunc(w.model.ids(), func(id uint64) bool { return !ok(w.model[id]) })
	if len(ids) == 0 {
		t.Skip("there is none")
	}
	return w.items[rapid.SampledFrom(ids).Draw(t, "id")]
}

func (w *world) mark(it *Item) { w.undo = append(w.undo, w.index.Mark(it)) }

func (w *world) at(t *rapid.T) int64 { return w.now + rapid.Int64Range(-20, 100).Draw(t, "in") }

func any1(modelItem) bool        { return true }
func notLeased(m modelItem) bool { return m.state != leased }

func TestIndexAgreesWithItsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				w.last++
				it := &Item{ID: w.last, Name: rapid.SampledFrom(names).Draw(t, "name")}
				w.items[it.ID] = it
				w.mark(it)
				at := w.at(t)
				w.index.Add(it, at, w.now)
				w.model[it.ID] = modelItem{name: it.Name}
				w.model.place(it.ID, at, w.now)
			},
			"lease": func(t *rapid.T) {
				it := w.some(t, notLeased)
				w.mark(it)
				until := w.at(t)
				w.index.Lease(it, until)
				m := w.model[it.ID]
				m.state, m.at, m.attempts = leased, until, m.attempts+1
				w.model[it.ID] = m
			},
			"extend": func(t *rapid.T) {
				it := w.some(t, any1)
				w.mark(it)
				until := w.at(t)
				w.index.Extend(it, until)
				if m := w.model[it.ID]; m.state == leased {
					m.at = until
					w.model[it.ID] = m
				}
			},
			"release": func(t *rapid.T) {
				it := w.some(t, any1) // a failed attempt that nobody leased too
				w.mark(it)
				at := w.at(t)
				w.index.Release(it, at, w.now)
				w.model.place(it.ID, at, w.now)
			},
			"remove": func(t *rapid.T) {
				it := w.some(t, any1)
				w.mark(it)
				w.index.Remove(it)
				delete(w.model, it.ID)
			},
			"time passes": func(t *rapid.T) {
				w.now += rapid.Int64Range(0, 60).Draw(t, "for")
				var over []uint64
				for _, it := range w.index.Ripen(w.now) {
					if !it.Leased() {
						t.Fatal("a lease that is over is none")
					}
					over = append(over, it.ID)
				}
				slices.Sort(over)
				if want := w.model.ripen(w.now); !slices.Equal(over, want) {
					t.Fatalf("over are %v, want %v", over, want)
				}
				w.saved.ripen(w.now) // time is not taken back with a turn
			},
			"the turn succeeds": func(*rapid.T) { w.undo, w.saved = nil, maps.Clone(w.model) },
			"the turn fails": func(*rapid.T) {
				for _, fn := range slices.Backward(w.undo) {
					fn()
				}
				w.index.Ripen(w.now) // what was taken back may have become ready meanwhile
				w.undo, w.model = nil, maps.Clone(w.saved)
			},
			"next": func(t *rapid.T) {
				from := rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 3, rapid.ID).Draw(t, "names")
				odd := rapid.Bool().Draw(t, "odd")
				fits := func(id uint64) bool { return !odd || id%2 == 1 }
				it := w.index.Next(from, func(it *Item) bool { return fits(it.ID) })
				if want := w.model.next(from, fits); want == 0 && it != nil || want != 0 && (it == nil || it.ID != want) {
					t.Fatalf("next is %+v, want %d", it, want)
				}
			},
			"": func(t *rapid.T) { w.check(t) },
		})
	})
}

// check compares all that the index tells with the model, and its invariant.
func (w *world) check(t *rapid.T) {
	x := &w.index
	got := model{}
	for id, it := range x.byID {
		got[id] = modelItem{it.Name, it.Attempts, it.state, it.at}
		if x.Get(id) != it || it.ID != id {
			t.Fatalf("message %d is kept as %d", it.ID, id)
		}
		inLine := slices.Contains(x.lines[it.Name], it)
		inTimes := it.slot < len(x.times) && x.times[it.slot] == it
		if inLine != (it.state == ready) || inTimes != (it.state != ready) {
			t.Fatalf("message %d in state %d: in its line %v, in times %v", id, it.state, inLine, inTimes)
		}
	}
	if !reflect.DeepEqual(got, w.model) {
		t.Fatalf("the index holds %v, want %v", got, w.model)
	}
	var counts [3]int
	first, firstReady, head := int64(0), int64(0), uint64(0)
	withReady := map[string]bool{}
	for _, id := range w.model.ids() {
		it := w.model[id]
		counts[it.state]++
		if head == 0 {
			head = id
		}
		if it.state == ready {
			withReady[it.name] = true
		} else if first == 0 || it.at < first {
			first = it.at
		}
		if it.state == delayed && (firstReady == 0 || it.at < firstReady) {
			firstReady = it.at
		}
	}
	if counts[ready]+counts[leased] > 0 {
		firstReady = 0
	}
	lines := 0
	for name, line := range x.lines {
		lines += len(line)
		if len(line) == 0 || !slices.IsSortedFunc(line, func(a, b *Item) int { return int(a.ID) - int(b.ID) }) {
			t.Fatalf("line %q is %v", name, line)
		}
	}
	r, d, l := x.Counts()
	if [3]int{r, d, l} != counts || x.Held() != l || lines != r || len(x.times) != d+l || x.Len() != len(w.model) {
		t.Fatalf("counts %d %d %d, held %d, in lines %d, want %v", r, d, l, x.Held(), lines, counts)
	}
	if at, ok := x.NextTime(); ok != (counts[delayed]+counts[leased] > 0) || at != first {
		t.Fatalf("next time %d, %v; want %d", at, ok, first)
	}
	if at, ok := x.NextReady(); ok != (len(w.model) > 0) || at != firstReady {
		t.Fatalf("next ready %d, %v; want %d", at, ok, firstReady)
	}
	if h := x.Head(); (h == nil) != (head == 0) || h != nil && h.ID != head {
		t.Fatalf("head %v, want %d", h, head)
	}
	for name := range x.Ready() {
		if !withReady[name] {
			t.Fatalf("%q is said to be ready", name)
		}
		delete(withReady, name)
	}
	if len(withReady) > 0 {
		t.Fatalf("%v are ready, too", withReady)
	}
}

// A queue that is always short of being empty keeps no memory of what went through it.
func TestLinesDoNotGrow(t *testing.T) {
	var x Index
	for id := uint64(1); id <= 10_000; id++ {
		x.Add(&Item{ID: id, Name: "a"}, 0, 1)
		if id > 1 {
			x.Remove(x.Next(nil, nil))
		}
	}
	if n := cap(x.lines["a"]); n > 1000 {
		t.Errorf("a line of one message has room for %d", n)
	}
}
