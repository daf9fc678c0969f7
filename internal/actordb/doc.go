// Package actordb is the private SQLite database of an actor. Its pages lie in the actor's records (see package page);
// SQLite reads and writes them through a VFS, and never touches a disk.
//
//	database/sql ── Connector ── Scope: in which turn? (host)
//	                                 │
//	                                Tx ── one SQLite transaction: a turn's
//	                                 │
//	                           connection ── VFS file ──► reads: Source (the actor's records)
//	                                              └─────► writes: Changes, which become a part of the turn's batch
//
// A turn's first statement that writes begins a transaction. Tx.Commit ends it: SQLite hands its dirty pages to the VFS in one
// atomic batch, which stays in memory as Changes; whoever holds the turn commits them with everything else of the turn. From
// then on the records answer for these pages. Nothing of a transaction that was rolled back ever reaches the VFS.
//
// What must never happen:
//
//   - A page leaves SQLite outside an atomic batch: the VFS refuses such a write.
//   - Changes that were taken are not committed, and the database lives on: a commit that fails ends the actor, and with it
//     this DB. Where a turn fails after SQLite committed (VACUUM), the connection is thrown away.
//   - A page that the head counts is missing and read as zeros: it is a *page.CorruptError that names it. Pages that SQLite
//     allots and never writes get a record of zeros when the database grows.
//   - Two goroutines are inside one connection: a Tx has a lock; a DB has one Tx at most.
//   - A statement leaves something behind in the connection that a reopened one would not have (temporary tables,
//     settings): such a connection is thrown away at the end of its transaction.
//
// A connection costs about 300 KiB. It is opened by the first Begin, closed by the Pool when it was idle or when too much
// memory is in use, and opened again by the next Begin; nobody notices.
//
// The binding's types stay in this package, so that another library can take its place.
package actordb
