package dial

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/rivetgo/rivet/internal/callchain"
	"github.com/rivetgo/rivet/internal/wire/clientproto"
	"github.com/rivetgo/rivet/internal/wire/fault"
)

func connect(t *testing.T, target *Target) *Conn {
	t.Helper()
	c, err := target.Connect(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// one is an encoded array of arguments: [1].
var one = []byte{0x81, 0x01}

// The handshake of §16.1 and the frames of §30.5, with the ids of our calls.
func TestHandshakeAndFrames(t *testing.T) {
	var frames []string
	var protocols, chain, agent string
	f := start(t, sockets(t, func(n int, p *peer) {
		if n > 1 {
			return
		}
		protocols = p.request.Header.Get("Sec-WebSocket-Protocol")
		chain, agent = p.request.Header.Get(callchain.Header), p.request.Header.Get("User-Agent")
		if p.request.Header.Get("Sec-WebSocket-Extensions") != "" {
			t.Error("an extension is offered")
		}
		p.write(unhex(t, "0400001e6c6a307033347870667038307a6a6d37326872716e6a716a386f616c30302435616661303232382d643863312d343130342d383961392d336266386663316334343064"))
		for {
			_, frame, err := p.ws.Read(context.Background())
			if err != nil {
				return
			}
			frames = append(frames, hex.EncodeToString(frame))
			switch len(frames) {
			case 2:
				p.write(unhex(t, "040003076368616e676564058262686902"))
				p.write(unhex(t, "0400020106b90001616101"))
			case 3:
				p.write(unhex(t, "0400010475736572076d795f636f64650875736572206d73670108a2616101616281f50102011e6c6a307033347870667038307a6a6d37326872716e6a716a386f616c30300101027431"))
			}
		}
	}))
	client := f.client(func(cfg *Config) { cfg.Token = "tok" })
	ctx := callchain.With(t.Context(), []string{"a"})
	c, err := client.GetOrCreate("tests", []string{"t1"}, nil, nil).Connect(ctx, []byte(`{"t":(10)}`))
	if err != nil {
		t.Fatal(err)
	}
	if c.ActorID() != "lj0p34xpfp80zjm72hrqnjqj8oal00" || c.ID() != "5afa0228-d8c1-4104-89a9-3bf8fc1c440d" || c.Status() != Connected {
		t.Errorf("actor %s, connection %s, %v", c.ActorID(), c.ID(), c.Status())
	}
	sub := c.Subscribe("changed")
	output, err := c.Action(t.Context(), "echo", unhex(t, "81a1616101"))
	if err != nil || hex.EncodeToString(output) != "b90001616101" {
		t.Errorf("output = %x, %v", output, err)
	}
	args, err := sub.Next(t.Context())
	if err != nil || hex.EncodeToString(args) != "8262686902" {
		t.Errorf("event = %x, %v", args, err)
	}
	_, err = c.Action(t.Context(), "echo", []byte{0x80})
	if e := wantFault(t, err, "user", "my_code"); e.Actor == nil || e.Actor.Key != "t1" || hex.EncodeToString(e.Metadata) != "a2616101616281f5" {
		t.Errorf("error = %+v", e)
	}
	sub.Close()
	c.Close()

	if want := "rivet,rivet_encoding.bare,rivet_conn_params.%7B%22t%22%3A%2810%29%7D"; protocols != want {
		t.Errorf("protocols = %s", protocols)
	}
	if chain != "a" || !strings.HasPrefix(agent, "rivet-go/") {
		t.Errorf("chain = %q, agent = %q", chain, agent)
	}
	want := []string{"040001076368616e67656401", "04000001046563686f0581a1616101", "04000002046563686f0180"}
	if len(frames) < 3 || !slices.Equal(frames[:3], want) {
		t.Errorf("frames = %v\nwant     %v", frames, want)
	}
	if seen := f.seen(); !slices.Equal(seen, []string{"GET /gateway/tests/connect?rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default&rvt-key=t1&rvt-crash-policy=sleep&rvt-token=tok"}) {
		t.Errorf("requests = %v", seen)
	}
}

func TestEncodingsOfAConnection(t *testing.T) {
	for _, encoding := range []clientproto.Encoding{clientproto.JSON, clientproto.CBOR, clientproto.BARE} {
		f := start(t, sockets(t, func(n int, p *peer) {
			if p.encoding != encoding {
				t.Errorf("encoding = %v", p.encoding)
			}
			p.greet()
			p.echo()
		}))
		c := connect(t, f.client(func(cfg *Config) { cfg.Encoding = encoding }).ByID("x"))
		if output, err := c.Action(t.Context(), "echo", one); err != nil || !bytes.Equal(output, one[1:]) {
			t.Errorf("%v: output = %x, %v", encoding, output, err)
		}
		c.Close()
	}
}

// Replies come in any order and each finds its call; a reply that nobody waits for is dropped.
func TestActionsAreMultiplexed(t *testing.T) {
	const calls = 8
	f := start(t, sockets(t, func(n int, p *peer) {
		p.greet()
		p.send(&clientproto.ActionResponse{ID: 999, Output: []byte{0xf6}})
		var all []*clientproto.ActionRequest
		for len(all) < calls {
			m, ok := p.read().(*clientproto.ActionRequest)
			if !ok {
				return
			}
			all = append(all, m)
		}
		for _, m := range slices.Backward(all) {
			p.send(&clientproto.ActionResponse{ID: m.ID, Output: m.Args[1:]})
		}
		p.read()
	}))
	c := connect(t, f.client(nil).ByID("x"))
	var all sync.WaitGroup
	for i := range byte(calls) {
		all.Go(func() {
			output, err := c.Action(t.Context(), "echo", []byte{0x81, i})
			if err != nil || !bytes.Equal(output, []byte{i}) {
				t.Errorf("output %d = %x, %v", i, output, err)
			}
		})
	}
	all.Wait()
}

func TestActionEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, sockets(t, func(n int, p *peer) {
			p.greet()
			late := p.read().(*clientproto.ActionRequest)
			now, ok := p.read().(*clientproto.ActionRequest)
			if !ok {
				return
			}
			p.send(&clientproto.ActionResponse{ID: late.ID, Output: []byte{0x01}})
			p.send(&clientproto.ActionResponse{ID: now.ID, Output: []byte{0x02}})
			p.read()
		}))
		c := connect(t, f.client(nil).ByID("x"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Action(ctx, "a", one); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error = %v", err)
		}
		if output, err := c.Action(t.Context(), "a", one); err != nil || output[0] != 2 {
			t.Errorf("output = %x, %v", output, err)
		}
	})
}

// An event that the actor's hook sends before Init reaches a subscription from before.
func TestEventBeforeInit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, sockets(t, func(n int, p *peer) {
			if n == 1 {
				p.greet()
				if m, ok := p.read().(*clientproto.SubscriptionRequest); !ok || m.EventName != "e" || !m.Subscribe {
					t.Errorf("message = %+v", m)
				}
				return // lost
			}
			p.send(&clientproto.Event{Name: "e", Args: one})
			p.greet()
			p.read()
		}))
		c := connect(t, f.client(nil).ByID("x"))
		if args, err := c.Subscribe("e").Next(t.Context()); err != nil || !bytes.Equal(args, one) {
			t.Errorf("event = %x, %v", args, err)
		}
	})
}

func TestReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var opened []time.Duration
		var subscribed []string
		drop := make(chan struct{})
		f := start(t, sockets(t, func(n int, p *peer) {
			opened = append(opened, time.Since(began))
			p.send(&clientproto.Init{ActorID: "a", ConnectionID: fmt.Sprint("conn", n)})
			if n > 1 {
				for range 2 {
					m, _ := p.read().(*clientproto.SubscriptionRequest)
					subscribed = append(subscribed, fmt.Sprint(m.EventName, m.Subscribe))
				}
				p.echo()
				return
			}
			<-drop
		}))
		c := connect(t, f.client(nil).ByID("x"))
		var statuses []Status
		c.OnStatus(func(s Status) { statuses = append(statuses, s) })
		var reported []error
		c.OnError(func(err error) { reported = append(reported, err) })
		a, b, gone := c.Subscribe("a"), c.Subscribe("b"), c.Subscribe("gone")
		defer a.Close()
		defer b.Close()
		gone.Close()

		lost := make(chan error, 1)
		go func() {
			_, err := c.Action(t.Context(), "slow", one)
			lost <- err
		}()
		synctest.Wait()

		// The server is away for three seconds. Attempts come at once, then after 250, 500, 1000, 2000 ms.
		f.refuse(true)
		close(drop)
		wantFault(t, <-lost, "client", "connection_lost")
		waiting := make(chan error, 1)
		go func() {
			_, err := c.Action(t.Context(), "echo", one)
			waiting <- err
		}()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Action(short, "echo", one); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error while disconnected = %v", err)
		}
		time.Sleep(2 * time.Second)
		f.refuse(false)
		if err := <-waiting; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if c.ID() != "conn2" || len(opened) != 2 || opened[1] < 3*time.Second || opened[1] > 7*time.Second {
			t.Errorf("connection %s, opened after %v", c.ID(), opened)
		}
		slices.Sort(subscribed)
		if !slices.Equal(subscribed, []string{"atrue", "btrue"}) {
			t.Errorf("subscriptions = %v", subscribed)
		}
		if statuses[0] != Disconnected || statuses[1] != Connecting || statuses[len(statuses)-1] != Connected {
			t.Errorf("statuses = %v", statuses)
		}
		if len(reported) < 4 {
			t.Errorf("errors = %v", reported)
		}
		c.Close()
		synctest.Wait()
		if statuses[len(statuses)-1] != Closed {
			t.Errorf("statuses = %v", statuses)
		}
	})
}

// A socket that is lost soon after each greeting must not be replaced in a tight loop.
func TestFlappingBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		f := start(t, sockets(t, func(_ int, p *peer) {
			n++
			p.greet()
			p.close(1000, "kicked out")
		}))
		c := connect(t, f.client(nil).ByID("x"))
		time.Sleep(time.Minute)
		synctest.Wait()
		if n < 5 || n > 12 {
			t.Errorf("%d sockets in a minute", n)
		}
		if c.Err() != nil {
			t.Error(c.Err())
		}
	})
}

func TestFirstAttempt(t *testing.T) {
	refuse := func(group, code string, times int) http.HandlerFunc {
		return sockets(t, func(n int, p *peer) {
			if n <= times {
				p.close(1011, group+"."+code+"#ray9")
				return
			}
			p.greet()
			p.read()
		})
	}
	hook := sockets(t, func(n int, p *peer) {
		p.write(unhex(t, "04000104757365720664656e6965640664656e696564010da16377687967626563617573650000"))
		p.close(1011, "user.denied")
	})
	for _, tt := range []struct {
		name        string
		serve       http.HandlerFunc
		target      func(*Client) *Target
		group, code string // "" for success
		message     string
	}{
		{"hook refuses", hook, func(c *Client) *Target { return c.ByID("x") }, "user", "denied", "denied"},
		{"no such actor", refuse("actor", "not_found", 9), func(c *Client) *Target { return c.Get("n", nil) }, "actor", "not_found", "connection closed: actor.not_found"},
		{"missing at first", refuse("actor", "not_found", 2), func(c *Client) *Target { return c.GetOrCreate("n", nil, nil, nil) }, "", "", ""},
		{"between two lives", refuse("guard", "actor_stopped_while_waiting", 3), func(c *Client) *Target { return c.ByID("x") }, "", "", ""},
		{"going away", refuse("ws", "going_away", 1), func(c *Client) *Target { return c.ByID("x") }, "", "", ""},
		{"never ready", refuse("guard", "actor_ready_timeout", 9), func(c *Client) *Target { return c.ByID("x") }, "guard", "actor_ready_timeout", "connection closed: guard.actor_ready_timeout"},
		{"text", sockets(t, func(n int, p *peer) { p.close(4001, "go away please") }), func(c *Client) *Target { return c.ByID("x") }, "client", "connection_lost", "the connection was closed: 4001 go away please"},
		{"HTTP error", func(w http.ResponseWriter, r *http.Request) { gatewayError(w, 403, "api", "forbidden") }, func(c *Client) *Target { return c.ByID("x") }, "api", "forbidden", "told so"},
		{"proxy", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(502) }, func(c *Client) *Target { return c.ByID("x") }, "client", "invalid_response", "unexpected answer: 502 Bad Gateway"},
		{"garbage", sockets(t, func(n int, p *peer) { p.write([]byte{9, 9, 9}); p.read() }), func(c *Client) *Target { return c.ByID("x") }, "client", "invalid_response", ""},
		{"silence", sockets(t, func(n int, p *peer) { p.read() }), func(c *Client) *Target { return c.ByID("x") }, "client", "connection_failed", "the actor did not greet the connection in time"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := start(t, tt.serve)
				began := time.Now()
				c, err := tt.target(f.client(nil)).Connect(t.Context(), nil)
				if tt.code == "" {
					if err != nil {
						t.Fatal(err)
					}
					c.Close()
					return
				}
				e := wantFault(t, err, tt.group, tt.code)
				if tt.message != "" && e.Message != tt.message {
					t.Errorf("message = %s", e.Message)
				}
				if strings.HasPrefix(tt.message, "connection closed") && e.Ray != "ray9" {
					t.Errorf("ray = %s", e.Ray)
				}
				if tt.code == "denied" && hex.EncodeToString(e.Metadata) != "a1637768796762656361757365" {
					t.Errorf("metadata = %x", e.Metadata)
				}
				if took := time.Since(began); took > 0 && tt.name != "silence" || took > greetingTimeout {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

func TestFirstAttemptUnreachable(t *testing.T) {
	f := start(t, nil)
	f.refuse(true)
	_, err := f.client(func(cfg *Config) { cfg.Token = "hush" }).ByID("x").Connect(t.Context(), nil)
	if e := wantFault(t, err, "client", "connection_failed"); strings.Contains(e.Message, "hush") || !errors.Is(err, errRefused) {
		t.Errorf("error = %v", err)
	}
}

func TestConnectEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, sockets(t, func(n int, p *peer) { p.read() }))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := f.client(nil).ByID("x").Connect(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error = %v", err)
		}
	})
}

// What the answer to a reconnect says decides whether the connection goes on.
func TestReconnectRefused(t *testing.T) {
	for _, tt := range []struct {
		target func(*Client) *Target
		group  string
		code   string
		final  bool
	}{
		{func(c *Client) *Target { return c.Get("n", nil) }, "actor", "not_found", true},
		{func(c *Client) *Target { return c.ByID("x") }, "user", "denied", true},
		{func(c *Client) *Target { return c.ByID("x") }, "chat", "not_allowed", true},
		{func(c *Client) *Target { return c.ByID("x") }, "namespace", "not_found", true},
		{func(c *Client) *Target { return c.ByID("x") }, "guard", "actor_ready_timeout", false},
		{func(c *Client) *Target { return c.ByID("x") }, "core", "internal_error", false},
		{func(c *Client) *Target { return c.GetOrCreate("n", nil, nil, nil) }, "actor", "not_found", false},
	} {
		t.Run(tt.group+"."+tt.code, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := start(t, sockets(t, func(n int, p *peer) {
					switch {
					case n == 1:
						p.greet()
						p.read()
						p.close(1000, "")
					case n < 5:
						p.close(1011, tt.group+"."+tt.code+"#ray")
					default:
						p.greet()
						p.echo()
					}
				}))
				c := connect(t, tt.target(f.client(nil)))
				sub := c.Subscribe("e")
				if !tt.final {
					time.Sleep(time.Minute)
					if _, err := c.Action(t.Context(), "echo", one); err != nil {
						t.Error(err)
					}
					return
				}
				<-c.Done()
				wantFault(t, c.Err(), tt.group, tt.code)
				_, err := c.Action(t.Context(), "echo", one)
				wantFault(t, err, tt.group, tt.code)
				_, err = sub.Next(t.Context())
				wantFault(t, err, tt.group, tt.code)
				_, err = c.Subscribe("e").Next(t.Context())
				wantFault(t, err, tt.group, tt.code)
			})
		})
	}
}

// A subscription that the actor refuses ends the connection with that reason.
func TestSubscriptionForbidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, sockets(t, func(n int, p *peer) {
			p.greet()
			p.read()
			p.close(1011, "auth.forbidden")
		}))
		c := connect(t, f.client(nil).ByID("x"))
		_, err := c.Subscribe("secret").Next(t.Context())
		wantFault(t, err, "auth", "forbidden")
	})
}

// An Error frame without an action is about all of them; the connection goes on until the actor closes it.
func TestConnectionError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, sockets(t, func(n int, p *peer) {
			p.greet()
			p.read()
			p.send(&clientproto.ErrorMsg{Group: "actor", Code: "overloaded", Message: "busy"})
			p.echo()
		}))
		c := connect(t, f.client(nil).ByID("x"))
		var reported []error
		c.OnError(func(err error) { reported = append(reported, err) })
		_, err := c.Action(t.Context(), "a", one)
		wantFault(t, err, "client", "connection_lost")
		if !errors.Is(err, fault.New("actor", "overloaded", "")) {
			t.Errorf("error = %v", err)
		}
		if _, err := c.Action(t.Context(), "a", one); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if len(reported) != 1 {
			t.Errorf("errors = %v", reported)
		}
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := make(chan websocket.CloseError, 1)
		f := start(t, sockets(t, func(n int, p *peer) {
			p.greet()
			for {
				_, _, err := p.ws.Read(context.Background())
				var ce websocket.CloseError
				if errors.As(err, &ce) {
					closed <- ce
				}
				if err != nil {
					return
				}
			}
		}))
		c := connect(t, f.client(nil).ByID("x"))
		sub := c.Subscribe("e")
		failed := make(chan error, 1)
		go func() {
			_, err := c.Action(t.Context(), "a", one)
			failed <- err
		}()
		synctest.Wait()
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { c.Close() })
		}
		all.Wait()
		if ce := <-closed; ce.Code != 1000 || ce.Reason != "Disposed" {
			t.Errorf("closed with %v", ce)
		}
		wantFault(t, <-failed, "client", "closed")
		wantFault(t, c.Err(), "client", "closed")
		_, err := sub.Next(t.Context())
		wantFault(t, err, "client", "closed")
		_, err = c.Action(t.Context(), "a", one)
		wantFault(t, err, "client", "closed")
		<-c.Done()
	})
}

// Close is bounded when the peer does not confirm.
func TestCloseOfADeafPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := make(chan struct{})
		f := start(t, sockets(t, func(n int, p *peer) {
			p.greet()
			<-done
		}))
		c := connect(t, f.client(nil).ByID("x"))
		began := time.Now()
		c.Close()
		if took := time.Since(began); took > closeTimeout {
			t.Errorf("took %v", took)
		}
		close(done)
	})
}

// A peer that is gone without a word is found by a ping.
func TestDeafPeerIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := make(chan struct{})
		f := start(t, sockets(t, func(n int, p *peer) {
			p.greet()
			if n == 1 {
				<-done
				return
			}
			p.echo()
		}))
		c := connect(t, f.client(nil).ByID("x"))
		began := time.Now()
		_, err := c.Action(t.Context(), "a", one)
		wantFault(t, err, "client", "connection_lost")
		if took := time.Since(began); took > 2*pingEvery+pingTimeout {
			t.Errorf("took %v", took)
		}
		if _, err := c.Action(t.Context(), "a", one); err != nil {
			t.Error(err)
		}
		close(done)
	})
}

// A quiet peer that answers pings is kept.
func TestQuietPeerIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		f := start(t, sockets(t, func(_ int, p *peer) {
			n++
			p.greet()
			p.echo()
		}))
		c := connect(t, f.client(nil).ByID("x"))
		time.Sleep(time.Hour)
		if _, err := c.Action(t.Context(), "a", one); err != nil || n != 1 {
			t.Errorf("%d sockets, %v", n, err)
		}
	})
}

func TestSlowConsumer(t *testing.T) {
	for _, tt := range []struct {
		name          string
		events, bytes int
		size          int
		kept          int
	}{
		{"count", 3, 0, 1, 3},
		{"bytes", 0, 1000, 300, 3},
		{"one large event", 0, 10, 300, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var unsubscribed bool
				f := start(t, sockets(t, func(n int, p *peer) {
					p.greet()
					p.read()
					for range 10 {
						args := append([]byte{0x81, 0x59, byte(tt.size >> 8), byte(tt.size)}, make([]byte, tt.size)...)
						p.send(&clientproto.Event{Name: "e", Args: args})
					}
					for {
						switch m := p.read().(type) {
						case nil:
							return
						case *clientproto.SubscriptionRequest:
							unsubscribed = unsubscribed || m.EventName == "e" && !m.Subscribe
						case *clientproto.ActionRequest:
							p.send(&clientproto.ActionResponse{ID: m.ID, Output: m.Args[1:]})
						}
					}
				}))
				c := connect(t, f.client(func(cfg *Config) { cfg.EventBuffer, cfg.EventBufferBytes = tt.events, tt.bytes }).ByID("x"))
				sub := c.Subscribe("e")
				synctest.Wait()
				if _, err := c.Action(t.Context(), "a", one); err != nil { // the connection is not held up
					t.Error(err)
				}
				for range tt.kept {
					if _, err := sub.Next(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				_, err := sub.Next(t.Context())
				wantFault(t, err, "client", "slow_consumer")
				synctest.Wait()
				if !unsubscribed {
					t.Error("the actor was not told")
				}
			})
		})
	}
}

// Callbacks get events in order, one at a time; a slow one loses its subscription and the watchers are told.
func TestCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, sockets(t, func(n int, p *peer) {
			p.greet()
			for {
				m := p.read()
				if m == nil {
					return
				}
				if sub := m.(*clientproto.SubscriptionRequest); sub.Subscribe {
					events := map[string]byte{"quick": 4, "slow": 9}[sub.EventName]
					for i := range events {
						p.send(&clientproto.Event{Name: sub.EventName, Args: []byte{0x81, i}})
					}
				}
			}
		}))
		c := connect(t, f.client(func(cfg *Config) { cfg.EventBuffer = 4 }).ByID("x"))
		var reported []error
		c.OnError(func(err error) { reported = append(reported, err) })

		var got []byte
		subs := make(chan *Sub, 1)
		subs <- c.Handle("quick", func(args []byte) {
			got = append(got, args[1])
			if args[1] == 2 {
				(<-subs).Close()
			}
		})
		synctest.Wait()
		if !bytes.Equal(got, []byte{0, 1, 2}) {
			t.Errorf("got %v", got)
		}

		release := make(chan struct{})
		calls := 0
		c.Handle("slow", func([]byte) {
			calls++
			<-release
		})
		synctest.Wait()
		if len(reported) != 1 {
			t.Fatalf("errors = %v", reported)
		}
		wantFault(t, reported[0], "client", "slow_consumer")
		close(release)
		synctest.Wait()
		if calls != 5 { // one in the callback, four kept
			t.Errorf("%d calls", calls)
		}
	})
}

// A callback may close its own connection.
func TestCloseInsideACallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, sockets(t, func(n int, p *peer) {
			p.greet()
			p.read()
			for range 5 {
				p.send(&clientproto.Event{Name: "e", Args: one})
			}
			p.read()
		}))
		c := connect(t, f.client(nil).ByID("x"))
		calls := 0
		c.Handle("e", func([]byte) {
			calls++
			c.Close()
		})
		<-c.Done()
		synctest.Wait()
		if calls != 1 {
			t.Errorf("%d calls", calls)
		}
	})
}

// The Go default of 32 KiB would end the connection.
func TestLargeMessages(t *testing.T) {
	big := append([]byte{0x81, 0x5a, 0x00, 0x40, 0x00, 0x00}, make([]byte, 4<<20)...)
	f := start(t, sockets(t, func(n int, p *peer) {
		p.greet()
		p.echo()
	}))
	c := connect(t, f.client(nil).ByID("x"))
	output, err := c.Action(t.Context(), "echo", big)
	if err != nil || !bytes.Equal(output, big[1:]) {
		t.Errorf("%d bytes, %v", len(output), err)
	}
}

func TestClientCloseEndsConnections(t *testing.T) {
	f := start(t, sockets(t, func(n int, p *peer) {
		p.greet()
		p.echo()
	}))
	client := f.client(nil)
	a, b := connect(t, client.ByID("x")), connect(t, client.ByID("y"))
	client.Close()
	<-a.Done()
	<-b.Done()
	wantFault(t, a.Err(), "client", "closed")
}

// A connection by a key that the query form cannot name follows the key to a new actor.
func TestConnectionFollowsTheKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id := "id1"
		serve := sockets(t, func(n int, p *peer) {
			if !strings.HasPrefix(p.request.URL.Path, "/gateway/"+id+"/") {
				p.close(1011, "actor.not_found#ray")
				return
			}
			p.send(&clientproto.Init{ActorID: id, ConnectionID: "c"})
			if id == "id1" {
				p.read()
				id = "id2"
				p.close(1000, "")
				return
			}
			p.echo()
		})
		f := start(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/actors" {
				io.WriteString(w, `{"actors":[{"actor_id":"`+id+`"}]}`)
				return
			}
			serve(w, r)
		})
		c := connect(t, f.client(nil).Get("n", []string{"a,b"}))
		_, err := c.Action(t.Context(), "a", one)
		wantFault(t, err, "client", "connection_lost")
		if _, err := c.Action(t.Context(), "a", one); err != nil || c.ActorID() != "id2" {
			t.Errorf("actor = %s, %v", c.ActorID(), err)
		}
	})
}

func TestParseReason(t *testing.T) {
	for in, want := range map[string]string{
		"actor.not_found#ray":        "actor.not_found ray",
		"user.denied":                "user.denied ",
		"a.b.c#r":                    "a.b r",
		"guard.no_route#a#b":         "guard.no_route a#b",
		"":                           "",
		"kicked out":                 "",
		"Server Error. Please retry": "",
		".x":                         "",
		"x.":                         "",
	} {
		got := ""
		if f := parseReason(in); f != nil {
			got = f.Group + "." + f.Code + " " + f.Ray
		}
		if got != want {
			t.Errorf("parseReason(%q) = %q, want %q", in, got, want)
		}
	}
}
