package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"time"
)

// density measures a store with so many sleeping actors: how long the next life takes to serve, what it needs, how long
// it takes to find an actor by its key, and to wake one and have its answer.
func (b *bench) density(n int) (result, error) {
	sut, err := b.server()
	if err != nil {
		return result{}, err
	}
	defer func() { sut.stop() }()
	c, err := dialHTTP(sut.addr)
	if err != nil {
		return result{}, err
	}
	if err := c.do(action(sut.addr, "counter", "template", "inc", "1")); err != nil {
		return result{}, err
	}
	sut.stop()
	fill := exec.Command(b.fill, sut.data, "counter", "template", fmt.Sprint(n))
	fill.Stderr = os.Stderr
	if err := fill.Run(); err != nil {
		return result{}, fmt.Errorf("filling the store: %w", err)
	}
	began := time.Now()
	if sut, err = b.startOn(sut.data, b.actors, []string{"BENCH_DEBUG=1"}); err != nil {
		return result{}, err
	}
	restart := time.Since(began)
	heap, err := readDebug(sut.addr)
	if err != nil {
		return result{}, err
	}
	rss, err := sut.residentKiB()
	if err != nil {
		return result{}, err
	}
	if c, err = dialHTTP(sut.addr); err != nil {
		return result{}, err
	}
	// Each actor once: the second look-up would find it in memory, and the second call awake.
	const looks, wakes = 500, 500
	picked := rand.Perm(n)[:looks+wakes] // of 1,000 all
	found, err := sequential(looks, func(i int) error {
		return c.do(fmt.Appendf(nil, "GET /actors?namespace=default&name=counter&key=%d HTTP/1.1\r\nHost: %s\r\n\r\n", picked[i], sut.addr))
	})
	if err != nil {
		return result{}, err
	}
	woken, err := sequential(wakes, func(i int) error {
		return c.do(action(sut.addr, "counter", fmt.Sprint(picked[looks+i]), "get", ""))
	})
	if err != nil {
		return result{}, err
	}
	us := func(d time.Duration) int64 { return d.Microseconds() }
	p50 := percentile(woken, 50)
	r := result{base: "–", ratio: "–", ok: true, got: fmt.Sprintf("wake + action %d µs (p99 %d), look-up %d µs (p99 %d), restart %.2f s, RSS %d MiB, live heap %.1f MiB",
		us(p50), us(percentile(woken, 99)), us(percentile(found, 50)), us(percentile(found, 99)), restart.Seconds(), rss>>10, float64(heap.HeapBytes)/(1<<20))}
	if b.sparse == 0 {
		b.sparse = p50
		return r, nil
	}
	x := float64(p50) / float64(b.sparse)
	r.base, r.ratio, r.ok = fmt.Sprintf("%d µs", us(b.sparse)), fmt.Sprintf("%.2f ×", x), x <= 2
	return r, nil
}

func density1k(_ context.Context, b *bench) (result, error)   { return b.density(1000) }
func density100k(_ context.Context, b *bench) (result, error) { return b.density(100_000) }
func density1M(_ context.Context, b *bench) (result, error)   { return b.density(1_000_000) }
