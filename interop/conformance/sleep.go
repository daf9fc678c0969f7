package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// Sleep.
func sleepActors() []actor.Definition {
	return []actor.Definition{
		sleep(), sleepNoSleep(), sleepLongRPC(), waitUntilProbe(), sleepWaitUntilMessage(), sleepWaitUntilInOnWake(),
		sleepVarsDuringGrace(), sleepAbortListener(), sleepRawHTTP(), sleepRawWebSocket(), sleepSendOnSleep(), sleepDelayedSendOnSleep(),
		sleepSlowMessage("sleepRawWsAddEventListenerMessage"), sleepSlowClose("sleepRawWsAddEventListenerClose"),
		sleepSlowMessage("sleepRawWsOnMessage"), sleepSlowClose("sleepRawWsOnClose"), sleepVarsExceedsGrace(),
	}
}

// counts is the part of the state that most actors here have.
type counts struct {
	StartCount int `json:"startCount"`
	SleepCount int `json:"sleepCount"`
}

func (n *counts) woke() { n.StartCount++ }

func (n *counts) slept() { n.SleepCount++ }

// counting is a state that has counts.
type counting interface {
	woke()
	slept()
}

// countStarts binds the hooks that count starts and sleeps. S embeds counts, and PS is its pointer.
func countStarts[S any, PS interface {
	*S
	counting
}](d definition[S]) {
	d.OnWake = func(s *S, _ *actor.Ctx) error { PS(s).woke(); return nil }
	d.OnSleep = func(s *S, _ *actor.Ctx) error { PS(s).slept(); return nil }
}

// 72
func sleep() actor.Definition {
	d := define[counts]("sleep", sleepsSoon)
	countStarts(d)
	get(d, "getCounts", func(s *counts) counts { return *s })
	sleepAction(d)
	alarm := on(d, "onAlarm", func(_ *counts, c *actor.Ctx, _ none) (none, error) {
		c.Log().Info("alarm")
		return none{}, nil
	})
	on(d, "setAlarm", func(_ *counts, c *actor.Ctx, ms float64) (none, error) {
		_, err := actor.After(c, millis(ms), alarm, none{})
		return none{}, err
	})
	return d
}

// 73
func sleepNoSleep() actor.Definition {
	d := define[counts]("sleepWithNoSleepOption", actor.Options{SleepAfter: time.Second, NoSleep: true})
	countStarts(d)
	get(d, "getCounts", func(s *counts) counts { return *s })
	return d
}

// 74
func sleepLongRPC() actor.Definition {
	type state struct {
		counts
		pending chan struct{}
	}
	d := define[state]("sleepWithLongRpc", sleepsSoon)
	waiting := rivet.NewEvent[none](d.of, "waiting")
	countStarts(d)
	get(d, "getCounts", func(s *state) counts { return s.counts })
	waits(d, "longRunningRpc", func(c *actor.Ctx, self actor.Self[state], _ none) (none, error) {
		pending := make(chan struct{})
		err := self.Turn(func(s *state, c *actor.Ctx) error {
			s.pending = pending
			actor.Broadcast(c, waiting, none{})
			return nil
		})
		if err != nil {
			return none{}, err
		}
		select {
		case <-pending:
			return none{}, nil
		case <-c.Done():
			return none{}, c.Err()
		}
	})
	do(d, "finishLongRunningRpc", func(s *state, _ *actor.Ctx) {
		if s.pending != nil {
			close(s.pending)
			s.pending = nil
		}
	})
	return d
}

// 75
func waitUntilProbe() actor.Definition {
	type state struct{ Count int }
	d := define[state]("counterWaitUntilProbe", sleepsSoon)
	task := func(name string, run func(c *actor.Ctx) error) {
		on(d, name, func(s *state, c *actor.Ctx, _ none) (int, error) {
			s.Count++
			c.WaitUntil(func(c *actor.Ctx) error {
				err := run(c)
				if err != nil {
					c.Log().Warn("actor wait_until promise rejected", "error", err)
				}
				return err
			})
			return s.Count, nil
		})
	}
	succeed := func(*actor.Ctx) error { return nil }
	task("triggerWaitUntilVoid", succeed)
	task("triggerWaitUntilWithValue", succeed) // in Go such a task has no value
	task("triggerWaitUntilRejectVoid", func(*actor.Ctx) error { return errors.New("reject-with-error-ok") })
	keep := func(name string) {
		waits(d, name, func(c *actor.Ctx, self actor.Self[state], _ none) (count int, err error) {
			if err := self.Do(func(s *state) { s.Count++; count = s.Count }); err != nil {
				return 0, err
			}
			done := make(chan struct{})
			c.KeepAwake(func(*actor.Ctx) error { close(done); return nil })
			select {
			case <-done:
				return count, nil
			case <-c.Done():
				return 0, c.Err()
			}
		})
	}
	keep("triggerKeepAwakeVoid")
	keep("triggerKeepAwakeWithValue")
	get(d, "getCount", func(s *state) int { return s.Count })
	return d
}

// 76
func sleepWaitUntilMessage() actor.Definition {
	type state struct {
		counts
		Messages int `json:"waitUntilMessageCount"`
	}
	d := define[state]("sleepWithWaitUntilMessage", sleepsSoon)
	sleeping := rivet.NewEvent[counts](d.of, "sleeping")
	countStarts(d)
	do(d, "triggerSleep", func(s *state, c *actor.Ctx) {
		conn := c.Conn()
		c.WaitUntil(func(c *actor.Ctx) error {
			time.Sleep(10 * time.Millisecond)
			return actor.SelfOf(c, s).Turn(func(s *state, c *actor.Ctx) error {
				s.Messages++
				if conn.Transient() {
					return nil // nothing can be sent to the connection of an HTTP call
				}
				return actor.Send(c, conn, sleeping, s.counts)
			})
		})
		c.Sleep()
	})
	get(d, "getCounts", func(s *state) state { return *s })
	return d
}

// 77
func sleepWaitUntilInOnWake() actor.Definition {
	type state struct {
		counts
		Called    bool `json:"waitUntilCalled"`
		Completed bool `json:"waitUntilCompleted"`
	}
	d := define[state]("sleepWithWaitUntilInOnWake", sleepsSoon)
	countStarts(d)
	d.OnWake = func(s *state, c *actor.Ctx) error {
		s.woke()
		c.WaitUntil(func(c *actor.Ctx) error { return actor.SelfOf(c, s).Do(func(s *state) { s.Completed = true }) })
		s.Called = true
		return nil
	}
	sleepAction(d)
	get(d, "getStatus", func(s *state) state { return *s })
	return d
}

// 78
func sleepVarsDuringGrace() actor.Definition {
	type state struct {
		counts
		Started int `json:"waitUntilStarted"`
		dirty   bool
	}
	d := define[state]("sleepWaitUntilVarsDuringGrace", actor.Options{SleepAfter: 100 * time.Millisecond, GracePeriod: time.Second})
	countStarts(d)
	d.OnSleep = func(s *state, c *actor.Ctx) error {
		s.slept()
		c.WaitUntil(func(c *actor.Ctx) error {
			self := actor.SelfOf(c, s)
			if err := self.Do(func(s *state) { s.Started++ }); err != nil {
				return err
			}
			time.Sleep(150 * time.Millisecond)
			return self.Do(func(s *state) { s.dirty = true })
		})
		return nil
	}
	sleepAction(d)
	get(d, "getStatus", func(s *state) state { return *s })
	return d
}

// 79: a Go actor listens to the beginning of its end on a goroutine.
func sleepAbortListener() actor.Definition {
	type state struct {
		counts
		Seen       []string `json:"abortVarsSeenPerWake"`
		isStopping bool
	}
	d := define[state]("sleepAbortListenerVarsActor", sleepsSoon)
	countStarts(d)
	d.OnWake = func(s *state, c *actor.Ctx) error {
		s.woke()
		s.isStopping = stopping(c)
		s.Seen = append(s.Seen, "unset")
		if s.isStopping {
			return nil
		}
		slot := s.StartCount - 1
		c.WaitUntil(func(c *actor.Ctx) error {
			<-c.Stopping()
			return actor.SelfOf(c, s).Do(func(s *state) {
				s.isStopping = true
				s.Seen[slot] = "object"
			})
		})
		return nil
	}
	d.OnSleep = func(s *state, c *actor.Ctx) error {
		s.slept()
		return pause(c, 5*time.Millisecond)
	}
	d.OnWebSocket = connectedSocket[state]
	sleepAction(d)
	get(d, "getStatus", func(s *state) state { return *s })
	return d
}

// connectedSocket greets and ignores what comes.
func connectedSocket[S any](c *actor.Ctx, _ actor.Self[S], ws *actor.WebSocket) error {
	if err := sendJSON(c, ws, typed{"connected"}); err != nil {
		return err
	}
	return ignoreFrames(c, ws)
}

// 80
func sleepRawHTTP() actor.Definition {
	type state struct {
		counts
		Requests int `json:"requestCount"`
	}
	d := define[state]("sleepWithRawHttp", sleepsSoon)
	countStarts(d)
	d.OnRequest = func(c *actor.Ctx, self actor.Self[state], w http.ResponseWriter, r *http.Request) {
		if err := self.Do(func(s *state) { s.Requests++ }); err != nil {
			internalError(c, w, err)
			return
		}
		if r.URL.Path != "/long-request" {
			notFound(w)
			return
		}
		ms, err := strconv.ParseFloat(r.URL.Query().Get("duration"), 64)
		if err != nil {
			ms = 1000
		}
		if pause(c, millis(ms)) != nil {
			panic(http.ErrAbortHandler)
		}
		writeJSON(w, http.StatusOK, map[string]bool{"completed": true})
	}
	get(d, "getCounts", func(s *state) state { return *s })
	return d
}

// 81
func sleepRawWebSocket() actor.Definition {
	type state struct {
		counts
		Connections int `json:"connectionCount"`
	}
	type countsFrame struct {
		Type string `json:"type"`
		state
	}
	type connected struct {
		Type        string `json:"type"`
		Connections int    `json:"connectionCount"`
	}
	d := define[state]("sleepWithRawWebSocket", sleepsSoon)
	countStarts(d)
	d.OnWebSocket = func(c *actor.Ctx, self actor.Self[state], ws *actor.WebSocket) error {
		err := self.Turn(func(s *state, c *actor.Ctx) error {
			s.Connections++
			return sendJSON(c, ws, connected{"connected", s.Connections})
		})
		if err != nil {
			return err
		}
		defer atClose(c, func(s *state) { s.Connections-- })
		return frames(c, ws, func(m actor.Frame) error {
			var f typed
			switch {
			case m.Binary:
				return nil
			case !json.Valid(m.Data):
				return ws.Write(c, m)
			case json.Unmarshal(m.Data, &f) != nil: // JSON, but no object with a type
				return nil
			case f.Type == "getCounts":
				return self.Turn(func(s *state, c *actor.Ctx) error { return sendJSON(c, ws, countsFrame{"counts", *s}) })
			case f.Type == "keepAlive":
				return sendJSON(c, ws, typed{"ack"})
			}
			return nil
		})
	}
	get(d, "getCounts", func(s *state) state { return *s })
	return d
}

// socketsState is counts and the sockets that are open.
type socketsState struct {
	counts
	open map[*actor.WebSocket]bool
}

// withOpenSockets begins an actor that knows its open sockets.
func withOpenSockets(name string) definition[socketsState] {
	d := define[socketsState](name, sleepsSoon)
	countStarts(d)
	d.OnWebSocket = func(c *actor.Ctx, self actor.Self[socketsState], ws *actor.WebSocket) error {
		err := self.Do(func(s *socketsState) {
			if s.open == nil {
				s.open = make(map[*actor.WebSocket]bool)
			}
			s.open[ws] = true
		})
		if err != nil {
			return err
		}
		defer atClose(c, func(s *socketsState) { delete(s.open, ws) })
		return connectedSocket(c, self, ws)
	}
	sleepAction(d)
	get(d, "getCounts", func(s *socketsState) counts { return s.counts })
	return d
}

// sayGoodNight tells every open socket that the actor sleeps, without waiting for the end of the turn.
func (s *socketsState) sayGoodNight(c *actor.Ctx) {
	type sleeping struct {
		Type       string `json:"type"`
		SleepCount int    `json:"sleepCount"`
	}
	for ws := range s.open {
		if err := sendJSON(context.Background(), ws, sleeping{"sleeping", s.SleepCount}); err != nil {
			c.Log().Debug("a socket has ended", "error", err)
		}
	}
}

// 82
func sleepSendOnSleep() actor.Definition {
	d := withOpenSockets("sleepRawWsSendOnSleep")
	d.OnSleep = func(s *socketsState, c *actor.Ctx) error {
		s.slept()
		s.sayGoodNight(c)
		return nil
	}
	return d
}

// 83
func sleepDelayedSendOnSleep() actor.Definition {
	d := withOpenSockets("sleepRawWsDelayedSendOnSleep")
	d.OnSleep = func(s *socketsState, c *actor.Ctx) error {
		s.slept()
		if err := pause(c, 100*time.Millisecond); err != nil {
			return err
		}
		s.sayGoodNight(c)
		return pause(c, 100*time.Millisecond)
	}
	return d
}

type slowState struct {
	counts
	MessageStarted  int `json:"messageStarted"`
	MessageFinished int `json:"messageFinished"`
	CloseStarted    int `json:"closeStarted"`
	CloseFinished   int `json:"closeFinished"`
}

// defineSlow begins an actor with a slow handler of sockets.
func defineSlow(name string) definition[slowState] {
	d := define[slowState](name, actor.Options{SleepAfter: 100 * time.Millisecond})
	countStarts(d)
	sleepAction(d)
	get(d, "getStatus", func(s *slowState) slowState { return *s })
	return d
}

// slowly changes the state, waits and changes it again, in the background: the socket may be gone meanwhile.
func slowly[S any](c *actor.Ctx, wait time.Duration, begin func(s *S, c *actor.Ctx) error, end func(s *S)) {
	background(c, func(_ *actor.Ctx, self actor.Self[S]) error {
		if err := self.Turn(begin); err != nil {
			return err
		}
		time.Sleep(wait)
		return self.Do(end)
	})
}

// 84, 86
func sleepSlowMessage(name string) actor.Definition {
	d := defineSlow(name)
	d.OnWebSocket = func(c *actor.Ctx, _ actor.Self[slowState], ws *actor.WebSocket) error {
		if err := sendJSON(c, ws, typed{"connected"}); err != nil {
			return err
		}
		return frames(c, ws, func(m actor.Frame) error {
			if m.Binary || string(m.Data) != "track-message" {
				return nil
			}
			slowly(c, 250*time.Millisecond, func(s *slowState, c *actor.Ctx) error {
				s.MessageStarted++
				_ = sendJSON(c, ws, typed{"message-started"}) // the client may have left
				return nil
			}, func(s *slowState) { s.MessageFinished++ })
			return nil
		})
	}
	return d
}

// 85, 87
func sleepSlowClose(name string) actor.Definition {
	d := defineSlow(name)
	d.OnWebSocket = func(c *actor.Ctx, self actor.Self[slowState], ws *actor.WebSocket) error {
		defer slowly(c, 250*time.Millisecond,
			func(s *slowState, _ *actor.Ctx) error { s.CloseStarted++; return nil },
			func(s *slowState) { s.CloseFinished++ })
		return connectedSocket(c, self, ws)
	}
	return d
}

// 88
func sleepVarsExceedsGrace() actor.Definition {
	type state struct {
		counts
		Started  int `json:"handlerStarted"`
		Finished int `json:"handlerFinished"`
		dirty    bool
	}
	d := define[state]("sleepRawWsVarsExceedsGrace", actor.Options{SleepAfter: 100 * time.Millisecond, GracePeriod: 200 * time.Millisecond})
	countStarts(d)
	d.OnWebSocket = func(c *actor.Ctx, _ actor.Self[state], ws *actor.WebSocket) error {
		if err := sendJSON(c, ws, typed{"connected"}); err != nil {
			return err
		}
		return frames(c, ws, func(m actor.Frame) error {
			if m.Binary || string(m.Data) != "slow-vars-work" {
				return nil
			}
			slowly(c, 2*time.Second, func(s *state, c *actor.Ctx) error {
				s.Started++
				return sendJSON(c, ws, typed{"started"})
			}, func(s *state) {
				s.dirty = true
				s.Finished++
			})
			return nil
		})
	}
	sleepAction(d)
	get(d, "getStatus", func(s *state) state { return *s })
	return d
}
