package engine

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
	"github.com/rivetgo/rivet/internal/invariants"
)

func TestBadRequestsGetTypedErrors(t *testing.T) {
	r := begin(t, "", actor.Options{})
	for _, c := range []struct {
		name, path string
		body       string
		header     []string
		status     int
		code       string
	}{
		{name: "unknown action", path: byKey("a", "/action/nope"), body: `{"args":[]}`, status: 404, code: "actor.action_not_found"},
		{name: "too few arguments", path: byKey("a", "/action/add"), body: `{"args":[]}`, status: 400, code: "actor.validation_error"},
		{name: "too many arguments", path: byKey("a", "/action/add"), body: `{"args":[1,2]}`, status: 400, code: "actor.validation_error"},
		{name: "wrong type", path: byKey("a", "/action/add"), body: `{"args":["x"]}`, status: 400, code: "actor.validation_error"},
		{name: "a fraction for an integer", path: byKey("a", "/action/add"), body: `{"args":[1.5]}`, status: 400, code: "actor.validation_error"},
		{name: "empty body", path: byKey("a", "/action/add"), body: ``, status: 400, code: "actor.invalid_request"},
		{name: "not JSON", path: byKey("a", "/action/add"), body: `{"args":[1`, status: 400, code: "actor.invalid_request"},
		{name: "JSON announced as BARE", path: byKey("a", "/action/add"), body: `{"args":[1]}`, header: []string{"x-rivet-encoding", "bare"}, status: 400},
		{name: "JSON announced as CBOR", path: byKey("a", "/action/add"), body: `{"args":[1]}`, header: []string{"x-rivet-encoding", "cbor"}, status: 400},
		{name: "unknown encoding reads as JSON", path: byKey("a", "/action/add"), body: `{"args":[0]}`, header: []string{"x-rivet-encoding", "xml"}, status: 200},
		{name: "deep nesting", path: byKey("a", "/action/add"), body: `{"args":[` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `]}`, status: 400, code: "actor.invalid_request"},
		{name: "action body over 64 KiB", path: byKey("a", "/action/add"), body: `{"args":["` + strings.Repeat("x", 70_000) + `"]}`, status: 400, code: "message.incoming_too_long"},
		{name: "bad params header", path: byKey("a", "/action/add"), body: `{"args":[1]}`, header: []string{"x-rivet-conn-params", "{"}, status: 400, code: "actor.invalid_request"},
		{name: "bad escape in the action's name", path: byKey("a", "/action/%zz"), body: `{"args":[]}`, status: 400},
		{name: "unknown actor", path: strings.Replace(byKey("a", "/action/add"), "/thing/", "/nothing/", 1), body: `{"args":[1]}`, status: 500, code: "actor.not_registered"},
		{name: "unknown namespace", path: strings.Replace(byKey("a", "/action/add"), "rvt-namespace=default", "rvt-namespace=x", 1), body: `{}`, status: 400, code: "namespace.not_found"},
		{name: "unknown method", path: strings.Replace(byKey("a", "/action/add"), "getOrCreate", "create", 1), body: `{}`, status: 400, code: "guard.query_invalid_params"},
		{name: "key part over 128 bytes", path: byKey(strings.Repeat("k", 129), "/action/add"), body: `{"args":[1]}`, status: 400, code: "actor.key_too_large"},
		{name: "unknown route", path: byKey("a", "/nowhere"), body: ``, status: 404, code: "actor.not_found"},
		{name: "input that is no CBOR", path: byKey("fresh", "/action/get") + "&rvt-input=_w", body: `{"args":[]}`, status: 400, code: "guard.query_invalid_cbor_input"},
	} {
		if strings.Contains(c.path, "%zz") {
			continue // net/http's client refuses to send it; the raw test below does
		}
		status, m, text := r.post(c.path, "application/json", []byte(c.body), c.header...)
		code := fmt.Sprintf("%v.%v", m["group"], m["code"])
		if status != c.status || (c.code != "" && code != c.code) {
			t.Errorf("%s: %d %s, want %d %s (%.200s)", c.name, status, code, c.status, c.code, text)
		}
		if c.code != "" && m["message"] == "" {
			t.Errorf("%s: no message", c.name)
		}
	}
	want(t, get, r.handle("a"), rivet.None{}, 0)
}

func TestOversizedBodies(t *testing.T) {
	r := begin(t, "", actor.Options{})
	status, m, text := r.post(byKey("a", "/action/add"), "application/json", bytes.Repeat([]byte("x"), 21<<20))
	if status != 413 && status != 400 {
		t.Errorf("21 MiB: %d %v %.200s", status, m, text)
	}
	item := append([]byte{0x5a, 0x00, 0x40, 0x00, 0x10}, make([]byte, 4<<20+16)...) // a byte string of 4 MiB and 16 bytes
	input := base64.StdEncoding.EncodeToString(item)
	status, m, text = r.post("/actors?namespace=default", "application/json",
		fmt.Appendf(nil, `{"name":"thing","key":"big","runner_name_selector":"default","crash_policy":"sleep","input":"%s"}`, input))
	if status != 400 || m["code"] != "input_too_large" {
		t.Errorf("input over 4 MiB: %d %.200s", status, text)
	}
}

func TestBadFramesCloseWithTheStatedCode(t *testing.T) {
	r := begin(t, "", actor.Options{})
	type frame struct {
		kind websocket.MessageType
		data []byte
	}
	text := func(s string) frame { return frame{websocket.MessageText, []byte(s)} }
	for _, c := range []struct {
		name, encoding string
		send           frame
		code           int
		reason         string
	}{
		{"not JSON", "json", text("{"), 1011, "actor.invalid_request"},
		{"unknown tag", "json", text(`{"body":{"tag":"Nonsense","val":{}}}`), 1011, "actor.invalid_request"},
		{"negative id", "json", text(`{"body":{"tag":"ActionRequest","val":{"id":-1,"name":"get","args":[]}}}`), 1011, "actor.invalid_request"},
		{"text on BARE", "bare", text("hello"), 1011, "actor.invalid_request"},
		{"garbage on BARE", "bare", frame{websocket.MessageBinary, []byte{4, 0, 9, 9, 9}}, 1011, "actor.invalid_request"},
		{"unknown version on BARE", "bare", frame{websocket.MessageBinary, []byte{9, 0, 0, 0}}, 1011, "actor.invalid_request"},
		{"garbage on CBOR", "cbor", frame{websocket.MessageBinary, []byte{0xff}}, 1011, "actor.invalid_request"},
		{"message over 64 KiB", "json", text(`"` + strings.Repeat("x", 70_000) + `"`), 1011, "message.incoming_too_long"},
	} {
		s := r.socket("a", c.encoding)
		if err := s.Write(t.Context(), c.send.kind, c.send.data); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if code, reason := closed(t, s); code != c.code || reason != c.reason {
			t.Errorf("%s: closed with %d %q, want %d %q", c.name, code, reason, c.code, c.reason)
		}
	}
	s := r.socket("a", "yaml")
	if code, reason := closed(t, s); code != 1003 || reason != "actor.unsupported_websocket_encoding" {
		t.Errorf("unknown encoding: closed with %d %q", code, reason)
	}
	s = r.socket("a", "json", "rivet_conn_params.%7B")
	if code, _ := closed(t, s); code != 1011 {
		t.Errorf("parameters that are no JSON: closed with %d", code)
	}
	want(t, get, r.handle("a"), rivet.None{}, 0)
}

func TestG7_a_message_of_32_MiB_is_cut_off(t *testing.T) {
	r := begin(t, "", actor.Options{})
	s := r.socket("a", "json")
	err := s.Write(t.Context(), websocket.MessageText, bytes.Repeat([]byte("x"), 33<<20))
	if err == nil {
		// The gateway's own limit, with the code that the official engine uses.
		if code, reason := closed(t, s); code != 1011 || !strings.HasPrefix(reason, "core.internal_error#") {
			t.Errorf("closed with %d %q", code, reason)
		}
	}
	want(t, get, r.handle("a"), rivet.None{}, 0)
}

func TestG7_a_slow_reader_is_cut_off_and_hurts_nobody(t *testing.T) {
	r := begin(t, "", actor.Options{})
	h := r.handle("a")
	lazy := r.socket("a", "json") // never reads
	if err := lazy.Write(t.Context(), websocket.MessageText, []byte(`{"body":{"tag":"SubscriptionRequest","val":{"eventName":"water","subscribe":true}}}`)); err != nil {
		t.Fatal(err)
	}
	roomy, err := rivet.NewClient(r.URL(), &rivet.ClientOptions{EventBuffer: 1 << 20, EventBufferBytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer roomy.Close()
	conn, err := things.GetOrCreate(roomy, rivet.Key{"a"}, thing{}).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var got sync.WaitGroup
	const rounds, kib = 30, 1024
	got.Add(rounds * kib)
	stop := water.On(conn, func(string) { got.Done() })
	defer stop()
	want(t, get, conn, rivet.None{}, 0) // the subscription is made
	for range rounds {
		if _, err := flood.Call(t.Context(), h, kib); err != nil {
			t.Fatal(err)
		}
	}
	all := make(chan struct{})
	go func() { got.Wait(); close(all) }()
	select {
	case <-all:
	case <-time.After(time.Minute):
		t.Fatal("the reader that keeps up did not get everything")
	}
	if _, reason := closedAnyhow(t, lazy); reason != "" && reason != "ws.slow_reader" {
		t.Errorf("the lazy reader was closed with %q", reason)
	}
}

// closedAnyhow is closed for a socket that may have been cut without a close frame.
func closedAnyhow(t *testing.T, c *websocket.Conn) (websocket.StatusCode, string) {
	t.Helper()
	for {
		if _, _, err := c.Read(t.Context()); err != nil {
			var ce websocket.CloseError
			if errorsAs(err, &ce) {
				return ce.Code, ce.Reason
			}
			return 0, ""
		}
	}
}

func TestG7_thousands_of_connections(t *testing.T) {
	n := 5000
	if invariants.Enabled || testing.Short() {
		n = 500 // the race detector makes each several times as heavy
	}
	r := begin(t, "", actor.Options{})
	h := r.handle("crowd")
	want(t, add, h, 1, 1)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	path := byKey("crowd", "/connect")
	addr := strings.TrimPrefix(r.URL(), "http://")
	conns := make([]net.Conn, n)
	for i := range conns {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns[i] = c
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: rivet, rivet_encoding.json\r\n\r\n", path)
	}
	for _, c := range conns {
		readInit(t, c)
	}
	want(t, add, h, 1, 2)
	runtime.GC()
	runtime.ReadMemStats(&after)
	per := float64(after.HeapAlloc+after.StackInuse-before.HeapAlloc-before.StackInuse) / float64(n) / 1024
	t.Logf("%d connections: %.1f KiB each, both ends", n, per)
	if per > 64 {
		t.Errorf("%.1f KiB for each connection", per)
	}
}

// readInit reads the handshake and the first message without keeping a buffer for each connection.
func readInit(t *testing.T, c net.Conn) {
	t.Helper()
	buf := make([]byte, 2048)
	got := 0
	for !bytes.Contains(buf[:got], []byte(`"tag":"Init"`)) {
		n, err := c.Read(buf[got:])
		if err != nil {
			t.Fatalf("%v after %q", err, buf[:got])
		}
		got += n
	}
}
