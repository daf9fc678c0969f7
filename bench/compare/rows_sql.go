package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	_ "github.com/ncruces/go-sqlite3/driver" // the baseline: the same library on local files
	"golang.org/x/sys/unix"
)

// sqlRow is what each side inserts.
const sqlRow = "a row of some forty bytes, as they come in"

// local opens a database on a local file, as one would that wants what is acknowledged to be durable.
func (b *bench) local() (*sql.DB, string, error) {
	b.n++
	name := filepath.Join(b.dir, fmt.Sprintf("local-%d.sqlite", b.n))
	db, err := sql.Open("sqlite3", "file:"+name+"?_pragma=journal_mode(wal)&_pragma=synchronous(full)")
	if err != nil {
		return nil, "", err
	}
	db.SetMaxOpenConns(1)
	_, err = db.Exec(`CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, v TEXT NOT NULL)`)
	return db, name, err
}

func (b *bench) locals(n int) (dbs []*sql.DB, end func(), err error) {
	end = func() {
		for _, db := range dbs {
			db.Close()
		}
	}
	for range n {
		db, _, err := b.local()
		if err != nil {
			end()
			return nil, nil, err
		}
		dbs = append(dbs, db)
	}
	return dbs, end, nil
}

// sqlInsert is an action request over a JSON connection.
const sqlInsert = `{"body":{"tag":"ActionRequest","val":{"id":["$BigInt","1"],"name":"insert","args":["` + sqlRow + `"]}}}`

// inserts measures single-row inserts, each an action whose reply is durable: 64 callers with so many in flight each, over
// WebSockets, whose frames cost the callers least.
func (b *bench) inserts(databases, window int, key func(w int) string, reach float64) (result, error) {
	dbs, end, err := b.locals(databases)
	if err != nil {
		return result{}, err
	}
	defer end()
	sut, err := b.server()
	if err != nil {
		return result{}, err
	}
	defer sut.stop()
	const callers = 64
	cs := make([]*wsConn, callers)
	for w := range cs {
		if cs[w], err = connect(sut.addr, "sql", key(w)); err != nil {
			return result{}, err
		}
	}
	burst := bytes.Repeat(frame(sqlInsert), window)
	x, y, err := b.pair(
		func() (float64, error) {
			return throughput(callers, b.span, func(w int) (int, error) {
				_, err := dbs[w%databases].Exec(`INSERT INTO t(v) VALUES(?)`, sqlRow)
				return 1, err
			})
		},
		func() (float64, error) {
			return throughput(callers, b.span, func(w int) (int, error) {
				if _, err := cs[w].nc.Write(burst); err != nil {
					return 0, err
				}
				for range window {
					if err := cs[w].skip(); err != nil {
						return 0, err
					}
				}
				return window, nil
			})
		})
	return rate(x, y, reach), err
}

func sqlInsertMany(_ context.Context, b *bench) (result, error) {
	return b.inserts(64, 4, func(w int) string { return fmt.Sprint("i", w) }, 2.5)
}

func sqlInsertOne(_ context.Context, b *bench) (result, error) {
	return b.inserts(1, 4, func(int) string { return "one" }, 4)
}

func sqlInsertLoop(ctx context.Context, b *bench) (result, error) {
	db, _, err := b.local()
	if err != nil {
		return result{}, err
	}
	defer db.Close()
	sut, err := b.server()
	if err != nil {
		return result{}, err
	}
	defer sut.stop()
	c, err := dialHTTP(sut.addr)
	if err != nil {
		return result{}, err
	}
	const rows, times = 1000, 20
	local := func(int) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // after Commit it does nothing
		s, err := tx.PrepareContext(ctx, `INSERT INTO t(v) VALUES(?)`)
		if err != nil {
			return err
		}
		defer s.Close()
		for range rows {
			if _, err := s.ExecContext(ctx, sqlRow); err != nil {
				return err
			}
		}
		return tx.Commit()
	}
	req := action(sut.addr, "sql", "loop", "insertLoop", fmt.Sprint(rows))
	perSecond := func(d []time.Duration) float64 { return rows / percentile(d, 50).Seconds() }
	x, y, err := b.pair(
		func() (float64, error) {
			d, err := sequential(times, local)
			if err != nil {
				return 0, err
			}
			return perSecond(d), nil
		},
		func() (float64, error) {
			d, err := sequential(times, func(int) error { return c.do(req) })
			if err != nil {
				return 0, err
			}
			return perSecond(d), nil
		})
	return rate(x, y, 0.5), err
}

func sqlSelect(_ context.Context, b *bench) (result, error) {
	base, sut, stop, err := b.both()
	if err != nil {
		return result{}, err
	}
	defer stop()
	bcs, err := clients(base.addr, 64)
	if err != nil {
		return result{}, err
	}
	scs, err := clients(sut.addr, 64)
	if err != nil {
		return result{}, err
	}
	for w, c := range scs {
		if err := c.do(action(sut.addr, "sql", fmt.Sprint("s", w), "insert", "")); err != nil {
			return result{}, err
		}
	}
	x, y, err := b.pair(
		func() (float64, error) { return b.many(bcs, same(request(base.addr, "/echo", `{"args":[1]}`))) },
		func() (float64, error) {
			return b.many(scs, func(w int) []byte { return action(sut.addr, "sql", fmt.Sprint("s", w), "select", "1") })
		})
	return rate(x, y, 0.5), err
}

// scanRows is the table that is scanned: some 11 MB.
const scanRows = 100_000

// scans measures how many rows a second a scan brings; cold says that neither side has any of it in memory but what its
// store keeps, and ours sleeps.
func (b *bench) scans(ctx context.Context, cold bool, reach float64) (result, error) {
	db, name, err := b.local()
	if err != nil {
		return result{}, err
	}
	defer func() { db.Close() }()
	if _, err := db.Exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO t SELECT i, printf('%0100d', i) FROM n`, scanRows); err != nil {
		return result{}, err
	}
	sut, err := b.server()
	if err != nil {
		return result{}, err
	}
	defer sut.stop()
	c, err := dialHTTP(sut.addr)
	if err != nil {
		return result{}, err
	}
	if err := c.do(action(sut.addr, "sql", "scan", "fill", fmt.Sprint(scanRows))); err != nil {
		return result{}, err
	}
	row, err := lookup(sut.addr, "sql", "scan")
	if err != nil {
		return result{}, err
	}
	local := func() error {
		rows, err := db.QueryContext(ctx, `SELECT id, v FROM t`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id int64
			var v string
			if err := rows.Scan(&id, &v); err != nil {
				return err
			}
		}
		return rows.Err()
	}
	perSecond := func(op func() error) (float64, error) {
		began := time.Now()
		err := op()
		return scanRows / time.Since(began).Seconds(), err
	}
	x, y, err := b.pair(
		func() (float64, error) {
			if cold {
				db.Close()
				if err := forget(name); err != nil {
					return 0, err
				}
				if db, err = sql.Open("sqlite3", "file:"+name); err != nil {
					return 0, err
				}
			} else if err := local(); err != nil {
				return 0, err
			}
			return perSecond(local)
		},
		func() (float64, error) {
			scan := func() error { return c.do(action(sut.addr, "sql", "scan", "scan", "")) }
			if cold {
				if err := sleepNow(sut.addr, row.ID); err != nil {
					return 0, err
				}
			} else if err := scan(); err != nil {
				return 0, err
			}
			return perSecond(scan)
		})
	return rate(x, y, reach), err
}

// forget drops what the system keeps of a file in memory.
func forget(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return err
	}
	return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}

// sleepNow puts an actor to sleep and returns when it does.
func sleepNow(addr, id string) error {
	resp, err := http.Post("http://"+addr+"/actors/"+id+"/sleep?namespace=default", "application/json", bytes.NewReader([]byte("{}")))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("sleep: %s", resp.Status)
	}
	return nil
}

func sqlScanWarm(ctx context.Context, b *bench) (result, error) { return b.scans(ctx, false, 0.7) }
func sqlScanCold(ctx context.Context, b *bench) (result, error) { return b.scans(ctx, true, 0.3) }

// sqlMemory measures what an open database costs an awake actor, and what is left of it when it was closed as idle.
func sqlMemory(_ context.Context, b *bench) (result, error) {
	sut, err := b.server("BENCH_DEBUG=1", "RIVET_DATABASE_MEMORY=4096", "RIVET_DATABASE_IDLE=5s")
	if err != nil {
		return result{}, err
	}
	defer sut.stop()
	c, err := dialHTTP(sut.addr)
	if err != nil {
		return result{}, err
	}
	const actors = 1000
	call := func(act string) error {
		for i := range actors {
			if err := c.do(action(sut.addr, "sql", fmt.Sprint("m", i), act, "")); err != nil {
				return err
			}
		}
		return nil
	}
	// What an open connection holds lies outside of Go's heap, so that only what is resident tells of it. When it is closed
	// the heap tells, and what is resident is shown beside it.
	kib := func() (resident, live float64, err error) {
		d, err := readDebug(sut.addr) // it returns memory to the system
		if err != nil {
			return 0, 0, err
		}
		n, err := sut.residentKiB()
		return float64(n), float64(d.HeapBytes+d.StackBytes) / 1024, err
	}
	// Their databases are made, then closed, then the actors are what they are without one.
	if err := call("insert"); err != nil {
		return result{}, err
	}
	for i := range actors {
		row, err := lookup(sut.addr, "sql", fmt.Sprint("m", i))
		if err != nil {
			return result{}, err
		}
		if err := sleepNow(sut.addr, row.ID); err != nil {
			return result{}, err
		}
	}
	if err := call("echo"); err != nil {
		return result{}, err
	}
	awake, live, err := kib()
	if err != nil {
		return result{}, err
	}
	if err := call("select"); err != nil {
		return result{}, err
	}
	open, _, err := kib()
	if err != nil {
		return result{}, err
	}
	time.Sleep(9 * time.Second) // they are closed after five, and looked at every two and a half
	idle, liveIdle, err := kib()
	if err != nil {
		return result{}, err
	}
	perOpen, perIdle := (open-awake)/actors, (liveIdle-live)/actors
	return result{base: "–", got: fmt.Sprintf("%.0f KiB RSS open; closed %.1f KiB live heap and stacks (%.1f KiB RSS)", perOpen, perIdle, (idle-awake)/actors), ratio: "–", ok: perOpen <= 400 && perIdle <= 8}, nil
}

// sqlWake measures what the first query after a wake costs.
func sqlWake(_ context.Context, b *bench) (result, error) {
	sut, err := b.server()
	if err != nil {
		return result{}, err
	}
	defer sut.stop()
	c, err := dialHTTP(sut.addr)
	if err != nil {
		return result{}, err
	}
	const actors = 200
	ids := make([]string, actors)
	for i := range ids {
		if err := c.do(action(sut.addr, "sql", fmt.Sprint("w", i), "insert", "")); err != nil {
			return result{}, err
		}
		row, err := lookup(sut.addr, "sql", fmt.Sprint("w", i))
		if err != nil {
			return result{}, err
		}
		ids[i] = row.ID
	}
	wake := func(act string) func() (float64, error) {
		return func() (float64, error) {
			for _, id := range ids {
				if err := sleepNow(sut.addr, id); err != nil {
					return 0, err
				}
			}
			return p50(c, actors, func(i int) []byte { return action(sut.addr, "sql", fmt.Sprint("w", i), act, "1") })
		}
	}
	x, y, err := b.pair(wake("echo"), wake("select"))
	return result{base: fmt.Sprintf("%.0f µs", x), got: fmt.Sprintf("%.0f µs", y), ratio: fmt.Sprintf("+ %.2f ms", (y-x)/1e3), ok: y-x <= 3000}, err
}
