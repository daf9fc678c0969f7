package actordb

import (
	"fmt"

	"github.com/ncruces/go-sqlite3"
)

// The library panics where SQLite says that it has no memory. SQLite itself goes on, with or without the transaction; so what
// may need much memory is called through these, which make the panic the error that it was.

// outOfMemory is what the library panics with.
const outOfMemory = "sqlite3: out of memory"

// noMemory is deferred by whoever calls the library.
func noMemory(err *error) {
	switch r := recover(); {
	case r == nil:
	case fmt.Sprint(r) == outOfMemory:
		*err = sqlite3.NOMEM
	default:
		panic(r)
	}
}

func execStmt(s *sqlite3.Stmt) (err error) {
	defer noMemory(&err)
	return s.Exec()
}

func stepStmt(s *sqlite3.Stmt) (more bool, err error) {
	defer noMemory(&err)
	if s.Step() {
		return true, nil
	}
	return false, s.Err()
}

func (c *conn) compile(sql string) (s *sqlite3.Stmt, tail string, err error) {
	defer noMemory(&err)
	return c.db.PrepareFlags(sql, sqlite3.PREPARE_PERSISTENT)
}

func (c *conn) execText(sql string) (err error) {
	defer noMemory(&err)
	return c.db.Exec(sql)
}

func resetStmt(s *sqlite3.Stmt) (err error) {
	defer noMemory(&err)
	return s.Reset()
}

func closeStmt(s *sqlite3.Stmt) (err error) {
	defer noMemory(&err)
	return s.Close()
}
