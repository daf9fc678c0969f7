package schedule

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestQueue(t *testing.T) {
	var q Queue
	if _, ok := q.Min(); ok || q.WakeAt() != 0 || q.Len() != 0 || q.Remove("x") {
		t.Error("the zero queue is not empty")
	}
	row := func(id string, at int64) Row { return Row{Spec: Spec{ID: id}, NextAt: at} }
	q.Put(row("never", 0))
	if _, ok := q.Min(); ok || q.WakeAt() != 0 || q.Len() != 1 {
		t.Error("a row that is never due is due")
	}
	q.Put(row("b", 10))
	q.Put(row("a", 10))
	q.Put(row("c", 5))
	var order []string
	for {
		r, ok := q.Min()
		if !ok {
			break
		}
		order = append(order, r.ID)
		r.NextAt = 0
		q.Put(r)
	}
	if !slices.Equal(order, []string{"c", "a", "b"}) || q.Len() != 4 {
		t.Errorf("order %v, %d rows", order, q.Len())
	}
}

// TestQueueAgainstASortedList compares the queue with a list that is sorted each time.
func TestQueueAgainstASortedList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q Queue
		list := map[string]Row{}
		id := rapid.Custom(func(t *rapid.T) string { return fmt.Sprint(rapid.IntRange(0, 12).Draw(t, "id")) })
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				r := Row{Spec: Spec{ID: id.Draw(t, "id")}, NextAt: rapid.Int64Range(0, 6).Draw(t, "at")}
				q.Put(r)
				list[r.ID] = r
			},
			"remove": func(t *rapid.T) {
				id := id.Draw(t, "id")
				_, want := list[id]
				if q.Remove(id) != want {
					t.Fatalf("remove %s: want %t", id, want)
				}
				delete(list, id)
			},
			"": func(t *rapid.T) {
				var due []Row
				for id, r := range list {
					if got, ok := q.Get(id); !ok || !reflect.DeepEqual(got, r) {
						t.Fatalf("get %s: %+v", id, got)
					}
					if r.NextAt != 0 {
						due = append(due, r)
					}
				}
				slices.SortFunc(due, func(a, b Row) int { return cmp.Or(cmp.Compare(a.NextAt, b.NextAt), cmp.Compare(a.ID, b.ID)) })
				got, ok := q.Min()
				if ok != (len(due) > 0) || ok && (got.ID != due[0].ID || q.WakeAt() != due[0].NextAt) {
					t.Fatalf("min %+v, %t; want first of %+v", got, ok, due)
				}
				seen := 0
				for r := range q.All() {
					if _, ok := list[r.ID]; !ok {
						t.Fatalf("%s is not there", r.ID)
					}
					seen++
				}
				if _, ok := q.Get("none"); ok || seen != len(list) || q.Len() != len(list) {
					t.Fatalf("%d rows, want %d", seen, len(list))
				}
			},
		})
	})
}

func BenchmarkQueue(b *testing.B) {
	var q Queue
	for i := range 1000 {
		q.Put(Row{Spec: Spec{ID: fmt.Sprintf("cron:%04d", i)}, NextAt: int64(i + 1)})
	}
	b.ReportAllocs()
	for b.Loop() {
		r, _ := q.Min()
		r.NextAt += 1000
		q.Put(r)
	}
}
