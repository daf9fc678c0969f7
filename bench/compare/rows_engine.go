package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// official is the official engine with two runners: the TypeScript actors of bench/peer, and ours.
type official struct {
	addr  string
	procs []*exec.Cmd
}

const (
	peerPool = "peer"
	ourPool  = "ours"
)

// engineSettings are in the engine's favour: no delays of small packets, and nothing put off because the machine is busy.
const engineSettings = `{"guard": {"tcp_nodelay": true}, "runtime": {"worker_load_shedding_curve": [[2000, 1000], [3000, 50]]}, "telemetry": {"enabled": false}}`

// underEngine starts all of it, once.
func (b *bench) underEngine() (*official, error) {
	if b.engine != nil {
		return b.engine, nil
	}
	peer, err := filepath.Abs("bench/peer")
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(peer, "node_modules")); err != nil {
		cmd := exec.Command("npm", "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
		cmd.Dir, cmd.Stderr = peer, os.Stderr
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("npm install in bench/peer: %w", err)
		}
	}
	binaries, err := filepath.Glob(filepath.Join(peer, "node_modules/@rivetkit/engine-cli-*/rivet-engine"))
	if err != nil || len(binaries) == 0 {
		return nil, errors.New("the official engine is not in bench/peer/node_modules: is there one for this platform?")
	}
	o := &official{}
	b.engine = o
	var ports [3]string
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		_, ports[i], _ = net.SplitHostPort(l.Addr().String())
		l.Close()
	}
	o.addr = "127.0.0.1:" + ports[0]
	config := filepath.Join(b.dir, "engine.json")
	if err := os.WriteFile(config, []byte(engineSettings), 0o600); err != nil {
		return nil, err
	}
	environ := slices.Clip(append(os.Environ(), "RUST_BACKTRACE=0", "RUST_LOG=error"))
	engine := exec.Command(binaries[0], "--config", config, "start")
	engine.Env = append(environ, "RIVET__FILE_SYSTEM__PATH="+filepath.Join(b.dir, "engine"), "RIVET__GUARD__PORT="+ports[0], "RIVET__API_PEER__PORT="+ports[1], "RIVET__METRICS__PORT="+ports[2])
	node := exec.Command("node", "actors.mjs")
	node.Dir = peer
	node.Env = append(environ, "RIVET_ENDPOINT=http://"+o.addr, "RIVET_POOL="+peerPool, "RIVET_RUN_SERVICES=0", "RIVETKIT_ENGINE_SPAWN=never", "RIVET_LOG_LEVEL=error")
	ours := exec.Command(b.actors)
	ours.Env = append(environ, "RIVET_ENDPOINT=http://"+o.addr, "RIVET_POOL="+ourPool)
	for _, cmd := range []*exec.Cmd{engine, node, ours} {
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		o.procs = append(o.procs, cmd)
		if cmd == engine {
			if err := o.await(func() error {
				resp, err := http.Get("http://" + o.addr + "/health")
				if err == nil {
					resp.Body.Close()
				}
				return err
			}); err != nil {
				return nil, err
			}
		}
	}
	for _, pool := range []string{peerPool, ourPool} {
		if err := o.await(func() error {
			c, err := dialHTTP(o.addr)
			if err != nil {
				return err
			}
			defer c.nc.Close()
			return c.do(actionIn(o.addr, pool, "counter", pool+"-first", "get", ""))
		}); err != nil {
			return nil, fmt.Errorf("%s: %w", pool, err)
		}
	}
	return o, nil
}

func (o *official) await(try func() error) (err error) {
	for range 120 {
		if err = try(); err == nil {
			return nil
		}
		time.Sleep(500 * time.Millisecond)
	}
	return err
}

func (o *official) stop() {
	for i := range o.procs {
		cmd := o.procs[len(o.procs)-1-i]
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

// beside measures the peer's actors, ours behind the same engine, and ours embedded, in turns.
func (b *bench) beside(measure func(addr, pool string) (float64, error)) (peer, ours, embedded float64, err error) {
	o, err := b.underEngine()
	if err != nil {
		return 0, 0, 0, err
	}
	alone, err := b.server()
	if err != nil {
		return 0, 0, 0, err
	}
	defer alone.stop()
	var ps, us, es []float64
	for range b.rounds {
		for _, m := range []struct {
			addr, pool string
			to         *[]float64
		}{{o.addr, peerPool, &ps}, {o.addr, ourPool, &us}, {alone.addr, "default", &es}} {
			v, err := measure(m.addr, m.pool)
			if err != nil {
				return 0, 0, 0, fmt.Errorf("%s: %w", m.pool, err)
			}
			*m.to = append(*m.to, v)
		}
	}
	return median(ps), median(us), median(es), nil
}

// engineRate is a row of completions per second of 64 callers, over so many actors.
func engineRate(actor string, actors int, act, args string, reach float64) func(context.Context, *bench) (result, error) {
	return func(_ context.Context, b *bench) (result, error) {
		peer, ours, embedded, err := b.beside(func(addr, pool string) (float64, error) {
			cs, err := clients(addr, 64)
			if err != nil {
				return 0, err
			}
			defer hangUp(cs)
			req := func(w int) []byte {
				return actionIn(addr, pool, actor, fmt.Sprintf("%s-%s-%d-%d", pool, act, actors, w%actors), act, args)
			}
			for w := range actors { // awake, before it counts
				if act == "select" { // something to find
					insert := actionIn(addr, pool, actor, fmt.Sprintf("%s-%s-%d-%d", pool, act, actors, w), "insert", `"`+sqlRow+`"`)
					if err := cs[w].do(insert); err != nil {
						return 0, err
					}
				}
				if err := cs[w].do(req(w)); err != nil {
					return 0, err
				}
			}
			return b.many(cs, req)
		})
		r := rate(peer, ours, reach)
		r.note = fmt.Sprintf("embedded: %.0f/s", embedded)
		return r, err
	}
}

// engineLatency is a row of the median time of one caller.
func engineLatency(n int, actor, act, args string, key func(i int) string, reach float64) func(context.Context, *bench) (result, error) {
	return func(_ context.Context, b *bench) (result, error) {
		round := 0
		peer, ours, embedded, err := b.beside(func(addr, pool string) (float64, error) {
			round++
			c, err := dialHTTP(addr)
			if err != nil {
				return 0, err
			}
			defer c.nc.Close()
			return p50(c, n, func(i int) []byte {
				return actionIn(addr, pool, actor, fmt.Sprintf("%s-%s", pool, key(round*n+i)), act, args)
			})
		})
		r := latency(peer, ours, reach)
		r.note = fmt.Sprintf("embedded: %.0f µs", embedded)
		return r, err
	}
}

// engineLoop is a row of rows inserted by one action.
func engineLoop(_ context.Context, b *bench) (result, error) {
	const rows = 1000
	peer, ours, embedded, err := b.beside(func(addr, pool string) (float64, error) {
		c, err := dialHTTP(addr)
		if err != nil {
			return 0, err
		}
		defer c.nc.Close()
		us, err := p50(c, 5, same(actionIn(addr, pool, "sql", pool+"-loop", "insertLoop", fmt.Sprint(rows))))
		return rows * 1e6 / us, err
	})
	r := rate(peer, ours, 2)
	r.note = fmt.Sprintf("embedded: %.0f/s", embedded)
	return r, err
}

// engineSocket is a row of the median time of a durable action over one WebSocket.
func engineSocket(_ context.Context, b *bench) (result, error) {
	msg := frame(`{"body":{"tag":"ActionRequest","val":{"id":["$BigInt","1"],"name":"incDurable","args":[1]}}}`)
	peer, ours, embedded, err := b.beside(func(addr, pool string) (float64, error) {
		c, err := connectIn(addr, pool, "counter", pool+"-socket")
		if err != nil {
			return 0, err
		}
		defer c.nc.Close()
		d, err := sequential(300, func(int) error {
			if _, err := c.nc.Write(msg); err != nil {
				return err
			}
			return c.skip()
		})
		if err != nil {
			return 0, err
		}
		return float64(percentile(d, 50).Nanoseconds()) / 1e3, nil
	})
	r := latency(peer, ours, 0.5)
	r.note = fmt.Sprintf("embedded: %.0f µs", embedded)
	return r, err
}

func oneKey(int) string   { return "one" }
func newKey(i int) string { return fmt.Sprint("new-", time.Now().UnixNano(), "-", i) }

func hangUp(cs []*httpConn) {
	for _, c := range cs {
		c.nc.Close()
	}
}
