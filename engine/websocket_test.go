package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// dialRaw opens a raw WebSocket to a web actor.
func (r *running) dialRaw(key, path string, extra ...string) *websocket.Conn {
	r.t.Helper()
	url := "ws" + strings.TrimPrefix(r.webURL(key, path), "http")
	c, _, err := websocket.Dial(r.t.Context(), url, &websocket.DialOptions{Subprotocols: append([]string{"rivet", "rivet_encoding.bare"}, extra...)})
	if err != nil {
		r.t.Fatal(err)
	}
	c.SetReadLimit(64 << 20)
	r.t.Cleanup(func() { c.CloseNow() })
	return c
}

func say(t *testing.T, c *websocket.Conn, text string) {
	t.Helper()
	if err := c.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// echoSocket answers each message with itself, and does what some texts ask for.
func echoSocket(t *testing.T) actor.WebSocketHandler[webState] {
	return func(c *actor.Ctx, self actor.Self[webState], ws *actor.WebSocket) error {
		for {
			m, err := ws.Read(c)
			if err != nil {
				return err
			}
			switch string(m.Data) {
			case "request":
				req, _ := c.Request()
				err = ws.WriteText(c, fmt.Sprint(req.Path, " ", req.Query, " ", ws.Conn().Transient()))
			case "close":
				ws.Close(4001, "custom reason")
			case "done":
				return nil
			case "typed":
				return &rivet.Error{Code: "no_seat", Message: "the house is full"}
			case "fail":
				return errors.New("secret: swordfish")
			case "panic":
				panic("secret: swordfish")
			case "event":
				err = actor.Send(c, c.Conn(), webTold, "x")
				if !rivet.Is(err, "connection", "not_configured") {
					t.Errorf("an event to a raw socket: %v", err)
				}
				err = nil
			case "bad text":
				if err := ws.WriteText(c, "\xff"); err == nil {
					t.Error("text that is not UTF-8 was sent")
				}
			case "turn":
				err = self.Turn(func(s *webState, c *actor.Ctx) error {
					s.N++
					return ws.WriteText(c, fmt.Sprint("turn ", s.N))
				})
			case "failed turn":
				_ = self.Turn(func(s *webState, c *actor.Ctx) error {
					s.N = 1000
					ws.WriteText(c, "must not be seen")
					return errors.New("no")
				})
			default:
				err = ws.Write(c, m)
			}
			if err != nil {
				return err
			}
		}
	}
}

func TestRawSocketEchoes(t *testing.T) {
	s := &site{}
	s.socket = echoSocket(t)
	r := s.begin(t)
	c := r.dialRaw("echo", "/websocket/a/b?x=1")
	for _, text := range []string{"hello", "", "üñ 🚀", strings.Repeat("long ", 100_000)} {
		say(t, c, text)
		if got := r.read(c); got != text {
			t.Errorf("got %.50q, want %.50q", got, text)
		}
	}
	if err := c.Write(t.Context(), websocket.MessageBinary, []byte{0, 255, 1}); err != nil {
		t.Fatal(err)
	}
	if typ, b, err := c.Read(t.Context()); typ != websocket.MessageBinary || string(b) != "\x00\xff\x01" || err != nil {
		t.Errorf("%v %q %v", typ, b, err)
	}
	for _, x := range [][2]string{{"request", "/websocket/a/b x=1 false"}, {"turn", "turn 1"}} {
		say(t, c, x[0])
		if got := r.read(c); got != x[1] {
			t.Errorf("%s: %q, want %q", x[0], got, x[1])
		}
	}
	for _, quiet := range []string{"failed turn", "event", "bad text", "turn"} {
		say(t, c, quiet)
	}
	if got := r.read(c); got != "turn 2" {
		t.Errorf("after a failed turn: %q", got)
	}
}

func TestRawSocketEnds(t *testing.T) {
	s := &site{}
	s.socket = echoSocket(t)
	r := s.begin(t)
	for ask, want := range map[string]string{
		"close": "4001 custom reason", "done": "1000 ", "typed": "1011 user.no_seat",
		"fail": "1011 rivetkit.internal_error", "panic": "1011 rivetkit.internal_error", "\xff": "1007 message.invalid_utf8",
	} {
		c := r.dialRaw("ends", "/websocket")
		say(t, c, ask)
		if code, reason := closed(t, c); fmt.Sprint(code, " ", reason) != want {
			t.Errorf("%q closes with %d %q, want %s", ask, code, reason, want)
		}
	}
}

func TestRawSocketHearsHowItsClientLeft(t *testing.T) {
	told := make(chan error, 1)
	s := &site{}
	s.socket = func(c *actor.Ctx, _ actor.Self[webState], ws *actor.WebSocket) error {
		for {
			if _, err := ws.Read(c); err != nil {
				told <- err
				<-c.Done() // ends with the socket
				return nil
			}
		}
	}
	r := s.begin(t)
	c := r.dialRaw("leave", "/any/path")
	say(t, c, "hello")
	if err := c.Close(4321, "had enough"); err != nil {
		t.Error(err)
	}
	var ce *actor.CloseError
	if err := <-told; !errors.As(err, &ce) || ce.Code != 4321 || ce.Reason != "had enough" {
		t.Errorf("the handler heard %v", err)
	}
	r.dialRaw("leave", "/").CloseNow()
	if err := <-told; !errors.As(err, &ce) || ce.Code != 1006 {
		t.Errorf("the handler heard %v", err)
	}
}

func TestRawSocketRefused(t *testing.T) {
	s := &site{}
	s.socket = echoSocket(t)
	r := s.begin(t)
	c := r.dialRaw("refused", "/websocket", `rivet_conn_params.%7B%22refuse%22%3Atrue%7D`)
	if _, _, err := c.Read(t.Context()); websocket.CloseStatus(err) != 1011 || !strings.Contains(err.Error(), "user.denied") {
		t.Errorf("refused with %v, want a close and no frame before it", err)
	}
	c = (&site{}).begin(t).dialRaw("none", "/websocket")
	if code, reason := closed(t, c); code != 1011 || !strings.HasPrefix(reason, "actor.websocket_not_supported#") {
		t.Errorf("without a handler: %d %q", code, reason)
	}
}

func TestRawSocketClosesWhenItsActorSleeps(t *testing.T) {
	s := &site{}
	s.socket = func(c *actor.Ctx, _ actor.Self[webState], ws *actor.WebSocket) error {
		m, err := ws.Read(c)
		if err != nil {
			return err
		}
		c.Sleep()
		<-c.Stopping()
		return ws.WriteText(c, "last words of "+string(m.Data))
	}
	r := s.begin(t)
	c := r.dialRaw("sleep", "/websocket")
	other := r.dialRaw("sleep", "/websocket")
	say(t, c, "me")
	if got := r.read(c); got != "last words of me" {
		t.Errorf("got %q", got)
	}
	if code, _ := closed(t, c); code != 1000 {
		t.Errorf("closed with %d", code)
	}
	if code, reason := closed(t, other); code != 1000 || reason != "actor.stopped" {
		t.Errorf("the other closed with %d %q", code, reason)
	}
}

func TestG7_a_raw_handler_that_does_not_read_holds_its_client(t *testing.T) {
	let, read := make(chan struct{}), make(chan uint64, 1)
	s := &site{}
	s.socket = func(c *actor.Ctx, _ actor.Self[webState], ws *actor.WebSocket) error {
		<-let
		for {
			m, err := ws.Read(c)
			if err != nil || string(m.Data) == "end" {
				read <- m.Index
				return err
			}
		}
	}
	r := s.begin(t)
	c := r.dialRaw("hold", "/websocket")
	chunk := []byte(strings.Repeat("x", 256<<10))
	sent := uint64(0)
	for { // until the kernel's buffers are full too
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		var err error
		func() { // a write that is given up ends the client's connection, so it goes on in the background
			done := make(chan error, 1)
			go func() { done <- c.Write(t.Context(), websocket.MessageBinary, chunk) }()
			select {
			case err = <-done:
				sent++
			case <-ctx.Done():
				err = ctx.Err()
				close(let)
				if e := <-done; e != nil {
					t.Error(e)
				}
				sent++
			}
		}()
		cancel()
		if err != nil {
			break
		}
		if sent > 1000 {
			t.Fatal("the client is never held")
		}
	}
	say(t, c, "end")
	if n := <-read; n != sent+1 {
		t.Errorf("the last message has index %d, want %d", n, sent+1)
	}
}

func TestG7_a_slow_raw_client_is_cut_off(t *testing.T) {
	ended := make(chan error, 1)
	s := &site{}
	s.socket = func(c *actor.Ctx, _ actor.Self[webState], ws *actor.WebSocket) error {
		chunk := make([]byte, 1<<20)
		for {
			if err := ws.WriteBinary(c, chunk); err != nil {
				ended <- err
				return nil
			}
		}
	}
	r := s.begin(t)
	r.dialRaw("cut", "/websocket") // and never reads
	var ce *actor.CloseError
	if err := <-ended; !errors.As(err, &ce) {
		t.Errorf("the writer got %v", err)
	}
}

func TestManyRawSockets(t *testing.T) {
	s := &site{}
	s.socket = echoSocket(t)
	r := s.begin(t)
	var wg sync.WaitGroup
	for i := range 200 {
		c := r.dialRaw("many", "/websocket")
		wg.Go(func() {
			for j := range 10 {
				text := fmt.Sprint(i, "/", j)
				if err := c.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
					t.Error(err)
					return
				}
				if _, b, err := c.Read(t.Context()); err != nil || string(b) != text {
					t.Errorf("%s: %q, %v", text, b, err)
					return
				}
			}
			if err := c.Close(1000, ""); err != nil && !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
