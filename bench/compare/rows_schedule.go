package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// The load of the rows of schedules: so many schedules of each of so many actors, at random times of a span.
const (
	planners      = 10_000
	plansPerActor = 10
	planSpan      = 100 * time.Second
)

// lateness is what bench/actors tells of the schedules that fired in its life.
type lateness struct {
	Count int   `json:"count"`
	P50   int64 `json:"p50_us"`
	P99   int64 `json:"p99_us"`
	Max   int64 `json:"max_us"`
}

func readLateness(addr string) (l lateness, err error) {
	resp, err := http.Get("http://" + addr + "/debug/lateness")
	if err != nil {
		return l, err
	}
	defer resp.Body.Close()
	return l, json.NewDecoder(resp.Body).Decode(&l)
}

// plan makes all planners plan, the first time at from.
func plan(sut *process, from time.Time) error {
	cs, err := clients(sut.addr, 32)
	if err != nil {
		return err
	}
	args := fmt.Sprintf(`{"count":%d,"from":%d,"spread":%d}`, plansPerActor, from.UnixMilli(), planSpan.Milliseconds())
	return spread(cs, 0, planners, func(c *httpConn, i int) error {
		return c.do(action(sut.addr, "planner", fmt.Sprint("p", i), "plan", args))
	})
}

// spread calls op for each number from from to to, with as many at once as there are connections.
func spread(cs []*httpConn, from, to int, op func(c *httpConn, i int) error) error {
	var wg sync.WaitGroup
	errs := make([]error, len(cs))
	for w, c := range cs {
		wg.Go(func() {
			for i := from + w; i < to && errs[w] == nil; i += len(cs) {
				errs[w] = op(c, i)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// schedules measures how late schedules fire. With asleep the process is killed when all are planned, and its next life
// wakes each actor for each of its times, which are mostly seconds apart.
func (b *bench) schedules(ctx context.Context, asleep bool, limit time.Duration) (result, error) {
	env := []string{"BENCH_DEBUG=1", "SLEEP_MS=3600000"}
	if asleep {
		env[1] = "SLEEP_MS=200"
	}
	sut, err := b.server(env...)
	if err != nil {
		return result{}, err
	}
	defer func() { sut.stop() }()
	from := time.Now().Add(30 * time.Second)
	if err := plan(sut, from); err != nil {
		return result{}, err
	}
	note := fmt.Sprintf("%.0f firings/s", planners*plansPerActor/planSpan.Seconds())
	if asleep {
		if sut, err = b.restart(sut, syscall.SIGKILL, env...); err != nil {
			return result{}, err
		}
	}
	if late := time.Since(from); late > 0 {
		return result{}, fmt.Errorf("planning took %v longer than there was time for", late)
	}
	var l lateness
	for deadline := from.Add(3 * planSpan); l.Count < planners*plansPerActor; {
		if time.Now().After(deadline) {
			return result{}, fmt.Errorf("%d of %d schedules fired", l.Count, planners*plansPerActor)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return result{}, ctx.Err()
		}
		if l, err = readLateness(sut.addr); err != nil {
			return result{}, err
		}
	}
	us := func(n int64) time.Duration {
		return (time.Duration(n) * time.Microsecond).Round(100 * time.Microsecond)
	}
	return result{base: "–", got: fmt.Sprintf("%v (p50 %v, most %v)", us(l.P99), us(l.P50), us(l.Max)), ratio: "–", ok: us(l.P99) <= limit, note: note}, nil
}

func scheduleAsleep(ctx context.Context, b *bench) (result, error) {
	return b.schedules(ctx, true, time.Second)
}

func scheduleAwake(ctx context.Context, b *bench) (result, error) {
	return b.schedules(ctx, false, 250*time.Millisecond)
}
