package directory_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/rivetgo/rivet/internal/directory"
	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/store/memory"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/id"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counting is a store that counts what is asked of it.
type counting struct {
	*memory.Store
	lookups atomic.Int64
	before  func() // called in front of each Lookup
}

func (c *counting) Lookup(ctx context.Context, ns id.ID, name, key string) (store.Actor, error) {
	c.lookups.Add(1)
	row, err := c.Store.Lookup(ctx, ns, name, key)
	if c.before != nil {
		c.before()
	}
	return row, err
}

func open(t testing.TB, cfg directory.Config) (*directory.Directory, *counting) {
	t.Helper()
	st := &counting{Store: memory.New(memory.Options{})}
	t.Cleanup(func() { st.Close() })
	cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	d, err := directory.Open(context.Background(), st, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d, st
}

func query(key string) *directory.Query {
	return &directory.Query{Namespace: "default", Name: "counter", Key: key, Create: true, Pool: "default"}
}

func wantFault(t *testing.T, err error, want string) *fault.Error {
	t.Helper()
	e, ok := fault.From(err)
	if !ok || e.Group+"."+e.Code != want {
		t.Fatalf("error is %v, want %s", err, want)
	}
	return e
}

func TestDefaultNamespace(t *testing.T) {
	d, st := open(t, directory.Config{})
	again, err := directory.Open(t.Context(), st, directory.Config{})
	if err != nil {
		t.Fatal(err)
	}
	a, b := d.Namespaces(), again.Namespaces()
	if len(a) != 1 || len(b) != 1 || a[0].ID != b[0].ID || a[0].Name != "default" || a[0].DisplayName != "Default" {
		t.Errorf("namespaces are %+v, then %+v", a, b)
	}
	if d.NamespaceName(a[0].ID) != "default" || d.NamespaceName(id.New(1)) != "" {
		t.Error("NamespaceName is wrong")
	}
}

func TestResolve(t *testing.T) {
	d, st := open(t, directory.Config{})
	get := query("a")
	get.Create = false
	_, err := d.Resolve(t.Context(), get)
	wantFault(t, err, "actor.not_found")

	first, err := d.Resolve(t.Context(), query("a"))
	if err != nil {
		t.Fatal(err)
	}
	if first.Label() != 1 {
		t.Errorf("label %d", first.Label())
	}
	reads := st.lookups.Load()
	for range 3 {
		if again, err := d.Resolve(t.Context(), get); err != nil || again != first {
			t.Errorf("resolved to %v, %v", again, err)
		}
	}
	if st.lookups.Load() != reads {
		t.Errorf("%d reads of the store for a mapping that is known", st.lookups.Load()-reads)
	}

	// The key alone is not the identity.
	other := query("a")
	other.Name = "chat"
	if second, err := d.Resolve(t.Context(), other); err != nil || second == first {
		t.Errorf("another name resolved to %v, %v", second, err)
	}

	d.Forget("default", "counter", "a")
	if again, err := d.Resolve(t.Context(), get); err != nil || again != first || st.lookups.Load() == reads {
		t.Errorf("after Forget: %v, %v, %d reads", again, err, st.lookups.Load()-reads)
	}
}

func TestDestroyedKeyLeadsToANewActor(t *testing.T) {
	d, st := open(t, directory.Config{})
	first, err := d.Resolve(t.Context(), query("a"))
	if err != nil {
		t.Fatal(err)
	}
	tenure, err := st.Acquire(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	if err := tenure.Destroy(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	d.Forget("default", "counter", "a")
	if second, err := d.Resolve(t.Context(), query("a")); err != nil || second == first {
		t.Errorf("resolved to %v, %v; the first was %v", second, err, first)
	}
}

// A row that was read before a destroy must not be cached after it.
func TestLookupOvertakenByForget(t *testing.T) {
	d, st := open(t, directory.Config{})
	if _, err := d.Resolve(t.Context(), query("a")); err != nil {
		t.Fatal(err)
	}
	d.Forget("default", "counter", "a")
	st.before = func() { d.Forget("default", "counter", "a") } // between the read and its return
	if _, err := d.Resolve(t.Context(), query("a")); err != nil {
		t.Fatal(err)
	}
	st.before = nil
	reads := st.lookups.Load()
	if _, err := d.Resolve(t.Context(), query("a")); err != nil {
		t.Fatal(err)
	}
	if st.lookups.Load() == reads {
		t.Error("the overtaken mapping was cached")
	}
}

func TestG7_CacheIsBounded(t *testing.T) {
	d, st := open(t, directory.Config{CacheSize: 64})
	for i := range 1000 {
		if _, err := d.Resolve(t.Context(), query(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	reads := st.lookups.Load()
	for i := range 1000 {
		if _, err := d.Resolve(t.Context(), query(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	if hits := 1000 - (st.lookups.Load() - reads); hits > 64 {
		t.Errorf("%d of 1000 mappings were kept", hits)
	}
}

func TestConcurrentCreationMakesOne(t *testing.T) {
	d, _ := open(t, directory.Config{})
	ids := make([]id.ID, 100)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			var err error
			if ids[i], err = d.Resolve(context.Background(), query("a")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, v := range ids {
		if v != ids[0] {
			t.Fatal("one key has two actors")
		}
	}
}

func TestCreationIsChecked(t *testing.T) {
	d, _ := open(t, directory.Config{Pools: []string{"gpu"}})
	tests := []struct {
		name    string
		change  func(q *directory.Query)
		want    string
		message string
	}{
		{"namespace", func(q *directory.Query) { q.Namespace = "nope" }, "namespace.not_found", "The namespace does not exist."},
		{"pool", func(q *directory.Query) { q.Pool = "nope" }, "actor.no_runner_config_configured", "No runner config with name 'nope' are available in any datacenter for the namespace 'default'. Validate a provider is listed that matches the requested pool name."},
		{"configured pool", func(q *directory.Query) { q.Pool = "gpu" }, "", ""},
		{"region", func(q *directory.Query) { q.Region = "mars" }, "datacenter.not_found", "The provided datacenter does not exist."},
		{"own region", func(q *directory.Query) { q.Region = "default" }, "", ""},
		{"name", func(q *directory.Query) { q.Name = strings.Repeat("n", 65) }, "validation.invalid_input", "Actor name is too long: 65 bytes, limit is 64."},
		{"no name", func(q *directory.Query) { q.Name = "" }, "validation.invalid_input", "Actor name must not be empty."},
		{"largest part", func(q *directory.Query) { q.Key = strings.Repeat("k", 128) }, "", ""},
		{"part", func(q *directory.Query) { q.Key = "a/" + strings.Repeat("k", 129) }, "actor.key_too_large", "Key label too large (max 128 bytes): " + strings.Repeat("k", 64) + "…"},
		{"key", func(q *directory.Query) { q.Key = strings.Repeat("0123456/", 128) + "k" }, "actor.key_too_large", "Key label too large (max 1024 bytes): " + strings.Repeat("0123456/", 8) + "…"},
		{"input", func(q *directory.Query) { q.Input = make([]byte, 4<<20+1) }, "actor.input_too_large", "Input too large (max 4194304)."},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q := query(fmt.Sprint("key", i))
			tt.change(q)
			for what, do := range map[string]func() error{
				"Resolve":     func() error { _, err := d.Resolve(t.Context(), q); return err },
				"GetOrCreate": func() error { _, _, err := d.GetOrCreate(t.Context(), q); return err },
			} {
				err := do()
				if tt.want == "" {
					if err != nil {
						t.Errorf("%s: %v", what, err)
					}
					continue
				}
				if e := wantFault(t, err, tt.want); e.Message != tt.message {
					t.Errorf("%s: message %q, want %q", what, e.Message, tt.message)
				}
			}
		})
	}
}

func TestCreate(t *testing.T) {
	d, _ := open(t, directory.Config{})
	row, err := d.Create(t.Context(), query("a"))
	if err != nil || !row.HasKey || row.Key != "a" || row.Pool != "default" {
		t.Fatalf("row %+v, %v", row, err)
	}
	_, err = d.Create(t.Context(), query("a"))
	if e := wantFault(t, err, "actor.duplicate_key"); e.Message != "Actor key 'a' already in use for actor '"+row.ID.String()+"'" {
		t.Errorf("message %q", e.Message)
	}
	same, created, err := d.GetOrCreate(t.Context(), query("a"))
	if err != nil || created || same.ID != row.ID {
		t.Errorf("GetOrCreate: %+v, %v, %v", same, created, err)
	}
	anonymous := query("")
	anonymous.Anonymous = true
	for range 2 {
		if row, err := d.Create(t.Context(), anonymous); err != nil || row.HasKey {
			t.Errorf("anonymous: %+v, %v", row, err)
		}
	}
	if found, err := d.Lookup(t.Context(), "default", "counter", "a"); err != nil || found.ID != row.ID {
		t.Errorf("Lookup: %+v, %v", found, err)
	}
}

// TestG2_CreateAnswersWhenDurable: Resolve does not wait for the disk, Create and GetOrCreate do, also for the row that
// another call has created and that is not durable yet.
func TestG2_CreateAnswersWhenDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, st := open(t, directory.Config{})
		st.Hold()
		if _, err := d.Resolve(t.Context(), query("a")); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		answered := 0
		var mu sync.Mutex
		for range 3 {
			wg.Go(func() {
				if _, created, err := d.GetOrCreate(t.Context(), query("a")); err != nil || created {
					t.Errorf("created %v, %v", created, err)
				}
				mu.Lock()
				answered++
				mu.Unlock()
			})
		}
		synctest.Wait()
		mu.Lock()
		if answered != 0 {
			t.Error("answered before the row was durable")
		}
		mu.Unlock()
		st.Resume()
		wg.Wait()
	})
}

// TestG10_LostReservationStopsTheActor: the power fails between the creation and the disk.
func TestG10_LostReservationStopsTheActor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		lost := map[id.ID]error{}
		d, st := open(t, directory.Config{Lost: func(actor id.ID, err error) {
			mu.Lock()
			defer mu.Unlock()
			lost[actor] = err
		}})
		st.Hold()
		actor, err := d.Resolve(t.Context(), query("a"))
		if err != nil {
			t.Fatal(err)
		}
		wait := make(chan error, 1)
		go func() {
			_, _, err := d.GetOrCreate(t.Context(), query("a"))
			wait <- err
		}()
		synctest.Wait()
		st.Crash()
		wantFault(t, <-wait, "guard.service_unavailable")
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if _, ok := errors.AsType[*store.CommitError](lost[actor]); !ok {
			t.Errorf("Lost was told %v", lost)
		}
		st.Resume()
		if again, err := d.Resolve(t.Context(), query("a")); err != nil || again == actor {
			t.Errorf("the lost actor is still known: %v, %v", again, err)
		}
	})
}

func TestNamespaces(t *testing.T) {
	d, st := open(t, directory.Config{})
	for name, why := range map[string]string{
		"":                      "name must not be empty",
		"Upper":                 "name must consist of lower-case letters, digits and '-'",
		"-a":                    "name must not begin or end with '-'",
		"a-":                    "name must not begin or end with '-'",
		"a--b":                  "name must not contain '--'",
		strings.Repeat("a", 65): "name must be at most 64 characters",
		"ä":                     "name must consist of lower-case letters, digits and '-'",
	} {
		_, err := d.CreateNamespace(t.Context(), name, "")
		if e := wantFault(t, err, "namespace.failed_to_create"); !strings.HasSuffix(e.Message, why) {
			t.Errorf("%q: %s", name, e.Message)
		}
	}
	_, err := d.CreateNamespace(t.Context(), "ok", "two  spaces")
	wantFault(t, err, "namespace.failed_to_create")

	ns, err := d.CreateNamespace(t.Context(), "prod", "Production")
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.CreateNamespace(t.Context(), "prod", "")
	wantFault(t, err, "namespace.name_not_unique")

	// Rows of one namespace are not seen in another.
	row, err := d.Create(t.Context(), query("a"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Actor(t.Context(), ns.Name, row.ID)
	wantFault(t, err, "actor.not_found")
	if _, err := d.Actor(t.Context(), "default", row.ID); err != nil {
		t.Error(err)
	}

	// Another process creates one: it is found, at the latest a second later.
	other, err := directory.Open(t.Context(), st, directory.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.CreateNamespace(t.Context(), "late", ""); err != nil {
		t.Fatal(err)
	}
	q := query("a")
	q.Namespace = "late"
	if _, err := d.Resolve(t.Context(), q); err != nil {
		t.Error(err)
	}
}

func TestStoreThatCannotServe(t *testing.T) {
	d, st := open(t, directory.Config{})
	st.Close()
	_, err := d.Resolve(t.Context(), query("a"))
	wantFault(t, err, "guard.service_unavailable")
}

func TestCheckID(t *testing.T) {
	d, _ := open(t, directory.Config{})
	wantFault(t, d.CheckID(id.New(7)), "datacenter.not_found")
	if err := d.CheckID(id.New(1)); err != nil {
		t.Error(err)
	}
}

func TestResolveOfKnownActorDoesNotAllocate(t *testing.T) {
	d, _ := open(t, directory.Config{})
	q := query("a")
	if _, err := d.Resolve(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() { _, _ = d.Resolve(ctx, q) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkResolveAwake(b *testing.B) {
	d, _ := open(b, directory.Config{})
	q := query("a")
	if _, err := d.Resolve(b.Context(), q); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Resolve(b.Context(), q); err != nil {
			b.Fatal(err)
		}
	}
}
