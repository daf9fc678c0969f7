package lifecycle

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The files of testdata hold commands, a line "----" and the full trace, in blocks separated by empty lines. Each line
// of a trace is the state after the event and the effects. A file is one actor from its beginning; "reset" starts anew.
//
// Rewrite the expectations with -rewrite, and only commit the change if you understand what caused it.
var rewrite = flag.Bool("rewrite", false, "write the traces of this program into testdata")

func TestEngineTraces(t *testing.T) {
	runTraces(t, "testdata/engine_*.txt", func() func(string) (string, error) {
		m := new(Engine)
		return func(line string) (string, error) {
			name, msg, _ := strings.Cut(line, " ")
			i := indexOf(eventNames[:], name)
			if i < 0 {
				return "", fmt.Errorf("unknown event %q", name)
			}
			e := Event{Kind: EventKind(i)}
			if msg != "" {
				e.Err = errors.New(msg)
			}
			state := func() string {
				if m.state == Stopping {
					return "stopping(" + m.reason.String() + ")"
				}
				return m.state.String()
			}
			return trace(name, m.Step(e), state), m.valid()
		}
	})
}

func TestHostTraces(t *testing.T) {
	runTraces(t, "testdata/host_*.txt", func() func(string) (string, error) {
		m := new(Host)
		return func(line string) (string, error) {
			name, arg, _ := strings.Cut(line, " ")
			i := indexOf(hostEventNames[:], name)
			if i < 0 {
				return "", fmt.Errorf("unknown event %q", name)
			}
			e := HostEvent{Event: HostEventKind(i)}
			if e.Event == StopRequested {
				k := indexOf(kindNames[:], arg)
				if k < 0 {
					return "", fmt.Errorf("unknown kind %q", arg)
				}
				e.Kind = Kind(k)
			} else if arg != "" {
				e.Err = errors.New(arg)
			}
			state := func() string {
				verdict := [...]string{"accepts", "not ready", "is stopping", "is destroying"}[m.Verdict()]
				if m.Alarms() {
					verdict += ", alarms"
				}
				return m.phase.String() + " (" + verdict + ")"
			}
			return trace(name, m.Step(e), state), nil
		}
	})
}

func trace[E fmt.Stringer](event string, effects []E, state func() string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s -> %s", event, state())
	for i, e := range effects {
		b.WriteString([]string{": ", ", "}[min(i, 1)])
		b.WriteString(e.String())
	}
	return b.String()
}

func indexOf(names []string, name string) int {
	for i, n := range names {
		if n == name {
			return i
		}
	}
	return -1
}

func runTraces(t *testing.T, pattern string, start func() func(string) (string, error)) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no files match %s: %v", pattern, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			step := start()
			for i, block := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
				if i > 0 {
					got.WriteString("\n")
				}
				commands, _, _ := strings.Cut(block, "\n----")
				got.WriteString(commands + "\n")
				var out []string
				for line := range strings.Lines(commands) {
					line = strings.TrimSpace(line)
					switch {
					case line == "" || strings.HasPrefix(line, "#"):
						continue
					case line == "reset":
						step = start()
						continue
					}
					res, err := step(line)
					if err != nil {
						t.Fatalf("%q: %v", line, err)
					}
					out = append(out, res)
				}
				if len(out) > 0 {
					got.WriteString("----\n" + strings.Join(out, "\n") + "\n")
				}
			}
			if *rewrite {
				if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got.String() != string(text) {
				t.Errorf("the trace differs from %s; this program gives:\n%s", file, got.String())
			}
		})
	}
}

// valid checks the invariants of Engine.
func (m *Engine) valid() error {
	switch {
	case m.backing && m.state != Failed:
		return fmt.Errorf("backing in state %v", m.state)
	case m.early && m.state != Starting:
		return fmt.Errorf("early in state %v", m.state)
	case m.state == Stopping && m.doomed && m.reason != Destroy:
		return fmt.Errorf("doomed but stopping for %v", m.reason)
	case m.state == Failed && (m.failures == 0 || m.failure == nil):
		return errors.New("failed without a failure")
	}
	return nil
}

// TestEngineNothingIsStuck drives the machine with random events under the shell's promise, that every start, stop,
// release, erasure and backoff is answered, and checks that each of them is asked for when the state waits for it, that
// no two are under way at once, and that a doomed actor is never admitted again once it has been stopped.
func TestEngineNothingIsStuck(t *testing.T) {
	for seed := range uint64(2000) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		m := new(Engine)
		var pending []EffectKind // what the shell owes an answer for
		forgotten := false
		apply := func(e Event) {
			before := m.state
			for _, f := range m.Step(e) {
				switch f.Kind {
				case Start, Release, Erase, Backoff, Linger:
					pending = append(pending, f.Kind)
				case Stop:
					if indexKind(pending, Stop) < 0 {
						pending = append(pending, Stop)
					}
				case Forget:
					forgotten = true
				case Admit:
					if before != Running {
						t.Fatalf("seed %d: admitted in %v", seed, before)
					}
				}
			}
			if err := m.valid(); err != nil {
				t.Fatalf("seed %d: after %v: %v", seed, e.Kind, err)
			}
			want := map[State]EffectKind{Starting: Start, Stopping: Stop, Releasing: Release, Erasing: Erase}
			if f, ok := want[m.state]; ok && indexKind(pending, f) < 0 {
				t.Fatalf("seed %d: after %v in %v nobody owes %v", seed, e.Kind, m.state, f)
			}
		}
		answer := func() {
			i := rnd.IntN(len(pending))
			f := pending[i]
			pending = append(pending[:i], pending[i+1:]...)
			boom := errors.New("boom")
			switch f {
			case Start:
				switch rnd.IntN(4) {
				case 0:
					apply(Event{Kind: StartFailed, Err: boom})
				case 1:
					apply(Event{Kind: StartMissing})
				default:
					apply(Event{Kind: Started})
				}
			case Stop:
				apply(Event{Kind: Stopped})
			case Release:
				apply(Event{Kind: Released})
			case Erase:
				if rnd.IntN(3) == 0 {
					apply(Event{Kind: EraseFailed, Err: boom})
				} else {
					apply(Event{Kind: Erased})
				}
			case Backoff:
				apply(Event{Kind: BackoffOver})
			case Linger:
				apply(Event{Kind: Forgotten})
			}
		}
		for range 60 {
			if forgotten {
				break
			}
			if len(pending) > 0 && rnd.IntN(2) == 0 {
				answer()
				continue
			}
			kinds := []EventKind{Request, Request, Request, SleepWanted, DestroyWanted, Delete, TurnedAway}
			if rnd.IntN(20) == 0 {
				kinds = []EventKind{Drain}
			}
			k := kinds[rnd.IntN(len(kinds))]
			if (k == DestroyWanted || k == TurnedAway) && m.state != Running {
				continue // only a live actor says that
			}
			apply(Event{Kind: k})
		}
		// Left alone, with everything answered, it comes to rest.
		for i := 0; len(pending) > 0 && !forgotten; i++ {
			if i > 1000 {
				t.Fatalf("seed %d: does not come to rest: %v, owes %v", seed, m.state, pending)
			}
			answer()
		}
		if m.doomed && !forgotten && m.state != Destroyed {
			t.Fatalf("seed %d: doomed but at rest in %v", seed, m.state)
		}
	}
}

func indexKind(kinds []EffectKind, k EffectKind) int {
	for i := range kinds {
		if kinds[i] == k {
			return i
		}
	}
	return -1
}
