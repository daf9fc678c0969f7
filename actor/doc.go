// Package actor is for writing actors: a plain struct whose exported fields are the durable state, plain methods that
// handle what the contract in package rivet declares, and a definition that binds the two.
//
//	// state is one live counter. Exported fields are durable.
//	type state struct{ Count int64 }
//
//	func (s *state) increment(c *actor.Ctx, by int64) (int64, error) {
//		s.Count += by
//		actor.Broadcast(c, Count, s.Count)
//		return s.Count, nil
//	}
//
//	func Definition() actor.Definition {
//		d := actor.Define(Counters, actor.Zero[Counter, state])
//		actor.Handle(d, Increment, (*state).increment)
//		return d
//	}
//
// # Turns
//
// Handlers bound with Handle, and all hooks, run one at a time on each actor: a turn. A turn is a transaction. When it
// returns nil, its changes of the state commit together, and its reply and events leave when the commit is durable (G1,
// G2). When it returns an error or panics, the exported fields and the connection states are what they were before, and
// nothing that the turn sent leaves. Unexported fields are the handler's own: they are not stored, not rolled back, and
// built again by OnWake at each wake.
//
// A handler that waits blocks its actor. View declares a handler read-only, which saves encoding; HandleConcurrent runs
// outside the turn and takes short turns with Self.Do. A call that would come back to an actor that waits for it is
// refused at once.
//
// # Order of the hooks
//
// First start: the constructor given to Define, OnCreate (one commit), OnWake. Later starts: OnWake. A connection:
// BeforeConnect, OnConnect (its result is the connection's state), OnConnected; at its end OnDisconnect. An end: OnSleep
// or OnDestroy, then work under way is waited for, then connections are closed, all within Options.GracePeriod.
package actor
