// Package queue is the pure part of an actor's queues: which message is next, who holds it, and the bytes of what is
// stored. It has no clock, goroutine or storage; the host drives it and keeps the records.
//
//	           Add                 Lease                    Remove
//	(sender) ───────► ready ◄────────────────► leased ────────────────► gone: completed, or moved to the dead letters
//	             │      ▲      Release, expiry    │
//	             │      │                         │ Release with a later time (a retry)
//	             └──► delayed ◄───────────────────┘
//	                 (until its time)
//
// Every message of an actor is in exactly one of the three states, in one FIFO by number (G5). A lease has a deadline:
// whoever forgets a message gives it back (G6).
package queue
