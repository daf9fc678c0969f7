package interop

import (
	"context"
	"io"
	"net/http"
	"testing"
)

// fetch gets a URL.
func fetch(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
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
