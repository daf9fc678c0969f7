package main

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// SQLite.
func sqlActors() []actor.Definition {
	return []actor.Definition{
		dbRaw(), dbStress(), dbPragmaMigration(), dbScheduled(), dbLifecycle(), dbLifecycleFailing(), dbLifecycleObserver(),
		dbInitOrderCreateState(), dbInitOrderOnCreate(), dbInitOrderCreateVars(), dbInitOrderOnWake(), dbInitOrderOnSleep(), dbInitOrderOnDestroy(),
		dbInitOrderObserver(), dbManualWarningsDisabled(), dbRuntimeSocketDisabled(), runtimeSocketWithoutDB(), dbRemoteLifecycleProbe(),
		dbDrizzleMigration(), dbDrizzleMigrationRollback(),
	}
}

var slowSQL = actor.Options{ActionTimeout: 2 * time.Minute, SleepAfter: 100 * time.Millisecond}

// 93
func dbStress() actor.Definition {
	d := define[struct{}]("dbStressActor", slowSQL)
	migrates(d, `CREATE TABLE IF NOT EXISTS stress_data(id INTEGER PRIMARY KEY AUTOINCREMENT, value TEXT NOT NULL, created_at INTEGER NOT NULL);
		CREATE TABLE IF NOT EXISTS stress_meta_kv(key TEXT PRIMARY KEY, value TEXT NOT NULL, updated_at INTEGER NOT NULL);
		CREATE TABLE IF NOT EXISTS stress_payloads(id INTEGER PRIMARY KEY, tag TEXT NOT NULL, payload TEXT NOT NULL, updated_at INTEGER NOT NULL)`)
	const insert, upsert = `INSERT INTO stress_data(value, created_at) VALUES(?, ?)`, `INSERT OR REPLACE INTO stress_meta_kv VALUES(?, ?, ?)`
	on(d, "insertBatch", func(_ *struct{}, c *actor.Ctx, count float64) (sqlCount, error) {
		n, at := max(0, int(count)), int64(now())
		if n == 0 {
			return sqlCount{}, nil
		}
		marks, args := make([]string, n), make([]any, 0, 2*n)
		for i := range n {
			marks[i] = "(?, ?)"
			args = append(args, fmt.Sprint("row-", i), at)
		}
		return sqlCount{n}, exec(c, c.DB(), `INSERT INTO stress_data(value, created_at) VALUES `+strings.Join(marks, ", "), args...)
	})
	on(d, "upsertMetaRows", func(_ *struct{}, c *actor.Ctx, count float64) (int, error) {
		for i := range max(0, int(count)) {
			if err := exec(c, c.DB(), upsert, fmt.Sprint("key-", i%32), fmt.Sprint("value-", i), int64(now())); err != nil {
				return 0, err
			}
		}
		return one[int](c, c.DB(), `SELECT count(*) FROM stress_meta_kv`)
	})
	waits(d, "kitchenSinkSmoke", func(c *actor.Ctx, _ actor.Self[struct{}], rounds float64) (sink, error) {
		return kitchenSink(c, max(1, int(rounds)))
	})
	on(d, "getCount", func(_ *struct{}, c *actor.Ctx, _ none) (int, error) {
		return one[int](c, c.DB(), `SELECT count(*) FROM stress_data`)
	})
	type health struct {
		Elapsed float64 `json:"elapsedMs"`
		Count   float64 `json:"insertCount"`
	}
	insertEach := func(c *actor.Ctx, prefix string, count float64) error {
		for i := range max(0, int(count)) {
			if err := exec(c, c.DB(), insert, fmt.Sprint(prefix, i), int64(now())); err != nil {
				return err
			}
		}
		return nil
	}
	on(d, "measureEventLoopHealth", func(_ *struct{}, c *actor.Ctx, count float64) (health, error) {
		began := time.Now()
		err := insertEach(c, "drift-", count)
		return health{float64(time.Since(began).Microseconds()) / 1e3, count}, err
	})
	on(d, "writeAndVerify", func(_ *struct{}, c *actor.Ctx, count float64) (int, error) {
		if err := insertEach(c, "verify-", count); err != nil {
			return 0, err
		}
		return one[int](c, c.DB(), `SELECT count(*) FROM stress_data WHERE value LIKE 'verify-%'`)
	})
	on(d, "integrityCheck", func(_ *struct{}, c *actor.Ctx, _ none) (string, error) {
		return one[string](c, c.DB(), `PRAGMA integrity_check`)
	})
	on(d, "reset", func(_ *struct{}, c *actor.Ctx, _ none) (none, error) {
		return none{}, exec(c, c.DB(), `DELETE FROM stress_data; DELETE FROM stress_meta_kv; DELETE FROM stress_payloads`)
	})
	sleepAction(d)
	destroyAction(d)
	return d
}

// sink is what is in the database in the end.
type sink struct {
	Meta      int    `json:"metaCount"`
	Data      int    `json:"dataCount"`
	Payload   int    `json:"payloadCount"`
	Pages     int    `json:"pageCount"`
	Integrity string `json:"integrity"`
}

// kitchenSink does a little of everything. It runs outside the turn, so that VACUUM is a turn of its own.
func kitchenSink(c *actor.Ctx, rounds int) (s sink, err error) {
	const upsert = `INSERT OR REPLACE INTO stress_meta_kv VALUES(?, ?, ?)`
	start := int64(now())
	if err := exec(c, c.DB(), upsert, "started-at", fmt.Sprint(start), start); err != nil {
		return s, err
	}
	for r := range rounds {
		if err := sinkRound(c, r, start+int64(r)); err != nil {
			return s, err
		}
	}
	if err := exec(c, c.DB(), upsert, "completed-rounds", fmt.Sprint(rounds), int64(now())); err != nil {
		return s, err
	}
	if err := exec(c, c.DB(), `DELETE FROM stress_payloads WHERE id % 11 = 0`); err != nil {
		return s, err
	}
	if err := exec(c, c.DB(), `VACUUM`); err != nil {
		return s, err
	}
	err = c.DB().QueryRowContext(c, `SELECT (SELECT count(*) FROM stress_meta_kv), (SELECT count(*) FROM stress_data), (SELECT count(*) FROM stress_payloads),
		(SELECT page_count FROM pragma_page_count), (SELECT integrity_check FROM pragma_integrity_check)`).Scan(&s.Meta, &s.Data, &s.Payload, &s.Pages, &s.Integrity)
	return s, err
}

func sinkRound(c *actor.Ctx, r int, at int64) error {
	const insert, upsert = `INSERT INTO stress_data(value, created_at) VALUES(?, ?)`, `INSERT OR REPLACE INTO stress_meta_kv VALUES(?, ?, ?)`
	key := fmt.Sprint("parallel-key-", r%17)
	steps := make([]error, 4)
	var all sync.WaitGroup
	all.Go(func() { steps[0] = exec(c, c.DB(), upsert, key, fmt.Sprint("parallel-value-", r), at) })
	all.Go(func() { steps[1] = exec(c, c.DB(), insert, fmt.Sprint("parallel-data-", r), at) })
	all.Go(func() { _, steps[2] = one[int](c, c.DB(), `SELECT count(*) FROM stress_meta_kv`) })
	all.Go(func() { _, steps[3] = one[int](c, c.DB(), `PRAGMA page_count`) })
	all.Wait()
	if err := errors.Join(steps...); err != nil {
		return err
	}
	err := transaction(c, c.DB(), func(tx *sql.Tx) error {
		return errors.Join(
			exec(c, tx, insert, fmt.Sprint("tx-data-", r), at),
			exec(c, tx, `INSERT OR REPLACE INTO stress_payloads VALUES(?, ?, ?, ?)`, r+1, fmt.Sprint("payload-", r), strings.Repeat("x", 1024+r%5*2048), at),
			exec(c, tx, `SAVEPOINT patch`),
			exec(c, tx, `UPDATE stress_payloads SET payload = payload || ? WHERE id = ?`, fmt.Sprintf("-patch-%d", r), r+1),
			exec(c, tx, `ROLLBACK TO patch; RELEASE patch`),
			exec(c, tx, upsert, key, fmt.Sprint("tx-value-", r), at))
	})
	if err != nil {
		return err
	}
	err = transaction(c, c.DB(), func(tx *sql.Tx) error {
		return errors.Join(exec(c, tx, insert, fmt.Sprint("rollback-data-", r), at), errOwn)
	})
	if !errors.Is(err, errOwn) {
		return err
	}
	if r%3 == 0 {
		return exec(c, c.DB(), `DELETE FROM stress_data WHERE id = (SELECT min(id) FROM stress_data WHERE value LIKE 'parallel-data-%')`)
	}
	return nil
}

// 94
func dbPragmaMigration() actor.Definition {
	d := define[struct{}]("dbPragmaMigrationActor", slowSQL)
	steps := []string{
		`CREATE TABLE items(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL)`,
		`ALTER TABLE items ADD COLUMN status TEXT NOT NULL DEFAULT 'active'`,
	}
	d.OnMigrate = func(c *actor.Ctx, _ bool) error {
		err := exec(c, c.DB(), `CREATE TABLE IF NOT EXISTS items_schema_version(singleton INTEGER PRIMARY KEY CHECK (singleton = 1), schema_version INTEGER NOT NULL)`)
		if err != nil {
			return err
		}
		version, err := one[int](c, c.DB(), `SELECT schema_version FROM items_schema_version`)
		if err != nil {
			return err
		}
		if version > len(steps) {
			return fmt.Errorf("the schema has version %d, this program knows %d", version, len(steps))
		}
		for _, step := range steps[version:] {
			if err := exec(c, c.DB(), step); err != nil {
				return err
			}
		}
		return exec(c, c.DB(), `INSERT OR REPLACE INTO items_schema_version VALUES(1, ?)`, len(steps))
	}
	on(d, "insertItem", func(_ *struct{}, c *actor.Ctx, name string) (sqlID, error) {
		id, err := inserted(c, c.DB(), `INSERT INTO items(name) VALUES(?)`, name)
		return sqlID{id}, err
	})
	on(d, "insertItemWithStatus", func(_ *struct{}, c *actor.Ctx, a rivet.Args2[string, string]) (sqlID, error) {
		id, err := inserted(c, c.DB(), `INSERT INTO items(name, status) VALUES(?, ?)`, a.A, a.B)
		return sqlID{id}, err
	})
	on(d, "getItems", func(_ *struct{}, c *actor.Ctx, _ none) ([]row, error) {
		return execute(c, c.DB(), `SELECT id, name, status FROM items ORDER BY id`)
	})
	on(d, "getSchemaVersion", func(_ *struct{}, c *actor.Ctx, _ none) (int, error) {
		return one[int](c, c.DB(), `SELECT schema_version FROM items_schema_version`)
	})
	on(d, "getColumns", func(_ *struct{}, c *actor.Ctx, _ none) ([]string, error) {
		return column[string](c, c.DB(), `SELECT name FROM pragma_table_info('items') ORDER BY cid`)
	})
	sleepAction(d)
	return d
}

// 95
func dbScheduled() actor.Definition {
	type state struct{ Count int }
	d := define[state]("scheduledDb", actor.Options{})
	migrates(d, `CREATE TABLE IF NOT EXISTS scheduled_log(id INTEGER PRIMARY KEY AUTOINCREMENT, action TEXT NOT NULL, created_at INTEGER NOT NULL)`)
	write := on(d, "onScheduledDbWrite", func(s *state, c *actor.Ctx, _ none) (none, error) {
		s.Count++
		return none{}, exec(c, c.DB(), `INSERT INTO scheduled_log(action, created_at) VALUES('scheduled', ?)`, int64(now()))
	})
	on(d, "scheduleDbWrite", func(_ *state, c *actor.Ctx, ms float64) (none, error) {
		_, err := actor.After(c, millis(ms), write, none{})
		return none{}, err
	})
	on(d, "getLogCount", func(_ *state, c *actor.Ctx, _ none) (int, error) {
		return one[int](c, c.DB(), `SELECT count(*) FROM scheduled_log`)
	})
	get(d, "getScheduledCount", func(s *state) int { return s.Count })
	return d
}

// tally is plain process memory: numbers by actor id. Safe for concurrent use.
type tally struct {
	mu sync.Mutex
	n  map[string]int
}

func (t *tally) add(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == nil {
		t.n = make(map[string]int)
	}
	t.n[id]++
}

func (t *tally) set(id string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == nil {
		t.n = make(map[string]int)
	}
	t.n[id] = n
}

func (t *tally) get(id string, missing int) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n, ok := t.n[id]; ok {
		return n
	}
	return missing
}

var clientsMade, migrationsBegun tally

// 96
func dbLifecycle() actor.Definition {
	d := define[struct{}]("dbLifecycle", actor.Options{SleepAfter: time.Second})
	d.OnMigrate = func(c *actor.Ctx, _ bool) error {
		clientsMade.add(c.ActorID())
		migrationsBegun.add(c.ActorID())
		return exec(c, c.DB(), `CREATE TABLE IF NOT EXISTS lifecycle_data(id INTEGER PRIMARY KEY AUTOINCREMENT, value TEXT NOT NULL, created_at INTEGER NOT NULL)`)
	}
	actorIDAction(d)
	pingAction(d)
	on(d, "insertValue", func(_ *struct{}, c *actor.Ctx, v string) (none, error) {
		return none{}, exec(c, c.DB(), `INSERT INTO lifecycle_data(value, created_at) VALUES(?, ?)`, v, int64(now()))
	})
	on(d, "getCount", func(_ *struct{}, c *actor.Ctx, _ none) (int, error) {
		return one[int](c, c.DB(), `SELECT count(*) FROM lifecycle_data`)
	})
	sleepAction(d)
	do(d, "triggerDestroy", func(_ *struct{}, c *actor.Ctx) { c.Destroy() })
	return d
}

func actorIDAction[S any](d definition[S]) {
	on(d, "getActorId", func(_ *S, c *actor.Ctx, _ none) (string, error) { return c.ActorID(), nil })
}

// 97
func dbLifecycleFailing() actor.Definition {
	d := define[struct{}]("dbLifecycleFailing", actor.Options{})
	d.OnMigrate = func(c *actor.Ctx, _ bool) error {
		clientsMade.add(c.ActorID())
		migrationsBegun.add(c.ActorID())
		return errors.New("forced migrate failure")
	}
	pingAction(d)
	return d
}

// 98
func dbLifecycleObserver() actor.Definition {
	type lives struct {
		Create  int `json:"create"`
		Migrate int `json:"migrate"`
	}
	d := define[struct{}]("dbLifecycleObserver", actor.Options{})
	on(d, "getCounts", func(_ *struct{}, _ *actor.Ctx, id string) (lives, error) {
		return lives{clientsMade.get(id, 0), migrationsBegun.get(id, 0)}, nil
	})
	return d
}

const initOrderTable = `CREATE TABLE IF NOT EXISTS init_order_items(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL)`

func countItems(c *actor.Ctx) (int, error) {
	return one[int](c, c.DB(), `SELECT count(*) FROM init_order_items`)
}

func insertItem(c *actor.Ctx, name string) error {
	return exec(c, c.DB(), `INSERT INTO init_order_items(name) VALUES(?)`, name)
}

func itemAction[S any](d definition[S]) {
	on(d, "insert", func(_ *S, c *actor.Ctx, name string) (none, error) { return none{}, insertItem(c, name) })
}

// initialCount is the state or the vars of the next three.
type initialCount struct {
	Count int
	vars  int
}

// 99
func dbInitOrderCreateState() actor.Definition {
	d := defineFrom("dbInitOrderCreateStateActor", slowSQL, func(c *actor.Ctx, _ raw) (*initialCount, error) {
		n, err := countItems(c)
		return &initialCount{Count: n}, err
	})
	migrates(d, initOrderTable)
	get(d, "getInitialCount", func(s *initialCount) int { return s.Count })
	return d
}

// 100
func dbInitOrderOnCreate() actor.Definition {
	d := defineFrom("dbInitOrderOnCreateActor", slowSQL, func(*actor.Ctx, raw) (*initialCount, error) { return &initialCount{Count: -1}, nil })
	migrates(d, initOrderTable)
	d.OnCreate = func(s *initialCount, c *actor.Ctx, _ raw) (err error) {
		s.Count, err = countItems(c)
		return err
	}
	get(d, "getInitialCount", func(s *initialCount) int { return s.Count })
	return d
}

// 101
func dbInitOrderCreateVars() actor.Definition {
	d := define[initialCount]("dbInitOrderCreateVarsActor", slowSQL)
	migrates(d, initOrderTable)
	d.OnWake = func(s *initialCount, c *actor.Ctx) (err error) {
		s.vars, err = countItems(c)
		return err
	}
	get(d, "getInitialCount", func(s *initialCount) int { return s.vars })
	return d
}

// 102
func dbInitOrderOnWake() actor.Definition {
	d := define[struct{}]("dbInitOrderOnWakeActor", slowSQL)
	migrates(d, initOrderTable)
	d.OnWake = func(_ *struct{}, c *actor.Ctx) error { return insertItem(c, "wake-event") }
	on(d, "getWakeCount", func(_ *struct{}, c *actor.Ctx, _ none) (int, error) {
		return one[int](c, c.DB(), `SELECT count(*) FROM init_order_items WHERE name = 'wake-event'`)
	})
	sleepAction(d)
	return d
}

var countsAtSleep, countsAtDestroy tally

// 103
func dbInitOrderOnSleep() actor.Definition {
	d := define[struct{}]("dbInitOrderOnSleepActor", slowSQL)
	migrates(d, initOrderTable)
	d.OnSleep = func(_ *struct{}, c *actor.Ctx) error {
		n, err := countItems(c)
		if err != nil {
			return err
		}
		countsAtSleep.set(c.ActorID(), n)
		return insertItem(c, "sleep-event")
	}
	actorIDAction(d)
	itemAction(d)
	on(d, "getSleepEventCount", func(_ *struct{}, c *actor.Ctx, _ none) (int, error) {
		return one[int](c, c.DB(), `SELECT count(*) FROM init_order_items WHERE name = 'sleep-event'`)
	})
	sleepAction(d)
	return d
}

// 104
func dbInitOrderOnDestroy() actor.Definition {
	d := define[struct{}]("dbInitOrderOnDestroyActor", actor.Options{ActionTimeout: 2 * time.Minute})
	migrates(d, initOrderTable)
	d.OnDestroy = func(_ *struct{}, c *actor.Ctx) error {
		n, err := countItems(c)
		if err == nil {
			countsAtDestroy.set(c.ActorID(), n)
		}
		return err
	}
	actorIDAction(d)
	itemAction(d)
	do(d, "triggerDestroy", func(_ *struct{}, c *actor.Ctx) { c.Destroy() })
	return d
}

// 105
func dbInitOrderObserver() actor.Definition {
	d := define[struct{}]("dbInitOrderObserver", actor.Options{})
	on(d, "getOnSleepCount", func(_ *struct{}, _ *actor.Ctx, id string) (int, error) { return countsAtSleep.get(id, -1), nil })
	on(d, "getOnDestroyCount", func(_ *struct{}, _ *actor.Ctx, id string) (int, error) { return countsAtDestroy.get(id, -1), nil })
	return d
}

// 106
func dbManualWarningsDisabled() actor.Definition {
	d := define[struct{}]("dbActorManualWarningsDisabled", actor.Options{})
	on(d, "manualTransactionCompatibility", func(_ *struct{}, c *actor.Ctx, marker string) (bool, error) {
		for _, statement := range []string{`BEGIN`, `SELECT 1`, `COMMIT`} {
			if err := exec(c, c.DB(), statement); err != nil {
				return false, errors.Join(err, exec(c, c.DB(), `ROLLBACK`))
			}
		}
		_, err := fmt.Fprintln(os.Stdout, marker)
		return true, err
	})
	return d
}

// 107
func dbRuntimeSocketDisabled() actor.Definition {
	d := define[struct{}]("dbActorRuntimeSocketDisabled", actor.Options{})
	on(d, "getActorRuntimeSocketPath", func(_ *struct{}, c *actor.Ctx, _ none) (string, error) { return c.RuntimeSocket() })
	return d
}

// 108
func runtimeSocketWithoutDB() actor.Definition {
	d := define[struct{}]("actorRuntimeSocketWithoutDb", actor.Options{})
	on(d, "getActorRuntimeSocketPath", func(*struct{}, *actor.Ctx, none) (none, error) {
		return none{}, &rivet.Error{Group: "actor_runtime_socket", Code: "database_unavailable", Message: "The actor has no database for its runtime socket."}
	})
	return d
}

// 109
func dbRemoteLifecycleProbe() actor.Definition {
	d := define[struct{}]("dbRemoteLifecycleProbe", actor.Options{SleepAfter: 100 * time.Millisecond})
	pingAction(d)
	sleepAction(d)
	return d
}

// 110
func dbDrizzleMigration() actor.Definition {
	d := define[struct{}]("dbActorDrizzleMigration", actor.Options{})
	migrates(d, dataTable)
	on(d, "migrationCommitted", func(_ *struct{}, c *actor.Ctx, _ none) (bool, error) {
		n, err := one[int](c, c.DB(), `SELECT count(*) FROM sqlite_schema WHERE name = 'test_data'`)
		return n == 1, err
	})
	type seen struct {
		Inside []string `json:"inside"`
		After  []string `json:"after"`
	}
	on(d, "queryBuilderTransaction", func(_ *struct{}, c *actor.Ctx, _ none) (s seen, err error) {
		if err := exec(c, c.DB(), `DELETE FROM test_data`); err != nil {
			return s, err
		}
		err = transaction(c, c.DB(), func(tx *sql.Tx) (err error) {
			if err := exec(c, tx, insertData, "query-builder", int64(now())); err != nil {
				return err
			}
			if s.Inside, err = column[string](c, tx, valuesByID); err != nil {
				return err
			}
			return errOwn
		})
		if !errors.Is(err, errOwn) {
			return s, err
		}
		s.After, err = column[string](c, c.DB(), valuesByID)
		return s, err
	})
	return d
}

var drizzleAttempts tally

// 111
func dbDrizzleMigrationRollback() actor.Definition {
	d := define[struct{}]("dbActorDrizzleMigrationRollback", actor.Options{})
	d.OnMigrate = func(c *actor.Ctx, _ bool) error {
		before, err := one[int](c, c.DB(), `SELECT count(*) FROM sqlite_schema WHERE name = 'migration_probe'`)
		if err != nil {
			return err
		}
		if err := exec(c, c.DB(), `CREATE TABLE migration_probe(n INTEGER)`); err != nil {
			return err
		}
		drizzleAttempts.add("")
		if drizzleAttempts.get("", 0) == 1 {
			return errors.New("intentional drizzle migration failure")
		}
		return exec(c, c.DB(), `CREATE TABLE migration_audit(rolled_back INTEGER); INSERT INTO migration_audit VALUES(`+fmt.Sprint(1-before)+`)`)
	}
	on(d, "migrationRolledBack", func(_ *struct{}, c *actor.Ctx, _ none) (bool, error) {
		n, err := one[int](c, c.DB(), `SELECT rolled_back FROM migration_audit`)
		return n == 1, err
	})
	return d
}
