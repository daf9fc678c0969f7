// Package actorfile is an actor as one file: a SQLite database that holds the actor's own tables, and beside them, in tables
// whose names begin with _rivet_, everything else that it stores. Any sqlite3 can read it.
//
//	_rivet_meta      key, value: what is in the file, and whose it is
//	_rivet_records   key, value: every record of the actor, byte for byte, except the pages of its database
//	_rivet_state, _rivet_kv, _rivet_queue, _rivet_dead_letters, _rivet_receipts, _rivet_outbox, _rivet_schedules,
//	_rivet_history, _rivet_connections, _rivet_migrations
//	                 the same for people: decoded, and ignored by Import
//
// Export copies the pages of a view, each with its checksum checked, into a temporary file, adds the tables, and sends the
// file. Since a view is one commit, so is the file; nobody waits for it, and a sleeping actor sleeps on. Import checks a file
// and commits everything in it as one batch, so that an actor is imported whole or not at all.
//
// What must never happen: a file that was cut short or changed is imported; a damaged page is exported as if it were sound;
// a message that is on its way is sent by the copy too.
package actorfile
