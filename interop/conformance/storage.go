package main

import (
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// Key-value store and schedules.
func storageActors() []actor.Definition { return []actor.Definition{keyValue(), scheduled()} }

// 41
func keyValue() actor.Definition {
	type pair struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	}
	type options struct {
		Reverse bool    `json:"reverse"`
		Limit   float64 `json:"limit"`
	}
	d := define[struct{}]("kvActor", actor.Options{})
	listed := func(c *actor.Ctx, r actor.KVRange) ([]pair, error) {
		out := []pair{}
		found, err := c.KV().List(c, r)
		for _, p := range found {
			out = append(out, pair{p.Key, string(p.Value)})
		}
		return out, err
	}
	on(d, "putText", func(_ *struct{}, c *actor.Ctx, a rivet.Args2[string, string]) (bool, error) {
		return true, c.KV().Put(a.A, []byte(a.B))
	})
	on(d, "getText", func(_ *struct{}, c *actor.Ctx, key string) (*string, error) {
		value, ok, err := c.KV().Get(c, key)
		if !ok {
			return nil, err
		}
		text := string(value)
		return &text, nil
	})
	on(d, "listText", func(_ *struct{}, c *actor.Ctx, prefix string) ([]pair, error) {
		return listed(c, actor.KVRange{Prefix: prefix})
	})
	on(d, "listTextRange", func(_ *struct{}, c *actor.Ctx, a rivet.Args3[string, string, *options]) ([]pair, error) {
		o := or(a.C, options{})
		return listed(c, actor.KVRange{Start: a.A, End: a.B, Reverse: o.Reverse, Limit: int(o.Limit)})
	})
	on(d, "deleteTextRange", func(_ *struct{}, c *actor.Ctx, a rivet.Args2[string, string]) (bool, error) {
		return true, c.KV().DeleteRange(a.A, a.B)
	})
	on(d, "roundtripArrayBuffer", func(_ *struct{}, c *actor.Ctx, a rivet.Args2[string, []float64]) ([]int, error) {
		data := make([]byte, len(a.B))
		for i, n := range a.B {
			data[i] = byte(int(n))
		}
		if err := c.KV().Put(a.A, data); err != nil {
			return nil, err
		}
		stored, ok, err := c.KV().Get(c, a.A)
		if !ok {
			return nil, err
		}
		out := make([]int, len(stored))
		for i, b := range stored {
			out[i] = int(b)
		}
		return out, nil
	})
	return d
}

// 42
func scheduled() actor.Definition {
	type state struct {
		LastRun float64
		Count   int
		History []string
	}
	type ran struct {
		Time  float64 `json:"time"`
		Count int     `json:"count"`
	}
	type ranWithID struct {
		TaskID string  `json:"taskId"`
		Time   float64 `json:"time"`
		Count  int     `json:"count"`
	}
	type plan struct {
		TaskID       string  `json:"taskId"`
		ScheduledFor float64 `json:"scheduledFor"`
	}
	d := define[state]("scheduled", actor.Options{})
	event := rivet.NewEvent[ran](d.of, "scheduled")
	eventWithID := rivet.NewEvent[ranWithID](d.of, "scheduledWithId")
	task := on(d, "onScheduledTask", func(s *state, c *actor.Ctx, _ none) (none, error) {
		s.LastRun = now()
		s.Count++
		actor.Broadcast(c, event, ran{s.LastRun, s.Count})
		return none{}, nil
	})
	taskWithID := on(d, "onScheduledTaskWithId", func(s *state, c *actor.Ctx, id string) (none, error) {
		s.LastRun = now()
		s.Count++
		s.History = append(s.History, id)
		actor.Broadcast(c, eventWithID, ranWithID{id, s.LastRun, s.Count})
		return none{}, nil
	})
	at := func(c *actor.Ctx, ms float64) error {
		_, err := actor.At(c, time.UnixMilli(int64(ms)), task, none{})
		return err
	}
	on(d, "scheduleTaskAt", func(_ *state, c *actor.Ctx, ms float64) (float64, error) { return ms, at(c, ms) })
	on(d, "scheduleTaskAfter", func(_ *state, c *actor.Ctx, delay float64) (float64, error) {
		_, err := actor.After(c, millis(delay), task, none{})
		return now() + delay, err
	})
	on(d, "scheduleTask", func(_ *state, c *actor.Ctx, delay float64) (float64, error) {
		ms := now() + delay
		return ms, at(c, ms)
	})
	on(d, "scheduleTaskAfterWithId", func(_ *state, c *actor.Ctx, a rivet.Args2[string, float64]) (plan, error) {
		_, err := actor.After(c, millis(a.B), taskWithID, a.A)
		return plan{a.A, now() + a.B}, err
	})
	get(d, "getLastRun", func(s *state) float64 { return s.LastRun })
	get(d, "getScheduledCount", func(s *state) int { return s.Count })
	get(d, "getTaskHistory", func(s *state) []string { return list(s.History) })
	on(d, "clearHistory", func(s *state, _ *actor.Ctx, _ none) (bool, error) {
		*s = state{}
		return true, nil
	})
	return d
}
