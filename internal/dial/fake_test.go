package dial

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/rivetgo/rivet/internal/wire/clientproto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a listener whose connections are pipes: no ports, and synctest sees every wait.
type memory struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
	down  sync.Mutex // guards refuse
	no    bool
}

func newMemory() *memory { return &memory{conns: make(chan net.Conn), done: make(chan struct{})} }

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.done:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error {
	m.once.Do(func() { close(m.done) })
	return nil
}

func (m *memory) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

var errRefused = errors.New("connection refused")

func (m *memory) refuse(no bool) {
	m.down.Lock()
	defer m.down.Unlock()
	m.no = no
}

func (m *memory) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	m.down.Lock()
	no := m.no
	m.down.Unlock()
	if no {
		return nil, errRefused
	}
	ours, theirs := net.Pipe()
	select {
	case m.conns <- theirs:
		return ours, nil
	case <-m.done:
		return nil, errRefused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fake is a server written from the protocol's description. Requests are recorded as "METHOD uri".
type fake struct {
	*memory
	t *testing.T

	mu       sync.Mutex // guards requests
	requests []string
}

func start(t *testing.T, handle http.HandlerFunc) *fake {
	f := &fake{memory: newMemory(), t: t}
	srv := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			f.mu.Lock()
			f.requests = append(f.requests, r.Method+" "+r.RequestURI)
			f.mu.Unlock()
			handle(w, r)
		}),
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	var served sync.WaitGroup
	served.Go(func() { srv.Serve(f.memory) })
	t.Cleanup(func() {
		srv.Close()
		served.Wait()
	})
	return f
}

func (f *fake) seen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.requests...)
}

// client returns a client of the fake that asks for no redirect unless change says so.
func (f *fake) client(change func(*Config)) *Client {
	cfg := Config{
		Endpoint: "http://fake", Encoding: clientproto.BARE, NoRedirect: true,
		Transport: Transport{Dial: f.dial}, Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.Close() })
	return c
}

// gatewayError answers like a gateway.
func gatewayError(w http.ResponseWriter, status int, group, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Rivet-Error", group+"."+code)
	w.Header().Set("X-Rivet-Ray-Id", "ray1")
	w.WriteHeader(status)
	io.WriteString(w, `{"group":"`+group+`","code":"`+code+`","message":"told so"}`)
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// peer is the actor's side of one socket.
type peer struct {
	t        *testing.T
	ws       *websocket.Conn
	request  *http.Request
	encoding clientproto.Encoding
}

// sockets returns a handler that upgrades /connect and runs serve on each socket, numbered from 1. The socket is
// dropped when serve returns.
func sockets(t *testing.T, serve func(n int, p *peer)) http.HandlerFunc {
	var mu sync.Mutex
	n := 0
	return func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"rivet"}})
		if err != nil {
			t.Errorf("accept: %v", err)
			return
		}
		defer ws.CloseNow()
		ws.SetReadLimit(-1)
		encoding := clientproto.JSON
		for p := range strings.SplitSeq(r.Header.Get("Sec-WebSocket-Protocol"), ",") {
			if name, ok := strings.CutPrefix(strings.TrimSpace(p), "rivet_encoding."); ok {
				encoding, _ = clientproto.ParseEncoding(name)
			}
		}
		mu.Lock()
		n++
		number := n
		mu.Unlock()
		serve(number, &peer{t: t, ws: ws, request: r, encoding: encoding})
	}
}

func (p *peer) send(m clientproto.ToClient) {
	p.t.Helper()
	frame, err := clientproto.AppendToClient(nil, p.encoding, clientproto.MaxVersion, m)
	if err != nil {
		p.t.Error(err)
	}
	p.write(frame)
}

func (p *peer) write(frame []byte) {
	typ := websocket.MessageBinary
	if p.encoding.IsText() {
		typ = websocket.MessageText
	}
	p.ws.Write(context.Background(), typ, frame) // the client may be gone: then reading ends too
}

func (p *peer) greet() { p.send(&clientproto.Init{ActorID: "actor1", ConnectionID: "conn1"}) }

// read returns the next message; nil when the socket is over.
func (p *peer) read() clientproto.ToServer {
	_, frame, err := p.ws.Read(context.Background())
	if err != nil {
		return nil
	}
	m, _, err := clientproto.DecodeToServer(p.encoding, frame, false)
	if err != nil {
		p.t.Errorf("a frame cannot be read: %v", err)
	}
	return m
}

// echo answers every action with its first argument until the socket is over.
func (p *peer) echo() {
	for {
		switch m := p.read().(type) {
		case nil:
			return
		case *clientproto.ActionRequest:
			p.send(&clientproto.ActionResponse{ID: m.ID, Output: m.Args[1:]})
		}
	}
}

func (p *peer) close(code int, reason string) { p.ws.Close(websocket.StatusCode(code), reason) }
