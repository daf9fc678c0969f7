package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// rawDBState is the state of dbActorRaw.
type rawDBState struct {
	InsertAtDisconnect bool
	DisconnectDelay    float64
	Observer           *string
	warned             bool
}

// rawDBVars is what one generation of dbActorRaw keeps in memory. It is reached without a turn, since a transaction outside
// turns holds the turn.
type rawDBVars struct {
	coordinator
	mu          sync.Mutex // guards all below
	awake       chan struct{}
	transaction chan struct{}
	submitted   bool
}

var rawDBs sync.Map // actor id and generation → *rawDBVars

func rawVarsOf(c *actor.Ctx) *rawDBVars {
	v, _ := rawDBs.LoadOrStore(fmt.Sprintf("%s/%d", c.ActorID(), c.Generation()), &rawDBVars{})
	return v.(*rawDBVars)
}

// hold opens a hold and returns what its release closes.
func (v *rawDBVars) hold(which *chan struct{}) chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	*which = make(chan struct{})
	return *which
}

func (v *rawDBVars) release(which *chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if *which != nil {
		close(*which)
		*which = nil
	}
}

func (v *rawDBVars) isHeld(which *chan struct{}) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return *which != nil
}

type (
	sqlID struct {
		ID int64 `json:"id"`
	}
	sqlCount struct {
		Count int `json:"count"`
	}
	success struct {
		Success bool `json:"success"`
	}
)

const insertData = `INSERT INTO test_data(value, created_at) VALUES(?, ?)`

func insertValue(c *actor.Ctx, db runner, v string) (int64, error) {
	return inserted(c, db, insertData, v, int64(now()))
}

const valuesByID = `SELECT value FROM test_data ORDER BY id`

// 92
func dbRaw() actor.Definition {
	d := define[rawDBState]("dbActorRaw", actor.Options{ActionTimeout: 2 * time.Minute, SleepAfter: 100 * time.Millisecond, RuntimeSocket: true})
	migrates(d, dataTable)
	observed := func(event string) func(s *rawDBState, c *actor.Ctx) error {
		return func(s *rawDBState, c *actor.Ctx) error {
			if s.Observer == nil {
				return nil
			}
			return record(c, *s.Observer, event, keyPath(c))
		}
	}
	d.OnWake, d.OnSleep = observed("wake"), observed("sleep")
	d.OnDisconnect = func(s *rawDBState, c *actor.Ctx, _ *actor.Conn) error {
		if !s.InsertAtDisconnect {
			return nil
		}
		delay := millis(s.DisconnectDelay)
		c.KeepAwake(func(c *actor.Ctx) error {
			if err := pause(c, delay); err != nil {
				return err
			}
			_, err := insertValue(c, c.DB(), "__disconnect__")
			return err
		})
		return nil
	}
	rawRows(d)
	rawPages(d)
	rawTransactions(d)
	rawHolds(d)
	on(d, "configureDisconnectInsert", func(s *rawDBState, _ *actor.Ctx, a rivet.Args2[bool, float64]) (none, error) {
		s.InsertAtDisconnect, s.DisconnectDelay = a.A, float64(max(0, int(a.B)))
		return none{}, nil
	})
	on(d, "getDisconnectInsertCount", func(_ *rawDBState, c *actor.Ctx, _ none) (int, error) {
		return one[int](c, c.DB(), `SELECT count(*) FROM test_data WHERE value = '__disconnect__'`)
	})
	on(d, "configureLifecycleObserver", func(s *rawDBState, _ *actor.Ctx, key *string) (none, error) {
		s.Observer = key
		return none{}, nil
	})
	waits(d, "getActorRuntimeSocketPath", func(c *actor.Ctx, _ actor.Self[rawDBState], _ none) (string, error) { return c.RuntimeSocket() })
	sleepAction(d)
	destroyAction(d)
	pingAction(d)
	return d
}

// rawRows binds the actions on single rows.
func rawRows(d definition[rawDBState]) {
	count := func(_ *rawDBState, c *actor.Ctx, _ none) (int, error) {
		return one[int](c, c.DB(), `SELECT count(*) FROM test_data`)
	}
	on(d, "getCount", count)
	on(d, "rawSelectCount", count)
	on(d, "reset", func(_ *rawDBState, c *actor.Ctx, _ none) (none, error) {
		return none{}, exec(c, c.DB(), `DELETE FROM test_data`)
	})
	on(d, "insertValue", func(_ *rawDBState, c *actor.Ctx, v string) (sqlID, error) {
		id, err := insertValue(c, c.DB(), v)
		return sqlID{id}, err
	})
	on(d, "insertValueAndReadBack", func(_ *rawDBState, c *actor.Ctx, v string) (row, error) {
		if _, err := insertValue(c, c.DB(), v); err != nil {
			return nil, err
		}
		rows, err := execute(c, c.DB(), `SELECT id, value, hex(value) AS hex_value, length(value) AS sqlite_length FROM test_data ORDER BY id DESC LIMIT 1`)
		if err != nil || len(rows) == 0 {
			return nil, err
		}
		return rows[0], nil
	})
	on(d, "getValues", func(_ *rawDBState, c *actor.Ctx, _ none) ([]row, error) {
		return execute(c, c.DB(), `SELECT id, value, payload, created_at FROM test_data ORDER BY id`)
	})
	on(d, "getValue", func(_ *rawDBState, c *actor.Ctx, id float64) (*string, error) {
		return one[*string](c, c.DB(), `SELECT value FROM test_data WHERE id = ?`, int64(id))
	})
	on(d, "insertMany", func(_ *rawDBState, c *actor.Ctx, count float64) (sqlCount, error) {
		if count <= 0 {
			return sqlCount{}, nil
		}
		n := int(count)
		marks, args := make([]string, n), make([]any, 0, 2*n)
		for i := range n {
			marks[i] = "(?, ?)"
			args = append(args, fmt.Sprint("User ", i), int64(now()))
		}
		return sqlCount{n}, exec(c, c.DB(), `INSERT INTO test_data(value, created_at) VALUES `+strings.Join(marks, ", "), args...)
	})
	on(d, "updateValue", func(_ *rawDBState, c *actor.Ctx, a rivet.Args2[float64, string]) (success, error) {
		return success{true}, exec(c, c.DB(), `UPDATE test_data SET value = ? WHERE id = ?`, a.B, int64(a.A))
	})
	on(d, "deleteValue", func(_ *rawDBState, c *actor.Ctx, id float64) (none, error) {
		return none{}, exec(c, c.DB(), `DELETE FROM test_data WHERE id = ?`, int64(id))
	})
	type valued struct {
		Value string `json:"value"`
	}
	on(d, "repeatUpdate", func(_ *rawDBState, c *actor.Ctx, a rivet.Args2[float64, float64]) (valued, error) {
		if a.B <= 0 {
			return valued{}, nil
		}
		var script strings.Builder
		script.WriteString("BEGIN;")
		last := ""
		for i := range int(a.B) {
			last = fmt.Sprint("Updated ", i)
			fmt.Fprintf(&script, "UPDATE test_data SET value = '%s' WHERE id = %d;", last, int64(a.A))
		}
		script.WriteString("COMMIT;")
		return valued{last}, exec(c, c.DB(), script.String())
	})
	on(d, "multiStatementInsert", func(_ *rawDBState, c *actor.Ctx, v string) (*string, error) {
		err := exec(c, c.DB(), fmt.Sprintf(`BEGIN; INSERT INTO test_data(value, created_at) VALUES('%s', %d);
			UPDATE test_data SET value = '%s-updated' WHERE id = last_insert_rowid(); COMMIT`, v, int64(now()), v))
		if err != nil {
			return nil, err
		}
		return one[*string](c, c.DB(), `SELECT value FROM test_data ORDER BY id DESC LIMIT 1`)
	})
}

// rawPages binds the actions on payloads and pages.
func rawPages(d definition[rawDBState]) {
	const insertPayload = `INSERT INTO test_data(value, payload, created_at) VALUES(?, ?, ?)`
	type sized struct {
		ID   int64 `json:"id"`
		Size int   `json:"size"`
	}
	letters := func(n int) string { return strings.Repeat("x", max(0, n)) }
	on(d, "insertPayloadOfSize", func(_ *rawDBState, c *actor.Ctx, size float64) (sized, error) {
		id, err := inserted(c, c.DB(), insertPayload, "payload", letters(int(size)), int64(now()))
		return sized{id, int(size)}, err
	})
	on(d, "getPayloadSize", func(_ *rawDBState, c *actor.Ctx, id float64) (int, error) {
		return one[int](c, c.DB(), `SELECT length(payload) FROM test_data WHERE id = ?`, int64(id))
	})
	on(d, "insertPayloadRows", func(_ *rawDBState, c *actor.Ctx, a rivet.Args2[float64, float64]) (sqlCount, error) {
		n := max(0, int(a.A))
		payload := letters(int(a.B))
		for i := range n {
			if err := exec(c, c.DB(), insertPayload, fmt.Sprint("bulk-", i), payload, int64(now())); err != nil {
				return sqlCount{}, err
			}
		}
		return sqlCount{n}, nil
	})
	on(d, "roundRobinUpdateValues", func(_ *rawDBState, c *actor.Ctx, a rivet.Args2[[]float64, float64]) ([]row, error) {
		var ids []int64
		for _, id := range a.A {
			if n := int64(id); n > 0 && float64(n) == id && !slices.Contains(ids, n) {
				ids = append(ids, n)
			}
		}
		if len(ids) == 0 || a.B < 1 {
			return []row{}, nil
		}
		err := transaction(c, c.DB(), func(tx *sql.Tx) error {
			for i := range int(a.B) {
				if err := exec(c, tx, `UPDATE test_data SET value = ? WHERE id = ?`, fmt.Sprint("v-", i), ids[i%len(ids)]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		list := strings.Trim(strings.Join(strings.Fields(fmt.Sprint(ids)), ","), "[]")
		return execute(c, c.DB(), `SELECT id, value FROM test_data WHERE id IN (`+list+`) ORDER BY id`)
	})
	on(d, "getPageCount", func(_ *rawDBState, c *actor.Ctx, _ none) (int, error) {
		return one[int](c, c.DB(), `PRAGMA page_count`)
	})
	on(d, "integrityCheck", func(_ *rawDBState, c *actor.Ctx, _ none) (string, error) {
		return one[string](c, c.DB(), `PRAGMA integrity_check`)
	})
	on(d, "vacuum", func(_ *rawDBState, c *actor.Ctx, _ none) (none, error) { return none{}, exec(c, c.DB(), `VACUUM`) })
	on(d, "runMixedWorkload", func(_ *rawDBState, c *actor.Ctx, a rivet.Args2[float64, float64]) (none, error) {
		seed, churn, at := max(1, int(a.A)), max(0, int(a.B)), int64(now())
		const upsert = `INSERT OR REPLACE INTO test_data(id, value, payload, created_at) VALUES(?, ?, ?, ?)`
		return none{}, transaction(c, c.DB(), func(tx *sql.Tx) error {
			for i := range seed {
				if err := exec(c, tx, upsert, i+1, fmt.Sprint("seed-", i), letters(1024+i%5*128), at); err != nil {
					return err
				}
			}
			for i := range churn {
				id := i%seed + 1
				err := error(nil)
				if i%9 == 0 {
					err = exec(c, tx, `DELETE FROM test_data WHERE id = ?`, id)
				} else {
					err = exec(c, tx, upsert, id, fmt.Sprint("upd-", i), letters(768+i%7*96), at+int64(i))
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// defaultTxTimeout is how long a transaction may take that does not say.
const defaultTxTimeout = time.Minute

var errOwn = errors.New("roll this back")

// rawTransactions binds the actions on transactions. They run outside the turn: a transaction is a turn of its own then,
// for which everything else waits.
func rawTransactions(d definition[rawDBState]) {
	insert := func(c *actor.Ctx, h *held, v string) error {
		_, err := h.on(c, insertData, v, int64(now()))
		return err
	}
	values := func(c *actor.Ctx) ([]string, error) { return column[string](c, c.DB(), valuesByID) }
	waits(d, "transactionCommit", func(c *actor.Ctx, _ actor.Self[rawDBState], v string) (none, error) {
		return none{}, rawVarsOf(c).transact(c, defaultTxTimeout, func(h *held) error { return insert(c, h, v) })
	})
	waits(d, "transactionRollback", func(c *actor.Ctx, _ actor.Self[rawDBState], v string) (none, error) {
		err := rawVarsOf(c).transact(c, defaultTxTimeout, func(h *held) error { return errors.Join(insert(c, h, v), errOwn) })
		if errors.Is(err, errOwn) {
			err = nil
		}
		return none{}, err
	})
	waits(d, "transactionWithTimeout", func(c *actor.Ctx, _ actor.Self[rawDBState], ms float64) (none, error) {
		if !(ms > 0) || ms > 1e15 {
			return none{}, &rivet.Error{Group: "sqlite", Code: "invalid_timeout", Message: "The timeout of a transaction must be positive and finite."}
		}
		return none{}, rawVarsOf(c).transact(c, millis(ms), func(h *held) error { _, err := h.on(c, `SELECT 1`); return err })
	})
	waits(d, "transactionExec", func(c *actor.Ctx, _ actor.Self[rawDBState], _ none) ([]string, error) {
		err := rawVarsOf(c).transact(c, defaultTxTimeout, func(h *held) error {
			at := int64(now())
			_, err := h.on(c, fmt.Sprintf(`INSERT INTO test_data(value, created_at) VALUES('exec-first', %d); INSERT INTO test_data(value, created_at) VALUES('exec-second', %d)`, at, at))
			return err
		})
		if err != nil {
			return nil, err
		}
		return values(c)
	})
	waits(d, "transactionAutomaticRollback", func(c *actor.Ctx, _ actor.Self[rawDBState], _ none) ([]row, error) {
		err := exec(c, c.DB(), `CREATE TABLE IF NOT EXISTS transaction_rollback_probe(id INTEGER PRIMARY KEY, value TEXT NOT NULL); DELETE FROM transaction_rollback_probe`)
		if err != nil {
			return nil, err
		}
		_ = rawVarsOf(c).transact(c, defaultTxTimeout, func(h *held) error { // SQLite has ended it by itself
			if _, err := h.on(c, `INSERT INTO transaction_rollback_probe VALUES(1, 'first')`); err != nil {
				return err
			}
			_, err := h.on(c, `INSERT OR ROLLBACK INTO transaction_rollback_probe VALUES(1, 'duplicate')`)
			return err
		})
		if err := exec(c, c.DB(), `INSERT INTO transaction_rollback_probe VALUES(2, 'after')`); err != nil {
			return nil, err
		}
		return execute(c, c.DB(), `SELECT id, value FROM transaction_rollback_probe ORDER BY id`)
	})
	waits(d, "concurrentTransactions", func(c *actor.Ctx, _ actor.Self[rawDBState], _ none) ([]string, error) {
		co, started := rawVarsOf(c), make(chan struct{})
		var all sync.WaitGroup
		errs := make([]error, 3)
		all.Go(func() {
			errs[0] = co.transact(c, defaultTxTimeout, func(h *held) error {
				err := insert(c, h, "first-start")
				close(started)
				return errors.Join(err, pause(c, 20*time.Millisecond), insert(c, h, "first-end"))
			})
		})
		<-started
		for i, v := range []string{"second", "third"} {
			all.Go(func() {
				errs[i+1] = co.transact(c, defaultTxTimeout, func(h *held) error { return insert(c, h, v) })
			})
		}
		all.Wait()
		if err := errors.Join(errs...); err != nil {
			return nil, err
		}
		return values(c)
	})
	waits(d, "transactionParksOrdinarySql", func(c *actor.Ctx, _ actor.Self[rawDBState], _ none) ([]string, error) {
		co, started, done := rawVarsOf(c), make(chan struct{}), make(chan error, 1)
		go func() {
			done <- co.transact(c, defaultTxTimeout, func(h *held) error {
				err := insert(c, h, "tx-start")
				close(started)
				return errors.Join(err, pause(c, 20*time.Millisecond), insert(c, h, "tx-end"))
			})
		}()
		<-started
		_, err := co.ordinary(c, insertData, "ordinary", int64(now()))
		if err := errors.Join(err, <-done); err != nil {
			return nil, err
		}
		return values(c)
	})
	waits(d, "transactionDeadlockDiagnostic", func(c *actor.Ctx, _ actor.Self[rawDBState], nested bool) (string, error) {
		co := rawVarsOf(c)
		err := co.transact(c, 50*time.Millisecond, func(*held) error {
			if nested {
				return co.transact(c, 50*time.Millisecond, func(*held) error { return nil })
			}
			_, err := co.ordinary(c, `SELECT 1`)
			return err
		})
		if err == nil {
			return "unexpected success", nil
		}
		return errorText(err), nil
	})
	type parked struct {
		Status  string `json:"status"`
		Message string `json:"message,omitempty"`
	}
	type expiry struct {
		Owner  string   `json:"ownerMessage"`
		Parked parked   `json:"parkedResult"`
		Leaked string   `json:"leakedMessage"`
		Values []string `json:"values"`
	}
	waits(d, "transactionExpiryDiagnostics", func(c *actor.Ctx, _ actor.Self[rawDBState], _ none) (e expiry, err error) {
		co, ordinary := rawVarsOf(c), make(chan error, 1)
		var kept *held
		owner := co.transact(c, 50*time.Millisecond, func(h *held) error {
			kept = h
			if err := insert(c, h, "rolled-back-owner"); err != nil {
				return err
			}
			go func() {
				_, err := co.ordinary(c, insertData, "must-not-run", int64(now()))
				ordinary <- err
			}()
			if err := pause(c, 80*time.Millisecond); err != nil {
				return err
			}
			_, err := h.on(c, `SELECT 1`)
			return err
		})
		e.Parked.Status = "executed"
		if err := <-ordinary; err != nil {
			e.Parked = parked{"rejected", errorText(err)}
		}
		if owner != nil {
			e.Owner = errorText(owner)
		}
		if _, err := kept.on(c, `SELECT 1`); err != nil {
			e.Leaked = errorText(err)
		}
		e.Values, err = column[string](c, c.DB(), `SELECT value FROM test_data WHERE value IN ('rolled-back-owner', 'must-not-run')`)
		return e, err
	})
	waits(d, "terminalTransactionDiagnostic", func(c *actor.Ctx, _ actor.Self[rawDBState], _ none) (string, error) {
		var kept *held
		err := rawVarsOf(c).transact(c, defaultTxTimeout, func(h *held) error {
			kept = h
			_, err := h.on(c, `SELECT 1`)
			return err
		})
		if err != nil {
			return "", err
		}
		if _, err := kept.on(c, `SELECT 1`); err != nil {
			return errorText(err), nil
		}
		return "unexpected success", nil
	})
	on(d, "manualTransactionCompatibility", func(s *rawDBState, c *actor.Ctx, _ none) (int, error) {
		if !s.warned {
			s.warned = true
			c.Log().Warn("Manual cross-call SQLite transactions can interleave with other statements: use a transaction of Ctx.DB. Set warnOnManualTransactions: false to silence this.")
		}
		for _, statement := range []string{`BEGIN`, `INSERT INTO test_data(value, created_at) VALUES('manual-compatible', 0)`, `COMMIT`} {
			if err := exec(c, c.DB(), statement); err != nil {
				return 0, errors.Join(err, exec(c, c.DB(), `ROLLBACK`))
			}
		}
		return one[int](c, c.DB(), `SELECT count(*) FROM test_data WHERE value = 'manual-compatible'`)
	})
}

// rawHolds binds the actions that keep something open while others act. None of them takes a turn to look.
func rawHolds(d definition[rawDBState]) {
	type self = actor.Self[rawDBState]
	wait := func(c *actor.Ctx, released chan struct{}) error {
		select {
		case <-released:
			return nil
		case <-c.Done():
			return c.Err()
		}
	}
	waits(d, "holdActorAwake", func(c *actor.Ctx, _ self, _ none) (none, error) {
		v := rawVarsOf(c)
		return none{}, wait(c, v.hold(&v.awake))
	})
	waits(d, "releaseActorAwake", func(c *actor.Ctx, _ self, _ none) (none, error) {
		v := rawVarsOf(c)
		v.release(&v.awake)
		return none{}, nil
	})
	waits(d, "isActorAwakeHeld", func(c *actor.Ctx, _ self, _ none) (bool, error) {
		v := rawVarsOf(c)
		return v.isHeld(&v.awake), nil
	})
	waits(d, "holdTransaction", func(c *actor.Ctx, _ self, _ none) (none, error) {
		v := rawVarsOf(c)
		return none{}, v.transact(c, defaultTxTimeout, func(h *held) error {
			if _, err := h.on(c, `SELECT 1`); err != nil {
				return err
			}
			return wait(c, v.hold(&v.transaction))
		})
	})
	waits(d, "releaseHeldTransaction", func(c *actor.Ctx, _ self, _ none) (none, error) {
		v := rawVarsOf(c)
		v.release(&v.transaction)
		return none{}, nil
	})
	waits(d, "isTransactionHolding", func(c *actor.Ctx, _ self, _ none) (bool, error) {
		v := rawVarsOf(c)
		return v.isHeld(&v.transaction), nil
	})
	submit := func(v *rawDBVars, on bool) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.submitted = on
	}
	waits(d, "getCountWithSubmissionBarrier", func(c *actor.Ctx, _ self, _ none) (int, error) {
		v := rawVarsOf(c)
		submit(v, true)
		defer submit(v, false)
		if err := v.enter(c, nil); err != nil {
			return 0, err
		}
		return one[int](context.Context(c), c.DB(), `SELECT count(*) FROM test_data`)
	})
	waits(d, "isSqlOperationSubmitted", func(c *actor.Ctx, _ self, _ none) (bool, error) {
		v := rawVarsOf(c)
		v.mu.Lock()
		defer v.mu.Unlock()
		return v.submitted, nil
	})
}
