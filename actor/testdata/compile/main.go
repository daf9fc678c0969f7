// This program does not compile: each marked line is a mistake that the types must catch.
package main

import (
	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

type (
	Counter struct{}
	Room    struct{}
	Join    struct{ Name string }
	member  struct{ Name string }
	state   struct{ Count int64 }
	other   struct{ Count int64 }
)

var (
	Counters  = rivet.NewActor[Counter]("counter")
	Increment = rivet.NewAction[int64, int64](Counters, "increment")
	Count     = rivet.NewEvent[int64](Counters, "count")
	Joins     = rivet.NewParams[Join](Counters)

	Rooms = rivet.NewActor[Room]("room")
	Say   = rivet.NewAction[string, string](Rooms, "say")

	members actor.ConnState[member]
)

func (s *state) increment(c *actor.Ctx, by int64) (int64, error)               { return 0, nil }
func (s *state) wrongArgument(c *actor.Ctx, by string) (int64, error)          { return 0, nil }
func (s *state) wrongResult(c *actor.Ctx, by int64) (string, error)            { return "", nil }
func (s *state) noContext(by int64) (int64, error)                             { return 0, nil }
func (s *state) say(c *actor.Ctx, text string) (string, error)                 { return "", nil }
func (o *other) increment(c *actor.Ctx, by int64) (int64, error)               { return 0, nil }
func (s *state) join(c *actor.Ctx, p Join) (member, error)                     { return member{}, nil }
func (s *state) joinWrongState(c *actor.Ctx, p Join) (string, error)           { return "", nil }
func concurrent(c *actor.Ctx, self actor.Self[other], by int64) (int64, error) { return 0, nil }
func create(c *actor.Ctx, in Room) (*state, error)                             { return nil, nil }

func main() {
	d := actor.Define(Counters, actor.Zero[Counter, state])
	actor.Handle(d, Increment, (*state).increment)
	actor.View(d, Increment, (*state).increment)
	actor.OnConnect(d, Joins, members, (*state).join)
	d.OnWake = (*state).wake // want `wake undefined`

	actor.Handle(d, Increment, (*state).wrongArgument)          // want `does not match inferred type`
	actor.Handle(d, Increment, (*state).wrongResult)            // want `does not match inferred type`
	actor.Handle(d, Increment, (*state).noContext)              // want `does not match`
	actor.Handle(d, Increment, (*other).increment)              // want `does not match inferred type`
	actor.Handle(d, Say, (*state).say)                          // want `does not match inferred type`
	actor.HandleConcurrent(d, Increment, concurrent)            // want `does not match inferred type`
	actor.OnConnect(d, Joins, members, (*state).joinWrongState) // want `does not match inferred type`
	actor.Define(Counters, create)                              // want `does not match inferred type`

	var c *actor.Ctx
	actor.Broadcast(c, Count, int64(1))
	actor.Broadcast(c, Count, "one")                           // want `cannot use "one"`
	actor.SelfOf(c, &state{}).Do(func(s *other) { s.Count++ }) // want `cannot use func`
}
