package runner_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/rivetgo/rivet/internal/runner"
	"github.com/rivetgo/rivet/internal/wire/fault"
	proto "github.com/rivetgo/rivet/internal/wire/runnerproto"
)

// inWorld runs a test with a connected runner under virtual time.
func inWorld(t *testing.T, fn func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		w.connect()
		fn(t, w)
	})
}

func TestALife(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.await("metadata", 0, func(m proto.ToRivet) bool {
			d, ok := m.(*proto.Metadata)
			if !ok {
				t.Errorf("the first message is %T", m)
			}
			return ok && len(d.Names) == 1 && d.Names[0].Name == "tally" && d.JSON != nil
		})
		w.await("a pong", 0, func(m proto.ToRivet) bool { _, ok := m.(*proto.Pong); return ok })
		if !strings.Contains(w.protocol, "rivet_token.secret") {
			t.Errorf("subprotocols %q", w.protocol)
		}
		w.live(1)
		w.await("an acknowledgement", 0, func(m proto.ToRivet) bool {
			a, ok := m.(*proto.AckCommands)
			return ok && len(a.Upto) == 1 && a.Upto[0] == proto.Checkpoint{Actor: w.actor, Generation: 1, Index: 1}
		})
		for _, expected := range []string{"1", "2", "3"} {
			status, output := w.ask(w.actor, "inc")()
			want(t, "inc", status, output, 200, expected)
		}
		w.stop(w.actor, 1, proto.StopGoingAway)
		if ev := w.awaitState(w.actor, 1, stopped); ev.State.Failed {
			t.Errorf("a life that was asked to end has failed: %s", *ev.State.Message)
		}
		w.live(2)
		status, output := w.ask(w.actor, "get")()
		want(t, "the next life", status, output, 200, "3")
	})
}

func TestSleepAndDestroyAreWishes(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.live(1)
		w.ask(w.actor, "sleep")()
		w.awaitState(w.actor, 1, func(ev proto.Event) bool { return ev.Intent != nil && *ev.Intent == proto.IntentSleep })
		for _, ev := range w.events(w.actor, 1) {
			if stopped(ev) {
				t.Error("the actor stopped before the engine said so")
			}
		}
		w.stop(w.actor, 1, proto.StopSleep)
		if ev := w.awaitState(w.actor, 1, stopped); ev.State.Failed {
			t.Errorf("%s", *ev.State.Message)
		}
	})
}

func TestNothingIsAcknowledgedByAnActorThatIsToBeDestroyed(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.live(1)
		w.ask(w.actor, "destroy")()
		if _, output := w.ask(w.actor, "inc")(); output != "aborted" { // the gateway finds out what has become of it
			t.Errorf("a call after the wish: %s", output)
		}
		ev := w.awaitState(w.actor, 1, stopped)
		wish := w.awaitState(w.actor, 1, func(ev proto.Event) bool { return ev.Intent != nil && *ev.Intent == proto.IntentStop })
		if ev.State.Failed || wish.At.Index > ev.At.Index {
			t.Errorf("wish %d, end %d %+v", wish.At.Index, ev.At.Index, ev.State)
		}
	})
}

// The engine destroys an actor that ends in good order without having been asked to: no such end may be told.
func TestNoEndIsOrderlyUnlessTheEngineAskedForIt(t *testing.T) {
	for name, end := range map[string]func(w *world){
		"a commit is refused": func(w *world) {
			w.onCommit = func(*proto.CommitRequest) (*proto.SQLiteError, bool, bool) { return errRefused, false, true }
			w.ask(w.actor, "inc")()
		},
		"the runner drains without a connection": func(w *world) {
			w.mu.Lock()
			w.refuse = true
			w.mu.Unlock()
			w.cut()
			synctest.Wait()
			if err := w.runner.Drain(context.Background()); err != nil {
				w.t.Error(err)
			}
			w.mu.Lock()
			w.refuse = false
			w.mu.Unlock()
		},
		"the engine is away for too long": func(w *world) {
			w.mu.Lock()
			w.refuse = true
			w.mu.Unlock()
			w.cut()
			time.Sleep(20 * time.Second)
			w.mu.Lock()
			w.refuse = false
			w.mu.Unlock()
		},
		"the engine takes it for lost": func(w *world) { w.stop(w.actor, 1, proto.StopLost) },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.live(1)
				w.ask(w.actor, "inc")()
				end(w)
				if ev := w.awaitState(w.actor, 1, stopped); !ev.State.Failed {
					t.Error("the engine would destroy the actor")
				}
			})
		})
	}
}

func TestAStartThatFailsIsToldToWhoWaits(t *testing.T) {
	errCreate = errTyped
	defer func() { errCreate = nil }()
	inWorld(t, func(t *testing.T, w *world) {
		w.engine.start(w.actor, 1)
		status, output := w.ask(w.actor, "get")()
		want(t, "a call", status, output, 400, "no")
		if ev := w.awaitState(w.actor, 1, stopped); !ev.State.Failed || !strings.Contains(*ev.State.Message, "user.no") {
			t.Errorf("%+v", ev.State)
		}
	})
}

// A text that the protocol cannot carry must not cost the connection, which all actors share.
func TestAnErrorThatIsNotText(t *testing.T) {
	errCreate = fault.New("user", "no", "not \xff this"+strings.Repeat(".", 100_000))
	defer func() { errCreate = nil }()
	inWorld(t, func(t *testing.T, w *world) {
		w.mu.Lock()
		dials := w.dials
		w.mu.Unlock()
		w.engine.start(w.actor, 1)
		if ev := w.awaitState(w.actor, 1, stopped); !ev.State.Failed || len(*ev.State.Message) > 8<<10 {
			t.Errorf("%.100s", *ev.State.Message)
		}
		time.Sleep(time.Minute)
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.dials != dials {
			t.Errorf("the runner connected %d times more", w.dials-dials)
		}
	})
}

func TestCommandsThatComeAgainAreNotCarriedOutAgain(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.live(1)
		w.ask(w.actor, "inc")()
		for range 3 {
			w.send(startCommand(w.actor, 1, nil))
		}
		synctest.Wait()
		from := w.seen()
		w.cut() // and once more after a reconnect
		w.await("metadata again", from, func(m proto.ToRivet) bool { _, ok := m.(*proto.Metadata); return ok })
		w.send(startCommand(w.actor, 1, nil))
		status, output := w.ask(w.actor, "inc")()
		want(t, "the actor", status, output, 200, "2")
		synctest.Wait()
		n := 0
		for _, ev := range w.events(w.actor, 1) {
			if running(ev) {
				n++
			}
		}
		if n != 1 || w.runner.Live() != 1 {
			t.Errorf("it began %d times, and %d live", n, w.runner.Live())
		}
		acks := 0
		w.mu.Lock()
		for _, m := range w.got {
			if _, ok := m.(*proto.AckCommands); ok {
				acks++
			}
		}
		w.mu.Unlock()
		if acks != 5 {
			t.Errorf("%d commands were acknowledged, want each of 5", acks)
		}
	})
}

func TestEventsAreSaidAgainUntilTheyAreAcknowledged(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.live(1)
		again := func() []int64 {
			synctest.Wait()
			from := w.seen()
			w.cut()
			var got []int64
			w.await("metadata", from, func(m proto.ToRivet) bool { _, ok := m.(*proto.Metadata); return ok })
			synctest.Wait()
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, m := range w.got[from:] {
				if list, ok := m.(*proto.Events); ok {
					for _, ev := range list.List {
						got = append(got, ev.At.Index)
					}
				}
			}
			return got
		}
		if got := again(); len(got) != 2 || got[0] != 0 || got[1] != 1 { // running, no alarm
			t.Errorf("after a reconnect come %v", got)
		}
		w.send(&proto.AckEvents{Upto: []proto.Checkpoint{{Actor: w.actor, Generation: 1, Index: 0}}})
		if got := again(); len(got) != 1 || got[0] != 1 {
			t.Errorf("after the first was acknowledged come %v", got)
		}
	})
}

func TestG2_an_answer_waits_for_the_commit(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.live(1)
		hold := make(chan struct{})
		w.mu.Lock()
		w.onCommit = func(*proto.CommitRequest) (*proto.SQLiteError, bool, bool) { <-hold; return nil, true, true }
		before := w.commits
		w.mu.Unlock()
		var answers []func() (int, string)
		for range 10 {
			answers = append(answers, w.ask(w.actor, "inc"))
		}
		synctest.Wait()
		w.mu.Lock()
		for _, m := range w.got {
			if f, ok := m.(*proto.FromRunner); ok {
				t.Errorf("before the commit is durable comes %T", f.Kind)
			}
		}
		w.mu.Unlock()
		close(hold)
		told := make(map[string]bool)
		for _, answer := range answers {
			status, output := answer()
			told[output] = status == 200
		}
		if len(told) != 10 || !told["1"] || !told["10"] { // requests come side by side
			t.Errorf("%v", told)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if n := w.commits - before; n > 3 {
			t.Errorf("ten turns that came together took %d commits", n)
		}
	})
}

func TestG2_a_commit_whose_answer_was_lost_is_recognised(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.live(1)
		w.ask(w.actor, "inc")()
		lost := false
		w.mu.Lock()
		w.onCommit = func(*proto.CommitRequest) (*proto.SQLiteError, bool, bool) {
			if lost {
				return nil, true, true
			}
			lost = true
			go w.cut() // the commit is carried out, and nobody hears of it
			return nil, true, false
		}
		w.mu.Unlock()
		status, output := w.ask(w.actor, "inc")()
		want(t, "the call", status, output, 200, "2")
		status, output = w.ask(w.actor, "inc")()
		want(t, "the next", status, output, 200, "3")
		if w.runner.Live() != 1 {
			t.Error("the actor ended")
		}
	})
}

func TestG3_another_writer_ends_the_life(t *testing.T) {
	for name, overtake := range map[string]func(w *world){
		"a commit came between": func(w *world) { w.stores[w.actor].head++ },
		"a newer generation":    func(w *world) { w.stores[w.actor].generation++ },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.live(1)
				w.ask(w.actor, "inc")()
				w.mu.Lock()
				overtake(w)
				w.mu.Unlock()
				_, output := w.ask(w.actor, "inc")()
				if output == "2" {
					t.Error("a commit that was refused is acknowledged")
				}
				w.awaitState(w.actor, 1, stopped)
			})
		})
	}
}

func TestG3_a_start_of_a_newer_generation_ends_the_older(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.live(1)
		w.ask(w.actor, "inc")()
		w.live(2)
		status, output := w.ask(w.actor, "inc")()
		want(t, "the newer", status, output, 200, "2")
		synctest.Wait()
		if n := w.runner.Live(); n != 1 {
			t.Errorf("%d live", n)
		}
	})
}

func TestG10_a_refused_commit_is_told_and_memory_agrees_with_the_engine(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.live(1)
		w.ask(w.actor, "inc")()
		w.mu.Lock()
		w.onCommit = func(*proto.CommitRequest) (*proto.SQLiteError, bool, bool) { return errRefused, false, true }
		w.mu.Unlock()
		if _, output := w.ask(w.actor, "inc")(); output != "commit_failed" {
			t.Errorf("the call that met it: %s", output)
		}
		w.awaitState(w.actor, 1, stopped)
		w.mu.Lock()
		w.onCommit = nil
		w.mu.Unlock()
		w.live(2)
		status, output := w.ask(w.actor, "inc")()
		want(t, "the next life", status, output, 200, "2")
	})
}

// An engine that answers a commit with something else ends the one actor, not the program.
func TestAnAnswerOfAnotherKind(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.live(1)
		w.ask(w.actor, "inc")()
		w.mu.Lock()
		w.onCommit = func(m *proto.CommitRequest) (*proto.SQLiteError, bool, bool) {
			w.send(&proto.GetPagesResponse{ID: m.ID})
			return nil, false, false
		}
		w.mu.Unlock()
		if _, output := w.ask(w.actor, "inc")(); output != "commit_failed" {
			t.Errorf("the call that met it: %s", output)
		}
		ev := w.awaitState(w.actor, 1, stopped)
		if s := ev.State; !s.Failed || s.Message == nil || !strings.Contains(*s.Message, "GetPagesResponse") {
			t.Errorf("told: %+v", s)
		}
		w.mu.Lock()
		w.onCommit = nil
		w.mu.Unlock()
		w.live(2)
		status, output := w.ask(w.actor, "inc")()
		want(t, "the next life", status, output, 200, "2")
	})
}

func TestEviction(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.live(1)
		w.mu.Lock()
		c, dials := w.conn, w.dials
		w.mu.Unlock()
		c.Close(websocket.StatusNormalClosure, "ws.eviction#ray")
		<-w.runner.Done()
		if e := (*runner.EvictedError)(nil); !errors.As(w.runner.Err(), &e) {
			t.Errorf("%v", w.runner.Err())
		}
		time.Sleep(5 * time.Minute)
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.dials != dials || w.runner.Live() != 0 {
			t.Errorf("it dialled %d times more, and %d actors live", w.dials-dials, w.runner.Live())
		}
	})
}

func TestDrain(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.live(1)
		done := make(chan error, 1)
		go func() { done <- w.runner.Drain(t.Context()) }()
		w.await("that it stops", 0, func(m proto.ToRivet) bool { _, ok := m.(*proto.Stopping); return ok })
		status, output := w.ask(w.actor, "inc")()
		want(t, "meanwhile", status, output, 200, "1")
		w.stop(w.actor, 1, proto.StopGoingAway)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if ev := w.awaitState(w.actor, 1, stopped); ev.State.Failed {
			t.Errorf("%s", *ev.State.Message)
		}
	})
}

func TestReconnectsSlowDown(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.mu.Lock()
		w.refuse = true
		before := w.dials
		w.mu.Unlock()
		w.cut()
		time.Sleep(10 * time.Minute)
		w.mu.Lock()
		n := w.dials - before
		w.refuse = false
		w.mu.Unlock()
		if n < 15 || n > 40 {
			t.Errorf("%d attempts within ten minutes", n)
		}
		from := w.seen()
		w.await("metadata", from, func(m proto.ToRivet) bool { _, ok := m.(*proto.Metadata); return ok })
	})
}

func TestAnOldEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		w.version = 6
		w.connect()
		w.live(1)
		status, output := w.ask(w.actor, "inc")()
		want(t, "inc", status, output, 200, "1")
	})
}

func TestTooLargeAResponse(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.live(1)
		status, output := w.ask(w.actor, "large")()
		if status != 500 || !strings.Contains(output, "longer than") {
			t.Errorf("%d %.100s", status, output)
		}
	})
}

func TestAnUnknownActorIsSentBack(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		if _, output := w.ask("pii14uo6luorikz3tfxame8qbzbl00", "inc")(); output != "aborted" {
			t.Errorf("%s", output)
		}
	})
}

func TestStreams(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.live(1)
		name, from := w.tunnel(), w.seen()
		index := uint16(0)
		say := func(k proto.GatewayKind) {
			w.send(&proto.FromGateway{Tunnel: name, Index: index, Kind: k})
			index++
		}
		next := uint16(0)
		hear := func() (kind proto.RunnerKind) {
			t.Helper()
			from = w.await("a part", from, func(m proto.ToRivet) bool {
				f, ok := m.(*proto.FromRunner)
				if !ok || f.Tunnel != name {
					return false
				}
				if f.Index != next {
					t.Errorf("frame %d where %d is due", f.Index, next)
				}
				next++
				kind = f.Kind
				return true
			})
			return kind
		}
		say(&proto.RequestStart{Actor: w.actor, Method: "POST", Path: "/request/echo", Stream: true, ResponseStream: true})
		var sent, got []byte
		for i := range 40 { // more than the window, so it only passes if both sides open it
			part := bytes.Repeat([]byte{byte(i)}, 60_000)
			sent = append(sent, part...)
			say(&proto.RequestChunk{Body: part, Finish: i == 39})
			for len(got) < len(sent) {
				switch k := hear().(type) {
				case *proto.ResponseStart:
					if !k.Stream || k.Status != 200 {
						t.Fatalf("%+v", k)
					}
					if !slices.Contains(k.Headers, proto.Header{Name: "x-kind", Value: "a, b"}) {
						t.Errorf("header %+v", k.Headers)
					}
				case *proto.ResponseChunk:
					got = append(got, k.Body...)
					say(&proto.ResponseWindow{Consumed: uint64(len(got))})
				case *proto.RequestWindow:
				default:
					t.Fatalf("%T", k)
				}
			}
		}
		for {
			if k, ok := hear().(*proto.ResponseChunk); ok && k.Finish {
				break
			}
		}
		if !bytes.Equal(got, sent) {
			t.Errorf("%d bytes came back of %d", len(got), len(sent))
		}
	})
}

func TestAGapInAStreamEndsIt(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.live(1)
		name, from := w.tunnel(), w.seen()
		w.send(&proto.FromGateway{Tunnel: name, Kind: &proto.RequestStart{Actor: w.actor, Method: "POST", Path: "/request/echo", Stream: true, ResponseStream: true}})
		w.send(&proto.FromGateway{Tunnel: name, Index: 2, Kind: &proto.RequestChunk{Body: []byte("x"), Finish: true}})
		w.await("an end", from, func(m proto.ToRivet) bool {
			f, ok := m.(*proto.FromRunner)
			return ok && f.Tunnel == name
		})
		status, output := w.ask(w.actor, "inc")()
		want(t, "the actor", status, output, 200, "1")
	})
}

// socket is a client's socket as the gateway sees it.
type socket struct {
	w    *world
	name proto.Tunnel
	from int
}

func (w *world) open(path string) *socket {
	s := &socket{w, w.tunnel(), w.seen()}
	w.send(&proto.FromGateway{Tunnel: s.name, Kind: &proto.SocketOpen{
		Actor: w.actor, Path: path, Headers: []proto.Header{{Name: "sec-websocket-protocol", Value: "rivet,rivet_encoding.json"}},
	}})
	return s
}

func (s *socket) say(index uint16, text string) {
	s.w.send(&proto.FromGateway{Tunnel: s.name, Index: index, Kind: &proto.SocketMessage{Data: []byte(text)}})
}

// hear waits for the next frame of a kind.
func hear[K proto.RunnerKind](s *socket) (kind K) {
	s.w.t.Helper()
	s.from = s.w.await("a frame", s.from, func(m proto.ToRivet) bool {
		f, ok := m.(*proto.FromRunner)
		if !ok || f.Tunnel != s.name {
			return false
		}
		kind, ok = f.Kind.(K)
		return ok
	})
	return kind
}

const increment = `{"body":{"tag":"ActionRequest","val":{"id":["$BigInt","1"],"name":"inc","args":[]}}}`

func TestASocketGoesOnInTheNextLife(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.live(1)
		s := w.open("/connect")
		if k := hear[*proto.SocketOpened](s); !k.CanHibernate {
			t.Error("the socket would end with the life")
		}
		hear[*proto.SocketSent](s) // Init
		s.say(1, increment)
		if k := hear[*proto.SocketSent](s); !strings.Contains(string(k.Data), `"output":1`) {
			t.Errorf("%s", k.Data)
		}
		if k := hear[*proto.SocketAck](s); k.Index != 1 {
			t.Errorf("message %d is acknowledged", k.Index)
		}
		w.stop(w.actor, 1, proto.StopSleep)
		if k := hear[*proto.SocketClosed](s); !k.Hibernate {
			t.Error("the socket is closed")
		}
		w.awaitState(w.actor, 1, stopped)
		w.live(2, s.name)
		hear[*proto.SocketOpened](s)
		s.say(2, increment)
		if k := hear[*proto.SocketSent](s); !strings.Contains(string(k.Data), `"output":2`) {
			t.Errorf("%s", k.Data)
		}
	})
}

// A runner dies when a message has taken effect and its reply has not left: the gateway sends it again to the next life.
func TestG1_a_message_that_comes_again_takes_effect_once(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.live(1)
		s := w.open("/connect")
		hear[*proto.SocketSent](s)
		s.say(1, increment)
		hear[*proto.SocketAck](s)
		w.mu.Lock()
		w.onCommit = func(*proto.CommitRequest) (*proto.SQLiteError, bool, bool) { return nil, true, false }
		w.mu.Unlock()
		s.say(2, increment) // carried out, and nobody hears of it
		synctest.Wait()
		w.live(2, s.name) // by then the engine has taken the first life for lost
		w.mu.Lock()
		w.onCommit = nil
		w.mu.Unlock()
		hear[*proto.SocketOpened](s)
		s.say(2, increment)
		if k := hear[*proto.SocketSent](s); !strings.Contains(string(k.Data), "reply_lost") {
			t.Errorf("%s", k.Data)
		}
		if k := hear[*proto.SocketAck](s); k.Index != 2 {
			t.Errorf("message %d is acknowledged", k.Index)
		}
		s.say(3, increment)
		if k := hear[*proto.SocketSent](s); !strings.Contains(string(k.Data), `"output":3`) {
			t.Errorf("%s", k.Data)
		}
	})
}

func TestAMessageThatIsMissingEndsTheSocket(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.live(1)
		s := w.open("/connect")
		hear[*proto.SocketSent](s)
		s.say(1, increment)
		hear[*proto.SocketAck](s)
		s.say(3, increment)
		if k := hear[*proto.SocketClosed](s); k.Code == nil || *k.Code != 1008 {
			t.Errorf("%+v", k)
		}
	})
}

func TestACutEndsSocketsAndAnswersRequests(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.live(1)
		s := w.open("/connect")
		hear[*proto.SocketSent](s)
		hold := make(chan struct{})
		w.mu.Lock()
		w.onCommit = func(*proto.CommitRequest) (*proto.SQLiteError, bool, bool) { <-hold; return nil, true, true }
		w.mu.Unlock()
		answer := w.ask(w.actor, "inc")
		synctest.Wait()
		w.cut()
		w.mu.Lock()
		w.onCommit = nil
		w.mu.Unlock()
		close(hold)
		status, output := answer() // on the next connection
		want(t, "a request that was under way", status, output, 200, "1")
		if k := hear[*proto.SocketClosed](s); k.Hibernate || *k.Reason != "actor.connection_lost" {
			t.Errorf("%+v", k)
		}
	})
}

func TestARefusalSaysWhatToDo(t *testing.T) {
	for reason, advice := range map[string]string{
		"ws.no_runner_config#ray":    "create the pool",
		"namespace.not_found#ray":    "RIVET_NAMESPACE",
		"api.forbidden#ray":          "RIVET_TOKEN",
		"ws.invalid_request#ray":     "RIVET_POOL",
		"ws.timed_out_something#ray": "",
	} {
		t.Run(reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				defer w.close()
				w.mu.Lock()
				w.closeWith = reason
				w.mu.Unlock()
				w.runner.Start()
				time.Sleep(3 * time.Second)
				if text := w.log.String(); !strings.Contains(text, advice) || advice != "" && !strings.Contains(text, "what_to_do") || strings.Contains(text, "secret") {
					t.Errorf("the log says %s", text)
				}
				w.mu.Lock()
				w.closeWith = ""
				w.mu.Unlock()
				<-w.runner.Ready() // it tries again by itself
			})
		})
	}
}

// A socket that nobody here knows would stay silent for ever: its client has to begin anew.
func TestAMessageOfAnUnknownSocketEndsIt(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := &socket{w: w, name: w.tunnel(), from: w.seen()}
		s.say(1, increment)
		if k := hear[*proto.SocketClosed](s); k.Hibernate || *k.Reason != "actor.connection_lost" {
			t.Errorf("%+v", k)
		}
	})
}

// The engine may start the next life as soon as it hears of the end of one: by then the gateway must know which sockets it keeps.
func TestTheEndIsToldAfterTheSocketsAreKept(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.live(1)
		s := w.open("/connect")
		hear[*proto.SocketSent](s)
		s.say(1, increment) // so that there is something to restore
		hear[*proto.SocketAck](s)
		w.stop(w.actor, 1, proto.StopGoingAway)
		hear[*proto.SocketClosed](s)
		left := time.Now()
		w.awaitState(w.actor, 1, stopped)
		if d := time.Since(left); d < 100*time.Millisecond || d > time.Second {
			t.Errorf("the end is told %s after the socket was left", d)
		}
	})
}
