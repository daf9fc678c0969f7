package main

import (
	"net/http"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// Access control.
func accessActors() []actor.Definition {
	return []actor.Definition{accessControl(), accessControlNoQueues()}
}

type valueMessage struct {
	Value string `json:"value"`
}

// tryAny takes a message of any queue; its body, or null.
func tryAny[S any](_ *S, c *actor.Ctx, _ none) (raw, error) {
	m, err := actor.TryNextOf(c, nil)
	if m == nil {
		return null, err
	}
	return m.Body, nil
}

// 61
func accessControl() actor.Definition {
	type state struct{ LastPublish, LastSubscribe string }
	type params struct {
		AllowRequest   *bool `json:"allowRequest"`
		AllowWebSocket *bool `json:"allowWebSocket"`
	}
	d := define[state]("accessControlActor", actor.Options{})
	var (
		allowed        = rivet.NewEvent[valueMessage](d.of, "allowedEvent")
		blocked        = rivet.NewEvent[valueMessage](d.of, "blockedEvent")
		undefinedEvent = rivet.NewEvent[valueMessage](d.of, "undefinedEvent")
		allowedQueue   = rivet.NewQueue[raw, none](d.of, "allowedQueue")
		blockedQueue   = rivet.NewQueue[raw, none](d.of, "blockedQueue")
	)
	actor.BeforeConnect(d.Spec, rivet.NewParams[params](d.of), func(_ *state, _ *actor.Ctx, p params) error {
		if !or(p.AllowRequest, true) || !or(p.AllowWebSocket, true) {
			return &rivet.Error{Group: "auth", Code: "forbidden", Message: "Forbidden"}
		}
		return nil
	})
	subscribes := func(answer bool) func(*state, *actor.Ctx) (bool, error) {
		return func(s *state, c *actor.Ctx) (bool, error) {
			s.LastSubscribe = c.Conn().ID()
			return answer, nil
		}
	}
	publishes := func(answer bool) func(*state, *actor.Ctx) (bool, error) {
		return func(s *state, c *actor.Ctx) (bool, error) {
			s.LastPublish = c.Conn().ID()
			return answer, nil
		}
	}
	actor.CanSubscribe(d.Spec, allowed, subscribes(true))
	actor.CanSubscribe(d.Spec, blocked, subscribes(false))
	actor.CanPublish(d.Spec, allowedQueue, publishes(true))
	actor.CanPublish(d.Spec, blockedQueue, publishes(false))

	on(d, "allowedAction", func(_ *state, _ *actor.Ctx, value string) (string, error) { return "allowed:" + value, nil })
	get(d, "allowedGetLastCanPublishConnId", func(s *state) string { return s.LastPublish })
	get(d, "allowedGetLastCanSubscribeConnId", func(s *state) string { return s.LastSubscribe })
	on(d, "allowedReceiveQueue", func(_ *state, c *actor.Ctx, _ none) (raw, error) {
		m, err := actor.TryNext(c, allowedQueue)
		if m == nil {
			return null, err
		}
		return m.Body, nil
	})
	on(d, "allowedReceiveAnyQueue", tryAny[state])
	broadcasts := func(name string, event rivet.Event[raw, valueMessage]) {
		on(d, name, func(_ *state, c *actor.Ctx, value string) (none, error) {
			actor.Broadcast(c, event, valueMessage{value})
			return none{}, nil
		})
	}
	broadcasts("allowedBroadcastAllowedEvent", allowed)
	broadcasts("allowedBroadcastBlockedEvent", blocked)
	broadcasts("allowedBroadcastUndefinedEvent", undefinedEvent)
	d.OnRequest = func(_ *actor.Ctx, _ actor.Self[state], w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/status" {
			notFound(w)
			return
		}
		writeJSON(w, http.StatusOK, map[string]bool{"ok": true})
	}
	d.OnWebSocket = func(c *actor.Ctx, _ actor.Self[state], ws *actor.WebSocket) error {
		if err := sendJSON(c, ws, typed{"welcome"}); err != nil {
			return err
		}
		return ignoreFrames(c, ws)
	}
	return d
}

// 62
func accessControlNoQueues() actor.Definition {
	d := define[struct{}]("accessControlNoQueuesActor", actor.Options{})
	on(d, "readAnyQueue", tryAny[struct{}])
	return d
}
