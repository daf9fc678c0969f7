package rivettest_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
	"github.com/rivetgo/rivet/rivettest"
)

// library has something of everything that an actor can store.
type library struct {
	Title string
	Log   []string
}

type shelf struct{ Title string }

var (
	libraries = rivet.NewActor[shelf]("library")
	fill      = rivet.NewAction[int, rivet.None](libraries, "fill")
	report    = rivet.NewAction[rivet.None, []string](libraries, "report")
	note      = rivet.NewAction[string, rivet.None](libraries, "note")
	doze      = rivet.NewAction[rivet.None, rivet.None](libraries, "doze")
	returns   = rivet.NewQueue[string, rivet.None](libraries, "returns")
)

func libraryDefinition() actor.Definition {
	d := actor.Define(libraries, func(_ *actor.Ctx, in shelf) (*library, error) { return &library{Title: in.Title}, nil })
	d.OnMigrate = func(c *actor.Ctx, isNew bool) error {
		if !isNew {
			return nil
		}
		_, err := c.DB().Exec(`CREATE TABLE book(id INTEGER PRIMARY KEY, title TEXT, pages BLOB); CREATE VIRTUAL TABLE find USING fts5(title)`)
		return err
	}
	actor.Handle(d, fill, func(s *library, c *actor.Ctx, n int) (rivet.None, error) {
		for range n {
			if _, err := c.DB().Exec(`INSERT INTO book(title, pages) VALUES('Moby Dick', randomblob(1000)); INSERT INTO find VALUES('Moby Dick')`); err != nil {
				return rivet.None{}, err
			}
		}
		s.Log = append(s.Log, "filled")
		if err := c.KV().Put("shelf", []byte("b3")); err != nil {
			return rivet.None{}, err
		}
		_, err := actor.After(c, time.Hour, note, "later")
		return rivet.None{}, err
	})
	actor.Handle(d, note, func(s *library, _ *actor.Ctx, text string) (rivet.None, error) {
		s.Log = append(s.Log, text)
		return rivet.None{}, nil
	})
	actor.Handle(d, doze, func(_ *library, c *actor.Ctx, _ rivet.None) (rivet.None, error) { c.Sleep(); return rivet.None{}, nil })
	actor.Handle(d, report, func(s *library, c *actor.Ctx, _ rivet.None) ([]string, error) {
		var books, found string
		if err := c.DB().QueryRow(`SELECT count(*) || ' books' FROM book`).Scan(&books); err != nil {
			return nil, err
		}
		if err := c.DB().QueryRow(`SELECT count(*) || ' found' FROM find WHERE find MATCH 'moby'`).Scan(&found); err != nil {
			return nil, err
		}
		place, _, err := c.KV().Get(c, "shelf")
		return append([]string{s.Title, books, found, string(place)}, s.Log...), err
	})
	return d
}

func told(t *testing.T, h rivet.Handle[shelf]) string {
	t.Helper()
	lines, err := report.Call(t.Context(), h, rivet.None{})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, ", ")
}

// A file holds everything that its actor stores, and an actor that is made of it goes on as the original would.
func TestActorAsFile(t *testing.T) {
	app := rivettest.Start(t, libraryDefinition())
	c := app.Client()
	h := libraries.GetOrCreate(c, rivet.Key{"town", "main"}, shelf{"Town"})
	if _, err := fill.Call(t.Context(), h, 200); err != nil {
		t.Fatal(err)
	}
	if err := returns.Send(t.Context(), h, "Emma"); err != nil {
		t.Fatal(err)
	}
	want := told(t, h)
	var awake, asleep bytes.Buffer
	if err := h.Export(t.Context(), &awake, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := doze.Call(t.Context(), h, rivet.None{}); err != nil {
		t.Fatal(err)
	}
	if err := h.Export(t.Context(), &asleep, nil); err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string][]byte{"awake": awake.Bytes(), "asleep": asleep.Bytes()} {
		key := rivet.Key{"copy", name}
		copied, n, err := libraries.Import(t.Context(), c, key, bytes.NewReader(file), nil)
		if err != nil {
			t.Fatal(err)
		}
		if n.Pages < 50 || n.Records < 4 {
			t.Errorf("%s: %+v", name, n)
		}
		if got := told(t, copied); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		if v, err := copied.Verify(t.Context()); err != nil || !v.Sound || v.Pages != n.Pages {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
		if _, _, err := libraries.Import(t.Context(), c, key, bytes.NewReader(file), nil); !rivet.Is(err, "actor", "duplicate_key") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := note.Call(t.Context(), copied, "lost"); err != nil {
			t.Fatal(err)
		}
		replaced, _, err := libraries.Import(t.Context(), c, key, bytes.NewReader(file), &rivet.ImportOptions{Replace: true})
		if err != nil {
			t.Fatal(err)
		}
		if got := told(t, replaced); got != want {
			t.Errorf("%s: %s after it was replaced, want %s", name, got, want)
		}
	}
	clone, _, err := h.Clone(t.Context(), rivet.Key{"clone"})
	if err != nil {
		t.Fatal(err)
	}
	if got := told(t, clone); got != want {
		t.Errorf("clone: %s, want %s", got, want)
	}
	if _, err := note.Call(t.Context(), clone, "own"); err != nil {
		t.Fatal(err)
	}
	if got := told(t, h); got != want {
		t.Errorf("the original became %s, want %s", got, want)
	}
	app.Crash()
	if got := told(t, clone); got != want+", own" {
		t.Errorf("clone after a crash: %s", got)
	}
	cut := asleep.Bytes()[:asleep.Len()-5000]
	for name, c := range map[string]struct {
		file []byte
		code string
	}{
		"cut":     {cut, "truncated"},
		"empty":   {nil, "not_sqlite"},
		"text":    {[]byte("hello"), "not_sqlite"},
		"changed": {bytes.Replace(asleep.Bytes(), []byte("Town"), []byte("Tomn"), 1), "damaged"},
	} {
		_, _, err := libraries.Import(t.Context(), app.Client(), rivet.Key{"bad"}, bytes.NewReader(c.file), nil)
		if !rivet.Is(err, "actor_file", c.code) {
			t.Errorf("%s: %v, want actor_file.%s", name, err, c.code)
		}
	}
	if err := libraries.Get(app.Client(), rivet.Key{"bad"}).Export(t.Context(), &bytes.Buffer{}, nil); !rivet.Is(err, "actor", "not_found") {
		t.Errorf("an import that failed left something: %v", err)
	}
}

var errInterrupted = errors.New("the line is dead")

// dying is a file that comes, or goes, over a line that dies.
type dying struct {
	file bytes.Buffer
	left int
}

func (d *dying) take(n int) error {
	if d.left -= n; d.left < 0 {
		return errInterrupted
	}
	return nil
}

func (d *dying) Write(p []byte) (int, error) {
	if err := d.take(len(p)); err != nil {
		return 0, err
	}
	return d.file.Write(p)
}

func (d *dying) Read(p []byte) (int, error) {
	n, err := d.file.Read(p)
	return n, errors.Join(err, d.take(n))
}

func TestExportsAndImportsThatAreInterrupted(t *testing.T) {
	app := rivettest.Start(t, libraryDefinition())
	c := app.Client()
	h := libraries.GetOrCreate(c, rivet.Key{"main"}, shelf{"Town"})
	if _, err := fill.Call(t.Context(), h, 500); err != nil {
		t.Fatal(err)
	}
	want := told(t, h)
	var whole bytes.Buffer
	if err := h.Export(t.Context(), &whole, nil); err != nil {
		t.Fatal(err)
	}
	for _, part := range []int{0, 100, whole.Len() / 2, whole.Len() - 1} {
		if err := h.Export(t.Context(), &dying{left: part}, nil); !errors.Is(err, errInterrupted) {
			t.Errorf("an export that ends after %d bytes: %v", part, err)
		}
		half := &dying{left: part}
		half.file.Write(whole.Bytes())
		if _, _, err := libraries.Import(t.Context(), c, rivet.Key{"half"}, half, nil); err == nil {
			t.Errorf("an import that ends after %d bytes is one", part)
		}
	}
	if got := told(t, h); got != want {
		t.Errorf("the actor became %s, want %s", got, want)
	}
	if err := libraries.Get(c, rivet.Key{"half"}).Export(t.Context(), &bytes.Buffer{}, nil); !rivet.Is(err, "actor", "not_found") {
		t.Errorf("an import that was interrupted left something: %v", err)
	}
	copied, _, err := libraries.Import(t.Context(), c, rivet.Key{"half"}, bytes.NewReader(whole.Bytes()), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := told(t, copied); got != want {
		t.Errorf("the copy is %s, want %s", got, want)
	}
}

// Stock sqlite3 reads an exported file.
func TestExportIsReadBySqlite3(t *testing.T) {
	program, err := exec.LookPath("sqlite3")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("sqlite3 is not installed")
		}
		t.Skip("sqlite3 is not installed")
	}
	app := rivettest.Start(t, libraryDefinition())
	h := libraries.GetOrCreate(app.Client(), rivet.Key{"a"}, shelf{"Town"})
	if _, err := fill.Call(t.Context(), h, 10); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "a.sqlite")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Export(t.Context(), f, nil); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		`PRAGMA integrity_check`:                                                "ok",
		`SELECT count(*) FROM book`:                                             "10",
		`SELECT json_extract(state, '$.Title') FROM _rivet_state`:               "Town",
		`SELECT value FROM _rivet_meta WHERE key = 'name'`:                      "library",
		`SELECT CAST(key AS TEXT) || '=' || CAST(value AS TEXT) FROM _rivet_kv`: "shelf=b3",
		`SELECT action FROM _rivet_schedules`:                                   "note",
	} {
		out, err := exec.Command(program, "-readonly", name, query).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", query, got, err, want)
		}
	}
}
