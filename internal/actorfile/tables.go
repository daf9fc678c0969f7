package actorfile

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/ncruces/go-sqlite3"

	"github.com/rivetgo/rivet/internal/queue"
	"github.com/rivetgo/rivet/internal/schedule"
	"github.com/rivetgo/rivet/internal/wire/record"
	"github.com/rivetgo/rivet/internal/wire/value"
)

// schema is the reserved tables. Times are ISO 8601 in UTC; values that callers see as JavaScript are JSON.
const schema = `
CREATE TABLE _rivet_meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE _rivet_records(key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE _rivet_state(state TEXT, input TEXT);
CREATE TABLE _rivet_kv(key BLOB PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE _rivet_queue(number INTEGER PRIMARY KEY, queue TEXT NOT NULL, body TEXT, sent_at TEXT, ready_at TEXT, idempotency_key TEXT, attempts INTEGER NOT NULL DEFAULT 0);
CREATE TABLE _rivet_dead_letters(number INTEGER PRIMARY KEY, queue TEXT NOT NULL, body TEXT, sent_at TEXT, failed_at TEXT, attempts INTEGER, error TEXT, target TEXT);
CREATE TABLE _rivet_receipts(number INTEGER, queue TEXT, outcome TEXT, at TEXT, reply TEXT, error TEXT);
CREATE TABLE _rivet_outbox(number INTEGER PRIMARY KEY, target TEXT, queue TEXT, body TEXT, sent_at TEXT);
CREATE TABLE _rivet_schedules(id TEXT PRIMARY KEY, kind TEXT, action TEXT, args TEXT, at TEXT, cron TEXT, time_zone TEXT, every_ms INTEGER, next_at TEXT, last_at TEXT, created_at TEXT);
CREATE TABLE _rivet_history(schedule TEXT, number INTEGER, action TEXT, scheduled_at TEXT, fired_at TEXT, finished_at TEXT, result TEXT, error TEXT);
CREATE TABLE _rivet_connections(id TEXT PRIMARY KEY, raw INTEGER, params TEXT, state TEXT, subscriptions TEXT, path TEXT, remote_addr TEXT);
CREATE TABLE _rivet_migrations(number INTEGER PRIMARY KEY, name TEXT, ran_at TEXT, sha256 TEXT);
`

// tables writes rows.
type tables struct {
	db    *sqlite3.Conn
	stmts map[string]*sqlite3.Stmt // by table and number of values
}

func newTables(db *sqlite3.Conn) (*tables, error) {
	t := &tables{db: db, stmts: make(map[string]*sqlite3.Stmt)}
	if err := t.insert("_rivet_state", nil, nil); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *tables) close() {
	for _, s := range t.stmts {
		_ = s.Close() // it repeats the error of the last step
	}
}

// insert adds a row.
func (t *tables) insert(table string, values ...any) error {
	return t.run(fmt.Sprintf("INSERT INTO %s VALUES(?%s)", table, strings.Repeat(",?", len(values)-1)), values...)
}

func (t *tables) run(sql string, values ...any) error {
	s := t.stmts[sql]
	if s == nil {
		var err error
		if s, _, err = t.db.Prepare(sql); err != nil {
			return err
		}
		t.stmts[sql] = s
	}
	for i, v := range values {
		var err error
		switch v := v.(type) {
		case nil:
			err = s.BindNull(i + 1)
		case int:
			err = s.BindInt(i+1, v)
		case uint64:
			err = s.BindInt64(i+1, int64(v))
		case int64:
			err = s.BindInt64(i+1, v)
		case bool:
			err = s.BindBool(i+1, v)
		case string:
			err = s.BindText(i+1, v)
		case []byte:
			if err = s.BindBlob(i+1, v); len(v) == 0 {
				err = s.BindZeroBlob(i+1, 0)
			}
		default:
			err = fmt.Errorf("value of type %T", v)
		}
		if err != nil {
			return err
		}
	}
	return s.Exec()
}

// add adds a record: as it is, and decoded for people. One that cannot be decoded is there as it is, and is no error: the
// program that wrote it may be a newer one.
func (t *tables) add(r record.Record) error {
	if err := t.insert("_rivet_records", r.Key, r.Value); err != nil {
		return err
	}
	kind, rest := record.Kind(r.Key[0]), r.Key[1:]
	payload, err := record.Open(kind, r.Value)
	if err != nil {
		return nil
	}
	switch kind {
	case record.KindState:
		return t.run(`UPDATE _rivet_state SET state = ?`, asJSON(payload))
	case record.KindInput:
		return t.run(`UPDATE _rivet_state SET input = ?`, asJSON(payload))
	case record.KindKV:
		return t.insert("_rivet_kv", rest, payload)
	case record.KindMessage:
		if m, err := queue.DecodeMessage(payload); err == nil && len(rest) == 8 {
			return t.run(`INSERT INTO _rivet_queue VALUES(?,?,?,?,?,?,0)`, number(rest), m.Name, asJSON(m.Body), instant(m.SentAt), instant(m.ReadyAt), m.Key)
		}
	case record.KindAttempt:
		if a, err := queue.DecodeAttempt(payload); err == nil && len(rest) == 8 {
			return t.run(`UPDATE _rivet_queue SET attempts = ? WHERE number = ?`, a.Count, number(rest))
		}
	case record.KindDead:
		if d, err := queue.DecodeDead(payload); err == nil && len(rest) == 8 {
			return t.insert("_rivet_dead_letters", number(rest), d.Name, asJSON(d.Body), instant(d.SentAt), instant(d.FailedAt), d.Attempts, failure(d.Failure), target(d.Target))
		}
	case record.KindReceipt:
		if rc, err := queue.DecodeReceipt(payload); err == nil {
			outcome := map[queue.Outcome]string{queue.Pending: "pending", queue.Completed: "completed", queue.Failed: "failed"}[rc.Outcome]
			return t.insert("_rivet_receipts", rc.ID, rc.Name, outcome, instant(rc.At), asJSON(rc.Reply), failure(rc.Failure))
		}
	case record.KindOutbox:
		if o, err := queue.DecodeOutgoing(payload); err == nil && len(rest) == 8 {
			return t.insert("_rivet_outbox", number(rest), target(o.Target), o.Queue, asJSON(o.Body), instant(o.SentAt))
		}
	case record.KindSchedule:
		if row, err := schedule.DecodeRow(string(rest), r.Value); err == nil {
			return t.insert("_rivet_schedules", string(rest), row.Kind.String(), row.Action, asJSON(row.Args), instant(row.At), row.Expression, row.Timezone,
				row.Interval, instant(row.NextAt), instant(row.LastAt), instant(row.CreatedAt))
		}
	case record.KindConn:
		if c, err := record.DecodeConn(r.Key, payload); err == nil {
			id := uuid.UUID(c.ID).String()
			return t.insert("_rivet_connections", id, c.Raw, asJSON(c.Params), asJSON(c.State), strings.Join(c.Topics, "\n"), c.Path, c.RemoteAddr)
		}
	case record.KindMigrations:
		if all, err := record.DecodeMigrations(payload); err == nil {
			for _, m := range all {
				if err := t.insert("_rivet_migrations", m.Number, m.Name, instant(m.At), hex.EncodeToString(m.Sum[:])); err != nil {
					return err
				}
			}
		}
	case record.KindFiring:
		return t.addEntry(r)
	}
	return nil
}

// addEntry adds a line of a schedule's history.
func (t *tables) addEntry(r record.Record) error {
	id, n, err := schedule.ParseEntryKey(r.Key)
	if err != nil {
		return nil // it is in _rivet_records
	}
	e, err := schedule.DecodeEntry(id, n, r.Value)
	if err != nil {
		return nil
	}
	var failed any
	if f := e.Failure; f != nil {
		failed = f.Error()
	}
	return t.insert("_rivet_history", id, n, e.Action, instant(e.ScheduledAt), instant(e.FiredAt), instant(e.FinishedAt), e.Result.String(), failed)
}

func number(key []byte) uint64 { return binary.BigEndian.Uint64(key) }

// asJSON is a CBOR item for people; nil when there is none.
func asJSON(item []byte) any {
	if len(item) == 0 {
		return nil
	}
	text, err := value.ToJSON(nil, item, value.UndefinedNull)
	if err != nil {
		return nil // it is in _rivet_records
	}
	return string(text)
}

func failure(f queue.Failure) any {
	if f.Group == "" && f.Code == "" && f.Message == "" {
		return nil
	}
	return fmt.Sprintf("%s.%s: %s", f.Group, f.Code, f.Message)
}

func target(stored []byte) any {
	if len(stored) == 0 {
		return nil
	}
	t, err := queue.DecodeTarget(stored)
	if err != nil {
		return nil
	}
	if t.ID != "" {
		return t.ID
	}
	return t.Name + "/" + strings.Join(t.Key, "/")
}
