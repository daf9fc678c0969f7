package ws

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

func dial(t *testing.T, ctx context.Context, addr string, opts *websocket.DialOptions) *websocket.Conn {
	t.Helper()
	client, _, err := websocket.Dial(ctx, "ws://"+addr+"/connect", opts)
	if err != nil {
		t.Fatal(err)
	}
	client.SetReadLimit(64 << 20)
	t.Cleanup(func() { client.CloseNow() })
	return client
}

// An independent client over loopback TCP and net/http: sizes, both kinds, and its close handshake.
func TestInteropEcho(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	errs := make(chan error, 1)
	addr := serve(t, UpgradeOptions{}, func(c *Conn) {
		for {
			op, payload, err := c.ReadMessage()
			if err != nil {
				errs <- err
				return
			}
			c.QueueMessage(op, payload)
		}
	})
	client := dial(t, ctx, addr, &websocket.DialOptions{
		Subprotocols:    []string{"rivet_encoding.json", "rivet"},
		CompressionMode: websocket.CompressionContextTakeover, // declined
	})
	if got := client.Subprotocol(); got != "rivet" {
		t.Errorf("subprotocol %q", got)
	}
	for _, size := range []int{0, 1, 125, 126, 1000, 1024, 4096, 16_370, 16_384, 65_535, 65_536, 1 << 20, 5 << 20} {
		for _, kind := range []websocket.MessageType{websocket.MessageText, websocket.MessageBinary} {
			want := random(size)
			if kind == websocket.MessageText {
				want = bytes.Repeat([]byte("t"), size)
			}
			wrote := make(chan error, 1)
			go func() { wrote <- client.Write(ctx, kind, want) }()
			gotKind, got, err := client.Read(ctx)
			if err != nil || gotKind != kind || !bytes.Equal(got, want) {
				t.Fatalf("size %d: got %v, %d bytes, %v", size, gotKind, len(got), err)
			}
			if err := <-wrote; err != nil {
				t.Fatal(err)
			}
		}
	}
	// A message that the client sends in fragments.
	w, err := client.Writer(ctx, websocket.MessageText)
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		if _, err := w.Write([]byte("fragment ")); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, got, err := client.Read(ctx); err != nil || string(got) != strings.Repeat("fragment ", 50) {
		t.Fatalf("got %q, %v", got, err)
	}
	if err := client.Close(websocket.StatusNormalClosure, "Disposed"); err != nil {
		t.Errorf("client's close: %v", err)
	}
	var closed *CloseError
	if err := <-errs; !errors.As(err, &closed) || *closed != (CloseError{1000, "Disposed"}) {
		t.Errorf("server's error: %v", err)
	}
}

func TestInteropServerCloses(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	addr := serve(t, UpgradeOptions{MaxMessageBytes: 65_536}, func(c *Conn) {
		for {
			op, payload, err := c.ReadMessage()
			if err != nil {
				<-c.Done()
				return
			}
			if string(payload) == "kick" {
				c.Queue(Text([]byte("last words")))
				c.Close(1000, "kicked out")
				continue
			}
			c.QueueMessage(op, payload)
		}
	})

	t.Run("handshake", func(t *testing.T) {
		client := dial(t, ctx, addr, nil)
		client.Write(ctx, websocket.MessageText, []byte("kick"))
		if _, got, err := client.Read(ctx); string(got) != "last words" {
			t.Errorf("got %q, %v", got, err)
		}
		_, _, err := client.Read(ctx)
		var closed websocket.CloseError
		if !errors.As(err, &closed) || closed.Code != 1000 || closed.Reason != "kicked out" {
			t.Errorf("got %v", err)
		}
	})

	// The client is in the middle of sending when it is told.
	t.Run("message too long", func(t *testing.T) {
		client := dial(t, ctx, addr, nil)
		go client.Write(ctx, websocket.MessageBinary, make([]byte, 4<<20))
		_, _, err := client.Read(ctx)
		var closed websocket.CloseError
		if !errors.As(err, &closed) || closed.Code != 1011 || closed.Reason != "message.incoming_too_long" {
			t.Errorf("got %v", err)
		}
	})
}

func TestInteropPing(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	addr := serve(t, UpgradeOptions{}, echo)
	client := dial(t, ctx, addr, nil)
	client.CloseRead(ctx)
	if err := client.Ping(ctx); err != nil {
		t.Error(err)
	}
}

// Over TLS there are no direct writes and reads.
func TestInteropTLS(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	closed := make(chan struct{})
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := Upgrade(w, r, UpgradeOptions{})
		if err != nil {
			t.Error(err)
			return
		}
		go func() {
			echo(c)
			<-c.Done()
			close(closed)
		}()
	}))
	defer s.Close()
	client, _, err := websocket.Dial(ctx, s.URL, &websocket.DialOptions{HTTPClient: s.Client()})
	if err != nil {
		t.Fatal(err)
	}
	client.SetReadLimit(1 << 20)
	for _, size := range []int{1, 500, 5000, 200_000} {
		want := random(size)
		wrote := make(chan error, 1)
		go func() { wrote <- client.Write(ctx, websocket.MessageBinary, want) }()
		if _, got, err := client.Read(ctx); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("size %d: %d bytes, %v", size, len(got), err)
		}
		if err := <-wrote; err != nil {
			t.Fatal(err)
		}
	}
	if err := client.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
	<-closed
}
