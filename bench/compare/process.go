package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// bench holds the programs and what all rows share.
type bench struct {
	dir    string
	rounds int
	span   time.Duration
	actors string // binary of bench/actors
	bare   string // binary of bench/bare
	fill   string // binary of bench/fill
	procs  []*process
	engine *official // once a row needs it
	n      int

	sparse time.Duration // wake of an actor among few others, see density
}

func newBench(rounds int, span time.Duration) (*bench, error) {
	dir, err := os.MkdirTemp("", "rivet-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{dir: dir, rounds: rounds, span: span, actors: filepath.Join(dir, "actors"), bare: filepath.Join(dir, "bare"), fill: filepath.Join(dir, "fill")}
	for bin, pkg := range map[string]string{b.actors: "./bench/actors", b.bare: "./bench/bare", b.fill: "./bench/fill"} {
		cmd := exec.Command("go", "build", "-o", bin, pkg)
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("building %s (run this from the module's root): %w", pkg, err)
		}
	}
	return b, nil
}

func (b *bench) close() {
	for _, p := range b.procs {
		p.stop()
	}
	if b.engine != nil {
		b.engine.stop()
	}
	os.RemoveAll(b.dir)
}

// process is a server that says "ready ADDRESS" on its first line.
type process struct {
	cmd  *exec.Cmd
	addr string // host:port
	data string // its directory
}

func (b *bench) start(bin string, env []string, args ...string) (*process, error) {
	b.n++
	return b.startOn(fmt.Sprintf("%s/data-%d", b.dir, b.n), bin, env, args...)
}

// restart ends a server with a signal and starts the next life on what it stored.
func (b *bench) restart(p *process, with syscall.Signal, env ...string) (*process, error) {
	_ = p.cmd.Process.Signal(with) // it may be gone already
	_ = p.cmd.Wait()
	return b.startOn(p.data, b.actors, env)
}

func (b *bench) startOn(data, bin string, env []string, args ...string) (*process, error) {
	cmd := exec.Command(bin, args...)
	cmd.Env = append(os.Environ(), "RIVET_LISTEN=127.0.0.1:0", "RIVETKIT_STORAGE_PATH="+data)
	cmd.Env = append(cmd.Env, env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, data: data}
	b.procs = append(b.procs, p)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("%s did not start: %w", filepath.Base(bin), err)
	}
	fields := strings.Fields(line)
	if len(fields) < 2 || fields[0] != "ready" {
		return nil, fmt.Errorf("%s said %q", filepath.Base(bin), line)
	}
	p.addr = strings.TrimPrefix(fields[1], "http://")
	return p, nil
}

// stop ends the process and waits for it. Idempotent.
func (p *process) stop() {
	if p.cmd.ProcessState != nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may be gone already
	_ = p.cmd.Wait()
}

// server starts bench/actors.
func (b *bench) server(env ...string) (*process, error) { return b.start(b.actors, env) }

// echo starts a bare server.
func (b *bench) echo() (*process, error) { return b.start(b.bare, nil) }

// both starts the baseline and the system; stop ends them.
func (b *bench) both(env ...string) (base, sut *process, stop func(), err error) {
	if base, err = b.echo(); err != nil {
		return nil, nil, nil, err
	}
	if sut, err = b.server(env...); err != nil {
		base.stop()
		return nil, nil, nil, err
	}
	return base, sut, func() { base.stop(); sut.stop() }, nil
}

// residentKiB reads how much memory a process has.
func (p *process) residentKiB() (int, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			var n int
			_, err := fmt.Sscan(rest, &n)
			return n, err
		}
	}
	return 0, errors.New("no VmRSS in /proc: this row needs Linux")
}
