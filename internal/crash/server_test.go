package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// server is the example program in a process of its own, on one address and directory for all its lives.
type server struct {
	t      *testing.T
	binary string
	addr   string
	dir    string
	cmd    *exec.Cmd
	log    *output
	client *http.Client
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, binary: t.TempDir() + "/counter", dir: t.TempDir() + "/data", client: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}, Timeout: 30 * time.Second,
	}}
	build := exec.Command("go", "build", "-o", s.binary, "../../examples/counter")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the example: %v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	l.Close()
	t.Cleanup(func() {
		if s.cmd != nil {
			s.kill()
		}
	})
	return s
}

// start starts a life and waits until it answers. It returns how long that took.
func (s *server) start() time.Duration {
	s.t.Helper()
	began := time.Now()
	s.log = &output{mark: []byte("address"), seen: make(chan struct{})}
	s.cmd = exec.Command(s.binary)
	s.cmd.Env = append(os.Environ(), "RIVET_LISTEN="+s.addr, "RIVETKIT_STORAGE_PATH="+s.dir, "RIVET_LOG_LEVEL=warn")
	s.cmd.Stderr = s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-s.log.seen: // the banner comes when it serves
	case <-time.After(30 * time.Second):
		s.t.Fatalf("the server did not start in 30 s:\n%s", s.log)
	}
	return time.Since(began)
}

// kill ends the life as kill -9 does.
func (s *server) kill() {
	_ = s.cmd.Process.Kill() // it may have ended by itself, which its log tells
	_ = s.cmd.Wait()
	s.cmd = nil
	s.client.CloseIdleConnections()
}

// output collects what a process writes and tells when a mark has come.
type output struct {
	mu   sync.Mutex // guards all below
	buf  bytes.Buffer
	mark []byte
	seen chan struct{}
	told bool
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf.Write(p)
	if !o.told && bytes.Contains(o.buf.Bytes(), o.mark) {
		o.told = true
		close(o.seen)
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// call calls an action of a counter once, without any retry, and returns the number that it answers.
func (s *server) call(ctx context.Context, key, action, args string) (int64, error) {
	url := fmt.Sprintf("http://%s/gateway/counter/action/%s?rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default&rvt-key=%s", s.addr, action, key)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader([]byte(`{"args":[`+args+`]}`)))
	if err != nil {
		return 0, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: %s", resp.Status, body)
	}
	var answer struct{ Output *int64 }
	if err := json.Unmarshal(body, &answer); err != nil || answer.Output == nil {
		return 0, errors.Join(err, fmt.Errorf("answer %q", body))
	}
	return *answer.Output, nil
}
