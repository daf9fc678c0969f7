package ws

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

// serve starts an HTTP server that upgrades and hands the connection to handle, in a goroutine of its own. It returns
// the server's address.
func serve(t testing.TB, opts UpgradeOptions, handle func(*Conn)) string {
	t.Helper()
	var running sync.WaitGroup
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		running.Add(1) // before the client can see an answer
		c, err := Upgrade(w, r, opts)
		if err != nil {
			running.Done()
		}
		var bad *HandshakeError
		if errors.As(err, &bad) {
			maps.Copy(w.Header(), bad.Header)
			http.Error(w, bad.Detail, bad.Status)
			return
		}
		if err != nil {
			t.Error(err)
			return
		}
		go func() {
			defer running.Done()
			handle(c)
			c.CloseNow()
		}()
	}))
	t.Cleanup(func() { s.Close(); running.Wait() })
	return s.Listener.Addr().String()
}

func echo(c *Conn) {
	for {
		op, payload, err := c.ReadMessage()
		if err != nil {
			return
		}
		c.QueueMessage(op, payload)
	}
}

const goodRequest = "GET /connect HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// request sends text and returns the connection and the answer to it.
func request(t testing.TB, addr, text string) (net.Conn, *bufio.Reader, *http.Response) {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(soon))
	write(t, nc, []byte(text))
	br := bufio.NewReader(nc)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	return nc, br, resp
}

func TestUpgrade(t *testing.T) {
	addr := serve(t, UpgradeOptions{Header: http.Header{
		"X-Rivet-Ray-Id":              {"ray"},
		"Access-Control-Allow-Origin": {"*"},
		"X-Split":                     {"a\r\nInjected: yes"},
		"Bad Name":                    {"x"},
		"Upgrade":                     {"h2c"},
		"Sec-Websocket-Protocol":      {"other"},
	}}, echo)

	for name, test := range map[string]struct{ extra, protocol string }{
		"nothing offered": {"", ""},
		"rivet":           {"Sec-WebSocket-Protocol: rivet,rivet_encoding.json\r\n", "rivet"},
		"rivet last":      {"Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b , rivet\r\n", "rivet"},
		"only others":     {"Sec-WebSocket-Protocol: chat, Rivet\r\n", ""},
		"extensions":      {"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, resp := request(t, addr, goodRequest+test.extra+"\r\n")
			want := http.Header{
				"Connection":                  {"Upgrade"},
				"Upgrade":                     {"websocket"},
				"Sec-Websocket-Accept":        {"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}, // RFC 6455 §1.3
				"X-Rivet-Ray-Id":              {"ray"},
				"Access-Control-Allow-Origin": {"*"},
				"X-Split":                     {"a  Injected: yes"},
			}
			if test.protocol != "" {
				want.Set("Sec-WebSocket-Protocol", test.protocol)
			}
			if resp.StatusCode != 101 || !reflect.DeepEqual(resp.Header, want) {
				t.Errorf("got %d %v\nwant 101 %v", resp.StatusCode, resp.Header, want)
			}
		})
	}
}

func TestUpgradeRefuses(t *testing.T) {
	addr := serve(t, UpgradeOptions{}, echo)
	edit := func(from, to string) string {
		if !strings.Contains(goodRequest, from) {
			t.Fatalf("%q is not in the request", from)
		}
		return strings.Replace(goodRequest, from, to, 1) + "\r\n"
	}
	for name, test := range map[string]struct {
		request string
		status  int
	}{
		"plain request":    {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 426},
		"no Connection":    {edit("Connection: keep-alive, Upgrade\r\n", ""), 426},
		"other upgrade":    {edit("WebSocket\r\n", "h2c\r\n"), 426},
		"POST":             {edit("GET", "POST"), 405},
		"HTTP/1.0":         {edit("HTTP/1.1", "HTTP/1.0"), 400},
		"version 8":        {edit("Version: 13", "Version: 8"), 426},
		"no version":       {edit("Sec-WebSocket-Version: 13\r\n", ""), 426},
		"no key":           {edit("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), 400},
		"short key":        {edit("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ=="), 400},
		"key not base64":   {edit("dGhlIHNhbXBsZSBub25jZQ==", "????????????????????????"), 400},
		"two keys":         {edit("Upgrade: WebSocket", "Upgrade: WebSocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), 400},
		"body":             {edit("Host: x", "Host: x\r\nContent-Length: 3") + "abc", 400},
		"body in chunks":   {edit("Host: x", "Host: x\r\nTransfer-Encoding: chunked") + "0\r\n\r\n", 400},
		"version repeated": {edit("Version: 13", "Version: 13\r\nSec-WebSocket-Version: 8"), 426},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, resp := request(t, addr, test.request)
			if resp.StatusCode != test.status {
				t.Errorf("status %d, want %d", resp.StatusCode, test.status)
			}
			if strings.Contains(name, "version") && resp.Header.Get("Sec-WebSocket-Version") != "13" {
				t.Errorf("answer does not name the version: %v", resp.Header)
			}
		})
	}
}

func TestUpgradeNeedsHijacker(t *testing.T) {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(goodRequest + "\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	_, err = Upgrade(httptest.NewRecorder(), r, UpgradeOptions{})
	var bad *HandshakeError
	if !errors.As(err, &bad) || bad.Status != 500 {
		t.Errorf("got %v, want a HandshakeError with status 500", err)
	}
}

// Frames sent in one packet with the request are in the buffer of net/http when the handler takes the connection.
func TestUpgradeKeepsEarlyFrames(t *testing.T) {
	addr := serve(t, UpgradeOptions{ReadBufferBytes: 256}, echo)
	text := goodRequest + "\r\n"
	for i := range 40 {
		text += string(raw{b0: 0x81, payload: fmt.Sprintf("early message number %d", i)}.bytes())
	}
	nc, br, _ := request(t, addr, text)
	for i := range 40 {
		wantFrame(t, br, 1, fmt.Sprintf("early message number %d", i))
	}
	write(t, nc, raw{b0: 0x88}.bytes())
	wantFrame(t, br, 8, "")
	wantEnd(t, br)
}

func TestProtocols(t *testing.T) {
	r := &http.Request{Header: http.Header{}}
	if got := Protocols(r); got != nil {
		t.Errorf("without header: %q", got)
	}
	r.Header.Add("sec-websocket-protocol", "rivet,rivet_encoding.cbor ,\trivet_conn_params.%7B%7D,,")
	r.Header.Add("Sec-WebSocket-Protocol", " rivet_target.actor")
	want := []string{"rivet", "rivet_encoding.cbor", "rivet_conn_params.%7B%7D", "rivet_target.actor"}
	if got := Protocols(r); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
