package interop

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// fetch gets a URL.
func fetch(ctx context.Context, url, token string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return string(b), err
}

// TestClientsThroughTheOfficialEngine runs the topics of TestClient over another way: official client, official engine, and our
// actors as its runner.
func TestClientsThroughTheOfficialEngine(t *testing.T) {
	// The engine has two gateways: the older one, which it uses unless told otherwise, takes responses as a whole only.
	for gateway, env := range map[string][]string{
		"whole":    nil,
		"streamed": {"RIVET__FEATURES__GUARD_GATEWAY_V3__MODE=on", "RIVET__FEATURES__GUARD_GATEWAY_V3__PERCENTAGE=100"},
	} {
		t.Run(gateway, func(t *testing.T) {
			e := startEngine(t, env...)
			s := e.startRunner(t, testServer)
			t.Run("clients", func(t *testing.T) { clientsThrough(t, e, s, gateway) })
		})
	}
}

func clientsThrough(t *testing.T, e *officialEngine, s *server, gateway string) {
	for _, encoding := range encodings {
		for _, topic := range []string{"addressing", "values", "errors", "connections", "events", "queues", "hibernation", "raw"} {
			t.Run(encoding+"/"+topic, func(t *testing.T) {
				t.Parallel() // scripts wait more than they work
				runScript(t, topic+".test.mjs", map[string]string{
					"RIVET_ENDPOINT":   e.url(),
					"RIVET_POOL":       s.pool,
					"INTEROP_CLIENT":   "2.3.19",
					"INTEROP_ENCODING": encoding,
					"INTEROP_ENGINE":   gateway,
				})
			})
		}
	}
}

// TestConformanceUnderTheOfficialEngine is TestConformance with our actors as a runner of the official engine. One encoding is
// enough: what lies between is bytes to the engine.
func TestConformanceUnderTheOfficialEngine(t *testing.T) {
	e := startEngine(t, "RIVET__FEATURES__GUARD_GATEWAY_V3__MODE=on", "RIVET__FEATURES__GUARD_GATEWAY_V3__PERCENTAGE=100")
	s := e.startRunner(t, conformance)
	runScript(t, "conformance.test.mjs", map[string]string{
		"RIVET_ENDPOINT":   e.url(),
		"RIVET_POOL":       s.pool,
		"INTEROP_CLIENT":   "2.3.19",
		"INTEROP_ENCODING": "bare",
		"INTEROP_ENGINE":   "streamed",
	})
}

// TestActorsSendToActorsThroughTheOfficialEngine has an order ask a warehouse, and the warehouse answer, over messages that are
// parts of their turns.
func TestActorsSendToActorsThroughTheOfficialEngine(t *testing.T) {
	e := newEngine(t)
	e.config = fmt.Sprintf(`{"auth": {"admin_token": %q}}`, engineToken)
	e.token = engineToken
	e.begin()
	s := e.startRunner(t, "../examples/worker", "RIVET_TOKEN="+engineToken)
	post := func(path, body string, header ...string) (status int, answer string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.url()+path+"?rvt-namespace=default&rvt-method=getOrCreate&rvt-key=o1&rvt-pool="+s.pool, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b)
	}
	if status, answer := post("/gateway/order/action/place", `{"args":[{"item":"chair","quantity":2}]}`); status != http.StatusOK {
		t.Fatalf("place: %d %s", status, answer)
	}
	var last string
	if !eventually(30*time.Second, func() bool {
		_, last = post("/gateway/order/action/status", `{"args":[]}`)
		return strings.Contains(last, "reserved") || strings.Contains(last, "sold out")
	}) {
		t.Errorf("the order stays %s", last)
	}
	// Nobody speaks for an actor's outbox who does not know the engine's token.
	if status, answer := post("/gateway/order/queue/answers", `{"body":{"reserved":true}}`, "X-Rivet-Outbox", "lj0p34xpfp80zjm72hrqnjqj8oal00/1"); status != http.StatusForbidden || !strings.Contains(answer, "outbox") {
		t.Errorf("a forged sender: %d %s", status, answer)
	}
}

// TestActorsMoveWithTheirConnections ends a runner in good order while another one of its pool waits.
func TestActorsMoveWithTheirConnections(t *testing.T) {
	e := startEngine(t)
	first := e.startRunner(t, testServer)
	var second *server
	mux := http.NewServeMux()
	mux.HandleFunc("POST /second", func(w http.ResponseWriter, _ *http.Request) {
		second = e.startRunnerIn(t, first.pool, testServer)
		if !eventually(startTimeout, func() bool { return strings.Contains(second.log.tail(1<<20), "connected to the engine") }) {
			http.Error(w, "the second runner does not connect", http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("POST /end-first", func(w http.ResponseWriter, _ *http.Request) {
		if err := first.terminate(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	control := httptest.NewServer(mux)
	defer control.Close()
	runScript(t, "move.test.mjs", map[string]string{
		"RIVET_ENDPOINT": e.url(), "RIVET_POOL": first.pool, "INTEROP_CLIENT": "2.3.19", "INTEROP_ENCODING": "bare", "INTEROP_ENGINE": "whole",
		"INTEROP_CONTROL": control.URL,
	})
}
