package main

import (
	"errors"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// Run handlers.
func runActors() []actor.Definition {
	return []actor.Definition{
		runWithoutHandler(), runWithTicks(), runWithQueueConsumer(), runWithEarlyExit(), runWithError(), runSelfSleep(),
		runSelfDestroy(), runIgnoresAbort(),
	}
}

var sleepsSoon = actor.Options{SleepAfter: time.Second}

// 48
func runWithoutHandler() actor.Definition {
	type state struct {
		WakeCount int `json:"wakeCount"`
	}
	d := define[state]("runWithoutHandler", sleepsSoon)
	d.OnWake = func(s *state, _ *actor.Ctx) error { s.WakeCount++; return nil }
	get(d, "getState", func(s *state) state { return *s })
	return d
}

// 49
func runWithTicks() actor.Definition {
	type state struct {
		TickCount  int     `json:"tickCount"`
		LastTickAt float64 `json:"lastTickAt"`
		RunStarted bool    `json:"runStarted"`
		RunExited  bool    `json:"runExited"`
	}
	d := define[state]("runWithTicks", sleepsSoon)
	d.Run = func(c *actor.Ctx, self actor.Self[state]) error {
		if err := self.Do(func(s *state) { s.RunStarted = true }); err != nil {
			return err
		}
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			if err := self.Do(func(s *state) { s.TickCount++; s.LastTickAt = now() }); err != nil {
				return err
			}
			select {
			case <-tick.C:
			case <-c.Stopping():
				return self.Do(func(s *state) { s.RunExited = true })
			}
		}
	}
	get(d, "getState", func(s *state) state { return *s })
	return d
}

// 50
func runWithQueueConsumer() actor.Definition {
	type received struct {
		Name string `json:"name"`
		Body raw    `json:"body"`
	}
	type state struct {
		Received   []received `json:"messagesReceived"`
		RunStarted bool       `json:"runStarted"`
		WakeCount  int        `json:"wakeCount"`
	}
	d := defineFrom("runWithQueueConsumer", sleepsSoon, func(*actor.Ctx, raw) (*state, error) {
		return &state{Received: []received{}}, nil
	})
	messages := rivet.NewQueue[raw, none](d.of, "messages")
	d.OnWake = func(s *state, _ *actor.Ctx) error { s.WakeCount++; return nil }
	d.Run = func(c *actor.Ctx, self actor.Self[state]) error {
		if err := self.Do(func(s *state) { s.RunStarted = true }); err != nil {
			return err
		}
		for m, err := range actor.Receive(c, messages) {
			if err != nil {
				return err
			}
			err = self.Turn(func(s *state, c *actor.Ctx) error {
				s.Received = append(s.Received, received{m.Queue, m.Body})
				return m.Complete(c, none{})
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	get(d, "getState", func(s *state) state { return *s })
	on(d, "sendMessage", func(_ *state, c *actor.Ctx, body raw) (bool, error) {
		_, err := actor.Enqueue(c, messages, body)
		return true, err
	})
	return d
}

// 51: observers know this actor by its id.
func runWithEarlyExit() actor.Definition {
	type state struct {
		RunStarted    bool `json:"runStarted"`
		RunExited     bool `json:"runExited"`
		DestroyCalled bool `json:"destroyCalled"`
		SleepCount    int  `json:"sleepCount"`
		WakeCount     int  `json:"wakeCount"`
	}
	const observer = "run-with-early-exit"
	d := define[state]("runWithEarlyExit", sleepsSoon)
	d.OnWake = func(s *state, _ *actor.Ctx) error { s.WakeCount++; return nil }
	d.Run = func(_ *actor.Ctx, self actor.Self[state]) error {
		if err := self.Do(func(s *state) { s.RunStarted = true }); err != nil {
			return err
		}
		time.Sleep(200 * time.Millisecond)
		return self.Do(func(s *state) { s.RunExited = true })
	}
	d.OnSleep = func(s *state, c *actor.Ctx) error {
		s.SleepCount++
		return record(c, observer, "sleep", c.ActorID())
	}
	d.OnDestroy = func(s *state, c *actor.Ctx) error {
		s.DestroyCalled = true
		return record(c, observer, "destroy", c.ActorID())
	}
	get(d, "getState", func(s *state) state { return *s })
	destroyAction(d)
	return d
}

// 52: a run loop that returns an error is started again, which upstream does only with the next wake; so this one logs it.
func runWithError() actor.Definition {
	type state struct {
		RunStarted    bool `json:"runStarted"`
		DestroyCalled bool `json:"destroyCalled"`
		SleepCount    int  `json:"sleepCount"`
		WakeCount     int  `json:"wakeCount"`
	}
	d := define[state]("runWithError", sleepsSoon)
	d.OnWake = func(s *state, _ *actor.Ctx) error { s.WakeCount++; return nil }
	d.OnSleep = func(s *state, _ *actor.Ctx) error { s.SleepCount++; return nil }
	d.OnDestroy = func(s *state, _ *actor.Ctx) error { s.DestroyCalled = true; return nil }
	run := func(_ *actor.Ctx, self actor.Self[state]) error {
		if err := self.Do(func(s *state) { s.RunStarted = true }); err != nil {
			return err
		}
		time.Sleep(200 * time.Millisecond)
		return errors.New("intentional error in run handler")
	}
	d.Run = func(c *actor.Ctx, self actor.Self[state]) error {
		if err := run(c, self); err != nil {
			c.Log().Error("run loop failed", "error", err)
		}
		return nil
	}
	get(d, "getState", func(s *state) state { return *s })
	return d
}

// 53
func runSelfSleep() actor.Definition {
	type state struct {
		RunCount   int    `json:"runCount"`
		WakeCount  int    `json:"wakeCount"`
		SleepCount int    `json:"sleepCount"`
		Marker     string `json:"marker"`
	}
	d := defineFrom("runSelfInitiatedSleep", sleepsSoon, func(*actor.Ctx, raw) (*state, error) {
		return &state{Marker: "new"}, nil
	})
	d.OnWake = func(s *state, _ *actor.Ctx) error { s.WakeCount++; return nil }
	d.OnSleep = func(s *state, _ *actor.Ctx) error {
		s.SleepCount++
		s.Marker = "slept"
		return nil
	}
	d.Run = func(_ *actor.Ctx, self actor.Self[state]) error {
		return self.Turn(func(s *state, c *actor.Ctx) error {
			s.RunCount++
			if s.RunCount == 1 {
				s.Marker = "sleep-requested"
				c.Sleep()
			}
			return nil
		})
	}
	get(d, "getState", func(s *state) state { return *s })
	return d
}

// 54
func runSelfDestroy() actor.Definition {
	type state struct {
		RunCount         int  `json:"runCount"`
		DestroyRequested bool `json:"destroyRequested"`
	}
	d := define[state]("runSelfInitiatedDestroy", actor.Options{})
	d.Run = func(_ *actor.Ctx, self actor.Self[state]) error {
		return self.Turn(func(s *state, c *actor.Ctx) error {
			s.RunCount++
			if !s.DestroyRequested {
				s.DestroyRequested = true
				c.Destroy()
			}
			return nil
		})
	}
	d.OnDestroy = func(_ *state, c *actor.Ctx) error { return record(c, "self-initiated-destroy", "destroy", c.ActorID()) }
	get(d, "getState", func(s *state) state { return *s })
	return d
}

// 55
func runIgnoresAbort() actor.Definition {
	type state struct {
		WakeCount    int `json:"wakeCount"`
		DestroyCount int `json:"destroyCount"`
	}
	d := define[state]("runIgnoresAbortStopTimeout", actor.Options{SleepAfter: 50 * time.Millisecond, GracePeriod: 100 * time.Millisecond})
	d.OnWake = func(s *state, _ *actor.Ctx) error { s.WakeCount++; return nil }
	d.OnDestroy = func(s *state, _ *actor.Ctx) error { s.DestroyCount++; return nil }
	d.Run = func(*actor.Ctx, actor.Self[state]) error { select {} } // for ever, as its name says
	get(d, "getState", func(s *state) state { return *s })
	destroyAction(d)
	return d
}
