// Package host runs live actors. It is written once against two small things that it is handed: Records (the actor's
// durable records, fenced by a generation) and Owner (who placed the actor here), so the same host lives under our
// engine in this process, behind a runner link, or under a foreign engine.
//
// # The turn
//
// One actor runs one turn at a time: an action, a hook, a Do. The turn is a one-slot channel, so waiting for it obeys a
// context, is first come first served, and costs an idle actor no goroutine.
//
//	handler ─► success ─► encode the state, compare with the last encoding ─► Batch ─► Records.Commit ─► next turn may start
//	   │                                                                          │
//	   │                                                             durable ─► gate ─► outputs leave, in order
//	   └─► error, panic, deadline ─► restore the state from its last encoding, drop the turn's outputs ─► error reply
//
// Outputs (replies, events, disconnects, the wish to sleep) sit in one ordered queue per actor, the gate, each with the
// number of the commit it depends on. A read-only turn's reply depends on the commits before it, so nobody ever sees a
// state that could still be lost (G2).
//
// If a commit fails or is fenced, every turn after it is void: its outputs are dropped, its callers get an error, the
// actor ends and reports it, and whoever asks next meets a new life loaded from what is durable (G10).
//
// # What must never happen
//
//   - an output leaves before the commit it depends on is durable
//   - two handlers touch the state at once
//   - anything of a failed turn stays: state, events, disconnects (fields that are not exported are the handler's own)
//   - a call without an outcome: every call ends by reply, by its deadline, or with the actor
//   - Owner.Stopped before the last commit is durable or has failed
package host
