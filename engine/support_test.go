package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// The tests' actor: a little of everything.
type thing struct{}

type greeting struct {
	Name string `json:"name"`
}

var (
	things     = rivet.NewActor[thing]("thing")
	greetings  = rivet.NewParams[greeting](things)
	add        = rivet.NewAction[int64, int64](things, "add")
	get        = rivet.NewAction[rivet.None, int64](things, "get")
	failing    = rivet.NewAction[string, rivet.None](things, "fail")
	panicking  = rivet.NewAction[rivet.None, rivet.None](things, "panic")
	callOther  = rivet.NewAction[rivet.Args2[rivet.Key, bool], int64](things, "callOther")
	flood      = rivet.NewAction[int, rivet.None](things, "flood")
	slow       = rivet.NewAction[int64, string](things, "slow")
	hold       = rivet.NewAction[rivet.None, string](things, "hold")
	sleepNow   = rivet.NewAction[rivet.None, rivet.None](things, "sleepNow")
	destroyNow = rivet.NewAction[rivet.None, rivet.None](things, "destroyNow")
	lives      = rivet.NewAction[rivet.None, int64](things, "lives")
	changed    = rivet.NewEvent[int64](things, "changed")
	water      = rivet.NewEvent[string](things, "water")
	guests     actor.ConnState[greeting]
)

type thingState struct {
	N     int64
	Lives int64
	vars  string
}

// probe is where the tests' actors tell what happens to them.
type probe struct {
	slept     chan string // keys of actors that ran OnSleep
	destroyed chan string
	slowGo    chan struct{} // closed: slow calls end
	slowIn    chan struct{} // a slow call or a hold has begun
	holdGo    chan struct{} // closed: holds end
}

func newProbe() *probe {
	return &probe{make(chan string, 1000), make(chan string, 1000), make(chan struct{}), make(chan struct{}, 1000), make(chan struct{})}
}

func (p *probe) definition(options actor.Options) actor.Definition {
	d := actor.Define(things, actor.Zero[thing, thingState])
	d.Options = options
	d.OnWake = func(s *thingState, c *actor.Ctx) error {
		s.Lives++
		s.vars = "built"
		return nil
	}
	d.OnSleep = func(_ *thingState, c *actor.Ctx) error { p.slept <- c.Key().String(); return nil }
	d.OnDestroy = func(_ *thingState, c *actor.Ctx) error { p.destroyed <- c.Key().String(); return nil }
	actor.OnConnect(d, greetings, guests, func(_ *thingState, _ *actor.Ctx, g greeting) (greeting, error) {
		switch g.Name {
		case "bad":
			return g, &rivet.Error{Group: "user", Code: "denied", Message: "not you", Metadata: map[string]string{"why": "because"}}
		case "broken":
			return g, errors.New("secret: swordfish")
		}
		return g, nil
	})
	actor.Handle(d, add, func(s *thingState, c *actor.Ctx, by int64) (int64, error) {
		s.N += by
		actor.Broadcast(c, changed, s.N)
		return s.N, nil
	})
	actor.View(d, get, func(s *thingState, _ *actor.Ctx, _ rivet.None) (int64, error) {
		if s.vars != "built" {
			return 0, errors.New("OnWake did not run")
		}
		return s.N, nil
	})
	actor.Handle(d, failing, func(s *thingState, c *actor.Ctx, code string) (rivet.None, error) {
		s.N = -1
		actor.Broadcast(c, changed, s.N)
		return rivet.None{}, fmt.Errorf("wrapped: %w", &rivet.Error{Code: code, Message: "as you asked", Metadata: map[string]any{"a": 1}})
	})
	actor.Handle(d, panicking, func(s *thingState, _ *actor.Ctx, _ rivet.None) (rivet.None, error) {
		s.N = -1
		panic("secret: swordfish")
	})
	actor.Handle(d, callOther, func(_ *thingState, c *actor.Ctx, a rivet.Args2[rivet.Key, bool]) (int64, error) {
		other := things.GetOrCreate(c.Client(), a.A, thing{})
		if a.B {
			return callOther.Call(c, other, rivet.Args2[rivet.Key, bool]{A: c.Key(), B: false})
		}
		return add.Call(c, other, 1)
	})
	actor.Handle(d, flood, func(_ *thingState, c *actor.Ctx, kib int) (rivet.None, error) {
		drop := strings.Repeat("x", 1<<10)
		for range kib {
			actor.Broadcast(c, water, drop)
		}
		return rivet.None{}, nil
	})
	actor.HandleConcurrent(d, slow, func(c *actor.Ctx, self actor.Self[thingState], by int64) (string, error) {
		p.slowIn <- struct{}{}
		select {
		case <-p.slowGo:
		case <-c.Done():
			return "", c.Err()
		}
		return "done", self.Turn(func(s *thingState, c *actor.Ctx) error {
			s.N += by
			actor.Broadcast(c, changed, s.N)
			return nil
		})
	})
	actor.Handle(d, hold, func(*thingState, *actor.Ctx, rivet.None) (string, error) {
		p.slowIn <- struct{}{}
		<-p.holdGo
		return "let go", nil
	})
	actor.Handle(d, sleepNow, func(_ *thingState, c *actor.Ctx, _ rivet.None) (rivet.None, error) {
		c.Sleep()
		return rivet.None{}, nil
	})
	actor.Handle(d, destroyNow, func(_ *thingState, c *actor.Ctx, _ rivet.None) (rivet.None, error) {
		c.Destroy()
		return rivet.None{}, nil
	})
	actor.View(d, lives, func(s *thingState, _ *actor.Ctx, _ rivet.None) (int64, error) { return s.Lives, nil })
	return d
}

// running is an engine under test.
type running struct {
	*Engine
	t     *testing.T
	probe *probe
	dir   string
}

func begin(t *testing.T, dir string, options actor.Options) *running {
	t.Helper()
	if dir == "" {
		dir = t.TempDir()
	}
	p := newProbe()
	e, err := Start(t.Context(), Config{Listen: "127.0.0.1:0", StoragePath: dir, Log: quiet()}, p.definition(options))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return &running{Engine: e, t: t, probe: p, dir: dir}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// handle is a handle over the network, as any client has.
func (r *running) handle(key ...string) rivet.Handle[thing] {
	r.t.Helper()
	return things.GetOrCreate(r.network(), rivet.Key(key), thing{})
}

func (r *running) network() *rivet.Client {
	r.t.Helper()
	c, err := rivet.NewClient(r.URL(), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return c
}

// want checks what an action answers.
func want[A any, R comparable](t *testing.T, act rivet.Action[thing, A, R], target rivet.Target[thing], arg A, result R) {
	t.Helper()
	got, err := act.Call(t.Context(), target, arg)
	if err != nil || got != result {
		t.Errorf("%s = %v, %v; want %v", act.Name(), got, err, result)
	}
}

// post sends a body to a path and returns status and answer.
func (r *running) post(path, contentType string, body []byte, header ...string) (int, map[string]any, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.URL()+path, bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatalf("POST %s: %v", path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	var m map[string]any
	_ = json.Unmarshal(text, &m) // some answers are not JSON; the caller sees the text
	return resp.StatusCode, m, string(text)
}

// byKey is the gateway path of an actor.
func byKey(key, rest string) string {
	return "/gateway/thing" + rest + "?rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default&rvt-key=" + key
}

// socket opens a connection WebSocket by hand.
func (r *running) socket(key, encoding string, extra ...string) *websocket.Conn {
	r.t.Helper()
	return r.socketOf("thing", key, encoding, extra...)
}

func (r *running) socketOf(name, key, encoding string, extra ...string) *websocket.Conn {
	r.t.Helper()
	path := strings.Replace(byKey(key, "/connect"), "/thing/", "/"+name+"/", 1)
	protocols := append([]string{"rivet", "rivet_encoding." + encoding}, extra...)
	c, _, err := websocket.Dial(r.t.Context(), "ws"+strings.TrimPrefix(r.URL(), "http")+path, &websocket.DialOptions{Subprotocols: protocols})
	if err != nil {
		r.t.Fatal(err)
	}
	c.SetReadLimit(64 << 20)
	r.t.Cleanup(func() { c.CloseNow() })
	return c
}

// read reads one text message.
func (r *running) read(c *websocket.Conn) string {
	r.t.Helper()
	_, b, err := c.Read(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return string(b)
}

// closed reads until the socket closes and returns how.
func closed(t *testing.T, c *websocket.Conn) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		if _, _, err := c.Read(ctx); err != nil {
			var ce websocket.CloseError
			if !errors.As(err, &ce) {
				t.Fatalf("the socket ended with %v, not with a close frame", err)
			}
			return int(ce.Code), ce.Reason
		}
	}
}

// buffer is a writer for concurrent use that tells when a text has come.
type buffer struct {
	mu   sync.Mutex // guards all below
	b    bytes.Buffer
	mark string
	seen chan struct{} // closed when mark has come
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.b.Write(p)
	if b.seen != nil && b.mark != "" && strings.Contains(b.b.String(), b.mark) {
		close(b.seen)
		b.mark = ""
	}
	return len(p), nil
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func contains(s, part string) bool { return strings.Contains(s, part) }
