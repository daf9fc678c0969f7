// Package surface is what an actor looks like from outside: its HTTP routes and its connection WebSocket, in the client
// protocol, on top of the host's verbs. The gateway strips its own addressing first, so the paths here are the actor's
// own: "/action/increment", "/connect".
//
// A call's way: read and decode on the caller's goroutine, run the action there (host.Actor.Action), wait for the gate
// to release the reply, write it. A connection has one goroutine that reads and also runs the actions that take the turn,
// in order; when a handler takes long, another goroutine takes the reading over (stall.go) and the first becomes the
// worker that handles what waits in line. Concurrent actions run on goroutines of their own.
//
// A socket may outlive its actor's life (berth.go): what its client sends from the beginning of a stop waits in the
// socket, which the lot keeps and for which it has the actor woken; the next life takes it over (lot.go).
//
// What must never happen: a message handed to two lives; a reply written before the host released it; two Inits on a socket, or an event before the
// first; a reader that stops reading for ever because a handler is slow (a bounded number of its messages wait, then
// the socket's own back-pressure holds the client).
package surface
