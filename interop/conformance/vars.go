package main

import (
	"fmt"
	"math/rand/v2"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// Vars and metadata. Vars are unexported fields, made anew by OnWake.
func varActors() []actor.Definition {
	return []actor.Definition{staticVar(), nestedVar(), dynamicVar(), uniqueVar(), driverCtx(), metadata()}
}

// varState is the state of the actors whose vars are a V.
type varState[V any] struct {
	Value float64 // unused
	vars  V
}

type hello struct {
	Hello string `json:"hello"` // unused
}

// defineVars begins an actor whose vars are what make returns at each start.
func defineVars[V any](name string, fresh func() V) definition[varState[V]] {
	d := define[varState[V]](name, actor.Options{})
	d.OnWake = func(s *varState[V], _ *actor.Ctx) error {
		s.vars = fresh()
		return nil
	}
	actor.OnConnect(d.Spec, rivet.NewParams[none](d.of), actor.ConnState[hello]{}, func(*varState[V], *actor.Ctx, none) (hello, error) {
		return hello{"world"}, nil
	})
	get(d, "getVars", func(s *varState[V]) V { return s.vars })
	return d
}

// 24
func staticVar() actor.Definition {
	type vars struct {
		Counter int    `json:"counter"`
		Name    string `json:"name"`
	}
	d := defineVars("staticVarActor", func() vars { return vars{42, "test-actor"} })
	get(d, "getName", func(s *varState[vars]) string { return s.vars.Name })
	return d
}

// 25
func nestedVar() actor.Definition {
	type object struct {
		Key string `json:"key"`
	}
	type nested struct {
		Value string `json:"value"`
		Array []int  `json:"array"`
		Obj   object `json:"obj"`
	}
	type vars struct {
		Counter int    `json:"counter"`
		Nested  nested `json:"nested"`
	}
	d := defineVars("nestedVarActor", func() vars { return vars{42, nested{"original", []int{1, 2, 3}, object{"value"}}} })
	on(d, "modifyNested", func(s *varState[vars], _ *actor.Ctx, _ none) (vars, error) {
		n := &s.vars.Nested
		n.Value, n.Array, n.Obj.Key = "modified", append(n.Array, 4), "new-value"
		return s.vars, nil
	})
	return d
}

// 26
func dynamicVar() actor.Definition {
	type vars struct {
		Random   float64 `json:"random"`
		Computed string  `json:"computed"`
	}
	return defineVars("dynamicVarActor", func() vars { return vars{rand.Float64(), fmt.Sprintf("Actor-%d", random(1000))} })
}

// 27
func uniqueVar() actor.Definition {
	type vars struct {
		ID int `json:"id"`
	}
	return defineVars("uniqueVarActor", func() vars { return vars{random(1_000_000)} })
}

// 28
func driverCtx() actor.Definition {
	type vars struct {
		HasDriverCtx bool `json:"hasDriverCtx"`
	}
	return defineVars("driverCtxActor", func() vars { return vars{} })
}

// 29
func metadata() actor.Definition {
	type snapshot struct {
		Name   string         `json:"name"`
		Tags   map[string]any `json:"tags"`
		Region *string        `json:"region"`
	}
	type state struct {
		Last   *snapshot
		Name   string
		Tags   map[string]any
		Region *string
	}
	d := defineFrom("metadataActor", actor.Options{}, func(*actor.Ctx, raw) (*state, error) {
		return &state{Tags: map[string]any{}}, nil
	})
	d.OnWake = func(s *state, c *actor.Ctx) error {
		s.Name = c.Name()
		return nil
	}
	on(d, "setupTestTags", func(s *state, _ *actor.Ctx, tags map[string]any) (map[string]any, error) {
		s.Tags = tags
		return tags, nil
	})
	on(d, "setupTestRegion", func(s *state, _ *actor.Ctx, region string) (string, error) {
		s.Region = &region
		return region, nil
	})
	on(d, "getMetadata", func(s *state, c *actor.Ctx, _ none) (snapshot, error) {
		s.Last = &snapshot{c.Name(), s.Tags, s.Region}
		return *s.Last, nil
	})
	on(d, "getActorName", func(_ *state, c *actor.Ctx, _ none) (string, error) { return c.Name(), nil })
	get(d, "getStoredActorName", func(s *state) string { return s.Name })
	on(d, "getTag", func(s *state, _ *actor.Ctx, key string) (any, error) {
		if tag := s.Tags[key]; tag != "" {
			return tag, nil
		}
		return nil, nil
	})
	get(d, "getTags", func(s *state) map[string]any { return s.Tags })
	get(d, "getRegion", func(s *state) *string { return s.Region })
	get(d, "getLastMetadata", func(s *state) *snapshot { return s.Last })
	return d
}
