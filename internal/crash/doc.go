// Package crash kills a real server at random moments under load and holds what comes back against a ledger of what was
// acknowledged. It has tests only:
//
//	go test ./internal/crash                 # a few kills
//	go test ./internal/crash -kills=1000     # more
//
// What is killed is the program in victim. Callers work at two ledgers.
//
// The ledger of counters knows, for each actor, the highest value that anybody was told (in a reply, a read or an event)
// and how many increments were ever asked for. After each restart the count must lie between the two: below, an
// acknowledged action was lost; above, one was invented.
//
// The book of workers knows, by an id that the caller chose, each message, schedule and post, and what the worker notes in
// the turn that deals with it:
//
//	m:ID  a message was handled, by the run loop or in a turn   a:ID  a schedule was planned, f:ID  and has fired
//	r:ID  an action posted to another worker                    e:ID  a recurring schedule fired for the time in the ID
//	p:…   the post of m:, f:, r: or e: arrived
//
// After each restart the workers that the kill may have hit must know everything that somebody was told of, nothing that
// nobody asked for, nothing twice, nothing of a turn that failed, and the same in their state, their store and their
// database, in which SQLite finds nothing wrong. In the end
// all is quiet: what was acknowledged has happened or is a dead letter, and of things that one turn brought about (a
// message and its post, a plan, its firing and the post of that) all have happened or none. Until the firings of actors
// that nobody called since their last life were heard of elsewhere, nobody calls them: their alarms must wake them.
package crash
