package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// Errors, timeouts, payloads.
func failureActors() []actor.Definition {
	return []actor.Definition{
		errorHandling(), customTimeout(), shortTimeout(), longTimeout(), defaultTimeout(), syncTimeout(), largePayload(), largePayloadConn(),
	}
}

// 16
func errorHandling() actor.Definition {
	type state struct{ Log []string }
	type detail struct {
		Reason    string  `json:"reason"`
		Timestamp float64 `json:"timestamp"`
	}
	d := define[state]("errorHandlingActor", actor.Options{ActionTimeout: 500 * time.Millisecond})
	fails := func(name string, err func() error) {
		on(d, name, func(*state, *actor.Ctx, none) (none, error) { return none{}, err() })
	}
	fails("throwSimpleError", func() error { return &rivet.Error{Message: "Simple error message"} })
	fails("throwDetailedError", func() error {
		return &rivet.Error{Code: "detailed_error", Message: "Detailed error message", Metadata: detail{"test", now()}}
	})
	fails("throwInternalError", func() error { return errors.New("This is an internal error") })
	get(d, "successfulAction", func(*state) string { return "success" })
	replyAfter(d, "timeoutAction", 10*time.Second, "This should not be reached if timeout works")
	waits(d, "delayedAction", func(c *actor.Ctx, _ actor.Self[state], ms float64) (string, error) {
		return fmt.Sprintf("Completed after %vms", ms), pause(c, millis(ms))
	})
	on(d, "logError", func(s *state, _ *actor.Ctx, e string) ([]string, error) {
		s.Log = append(s.Log, e)
		return s.Log, nil
	})
	get(d, "getErrorLog", func(s *state) []string { return list(s.Log) })
	on(d, "clearErrorLog", func(s *state, _ *actor.Ctx, _ none) (bool, error) {
		s.Log = nil
		return true, nil
	})
	return d
}

// replyAfter binds an action that waits, then returns a text.
func replyAfter[S any](d definition[S], name string, wait time.Duration, text string) {
	waits(d, name, func(c *actor.Ctx, _ actor.Self[S], _ none) (string, error) { return text, pause(c, wait) })
}

type unusedValue struct{ Value float64 }

// 17
func customTimeout() actor.Definition {
	d := define[struct{}]("customTimeoutActor", actor.Options{ActionTimeout: 200 * time.Millisecond})
	replyAfter(d, "quickAction", 50*time.Millisecond, "Quick action completed")
	replyAfter(d, "slowAction", 300*time.Millisecond, "Slow action completed")
	return d
}

// 18
func shortTimeout() actor.Definition {
	d := define[unusedValue]("shortTimeoutActor", actor.Options{ActionTimeout: 50 * time.Millisecond})
	get(d, "quickAction", func(*unusedValue) string { return "quick response" })
	replyAfter(d, "slowAction", 100*time.Millisecond, "slow response")
	return d
}

// 19
func longTimeout() actor.Definition {
	d := define[unusedValue]("longTimeoutActor", actor.Options{ActionTimeout: 200 * time.Millisecond})
	replyAfter(d, "delayedAction", 100*time.Millisecond, "delayed response")
	return d
}

// 20
func defaultTimeout() actor.Definition {
	d := define[unusedValue]("defaultTimeoutActor", actor.Options{})
	replyAfter(d, "normalAction", 50*time.Millisecond, "normal response")
	return d
}

// 21
func syncTimeout() actor.Definition {
	d := define[unusedValue]("syncTimeoutActor", actor.Options{ActionTimeout: 50 * time.Millisecond})
	get(d, "syncAction", func(*unusedValue) string { return "sync response" })
	return d
}

type items struct {
	Items []string `json:"items"`
}

type itemSummary struct {
	ItemCount int     `json:"itemCount"`
	FirstItem *string `json:"firstItem,omitempty"`
	LastItem  *string `json:"lastItem,omitempty"`
}

func summarize(a items) itemSummary {
	out := itemSummary{ItemCount: len(a.Items)}
	if n := len(a.Items); n > 0 {
		out.FirstItem, out.LastItem = &a.Items[0], &a.Items[n-1]
	}
	return out
}

// payloadActions binds what both actors of large payloads do alike.
func payloadActions[S any](d definition[S]) {
	on(d, "getLargeResponse", func(_ *S, _ *actor.Ctx, count float64) (items, error) {
		out := items{make([]string, int(count))}
		for i := range out.Items {
			out.Items[i] = fmt.Sprintf("Item %d with some additional text to increase size", i)
		}
		return out, nil
	})
	on(d, "echo", func(_ *S, _ *actor.Ctx, x raw) (raw, error) { return x, nil })
}

// 22
func largePayload() actor.Definition {
	d := define[struct{}]("largePayloadActor", actor.Options{})
	on(d, "processLargeRequest", func(_ *struct{}, _ *actor.Ctx, a items) (itemSummary, error) { return summarize(a), nil })
	payloadActions(d)
	return d
}

// 23
func largePayloadConn() actor.Definition {
	type connState struct{ LastRequestSize int }
	d := define[struct{}]("largePayloadConnActor", actor.Options{})
	var conns actor.ConnState[connState]
	actor.OnConnect(d.Spec, rivet.NewParams[none](d.of), conns, func(*struct{}, *actor.Ctx, none) (connState, error) {
		return connState{}, nil
	})
	on(d, "processLargeRequest", func(_ *struct{}, c *actor.Ctx, a items) (itemSummary, error) {
		if m, ok := conns.Of(c); ok {
			m.LastRequestSize = len(a.Items)
		}
		return summarize(a), nil
	})
	on(d, "getLastRequestSize", func(_ *struct{}, c *actor.Ctx, _ none) (int, error) {
		m, _ := conns.Of(c)
		return m.LastRequestSize, nil
	})
	payloadActions(d)
	return d
}
