package rivet_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/internal/wire/clientproto"
	"github.com/rivetgo/rivet/internal/wire/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The contract that the tests call.
type Room struct {
	Topic string `json:"topic"`
}

type Join struct {
	Token string `json:"token"`
}

type Message struct {
	From string    `json:"from"`
	At   time.Time `json:"at"`
	N    int64     `json:"n"`
}

var (
	Rooms  = rivet.NewActor[Room]("chat-room")
	Joins  = rivet.NewParams[Join](Rooms)
	Post   = rivet.NewAction[string, Message](Rooms, "post")
	Add    = rivet.NewAction[rivet.Args2[int, *int], int](Rooms, "math.add")
	Clear  = rivet.NewAction[rivet.None, rivet.None](Rooms, "clear")
	Echo   = rivet.NewAction[rivet.Raw, rivet.Raw](Rooms, "echo")
	Posted = rivet.NewEvent[Message](Rooms, "posted")
	Moved  = rivet.NewEvent[rivet.Args2[int, int]](Rooms, "moved")

	Plain = rivet.NewActor[rivet.None]("plain")
	Ping  = rivet.NewAction[rivet.None, string](Plain, "ping")
)

// server answers actions with what answer returns, over HTTP and over sockets, and sends the events that an action
// named emit asks for: [name, args, count].
type server struct {
	*httptest.Server
	requests chan *http.Request
}

func serve(t *testing.T, answer func(action string, args []byte) (output []byte, err *fault.Error)) *server {
	s := &server{requests: make(chan *http.Request, 100)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.requests <- r
		path := r.URL.Path
		switch {
		case path == "/metadata":
			io.WriteString(w, `{}`)
		case strings.HasPrefix(path, "/actors"):
			io.WriteString(w, `{"actor":{"actor_id":"id1"},"actors":[{"actor_id":"id1"}],"created":true}`)
		case strings.HasSuffix(path, "/connect"):
			s.socket(t, w, r, answer)
		default:
			_, action, _ := strings.Cut(path, "/action/")
			enc, _ := clientproto.ParseEncoding(r.Header.Get("X-Rivet-Encoding"))
			args, version, err := clientproto.DecodeActionRequest(enc, body, false)
			if err != nil {
				t.Errorf("%s: %v", action, err)
			}
			w.Header().Set("X-Rivet-Ray-Id", "ray1")
			w.Header().Set("Content-Type", enc.ContentType())
			output, f := answer(action, args)
			if f != nil {
				b, _ := clientproto.AppendError(nil, enc, version, f)
				w.WriteHeader(f.StatusOnActor())
				w.Write(b)
				return
			}
			b, err := clientproto.AppendActionResponse(nil, enc, version, output)
			if err != nil {
				t.Error(err)
			}
			w.Write(b)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) socket(t *testing.T, w http.ResponseWriter, r *http.Request, answer func(string, []byte) ([]byte, *fault.Error)) {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"rivet"}})
	if err != nil {
		t.Error(err)
		return
	}
	defer ws.CloseNow()
	send := func(m clientproto.ToClient) {
		frame, err := clientproto.AppendToClient(nil, clientproto.BARE, 4, m)
		if err != nil {
			t.Error(err)
		}
		ws.Write(context.Background(), websocket.MessageBinary, frame)
	}
	send(&clientproto.Init{ActorID: "id1", ConnectionID: "conn1"})
	for {
		_, frame, err := ws.Read(context.Background())
		if err != nil {
			return
		}
		m, _, err := clientproto.DecodeToServer(clientproto.BARE, frame, false)
		if err != nil {
			t.Error(err)
		}
		switch m := m.(type) {
		case *clientproto.SubscriptionRequest:
			if args, ok := eventArgs[m.EventName]; ok && m.Subscribe {
				for _, a := range args {
					send(&clientproto.Event{Name: m.EventName, Args: a})
				}
			}
		case *clientproto.ActionRequest:
			output, f := answer(m.Name, m.Args)
			if f != nil {
				send(&clientproto.ErrorMsg{Group: f.Group, Code: f.Code, Message: f.Message, Metadata: f.Metadata, HasActionID: true, ActionID: m.ID, Actor: f.Actor})
				continue
			}
			send(&clientproto.ActionResponse{ID: m.ID, Output: output})
		}
	}
}

// eventArgs are sent when a client subscribes.
var eventArgs = map[string][][]byte{
	"posted": {[]byte("\x81\xa2\x64from\x63bob\x61n\x01"), []byte("\x81\x63bad"), []byte("\x81\xa2\x64from\x63eve\x61n\x03")},
	"moved":  {[]byte("\x82\x01\x02")},
}

func (s *server) client(t *testing.T, o *rivet.ClientOptions) *rivet.Client {
	t.Helper()
	if o == nil {
		o = &rivet.ClientOptions{}
	}
	o.Logger = slog.New(slog.DiscardHandler)
	c, err := rivet.NewClient(s.URL, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func fixed(output string) func(string, []byte) ([]byte, *fault.Error) {
	return func(string, []byte) ([]byte, *fault.Error) { return []byte(output), nil }
}

// A result arrives as its Go type, whichever way and in whichever encoding it came, and however JavaScript wrote it.
func TestCall(t *testing.T) {
	var gotAction string
	var gotArgs []byte
	// {from: "bob", at: Date, n: 3} where n is written as a double
	s := serve(t, func(action string, args []byte) ([]byte, *fault.Error) {
		gotAction, gotArgs = action, args
		return []byte("\xa3\x64from\x63bob\x62at\xc1\xfb\x41\xd9\x54\xfc\x40\x07\xdf\x3b\x61n\xfb\x40\x08\x00\x00\x00\x00\x00\x00"), nil
	})
	for _, encoding := range []rivet.Encoding{"", rivet.EncodingBARE, rivet.EncodingCBOR} {
		h := Rooms.GetOrCreate(s.client(t, &rivet.ClientOptions{Encoding: encoding}), rivet.Key{"go"}, Room{Topic: "Go"})
		m, err := Post.Call(t.Context(), h, "hi")
		if err != nil {
			t.Fatal(err)
		}
		if m.From != "bob" || m.N != 3 || m.At.Round(time.Millisecond).UnixMilli() != 1700000000123 {
			t.Errorf("%q: message = %+v", encoding, m)
		}
		if gotAction != "post" || string(gotArgs) != "\x81\x62hi" {
			t.Errorf("%q: %s(%x)", encoding, gotAction, gotArgs)
		}
	}
	conn, err := Rooms.ByID(s.client(t, nil), "id1").Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if m, err := Post.Call(t.Context(), conn, "hi"); err != nil || m.From != "bob" || m.N != 3 {
		t.Errorf("over a connection: %+v, %v", m, err)
	}
}

func TestArguments(t *testing.T) {
	var got []byte
	s := serve(t, func(action string, args []byte) ([]byte, *fault.Error) {
		got = args
		if action == "ping" {
			return []byte("\x64pong"), nil
		}
		return []byte{0x05}, nil
	})
	c := s.client(t, nil)
	h := Rooms.Get(c, rivet.Key{"go"})
	three := 3
	check := func(want string) {
		t.Helper()
		if string(got) != want {
			t.Errorf("args = %x, want %x", got, want)
		}
	}
	if n, err := Add.Call(t.Context(), h, rivet.Args2[int, *int]{A: 2, B: &three}); n != 5 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	check("\x82\x02\x03")
	if _, err := Clear.Call(t.Context(), h, rivet.None{}); err != nil { // a result that nobody wants may be anything
		t.Error(err)
	}
	check("\x80")
	if raw, err := Echo.Call(t.Context(), h, rivet.Raw{0xf6}); string(raw) != "\x05" || err != nil {
		t.Errorf("%x, %v", raw, err)
	}
	check("\x81\xf6")
	if pong, err := Ping.Call(t.Context(), Plain.GetOrCreate(c, nil, rivet.None{}), rivet.None{}); pong != "pong" || err != nil {
		t.Errorf("%q, %v", pong, err)
	}
	_, err := Post.Call(t.Context(), h, "hi")
	if !rivet.Is(err, "client", "invalid_response") || !strings.Contains(err.Error(), "post") {
		t.Errorf("a result that does not fit: %v", err)
	}
}

func TestErrorsArrive(t *testing.T) {
	s := serve(t, func(string, []byte) ([]byte, *fault.Error) {
		return nil, &fault.Error{Group: "chat", Code: "not_joined", Message: "join first", Metadata: []byte("\xa1\x63why\x61x"), Actor: &fault.Actor{ID: "id1"}}
	})
	h := Rooms.ByID(s.client(t, nil), "id1")
	conn, err := h.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]rivet.Target[Room]{"HTTP": h, "connection": conn} {
		_, err := Post.Call(t.Context(), target, "hi")
		var e *rivet.Error
		if !errors.As(err, &e) || !errors.Is(err, &rivet.Error{Group: "chat", Code: "not_joined"}) || e.Message != "join first" || e.ActorID != "id1" {
			t.Fatalf("%s: %#v", name, err)
		}
		var m struct{ Why string }
		if err := e.DecodeMetadata(&m); err != nil || m.Why != "x" {
			t.Errorf("%s: metadata = %+v, %v", name, m, err)
		}
		if name == "HTTP" && e.Ray != "ray1" {
			t.Errorf("ray = %q", e.Ray)
		}
	}

	// What is below a failure of the client itself can be asked for.
	s.CloseClientConnections()
	s.Close()
	_, err = Post.Call(t.Context(), h, "hi")
	if !rivet.Is(err, "client", "request_failed") || errors.Unwrap(err) == nil {
		t.Errorf("no server: %#v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Post.Call(ctx, h, "hi"); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func TestParams(t *testing.T) {
	s := serve(t, fixed("\xa0"))
	c := s.client(t, &rivet.ClientOptions{DisableMetadataLookup: true})
	h := Rooms.ByID(c, "id1")
	if _, err := Post.Call(t.Context(), Joins.On(h, Join{Token: "é+&"}), "hi"); err != nil {
		t.Fatal(err)
	}
	if got := (<-s.requests).Header.Get("X-Rivet-Conn-Params"); got != `{"token":"\u00e9+&"}` {
		t.Errorf("header = %s", got)
	}
	if _, err := Post.Call(t.Context(), h, "hi"); err != nil {
		t.Fatal(err)
	}
	if got := (<-s.requests).Header.Values("X-Rivet-Conn-Params"); got != nil {
		t.Errorf("header without params = %q", got)
	}
	conn, err := Joins.Connect(t.Context(), h, Join{Token: "é+&"})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	offered := (<-s.requests).Header.Get("Sec-WebSocket-Protocol")
	_, text, _ := strings.Cut(offered, "rivet_conn_params.")
	if text, _ = url.QueryUnescape(text); text != `{"token":"\u00e9+&"}` {
		t.Errorf("protocols = %s", offered)
	}
}

func TestHandles(t *testing.T) {
	s := serve(t, fixed("\xf6"))
	c := s.client(t, &rivet.ClientOptions{DisableMetadataLookup: true, Namespace: "ns", Pool: "p"})
	h := Rooms.GetOrCreate(c, rivet.Key{"a", "b"}, Room{Topic: "Go"})
	want := s.URL + "/gateway/chat-room?rvt-namespace=ns&rvt-method=getOrCreate&rvt-runner=p&rvt-key=a%2Cb&rvt-input=" +
		base64.RawURLEncoding.EncodeToString([]byte("\xa1\x65topic\x62Go")) + "&rvt-crash-policy=sleep"
	if got := h.GatewayURL(); got != want {
		t.Errorf("URL = %s\nwant  %s", got, want)
	}
	if strings.Contains(Plain.GetOrCreate(c, nil, rivet.None{}).GatewayURL(), "rvt-input") {
		t.Error("None is an input")
	}
	made, err := Rooms.Create(t.Context(), c, rivet.Key{"a"}, Room{})
	if err != nil || made.GatewayURL() != s.URL+"/gateway/id1" {
		t.Errorf("created %s, %v", made.GatewayURL(), err)
	}
	if id, err := h.Resolve(t.Context()); id != "id1" || err != nil {
		t.Errorf("id = %s, %v", id, err)
	}
	if err := h.Delete(t.Context()); err != nil {
		t.Error(err)
	}

	var zero rivet.Handle[Room]
	if _, err := Post.Call(t.Context(), zero, "hi"); !rivet.Is(err, "client", "invalid_target") {
		t.Errorf("zero handle: %v", err)
	}
	// The key is the handle's own.
	key := rivet.Key{"mine"}
	h = Rooms.Get(c, key)
	key[0] = "other"
	if !strings.Contains(h.GatewayURL(), "rvt-key=mine") {
		t.Errorf("URL = %s", h.GatewayURL())
	}
}

func TestListen(t *testing.T) {
	s := serve(t, fixed("\xf6"))
	conn, err := Rooms.ByID(s.client(t, nil), "id1").Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if conn.ID() != "conn1" || conn.ActorID() != "id1" || conn.Status() != rivet.ConnConnected || conn.Err() != nil {
		t.Errorf("connection %s of %s is %v, %v", conn.ID(), conn.ActorID(), conn.Status(), conn.Err())
	}

	// An event that does not fit is an error in its place.
	var got []string
	for m, err := range Posted.Listen(t.Context(), conn) {
		if err != nil {
			if !rivet.Is(err, "client", "invalid_response") {
				t.Error(err)
			}
			got = append(got, "error")
			continue
		}
		if got = append(got, m.From); m.From == "eve" {
			break
		}
	}
	if !slices.Equal(got, []string{"bob", "error", "eve"}) {
		t.Errorf("events = %v", got)
	}

	// The loop ends with its context, without an error; a sequence can be read once.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	moves := Moved.Listen(ctx, conn)
	n := 0
	for m, err := range moves {
		if err != nil || m.A != 1 || m.B != 2 {
			t.Errorf("%+v, %v", m, err)
		}
		n++
		cancel()
	}
	for range moves {
		n++
	}
	if n != 1 {
		t.Errorf("%d events", n)
	}

	// It ends without an error when the connection is closed on this side. The call lets the actor see that nobody listens
	// before somebody does again: it sends its events to whoever is new.
	if _, err := Clear.Call(t.Context(), conn, rivet.None{}); err != nil {
		t.Error(err)
	}
	moves = Moved.Listen(t.Context(), conn)
	for _, err := range moves {
		if err != nil {
			t.Error(err)
		}
		conn.Close()
	}
	<-conn.Done()
	if !rivet.Is(conn.Err(), "client", "closed") || conn.Status() != rivet.ConnClosed {
		t.Errorf("%v, %v", conn.Err(), conn.Status())
	}
}

func TestOn(t *testing.T) {
	s := serve(t, fixed("\xf6"))
	conn, err := Rooms.ByID(s.client(t, nil), "id1").Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 10)
	conn.OnError(func(err error) { got <- fmt.Sprint(rivet.Is(err, "client", "invalid_response")) })
	stop := Posted.On(conn, func(m Message) { got <- m.From })
	all := []string{<-got, <-got, <-got}
	slices.Sort(all) // errors come on their own
	if !slices.Equal(all, []string{"bob", "eve", "true"}) {
		t.Errorf("got %v", all)
	}
	stop()
	statuses := make(chan rivet.ConnStatus, 1)
	conn.OnStatus(func(s rivet.ConnStatus) { statuses <- s })
	conn.Close()
	if s := <-statuses; s != rivet.ConnClosed || s.String() != "closed" {
		t.Errorf("status = %v", s)
	}
}

func TestNewClient(t *testing.T) {
	for _, o := range []*rivet.ClientOptions{
		{Encoding: "xml"},
		{Namespace: "a"}, // the endpoint below has one too
		{HTTPClient: http.DefaultClient, DialContext: http.DefaultTransport.(*http.Transport).DialContext},
		{EventBuffer: -1},
	} {
		if _, err := rivet.NewClient("http://ns@h", o); err == nil || !strings.HasPrefix(err.Error(), "rivet: ") {
			t.Errorf("%+v: %v", o, err)
		}
	}
	t.Setenv("RIVET_ENDPOINT", "http://from-env:1")
	t.Setenv("RIVET_NAMESPACE", "env-ns")
	c, err := rivet.NewClient("", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := Rooms.Get(c, nil).GatewayURL(); got != "http://from-env:1/gateway/chat-room?rvt-namespace=env-ns&rvt-method=get" {
		t.Errorf("URL = %s", got)
	}
	c.Close()
	if _, err := Post.Call(t.Context(), Rooms.Get(c, nil), "x"); !rivet.Is(err, "client", "closed") {
		t.Errorf("closed: %v", err)
	}
}
