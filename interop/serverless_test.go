package interop

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
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rivetgo/rivet"
)

// Programs whose actors an engine starts by HTTP, and where their handler is mounted.
var handlers = map[string]struct{ program, path string }{
	"net/http": {"../examples/serverless", "/api/rivet"},
	"chi":      {"chi", "/backend/rivet"},
}

type counterInput struct{}

var (
	counters  = rivet.NewActor[counterInput]("counter")
	increment = rivet.NewAction[int64, int64](counters, "increment")
)

// put calls the engine's control API.
func (e *officialEngine) put(t *testing.T, path string, body any) {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, e.url()+path, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+engineToken)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if answer, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("PUT %s: %s %s %v", path, res.Status, answer, err)
	}
}

// generation is which life of an actor answers; 0 when none does.
func generation(ctx context.Context, url string) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	n, err := strconv.Atoi(res.Header.Get("X-Rivet-Actor-Generation"))
	if err != nil {
		return 0
	}
	return n
}

const engineToken = "the-engines-token"

// TestServerless has an official engine with a token call our handlers to start actors, and clients call those.
func TestServerless(t *testing.T) {
	t.Parallel() // it waits more than it works
	guard := freeAddr(t)
	_, port, err := net.SplitHostPort(guard)
	if err != nil {
		t.Fatal(err)
	}
	topology := fmt.Sprintf(`{"auth": {"admin_token": %q}, "topology": {"datacenter_label": 1, "datacenters": {"default": {"datacenter_label": 1, "is_leader": true, "public_url": "http://127.0.0.1:%s", "peer_url": "http://127.0.0.1:%%s"}}},
		"outbound": {"allow_loopback": true, "allow_private_networks": true, "allow_insecure_scheme": true}}`, engineToken, port)
	e := startEngineAt(t, port, topology)
	for name, h := range handlers {
		t.Run(name, func(t *testing.T) {
			addr := freeAddr(t)
			_, own, err := net.SplitHostPort(addr)
			if err != nil {
				t.Fatal(err)
			}
			pool := "serverless-" + own
			cmd := exec.CommandContext(t.Context(), build(t, h.program))
			cmd.Env = append(os.Environ(), "PORT="+own, "RIVET_ENDPOINT=http://default:"+engineToken+"@127.0.0.1:"+port, "RIVET_POOL="+pool, "RIVET_LOG_LEVEL=debug")
			var log logBuffer
			cmd.Stdout, cmd.Stderr = &log, &log
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			exited := make(chan error, 1)
			go func() { exited <- cmd.Wait() }() // ends with the process
			defer func() {
				_ = cmd.Process.Kill()
				if t.Failed() {
					t.Logf("end of the program's log:\n%s", log.tail(8<<10))
				}
			}()
			base := "http://" + addr + h.path
			if !eventually(startTimeout, func() bool { return answersOK(t.Context(), base+"/health") }) {
				t.Fatal("the program does not answer")
			}
			e.put(t, "/runner-configs/"+pool+"?namespace=default", map[string]any{"datacenters": map[string]any{"default": map[string]any{
				"serverless": map[string]any{
					"url": base, "headers": map[string]string{"x-rivet-token": engineToken}, "request_lifespan": 12, "drain_grace_period": 8,
					"max_runners": 100, "metadata_poll_interval": 5000,
				},
			}}})

			client, err := rivet.NewClient("http://default:"+engineToken+"@127.0.0.1:"+port, &rivet.ClientOptions{Pool: pool, DisableMetadataLookup: true})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			likes := counters.GetOrCreate(client, rivet.Key{"likes", name}, counterInput{})
			call := func(want int64) {
				t.Helper()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if n, err := increment.Call(ctx, likes, 1); err != nil || n != want {
					t.Errorf("increment = %d, %v; want %d", n, err, want)
				}
			}
			for want := range int64(5) {
				call(want + 1)
			}
			// The request's lifespan ends: the engine begins another, for the actor's next life.
			lives := "/gateway/counter/health?rvt-namespace=default&rvt-method=get&rvt-key=likes," + strings.ReplaceAll(name, "/", "%2F")
			if !eventually(30*time.Second, func() bool { return generation(t.Context(), e.url()+lives) >= 2 }) {
				t.Error("the actor lives as long as its program")
			}
			call(6)
			if n := strings.Count(log.tail(1<<20), "connected to the engine"); n != 1 {
				t.Errorf("the program connected %d times", n)
			}

			for name, c := range map[string]struct {
				change func(h http.Header)
				body   string
				status int
				code   string
			}{
				"no token":          {func(h http.Header) { h.Del("X-Rivet-Token") }, "", http.StatusForbidden, "forbidden"},
				"wrong token":       {func(h http.Header) { h.Set("X-Rivet-Token", "another") }, "", http.StatusForbidden, "forbidden"},
				"another engine":    {func(h http.Header) { h.Set("X-Rivet-Endpoint", "http://elsewhere:1") }, "", http.StatusBadRequest, "endpoint_mismatch"},
				"another namespace": {func(h http.Header) { h.Set("X-Rivet-Namespace-Name", "other") }, "", http.StatusBadRequest, "namespace_mismatch"},
				"no pool":           {func(h http.Header) { h.Del("X-Rivet-Pool-Name") }, "", http.StatusBadRequest, "invalid"},
				"not a start":       {func(http.Header) {}, "nonsense", http.StatusBadRequest, "internal_error"},
				"unknown version":   {func(http.Header) {}, "\x63\x00\x01\x00", http.StatusBadRequest, "internal_error"},
				"too large":         {func(http.Header) {}, strings.Repeat("x", 17<<20), http.StatusRequestEntityTooLarge, "incoming_too_long"},
			} {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/start", strings.NewReader(c.body))
				if err != nil {
					t.Fatal(err)
				}
				req.Header = http.Header{
					"X-Rivet-Token": {engineToken}, "X-Rivet-Endpoint": {"http://127.0.0.1:" + port + "/"}, "X-Rivet-Namespace-Name": {"default"}, "X-Rivet-Pool-Name": {pool},
				}
				c.change(req.Header)
				res, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				var answer struct{ Code string }
				err = json.NewDecoder(res.Body).Decode(&answer)
				res.Body.Close()
				if err != nil || res.StatusCode != c.status || answer.Code != c.code {
					t.Errorf("%s: %s %q %v, want %d %s", name, res.Status, answer.Code, err, c.status, c.code)
				}
			}
			if h.program == "chi" { // it ends at once
				return
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-exited:
				if err != nil {
					t.Errorf("the program ended with %v", err)
				}
			case <-time.After(45 * time.Second):
				t.Error("the program does not end")
			}
		})
	}
}
