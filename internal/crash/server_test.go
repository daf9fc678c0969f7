package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"
)

// server is the victim in a process of its own, on one address and directory for all its lives.
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
	s := &server{t: t, binary: t.TempDir() + "/victim", dir: t.TempDir() + "/data", client: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}, Timeout: 30 * time.Second,
	}}
	build := exec.Command("go", "build", "-o", s.binary, "./victim")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the victim: %v\n%s", err, out)
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

// refusal is an answer other than success.
type refusal struct {
	status string
	code   string
	text   string
}

func (r *refusal) Error() string { return r.status + ": " + r.text }

// post sends a request once, without any retry, and decodes the answer.
func (s *server) post(ctx context.Context, name, key, path string, how sending, body, answer any) error {
	url := fmt.Sprintf("http://%s/gateway/%s/%s?rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default&rvt-key=%s", s.addr, name, path, key)
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(text))
	if err != nil {
		return err
	}
	if how.key != "" {
		req.Header.Set("X-Rivet-Idempotency-Key", how.key)
	}
	if how.delay > 0 {
		req.Header.Set("X-Rivet-Queue-Delay", strconv.FormatInt(how.delay.Milliseconds(), 10))
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err = io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		var e struct{ Code string }
		_ = json.Unmarshal(text, &e) // whatever it is, it is a refusal
		return &refusal{resp.Status, e.Code, string(text)}
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("answer %q: %w", text, err)
	}
	return nil
}

// action calls an action with one argument, or none.
func (s *server) action(ctx context.Context, name, key, action string, arg, output any) error {
	args := []any{}
	if arg != nil {
		args = append(args, arg)
	}
	return s.post(ctx, name, key, "action/"+action, sending{}, map[string]any{"args": args}, &struct {
		Output any `json:"output"`
	}{output})
}

// send puts a message into a queue. When it waits it returns the reply.
func (s *server) send(ctx context.Context, key, queue string, j job, how sending) (int64, error) {
	var answer struct {
		Status   string
		Response int64
	}
	err := s.post(ctx, "worker", key, "queue/"+queue, how, map[string]any{"body": j, "wait": how.wait}, &answer)
	if err == nil && answer.Status != "completed" {
		err = &refusal{status: "200", code: answer.Status, text: answer.Status}
	}
	return answer.Response, err
}

// call calls an action of a counter and returns the number that it answers.
func (s *server) call(ctx context.Context, key, action string, arg any) (n int64, err error) {
	return n, s.action(ctx, "counter", key, action, arg, &n)
}

// report asks a worker what it knows.
func (s *server) report(ctx context.Context, key string) (*report, error) {
	r := &report{}
	return r, s.action(ctx, "worker", key, "report", nil, r)
}
