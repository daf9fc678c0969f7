package engine

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// A second actor of the tests: what an author can hang a function on.
type ticket struct {
	Title string `json:"title"`
}

var (
	tickets  = rivet.NewActor[ticket]("ticket")
	title    = rivet.NewAction[rivet.None, string](tickets, "title")
	rename   = rivet.NewAction[rivet.Args2[string, *bool], string](tickets, "rename")
	work     = rivet.NewAction[int, rivet.None](tickets, "work")
	done     = rivet.NewAction[rivet.None, int](tickets, "done")
	whisper  = rivet.NewAction[string, int](tickets, "whisper")
	goAway   = rivet.NewAction[string, int](tickets, "goAway")
	echo     = rivet.NewAction[rivet.Raw, rivet.Raw](tickets, "nested.group.echo")
	public   = rivet.NewEvent[string](tickets, "public")
	secret   = rivet.NewEvent[string](tickets, "secret")
	finished = rivet.NewEvent[int](tickets, "finished")
)

type ticketState struct {
	Title   string
	Done    int
	Created int
}

// notes is a list for hooks to write to.
type notes struct {
	mu sync.Mutex // guards l
	l  []string
}

func (n *notes) add(s string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.l = append(n.l, s)
}

func (n *notes) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.l)
}

func ticketDefinition(n *notes) actor.Definition {
	d := actor.Define(tickets, func(_ *actor.Ctx, in ticket) (*ticketState, error) {
		if in.Title == "" {
			return nil, &rivet.Error{Group: "ticket", Code: "no_title", Message: "a ticket needs a title"}
		}
		return &ticketState{Title: in.Title}, nil
	})
	d.DisplayName, d.Icon = "Ticket", "🎫"
	d.OnCreate = func(s *ticketState, _ *actor.Ctx, in ticket) error {
		s.Created++
		n.add("create " + in.Title)
		return nil
	}
	d.OnStateChange = func(s *ticketState, _ *actor.Ctx) error { n.add("change " + s.Title); return nil }
	d.BeforeResponse = func(_ *ticketState, _ *actor.Ctx, action string, result rivet.Raw) (rivet.Raw, error) {
		if action == title.Name() {
			n.add("respond")
		}
		return result, nil
	}
	d.OnConnected = func(_ *ticketState, c *actor.Ctx, conn *actor.Conn) error {
		if conn.Transient() {
			return nil
		}
		return actor.Send(c, conn, public, "welcome")
	}
	d.OnDisconnect = func(_ *ticketState, _ *actor.Ctx, conn *actor.Conn) error {
		if !conn.Transient() {
			n.add("disconnect")
		}
		return nil
	}
	actor.CanSubscribe(d, secret, func(*ticketState, *actor.Ctx) (bool, error) { return false, nil })
	actor.View(d, title, func(s *ticketState, _ *actor.Ctx, _ rivet.None) (string, error) { return s.Title, nil })
	actor.Handle(d, rename, func(s *ticketState, _ *actor.Ctx, a rivet.Args2[string, *bool]) (string, error) {
		old := s.Title
		s.Title = a.A
		if a.B != nil && *a.B {
			return "", errors.New("changed my mind")
		}
		return old, nil
	})
	actor.Handle(d, work, func(s *ticketState, c *actor.Ctx, n int) (rivet.None, error) {
		c.KeepAwake(func(c *actor.Ctx) error {
			self := actor.SelfOf(c, s)
			for range n {
				if err := self.Do(func(s *ticketState) { s.Done++ }); err != nil {
					return err
				}
			}
			if err := c.Save(c); err != nil {
				return err
			}
			return self.Turn(func(s *ticketState, c *actor.Ctx) error {
				actor.Broadcast(c, finished, s.Done)
				return nil
			})
		})
		return rivet.None{}, nil
	})
	actor.View(d, done, func(s *ticketState, _ *actor.Ctx, _ rivet.None) (int, error) { return s.Done, nil })
	actor.Handle(d, whisper, func(_ *ticketState, c *actor.Ctx, text string) (int, error) {
		sent := 0
		for _, conn := range c.Conns() {
			if err := actor.Send(c, conn, public, text); err == nil {
				sent++
			}
		}
		return sent, nil
	})
	actor.Handle(d, goAway, func(_ *ticketState, c *actor.Ctx, reason string) (int, error) {
		n := 0
		for _, conn := range c.Conns() {
			if !conn.Transient() {
				conn.Disconnect(c, reason)
				n++
			}
		}
		return n, nil
	})
	actor.View(d, echo, func(_ *ticketState, _ *actor.Ctx, x rivet.Raw) (rivet.Raw, error) { return x, nil })
	return d
}

func beginTickets(t *testing.T) (*running, *notes, rivet.Handle[ticket]) {
	t.Helper()
	n := &notes{}
	e, err := Start(t.Context(), Config{Listen: "127.0.0.1:0", StoragePath: t.TempDir(), Log: quiet()}, ticketDefinition(n))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	r := &running{Engine: e, t: t}
	return r, n, tickets.GetOrCreate(r.network(), rivet.Key{"1"}, ticket{"first"})
}

func TestHooksOfAnActor(t *testing.T) {
	r, n, h := beginTickets(t)
	ctx := t.Context()
	if s, err := title.Call(ctx, h, rivet.None{}); err != nil || s != "first" {
		t.Fatalf("title = %q, %v", s, err)
	}
	if s, err := rename.Call(ctx, h, rivet.Args2[string, *bool]{A: "second"}); err != nil || s != "first" {
		t.Errorf("rename = %q, %v", s, err)
	}
	yes := true
	if _, err := rename.Call(ctx, h, rivet.Args2[string, *bool]{A: "third", B: &yes}); err == nil {
		t.Error("a failing rename succeeded")
	}
	if got, want := n.all(), []string{"create first", "respond", "change second"}; !slices.Equal(got, want) {
		t.Errorf("hooks: %q, want %q", got, want)
	}
	_, err := title.Call(ctx, tickets.GetOrCreate(r.network(), rivet.Key{"2"}, ticket{}), rivet.None{})
	if !rivet.Is(err, "ticket", "no_title") {
		t.Errorf("a constructor's refusal arrives as %v", err)
	}
}

func TestBackgroundWorkTakesTurns(t *testing.T) {
	_, _, h := beginTickets(t)
	conn, err := h.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	events := finished.Listen(t.Context(), conn)
	if _, err := work.Call(t.Context(), conn, 5); err != nil {
		t.Fatal(err)
	}
	for n, err := range events {
		if n != 5 || err != nil {
			t.Errorf("finished %d, %v", n, err)
		}
		break
	}
	if n, err := done.Call(t.Context(), h, rivet.None{}); n != 5 || err != nil {
		t.Errorf("done = %d, %v", n, err)
	}
}

func TestEventsToOneAndDisconnect(t *testing.T) {
	r, n, h := beginTickets(t)
	if _, err := title.Call(t.Context(), h, rivet.None{}); err != nil { // creates it
		t.Fatal(err)
	}
	s := r.socketOf("ticket", "1", "json")
	if first := r.read(s); !contains(first, `"tag":"Init"`) {
		t.Errorf("first message %s, want Init", first)
	}
	if second := r.read(s); !contains(second, `"args":["welcome"],"name":"public"`) {
		t.Errorf("second message %s, want what OnConnected sent", second)
	}
	if got, err := whisper.Call(t.Context(), h, "psst"); err != nil || got != 1 {
		t.Errorf("whisper reached %d, %v; want the one standing connection", got, err)
	}
	if m := r.read(s); !contains(m, "psst") {
		t.Errorf("got %s", m)
	}
	if got, err := goAway.Call(t.Context(), h, "kicked out"); err != nil || got != 1 {
		t.Errorf("goAway = %d, %v", got, err)
	}
	if code, reason := closed(t, s); code != 1000 || reason != "kicked out" {
		t.Errorf("closed with %d %q", code, reason)
	}
	if got, err := goAway.Call(t.Context(), h, ""); err != nil || got != 0 {
		t.Errorf("%d connections are left, %v", got, err)
	}
	if !slices.Contains(n.all(), "disconnect") {
		t.Error("OnDisconnect did not run")
	}
}

func TestForbiddenSubscriptionClosesTheConnection(t *testing.T) {
	r, _, h := beginTickets(t)
	if _, err := title.Call(t.Context(), h, rivet.None{}); err != nil {
		t.Fatal(err)
	}
	s := r.socketOf("ticket", "1", "json")
	if err := s.Write(t.Context(), 1, []byte(`{"body":{"tag":"SubscriptionRequest","val":{"eventName":"secret","subscribe":true}}}`)); err != nil {
		t.Fatal(err)
	}
	if code, reason := closed(t, s); code != 1011 || reason != "auth.forbidden" {
		t.Errorf("closed with %d %q", code, reason)
	}
}

func TestRawValuesPassThrough(t *testing.T) {
	r, _, h := beginTickets(t)
	if _, err := title.Call(t.Context(), h, rivet.None{}); err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{
		`1.5`, `4294967296`, `"ü😀"`, `null`, `[1,[2,{"a":null}]]`, `["$BigInt","12345678901234567890"]`, `["$Uint8Array","AQL/"]`, `["$$foo",1]`, `{"b":1,"a":2}`,
	} {
		_, _, got := r.post("/gateway/ticket/action/nested.group.echo?rvt-namespace=default&rvt-method=get&rvt-key=1", "application/json", []byte(`{"args":[`+v+`]}`))
		if want := `{"output":` + v + `}`; got != want {
			t.Errorf("echo of %s: %s", v, got)
		}
	}
}

func TestNamesAndIcons(t *testing.T) {
	r, _, _ := beginTickets(t)
	resp, err := http.Get(r.URL() + "/actors/names?namespace=default")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var list struct {
		Names map[string]struct{ Metadata map[string]string }
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || json.Unmarshal(body, &list) != nil {
		t.Fatalf("%s, %v", body, err)
	}
	if m := list.Names["ticket"].Metadata; m["name"] != "Ticket" || m["icon"] != "🎫" {
		t.Errorf("names: %s", body)
	}
}
