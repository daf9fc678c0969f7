package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Programs that tests start, each a folder with a main package.
const (
	counterExample = "../examples/counter"
	chatExample    = "../examples/chat"
	testServer     = "testserver"
	conformance    = "conformance"
)

const (
	startTimeout = 30 * time.Second
	stopTimeout  = 20 * time.Second
)

// binDir is where TestMain lets build put the programs.
var binDir string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "rivet-interop-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binDir = dir
	return m.Run()
}

var builds sync.Map // program -> func() error, once each

// build compiles a program once per test run and returns the path of its binary.
func build(t *testing.T, program string) string {
	t.Helper()
	bin := filepath.Join(binDir, filepath.Base(program))
	once, _ := builds.LoadOrStore(program, sync.OnceValue(func() error {
		cmd := exec.CommandContext(context.Background(), "go", "build", "-o", bin, ".")
		cmd.Dir = program
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go build in %s: %w\n%s", program, err, out)
		}
		return nil
	}))
	if err := once.(func() error)(); err != nil {
		t.Fatal(err)
	}
	return bin
}

// server is one server program with an address and a storage directory of its own. It can be stopped and started
// again on both. Its methods are for one goroutine at a time.
type server struct {
	t       *testing.T
	bin     string
	addr    string
	storage string
	engine  *officialEngine // whose runner it is; nil: it stands by itself
	pool    string
	env     []string

	log    logBuffer
	cmd    *exec.Cmd
	exited chan error // one value per started process
}

// startServer builds and starts a program; it is killed when the test ends, and its log shown if the test failed.
func startServer(t *testing.T, program string) *server {
	t.Helper()
	s := &server{t: t, bin: build(t, program), addr: freeAddr(t), storage: t.TempDir()}
	t.Cleanup(func() {
		if err := s.kill(); err != nil {
			t.Errorf("kill the server: %v", err)
		}
		if t.Failed() {
			t.Logf("end of the server's log:\n%s", s.log.tail(8<<10))
		}
	})
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *server) url() string { return "http://" + s.addr }

// start runs the program and returns when it answers.
func (s *server) start() error {
	if s.cmd != nil {
		return errors.New("the server runs already")
	}
	cmd := exec.CommandContext(context.Background(), s.bin)
	cmd.Env = append(os.Environ(), s.env...)
	if s.engine == nil {
		cmd.Env = append(cmd.Env, "RIVET_LISTEN="+s.addr, "RIVETKIT_STORAGE_PATH="+s.storage)
	}
	cmd.Dir = s.storage
	cmd.Stdout = &s.log
	cmd.Stderr = &s.log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	s.cmd = cmd
	s.exited = make(chan error, 1)
	exited := s.exited
	go func() { exited <- cmd.Wait() }() // ends with the process

	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if s.answers(ctx) {
			return nil
		}
		select {
		case err := <-s.exited:
			s.cmd = nil
			return fmt.Errorf("the server ended before it answered: %v\n%s", err, s.log.tail(8<<10))
		case <-ctx.Done():
			return fmt.Errorf("the server does not answer after %s\n%s", startTimeout, s.log.tail(8<<10))
		case <-tick.C:
		}
	}
}

func (s *server) answers(ctx context.Context) bool {
	if s.engine != nil {
		return s.engine.registered(ctx, s.pool)
	}
	return answersOK(ctx, s.url()+"/metadata")
}

// kill ends the program by SIGKILL, as a crash would. Killing a stopped server does nothing.
func (s *server) kill() error {
	if s.cmd == nil {
		return nil
	}
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-s.exited // its error is the signal
	s.cmd = nil
	return nil
}

// terminate asks the program to end by SIGTERM and expects exit code 0 within stopTimeout.
func (s *server) terminate() error {
	if s.cmd == nil {
		return errors.New("the server does not run")
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case err := <-s.exited:
		s.cmd = nil
		if err != nil {
			return fmt.Errorf("the server did not end cleanly on SIGTERM: %w\n%s", err, s.log.tail(8<<10))
		}
		return nil
	case <-time.After(stopTimeout):
		return fmt.Errorf("the server still runs %s after SIGTERM\n%s", stopTimeout, s.log.tail(8<<10))
	}
}

// control serves POST /kill, /term and /start for a script, and returns the address.
func (s *server) control() string {
	s.t.Helper()
	verbs := map[string]func() error{"/kill": s.kill, "/term": s.terminate, "/start": s.start}
	var mu sync.Mutex // a script does one thing at a time; guards s all the same
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		verb, ok := verbs[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if err := verb(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	l, err := (&net.ListenConfig{}).Listen(s.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() { // ends when the cleanup closes srv
		defer close(done)
		_ = srv.Serve(l)
	}()
	s.t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	return "http://" + l.Addr().String()
}

// freeAddr returns a loopback address that nothing listens on. Another program may take it before the server does;
// then the server says so and the test fails.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// logBuffer keeps what a child process prints. Safe for concurrent use.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// tail returns the last n bytes.
func (b *logBuffer) tail(n int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.buf.Bytes()
	if len(p) > n {
		p = p[len(p)-n:]
	}
	return string(p)
}
