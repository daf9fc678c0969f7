package inprocess_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/rivetgo/rivet/internal/host"
	"github.com/rivetgo/rivet/internal/link"
	"github.com/rivetgo/rivet/internal/pipenet"
	"github.com/rivetgo/rivet/internal/store/faulty"
	"github.com/rivetgo/rivet/internal/ws"
)

// door is an HTTP server, on a network in memory, that lets WebSockets in to the world's actor.
type door struct {
	w      *world
	server *http.Server
	client *http.Client

	mu   sync.Mutex // guards open
	open []*websocket.Conn
}

func (w *world) door() *door {
	l := pipenet.Listen()
	d := &door{w: w}
	d.server = &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		err := w.placement.With(r.Context(), w.actor, func(a link.Actor) error {
			return a.WebSocket(r, func(bool) (ws.Socket, error) { return ws.Upgrade(rw, r, ws.UpgradeOptions{PingEvery: -1}) })
		})
		if err != nil {
			rw.WriteHeader(http.StatusServiceUnavailable)
		}
	}), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	go d.server.Serve(l)
	d.client = &http.Client{Transport: &http.Transport{DialContext: l.Dial}}
	return d
}

func (d *door) close() {
	d.mu.Lock()
	for _, c := range d.open {
		c.CloseNow()
	}
	d.mu.Unlock()
	d.client.CloseIdleConnections()
	d.server.Close()
}

// guest is a client on a connection WebSocket, by hand.
type guest struct {
	t    *testing.T
	ws   *websocket.Conn
	next int
}

// answer is a message of the server.
type answer struct {
	Body struct {
		Tag string
		Val struct {
			ID, ActionID []string
			ConnectionID string
			Code, Name   string
			Output       any
			Args         []any
		}
	}
}

func (d *door) dial(path string) *websocket.Conn {
	d.w.t.Helper()
	for range 100 { // the store may refuse the start
		c, resp, err := websocket.Dial(d.w.t.Context(), "ws://actor"+path, &websocket.DialOptions{HTTPClient: d.client, Subprotocols: []string{"rivet", "rivet_encoding.json"}})
		if err == nil {
			c.SetReadLimit(-1)
			d.mu.Lock()
			d.open = append(d.open, c)
			d.mu.Unlock()
			return c
		}
		if resp == nil {
			d.w.t.Fatal(err)
		}
		time.Sleep(time.Second)
	}
	d.w.t.Fatal("nobody lets the socket in")
	return nil
}

// visit opens a connection. It reports false when the connection was refused.
func (d *door) visit() (*guest, bool) {
	d.w.t.Helper()
	g := &guest{t: d.w.t, ws: d.dial("/connect")}
	a, err := g.read()
	if err == nil && a.Body.Tag != "Init" {
		return g, false
	}
	return g, err == nil
}

func (g *guest) read() (answer, error) {
	ctx, cancel := context.WithTimeout(g.t.Context(), 10*time.Minute) // every call has its outcome before
	defer cancel()
	_, b, err := g.ws.Read(ctx)
	if ctx.Err() != nil {
		g.t.Errorf("no answer to message %d", g.next)
	}
	var a answer
	if err == nil {
		err = json.Unmarshal(b, &a)
	}
	return a, err
}

func (g *guest) must() answer {
	g.t.Helper()
	a, err := g.read()
	if err != nil {
		g.t.Fatal(err)
	}
	return a
}

func (g *guest) send(frame string) {
	g.t.Helper()
	if err := g.ws.Write(g.t.Context(), websocket.MessageText, []byte(frame)); err != nil {
		g.t.Errorf("write: %v", err)
	}
}

func (g *guest) ask(action string) {
	g.t.Helper()
	g.next++
	g.send(fmt.Sprintf(`{"body":{"tag":"ActionRequest","val":{"id":["$BigInt","%d"],"name":%q,"args":[]}}}`, g.next, action))
}

func (g *guest) listen(event string) {
	g.t.Helper()
	g.send(fmt.Sprintf(`{"body":{"tag":"SubscriptionRequest","val":{"eventName":%q,"subscribe":true}}}`, event))
}

// sleep has the actor sleep, and waits until it does.
func (w *world) sleep() {
	w.t.Helper()
	if err := w.placement.Sleep(w.t.Context(), w.actor); err != nil {
		w.t.Error(err)
	}
}

func (w *world) awake() bool { return w.placement.Status(w.actor).Running }

func TestAMessageWakesItsActor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		defer w.close()
		d := w.door()
		defer d.close()
		g, _ := d.visit()
		g.listen("told")
		g.ask("inc")
		if a := g.must(); fmt.Sprint(a.Body.Val.Output) != "1" {
			t.Errorf("%+v", a)
		}
		w.sleep()
		if w.awake() || w.runner.Parked() != 1 {
			t.Fatalf("awake %t, parked %d", w.awake(), w.runner.Parked())
		}
		time.Sleep(time.Hour) // nothing happens to a socket that waits
		g.ask("inc")
		if a := g.must(); a.Body.Tag != "ActionResponse" || fmt.Sprint(a.Body.Val.Output) != "2" {
			t.Errorf("%+v", a)
		}
		if w.runner.Parked() != 0 {
			t.Error("the socket is parked, and the actor awake")
		}
		w.sleep()
		if n, code := w.call("tell"); code != "" { // somebody else wakes it
			t.Errorf("%d %s", n, code)
		}
		if a := g.must(); a.Body.Tag != "Event" || a.Body.Val.Name != "told" {
			t.Errorf("the subscription is lost: %+v", a)
		}
		g.ws.Close(1000, "")
	})
}

func TestAClientThatLeavesASleepingActor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		defer w.close()
		d := w.door()
		defer d.close()
		quiet, _ := d.visit()
		w.sleep()
		quiet.ws.Close(1000, "")
		synctest.Wait()
		if w.awake() || w.runner.Parked() != 0 {
			t.Errorf("awake %t, parked %d: nobody wants to know", w.awake(), w.runner.Parked())
		}
		w.patient("get")
		left := make(chan int, 10)
		w.spec.OnDisconnect = func(c *host.Call, s host.State, conn *host.Conn) error {
			if !conn.Transient() {
				left <- s.(*tally).N
			}
			return nil
		}
		g, _ := d.visit()
		w.sleep()
		g.ask("inc") // what it said before it left still happens
		g.ws.CloseNow()
		if n := <-left; n != 1 {
			t.Errorf("OnDisconnect saw %d", n)
		}
		w.sleep()
		w.patient("get")
		synctest.Wait()
		if len(left) > 0 {
			t.Error("OnDisconnect ran twice")
		}
	})
}

func TestSocketsOfAnErasedActorClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		defer w.close()
		d := w.door()
		defer d.close()
		g, _ := d.visit()
		w.sleep()
		if err := w.placement.Destroy(t.Context(), w.actor); err != nil {
			t.Fatal(err)
		}
		if _, err := g.read(); websocket.CloseStatus(err) != 1000 {
			t.Errorf("the socket of an erased actor: %v", err)
		}
	})
}

func TestG6_a_socket_does_not_wait_for_ever_for_an_actor_that_does_not_start(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		defer w.close()
		d := w.door()
		defer d.close()
		g, _ := d.visit()
		idle, _ := d.visit()
		g.ask("inc")
		g.must()
		w.sleep()
		w.store.Add(faulty.Rule{On: faulty.Acquire, Times: -1, Do: faulty.Refuse(errDisk)})
		began := time.Now()
		g.ask("inc")
		_, err := g.read()
		var ce websocket.CloseError
		if waited := time.Since(began); !errors.As(err, &ce) || ce.Code != 1011 || ce.Reason != "guard.actor_ready_timeout" || waited < 30*time.Second || waited > 40*time.Second {
			t.Errorf("closed after %v with %v", waited, err)
		}
		w.store.Clear()
		time.Sleep(time.Minute)
		idle.ask("inc") // the other has not waited, and lives on
		if a := idle.must(); fmt.Sprint(a.Body.Val.Output) != "2" {
			t.Errorf("%+v", a)
		}
	})
}

func TestG7_a_client_cannot_fill_a_sleeping_actor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		defer w.close()
		d := w.door()
		defer d.close()
		g, _ := d.visit()
		w.sleep()
		w.store.Add(faulty.Rule{On: faulty.Acquire, Times: -1, Do: faulty.Refuse(errDisk)})
		for range 64 {
			g.ask("inc")
		}
		synctest.Wait()
		sent := make(chan struct{})
		go func() {
			for range 20 {
				g.ask("inc")
			}
			close(sent)
		}()
		synctest.Wait()
		select {
		case <-sent:
			t.Error("a socket whose buffer is full is still read")
		default:
		}
		w.store.Clear()
		for i := range 84 {
			if a := g.must(); fmt.Sprint(a.Body.Val.Output) != fmt.Sprint(i+1) {
				t.Fatalf("answer %d: %+v", i, a)
			}
		}
		<-sent
	})
}

func TestActionsUnderRandomSleepsTakeEffectOnce(t *testing.T) {
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed)
			defer w.close()
			d := w.door()
			defer d.close()
			const guests, each = 5, 60
			var wg sync.WaitGroup
			for i := range guests {
				rnd := rand.New(rand.NewPCG(seed, uint64(i)))
				g, _ := d.visit()
				wg.Go(func() {
					for range each {
						g.ask("inc")
						time.Sleep(time.Duration(rnd.IntN(20)) * time.Millisecond)
					}
				})
				wg.Go(func() {
					last := 0
					for n := range each {
						a := g.must()
						if a.Body.Tag != "ActionResponse" || a.Body.Val.ID[1] != fmt.Sprint(n+1) {
							t.Errorf("seed %d, guest %d: answer %d is %+v", seed, i, n+1, a)
							return
						}
						if v := int(a.Body.Val.Output.(float64)); v <= last {
							t.Errorf("seed %d: the count went from %d to %d", seed, last, v)
						} else {
							last = v
						}
					}
				})
			}
			stop := make(chan struct{})
			go func() {
				rnd := rand.New(rand.NewPCG(seed, 99))
				for {
					select {
					case <-stop:
						return
					case <-time.After(time.Duration(rnd.IntN(30)) * time.Millisecond):
						w.sleep()
					}
				}
			}()
			wg.Wait()
			close(stop)
			synctest.Wait()
			if n := w.patient("get"); n != guests*each {
				t.Errorf("seed %d: %d actions had %d effects", seed, guests*each, n)
			}
		})
	}
}

func TestG10_actions_under_sleeps_and_faults_take_effect_at_most_once(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed)
			defer w.close()
			d := w.door()
			defer d.close()
			w.patient("inc")
			for _, f := range []faulty.Fault{faulty.Lose(errDisk), faulty.Keep(errDisk), faulty.Refuse(faulty.ErrDiskFull), faulty.Fence()} {
				w.store.Add(faulty.Rule{On: faulty.Commit, Times: -1, Probability: 0.02, Do: f})
			}
			var mu sync.Mutex
			sure, unknown := 1, 0
			var wg sync.WaitGroup
			for i := range 4 {
				rnd := rand.New(rand.NewPCG(seed, uint64(i)))
				wg.Go(func() {
					for asked := 0; asked < 40; {
						g, ok := d.visit()
						for ok && asked < 40 {
							g.ask("inc")
							asked++
							a, err := g.read()
							mu.Lock()
							switch {
							case err != nil:
								unknown++ // the socket closed before the answer
								ok = false
							case a.Body.Tag == "ActionResponse":
								sure++
							case a.Body.Val.Code == "commit_failed":
								unknown++
							}
							mu.Unlock()
							time.Sleep(time.Duration(rnd.IntN(300)) * time.Millisecond)
						}
						g.ws.CloseNow()
						time.Sleep(time.Second)
					}
				})
			}
			stop := make(chan struct{})
			go func() {
				rnd := rand.New(rand.NewPCG(seed, 99))
				for {
					select {
					case <-stop:
						return
					case <-time.After(time.Duration(rnd.IntN(500)) * time.Millisecond):
						w.sleep()
					}
				}
			}()
			wg.Wait()
			close(stop)
			synctest.Wait()
			w.store.Clear()
			if n := w.patient("get"); n < sure || n > sure+unknown {
				t.Errorf("seed %d: the count is %d; %d were acknowledged and %d are unknown", seed, n, sure, unknown)
			}
		})
	}
}

func TestRawSocketUnderRandomSleepsReadsEachMessageOnce(t *testing.T) {
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed)
			defer w.close()
			var lives atomic.Int32
			w.spec.Options.HibernateWebSockets = true
			w.spec.OnWebSocket = func(c *host.Call, ws *host.RawSocket) error {
				lives.Add(1)
				for {
					m, err := ws.Read(c)
					if err != nil {
						return err
					}
					err = c.Do(func(tc *host.Call, s host.State) error {
						s.(*tally).N++
						return ws.Write(tc, false, fmt.Appendf(nil, "%s %d", m.Data, m.Index))
					})
					if err != nil {
						return err
					}
				}
			}
			d := w.door()
			defer d.close()
			c := d.dial("/websocket")
			const total = 200
			rnd := rand.New(rand.NewPCG(seed, 1))
			var wg sync.WaitGroup
			wg.Go(func() {
				for i := range total {
					if err := c.Write(t.Context(), websocket.MessageText, fmt.Append(nil, i)); err != nil {
						t.Error(err)
					}
					time.Sleep(time.Duration(rnd.IntN(20)) * time.Millisecond)
				}
			})
			ctx, stop := context.WithCancel(t.Context())
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(seed, 2))
				for ctx.Err() == nil {
					time.Sleep(time.Duration(rnd.IntN(40)) * time.Millisecond)
					w.sleep()
				}
			})
			for i := range total {
				_, b, err := c.Read(t.Context())
				if want := fmt.Sprint(i, " ", i+1); err != nil || string(b) != want {
					t.Fatalf("seed %d: got %q, %v, want %q", seed, b, err, want)
				}
			}
			stop()
			wg.Wait()
			if n := w.patient("get"); n != total || lives.Load() < 2 {
				t.Errorf("seed %d: %d messages had %d effects, in %d lives", seed, total, n, lives.Load())
			}
			if err := c.Close(4000, "bye"); err != nil && !strings.Contains(err.Error(), "EOF") {
				t.Error(err)
			}
		})
	}
}
