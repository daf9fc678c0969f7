package main

import (
	"bytes"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/engine"
)

// logText collects what the program says. Safe for concurrent use.
type logText struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// all are the actors: those that others call are declared once for a process.
var all = sync.OnceValue(definitions)

// start serves all actors; what they say is in the log.
func start(t *testing.T) (*engine.Engine, *logText) {
	t.Helper()
	log := &logText{}
	e, err := engine.Start(t.Context(), engine.Config{
		Listen: "127.0.0.1:0", StoragePath: t.TempDir(), ShutdownTimeout: shutdownTimeout,
		Log: slog.New(slog.NewTextHandler(log, nil)),
	}, all()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() }) // some actors never end by themselves
	return e, log
}

// at is an actor with a key of its own, known only by its name.
func at(name string) rivet.Actor[raw] { return rivet.NewActor[raw](name) }

func invoke[A, R any](t *testing.T, e *engine.Engine, name, action string, arg A) R {
	t.Helper()
	of := at(name)
	got, err := rivet.NewAction[A, R](of, action).Call(t.Context(), of.GetOrCreate(e.Client(), rivet.Key{t.Name()}, nil), arg)
	if err != nil {
		t.Fatalf("%s.%s: %v", name, action, err)
	}
	return got
}

// The table in README.md is the list of what is served.
func TestREADMEListsTheActors(t *testing.T) {
	e, _ := start(t)
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var done []string
	for _, line := range regexp.MustCompile("(?m)^\\| \\d+ \\| `(\\w+)` \\| done").FindAllStringSubmatch(string(readme), -1) {
		done = append(done, line[1])
	}
	served := slices.Sorted(slices.Values(e.Actors()))
	slices.Sort(done)
	if !slices.Equal(served, done) {
		t.Errorf("served but not listed as done, or the other way round:\n%q\n%q", served, done)
	}
}

func TestStopsWithinASecond(t *testing.T) {
	e, _ := start(t)
	invoke[none, none](t, e, "runWithTicks", "getState", none{})
	invoke[none, raw](t, e, "runIgnoresAbortStopTimeout", "getState", none{})
	of := at("saveStateActor")
	h := of.GetOrCreate(e.Client(), rivet.Key{t.Name()}, nil)
	blocked := make(chan error, 1)
	go func() {
		_, err := rivet.NewAction[float64, none](of, "saveImmediateAndBlock").Call(t.Context(), h, 1)
		blocked <- err
	}()
	// The block begins when its phase is recorded.
	observers := at("saveStateObserver")
	phase := rivet.NewAction[string, *string](observers, "getPhase")
	for observer := observers.GetOrCreate(e.Client(), rivet.Key{"observer"}, nil); ; <-time.After(5 * time.Millisecond) {
		p, err := phase.Call(t.Context(), observer, t.Name())
		if err != nil {
			t.Fatal(err)
		}
		if p != nil {
			break
		}
	}
	began := time.Now()
	_ = e.Close()
	if took := time.Since(began); took > time.Second {
		t.Errorf("the end took %v", took)
	}
	if err := <-blocked; err == nil {
		t.Error("the action that never ends has ended")
	}
}

// What observers of the program's output look for.
func TestLogsARejectedTask(t *testing.T) {
	e, log := start(t)
	if n := invoke[none, int](t, e, "counterWaitUntilProbe", "triggerWaitUntilRejectVoid", none{}); n != 1 {
		t.Errorf("count = %d", n)
	}
	deadline := time.After(5 * time.Second)
	for {
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, "level=WARN") && strings.Contains(line, "actor wait_until promise rejected") && strings.Contains(line, "reject-with-error-ok") {
				return
			}
		}
		select {
		case <-deadline:
			t.Fatalf("no such line:\n%s", log)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestTextIsCBOR(t *testing.T) {
	e, _ := start(t)
	for _, n := range []int{0, 1, 23, 24, 255, 256, 1000} {
		s := strings.Repeat("k", n)
		got := invoke[raw, string](t, e, "statelessActor", "echo", text(s))
		if got != s {
			t.Errorf("a text of %d bytes came back with %d", n, len(got))
		}
	}
}
