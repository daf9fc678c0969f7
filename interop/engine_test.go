package interop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// officialEngine is a process of the official engine, from its npm package, with ports and a directory of its own. Its
// methods are for one goroutine at a time.
type officialEngine struct {
	t      *testing.T
	ports  [3]string // guard, peer API, metrics
	data   string
	extra  []string
	config string // further configuration, JSON
	token  string // of its control API, if it has one

	log    logBuffer
	cmd    *exec.Cmd
	exited chan struct{}
}

// engineBinary is the engine that npm installed.
func engineBinary(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob("node_modules/@rivetkit/engine-cli-*/rivet-engine")
	if err != nil || len(found) == 0 {
		t.Fatal("the official engine is not installed: run npm ci --ignore-scripts in interop, or make interop in the root")
	}
	path, err := filepath.Abs(found[0])
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// startEngine starts an engine; it is killed when the test ends, and its log shown if the test failed. env are settings on top.
func startEngine(t *testing.T, env ...string) *officialEngine {
	t.Helper()
	e := newEngine(t)
	e.extra = env
	e.begin()
	return e
}

// startEngineAt starts an engine on a port with further configuration, in which %s stands for the port of the peer API.
func startEngineAt(t *testing.T, port, config string) *officialEngine {
	t.Helper()
	e := newEngine(t)
	e.ports[0], e.config = port, fmt.Sprintf(config, e.ports[1])
	e.begin()
	return e
}

func newEngine(t *testing.T) *officialEngine {
	t.Helper()
	e := &officialEngine{t: t, data: t.TempDir(), config: "{}"}
	for i := range e.ports {
		_, port, err := net.SplitHostPort(freeAddr(t))
		if err != nil {
			t.Fatal(err)
		}
		e.ports[i] = port
	}
	return e
}

func (e *officialEngine) begin() {
	t := e.t
	t.Helper()
	t.Cleanup(func() {
		e.kill()
		if t.Failed() {
			t.Logf("end of the engine's log:\n%s", e.log.tail(4<<10))
		}
	})
	e.start()
}

func (e *officialEngine) url() string { return "http://127.0.0.1:" + e.ports[0] }

// engineConfig turns load shedding off: on a machine that does much else the engine would put actors off.
const engineConfig = `{"runtime": {"worker_load_shedding_curve": [[2000, 1000], [3000, 50]]}}`

// start runs the engine and returns when it answers.
func (e *officialEngine) start() {
	e.t.Helper()
	args := []string{}
	for i, text := range []string{engineConfig, e.config} {
		config := filepath.Join(e.data, fmt.Sprintf("engine-%d.json", i))
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			e.t.Fatal(err)
		}
		args = append(args, "--config", config)
	}
	cmd := exec.CommandContext(context.Background(), engineBinary(e.t), append(args, "start")...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "RUST_BACKTRACE=") && !strings.HasPrefix(v, "RIVET_") { // backtraces make it many times slower
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env,
		"RIVET__FILE_SYSTEM__PATH="+filepath.Join(e.data, "db"), "RIVET__GUARD__PORT="+e.ports[0], "RIVET__API_PEER__PORT="+e.ports[1], "RIVET__METRICS__PORT="+e.ports[2],
		"RIVET__GUARD__HOST=127.0.0.1", "RIVET__API_PEER__HOST=127.0.0.1", "RIVET__METRICS__HOST=127.0.0.1",
		"RIVET__GUARD__TCP_NODELAY=true", "RIVET__TELEMETRY__ENABLED=false",
	)
	cmd.Env = append(cmd.Env, e.extra...)
	cmd.Stdout, cmd.Stderr = &e.log, &e.log
	if err := cmd.Start(); err != nil {
		e.t.Fatalf("start the engine: %v", err)
	}
	exited := make(chan struct{})
	go func() { // ends with the process
		_ = cmd.Wait()
		close(exited)
	}()
	e.cmd, e.exited = cmd, exited
	ctx, cancel := context.WithTimeout(context.Background(), 2*startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !answersOK(ctx, e.url()+"/health") {
		select {
		case <-exited:
			e.t.Fatalf("the engine ended before it answered:\n%s", e.log.tail(8<<10))
		case <-ctx.Done():
			e.t.Fatalf("the engine does not answer:\n%s", e.log.tail(8<<10))
		case <-tick.C:
		}
	}
}

// kill ends the engine by SIGKILL.
func (e *officialEngine) kill() {
	if e.cmd == nil {
		return
	}
	if err := e.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		e.t.Errorf("kill the engine: %v", err)
	}
	<-e.exited
	e.cmd = nil
}

// pools numbers the pools of a test run.
var pools atomic.Int64

// startRunner builds a program and starts it as a runner of the engine, in a pool of its own; it is killed when the test ends.
func (e *officialEngine) startRunner(t *testing.T, program string, env ...string) *server {
	t.Helper()
	pool := fmt.Sprintf("pool-%d", pools.Add(1))
	return e.startRunnerIn(t, pool, program, env...)
}

func (e *officialEngine) startRunnerIn(t *testing.T, pool, program string, env ...string) *server {
	t.Helper()
	s := &server{t: t, bin: build(t, program), storage: t.TempDir(), engine: e, pool: pool, env: append(env,
		"RIVET_ENDPOINT="+e.url(), "RIVET_POOL="+pool, "RIVET_LOG_LEVEL=debug")}
	t.Cleanup(func() {
		if err := s.kill(); err != nil {
			t.Errorf("kill the runner: %v", err)
		}
		if t.Failed() {
			t.Logf("end of the runner's log:\n%s", s.log.tail(8<<10))
		}
	})
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// registered reports whether the engine lists a runner in the pool.
func (e *officialEngine) registered(ctx context.Context, pool string) bool {
	body, err := fetch(ctx, e.url()+"/envoys?namespace=default&name="+pool, e.token)
	return err == nil && strings.Contains(body, `"envoy_key"`)
}

func answersOK(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// eventually asks until the answer is yes, for as long as within.
func eventually(within time.Duration, probe func() bool) bool {
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !probe() {
		select {
		case <-tick.C:
		case <-deadline.C:
			return probe()
		}
	}
	return true
}
