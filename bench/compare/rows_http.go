package main

import (
	"context"
	"fmt"
)

func httpSequential(_ context.Context, b *bench) (result, error) {
	base, sut, stop, err := b.both()
	if err != nil {
		return result{}, err
	}
	defer stop()
	bc, err := dialHTTP(base.addr)
	if err != nil {
		return result{}, err
	}
	sc, err := dialHTTP(sut.addr)
	if err != nil {
		return result{}, err
	}
	breq := request(base.addr, "/echo", `{"args":[`+echoBody+`]}`)
	sreq := action(sut.addr, "counter", "seq", "echo", echoBody)
	const n = 4000
	x, y, err := b.pair(func() (float64, error) { return p50(bc, n, same(breq)) }, func() (float64, error) { return p50(sc, n, same(sreq)) })
	return latency(x, y, 1.4), err
}

// clients opens n connections.
func clients(addr string, n int) ([]*httpConn, error) {
	out := make([]*httpConn, n)
	for i := range out {
		c, err := dialHTTP(addr)
		if err != nil {
			return nil, err
		}
		out[i] = c
	}
	return out, nil
}

// many measures the throughput of 64 clients, each with its own request.
func (b *bench) many(cs []*httpConn, req func(worker int) []byte) (float64, error) {
	reqs := make([][]byte, len(cs))
	for i := range reqs {
		reqs[i] = req(i)
	}
	return throughput(len(cs), b.span, func(w int) (int, error) { return 1, cs[w].do(reqs[w]) })
}

func httpParallel(_ context.Context, b *bench) (result, error) {
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
	x, y, err := b.pair(
		func() (float64, error) {
			return b.many(bcs, same(request(base.addr, "/echo", `{"args":[`+echoBody+`]}`)))
		},
		func() (float64, error) {
			return b.many(scs, func(w int) []byte { return action(sut.addr, "counter", fmt.Sprint("p", w), "echo", echoBody) })
		})
	return rate(x, y, 0.6), err
}
