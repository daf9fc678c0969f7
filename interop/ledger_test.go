package interop

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/interop/ledger"
)

// book is what clients were told of their entries, by ledger.
type book struct {
	mu      sync.Mutex
	sure    map[string]map[string]bool // acknowledged
	unknown map[string]map[string]bool // failed, perhaps after it happened
}

func newBook() *book {
	return &book{sure: make(map[string]map[string]bool), unknown: make(map[string]map[string]bool)}
}

func (b *book) note(key, id string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.sure
	if err != nil {
		m = b.unknown
	}
	if m[key] == nil {
		m[key] = make(map[string]bool)
	}
	m[key][id] = true
}

func (b *book) counts() (sure, unknown int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.sure {
		sure += len(m)
	}
	for _, m := range b.unknown {
		unknown += len(m)
	}
	return sure, unknown
}

// check compares a ledger with the book.
func (b *book) check(t *testing.T, key string, all []string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	lost := maps.Clone(b.sure[key])
	for i, id := range all {
		if slices.Contains(all[:i], id) {
			t.Errorf("%s: %s is there twice", key, id)
		}
		if !b.sure[key][id] && !b.unknown[key][id] {
			t.Errorf("%s: nobody sent %s", key, id)
		}
		delete(lost, id)
	}
	if len(lost) > 0 {
		t.Errorf("%s: lost %d acknowledged entries of %d: %v", key, len(lost), len(b.sure[key]), slices.Sorted(maps.Keys(lost))[:min(5, len(lost))])
	}
}

// TestG1_G2_G3_LedgerUnderTheOfficialEngine has clients write to our actors through the official engine while runner, engine
// and the connection between them fail: nothing acknowledged is lost, nothing happens twice, and state, table and keys agree.
func TestG1_G2_G3_LedgerUnderTheOfficialEngine(t *testing.T) {
	t.Parallel() // it waits more than it works
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	e := startEngine(t)
	p := startProxy(t, strings.TrimPrefix(e.url(), "http://"))
	const pool = "ledger"
	s := e.startRunnerIn(t, pool, testServer, "RIVET_ENGINE="+p.url())

	client, err := rivet.NewClient(e.url(), &rivet.ClientOptions{Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, stop := context.WithCancel(t.Context())
	b := newBook()
	keys := []string{"a", "b", "c", "d"}
	var writers sync.WaitGroup
	for w := range 8 {
		key := keys[w%len(keys)]
		h := ledger.Ledgers.GetOrCreate(client, rivet.Key{key}, ledger.Ledger{})
		writers.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				id := fmt.Sprintf("%d-%d", w, n)
				call, cancel := context.WithTimeout(context.WithoutCancel(ctx), 40*time.Second)
				_, err := ledger.Add.Call(call, h, id)
				cancel()
				if rivet.Is(err, "ledger", "twice") { // the client, or a gateway, repeated what had happened
					err = nil
				}
				b.note(key, id, err)
				if err != nil {
					last(100 * time.Millisecond)
				}
			}
		})
	}

	pause := func(least, most time.Duration) { last(least + time.Duration(random.Int64N(int64(most-least)))) }
	const rounds = 1
	faults := []struct {
		name string
		do   func()
	}{
		{"the connection is cut", p.cut},
		{"the connection is cut, and refused for a while", func() {
			p.refuse.Store(true)
			p.cut()
			pause(time.Second, 4*time.Second)
			p.refuse.Store(false)
		}},
		{"acknowledgements are lost", func() {
			p.deaf.Store(true)
			pause(50*time.Millisecond, 800*time.Millisecond)
			p.cut()
			p.deaf.Store(false)
		}},
		{"everything takes long", func() {
			p.delay.Store(int64(150 * time.Millisecond))
			pause(time.Second, 2*time.Second)
			p.delay.Store(0)
		}},
		{"the runner is killed", func() {
			if err := s.kill(); err != nil {
				t.Error(err)
			}
			if err := s.start(); err != nil {
				t.Error(err)
			}
		}},
		{"the engine is killed", func() {
			e.kill()
			pause(0, time.Second)
			e.start()
		}},
	}
	for round := range rounds {
		for _, i := range random.Perm(len(faults)) {
			pause(500*time.Millisecond, 2*time.Second)
			before, _ := b.counts()
			faults[i].do()
			if !eventually(90*time.Second, func() bool { now, _ := b.counts(); return now >= before+20 }) { // the world goes on
				sure, unknown := b.counts()
				t.Fatalf("round %d: after %q nothing goes on: %d acknowledged, %d unknown", round, faults[i].name, sure, unknown)
			}
		}
	}
	stop()
	writers.Wait()
	for _, key := range keys {
		h := ledger.Ledgers.GetOrCreate(client, rivet.Key{key}, ledger.Ledger{})
		var all []string
		var err error
		eventually(time.Minute, func() bool {
			all, err = ledger.All.Call(t.Context(), h, rivet.None{})
			f := (*rivet.Error)(nil)
			return err == nil || errors.As(err, &f) && f.Group == "ledger"
		})
		if err != nil {
			t.Errorf("%s: %v", key, err)
			continue
		}
		b.check(t, key, all)
	}
	sure, unknown := b.counts()
	t.Logf("%d entries acknowledged, %d unknown, lost 0 unless said otherwise", sure, unknown)
}

// TestLargeTurnsUnderTheOfficialEngine commits more pages at once than one request to the engine holds, and finds them after a
// kill.
func TestLargeTurnsUnderTheOfficialEngine(t *testing.T) {
	t.Parallel() // it waits more than it works
	e := startEngine(t)
	s := e.startRunner(t, testServer)
	client, err := rivet.NewClient(e.url(), &rivet.ClientOptions{Pool: s.pool})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	h := ledger.Ledgers.GetOrCreate(client, rivet.Key{"large"}, ledger.Ledger{})
	var held int64
	for i, size := range []int64{100, 2 << 20, 40 << 20, 100} {
		if n, err := ledger.Fill.Call(t.Context(), h, rivet.Args2[string, int64]{A: fmt.Sprint(i), B: size}); err != nil || n != int64(i+1) {
			t.Fatalf("%d bytes: %d, %v", size, n, err)
		}
		held += size
	}
	check := func() {
		t.Helper()
		var all []string
		var n int64
		var err error
		eventually(2*time.Minute, func() bool {
			if all, err = ledger.All.Call(t.Context(), h, rivet.None{}); err == nil {
				n, err = ledger.Held.Call(t.Context(), h, rivet.None{})
			}
			return err == nil
		})
		if err != nil || len(all) != 4 || n != held {
			t.Errorf("%d entries with %d bytes, want 4 with %d: %v", len(all), n, held, err)
		}
	}
	check()
	if err := s.kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	check()
}
