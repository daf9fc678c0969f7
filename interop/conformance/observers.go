package main

import (
	"net/http"
	"slices"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// Observers, start and destroy.
func observerActors() []actor.Definition {
	return []actor.Definition{lifecycleObserver(), startStopRace(), destroyObserver(), destroy(), destroyAbortSignal()}
}

type lifecycleEvent struct {
	ActorKey  string  `json:"actorKey"`
	Event     string  `json:"event"`
	Timestamp float64 `json:"timestamp,omitempty"`
}

var (
	lifecycleObservers = rivet.NewActor[raw]("lifecycleObserver")
	recordEvent        = rivet.NewAction[lifecycleEvent, none](lifecycleObservers, "recordEvent")

	destroyObservers = rivet.NewActor[raw]("destroyObserver")
	notifyDestroyed  = rivet.NewAction[string, none](destroyObservers, "notifyDestroyed")
)

// record tells a lifecycleObserver what happened.
func record(c *actor.Ctx, observer, event, who string) error {
	h := lifecycleObservers.GetOrCreate(c.Client(), rivet.Key{observer}, nil)
	_, err := recordEvent.Call(c, h, lifecycleEvent{ActorKey: who, Event: event})
	return err
}

// recordDestroyed tells the destroyObserver.
func recordDestroyed(c *actor.Ctx, who string) error {
	_, err := notifyDestroyed.Call(c, destroyObservers.GetOrCreate(c.Client(), rivet.Key{"observer"}, nil), who)
	return err
}

// 43
func lifecycleObserver() actor.Definition {
	type state struct{ Events []lifecycleEvent }
	d := defineOf(lifecycleObservers, actor.Options{NoSleep: true}, actor.Zero[raw, state])
	actor.Handle(d.Spec, recordEvent, func(s *state, _ *actor.Ctx, e lifecycleEvent) (none, error) {
		s.Events = append(s.Events, lifecycleEvent{e.ActorKey, e.Event, now()})
		return none{}, nil
	})
	get(d, "getEvents", func(s *state) []lifecycleEvent { return list(s.Events) })
	do(d, "clearEvents", func(s *state, _ *actor.Ctx) { s.Events = nil })
	return d
}

// 44
func startStopRace() actor.Definition {
	type state struct {
		Initialized    bool    `json:"initialized"`
		StartTime      float64 `json:"startTime"`
		DestroyCalled  bool    `json:"destroyCalled"`
		StartCompleted bool    `json:"startCompleted"`
	}
	d := define[state]("startStopRaceActor", actor.Options{})
	d.OnWake = func(s *state, c *actor.Ctx) error {
		s.StartTime = now()
		if err := pause(c, 100*time.Millisecond); err != nil {
			return err
		}
		s.Initialized, s.StartCompleted = true, true
		return record(c, "observer", "started", keyPath(c))
	}
	d.OnDestroy = func(s *state, c *actor.Ctx) error {
		s.DestroyCalled = true
		return record(c, "observer", "destroy", keyPath(c))
	}
	get(d, "getState", func(s *state) state { return *s })
	pingAction(d)
	destroyAction(d)
	return d
}

// 45
func destroyObserver() actor.Definition {
	type state struct{ Destroyed []string }
	d := defineOf(destroyObservers, actor.Options{}, actor.Zero[raw, state])
	actor.Handle(d.Spec, notifyDestroyed, func(s *state, _ *actor.Ctx, key string) (none, error) {
		s.Destroyed = append(s.Destroyed, key)
		return none{}, nil
	})
	on(d, "wasDestroyed", func(s *state, _ *actor.Ctx, key string) (bool, error) { return slices.Contains(s.Destroyed, key), nil })
	do(d, "reset", func(s *state, _ *actor.Ctx) { s.Destroyed = nil })
	return d
}

// 46
func destroy() actor.Definition {
	type state struct {
		Value     float64
		Key       string
		ephemeral string
	}
	type visible struct {
		Key   string  `json:"key"`
		Value float64 `json:"value"`
	}
	type welcome struct {
		Type string `json:"type"`
		visible
	}
	d := define[state]("destroyActor", actor.Options{})
	values := rivet.NewQueue[raw, none](d.of, "values")
	see := func(self actor.Self[state]) (v visible, err error) {
		err = self.Do(func(s *state) { v = visible{s.Key, s.Value} })
		return v, err
	}
	d.OnWake = func(s *state, c *actor.Ctx) error {
		s.Key, s.ephemeral = keyPath(c), "fresh"
		return nil
	}
	d.OnDestroy = func(s *state, c *actor.Ctx) error { return recordDestroyed(c, s.Key) }
	on(d, "setValue", func(s *state, _ *actor.Ctx, n float64) (float64, error) {
		s.Value = n
		return n, nil // which leaves when the turn is durable
	})
	get(d, "getValue", func(s *state) float64 { return s.Value })
	on(d, "setEphemeral", func(s *state, _ *actor.Ctx, text string) (string, error) {
		s.ephemeral = text
		return text, nil
	})
	get(d, "getEphemeral", func(s *state) string { return s.ephemeral })
	on(d, "receiveValue", func(_ *state, c *actor.Ctx, _ none) (raw, error) {
		m, err := actor.TryNext(c, values)
		if m == nil {
			return null, err
		}
		return m.Body, nil
	})
	destroyAction(d)
	d.OnRequest = func(c *actor.Ctx, self actor.Self[state], w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/state" {
			notFound(w)
			return
		}
		v, err := see(self)
		if err != nil {
			internalError(c, w, err)
			return
		}
		writeJSON(w, http.StatusOK, v)
	}
	d.OnWebSocket = func(c *actor.Ctx, self actor.Self[state], ws *actor.WebSocket) error {
		v, err := see(self)
		if err != nil {
			return err
		}
		if err := sendJSON(c, ws, welcome{"welcome", v}); err != nil {
			return err
		}
		return ignoreFrames(c, ws)
	}
	return d
}

// 47
func destroyAbortSignal() actor.Definition {
	type state struct{ AbortEvents int }
	type report struct {
		BeforeDestroy       bool `json:"beforeDestroyAborted"`
		BeforeDestroySignal bool `json:"beforeDestroySignalAborted"`
		AfterDestroy        bool `json:"afterDestroyAborted"`
		AfterDestroySignal  bool `json:"afterDestroySignalAborted"`
		AbortEvents         int  `json:"abortEventCountAfterDestroy"`
	}
	d := define[state]("destroyAbortSignalActor", actor.Options{})
	d.OnDestroy = func(_ *state, c *actor.Ctx) error { return recordDestroyed(c, keyPath(c)) }
	on(d, "requestDestroy", func(s *state, c *actor.Ctx, _ none) (report, error) {
		r := report{BeforeDestroy: stopping(c), BeforeDestroySignal: stopping(c)}
		c.WaitUntil(func(c *actor.Ctx) error {
			<-c.Stopping()
			return actor.SelfOf(c, s).Do(func(s *state) { s.AbortEvents++ })
		})
		c.Destroy()
		r.AfterDestroy, r.AfterDestroySignal, r.AbortEvents = stopping(c), stopping(c), s.AbortEvents
		return r, nil
	})
	return d
}
