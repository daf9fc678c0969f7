package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

func TestStateLivesOnAcrossRestarts(t *testing.T) {
	dir := t.TempDir()
	r := begin(t, dir, actor.Options{})
	h := r.handle("a", "b")
	want(t, add, h, 2, 2)
	want(t, add, h, 3, 5)
	id, err := h.Resolve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if key := <-r.probe.slept; key != "a/b" {
		t.Errorf("OnSleep ran for %q", key)
	}
	r = begin(t, dir, actor.Options{})
	h = r.handle("a", "b")
	want(t, get, h, rivet.None{}, 5)
	want(t, lives, h, rivet.None{}, 2)
	if again, err := h.Resolve(t.Context()); err != nil || again != id {
		t.Errorf("the actor is %s, %v; it was %s", again, err, id)
	}
}

func TestG1_failed_actions_leave_nothing_and_say_what_they_may(t *testing.T) {
	r := begin(t, "", actor.Options{})
	h := r.handle("a")
	conn, err := h.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	events := changed.Listen(t.Context(), conn)
	want(t, get, conn, rivet.None{}, 0) // a later action of the same connection: the subscription is made
	want(t, add, h, 1, 1)
	for name, target := range map[string]rivet.Target[thing]{"http": h, "connection": conn} {
		_, err := failing.Call(t.Context(), target, "no_way")
		var e *rivet.Error
		if !errors.As(err, &e) || e.Group != "user" || e.Code != "no_way" || e.Message != "as you asked" || e.ActorID == "" {
			t.Errorf("%s: %#v", name, err)
			continue
		}
		var m struct{ A int }
		if err := e.DecodeMetadata(&m); err != nil || m.A != 1 {
			t.Errorf("%s: metadata %+v, %v", name, m, err)
		}
		_, err = panicking.Call(t.Context(), target, rivet.None{})
		if !rivet.Is(err, "rivetkit", "internal_error") || strings.Contains(err.Error(), "swordfish") {
			t.Errorf("%s: a panic leaves as %v", name, err)
		}
	}
	want(t, add, conn, 1, 2)
	var seen []int64
	for n, err := range events {
		if err != nil {
			t.Fatal(err)
		}
		if seen = append(seen, n); n == 2 {
			break
		}
	}
	if fmt.Sprint(seen) != "[1 2]" {
		t.Errorf("events %v: those of failed turns must not leave", seen)
	}
}

func TestActorsCallActors(t *testing.T) {
	r := begin(t, "", actor.Options{ActionTimeout: 20 * time.Second})
	a, b := r.handle("a"), r.handle("b")
	want(t, callOther, a, rivet.Args2[rivet.Key, bool]{A: rivet.Key{"b"}}, 1)
	want(t, get, b, rivet.None{}, 1)
	began := time.Now()
	_, err := callOther.Call(t.Context(), a, rivet.Args2[rivet.Key, bool]{A: rivet.Key{"b"}, B: true})
	if !rivet.Is(err, "actor", "call_cycle") || !strings.Contains(err.Error(), "→") {
		t.Errorf("a call that comes back: %v", err)
	}
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("it was refused after %v, want at once", d)
	}
	_, err = callOther.Call(t.Context(), a, rivet.Args2[rivet.Key, bool]{A: rivet.Key{"a"}})
	if !rivet.Is(err, "actor", "call_cycle") {
		t.Errorf("a call of itself: %v", err)
	}
}

func TestSleepAndWakeOnUse(t *testing.T) {
	r := begin(t, "", actor.Options{SleepAfter: 50 * time.Millisecond})
	h := r.handle("a")
	want(t, add, h, 1, 1)
	<-r.probe.slept // idle
	want(t, add, h, 1, 2)
	if _, err := sleepNow.Call(t.Context(), h, rivet.None{}); err != nil { // asked to
		t.Fatal(err)
	}
	<-r.probe.slept
	want(t, get, h, rivet.None{}, 2)
	if n, err := lives.Call(t.Context(), h, rivet.None{}); err != nil || n < 3 {
		t.Errorf("lives = %d, %v; want 3 or more", n, err)
	}
}

func TestDestroyFreesTheKey(t *testing.T) {
	r := begin(t, "", actor.Options{})
	h := r.handle("a")
	want(t, add, h, 7, 7)
	old, err := h.Resolve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := destroyNow.Call(t.Context(), h, rivet.None{}); err != nil {
		t.Fatal(err)
	}
	<-r.probe.destroyed
	want(t, get, h, rivet.None{}, 0)
	if id, err := h.Resolve(t.Context()); err != nil || id == old {
		t.Errorf("the key leads to %s, %v; the destroyed actor was %s", id, err, old)
	}
	_, err = get.Call(t.Context(), things.ByID(r.network(), old), rivet.None{})
	if !rivet.Is(err, "actor", "not_found") {
		t.Errorf("calling a destroyed actor: %v", err)
	}
}

func TestCreate(t *testing.T) {
	r := begin(t, "", actor.Options{})
	c := r.network()
	h, err := things.Create(t.Context(), c, rivet.Key{"once"}, thing{})
	if err != nil {
		t.Fatal(err)
	}
	want(t, add, h, 1, 1)
	if _, err := things.Create(t.Context(), c, rivet.Key{"once"}, thing{}); !rivet.Is(err, "actor", "duplicate_key") {
		t.Errorf("creating it again: %v", err)
	}
	_, err = get.Call(t.Context(), things.Get(c, rivet.Key{"never"}), rivet.None{})
	if !rivet.Is(err, "actor", "not_found") {
		t.Errorf("get of an actor that does not exist: %v", err)
	}
}

func TestRefusedConnection(t *testing.T) {
	r := begin(t, "", actor.Options{})
	h := r.handle("a")
	_, err := greetings.Connect(t.Context(), h, greeting{"bad"})
	if !rivet.Is(err, "user", "denied") {
		t.Errorf("connect: %v", err)
	}
	c := r.socket("a", "json", `rivet_conn_params.%7B%22name%22%3A%22bad%22%7D`)
	if got, want := r.read(c), `{"body":{"tag":"Error","val":{"actionId":null,"code":"denied","group":"user","message":"not you","metadata":{"why":"because"}}}}`; got != want {
		t.Errorf("frame %s\nwant  %s", got, want)
	}
	if code, reason := closed(t, c); code != 1011 || reason != "user.denied" {
		t.Errorf("closed with %d %q", code, reason)
	}
	c = r.socket("a", "json", `rivet_conn_params.%7B%22name%22%3A%22broken%22%7D`)
	if got := r.read(c); strings.Contains(got, "swordfish") {
		t.Errorf("an untyped error leaks: %s", got)
	}
}

func TestManyCallersOneActor(t *testing.T) {
	r := begin(t, "", actor.Options{})
	h := r.handle("a")
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for range 20 {
				if _, err := add.Call(t.Context(), h, 1); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	want(t, get, h, rivet.None{}, 640)
}

func TestG6_closing_waits_for_work_and_answers_it(t *testing.T) {
	r := begin(t, "", actor.Options{})
	h := r.handle("a")
	answer := make(chan error, 1)
	go func() {
		out, err := slow.Call(context.Background(), h, 5)
		if err == nil && out != "done" {
			err = fmt.Errorf("answer %q", out)
		}
		answer <- err
	}()
	<-r.probe.slowIn
	done := make(chan error, 1)
	go func() { done <- r.Close() }()
	close(r.probe.slowGo)
	if err := <-answer; err != nil {
		t.Errorf("the call under way: %v", err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	again := begin(t, r.dir, actor.Options{})
	want(t, get, again.handle("a"), rivet.None{}, 5)
}

func TestTokens(t *testing.T) {
	p := newProbe()
	e, err := Start(t.Context(), Config{
		Listen: "127.0.0.1:0", StoragePath: t.TempDir(), Log: quiet(), AdminToken: "boss", GatewayToken: "guest",
	}, p.definition(actor.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	client := func(token string) *rivet.Client {
		c, err := rivet.NewClient(e.URL(), &rivet.ClientOptions{Token: token})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	want(t, add, things.GetOrCreate(client("guest"), rivet.Key{"a"}, thing{}), 1, 1)
	_, err = add.Call(t.Context(), things.GetOrCreate(client("wrong"), rivet.Key{"a"}, thing{}), 1)
	if !rivet.Is(err, "api", "forbidden") {
		t.Errorf("a call with a wrong token: %v", err)
	}
	if _, err := things.Create(t.Context(), client("guest"), rivet.Key{"b"}, thing{}); !rivet.Is(err, "api", "forbidden") {
		t.Errorf("the control API without the admin token: %v", err)
	}
	if _, err := things.Create(t.Context(), client("boss"), rivet.Key{"b"}, thing{}); err != nil {
		t.Errorf("the control API with the admin token: %v", err)
	}
	// Actors are inside.
	if _, err := things.Create(t.Context(), e.Client(), rivet.Key{"c"}, thing{}); err != nil {
		t.Errorf("the control API from inside: %v", err)
	}
	want(t, add, things.GetOrCreate(e.Client(), rivet.Key{"a"}, thing{}), 1, 2)
}

// A handler that is slow keeps neither its own connection's later messages nor its own reply.
func TestSlowHandlerDoesNotBlockItsConnection(t *testing.T) {
	r := begin(t, "", actor.Options{})
	conn, err := r.handle("a").Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 3 {
		r.probe.slowGo, r.probe.holdGo = make(chan struct{}), make(chan struct{})
		held, read, slept := make(chan error, 1), make(chan error, 1), make(chan error, 1)
		await := func(what string, ch chan error) {
			t.Helper()
			select {
			case err := <-ch:
				if err != nil {
					t.Errorf("%s: %v", what, err)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("%s: the reply did not leave", what)
			}
		}
		go func() { _, err := hold.Call(t.Context(), conn, rivet.None{}); held <- err }()
		<-r.probe.slowIn
		go func() { _, err := slow.Call(t.Context(), conn, 1); slept <- err }()
		<-r.probe.slowIn // the concurrent action runs although the turn is held: somebody else reads
		close(r.probe.holdGo)
		await("the slow handler", held)
		go func() { _, err := get.Call(t.Context(), conn, rivet.None{}); read <- err }()
		await("a later call", read)
		close(r.probe.slowGo)
		await("the concurrent call", slept)
	}
}

// The Go client finds its way back to a server that was gone, and listens again.
func TestConnectionSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	r := begin(t, dir, actor.Options{})
	address := strings.TrimPrefix(r.URL(), "http://")
	c, err := rivet.NewClient(r.URL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	conn, err := things.GetOrCreate(c, rivet.Key{"a"}, thing{}).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	events := changed.Listen(t.Context(), conn)
	want(t, add, conn, 1, 1)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	e, err := Start(t.Context(), Config{Listen: address, StoragePath: dir, Log: quiet()}, newProbe().definition(actor.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	want(t, add, conn, 1, 2)
	var seen []int64
	for n, err := range events {
		if err != nil {
			t.Fatal(err)
		}
		if seen = append(seen, n); n == 2 {
			break
		}
	}
	if fmt.Sprint(seen) != "[1 2]" {
		t.Errorf("events %v", seen)
	}
}

func TestSecondEngineOnTheSameDirectoryIsRefused(t *testing.T) {
	r := begin(t, "", actor.Options{})
	_, err := Start(t.Context(), Config{Listen: "127.0.0.1:0", StoragePath: r.dir, Log: quiet()})
	if err == nil || !strings.Contains(err.Error(), r.dir) || !strings.Contains(err.Error(), "RIVETKIT_STORAGE_PATH") {
		t.Errorf("the second engine: %v", err)
	}
}

func TestWhatStartRefuses(t *testing.T) {
	dir := t.TempDir()
	for want, cfg := range map[string]Config{
		"RIVET_ADMIN_TOKEN": {Listen: "0.0.0.0:0"},
		"write host:port":   {Listen: "nonsense"},
		"not a number":      {Listen: "127.0.0.1:http-ish"},
		"log level":         {LogLevel: "loud"},
	} {
		cfg.StoragePath = dir
		if _, err := Start(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", cfg, err, want)
		}
	}
	lonely := rivet.NewActor[thing]("lonely")
	rivet.NewAction[rivet.None, rivet.None](lonely, "unbound")
	_, err := Start(t.Context(), Config{Listen: "127.0.0.1:0", StoragePath: dir}, actor.Define(lonely, actor.Zero[thing, thingState]))
	var wrong *DefinitionError
	if !errors.As(err, &wrong) || !strings.Contains(err.Error(), `"unbound"`) {
		t.Errorf("an action without handler: %v", err)
	}
}
