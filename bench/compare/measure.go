package main

import (
	"fmt"
	"slices"
	"time"
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
