package engine

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
	"github.com/rivetgo/rivet/internal/wire/id"
)

// asleep waits until an actor sleeps, and checks how many sockets are parked then.
func (r *running) asleep(actorID string, sockets int) {
	r.t.Helper()
	parsed, err := id.Parse(actorID)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.placement.Sleep(r.t.Context(), parsed); err != nil {
		r.t.Fatal(err)
	}
	if n := r.runner.Parked(); n != sockets {
		r.t.Fatalf("%d sockets are parked, want %d", n, sockets)
	}
}

// idOf is the id of the actor behind a handle.
func idOf[I any](t *testing.T, h rivet.Handle[I]) string {
	t.Helper()
	s, err := h.Resolve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConnectionSleepsWithItsActor(t *testing.T) {
	r := begin(t, "", actor.Options{})
	h := r.handle("sleepy")
	conn, err := greetings.Connect(t.Context(), h, greeting{Name: "Ada"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	connID, actorID := conn.ID(), idOf(t, h)
	events, heard := make(chan int64, 100), changed.Listen(t.Context(), conn)
	go func() { // ends with the connection
		for n, err := range heard {
			if err != nil {
				return
			}
			events <- n
		}
	}()
	want(t, add, conn, 1, 1)
	for round := range int64(3) {
		want(t, sleepNow, conn, rivet.None{}, rivet.None{})
		r.asleep(actorID, 1)
		if round == 1 {
			want(t, add, h, 1, round+2) // over HTTP: somebody else wakes it
		} else {
			want(t, add, conn, 1, round+2) // a message on the socket does
		}
		want(t, lives, conn, rivet.None{}, round+2)
	}
	for n := range int64(4) {
		if got := <-events; got != n+1 {
			t.Errorf("event %d, want %d", got, n+1)
		}
	}
	if conn.ID() != connID {
		t.Errorf("the client noticed: its id is %s, it was %s", conn.ID(), connID)
	}
}

func TestIdleActorSleepsUnderItsConnections(t *testing.T) {
	r := begin(t, "", actor.Options{SleepAfter: 20 * time.Millisecond})
	h := r.handle("idle")
	conn, err := h.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	<-r.probe.slept
	r.asleep(idOf(t, h), 1)
	want(t, add, conn, 1, 1)
	<-r.probe.slept
	r.asleep(idOf(t, h), 1)
	want(t, lives, conn, rivet.None{}, 3)
}

func TestConnectionsWithoutHibernationEndWithTheirActor(t *testing.T) {
	r := begin(t, "", actor.Options{NoHibernation: true})
	c := r.socket("off", "json")
	r.read(c)
	want(t, sleepNow, r.handle("off"), rivet.None{}, rivet.None{})
	if code, reason := closed(t, c); code != 1000 || reason != "actor.stopped" {
		t.Errorf("closed with %d %q", code, reason)
	}
}

func TestParkedSocketsCloseWithTheServerAndWithTheirActor(t *testing.T) {
	r := begin(t, "", actor.Options{})
	h := r.handle("gone")
	c := r.socket("gone", "json")
	r.read(c)
	want(t, sleepNow, h, rivet.None{}, rivet.None{})
	actorID := idOf(t, h)
	r.asleep(actorID, 1)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, r.URL()+"/actors/"+actorID+"?namespace=default", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if code, _ := closed(t, c); code != 1000 {
		t.Errorf("the socket of a destroyed actor closed with %d", code)
	}

	c = r.socket("server", "json")
	r.read(c)
	want(t, sleepNow, r.handle("server"), rivet.None{}, rivet.None{})
	r.asleep(idOf(t, r.handle("server")), 1)
	go r.Close()
	if code, reason := closed(t, c); code != 1000 || reason != "actor.stopped" {
		t.Errorf("at the end of the server the socket closed with %d %q", code, reason)
	}
}

func TestHibernatingRawSocketRunsItsHandlerAgain(t *testing.T) {
	s := &site{options: actor.Options{HibernateWebSockets: true}}
	s.socket = func(c *actor.Ctx, self actor.Self[webState], ws *actor.WebSocket) error {
		if !ws.Conn().Hibernatable() {
			t.Error("the socket does not hibernate")
		}
		req, _ := c.Request()
		if err := ws.WriteText(c, fmt.Sprint("generation ", c.Generation(), " ", req.Path)); err != nil {
			return err
		}
		for {
			m, err := ws.Read(c)
			if rivet.Is(err, "actor", "sleeping") {
				return errors.New("what a handler returns to sleep does not matter")
			}
			if err != nil {
				return err
			}
			if string(m.Data) == "sleep" {
				c.Sleep()
			}
			if err := ws.WriteText(c, fmt.Sprint(string(m.Data), " ", m.Index)); err != nil {
				return err
			}
		}
	}
	r := s.begin(t)
	c := r.dialRaw("again", "/websocket/x")
	actorID := idOf(t, webs.GetOrCreate(r.network(), rivet.Key{"again"}, web{}))
	for _, step := range []struct{ say, want string }{
		{"", "generation 1 /websocket/x"}, {"a", "a 1"}, {"sleep", "sleep 2"},
		{"b", "generation 2 /websocket/x"}, {"", "b 3"}, {"c", "c 4"}, {"sleep", "sleep 5"}, {"d", "generation 3 /websocket/x"}, {"", "d 6"},
	} {
		if step.say != "" {
			say(t, c, step.say)
		}
		if got := r.read(c); got != step.want {
			t.Fatalf("%q, want %q", got, step.want)
		}
		if step.say == "sleep" {
			r.asleep(actorID, 1)
		}
	}
}

// knock opens a connection WebSocket on a bare socket, so that the client costs next to nothing, and reads until Init.
func (r *running) knock(b *testing.B, key string) net.Conn {
	b.Helper()
	nc, err := net.Dial("tcp", strings.TrimPrefix(r.URL(), "http://"))
	if err != nil {
		b.Fatal(err)
	}
	fmt.Fprintf(nc, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: rivet, rivet_encoding.json\r\n\r\n", byKey(key, "/connect"))
	var got []byte
	buf := make([]byte, 512)
	for !bytes.Contains(got, []byte("Init")) {
		n, err := nc.Read(buf)
		if err != nil {
			b.Fatalf("%v after %q", err, got)
		}
		got = append(got, buf[:n]...)
	}
	return nc
}

// BenchmarkParkedSockets measures what a socket of a sleeping actor costs: the memory of the server's side, and the
// waking of an actor with its sockets.
func BenchmarkParkedSockets(b *testing.B) {
	for _, perActor := range []int{1, 100} {
		b.Run(fmt.Sprintf("actor=%d", perActor), func(b *testing.B) {
			const total = 5_000 // each costs this process two file descriptors
			p := newProbe()
			p.slept = make(chan string, total)
			e, err := Start(b.Context(), Config{Listen: "127.0.0.1:0", StoragePath: b.TempDir(), Log: quiet()}, p.definition(actor.Options{SleepAfter: time.Hour}))
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close()
			r := &running{Engine: e, probe: p}
			used := func() uint64 {
				runtime.GC()
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				b.Logf("heap %d MiB, stacks %d MiB, goroutines %d", m.HeapAlloc>>20, m.StackInuse>>20, runtime.NumGoroutine())
				return m.HeapAlloc + m.StackInuse
			}
			before := used()
			conns := make([]net.Conn, total)
			for i := range conns {
				conns[i] = r.knock(b, fmt.Sprint("k", i/perActor))
				defer conns[i].Close()
			}
			awake := used()
			for i := 0; i < total; i += perActor {
				h := things.GetOrCreate(e.Client(), rivet.Key{fmt.Sprint("k", i/perActor)}, thing{})
				actorID, err := h.Resolve(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				parsed, err := id.Parse(actorID)
				if err != nil {
					b.Fatal(err)
				}
				if err := e.placement.Sleep(b.Context(), parsed); err != nil {
					b.Fatal(err)
				}
			}
			if n := e.runner.Parked(); n != total {
				b.Fatalf("%d sockets are parked", n)
			}
			parked := used()
			if path := os.Getenv("PARKED_PROFILE"); path != "" {
				f, err := os.Create(path)
				if err != nil {
					b.Fatal(err)
				}
				pprof.WriteHeapProfile(f)
				f.Close()
			}
			b.ReportMetric(float64(awake-before)/total, "B/awake-socket")
			b.ReportMetric(float64(parked-before)/total, "B/parked-socket")
		})
	}
}
