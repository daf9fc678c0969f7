package interop

import (
	"testing"
)

// Versions of the rivetkit package under test, and what each can encode.
var (
	versions  = []string{"2.3.19", "2.1.5"}
	encodings = []string{"json", "cbor", "bare"}
)

// TestClient runs every topic with every version of the client in every encoding, all against one server.
func TestClient(t *testing.T) {
	s := startServer(t, testServer)
	topics := []string{"addressing", "values", "errors", "connections", "events", "queues", "hibernation", "raw"}
	for _, version := range versions {
		for _, encoding := range encodings {
			for _, topic := range topics {
				t.Run(version+"/"+encoding+"/"+topic, func(t *testing.T) {
					t.Parallel() // scripts wait more than they work
					runScript(t, topic+".test.mjs", map[string]string{
						"RIVET_ENDPOINT":   s.url(),
						"INTEROP_CLIENT":   version,
						"INTEROP_ENCODING": encoding,
					})
				})
			}
		}
	}
}

// TestConformance runs the newest client in every encoding against the conformance actors.
func TestConformance(t *testing.T) {
	s := startServer(t, conformance)
	for _, encoding := range encodings {
		t.Run(encoding, func(t *testing.T) {
			t.Parallel() // the script waits more than it works
			runScript(t, "conformance.test.mjs", map[string]string{
				"RIVET_ENDPOINT":   s.url(),
				"INTEROP_CLIENT":   "2.3.19",
				"INTEROP_ENCODING": encoding,
			})
		})
	}
}

// TestG2_Restart ends the server by SIGKILL and SIGTERM under a client: what was acknowledged stays, and clients find
// back as far as their version does.
func TestG2_Restart(t *testing.T) {
	for _, version := range versions {
		for _, encoding := range encodings {
			t.Run(version+"/"+encoding, func(t *testing.T) {
				s := startServer(t, counterExample)
				runScript(t, "restart.test.mjs", map[string]string{
					"RIVET_ENDPOINT":   s.url(),
					"INTEROP_CLIENT":   version,
					"INTEROP_ENCODING": encoding,
					"INTEROP_CONTROL":  s.control(),
				})
			})
		}
	}
}
