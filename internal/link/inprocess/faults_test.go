package inprocess_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rivetgo/rivet/internal/actordb"
	"github.com/rivetgo/rivet/internal/host"
	"github.com/rivetgo/rivet/internal/link"
	"github.com/rivetgo/rivet/internal/link/inprocess"
	"github.com/rivetgo/rivet/internal/placement"
	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/store/faulty"
	"github.com/rivetgo/rivet/internal/store/memory"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/value"
)

// tally is the state of the test's actor.
type tally struct{ N int }

func (s *tally) AppendTo(dst []byte) ([]byte, error) {
	return strconv.AppendInt(dst, int64(s.N), 10), nil
}

func (s *tally) Restore(encoded []byte) (err error) {
	s.N, err = strconv.Atoi(string(encoded))
	return err
}

func definition() *host.Spec {
	return &host.Spec{
		Name: "tally", Options: host.Options{}.WithDefaults(),
		New:    func() host.State { return &tally{} },
		Create: func(*host.Call, []byte) (host.State, error) { return &tally{}, nil },
		Actions: map[string]*host.Action{
			"inc": {Run: func(_ *host.Call, s host.State, _ []byte) ([]byte, error) {
				s.(*tally).N++
				return value.AppendInt(nil, int64(s.(*tally).N)), nil
			}},
			"tell": {Run: func(c *host.Call, _ host.State, _ []byte) ([]byte, error) {
				return []byte{value.Null}, c.Broadcast("told", []byte{0x80})
			}},
			"get": {Kind: host.ViewAction, Run: func(_ *host.Call, s host.State, _ []byte) ([]byte, error) {
				return value.AppendInt(nil, int64(s.(*tally).N)), nil
			}},
		},
	}
}

// world is both halves around a store that fails.
type world struct {
	t         *testing.T
	store     *faulty.Store
	placement *placement.Placement
	runner    *inprocess.Runner
	spec      *host.Spec
	actor     id.ID
}

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	s := faulty.New(memory.New(memory.Options{}), seed)
	spec := definition()
	r := inprocess.New([]*host.Spec{spec}, &host.Env{Log: log, Databases: actordb.NewPool(64<<20, time.Minute)}, "test")
	p := placement.New(s, r, placement.Config{Logger: log})
	r.Attach(p)
	ns := store.Namespace{ID: id.New(1), Name: "default", CreatedAt: time.Now()}
	if err := s.CreateNamespace(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	durable := make(chan error, 1)
	row, _, err := s.Reserve(t.Context(), store.NewActor{ID: id.New(1), Namespace: ns.ID, Name: "tally", Key: "k", HasKey: true, CreatedAt: time.Now()}, func(err error) { durable <- err })
	if err := errors.Join(err, <-durable); err != nil {
		t.Fatal(err)
	}
	return &world{t, s, p, r, spec, row.ID}
}

func (w *world) close() {
	w.t.Helper()
	w.store.Clear()
	w.runner.Close()
	if err := w.placement.Drain(w.t.Context(), nil); err != nil {
		w.t.Error(err)
	}
	w.placement.Close()
	if err := w.store.Close(); err != nil {
		w.t.Error(err)
	}
}

// call calls an action and returns the number that it answers, or the code of the error.
func (w *world) call(action string) (n int, code string) {
	rec := httptest.NewRecorder()
	req := httptest.NewRequest(http.MethodPost, "/action/"+action, bytes.NewReader([]byte(`{"args":[]}`)))
	err := w.placement.With(w.t.Context(), w.actor, func(a link.Actor) error { return a.HTTP(rec, req) })
	if err != nil {
		return 0, fmt.Sprintf("gateway: %v", err)
	}
	var answer struct {
		Output      int
		Group, Code string
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &answer); err != nil {
		w.t.Errorf("answer %q: %v", rec.Body, err)
	}
	return answer.Output, answer.Code
}

// patient calls until the world is whole again.
func (w *world) patient(action string) int {
	w.t.Helper()
	for range 100 {
		if n, code := w.call(action); code == "" {
			return n
		}
		time.Sleep(time.Second) // virtual: backoffs pass
	}
	w.t.Fatal("the actor does not come back")
	return 0
}

var errDisk = errors.New("input/output error")

func TestG10_a_failed_commit_is_told_as_unknown_and_memory_agrees_with_the_disk(t *testing.T) {
	for name, c := range map[string]struct {
		fault faulty.Fault
		code  string
		left  int // what is there afterwards of the increment that failed
	}{
		"fsync failed, nothing written": {faulty.Lose(errDisk), "commit_failed", 0},
		"fsync failed, all written":     {faulty.Keep(errDisk), "commit_failed", 1},
		"disk full":                     {faulty.Refuse(faulty.ErrDiskFull), "restarting", 0},
		"fenced":                        {faulty.Fence(), "restarting", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1)
				defer w.close()
				if n := w.patient("inc"); n != 1 {
					t.Fatalf("first increment = %d", n)
				}
				w.store.Add(faulty.Rule{On: faulty.Commit, Do: c.fault})
				if n, code := w.call("inc"); code != c.code {
					t.Errorf("the increment that met the fault: %d %q, want code %s", n, code, c.code)
				}
				if n := w.patient("get"); n != 1+c.left {
					t.Errorf("afterwards the count is %d, want what is on disk: %d", n, 1+c.left)
				}
				if n := w.patient("inc"); n != 2+c.left {
					t.Errorf("the next increment = %d", n)
				}
			})
		})
	}
}

func TestG2_G10_random_faults_lose_nothing_acknowledged(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed)
			defer w.close()
			w.patient("inc")
			for _, f := range []faulty.Fault{faulty.Lose(errDisk), faulty.Keep(errDisk), faulty.Refuse(faulty.ErrDiskFull), faulty.Fence()} {
				w.store.Add(faulty.Rule{On: faulty.Commit, Times: -1, Probability: 0.03, Do: f})
			}
			w.store.Add(faulty.Rule{On: faulty.Acquire, Times: -1, Probability: 0.05, Do: faulty.Refuse(faulty.ErrDiskFull)})
			var mu sync.Mutex
			sure, unknown, seen := 1, 0, map[int]bool{}
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					for range 40 {
						n, code := w.call("inc")
						mu.Lock()
						switch code {
						case "":
							sure++
							if seen[n] {
								t.Errorf("seed %d: two increments were told %d", seed, n)
							}
							seen[n] = true
						case "commit_failed":
							unknown++
						}
						mu.Unlock()
						if code != "" {
							time.Sleep(time.Second)
						}
					}
				})
			}
			wg.Wait()
			w.store.Clear()
			if n := w.patient("get"); n < sure || n > sure+unknown {
				t.Errorf("seed %d: the count is %d; %d increments were acknowledged and %d are unknown", seed, n, sure, unknown)
			}
		})
	}
}
