package memory_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/store/memory"
	"github.com/rivetgo/rivet/internal/store/storetest"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return memory.New(memory.Options{}) })
}

func reserve(t *testing.T, s *memory.Store) (id.ID, *error) {
	t.Helper()
	durable := new(error)
	*durable = errors.New("not yet")
	n := store.NewActor{ID: id.New(1), Name: "thing", Key: "k", HasKey: true, CreatedAt: time.Now()}
	if _, _, err := s.Reserve(context.Background(), n, func(err error) { *durable = err }); err != nil {
		t.Fatal(err)
	}
	return n.ID, durable
}

func commit(t *testing.T, tn store.Tenure, value string, done *error) {
	t.Helper()
	*done = errors.New("not yet")
	b := &record.Batch{}
	b.Put(record.Key(record.KindState), []byte(value))
	if err := tn.Commit(b, func(err error) { *done = err }); err != nil {
		t.Fatal(err)
	}
}

func TestG2_HoldAndFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New(memory.Options{})
		defer s.Close()
		s.Hold()
		a, durable := reserve(t, s)
		synctest.Wait()
		if *durable == nil {
			t.Fatal("durable while held")
		}
		s.Flush()
		if *durable != nil {
			t.Fatal(*durable)
		}
		tn, err := s.Acquire(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		var first, second error
		commit(t, tn, "1", &first)
		synctest.Wait()
		if first == nil {
			t.Fatal("durable while held")
		}
		// A new owner waits for what the older one committed.
		next := make(chan error)
		go func() {
			_, err := s.Acquire(context.Background(), a)
			next <- err
		}()
		synctest.Wait()
		select {
		case <-next:
			t.Fatal("acquired before the older owner's commits are durable")
		default:
		}
		if err := tn.Commit(&record.Batch{}, func(error) {}); !errors.Is(err, store.ErrFenced) {
			t.Fatal(err)
		}
		s.Flush()
		if err := <-next; err != nil || first != nil {
			t.Fatal(err, first)
		}
		s.Resume()
		if tn, err = s.Acquire(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		commit(t, tn, "2", &second)
		synctest.Wait()
		if second != nil {
			t.Fatal(second)
		}
	})
}

func TestG10_CrashDropsWhatIsNotDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New(memory.Options{})
		defer s.Close()
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
		s.Crash()
		synctest.Wait()
		var ce *store.CommitError
		if first != nil || !errors.As(second, &ce) || !errors.Is(second, memory.ErrCrashed) {
			t.Fatal(first, second)
		}
		if err := tn.Commit(&record.Batch{}, func(error) {}); !errors.Is(err, store.ErrFenced) {
			t.Fatal(err)
		}
		if tn, err = s.Acquire(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		if hot := tn.Hot(); len(hot) != 1 || string(hot[0].Value) != "1" {
			t.Fatal(hot)
		}
	})
}

func TestCloseMakesHeldCommitsDurable(t *testing.T) {
	s := memory.New(memory.Options{})
	s.Hold()
	_, durable := reserve(t, s)
	if err := s.Close(); err != nil || *durable != nil {
		t.Fatal(err, *durable)
	}
	s.Flush() // of a closed store: returns
}
