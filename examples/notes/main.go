// Notes shows SQL: a notebook whose rows and counts change in the same turns, with migrations and full-text search.
//
//	go run ./examples/notes
package main

import (
	"database/sql"
	"embed"
	"errors"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
	"github.com/rivetgo/rivet/engine"
)

// Notebook is what a notebook is created with: nothing. The key is its owner.
type Notebook struct{}

// Draft is a note to be written.
type Draft struct {
	Title string `json:"title"`
	Body  string `json:"body"`
}

// Note is a note as it is found.
type Note struct {
	ID      int64     `json:"id"`
	Title   string    `json:"title"`
	Excerpt string    `json:"excerpt"` // the words that were looked for are in brackets
	Written time.Time `json:"written"`
}

// The contract.
var (
	Notebooks = rivet.NewActor[Notebook]("notes")
	Write     = rivet.NewAction[Draft, int64](Notebooks, "write")
	Import    = rivet.NewAction[[]Draft, int](Notebooks, "import")
	Remove    = rivet.NewAction[int64, rivet.None](Notebooks, "remove")
	Search    = rivet.NewAction[string, []Note](Notebooks, "search")
	Count     = rivet.NewAction[rivet.None, int](Notebooks, "count")
	Words     = rivet.NewAction[rivet.None, int](Notebooks, "words")
	Changed   = rivet.NewEvent[int](Notebooks, "changed")
)

//go:embed migrations/*.sql
var migrations embed.FS

// notes is one notebook. What is in the database and what is in here always agree: they change in the same turns.
type notes struct{ Count int }

// write adds a note. If anything in it fails, neither the row nor the count stays.
func (n *notes) write(c *actor.Ctx, d Draft) (int64, error) {
	n.Count++
	res, err := c.DB().ExecContext(c, `INSERT INTO note(title, body, written) VALUES(?, ?, ?)`, d.Title, d.Body, time.Now())
	if err != nil {
		return 0, err
	}
	actor.Broadcast(c, Changed, n.Count)
	return res.LastInsertId()
}

// importAll adds many notes in one turn, which is one commit, and leaves out those without a title.
func (n *notes) importAll(c *actor.Ctx, drafts []Draft) (added int, err error) {
	for _, d := range drafts {
		tx, err := c.DB().BeginTx(c, nil) // a savepoint of the turn
		if err != nil {
			return 0, err
		}
		if _, err := tx.ExecContext(c, `INSERT INTO note(title, body, written) VALUES(?, ?, ?)`, d.Title, d.Body, time.Now()); err != nil {
			return 0, errors.Join(err, tx.Rollback())
		}
		if d.Title == "" {
			if err := tx.Rollback(); err != nil {
				return 0, err
			}
			continue
		}
		if err := tx.Commit(); err != nil {
			return 0, err
		}
		added++
	}
	n.Count += added
	actor.Broadcast(c, Changed, n.Count)
	return added, nil
}

var errNoNote = &rivet.Error{Code: "no_note", Message: "there is no such note"}

func (n *notes) remove(c *actor.Ctx, id int64) (rivet.None, error) {
	n.Count-- // undone with the turn if there is nothing to remove
	res, err := c.DB().ExecContext(c, `DELETE FROM note WHERE id = ?`, id)
	if err != nil {
		return rivet.None{}, err
	}
	if removed, err := res.RowsAffected(); err != nil || removed == 0 {
		return rivet.None{}, errors.Join(err, errNoNote)
	}
	actor.Broadcast(c, Changed, n.Count)
	return rivet.None{}, nil
}

func (n *notes) search(c *actor.Ctx, words string) ([]Note, error) {
	rows, err := c.DB().QueryContext(c, `
		SELECT note.id, note.title, snippet(search, 1, '[', ']', '…', 8), note.written
		FROM search JOIN note ON note.id = search.rowid
		WHERE search MATCH ? ORDER BY rank LIMIT 20`, words)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := []Note{}
	for rows.Next() {
		var f Note
		if err := rows.Scan(&f.ID, &f.Title, &f.Excerpt, &f.Written); err != nil {
			return nil, err
		}
		found = append(found, f)
	}
	return found, rows.Err()
}

func (n *notes) count(*actor.Ctx, rivet.None) (int, error) { return n.Count, nil }

// words counts over all notes. It may take long, so it runs outside turns and reads the last commit: nobody waits for it.
func words(c *actor.Ctx, _ actor.Self[notes], _ rivet.None) (int, error) {
	var n sql.NullInt64
	err := c.ReadDB().QueryRowContext(c, `SELECT sum(length(body) - length(replace(body, ' ', '')) + 1) FROM note WHERE body != ''`).Scan(&n)
	return int(n.Int64), err
}

// Definition binds the contract.
func Definition() actor.Definition {
	d := actor.Define(Notebooks, actor.Zero[Notebook, notes])
	d.Migrations = migrations
	actor.Handle(d, Write, (*notes).write)
	actor.Handle(d, Import, (*notes).importAll)
	actor.Handle(d, Remove, (*notes).remove)
	actor.View(d, Search, (*notes).search)
	actor.View(d, Count, (*notes).count)
	actor.HandleConcurrent(d, Words, words)
	return d
}

func main() {
	engine.Main(Definition())
}
