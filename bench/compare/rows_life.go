package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
)

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
	base, sut, stop, err := b.both("SLEEP_MS=3600000")
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
