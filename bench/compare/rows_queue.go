package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

const jobBody = `{"v":1}`

// message prepares a send into a queue of worker.
func message(addr, key, queue string, wait bool) []byte {
	return request(addr, "/gateway/worker/queue/"+queue+"?rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default&rvt-key="+key, fmt.Sprintf(`{"body":%s,"wait":%v}`, jobBody, wait))
}

// handled asks a worker how many messages it has handled.
func handled(addr, key string) (int64, error) {
	resp, err := http.Post("http://"+addr+"/gateway/worker/action/get?rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default&rvt-key="+key, "application/json", strings.NewReader(`{"args":[]}`))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	var a struct{ Output *int64 }
	if err := json.Unmarshal(text, &a); err != nil || a.Output == nil {
		return 0, fmt.Errorf("answer %q", text)
	}
	return *a.Output, nil
}

// messages measures messages to one actor, from the first send to the completion of the last; send sends some and says
// how many. The baseline has no HTTP in front, so what an HTTP echo makes of the same load is shown too where there is:
// nothing behind HTTP can be faster.
func (b *bench) messages(queue string, http bool, send func(sut *process, cs []*httpConn) (int64, error)) (result, error) {
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
	var echoes []float64
	x, y, err := b.pair(b.pebbleWriters, func() (float64, error) {
		if http {
			e, err := b.many(bcs, same(request(base.addr, "/echo", `{"body":`+jobBody+`}`)))
			if err != nil {
				return 0, err
			}
			echoes = append(echoes, e)
		}
		before, err := handled(sut.addr, queue)
		if err != nil {
			return 0, err
		}
		began := time.Now()
		sent, err := send(sut, scs)
		for n := before; err == nil && n-before < sent; {
			n, err = handled(sut.addr, queue)
		}
		return float64(sent) / time.Since(began).Seconds(), err
	})
	if err != nil {
		return result{}, err
	}
	r := rate(x, y, 0.4)
	if http {
		r.note = fmt.Sprintf("an HTTP echo makes %.0f/s of the same load: %.2f × of it", median(echoes), y/median(echoes))
	}
	return r, nil
}

// overHTTP is 64 clients that send for a while.
func (b *bench) overHTTP(queue string, wait bool) (result, error) {
	return b.messages(queue, true, func(sut *process, cs []*httpConn) (int64, error) {
		req := message(sut.addr, queue, queue, wait)
		var sent atomic.Int64
		_, err := throughput(len(cs), b.span, func(w int) (int, error) {
			sent.Add(1)
			return 1, cs[w].do(req)
		})
		return sent.Load(), err
	})
}

func queueRunLoop(_ context.Context, b *bench) (result, error) { return b.overHTTP("jobs", false) }
func queueHandled(_ context.Context, b *bench) (result, error) { return b.overHTTP("handled", false) }
func queueRequest(_ context.Context, b *bench) (result, error) { return b.overHTTP("handled", true) }

func queueInside(_ context.Context, b *bench) (result, error) {
	return b.messages("handled", false, func(sut *process, cs []*httpConn) (int64, error) {
		const n = 64 * 200
		return n, cs[0].do(action(sut.addr, "worker", "handled", "pour", fmt.Sprint(n)))
	})
}
