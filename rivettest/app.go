package rivettest

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
	"github.com/rivetgo/rivet/engine"
	"github.com/rivetgo/rivet/internal/store/memory"
	"github.com/rivetgo/rivet/internal/wire/id"
)

// URL is the address of every App. Only an App's own Dial leads there.
const URL = "http://rivet.test"

// App is a process that hosts actors, for one test. What it stores outlives the process, as a disk does, and ends with
// the test.
//
// Client, Dial, Awake and Faults may be called concurrently; the other methods belong to the test's own goroutine, for
// they fail the test with Fatal when what they are asked for does not come about.
type App struct {
	t           testing.TB
	cfg         engine.Config
	definitions []actor.Definition
	bubble      bool // time is virtual
	network     *network
	client      *rivet.Client
	remains     sync.WaitGroup // what is left of lives that were killed

	mu   sync.Mutex // guards life
	life *life
}

// Target is an actor to be named to an App: every rivet.Handle is one. A handle from GetOrCreate creates the actor when
// there is none, and an actor that is created so begins to wake.
type Target interface {
	Resolve(ctx context.Context) (actorID string, err error)
}

// Start starts a process that hosts the given actors, on an empty storage, and returns when it serves. It ends with the
// test, in good order: actors go to sleep, and the test fails when they cannot within half a minute. What the process
// logs goes to the test's log. Mistakes in the definitions fail the test.
//
// Inside synctest.Test time is virtual, for the process and its actors too; see Advance. Outside, the methods but
// Advance and CrashFor work the same.
func Start(t testing.TB, definitions ...actor.Definition) *App {
	t.Helper()
	return StartWith(t, engine.Config{}, definitions...)
}

// StartWith is Start with a configuration, as for tests of tokens. Listen and StoragePath mean nothing here. LogLevel
// applies to the test's log, Log replaces it.
func StartWith(t testing.TB, cfg engine.Config, definitions ...actor.Definition) *App {
	t.Helper()
	cfg.Listen, cfg.StoragePath = "", ""
	a := &App{t: t, cfg: cfg, definitions: definitions, bubble: inBubble(), network: newNetwork()}
	var err error
	if a.client, err = a.NewClient(nil); err != nil {
		t.Fatal(err)
	}
	a.begin(memory.New(memory.Options{}))
	t.Cleanup(a.end)
	return a
}

// begin starts a life of the process, on a store, that clients reach.
func (a *App) begin(st *memory.Store) {
	a.t.Helper()
	l, err := begin(a.t.Context(), a.t, st, a.cfg, a.definitions)
	if err != nil {
		a.network.refuse()
		a.t.Fatal(err)
	}
	a.mu.Lock()
	a.life = l
	a.mu.Unlock()
	a.network.reach(l.listener)
}

// end is the cleanup.
func (a *App) end() {
	l := a.now()
	a.client.Close() // while there is somebody to say goodbye to
	if err := l.end(); err != nil {
		a.t.Errorf("rivettest: the process did not end in good order: %v", err)
	}
	a.network.refuse()
	a.network.sever() // clients that the test made and left open
	a.remains.Wait()
	l.dead.Store(true)
}

// now is the present life.
func (a *App) now() *life {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.life
}

// Client calls the process's actors. It outlives crashes and restarts: calls that are under way when the process dies
// fail with client.request_failed, connections open a new socket, and later calls reach the next process. It is closed
// at the end of the test.
func (a *App) Client() *rivet.Client { return a.client }

// NewClient returns a client with options of its own, which the test closes. The namespace and the pool are the default
// ones, whatever the environment says; HTTPClient must be nil.
func (a *App) NewClient(o *rivet.ClientOptions) (*rivet.Client, error) {
	var own rivet.ClientOptions
	if o != nil {
		own = *o
	}
	if own.Namespace == "" {
		own.Namespace = "default"
	}
	if own.Pool == "" {
		own.Pool = "default"
	}
	own.DialContext, own.DisableMetadataLookup = a.Dial, true
	return rivet.NewClient(URL, &own)
}

// Dial opens a connection to the process, whatever the address. It fits http.Transport.DialContext, for requests that
// are not a rivet.Client's; close their idle connections before the test ends. It waits for a process that is about to
// start and is refused while the process is down.
func (a *App) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return a.network.dial(ctx, network, addr)
}

// Advance lets d of virtual time pass, with everything that happens meanwhile, and returns when all is quiet again:
// every goroutine of the test's bubble waits for something that only more time or the test brings about. It fails the
// test outside of synctest.Test.
func (a *App) Advance(d time.Duration) {
	a.t.Helper()
	a.needVirtualTime("Advance")
	synctest.Wait()
	time.Sleep(d)
	synctest.Wait()
}

func (a *App) needVirtualTime(method string) {
	a.t.Helper()
	if !a.bubble {
		a.t.Fatalf("rivettest: %s needs virtual time: wrap the test, the Start of the App included, in synctest.Test(t, func(t *testing.T) { … })", method)
	}
}

// settle waits, where time is virtual, until nothing more happens by itself at this instant.
func (a *App) settle() {
	if a.bubble {
		synctest.Wait()
	}
}

// inBubble reports whether time is virtual for the caller. There is no question to ask; but waiting for a bubble
// panics where there is none.
func inBubble() (bubble bool) {
	defer func() {
		if r := recover(); r != nil {
			if fmt.Sprint(r) != "goroutine is not in a bubble" {
				panic(r)
			}
			bubble = false
		}
	}()
	synctest.Wait()
	return true
}

// Sleep makes the actor go to sleep now, as if it had been idle, and returns when it sleeps: OnSleep has run, work
// under way is done or cut off after Options.GracePeriod, and everything is durable. An actor that sleeps is left alone.
func (a *App) Sleep(target Target) {
	a.t.Helper()
	if err := a.now().controls.Sleep(a.t.Context(), a.find(target)); err != nil {
		a.t.Fatalf("rivettest: the actor does not fall asleep: %v", err)
	}
}

// Wake makes the actor run, as a call would, and returns when it does: OnWake has run. An actor that runs is left alone.
func (a *App) Wake(target Target) {
	a.t.Helper()
	if err := a.now().controls.Wake(a.t.Context(), a.find(target)); err != nil {
		a.t.Fatalf("rivettest: the actor does not wake: %v", err)
	}
}

// Awake reports whether the actor runs. It does not wake it.
func (a *App) Awake(target Target) bool {
	a.t.Helper()
	return a.now().controls.Awake(a.find(target))
}

// find returns the id of a target.
func (a *App) find(target Target) id.ID {
	a.t.Helper()
	text, err := target.Resolve(a.t.Context())
	if err != nil {
		a.t.Fatalf("rivettest: the actor is not found: %v", err)
	}
	actor, err := id.Parse(text)
	if err != nil {
		a.t.Fatalf("rivettest: %q is not an actor's id: %v", text, err)
	}
	return actor
}

// Crash ends the process without warning, as kill -9 or a power cut would, and starts the next one on the same storage.
// What was not durable is gone; no hook runs; connections break off and are opened again by their clients; actors sleep
// until they are called. Dials wait for the next process.
//
// Where time is virtual, what can happen at this instant happens first: a call under way is hit when it waits for time,
// for a held commit, or for the test. Handlers that are hit go on in the test's process until they return, for nobody
// can end them; their context has ended, and nothing they do reaches the storage or a caller.
func (a *App) Crash() {
	a.t.Helper()
	a.settle()
	a.network.pause()
	a.begin(a.kill())
	a.settle()
}

// CrashFor is Crash with d of virtual time before the next process starts. Meanwhile dials are refused. It fails the
// test outside of synctest.Test.
func (a *App) CrashFor(d time.Duration) {
	a.t.Helper()
	a.needVirtualTime("CrashFor")
	a.settle()
	a.network.refuse()
	st := a.kill()
	time.Sleep(d)
	a.settle()
	a.network.pause()
	a.begin(st)
	a.settle()
}

// kill ends the present life and returns what is durable of it.
func (a *App) kill() *memory.Store {
	l := a.now()
	l.dead.Store(true)
	a.network.sever() // nobody hears of anything that is not durable
	rest := l.controls.Kill()
	l.memory.Kill()
	a.remains.Go(rest) // ends when starts under way have returned
	return l.memory.Reopen()
}

// Restart stops the process in good order and starts the next one on the same storage: actors run OnSleep, and
// everything is durable. Dials wait for the next process. All faults end first.
func (a *App) Restart() {
	a.t.Helper()
	a.settle()
	l := a.now()
	a.network.pause()
	if err := l.end(); err != nil {
		a.t.Errorf("rivettest: the process did not end in good order: %v", err)
	}
	a.network.sever()
	l.dead.Store(true)
	a.begin(l.memory.Reopen())
	a.settle()
}
