// Counter is the smallest complete program: one actor, two actions, one event.
//
//	go run ./examples/counter
package main

import (
	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
	"github.com/rivetgo/rivet/engine"
)

// Counter is what a counter is created with: nothing.
type Counter struct{}

// The contract: what callers may say, with its types.
var (
	Counters  = rivet.NewActor[Counter]("counter")
	Increment = rivet.NewAction[int64, int64](Counters, "increment")
	GetCount  = rivet.NewAction[rivet.None, int64](Counters, "getCount")
	Count     = rivet.NewEvent[int64](Counters, "count")
)

// state is one live counter. Exported fields are durable.
type state struct{ Count int64 }

func (s *state) increment(c *actor.Ctx, by int64) (int64, error) {
	s.Count += by
	actor.Broadcast(c, Count, s.Count)
	return s.Count, nil
}

func (s *state) getCount(*actor.Ctx, rivet.None) (int64, error) {
	return s.Count, nil
}

// Definition binds the contract to the state's methods.
func Definition() actor.Definition {
	d := actor.Define(Counters, actor.Zero[Counter, state])
	actor.Handle(d, Increment, (*state).increment)
	actor.View(d, GetCount, (*state).getCount)
	return d
}

func main() {
	engine.Main(Definition())
}
