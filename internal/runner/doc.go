// Package runner lets the actors of this process live under somebody else's engine: it connects out to it, speaks the
// envoy protocol (wire/runnerproto), and drives a link.Runner by its commands.
//
//	engine ══ one WebSocket ══ session ─┬─ commands ──► slot ──► link.Runner.Start, Actor.Stop
//	                                    │               slot ◄── link.Events: intents, the end
//	                                    ├─ tunnel ────► slot ──► Actor.HTTP, Actor.WebSocket
//	                                    └─ pages ◄────► records: the actor's storage (pagetree)
//
// A slot is one generation of one actor. What it tells the engine are events, numbered within it, and all that the engine
// has not acknowledged are said again after a reconnect; commands are numbered too, and one that comes again is not carried
// out again. Requests for pages that were not answered are sent again after a reconnect.
//
// # Storage
//
// An actor's records lie in the pages of its engine database (pagetree). Every commit carries the generation, which the
// engine checks, and the number of the last commit, so a commit that another writer overtook is refused (G3). While one
// commit is under way further batches gather, and leave together as the next: a batch is whole in one commit (G1), and its
// done comes when that commit was acknowledged (G2). A commit whose answer was lost with the connection is sent again; if it
// is then refused because the number is taken, its pages are read back to tell whether it was this very commit that took
// it. Any other failure ends the life: it reloads from what is stored (G10).
//
// The engine keeps one alarm for each actor, which it learns by an event, apart from the commit. An alarm that becomes earlier
// is told before the commit that has it, one that becomes later after it: the engine may wake an actor for nothing, never too
// late (G4).
//
// # Sockets
//
// The engine's gateway holds the clients' WebSockets, also while their actor sleeps. Here a socket is a ws.Kept: its
// messages are acknowledged when their effects are durable, and come again in the next life if they were not.
//
// # What must never happen
//
// Stopped without an error in a life that the engine did not ask to stop: the engine would destroy the actor. Two slots of an
// actor that both commit. An event's number used twice. A client's bytes on another's tunnel. An answer that may have been
// lost with a connection and is neither said again nor ended, so that somebody waits for ever (G6).
package runner
