// Package dial is the untyped client: it finds actors, calls their actions over HTTP and holds connections to them. It
// deals in strings and encoded bytes; package rivet puts the types on.
//
// # Addressing
//
// A Target names an actor by id or by key. A key travels in the gateway's query form, so that one request resolves,
// creates, wakes and calls; nothing is cached. A few keys have no spelling there (a part with a comma, a key that is
// one empty part) and large inputs do not fit into a URL; these targets are resolved through the API and addressed by
// id, and the id is forgotten as soon as an answer says that the actor is gone.
//
// # Retries
//
// An HTTP call is repeated when its answer says that the actor was between two lives (see retries). Such an action may
// have run, so actions are at-least-once across a crash of their actor. Failures of the network are not repeated.
//
// # Connections
//
//	             dial, Init                  socket lost
//	Connecting ─────────────► Connected ─────────────────┐
//	    ▲  │ first attempt       │                       │
//	    │  │ fails               │ Close, or the actor   │
//	    │  ▼                     ▼ is gone for good      ▼
//	    │ Closed ◄──────────────────────────────── Disconnected
//	    └──────────────────────────────────────────── wait
//
// A Conn reconnects at once, then after 250 ms, doubling to 30 s, for as long as nothing says that the actor will never
// take it back. The count starts again when a socket has been open for stableAfter. Subscriptions are announced again
// on every new socket. Actions in flight when a socket is lost fail with client.connection_lost and are not repeated;
// actions called in between wait for the next socket.
//
// Goroutines of a Conn: run owns it and reads; write and ping belong to one session and end before run goes on. Close
// waits for all of them. Callbacks run on a goroutine that exists only while there is something to call; Close does not
// wait for one that is running, so that a callback may call Close.
package dial
