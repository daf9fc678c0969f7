// Package lifecycle holds the two machines of one actor: Engine, the engine's view (where is it, may a request go to
// it), and Host, the view of the process that runs it (which phase is the live actor in). Both are pure: a call takes
// an event and returns what to do as values. There is no clock, goroutine, lock or I/O here; the shells
// (internal/placement, internal/host) own those and must feed one machine from one place at a time.
//
// # Engine
//
// A sleeping actor is nothing in memory: the shell makes a machine when something happens to an actor and drops it at
// the effect Forget.
//
//	                  Request                Started
//	     ┌──────────┐ start  ┌────────────┐        ┌───────────┐
//	────►│  Asleep  ├───────►│  Starting  ├───────►│  Running  │ Request: admit
//	     └┬───▲─────┘        └─┬───┬──────┘        └─┬────┬────┘
//	      │   │     StartFailed│   │ StartMissing    │    │ SleepWanted, DestroyWanted, Delete, Drain,
//	      │   │Forgotten  ┌────▼─┐ │                 │    │ TurnedAway: stop
//	      │   └───────────┤Failed│ │          Stopped│  ┌─▼────────────────┐
//	      │               └┬─▲─┬─┘ │      (by itself)│  │ Stopping(reason) │ Request: wait
//	      │ Delete   Delete│ │ │Request after        │  └─┬───────┬────────┘
//	      │ erase     erase│ │ │the backoff: start   │    │Stopped│ Stopped, reason destroy: erase
//	      │                │ │ │   │               ┌─▼────▼───┐   │
//	      │                │ │ │   │     Released  │Releasing │   │
//	      │                │ │ │   │  to Asleep ◄──┤          │   │
//	      │                │ │ │   │               └──────────┘   │
//	      │                ▼ │EraseFailed                        │
//	      │              ┌───┴─────┐                             │
//	      └─────────────►│ Erasing │◄────────────────────────────┘
//	                     └───┬─────┘
//	                         │ Erased          ┌───────────┐
//	                         └────────────────►│ Destroyed │◄── StartMissing
//	                                           └───────────┘
//
// Rules that the diagram cannot show:
//
//   - A request is admitted in Running only. In Starting, Stopping, Releasing and Erasing it waits; what it waits for
//     ends by itself, because the shell gives every start, stop and erasure a deadline.
//   - Waiting requests are not counted: at every change that may free them the effect is Wake, and each asks again.
//   - A destroy wins over everything and is never forgotten: wanted while starting or releasing, it is carried out as
//     soon as the actor can be erased; a failed erasure is tried again after its backoff, without being asked, for as
//     long as the process lives.
//   - A failed start is answered to everybody who waited for it, and to everybody who asks during the backoff. The
//     first request after the backoff tries again. The number of failures in a row grows the backoff.
//   - A stop that the host reports before the shell has heard that the start succeeded is kept until it has.
//
// # Host
//
//	                 Loaded             StopRequested(sleep)
//	   ┌─────────┐          ┌─────────┐                 ┌────────────┐ Drained, GraceOver
//	──►│ Loading ├─────────►│ Started ├────────────────►│ SleepGrace ├──────────┐
//	   └──┬──────┘          └────┬────┘                 └─────┬──────┘     ┌────▼─────┐ Finalized ┌────────────┐
//	      │ LoadFailed           │ StopRequested(destroy)     │            │ Finalize ├──────────►│ Terminated │
//	      │                      │                      ┌─────▼────────┐   └────▲─────┘           └─────▲──────┘
//	      │                      └─────────────────────►│ DestroyGrace ├────────┘                       │
//	      │                                             └──────────────┘ Drained, GraceOver             │
//	      └─────────────────────────────────────────────────────────────────────────────────────────────┘
//
// Broken (a failed or fenced commit) leads from every live state straight to Finalize, which then only tears down.
package lifecycle
