// Package embedded is the default driver of package store: one Pebble key-value store in a directory of the local disk.
//
// # Directory
//
//	<dir>/FORMAT   which format the directory has; a small JSON object, checked before anything else is touched
//	<dir>/LOCK     held while a process has the store open; its content means nothing
//	<dir>/PID      process id of the holder of LOCK, for error messages only
//	<dir>/db/      Pebble's own files
//
// docs/storage.md lists what is inside db: every table with its key and value bytes.
//
// FORMAT is the first file made (temporary file, fsync, rename, fsync of the directory), so a directory without it that
// holds a db is not ours and is refused. Opening a directory of an older format replaces it, in the same way, before
// anything else is written. Opening after a crash is the same
// as any other opening: Pebble replays its write-ahead log, and every batch in the log is there as a whole or not at
// all (each has a checksum).
//
// # Commits
//
// There is no committing goroutine. Tenure.Commit builds one Pebble batch and applies it in the caller's goroutine
// under the actor's lock, in the same critical section as the fence check; Pebble groups whatever is waiting into one
// fsync. One goroutine per store, the syncer, then waits for those fsyncs in the order of the commits and calls done:
//
//	Commit ──► admission (count, bytes) ──► fence check + apply ──► syncer queue ──► fsync done ──► done(nil)
//	                                        └── under the actor's lock ──┘
//
// Back-pressure (G7): the commits that are applied but not durable are bounded by count and bytes. Over the bound,
// Commit blocks until some are durable; if that takes longer than Options.CommitWait the disk is stuck and Commit
// returns store.ErrUnavailable, having written nothing.
//
// # Failure
//
// Pebble is not built to survive a write error: a failing fsync of its log poisons that log file, the next log
// rotation panics with the commit lock held, a failing manifest write calls Logger.Fatalf, and a failing flush is
// repeated without a pause while writers block. None of this may end the process or leave a goroutine stuck. So Pebble
// never sees a write error. It runs on a file system (type disk) that, at the first failed write, fsync, create or
// rename, is cut off: the failure is recorded, and from that instant every change is accepted and thrown away. What
// follows is orderly:
//
//	serving ──failed write──► cut off ──queue drained, Pebble closed──► reopening ──► serving
//	                             │                                        │   ▲
//	                             │                                        └───┘ backoff with jitter, at most 5 s
//	                             └─ every queued done gets *store.CommitError, every tenure is dead,
//	                                every call returns store.ErrUnavailable
//
// A failure is recorded before the failed operation returns to Pebble, and the syncer looks for a recorded failure
// after Pebble says that a batch is synced: nothing that was thrown away is ever reported durable. Commits that were
// durable shortly before may be reported as failed, which the contract allows ("unknown"). Since nothing reaches the
// directory after the cut, the old instance cannot spoil what the new one opens; LOCK stays held throughout.
//
// What the new instance serves is durable (G10): while it opens, Pebble replays the write-ahead log into memory tables
// and flushes them to new table files, which it syncs and records in a new, synced manifest before Open returns
// (pebble v2.1.7, open.go: replayWAL ends in flushMem, then Open waits for the flush). So even log bytes that only the
// page cache had, because their fsync failed, are on disk in another file before anybody can read them.
//
// Failures of compactions are the exception: they touch no commit. Pebble gets their error and tries again, after a
// pause. Only when commits wait for a compaction that fails is the disk cut off, because they would wait for ever.
package embedded
