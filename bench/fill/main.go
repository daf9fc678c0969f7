// Fill makes many sleeping actors in a store, without waking any: the density rows of bench/compare want more of them
// than calls could make in reasonable time.
//
//	fill DIRECTORY NAME TEMPLATE COUNT
//
// The actors are copies of the state of the actor NAME with the key TEMPLATE, with the keys 0, 1, 2, … No other process
// may have the store open.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/store/embedded"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/record"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "fill:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 4 {
		return errors.New("usage: fill DIRECTORY NAME TEMPLATE COUNT")
	}
	count, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	st, err := embedded.Open(args[0], embedded.Options{})
	if err != nil {
		return err
	}
	return errors.Join(fill(context.Background(), st, args[1], args[2], count), st.Close())
}

func fill(ctx context.Context, st store.Store, name, template string, count int) error {
	namespaces, err := st.Namespaces(ctx)
	if err != nil {
		return err
	}
	if len(namespaces) != 1 {
		return fmt.Errorf("the store has %d namespaces, not one", len(namespaces))
	}
	row, err := st.Lookup(ctx, namespaces[0].ID, name, template)
	if err != nil {
		return fmt.Errorf("%s %s: %w", name, template, err)
	}
	t, err := st.Acquire(ctx, row.ID)
	if err != nil {
		return err
	}
	hot := t.Hot()
	if err := t.Release(time.Time{}); err != nil {
		return err
	}
	// Nobody waits for durability before the end: the store bounds by itself how much of it is outstanding.
	var p pending
	for i := range count {
		if err := add(ctx, st, row, strconv.Itoa(i), hot, &p); err != nil {
			return err
		}
	}
	p.outstanding.Wait()
	return p.failed
}

// pending is what is to become durable.
type pending struct {
	outstanding sync.WaitGroup
	mu          sync.Mutex // guards failed
	failed      error
}

func (p *pending) expect() func(error) {
	p.outstanding.Add(1)
	return func(err error) {
		if err != nil {
			p.mu.Lock()
			p.failed = err
			p.mu.Unlock()
		}
		p.outstanding.Done()
	}
}

// add makes one actor that has lived and sleeps.
func add(ctx context.Context, st store.Store, like store.Actor, key string, hot []record.Record, p *pending) error {
	now := time.Now()
	n := store.NewActor{
		ID: id.New(1), Namespace: like.Namespace, Name: like.Name, Key: key, HasKey: true,
		Pool: like.Pool, CrashPolicy: like.CrashPolicy, CreatedAt: now,
	}
	if _, _, err := st.Reserve(ctx, n, p.expect()); err != nil {
		return err
	}
	t, err := st.Acquire(ctx, n.ID)
	if err != nil {
		return err
	}
	b := &record.Batch{}
	for _, r := range hot {
		b.Put(r.Key, r.Value)
	}
	if err := t.Commit(b, p.expect()); err != nil {
		return err
	}
	return t.Release(now)
}
