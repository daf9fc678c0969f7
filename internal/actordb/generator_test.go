package actordb

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
)

// statement is one statement with its arguments. done is called when it succeeded.
type statement struct {
	sql  string
	args []any
	done func()
}

func (s statement) String() string {
	text := s.sql
	for _, a := range s.args {
		switch a := a.(type) {
		case []byte:
			text += fmt.Sprintf(" <%d bytes>", len(a))
		case string:
			if len(a) > 40 {
				text += fmt.Sprintf(" <text of %d>", len(a))
				continue
			}
			text += fmt.Sprintf(" %q", a)
		default:
			text += fmt.Sprintf(" %v", a)
		}
	}
	return text
}

// generator makes random statements about the tables that there are.
type generator struct {
	rnd    *rand.Rand
	tables map[string][]string // columns by table
	fresh  int
}

func (g *generator) clone() map[string][]string {
	out := maps.Clone(g.tables)
	for name, columns := range out {
		out[name] = slices.Clone(columns)
	}
	return out
}

func (g *generator) name(prefix string) string {
	g.fresh++
	return fmt.Sprint(prefix, g.fresh)
}

// table picks a table; ok is false when there is none.
func (g *generator) table() (name string, columns []string, ok bool) {
	names := slices.Sorted(maps.Keys(g.tables))
	if len(names) == 0 {
		return "", nil, false
	}
	name = names[g.rnd.IntN(len(names))]
	return name, g.tables[name], true
}

func pick[T any](g *generator, of ...T) T { return of[g.rnd.IntN(len(of))] }

// value is an argument of any kind and size.
func (g *generator) value() any {
	switch g.rnd.IntN(12) {
	case 0:
		return nil
	case 1:
		return pick[int64](g, math.MaxInt64, math.MinInt64, 1<<53+1, -1, 0)
	case 2:
		return g.rnd.NormFloat64() * 1e6
	case 3, 4:
		b := make([]byte, g.rnd.IntN(300))
		if g.rnd.IntN(20) == 0 {
			b = make([]byte, g.rnd.IntN(20_000)) // over several pages
		}
		for i := range b {
			b[i] = byte(g.rnd.IntN(256))
		}
		return b
	case 5, 6:
		return strings.Repeat(pick(g, "a", "é", "x ", "\x00", "quick "), g.rnd.IntN(60))
	}
	return int64(g.rnd.IntN(50))
}

// small is a value that may be put into every row of a table.
func (g *generator) small() any {
	for {
		v := g.value()
		if b, ok := v.([]byte); !ok || len(b) <= 300 {
			return v
		}
	}
}

func (g *generator) condition(columns []string) string {
	c := pick(g, columns...)
	switch g.rnd.IntN(7) {
	case 0:
		return "rowid % 3 = " + fmt.Sprint(g.rnd.IntN(3))
	case 1:
		return c + " IS NULL"
	case 2:
		return fmt.Sprintf("%s BETWEEN %d AND %d", c, g.rnd.IntN(20), 20+g.rnd.IntN(30))
	case 3:
		return fmt.Sprintf("length(%s) > %d", c, g.rnd.IntN(100))
	case 4:
		return "typeof(" + c + ") = 'text'"
	case 5:
		return fmt.Sprintf("rowid IN (SELECT max(rowid) FROM (SELECT rowid FROM %s))", pick(g, slices.Sorted(maps.Keys(g.tables))...))
	}
	return fmt.Sprintf("%s = %d", c, g.rnd.IntN(50))
}

// next is the next statement.
func (g *generator) next() statement {
	name, columns, ok := g.table()
	if !ok || g.rnd.IntN(60) == 0 && len(g.tables) < 8 {
		return g.create()
	}
	if g.tables["words"] == nil && g.rnd.IntN(200) == 0 {
		return statement{sql: "CREATE VIRTUAL TABLE words USING fts5(body, extra)", done: func() { g.tables["words"] = []string{"body", "extra"} }}
	}
	if name == "words" {
		return g.words()
	}
	column := pick(g, columns...)
	switch g.rnd.IntN(40) {
	case 0:
		return statement{sql: "DROP TABLE " + name, done: func() { delete(g.tables, name) }}
	case 1:
		return statement{sql: fmt.Sprintf("CREATE %s INDEX %s ON %s(%s)", pick(g, "", "UNIQUE"), g.name("i"), name, column)}
	case 2:
		added := g.name("c")
		return statement{sql: fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s", name, added), done: func() { g.tables[name] = append(slices.Clone(columns), added) }}
	case 3:
		// One for a table, whose second is an error: with several a table would grow beyond all bounds.
		return statement{sql: fmt.Sprintf("CREATE TRIGGER tr_%s AFTER DELETE ON %s BEGIN INSERT INTO %s(%s) VALUES(old.rowid); END", name, name, name, column)}
	case 4:
		return statement{sql: fmt.Sprintf("PRAGMA user_version = %d", g.rnd.IntN(1000))}
	case 5:
		return statement{sql: pick(g, "PRAGMA user_version", "SELECT count(*) FROM sqlite_schema", "PRAGMA foreign_keys", "SELECT name FROM sqlite_schema ORDER BY 1")}
	case 6:
		return statement{sql: pick(g, "SELEC 1", "INSERT INTO nowhere VALUES(1)", "SELECT nothing FROM "+name, "UPDATE "+name+" SET rowid = rowid / 0 + 'x'")}
	case 7:
		return statement{sql: fmt.Sprintf("SAVEPOINT s%d", g.rnd.IntN(3))}
	case 8:
		return statement{sql: fmt.Sprintf("%s s%d", pick(g, "RELEASE", "ROLLBACK TO"), g.rnd.IntN(3))}
	case 9, 10, 11:
		return statement{sql: fmt.Sprintf("DELETE FROM %s WHERE %s", name, g.condition(columns))}
	case 12, 13, 14, 15:
		return statement{sql: fmt.Sprintf("UPDATE %s %s SET %s = ? WHERE %s RETURNING rowid", pick(g, "", "OR IGNORE", "OR REPLACE"), name, column, g.condition(columns)), args: []any{g.small()}}
	case 16:
		return statement{sql: fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) INSERT INTO %s(%s) SELECT i FROM n", 1+g.rnd.IntN(200), name, column)}
	case 17, 18:
		return statement{sql: fmt.Sprintf("SELECT %s, count(*), sum(length(%s)) FROM %s GROUP BY 1 ORDER BY 1", column, pick(g, columns...), name)}
	case 19:
		return statement{sql: fmt.Sprintf("SELECT json_group_array(json_object('id', rowid, 'type', typeof(%s))) FROM (SELECT rowid, %s FROM %s ORDER BY rowid LIMIT 20)", column, column, name)}
	case 20:
		return statement{sql: fmt.Sprintf("SELECT rowid, row_number() OVER (ORDER BY %s, rowid) FROM %s ORDER BY rowid LIMIT 50", column, name)}
	case 21:
		other, _, _ := g.table()
		return statement{sql: fmt.Sprintf("SELECT count(*) FROM %s a JOIN %s b ON a.rowid = b.rowid + 1", name, other)}
	case 22, 23, 24, 25:
		return statement{sql: fmt.Sprintf("SELECT rowid, * FROM %s WHERE %s ORDER BY rowid LIMIT 30", name, g.condition(columns))}
	}
	marks, args := make([]string, len(columns)), make([]any, len(columns))
	for i := range columns {
		marks[i], args[i] = "?", g.value()
	}
	return statement{sql: fmt.Sprintf("INSERT %s INTO %s(%s) VALUES(%s)", pick(g, "", "", "OR IGNORE", "OR REPLACE"), name, strings.Join(columns, ","), strings.Join(marks, ",")), args: args}
}

func (g *generator) create() statement {
	name := g.name("t")
	columns := []string{"a", "b", "c"}[:1+g.rnd.IntN(3)]
	defs := slices.Clone(columns)
	for i := range defs {
		defs[i] += pick(g, "", "", " INTEGER", " TEXT", " UNIQUE", " DEFAULT 7")
	}
	if other, _, ok := g.table(); ok && other != "words" && g.rnd.IntN(4) == 0 {
		defs = append(defs, "FOREIGN KEY(a) REFERENCES "+other+"(rowid) DEFERRABLE INITIALLY DEFERRED")
	}
	return statement{sql: fmt.Sprintf("CREATE TABLE %s(%s)", name, strings.Join(defs, ", ")), done: func() { g.tables[name] = slices.Clone(columns) }}
}

var vocabulary = []string{"quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog"}

func (g *generator) phrase() string {
	words := make([]string, 1+g.rnd.IntN(12))
	for i := range words {
		words[i] = pick(g, vocabulary...)
	}
	return strings.Join(words, " ")
}

// words is a statement about the table with full-text search.
func (g *generator) words() statement {
	switch g.rnd.IntN(5) {
	case 0:
		return statement{sql: "SELECT rowid, snippet(words, 0, '[', ']', '…', 4) FROM words WHERE words MATCH ? ORDER BY rowid LIMIT 10", args: []any{pick(g, vocabulary...)}}
	case 1:
		return statement{sql: fmt.Sprintf("DELETE FROM words WHERE rowid %% 5 = %d", g.rnd.IntN(5))}
	case 2:
		return statement{sql: "UPDATE words SET body = ? WHERE rowid = ?", args: []any{g.phrase(), int64(g.rnd.IntN(40))}}
	}
	return statement{sql: "INSERT INTO words VALUES(?, ?)", args: []any{g.phrase(), g.phrase()}}
}
