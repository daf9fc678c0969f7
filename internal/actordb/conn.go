package actordb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/ext/fts5"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/rivetgo/rivet/internal/actordb/page"
)

// conn is one connection to SQLite: the one that writes, or a reader's.
type conn struct {
	db       *sqlite3.Conn
	file     *file // of the writer; a reader's says only why something failed
	giveBack func()
	stmts    stmtCache
	control  map[string]*sqlite3.Stmt // our own BEGIN, COMMIT and so on
	inside   bool                     // a statement of ours is prepared or VACUUM runs: transaction control is allowed
	denied   string                   // why the authorizer refused the statement
}

// open opens a connection to a file. memory bounds what it may use, in bytes.
func open(f *file, lent vfs.File, memory, cache int, readOnly bool) (*conn, error) {
	name, giveBack := lend(lent)
	uri := "file:" + name + "?vfs=" + vfsName
	if readOnly {
		uri += "&mode=ro"
	}
	f.ctx = context.Background()
	db, err := sqlite3.OpenContext(sqlite3.WithMaxMemory(context.Background(), int64(memory)), uri)
	if err != nil {
		giveBack()
		return nil, fmt.Errorf("open the actor's database: %w", err)
	}
	c := &conn{db: db, file: f, giveBack: giveBack, control: make(map[string]*sqlite3.Stmt)}
	if err := fts5.Register(db); err != nil {
		c.close()
		return nil, fmt.Errorf("register FTS5: %w", err)
	}
	setup := ours
	if readOnly {
		setup = "PRAGMA query_only = ON;"
	}
	if err := db.Exec(fmt.Sprintf("%s PRAGMA cache_size = -%d", setup, max(1, cache>>10))); err != nil {
		err = c.explain(context.Background(), "", err)
		c.close()
		return nil, err
	}
	if err := db.SetAuthorizer(c.authorize); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *conn) close() {
	for _, s := range slices.Collect(c.db.Stmts()) {
		_ = closeStmt(s) // it cannot keep the connection open: SQLite frees it in any case
	}
	if err := c.db.Close(); err != nil {
		panic(fmt.Sprintf("actordb: a statement is left in a closed connection: %v", err))
	}
	c.giveBack()
}

// reserved is the prefix of tables that exist in exported files only.
const reserved = "_rivet_"

const deniedName = "Names that begin with " + reserved + " are reserved for exported files: choose another name."

// authorize says what statements may do. It is asked when a statement is prepared.
func (c *conn) authorize(action sqlite3.AuthorizerActionCode, third, fourth, _, _ string) sqlite3.AuthorizerReturnCode {
	deny := func(why string) sqlite3.AuthorizerReturnCode {
		c.denied = why
		return sqlite3.AUTH_DENY
	}
	switch action {
	case sqlite3.AUTH_ATTACH, sqlite3.AUTH_DETACH:
		if c.inside && (action == sqlite3.AUTH_DETACH || third == "") {
			break // VACUUM's own
		}
		return deny("ATTACH and VACUUM INTO are refused: an actor has one database. Ask other actors through their actions; use an export to copy this one.")
	case sqlite3.AUTH_TRANSACTION:
		if !c.inside {
			return deny(third + " cannot be run here: use BeginTx.")
		}
	case sqlite3.AUTH_SAVEPOINT:
		if !c.inside && isReserved(fourth) {
			return deny(deniedName)
		}
	case sqlite3.AUTH_PRAGMA:
		why, recycle := deniedPragma(third, fourth)
		if why != "" {
			return deny(why)
		}
		c.file.recycle = c.file.recycle || recycle
	case sqlite3.AUTH_FUNCTION:
		if strings.EqualFold(fourth, "load_extension") {
			return deny("load_extension is refused: extensions cannot be loaded into an actor's database.")
		}
	case sqlite3.AUTH_CREATE_TEMP_TABLE, sqlite3.AUTH_CREATE_TEMP_TRIGGER, sqlite3.AUTH_CREATE_TEMP_VIEW, sqlite3.AUTH_CREATE_TEMP_INDEX:
		c.file.recycle = true
	}
	if isReserved(third) || isReserved(fourth) && (action == sqlite3.AUTH_ALTER_TABLE || action == sqlite3.AUTH_CREATE_INDEX || action == sqlite3.AUTH_CREATE_TRIGGER) {
		if action != sqlite3.AUTH_SAVEPOINT {
			return deny(deniedName)
		}
	}
	return sqlite3.AUTH_OK
}

func isReserved(name string) bool {
	return len(name) >= len(reserved) && strings.EqualFold(name[:len(reserved)], reserved)
}

// during makes reads and long statements end with ctx until the returned function is called.
func (c *conn) during(ctx context.Context) func() {
	c.file.ctx = ctx
	c.db.SetInterrupt(ctx)
	return func() {
		c.file.ctx = context.Background()
		c.db.SetInterrupt(context.Background())
	}
}

// run runs one of our own statements. It is not interrupted.
func (c *conn) run(sql string) error {
	c.inside = true // also when it runs: SQLite may compile it again
	defer func() { c.inside = false }()
	s := c.control[sql]
	if s == nil {
		var err error
		if s, _, err = c.compile(sql); err != nil {
			return c.explain(context.Background(), sql, err)
		}
		c.control[sql] = s
	}
	return c.explain(context.Background(), sql, execStmt(s))
}

// prepare compiles the first statement of sql, from the cache if that is all of it. A nil statement: there is none, only
// comments or blanks.
func (c *conn) prepare(sql string) (s *cached, tail string, err error) {
	if s := c.stmts.take(sql); s != nil {
		return s, "", nil
	}
	stmt, tail, err := c.compile(sql)
	if err != nil || stmt == nil {
		return nil, tail, err
	}
	// SQLite does not tell the authorizer of a table's new name.
	if text := statementOf(sql, tail); isAlter(text) && strings.Contains(strings.ToLower(text), reserved) {
		c.denied = deniedName
		_ = stmt.Close() // it did not run
		return nil, "", sqlite3.AUTH
	}
	s = &cached{Stmt: stmt, readOnly: stmt.ReadOnly(), params: stmt.BindCount()}
	if strings.TrimSpace(tail) == "" {
		if tail = ""; !isSavepoint(sql) { // those are looked at each time
			s.sql = sql
		}
	}
	return s, tail, nil
}

// release gives a statement back to the cache.
func (c *conn) release(s *cached) {
	_ = resetStmt(s.Stmt) // it repeats the error of the step, which was reported
	if s.params > 0 {
		_ = s.ClearBindings() // cannot fail
	}
	c.stmts.put(s)
}

// cached is a prepared statement. sql is its text when it may go back to the cache.
type cached struct {
	*sqlite3.Stmt
	sql      string
	readOnly bool
	params   int
	compiled int      // how often SQLite had compiled it again when names and kinds were asked for
	names    []string // of its columns; never changed
	kinds    []kind   // of its columns; nil: not asked for yet
}

// maxCached is how many statements a connection keeps prepared.
const maxCached = 64

// stmtCache keeps statements that are not in use, the newest last.
type stmtCache struct{ idle []*cached }

func (sc *stmtCache) take(sql string) *cached {
	for i, s := range slices.Backward(sc.idle) {
		if s.sql == sql {
			sc.idle = slices.Delete(sc.idle, i, i+1)
			return s
		}
	}
	return nil
}

func (sc *stmtCache) has(sql string) bool {
	for _, s := range slices.Backward(sc.idle) {
		if s.sql == sql {
			return true
		}
	}
	return false
}

func (sc *stmtCache) put(s *cached) {
	if s.sql == "" {
		_ = closeStmt(s.Stmt) // as in conn.close
		return
	}
	if len(sc.idle) == maxCached {
		_ = closeStmt(sc.idle[0].Stmt)
		sc.idle = slices.Delete(sc.idle, 0, 1)
	}
	sc.idle = append(sc.idle, s)
}

// memory is how much memory a connection may use for transactions that change so many pages: the pages, what they were
// before, and the rest.
func memory(limit, cache int) int {
	const most = 4 << 30
	return min(most, 2*limit*page.Size+limit*page.Size/4+cache+(64<<20))
}

var errNoStatement = errors.New("sqlite: the text holds no statement")
