package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2"
)

// pebbleWriters measures 64 goroutines that each write 200 bytes, synced, as fast as Pebble lets them.
func (b *bench) pebbleWriters() (float64, error) {
	b.n++
	db, err := pebble.Open(filepath.Join(b.dir, fmt.Sprint("pebble-", b.n)), &pebble.Options{
		FormatMajorVersion: pebble.FormatNewest, MemTableSize: 16 << 20, Logger: quiet{},
	})
	if err != nil {
		return 0, err
	}
	defer db.Close()
	value := make([]byte, 200)
	return throughput(64, b.span, func(w int) (int, error) {
		return 1, db.Set(fmt.Appendf(nil, "actor-%02d/state", w), value, pebble.Sync)
	})
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(f string, a ...any) {
	panic(fmt.Sprintf(f, a...))
}

func (b *bench) durable(key func(worker int) string) (result, error) {
	base, sut, stop, err := b.both()
	if err != nil {
		return result{}, err
	}
	defer stop()
	bcs, err := clients(base.addr, 64)
	if err != nil {
		return result{}, err
	}
	scs, err := clients(sut.addr, 64)
	if err != nil {
		return result{}, err
	}
	var echoes, pebbles, ours []float64
	for range b.rounds {
		e, err := b.many(bcs, same(request(base.addr, "/echo", `{"args":[1]}`)))
		if err != nil {
			return result{}, err
		}
		p, err := b.pebbleWriters()
		if err != nil {
			return result{}, err
		}
		o, err := b.many(scs, func(w int) []byte { return action(sut.addr, "counter", key(w), "inc", "1") })
		if err != nil {
			return result{}, err
		}
		echoes, pebbles, ours = append(echoes, e), append(pebbles, p), append(ours, o)
	}
	r := rate(min(median(echoes), median(pebbles)), median(ours), 0.5)
	r.base = fmt.Sprintf("min(%.0f, %.0f)/s", median(echoes), median(pebbles))
	return r, nil
}

func durableMany(_ context.Context, b *bench) (result, error) {
	return b.durable(func(w int) string { return fmt.Sprint("d", w) })
}

func durableOne(_ context.Context, b *bench) (result, error) {
	return b.durable(func(int) string { return "one" })
}

// appends measures the p50 of appending 200 bytes to a file and syncing it, in µs.
func (b *bench) appends() (float64, error) {
	f, err := os.CreateTemp(b.dir, "append-")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	line := make([]byte, 200)
	d, err := sequential(500, func(int) error {
		if _, err := f.Write(line); err != nil {
			return err
		}
		return datasync(f)
	})
	if err != nil {
		return 0, err
	}
	return float64(percentile(d, 50).Nanoseconds()) / 1e3, nil
}
