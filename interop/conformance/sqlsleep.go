package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// Sleep with SQLite.
func sqlSleepActors() []actor.Definition {
	return []actor.Definition{
		sleepWithDB(), sleepSlowScheduled(), sleepDBConn(), sleepDBAction(), sleepWaitUntil(), sleepNestedWaitUntil(), sleepEnqueue(),
		sleepScheduleAfter(), sleepThrows(), sleepWaitUntilRejects(), sleepWaitUntilState(), sleepKeepAwake(), sleepDBRawSocket(),
		sleepDBSlowClose("sleepWithRawWsCloseDb"), sleepDBSlowClose("sleepWithRawWsCloseDbListener"), sleepMessageExceedsGrace(),
		sleepConcurrentExceedsGrace(), sleepWritesExceedGrace(),
	}
}

// defineLogged begins an actor with the log table that counts and logs its starts and sleeps.
func defineLogged[S any, PS interface {
	*S
	counting
}](name string, o actor.Options, slept func(s *S, c *actor.Ctx) error) definition[S] {
	d := define[S](name, o)
	migrates(d, logTable)
	d.OnWake = func(s *S, c *actor.Ctx) error {
		PS(s).woke()
		return logEvent(c, "wake")
	}
	d.OnSleep = func(s *S, c *actor.Ctx) error {
		PS(s).slept()
		if slept == nil {
			return logEvent(c, "sleep")
		}
		return slept(s, c)
	}
	on(d, "getLogEntries", func(_ *S, c *actor.Ctx, _ none) ([]row, error) {
		return execute(c, c.DB(), `SELECT id, event, created_at FROM sleep_log ORDER BY id`)
	})
	return d
}

func countsAction(d definition[counts]) { get(d, "getCounts", func(s *counts) counts { return *s }) }

func sleepTwiceAction[S any](d definition[S]) {
	do(d, "triggerSleepTwice", func(_ *S, c *actor.Ctx) { c.Sleep(); c.Sleep() })
}

func logAction[S any](d definition[S]) {
	on(d, "insertLogEntry", func(_ *S, c *actor.Ctx, event string) (none, error) { return none{}, logEvent(c, event) })
}

// tryLog logs an event; a failure is only told.
func tryLog(c *actor.Ctx, event string) {
	if err := logEvent(c, event); err != nil {
		c.Log().Warn("the event is not in the table", "event", event, "error", err)
	}
}

// 112
func sleepWithDB() actor.Definition {
	type state struct {
		counts
		Written bool    `json:"onSleepDbWriteSuccess"`
		Error   *string `json:"onSleepDbWriteError"`
	}
	d := defineLogged("sleepWithDb", sleepsSoon, func(s *state, c *actor.Ctx) error {
		if err := logEvent(c, "sleep"); err != nil {
			failed := errorText(err)
			s.Error = &failed
			return nil
		}
		s.Written = true
		return nil
	})
	sleepAction(d)
	sleepTwiceAction(d)
	logAction(d)
	get(d, "getCounts", func(s *state) state { return *s })
	alarm := on(d, "onAlarm", func(_ *state, c *actor.Ctx, _ none) (none, error) { return none{}, logEvent(c, "alarm") })
	on(d, "setAlarm", func(_ *state, c *actor.Ctx, ms float64) (none, error) {
		_, err := actor.After(c, millis(ms), alarm, none{})
		return none{}, err
	})
	return d
}

// 113
func sleepSlowScheduled() actor.Definition {
	d := defineLogged[counts]("sleepWithSlowScheduledDb", sleepsSoon, nil)
	slow := rivet.NewAction[float64, none](d.of, "onSlowAlarm")
	actor.HandleConcurrent(d.Spec, slow, func(c *actor.Ctx, _ actor.Self[counts], ms float64) (none, error) {
		return none{}, errors.Join(logEvent(c, "slow-alarm-start"), pause(c, millis(ms)), logEvent(c, "slow-alarm-finish"))
	})
	on(d, "scheduleSlowAlarm", func(_ *counts, c *actor.Ctx, a rivet.Args2[float64, float64]) (none, error) {
		_, err := actor.After(c, millis(a.A), slow, a.B)
		return none{}, err
	})
	countsAction(d)
	return d
}

// 114
func sleepDBConn() actor.Definition {
	d := defineLogged("sleepWithDbConn", sleepsSoon, func(_ *counts, c *actor.Ctx) error { tryLog(c, "sleep"); return nil })
	d.OnDisconnect = func(_ *counts, c *actor.Ctx, _ *actor.Conn) error { tryLog(c, "disconnect"); return nil }
	sleepAction(d)
	sleepTwiceAction(d)
	logAction(d)
	countsAction(d)
	return d
}

// 115: OnSleep is a turn; what follows its wait is background work, for which the end of the actor waits.
func sleepDBAction() actor.Definition {
	var sleeping rivet.Event[raw, raw]
	d := defineLogged("sleepWithDbAction", sleepsSoon, func(_ *counts, c *actor.Ctx) error {
		tryLog(c, "sleep-start")
		actor.Broadcast(c, sleeping, raw{})
		later(c, 500*time.Millisecond, func(c *actor.Ctx) { tryLog(c, "sleep-end") })
		return nil
	})
	sleeping = rivet.NewEvent[raw](d.of, "sleeping")
	sleepAction(d)
	sleepTwiceAction(d)
	logAction(d)
	countsAction(d)
	return d
}

// 116
func sleepWaitUntil() actor.Definition {
	d := defineLogged("sleepWaitUntil", sleepsSoon, func(_ *counts, c *actor.Ctx) error {
		c.WaitUntil(func(c *actor.Ctx) error { return logEvent(c, "waituntil-write") })
		return logEvent(c, "sleep-start")
	})
	sleepAction(d)
	countsAction(d)
	return d
}

// 117
func sleepNestedWaitUntil() actor.Definition {
	d := defineLogged("sleepNestedWaitUntil", sleepsSoon, func(_ *counts, c *actor.Ctx) error {
		c.WaitUntil(func(c *actor.Ctx) error {
			if err := logEvent(c, "outer-waituntil"); err != nil {
				return err
			}
			c.WaitUntil(func(c *actor.Ctx) error { return logEvent(c, "nested-waituntil") })
			return nil
		})
		return logEvent(c, "sleep-start")
	})
	sleepAction(d)
	countsAction(d)
	return d
}

// 118
func sleepEnqueue() actor.Definition {
	type state struct {
		counts
		Success bool    `json:"enqueueSuccess"`
		Error   *string `json:"enqueueError"`
	}
	var work rivet.Queue[raw, string, none]
	d := defineLogged("sleepEnqueue", sleepsSoon, func(s *state, c *actor.Ctx) error {
		if _, err := actor.Enqueue(c, work, "enqueued-during-sleep"); err != nil {
			failed := errorText(err)
			s.Error = &failed
		} else {
			s.Success = true
		}
		return logEvent(c, "sleep")
	})
	work = rivet.NewQueue[string, none](d.of, "work")
	sleepAction(d)
	get(d, "getCounts", func(s *state) state { return *s })
	return d
}

// 119
func sleepScheduleAfter() actor.Definition {
	type shown struct {
		counts
		Scheduled int `json:"scheduledActionCount"`
	}
	type state struct {
		shown
		HoldAfterWake bool
		release       func()
	}
	var scheduled rivet.Action[raw, none, none]
	d := defineLogged("sleepScheduleAfter", sleepsSoon, func(s *state, c *actor.Ctx) error {
		s.HoldAfterWake = true
		if _, err := actor.After(c, 3*time.Second, scheduled, none{}); err != nil {
			return err
		}
		return logEvent(c, "sleep")
	})
	scheduled = on(d, "onScheduledAction", func(s *state, c *actor.Ctx, _ none) (none, error) {
		s.Scheduled++
		return none{}, logEvent(c, "scheduled-action")
	})
	d.OnWake = func(s *state, c *actor.Ctx) error {
		s.woke()
		if s.HoldAfterWake {
			released := make(chan struct{})
			s.release = sync.OnceFunc(func() { close(released) })
			c.KeepAwake(func(c *actor.Ctx) error {
				select {
				case <-released:
				case <-c.Stopping():
				case <-c.Done():
				}
				return nil
			})
		}
		return logEvent(c, "wake")
	}
	on(d, "getCounts", func(s *state, _ *actor.Ctx, _ none) (shown, error) {
		if s.Scheduled > 0 {
			s.HoldAfterWake = false
			if s.release != nil {
				s.release()
			}
		}
		return s.shown, nil
	})
	sleepAction(d)
	return d
}

// 120
func sleepThrows() actor.Definition {
	d := defineLogged("sleepOnSleepThrows", sleepsSoon, func(_ *counts, c *actor.Ctx) error {
		return errors.Join(logEvent(c, "sleep-before-throw"), errors.New("onSleep intentional error"))
	})
	sleepAction(d)
	countsAction(d)
	return d
}

// 121
func sleepWaitUntilRejects() actor.Definition {
	d := defineLogged("sleepWaitUntilRejects", sleepsSoon, func(_ *counts, c *actor.Ctx) error {
		c.WaitUntil(func(c *actor.Ctx) error {
			err := errors.New("waitUntil intentional rejection")
			c.Log().Warn("actor wait_until promise rejected", "error", err)
			return err
		})
		c.WaitUntil(func(c *actor.Ctx) error { return logEvent(c, "waituntil-after-reject") })
		return logEvent(c, "sleep")
	})
	sleepAction(d)
	countsAction(d)
	return d
}

// 122
func sleepWaitUntilState() actor.Definition {
	type state struct {
		counts
		Ran bool `json:"waitUntilRan"`
	}
	d := defineLogged("sleepWaitUntilState", sleepsSoon, func(s *state, c *actor.Ctx) error {
		c.WaitUntil(func(c *actor.Ctx) error {
			return actor.SelfOf(c, s).Turn(func(s *state, c *actor.Ctx) error {
				s.Ran = true
				return logEvent(c, "waituntil-state")
			})
		})
		return nil
	})
	sleepAction(d)
	get(d, "getCounts", func(s *state) state { return *s })
	return d
}

// 123
func sleepKeepAwake() actor.Definition {
	type state struct {
		counts
		Single int `json:"singleFinished"`
		First  int `json:"nestedFirstFinished"`
		Second int `json:"nestedSecondFinished"`
	}
	d := defineLogged("sleepKeepAwakeUntilIdle", actor.Options{SleepAfter: time.Second, GracePeriod: 2 * time.Second}, func(s *state, c *actor.Ctx) error {
		return logEvent(c, fmt.Sprint("sleep-", s.SleepCount))
	})
	d.OnWake = func(s *state, c *actor.Ctx) error {
		s.woke()
		return logEvent(c, fmt.Sprint("wake-", s.StartCount))
	}
	task := func(c *actor.Ctx, name string, wait time.Duration, then func(c *actor.Ctx), finished func(s *state)) {
		c.KeepAwake(func(c *actor.Ctx) error {
			if err := errors.Join(logEvent(c, name+"-start"), pause(c, wait)); err != nil {
				return err
			}
			if then != nil {
				then(c)
			}
			if err := logEvent(c, name+"-finish"); err != nil {
				return err
			}
			return actor.SelfOf[state](c, nil).Do(finished)
		})
	}
	do(d, "startSingleKeepAwake", func(_ *state, c *actor.Ctx) {
		task(c, "single", 300*time.Millisecond, nil, func(s *state) { s.Single++ })
	})
	do(d, "startNestedKeepAwake", func(_ *state, c *actor.Ctx) {
		task(c, "nested-first", 100*time.Millisecond, func(c *actor.Ctx) {
			task(c, "nested-second", 350*time.Millisecond, nil, func(s *state) { s.Second++ })
		}, func(s *state) { s.First++ })
	})
	get(d, "getStatus", func(s *state) state { return *s })
	sleepAction(d)
	return d
}

// 124
func sleepDBRawSocket() actor.Definition {
	d := defineLogged("sleepWithRawWs", sleepsSoon, func(_ *counts, c *actor.Ctx) error {
		later(c, 500*time.Millisecond, func(*actor.Ctx) {})
		return logEvent(c, "sleep")
	})
	d.OnWebSocket = connectedSocket[counts]
	sleepAction(d)
	countsAction(d)
	return d
}

// 125, 126
func sleepDBSlowClose(name string) actor.Definition {
	type state struct {
		counts
		Started  int `json:"closeStarted"`
		Finished int `json:"closeFinished"`
	}
	d := defineLogged[state](name, actor.Options{SleepAfter: 100 * time.Millisecond}, nil)
	d.OnWebSocket = func(c *actor.Ctx, self actor.Self[state], ws *actor.WebSocket) error {
		defer background(c, func(c *actor.Ctx, self actor.Self[state]) error {
			err := self.Turn(func(s *state, c *actor.Ctx) error {
				s.Started++
				return logEvent(c, "close-start")
			})
			if err != nil {
				return err
			}
			if err := pause(c, 250*time.Millisecond); err != nil {
				return err
			}
			return self.Turn(func(s *state, c *actor.Ctx) error {
				s.Finished++
				return logEvent(c, "close-finish")
			})
		})
		return connectedSocket(c, self, ws)
	}
	sleepAction(d)
	get(d, "getStatus", func(s *state) state { return *s })
	return d
}

// 127
func sleepMessageExceedsGrace() actor.Definition {
	type state struct {
		counts
		Started  int `json:"messageStarted"`
		Finished int `json:"messageFinished"`
	}
	d := defineLogged[state]("sleepWsMessageExceedsGrace", actor.Options{SleepAfter: 100 * time.Millisecond, GracePeriod: 200 * time.Millisecond}, nil)
	d.OnWebSocket = func(c *actor.Ctx, _ actor.Self[state], ws *actor.WebSocket) error {
		if err := sendJSON(c, ws, typed{"connected"}); err != nil {
			return err
		}
		return frames(c, ws, func(m actor.Frame) error {
			if m.Binary || string(m.Data) != "slow-db-work" {
				return nil
			}
			background(c, func(c *actor.Ctx, self actor.Self[state]) error {
				if err := self.Do(func(s *state) { s.Started++ }); err != nil {
					return err
				}
				if err := logEvent(c, "msg-start"); err != nil {
					return err
				}
				_ = sendJSON(c, ws, typed{"started"}) // the client may have left
				if err := errors.Join(pause(c, 2*time.Second), logEvent(c, "msg-finish")); err != nil {
					return err
				}
				return self.Do(func(s *state) { s.Finished++ })
			})
			return nil
		})
	}
	sleepAction(d)
	get(d, "getStatus", func(s *state) state { return *s })
	return d
}

// 128
func sleepConcurrentExceedsGrace() actor.Definition {
	type state struct {
		counts
		Started  int      `json:"handlerStarted"`
		Finished int      `json:"handlerFinished"`
		Errors   []string `json:"handlerErrors"`
	}
	d := defineLogged("sleepWsConcurrentDbExceedsGrace", actor.Options{SleepAfter: 100 * time.Millisecond, GracePeriod: 200 * time.Millisecond},
		func(_ *state, c *actor.Ctx) error { tryLog(c, "sleep"); return nil })
	type numbered struct {
		Type  string `json:"type"`
		Index int    `json:"index"`
	}
	d.OnWebSocket = func(c *actor.Ctx, _ actor.Self[state], ws *actor.WebSocket) error {
		if err := sendJSON(c, ws, typed{"connected"}); err != nil {
			return err
		}
		return frames(c, ws, func(m actor.Frame) error {
			var f numbered
			if m.Binary || json.Unmarshal(m.Data, &f) != nil || f.Type != "slow-db-work" {
				return nil
			}
			background(c, func(c *actor.Ctx, self actor.Self[state]) error {
				if err := self.Do(func(s *state) { s.Started++ }); err != nil {
					return err
				}
				db := c.DB() // one handle for both
				insert := func(event string) error {
					return exec(c, db, `INSERT INTO sleep_log(event, created_at) VALUES(?, ?)`, event, int64(now()))
				}
				if err := insert(fmt.Sprintf("handler-%d-start", f.Index)); err != nil {
					return err
				}
				_ = sendJSON(c, ws, numbered{"started", f.Index}) // the client may have left
				wait := 2*time.Second + time.Duration(f.Index)*50*time.Millisecond
				if err := errors.Join(pause(c, wait), insert(fmt.Sprintf("handler-%d-finish", f.Index))); err != nil {
					return err
				}
				return self.Do(func(s *state) { s.Finished++ })
			})
			return nil
		})
	}
	sleepAction(d)
	get(d, "getStatus", func(s *state) state {
		shown := *s
		shown.Errors = list(shown.Errors)
		return shown
	})
	return d
}

// 129
func sleepWritesExceedGrace() actor.Definition {
	type state struct {
		counts
		Completed int     `json:"writesCompleted"`
		Error     *string `json:"writeError"`
	}
	d := define[state]("sleepWsActiveDbExceedsGrace", actor.Options{SleepAfter: 500 * time.Millisecond, GracePeriod: 50 * time.Millisecond})
	migrates(d, logTable)
	countStarts(d)
	on(d, "getLogEntries", func(_ *state, c *actor.Ctx, _ none) ([]row, error) {
		return execute(c, c.DB(), `SELECT id, event, created_at FROM sleep_log ORDER BY id`)
	})
	type progress struct {
		Type      string `json:"type"`
		Index     int    `json:"index"`
		Completed int    `json:"writesCompleted,omitempty"`
		Error     string `json:"error,omitempty"`
	}
	say := func(c *actor.Ctx, ws *actor.WebSocket, v any) {
		if err := sendJSON(context.Background(), ws, v); err != nil {
			c.Log().Debug("a frame was not sent", "error", err)
		}
	}
	write := func(c *actor.Ctx, self actor.Self[state], ws *actor.WebSocket, permits <-chan struct{}) error {
		say(c, ws, typed{"started"})
		for i := range 500 {
			select {
			case <-permits:
			case <-c.Done():
				return c.Err()
			}
			err := self.Turn(func(s *state, c *actor.Ctx) error {
				s.Completed = i + 1
				return logEvent(c, fmt.Sprint("write-", i))
			})
			if err != nil {
				failed := errorText(err)
				say(c, ws, progress{Type: "error", Index: i, Error: failed})
				return self.Do(func(s *state) { s.Error = &failed })
			}
			say(c, ws, progress{Type: "write", Index: i, Completed: i + 1})
		}
		say(c, ws, typed{"finished"})
		return nil
	}
	d.OnWebSocket = func(c *actor.Ctx, _ actor.Self[state], ws *actor.WebSocket) error {
		if err := sendJSON(c, ws, typed{"connected"}); err != nil {
			return err
		}
		permits := make(chan struct{}, 500)
		return frames(c, ws, func(m actor.Frame) error {
			var f typed
			if m.Binary || json.Unmarshal(m.Data, &f) != nil {
				return nil
			}
			switch f.Type {
			case "continue-write":
				select {
				case permits <- struct{}{}:
				default: // more than there are writes
				}
			case "start-writes":
				background(c, func(c *actor.Ctx, self actor.Self[state]) error { return write(c, self, ws, permits) })
			}
			return nil
		})
	}
	sleepAction(d)
	get(d, "getStatus", func(s *state) state { return *s })
	return d
}
