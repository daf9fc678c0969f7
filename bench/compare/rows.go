package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

func sortDurations(d []time.Duration) { slices.Sort(d) }

func median(v []float64) float64 {
	s := slices.Clone(v)
	slices.Sort(s)
	return s[len(s)/2]
}

// pair measures baseline and system in turns and returns the medians.
func (b *bench) pair(base, sut func() (float64, error)) (float64, float64, error) {
	var bs, ss []float64
	for range b.rounds {
		v, err := base()
		if err != nil {
			return 0, 0, fmt.Errorf("baseline: %w", err)
		}
		bs = append(bs, v)
		if v, err = sut(); err != nil {
			return 0, 0, err
		}
		ss = append(ss, v)
	}
	return median(bs), median(ss), nil
}

func latency(base, got, atMost float64) result {
	r := got / base
	return result{base: fmt.Sprintf("%.0f µs", base), got: fmt.Sprintf("%.0f µs", got), ratio: fmt.Sprintf("%.2f ×", r), ok: r <= atMost}
}

func rate(base, got, atLeast float64) result {
	r := got / base
	return result{base: fmt.Sprintf("%.0f/s", base), got: fmt.Sprintf("%.0f/s", got), ratio: fmt.Sprintf("%.2f ×", r), ok: r >= atLeast}
}

// p50 of n sequential requests, in µs.
func p50(c *httpConn, n int, req func(i int) []byte) (float64, error) {
	d, err := sequential(n, func(i int) error { return c.do(req(i)) })
	if err != nil {
		return 0, err
	}
	return float64(percentile(d, 50).Nanoseconds()) / 1e3, nil
}

func same(req []byte) func(int) []byte { return func(int) []byte { return req } }

// echoBody is what both sides get and give back.
const echoBody = `{"x":1,"name":"benchmark"}`

func httpSequential(_ context.Context, b *bench) (result, error) {
	base, sut, err := b.both()
	if err != nil {
		return result{}, err
	}
	defer base.stop()
	defer sut.stop()
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
	base, sut, err := b.both()
	if err != nil {
		return result{}, err
	}
	defer base.stop()
	defer sut.stop()
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

// wsEcho is an action request over a JSON connection.
func wsEcho(id int) string {
	return fmt.Sprintf(`{"body":{"tag":"ActionRequest","val":{"id":["$BigInt","%d"],"name":"echo","args":[%s]}}}`, id, echoBody)
}

func wsSequential(_ context.Context, b *bench) (result, error) {
	base, sut, err := b.both()
	if err != nil {
		return result{}, err
	}
	defer base.stop()
	defer sut.stop()
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
	base, sut, err := b.both()
	if err != nil {
		return result{}, err
	}
	defer base.stop()
	defer sut.stop()
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
	base, sut, err := b.both()
	if err != nil {
		return result{}, err
	}
	defer base.stop()
	defer sut.stop()
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

func createSequential(_ context.Context, b *bench) (result, error) {
	sut, err := b.server()
	if err != nil {
		return result{}, err
	}
	defer sut.stop()
	c, err := dialHTTP(sut.addr)
	if err != nil {
		return result{}, err
	}
	n := 0
	x, y, err := b.pair(b.appends, func() (float64, error) {
		return p50(c, 500, func(int) []byte {
			n++
			return action(sut.addr, "counter", fmt.Sprint("new", n), "inc", "1")
		})
	})
	return latency(x, y, 4), err
}

func createParallel(_ context.Context, b *bench) (result, error) {
	sut, err := b.server()
	if err != nil {
		return result{}, err
	}
	defer sut.stop()
	cs, err := clients(sut.addr, 32)
	if err != nil {
		return result{}, err
	}
	var rates []float64
	for round := range b.rounds {
		counts := make([]int, len(cs))
		v, err := throughput(len(cs), b.span, func(w int) (int, error) {
			counts[w]++
			return 1, cs[w].do(action(sut.addr, "counter", fmt.Sprintf("c%d-%d-%d", round, w, counts[w]), "inc", "1"))
		})
		if err != nil {
			return result{}, err
		}
		rates = append(rates, v)
	}
	v := median(rates)
	return result{base: "–", got: fmt.Sprintf("%.0f/s", v), ratio: "–", ok: v >= 3000}, nil
}

// actorRow is what the control API tells of an actor.
type actorRow struct {
	ID      string `json:"actor_id"`
	SleepTS *int64 `json:"sleep_ts"`
	Awake   *int64 `json:"connectable_ts"`
}

func lookup(addr, name, key string) (actorRow, error) {
	resp, err := http.Get("http://" + addr + "/actors?name=" + name + "&key=" + key + "&namespace=default")
	if err != nil {
		return actorRow{}, err
	}
	defer resp.Body.Close()
	var list struct {
		Actors []actorRow `json:"actors"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		return actorRow{}, err
	}
	if len(list.Actors) != 1 {
		return actorRow{}, fmt.Errorf("%d actors with key %s", len(list.Actors), key)
	}
	return list.Actors[0], nil
}

// wake measures calls of actors that sleep: each of a number of actors is put to sleep by the API, then called.
func wake(_ context.Context, b *bench) (result, error) {
	base, sut, err := b.both("SLEEP_MS=3600000")
	if err != nil {
		return result{}, err
	}
	defer base.stop()
	defer sut.stop()
	bc, err := dialHTTP(base.addr)
	if err != nil {
		return result{}, err
	}
	sc, err := dialHTTP(sut.addr)
	if err != nil {
		return result{}, err
	}
	const actors = 300
	ids := make([]string, actors)
	for i := range ids {
		// counter changes nothing at a wake; sleeper counts its wakes, which is a commit.
		if err := sc.do(action(sut.addr, "counter", fmt.Sprint("s", i), "inc", "1")); err != nil {
			return result{}, err
		}
		row, err := lookup(sut.addr, "counter", fmt.Sprint("s", i))
		if err != nil {
			return result{}, err
		}
		ids[i] = row.ID
	}
	asleep := func() error {
		var wg sync.WaitGroup
		errs := make(chan error, actors)
		for _, id := range ids {
			wg.Go(func() {
				resp, err := http.Post("http://"+sut.addr+"/actors/"+id+"/sleep?namespace=default", "application/json", bytes.NewReader([]byte("{}")))
				if err != nil {
					errs <- err
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			})
		}
		wg.Wait()
		for i := range ids {
			for {
				row, err := lookup(sut.addr, "counter", fmt.Sprint("s", i))
				if err != nil {
					return err
				}
				if row.Awake == nil {
					break
				}
			}
		}
		select {
		case err := <-errs:
			return err
		default:
			return nil
		}
	}
	x, y, err := b.pair(
		func() (float64, error) { return p50(bc, 3000, same(request(base.addr, "/echo", `{"args":[]}`))) },
		func() (float64, error) {
			if err := asleep(); err != nil {
				return 0, err
			}
			return p50(sc, actors, func(i int) []byte { return action(sut.addr, "counter", fmt.Sprint("s", i), "get", "") })
		})
	return latency(x, y, 3), err
}

func memory(_ context.Context, b *bench) (result, error) {
	sut, err := b.server("BENCH_DEBUG=1")
	if err != nil {
		return result{}, err
	}
	defer sut.stop()
	cs, err := clients(sut.addr, 32)
	if err != nil {
		return result{}, err
	}
	fill := func(from, to int) error {
		var wg sync.WaitGroup
		errs := make(chan error, len(cs))
		for w, c := range cs {
			wg.Go(func() {
				for i := from + w; i < to; i += len(cs) {
					if err := c.do(action(sut.addr, "counter", fmt.Sprint("m", i), "inc", "1")); err != nil {
						errs <- err
						return
					}
				}
			})
		}
		wg.Wait()
		select {
		case err := <-errs:
			return err
		default:
			return nil
		}
	}
	heap := func() (debugInfo, error) {
		return readDebug(sut.addr)
	}
	const warm, actors = 2000, 10_000
	if err := fill(0, warm); err != nil {
		return result{}, err
	}
	before, err := heap()
	if err != nil {
		return result{}, err
	}
	rssBefore, err := sut.residentKiB()
	if err != nil {
		return result{}, err
	}
	if err := fill(warm, warm+actors); err != nil {
		return result{}, err
	}
	after, err := heap()
	if err != nil {
		return result{}, err
	}
	rssAfter, err := sut.residentKiB()
	if err != nil {
		return result{}, err
	}
	per := float64(after.HeapBytes+after.StackBytes-before.HeapBytes-before.StackBytes) / actors / 1024
	rss := float64(rssAfter-rssBefore) / actors
	grown := after.Goroutines - before.Goroutines
	return result{base: "–", got: fmt.Sprintf("%.1f KiB live heap and stacks (%.1f KiB RSS), %+d goroutines", per, rss, grown), ratio: "–", ok: per <= 6 && grown < 100}, nil
}

func fanout(_ context.Context, b *bench) (result, error) {
	base, sut, err := b.both()
	if err != nil {
		return result{}, err
	}
	defer base.stop()
	defer sut.stop()
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
