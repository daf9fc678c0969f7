// Package alarm wakes sleeping actors at the instants at which they want to be awake (G4).
//
// Each actor has one alarm in the store, which its own commits set. An actor that is awake watches its time itself, and
// its alarm in the store may be long past; the Clock minds those that sleep. It never sets or clears an alarm: it has the
// actor woken, and what is due is the actor's business.
//
//	         Store.Alarms, in pages           due             Placement.Wake, at most MaxWakes at once
//	store ─────────────────────────► waiting ─────► waking ─────────────────────────► awake
//	         Store.Actors, one by one    ▲            │ failed, or it sleeps again        │
//	Left ────────────────────────────────┤            ▼ with the same alarm               │
//	 ▲                                   └──────── backing off                            │
//	 └────────────────────────────────────────────────────────────────────────────────────┘
//
// What the Clock knows is a window (type agenda, pure): every alarm of a sleeping actor up to some position in the order
// of time, at most half a minute ahead and at most a few thousand. The window moves on as time passes and as it empties.
// An actor that falls asleep may have set an alarm inside it, so Left has that actor looked at. Commits of actors that are
// awake need not be noticed: they end with a Left.
//
// Nothing is lost when any of this goes wrong. Once a minute, and after every error of the store, the window is read anew
// from the earliest alarm on. Memory is bounded everywhere (G7); what goes over a bound is found again by that reading.
//
// Alarms are instants of the wall clock, which may jump. The Clock compares them with it anew every ten seconds at least,
// so a clock set forward is noticed within that time, and one that is set back makes alarms wait, not vanish. Pauses after
// failures are measured on the monotonic clock.
//
// An alarm that is late because the process was down, or because many are due at once, is served as soon as can be, the
// earliest first.
package alarm
