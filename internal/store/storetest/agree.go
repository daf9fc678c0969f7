package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// Subject is one of the stores that Agree compares.
type Subject struct {
	Store store.Store
	// Crash cuts the power and returns what is there afterwards, with Store replaced. nil: the subject cannot.
	Crash func() Subject
}

// Agree makes two stores live through the same random operations, one after the other, each waited for until it is
// durable, with crashes in between where both can. They must answer alike. rapid prints the seed of a failure.
func Agree(t *testing.T, openA, openB func(now func() time.Time) Subject) {
	rapid.Check(t, func(t *rapid.T) {
		now := epoch
		clock := func() time.Time { return now }
		m := &machine{t: t, ctx: context.Background(), s: [2]Subject{openA(clock), openB(clock)}}
		defer func() {
			for _, s := range m.s {
				_ = s.Store.Close()
			}
		}()
		for i := range m.ns {
			m.ns[i] = id.New(uint16(i))
		}
		t.Repeat(map[string]func(*rapid.T){
			"":          func(t *rapid.T) { now = now.Add(time.Second); m.t = t; m.look() },
			"namespace": m.namespace,
			"names":     m.names,
			"reserve":   m.reserve,
			"acquire":   m.acquire,
			"commit":    m.commit,
			"commit2":   m.commit, // more often than the rest
			"read":      m.read,
			"alarms":    m.alarms,
			"release":   m.release,
			"destroy":   m.destroy,
			"crash":     m.crash,
		})
	})
}

type machine struct {
	t    *rapid.T
	ctx  context.Context
	s    [2]Subject
	ns   [2]id.ID
	ids  []id.ID
	held [][2]store.Tenure // all that were ever acquired since the last crash
	n    int
}

// both runs f on both stores and compares what it returns.
func (m *machine) both(what string, f func(i int, s store.Store) (any, error)) {
	m.t.Helper()
	var got [2]any
	var errs [2]string
	for i := range m.s {
		v, err := f(i, m.s[i].Store)
		got[i], errs[i] = v, class(err)
		if errs[i] == "unexpected" {
			m.t.Fatalf("%s: store %d: %v", what, i, err)
		}
	}
	if errs[0] != errs[1] {
		m.t.Fatalf("%s: errors differ: %s, %s", what, errs[0], errs[1])
	}
	if d := cmp.Diff(got[0], got[1]); d != "" {
		m.t.Fatalf("%s: answers differ:\n%s", what, d)
	}
}

func class(err error) string {
	for _, known := range []error{store.ErrNotFound, store.ErrExists, store.ErrFenced, store.ErrClosed} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	if err != nil {
		return "unexpected"
	}
	return "none"
}

func (m *machine) look() {
	m.both("namespaces", func(_ int, s store.Store) (any, error) { v, err := s.Namespaces(m.ctx); return some(v), err })
	m.both("actors", func(_ int, s store.Store) (any, error) { v, err := s.Actors(m.ctx, m.ids); return some(v), err })
	m.both("all alarms", func(_ int, s store.Store) (any, error) {
		v, err := s.Alarms(m.ctx, store.AlarmQuery{Limit: 1 << 20})
		return some(v), err
	})
}

// some makes nil and empty slices equal.
func some[T any](s []T) []T {
	if len(s) == 0 {
		return nil
	}
	return s
}

func (m *machine) pick(t *rapid.T, from ...string) string {
	return rapid.SampledFrom(from).Draw(t, "pick")
}

func (m *machine) namespace(t *rapid.T) {
	m.t = t
	ns := store.Namespace{ID: id.New(1), Name: m.pick(t, "a", "b", "c", "d"), CreatedAt: epoch}
	m.both("create namespace", func(_ int, s store.Store) (any, error) { return nil, s.CreateNamespace(m.ctx, ns) })
}

func (m *machine) names(t *rapid.T) {
	m.t = t
	ns := rapid.SampledFrom(m.ns[:]).Draw(t, "namespace")
	names := []store.ActorName{
		{Name: m.pick(t, "a", "ab", "b", "c"), Metadata: []byte(m.pick(t, "", "1", "2"))},
		{Name: m.pick(t, "d", "e"), Metadata: []byte(m.pick(t, "", "1", "2"))},
	}
	m.both("put names", func(_ int, s store.Store) (any, error) { return nil, s.PutNames(m.ctx, ns, names) })
	after, limit := m.pick(t, "", "a", "aa", "b"), rapid.IntRange(0, 4).Draw(t, "limit")
	m.both("names", func(_ int, s store.Store) (any, error) {
		v, err := s.Names(m.ctx, ns, after, limit)
		return some(v), err
	})
}

func (m *machine) reserve(t *rapid.T) {
	m.t = t
	n := store.NewActor{
		ID: id.New(1), Namespace: rapid.SampledFrom(m.ns[:]).Draw(t, "namespace"),
		Name: m.pick(t, "x", "y"), Key: m.pick(t, "", "k", "l"), HasKey: rapid.Bool().Draw(t, "has key"),
		CreatedAt: epoch.Add(time.Duration(m.n) * time.Millisecond), Pool: m.pick(t, "", "p"),
	}
	if rapid.Bool().Draw(t, "has input") {
		n.Input = []byte{1}
	}
	m.n++
	m.ids = append(m.ids, n.ID)
	m.both("reserve", func(_ int, s store.Store) (any, error) {
		done := make(chan error, 1)
		a, created, err := s.Reserve(m.ctx, n, func(err error) { done <- err })
		if err == nil {
			err = <-done
		}
		return fmt.Sprintf("%+v %v", a, created), err
	})
	m.both("lookup", func(_ int, s store.Store) (any, error) { return s.Lookup(m.ctx, n.Namespace, n.Name, n.Key) })
	q := store.ListQuery{
		Namespace: n.Namespace, Name: n.Name, IncludeDestroyed: rapid.Bool().Draw(t, "destroyed"),
		Limit: rapid.IntRange(0, 5).Draw(t, "limit"),
	}
	if rapid.Bool().Draw(t, "before") {
		q.Before = epoch.Add(time.Duration(rapid.IntRange(0, m.n+1).Draw(t, "ms")) * time.Millisecond)
	}
	m.both("list", func(_ int, s store.Store) (any, error) { v, err := s.List(m.ctx, q); return some(v), err })
}

func (m *machine) acquire(t *rapid.T) {
	m.t = t
	if len(m.ids) == 0 {
		t.Skip()
	}
	actor := rapid.SampledFrom(m.ids).Draw(t, "actor")
	var ts [2]store.Tenure
	m.both("acquire", func(i int, s store.Store) (any, error) {
		tn, err := s.Acquire(m.ctx, actor)
		if err != nil {
			return nil, err
		}
		ts[i] = tn
		return fmt.Sprintf("%d %+v %s", tn.Generation(), tn.Actor(), text(tn.Hot())), nil
	})
	if ts[0] != nil {
		m.held = append(m.held, ts)
	}
}

// tenure picks one; most often a recent one, which is more likely to live.
func (m *machine) tenure(t *rapid.T) [2]store.Tenure {
	m.t = t
	if len(m.held) == 0 {
		t.Skip()
	}
	back := rapid.IntRange(0, len(m.held)-1).Draw(t, "tenure from the end")
	return m.held[len(m.held)-1-back]
}

func key(t *rapid.T) []byte {
	kind := rapid.SampledFrom([]byte{1, 2, 0x3f, 0x40, 0x41, 0xff}).Draw(t, "kind")
	return append([]byte{kind}, rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 0xff}), 0, 2).Draw(t, "rest")...)
}

func span(t *rapid.T) (s record.Span) {
	if rapid.Bool().Draw(t, "from") {
		s.From = key(t)
	}
	if rapid.Bool().Draw(t, "to") {
		s.To = key(t)
	}
	return s
}

func (m *machine) commit(t *rapid.T) {
	ts := m.tenure(t)
	batches := make([][2]*record.Batch, rapid.IntRange(1, 4).Draw(t, "commits"))
	for i := range batches {
		b := record.Batch{}
		for range rapid.IntRange(0, 1).Draw(t, "spans") {
			b.DeleteSpan(span(t))
		}
		for range rapid.IntRange(0, 2).Draw(t, "deletes") {
			b.Delete(key(t))
		}
		for range rapid.IntRange(0, 4).Draw(t, "puts") {
			b.Put(key(t), rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "value"))
		}
		if b.SetAlarm = rapid.Bool().Draw(t, "sets alarm"); b.SetAlarm {
			b.Alarm = rapid.Int64Range(-2, 6).Draw(t, "alarm")
		}
		for j := range batches[i] {
			c := b
			batches[i][j] = &c
		}
	}
	m.both("commit", func(i int, _ store.Store) (any, error) {
		done := make(chan error, len(batches))
		for _, b := range batches {
			if err := ts[i].Commit(b[i], func(err error) { done <- err }); err != nil {
				return nil, err
			}
		}
		for range batches {
			if err := <-done; err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
}

func (m *machine) read(t *rapid.T) {
	ts := m.tenure(t)
	k, s := key(t), span(t)
	reverse, limit := rapid.Bool().Draw(t, "reverse"), rapid.IntRange(0, 20).Draw(t, "limit")
	m.both("get", func(i int, _ store.Store) (any, error) { v, err := ts[i].Get(m.ctx, k); return some(v), err })
	m.both("range", func(i int, _ store.Store) (any, error) {
		rs, err := ts[i].Range(m.ctx, s, reverse, limit)
		return text(rs), err
	})
}

func (m *machine) alarms(t *rapid.T) {
	m.t = t
	q := store.AlarmQuery{Limit: rapid.IntRange(0, 5).Draw(t, "limit")}
	if rapid.Bool().Draw(t, "until") {
		q.Until = time.UnixMilli(rapid.Int64Range(-3, 6).Draw(t, "until ms"))
	}
	if len(m.ids) > 0 && rapid.Bool().Draw(t, "after") {
		q.After = store.Alarm{
			At: time.UnixMilli(rapid.Int64Range(-3, 6).Draw(t, "after ms")), Actor: rapid.SampledFrom(m.ids).Draw(t, "after actor"),
		}
	}
	m.both("alarms", func(_ int, s store.Store) (any, error) { v, err := s.Alarms(m.ctx, q); return some(v), err })
}

func (m *machine) release(t *rapid.T) {
	ts := m.tenure(t)
	var asleep time.Time
	if rapid.Bool().Draw(t, "asleep") {
		asleep = epoch.Add(time.Duration(len(m.held)) * time.Hour)
	}
	m.both("release", func(i int, _ store.Store) (any, error) { return nil, ts[i].Release(asleep) })
}

func (m *machine) destroy(t *rapid.T) {
	ts := m.tenure(t)
	if rapid.IntRange(0, 2).Draw(t, "really") > 0 {
		t.Skip() // else most actors are destroyed before they have lived
	}
	m.both("destroy", func(i int, _ store.Store) (any, error) { return nil, ts[i].Destroy(m.ctx, epoch.Add(time.Hour)) })
}

func (m *machine) crash(t *rapid.T) {
	m.t = t
	if m.s[0].Crash == nil || m.s[1].Crash == nil {
		t.Skip()
	}
	// Nobody waits for the notes of releases: something durable behind them makes them durable too.
	m.n++
	marker := []store.ActorName{{Name: "crash", Metadata: fmt.Append(nil, m.n)}}
	m.both("marker", func(_ int, s store.Store) (any, error) { return nil, s.PutNames(m.ctx, m.ns[0], marker) })
	for i := range m.s {
		m.s[i] = m.s[i].Crash()
	}
	m.held = nil
}
