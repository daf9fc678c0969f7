package sqltools

import (
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
	"github.com/rivetgo/rivet/interop/sqltools/library"
	"github.com/rivetgo/rivet/rivettest"
)

//go:embed migrations/*.sql
var migrations embed.FS

type shelf struct{}

// shelfState counts what goose did, and keeps the statements that sqlc prepared.
type shelfState struct {
	Applied []string // by each start: the versions that goose applied

	prepared *library.Queries
}

var (
	shelves = rivet.NewActor[shelf]("shelf")
	add     = rivet.NewAction[library.CreateBookParams, library.Book](shelves, "add")
	lend    = rivet.NewAction[int64, int64](shelves, "lend")
	remove  = rivet.NewAction[int64, rivet.None](shelves, "remove")
	titles  = rivet.NewAction[rivet.None, []string](shelves, "titles")
	several = rivet.NewAction[[]int64, []string](shelves, "several")
	pair    = rivet.NewAction[bool, rivet.None](shelves, "pair")
	applied = rivet.NewAction[rivet.None, []string](shelves, "applied")
	bound   = rivet.NewAction[rivet.None, string](shelves, "bound")
)

var errSecond = &rivet.Error{Group: "shelf", Code: "second", Message: "the second book is refused"}

func define() *actor.Spec[shelf, shelfState] {
	d := actor.Define(shelves, actor.Zero[shelf, shelfState])
	var ran string // what goose did at this start; there is no state yet
	d.OnMigrate = func(c *actor.Ctx, _ bool) error {
		files, err := fs.Sub(migrations, "migrations")
		if err != nil {
			return err
		}
		p, err := goose.NewProvider(goose.DialectSQLite3, c.DB(), files)
		if err != nil {
			return err
		}
		results, err := p.Up(c)
		var versions []string
		for _, r := range results {
			versions = append(versions, fmt.Sprint(r.Source.Version))
		}
		ran = strings.Join(versions, ",")
		return err
	}
	d.OnWake = func(s *shelfState, c *actor.Ctx) (err error) {
		s.Applied = append(s.Applied, ran)
		s.prepared, err = library.Prepare(c, c.DB())
		return err
	}
	actor.Handle(d, add, func(s *shelfState, c *actor.Ctx, in library.CreateBookParams) (library.Book, error) {
		a, err := s.prepared.CreateAuthor(c, library.CreateAuthorParams{Name: "of " + in.Title, Bio: sql.NullString{String: "writes", Valid: in.Price > 0}})
		if err != nil {
			return library.Book{}, err
		}
		in.Author = a.ID
		id, err := s.prepared.CreateBook(c, in)
		if err != nil {
			return library.Book{}, err
		}
		return s.prepared.GetBook(c, id)
	})
	actor.Handle(d, lend, func(s *shelfState, c *actor.Ctx, id int64) (int64, error) {
		return s.prepared.Lend(c, library.LendParams{N: 1, ID: id})
	})
	actor.Handle(d, remove, func(_ *shelfState, c *actor.Ctx, id int64) (rivet.None, error) {
		err := library.New(c.DB()).RemoveBook(c, id)
		if e, ok := errors.AsType[*actor.SQLError](err); ok {
			err = &rivet.Error{Group: "shelf", Code: "kept", Message: e.Error()}
		}
		return rivet.None{}, err
	})
	actor.Handle(d, titles, func(s *shelfState, c *actor.Ctx, _ rivet.None) ([]string, error) {
		rows, err := s.prepared.ListBooks(c)
		out := []string{}
		for _, r := range rows {
			out = append(out, fmt.Sprint(r.Title, " ", r.Author, " ", r.Price))
		}
		return out, err
	})
	actor.Handle(d, several, func(s *shelfState, c *actor.Ctx, ids []int64) ([]string, error) {
		rows, err := s.prepared.BooksByID(c, ids)
		out := []string{}
		for _, r := range rows {
			out = append(out, r.Title)
		}
		return out, err
	})
	// pair adds two books in a transaction of its own; the second may be refused, and then neither is there.
	actor.HandleConcurrent(d, pair, func(c *actor.Ctx, _ actor.Self[shelfState], fail bool) (rivet.None, error) {
		tx, err := c.DB().BeginTx(c, nil)
		if err != nil {
			return rivet.None{}, err
		}
		defer tx.Rollback()
		q := library.New(c.DB()).WithTx(tx)
		a, err := q.CreateAuthor(c, library.CreateAuthorParams{Name: fmt.Sprint("pair ", fail)})
		if err != nil {
			return rivet.None{}, err
		}
		for i := range 2 {
			if i == 1 && fail {
				return rivet.None{}, errSecond
			}
			if _, err := q.CreateBook(c, library.CreateBookParams{Author: a.ID, Title: fmt.Sprint("pair ", i)}); err != nil {
				return rivet.None{}, err
			}
		}
		return rivet.None{}, tx.Commit()
	})
	actor.View(d, applied, func(s *shelfState, _ *actor.Ctx, _ rivet.None) ([]string, error) { return s.Applied, nil })
	// bound takes a connection of its own and binds by name.
	actor.Handle(d, bound, func(_ *shelfState, c *actor.Ctx, _ rivet.None) (out string, err error) {
		conn, err := c.DB().Conn(c)
		if err != nil {
			return "", err
		}
		defer conn.Close()
		var none sql.NullInt64
		var nothing sql.Null[string]
		err = conn.QueryRowContext(c, `SELECT :a || @b || $a, NULL, NULL`, sql.Named("a", "x"), sql.Named("b", "y")).Scan(&out, &none, &nothing)
		if none.Valid || nothing.Valid {
			return "", errors.New("NULL is a value")
		}
		return out, err
	})
	return d
}

func call[In, Out any](t *testing.T, a rivet.Action[shelf, In, Out], h rivet.Handle[shelf], in In) Out {
	t.Helper()
	out, err := a.Call(t.Context(), h, in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSQLToolsOfGo(t *testing.T) {
	app := rivettest.Start(t, define())
	h := shelves.GetOrCreate(app.Client(), rivet.Key{"a"}, shelf{})
	cover := []byte{0, 1, 0xff}
	b := call(t, add, h, library.CreateBookParams{Title: "Momo", Cover: cover, Price: 9.5})
	if b.Title != "Momo" || !slices.Equal(b.Cover, cover) || b.Price != 9.5 || b.Loans != 0 {
		t.Errorf("%+v", b)
	}
	if n := call(t, lend, h, b.ID); n != 1 {
		t.Errorf("%d rows were lent", n)
	}
	if _, err := remove.Call(t.Context(), h, b.ID); !strings.Contains(fmt.Sprint(err), "the book is on loan") {
		t.Errorf("the trigger that goose created says %v", err)
	}
	if _, err := pair.Call(t.Context(), h, true); !errors.Is(err, errSecond) {
		t.Errorf("%v", err)
	}
	call(t, pair, h, false)
	want := []string{"Momo of Momo 9.5", "pair 0 pair false 0", "pair 1 pair false 0"}
	if got := call(t, titles, h, rivet.None{}); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := call(t, several, h, []int64{3, 1, 99}); !slices.Equal(got, []string{"Momo", "pair 1"}) {
		t.Errorf("%q", got)
	}
	if got := call(t, bound, h, rivet.None{}); got != "xyx" {
		t.Errorf("%q", got)
	}

	app.Crash() // the statements of the life before are gone; goose finds that everything was applied
	app.Restart()
	if got := call(t, titles, h, rivet.None{}); !slices.Equal(got, want) {
		t.Errorf("after the restart: %q, want %q", got, want)
	}
	if got := call(t, applied, h, rivet.None{}); !slices.Equal(got, []string{"1,2", ""}) {
		t.Errorf("goose applied %q", got)
	}
}
