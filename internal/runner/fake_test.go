package runner_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/rivetgo/rivet/internal/actordb"
	"github.com/rivetgo/rivet/internal/host"
	"github.com/rivetgo/rivet/internal/link/inprocess"
	"github.com/rivetgo/rivet/internal/pipenet"
	"github.com/rivetgo/rivet/internal/runner"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/id"
	proto "github.com/rivetgo/rivet/internal/wire/runnerproto"
	"github.com/rivetgo/rivet/internal/wire/value"
)

// engine is the other side of the protocol, in memory. It does what it is told to, also what an engine should not.
type engine struct {
	t       *testing.T
	l       *pipenet.Listener
	server  *http.Server
	version int

	mu       sync.Mutex // guards all below
	conn     *websocket.Conn
	dials    int
	refuse   bool
	protocol string // of the last connection
	// closeWith is what connections are closed with as soon as they are open; empty: they are not.
	closeWith string
	got       []proto.ToRivet
	changed   chan struct{}
	stores    map[string]*store
	// onCommit decides on a commit: a failure to answer, whether it is carried out, whether it is answered.
	onCommit func(m *proto.CommitRequest) (failure *proto.SQLiteError, apply, answer bool)
	commits  int
	next     uint32 // names tunnels
}

// store is what the engine keeps of one actor.
type store struct {
	generation uint64
	head       uint64
	pages      map[uint32][]byte
}

func newEngine(t *testing.T) *engine {
	e := &engine{t: t, l: pipenet.Listen(), version: proto.MaxVersion, changed: make(chan struct{}), stores: make(map[string]*store)}
	mux := http.NewServeMux()
	mux.HandleFunc("/metadata", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"runtime":"engine","envoy_protocol_version":%d}`, e.version)
	})
	mux.HandleFunc("/envoys/connect", e.connect)
	e.server = &http.Server{Handler: mux, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	go e.server.Serve(e.l)
	return e
}

func (e *engine) close() {
	e.cut()
	e.server.Close()
}

func (e *engine) connect(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	refuse := e.refuse
	e.dials++
	e.mu.Unlock()
	if refuse {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"rivet"}})
	if err != nil {
		return
	}
	c.SetReadLimit(-1)
	e.mu.Lock()
	reason := e.closeWith
	e.mu.Unlock()
	if reason != "" {
		c.Close(websocket.StatusInternalError, reason)
		return
	}
	version, err := strconv.Atoi(r.URL.Query().Get("protocol_version"))
	if err != nil {
		e.t.Error(err)
	}
	e.mu.Lock()
	e.conn, e.protocol = c, r.Header.Get("Sec-WebSocket-Protocol")
	e.mu.Unlock()
	e.sendOn(c, &proto.Init{EnvoyLostThreshold: 15_000, ActorStopThreshold: 1_800_000, MaxResponsePayloadSize: 1 << 20})
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() { // pings until the connection ends
		for ctx.Err() == nil {
			e.sendOn(c, &proto.Ping{TS: time.Now().UnixMilli()})
			select {
			case <-time.After(3 * time.Second):
			case <-ctx.Done():
			}
		}
	}()
	for {
		_, b, err := c.Read(context.Background())
		if err != nil {
			return
		}
		m, err := proto.DecodeToRivet(uint16(version), b)
		if err != nil {
			e.t.Errorf("the runner sent %x: %v", b, err)
			return
		}
		e.handle(c, m)
	}
}

func (e *engine) sendOn(c *websocket.Conn, m proto.ToEnvoy) {
	b, err := proto.AppendToEnvoy(nil, uint16(e.version), m)
	if err != nil {
		e.t.Error(err)
		return
	}
	_ = c.Write(context.Background(), websocket.MessageBinary, b)
}

// send sends a message on the newest connection.
func (e *engine) send(m proto.ToEnvoy) {
	e.mu.Lock()
	c := e.conn
	e.mu.Unlock()
	if c == nil {
		e.t.Error("the runner is not connected")
		return
	}
	e.sendOn(c, m)
}

// cut ends the connection without a word.
func (e *engine) cut() {
	e.mu.Lock()
	c := e.conn
	e.conn = nil
	e.mu.Unlock()
	if c != nil {
		c.CloseNow()
	}
}

func (e *engine) handle(c *websocket.Conn, m proto.ToRivet) {
	e.mu.Lock()
	e.got = append(e.got, m)
	close(e.changed)
	e.changed = make(chan struct{})
	e.mu.Unlock()
	switch m := m.(type) {
	case *proto.GetPagesRequest:
		e.mu.Lock()
		a := &proto.GetPagesResponse{ID: m.ID}
		s := e.stores[m.Actor]
		switch {
		case s == nil || m.Fence.Generation == nil || *m.Fence.Generation != s.generation:
			a.Failure = &proto.SQLiteError{Group: "core", Code: "internal_error", Message: "actor does not exist"}
		case s.head == 0:
			a.Failure = &proto.SQLiteError{Group: "depot", Code: "database_not_found", Message: "not found"}
		default:
			head := s.head
			a.Head = &head
			for _, no := range m.Pages {
				a.Pages = append(a.Pages, proto.Page{Number: no, Bytes: s.pages[no]})
			}
		}
		e.mu.Unlock()
		e.sendOn(c, a)
	case *proto.CommitRequest:
		e.mu.Lock()
		e.commits++
		decide := e.onCommit
		e.mu.Unlock()
		failure, apply, answer := (*proto.SQLiteError)(nil), true, true
		if decide != nil {
			failure, apply, answer = decide(m)
		}
		e.mu.Lock()
		a := &proto.CommitResponse{ID: m.ID, Failure: failure}
		if apply && failure == nil {
			a.Head, a.Failure = e.apply(m.Actor, m.Fence, m.Pages)
		}
		e.mu.Unlock()
		if answer {
			e.sendOn(c, a)
		}
	}
}

// apply carries a commit out. The caller holds mu.
func (e *engine) apply(actor string, f proto.Fence, pages []proto.Page) (*uint64, *proto.SQLiteError) {
	s := e.stores[actor]
	switch {
	case f.Generation == nil || *f.Generation != s.generation:
		return nil, &proto.SQLiteError{Group: "core", Code: "internal_error", Message: "actor does not exist"}
	case f.Head != nil && *f.Head != s.head:
		return nil, &proto.SQLiteError{Group: "depot", Code: "head_fence_mismatch", Message: fmt.Sprintf("expected %d, is %d", *f.Head, s.head)}
	}
	for _, p := range pages {
		s.pages[p.Number] = bytes.Clone(p.Bytes)
	}
	s.head++
	head := s.head
	return &head, nil
}

// await waits until pick finds something among what the runner has sent since from, and returns the place behind it.
func (e *engine) await(what string, from int, pick func(m proto.ToRivet) bool) int {
	e.t.Helper()
	deadline := time.After(5 * time.Minute)
	for {
		e.mu.Lock()
		got, changed := e.got, e.changed
		e.mu.Unlock()
		for ; from < len(got); from++ {
			if pick(got[from]) {
				return from + 1
			}
		}
		select {
		case <-changed:
		case <-deadline:
			e.t.Fatalf("the runner does not send %s", what)
		}
	}
}

func (e *engine) seen() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.got)
}

// events are all that the runner has told of a life, in their order, once each; index says which numbers must be there.
func (e *engine) events(actor string, generation uint32) (out []proto.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, m := range e.got {
		list, ok := m.(*proto.Events)
		if !ok {
			continue
		}
		for _, ev := range list.List {
			if ev.At.Actor != actor || ev.At.Generation != generation {
				continue
			}
			switch {
			case ev.At.Index == int64(len(out)):
				out = append(out, ev)
			case ev.At.Index > int64(len(out)):
				e.t.Errorf("event %d comes after %d events", ev.At.Index, len(out))
			}
		}
	}
	return out
}

// awaitState waits for an event of a life and returns it.
func (e *engine) awaitState(actor string, generation uint32, pick func(ev proto.Event) bool) (found proto.Event) {
	e.t.Helper()
	e.await("the event", 0, func(m proto.ToRivet) bool {
		list, ok := m.(*proto.Events)
		if !ok {
			return false
		}
		for _, ev := range list.List {
			if ev.At.Actor == actor && ev.At.Generation == generation && pick(ev) {
				found = ev
				return true
			}
		}
		return false
	})
	return found
}

func running(ev proto.Event) bool { return ev.State != nil && !ev.State.Stopped }
func stopped(ev proto.Event) bool { return ev.State != nil && ev.State.Stopped }

// start commands the runner to start a life of an actor.
func (e *engine) start(actor string, generation uint32, sockets ...proto.Tunnel) {
	e.mu.Lock()
	if e.stores[actor] == nil {
		e.stores[actor] = &store{pages: make(map[uint32][]byte)}
	}
	e.stores[actor].generation = uint64(generation)
	e.mu.Unlock()
	e.send(startCommand(actor, generation, sockets))
}

func startCommand(actor string, generation uint32, sockets []proto.Tunnel) *proto.Commands {
	key := "k"
	return &proto.Commands{List: []proto.Command{{
		At: proto.Checkpoint{Actor: actor, Generation: generation, Index: 1}, Start: &proto.Start{Name: "tally", Key: &key, Sockets: sockets},
	}}}
}

func (e *engine) stop(actor string, generation uint32, reason proto.StopReason) {
	e.send(&proto.Commands{List: []proto.Command{{At: proto.Checkpoint{Actor: actor, Generation: generation, Index: 2}, Stop: &reason}}})
}

func (e *engine) tunnel() proto.Tunnel {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.next++
	return proto.Tunnel{Request: [4]byte{byte(e.next >> 8), byte(e.next)}}
}

// ask sends an action and returns a way to wait for its answer.
func (e *engine) ask(actor, action string) (answer func() (status int, output string)) {
	t := e.tunnel()
	from := e.seen()
	e.send(&proto.FromGateway{Tunnel: t, Kind: &proto.RequestStart{
		Actor: actor, Method: "POST", Path: "/action/" + action, Headers: []proto.Header{{Name: "content-type", Value: "application/json"}}, Body: []byte(`{"args":[]}`),
	}})
	return func() (status int, output string) {
		e.t.Helper()
		e.await("an answer", from, func(m proto.ToRivet) bool {
			f, ok := m.(*proto.FromRunner)
			if !ok || f.Tunnel != t {
				return false
			}
			switch k := f.Kind.(type) {
			case *proto.ResponseStart:
				status, output = int(k.Status), string(k.Body)
				var body struct {
					Output      json.RawMessage
					Group, Code string
				}
				if json.Unmarshal(k.Body, &body) == nil {
					output = string(body.Output) + body.Code
				}
			case *proto.ResponseAbort:
				status, output = 0, "aborted"
			}
			return true
		})
		return status, output
	}
}

// tally is the state of the test's actor.
type tally struct{ N int }

func (s *tally) AppendTo(dst []byte) ([]byte, error) {
	return strconv.AppendInt(dst, int64(s.N), 10), nil
}

func (s *tally) Restore(encoded []byte) (err error) {
	s.N, err = strconv.Atoi(string(encoded))
	return err
}

var errCreate error // what the actor's constructor fails with

func definition() *host.Spec {
	return &host.Spec{
		Name: "tally", Options: host.Options{NoSleep: true, MaxOutgoingBytes: 8 << 20}.WithDefaults(),
		New:    func() host.State { return &tally{} },
		Create: func(*host.Call, []byte) (host.State, error) { return &tally{}, errCreate },
		Actions: map[string]*host.Action{
			"inc": {Run: func(_ *host.Call, s host.State, _ []byte) ([]byte, error) {
				s.(*tally).N++
				return value.AppendInt(nil, int64(s.(*tally).N)), nil
			}},
			"get": {Kind: host.ViewAction, Run: func(_ *host.Call, s host.State, _ []byte) ([]byte, error) {
				return value.AppendInt(nil, int64(s.(*tally).N)), nil
			}},
			"sleep": {Run: func(c *host.Call, _ host.State, _ []byte) ([]byte, error) {
				c.Sleep()
				return []byte{value.Null}, nil
			}},
			"destroy": {Run: func(c *host.Call, _ host.State, _ []byte) ([]byte, error) {
				c.Destroy()
				return []byte{value.Null}, nil
			}},
			"large": {Kind: host.ViewAction, Run: func(*host.Call, host.State, []byte) ([]byte, error) {
				return value.AppendText(nil, string(make([]byte, 2<<20))), nil
			}},
		},
		OnRequest: func(_ *host.Call, w http.ResponseWriter, r *http.Request) {
			w.Header()["x-kind"], w.Header()["X-Kind"] = []string{"b"}, []string{"a"} // one name to the engine
			buf := make([]byte, 64<<10)
			for {
				n, err := r.Body.Read(buf)
				if n > 0 {
					if _, err := w.Write(buf[:n]); err != nil {
						return
					}
					if err := http.NewResponseController(w).Flush(); err != nil {
						return
					}
				}
				if err != nil {
					return
				}
			}
		},
	}
}

// world is a runner and its engine.
type world struct {
	*engine
	runner *runner.Runner
	host   *inprocess.Runner
	actor  string
	log    *logText
}

// logText is what the runner has logged.
type logText struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	e := newEngine(t)
	h := inprocess.New([]*host.Spec{definition()}, &host.Env{Log: slog.New(slog.DiscardHandler), Databases: actordb.NewPool(64<<20, time.Minute)}, "test")
	log := &logText{}
	r, err := runner.New(runner.Config{
		Endpoint: "http://engine", Token: "secret", Namespace: "default", Pool: "p", Version: 3, SDK: "test", Host: h, Log: slog.New(slog.NewTextHandler(log, nil)),
		Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) { return e.l.Dial(ctx, network, addr) }, DisableKeepAlives: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	h.Attach(r)
	return &world{engine: e, runner: r, host: h, actor: id.New(1).String(), log: log}
}

// connect starts the runner, and waits until it is connected.
func (w *world) connect() {
	w.t.Helper()
	w.runner.Start()
	<-w.runner.Ready()
}

// live has the actor live.
func (w *world) live(generation uint32, sockets ...proto.Tunnel) {
	w.t.Helper()
	w.engine.start(w.actor, generation, sockets...)
	w.awaitState(w.actor, generation, running)
}

func (w *world) close() {
	w.runner.Close()
	w.host.Close()
	w.engine.close()
}

var errRefused = &proto.SQLiteError{Group: "depot", Code: "quota_exceeded", Message: "the database is full"}

func want(t *testing.T, what string, status int, output string, wantStatus int, wantOutput string) {
	t.Helper()
	if status != wantStatus || output != wantOutput {
		t.Errorf("%s: %d %s, want %d %s", what, status, output, wantStatus, wantOutput)
	}
}

var errTyped = fault.New("user", "no", "not like this")
