// Package placement wakes and stops actors, and lets requests in.
//
// It drives one lifecycle.Engine per actor that is awake or in transition; an actor that sleeps is nothing in memory. The
// machine decides, this package carries out: it acquires the store's tenure, starts the actor on the link.Runner, passes
// on stops, gives tenures back, erases, and runs the delays.
//
//	With ──► running? ──yes──► fn(actor) ──► its answer
//	             │no               │ErrStopping
//	             ▼                 ▼
//	         wait for the start or the stop under way, asking the machine again after every change
//
// A running actor costs one sharded map entry and no goroutine. Admission to one is a read of that map and of one pointer;
// no lock is held while fn runs. Goroutines exist only while an actor is being started or erased; delays are timers.
//
// Everything that is waited for ends: a start after Config.StartTimeout, a stop after Config.StopTimeout. An actor whose
// host never reports its end is given up: its tenure is released, which fences it, so a copy that still lives can
// commit nothing (G3, G6).
package placement
