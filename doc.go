// Package rivet is the words that both sides of an actor say: typed names of actors, actions and events, keys and
// errors, and the client that calls them.
//
// A contract is a few package-level values. Each carries its types, so that a call with the wrong argument, or on a
// handle of another actor, does not compile:
//
//	type Counter struct{} // what a counter is created with: nothing
//
//	var (
//		Counters  = rivet.NewActor[Counter]("counter")
//		Increment = rivet.NewAction[int64, int64](Counters, "increment")
//		Count     = rivet.NewEvent[int64](Counters, "count")
//	)
//
// Calling needs a client and a handle:
//
//	client, err := rivet.NewClient("http://127.0.0.1:6420", nil)
//	likes := Counters.GetOrCreate(client, rivet.Key{"likes", "post-1"}, Counter{})
//	n, err := Increment.Call(ctx, likes, 1)
//
// Package actor binds handlers to these values; package engine runs them. This package imports neither, so a program
// that only calls actors links no engine and no database.
package rivet
