package memory_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/store/memory"
	"github.com/rivetgo/rivet/internal/store/storetest"
	"github.com/rivetgo/rivet/internal/wire/record"
)

func TestConformanceReopened(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store {
		s := memory.New(memory.Options{})
		s.Kill()
		return s.Reopen()
	})
}

func TestG3_nothing_of_a_killed_store_reaches_the_next(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New(memory.Options{})
		a, _ := reserve(t, s)
		tn, err := s.Acquire(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		var first, second error
		commit(t, tn, "1", &first)
		synctest.Wait()
		s.Hold()
		commit(t, tn, "2", &second)
		s.Kill()
		var lost *store.CommitError
		if first != nil || !errors.As(second, &lost) || !errors.Is(second, memory.ErrCrashed) {
			t.Fatalf("commits: %v, %v; want only the second lost", first, second)
		}
		if _, err := s.Acquire(t.Context(), a); !errors.Is(err, store.ErrClosed) {
			t.Errorf("acquired from a killed store: %v", err)
		}
		next := s.Reopen()
		defer next.Close()
		if err := tn.Commit(&record.Batch{}, nil); !errors.Is(err, store.ErrFenced) {
			t.Errorf("committed to a killed store: %v", err)
		}
		s.Kill() // again
		s.Close()
		again, err := next.Acquire(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		if again.Generation() <= tn.Generation() {
			t.Errorf("generation %d after %d", again.Generation(), tn.Generation())
		}
		if v, err := again.Get(t.Context(), record.Key(record.KindState)); err != nil || string(v) != "1" {
			t.Errorf("the state is %q, %v; want 1", v, err)
		}
	})
}

func TestReopenAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New(memory.Options{})
		a, _ := reserve(t, s)
		s.Hold()
		tn, err := s.Acquire(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		var done error
		commit(t, tn, "1", &done)
		s.Close()
		next := s.Reopen()
		defer next.Close()
		again, err := next.Acquire(t.Context(), a)
		if err != nil || done != nil {
			t.Fatal(err, done)
		}
		if v, err := again.Get(t.Context(), record.Key(record.KindState)); err != nil || string(v) != "1" {
			t.Errorf("the state is %q, %v; want 1", v, err)
		}
	})
}

func TestSlowCommitsShareASync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New(memory.Options{})
		defer s.Close()
		a, _ := reserve(t, s)
		tn, err := s.Acquire(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		durable := make(chan string, 10)
		commit := func(value string) {
			t.Helper()
			b := &record.Batch{}
			b.Put(record.Key(record.KindState), []byte(value))
			if err := tn.Commit(b, func(err error) { durable <- fmt.Sprint(value, err) }); err != nil {
				t.Fatal(err)
			}
		}
		after := func(d time.Duration, want ...string) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			var got []string
			for len(durable) > 0 {
				got = append(got, <-durable)
			}
			if !slices.Equal(got, want) {
				t.Errorf("became durable: %v; want %v", got, want)
			}
		}
		synctest.Wait()
		s.Slow(10 * time.Second)
		commit("1")
		after(4 * time.Second)
		commit("2")
		commit("3")
		after(5 * time.Second)
		after(time.Second, "1<nil>")
		after(9 * time.Second)
		after(time.Second, "2<nil>", "3<nil>")
		commit("4")
		after(time.Second)
		s.Slow(0)
		after(0, "4<nil>")

		// Flush does not wait, a hold stops the waiting, and a kill ends it.
		s.Slow(time.Hour)
		commit("5")
		s.Flush()
		after(0, "5<nil>")
		commit("6")
		s.Hold()
		after(2 * time.Hour)
		s.Resume()
		after(time.Hour, "6<nil>")
		commit("7")
		s.Kill()
		after(0, "7store: commit failed: memory: crashed")
	})
}
