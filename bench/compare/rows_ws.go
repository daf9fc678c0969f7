package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// wsEcho is an action request over a JSON connection.
func wsEcho(id int) string {
	return fmt.Sprintf(`{"body":{"tag":"ActionRequest","val":{"id":["$BigInt","%d"],"name":"echo","args":[%s]}}}`, id, echoBody)
}

func wsSequential(_ context.Context, b *bench) (result, error) {
	base, sut, stop, err := b.both()
	if err != nil {
		return result{}, err
	}
	defer stop()
	bc, err := dialWS(base.addr, "/ws")
	if err != nil {
		return result{}, err
	}
	sc, err := connect(sut.addr, "counter", "ws")
	if err != nil {
		return result{}, err
	}
	f := frame(wsEcho(1))
	const n = 4000
	measure := func(c *wsConn) func() (float64, error) {
		return func() (float64, error) {
			d, err := sequential(n, func(int) error {
				if _, err := c.nc.Write(f); err != nil {
					return err
				}
				return c.skip()
			})
			if err != nil {
				return 0, err
			}
			return float64(percentile(d, 50).Nanoseconds()) / 1e3, nil
		}
	}
	x, y, err := b.pair(measure(bc), measure(sc))
	return latency(x, y, 1.5), err
}

func wsPipelined(_ context.Context, b *bench) (result, error) {
	base, sut, stop, err := b.both()
	if err != nil {
		return result{}, err
	}
	defer stop()
	const conns, window = 64, 16
	var bcs, scs []*wsConn
	for i := range conns {
		bc, err := dialWS(base.addr, "/ws")
		if err != nil {
			return result{}, err
		}
		sc, err := connect(sut.addr, "counter", fmt.Sprint("w", i))
		if err != nil {
			return result{}, err
		}
		bcs, scs = append(bcs, bc), append(scs, sc)
	}
	burst := bytes.Repeat(frame(wsEcho(1)), window)
	measure := func(cs []*wsConn) func() (float64, error) {
		return func() (float64, error) {
			return throughput(conns, b.span, func(w int) (int, error) {
				if _, err := cs[w].nc.Write(burst); err != nil {
					return 0, err
				}
				for range window {
					if err := cs[w].skip(); err != nil {
						return 0, err
					}
				}
				return window, nil
			})
		}
	}
	x, y, err := b.pair(measure(bcs), measure(scs))
	return rate(x, y, 0.5), err
}

func fanout(_ context.Context, b *bench) (result, error) {
	base, sut, stop, err := b.both()
	if err != nil {
		return result{}, err
	}
	defer stop()
	const n, events = 1000, 20
	listen := func(open func() (*wsConn, error)) ([]*wsConn, error) {
		var out []*wsConn
		for range n {
			c, err := open()
			if err != nil {
				return nil, err
			}
			out = append(out, c)
		}
		return out, nil
	}
	bcs, err := listen(func() (*wsConn, error) { return dialWS(base.addr, "/fan") })
	if err != nil {
		return result{}, err
	}
	subscribe := frame(`{"body":{"tag":"SubscriptionRequest","val":{"eventName":"msg","subscribe":true}}}`)
	ping := frame(wsEcho(1))
	scs, err := listen(func() (*wsConn, error) {
		c, err := connect(sut.addr, "room", "fan")
		if err != nil {
			return nil, err
		}
		if _, err := c.nc.Write(append(slices.Clone(subscribe), ping...)); err != nil {
			return nil, err
		}
		return c, c.skip() // the answer says that the subscription before it is made
	})
	if err != nil {
		return result{}, err
	}
	// Both sides send the same bytes to a connection.
	event := `{"body":{"tag":"Event","val":{"args":[` + echoBody + `],"name":"msg"}}}`
	measure := func(cs []*wsConn, trigger func(*httpConn) error, addr string) func() (float64, error) {
		return func() (float64, error) {
			hc, err := dialHTTP(addr)
			if err != nil {
				return 0, err
			}
			defer hc.nc.Close()
			began := time.Now()
			errs := make(chan error, 1)
			go func() {
				for range events {
					if err := trigger(hc); err != nil {
						errs <- err
						return
					}
				}
				errs <- nil
			}()
			var wg sync.WaitGroup
			bad := make(chan error, n)
			for _, c := range cs {
				wg.Go(func() {
					for range events {
						if err := c.skip(); err != nil {
							bad <- err
							return
						}
					}
				})
			}
			wg.Wait()
			took := time.Since(began)
			if err := <-errs; err != nil {
				return 0, err
			}
			select {
			case err := <-bad:
				return 0, err
			default:
			}
			return float64(n*events) / took.Seconds(), nil
		}
	}
	x, y, err := b.pair(
		measure(bcs, func(c *httpConn) error { return c.do(request(base.addr, "/shout", event)) }, base.addr),
		measure(scs, func(c *httpConn) error { return c.do(action(sut.addr, "room", "fan", "shout", echoBody)) }, sut.addr))
	return rate(x, y, 0.6), err
}
