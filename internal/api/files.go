package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/rivetgo/rivet/internal/actorfile"
	"github.com/rivetgo/rivet/internal/directory"
	"github.com/rivetgo/rivet/internal/refusal"
	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/actorkey"
	"github.com/rivetgo/rivet/internal/wire/id"
)

// Files is what actors as files need; see package actorfile.
type Files struct {
	Store store.Store
	// Dir is where temporary files lie; empty: where the system keeps them.
	Dir string
	// Left hears of an actor whose alarm may have changed while it slept.
	Left func(actor id.ID)
}

// fileType is the media type of a SQLite database.
const fileType = "application/vnd.sqlite3"

func (a *API) fileOptions(namespace string) actorfile.Options {
	return actorfile.Options{Namespace: namespace, Program: a.cfg.Version, Dir: a.cfg.Files.Dir}
}

// view opens a view of a live actor of the request's namespace.
func (a *API) view(r *http.Request, actor id.ID) (store.Actor, store.View, error) {
	row, err := a.actor(r, actor)
	if err != nil {
		return row, nil, err
	}
	if !row.DestroyedAt.IsZero() {
		return row, nil, refusal.ActorNotFound()
	}
	row, v, err := a.cfg.Files.Store.View(r.Context(), actor)
	if errors.Is(err, store.ErrNotFound) {
		err = refusal.ActorNotFound()
	}
	return row, v, err
}

// exportActor answers with the actor as one file. Its length is known when the answer begins, so a client sees when it
// was cut short.
func (a *API) exportActor(w http.ResponseWriter, r *http.Request, actor id.ID) error {
	row, v, err := a.view(r, actor)
	if err != nil {
		return err
	}
	defer v.Close() // it is read only
	return actorfile.Export(r.Context(), row, v, a.fileOptions(r.URL.Query().Get("namespace")), func(f io.Reader, s actorfile.Summary) error {
		h := w.Header()
		h.Set("Content-Type", fileType)
		h.Set("Content-Length", strconv.FormatInt(s.Bytes, 10))
		h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": fileName(row)}))
		if r.Method != http.MethodHead {
			_, _ = io.Copy(w, f) // the client sees that it is short
		}
		return nil
	})
}

// fileName is a file name for an actor.
func fileName(row store.Actor) string {
	safe := []byte(strings.Join(append([]string{row.Name}, actorkey.Parse(row.Key)...), "-"))
	for i, c := range safe {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			safe[i] = '_'
		}
	}
	return string(safe[:min(len(safe), 100)]) + ".sqlite"
}

// copied is the answer to an import or a clone.
type copied struct {
	Actor   actorObject `json:"actor"`
	Pages   int         `json:"pages"`
	Records int         `json:"records"`
	Bytes   int64       `json:"bytes"`
	Dropped int         `json:"dropped_messages"`
}

// importActor makes an actor of the file in the request's body. Name and key are those of the actor that was exported,
// unless the request says others.
func (a *API) importActor(w http.ResponseWriter, r *http.Request, _ id.ID) error {
	q, err := parseQuery(r, "namespace", "name", "key", "replace", "foreign")
	if err != nil {
		return err
	}
	ns, err := q.namespace()
	if err != nil {
		return err
	}
	replace, err := q.flag("replace")
	if err != nil {
		return err
	}
	foreign, err := q.flag("foreign")
	if err != nil {
		return err
	}
	name, remove, err := a.upload(r)
	if err != nil {
		return err
	}
	defer remove()
	c, err := actorfile.ReadFile(r.Context(), name, foreign, a.fileOptions(ns))
	if err != nil {
		return err
	}
	to := directory.Query{Namespace: ns, Name: c.Meta.Name, Key: c.Meta.Key, Anonymous: !c.Meta.HasKey, Pool: directory.DefaultPool, CrashPolicy: "sleep"}
	if q.has("name") {
		to.Name = q.get("name")
	}
	if q.has("key") {
		to.Key, to.Anonymous = canonicalKey(q.get("key")), false
	}
	if to.Name == "" {
		return refusal.BadRequest("The file does not say whose it is: name and key are needed")
	}
	return a.place(w, r, &to, c, replace)
}

// upload keeps the request's body in a temporary file.
func (a *API) upload(r *http.Request) (name string, remove func(), err error) {
	f, err := os.CreateTemp(a.cfg.Files.Dir, "rivet-import-*.sqlite")
	if err != nil {
		return "", nil, fmt.Errorf("import: %w", err)
	}
	remove = func() { _ = os.Remove(f.Name()) }
	_, err = io.Copy(f, r.Body)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		remove()
		return "", nil, refusal.BadRequest("The file did not arrive whole: " + err.Error())
	}
	return f.Name(), remove, nil
}

// cloneActor makes a second actor of one that lives.
func (a *API) cloneActor(w http.ResponseWriter, r *http.Request, actor id.ID) error {
	q, err := parseQuery(r, "namespace", "key", "replace")
	if err != nil {
		return err
	}
	replace, err := q.flag("replace")
	if err != nil {
		return err
	}
	if !q.has("key") || q.get("key") == "" {
		return refusal.BadRequest("Failed to deserialize query string: missing field `key`")
	}
	values := r.URL.Query()
	values.Del("key")
	values.Del("replace")
	r = r.Clone(r.Context())
	r.URL.RawQuery = values.Encode()
	row, v, err := a.view(r, actor)
	if err != nil {
		return err
	}
	defer v.Close() // it is read only
	to := directory.Query{Namespace: q.get("namespace"), Name: row.Name, Key: canonicalKey(q.get("key")), Pool: row.Pool, CrashPolicy: row.CrashPolicy}
	if row.HasKey && to.Key == row.Key {
		return refusal.BadRequest("An actor cannot be cloned to its own key")
	}
	c, err := actorfile.ReadView(r.Context(), row, v)
	if err != nil {
		return err
	}
	return a.place(w, r, &to, c, replace)
}

// place commits c as a new actor, or in the place of one that lives.
func (a *API) place(w http.ResponseWriter, r *http.Request, to *directory.Query, c *actorfile.Content, replace bool) error {
	row, created, err := a.destination(r.Context(), to, replace)
	if err != nil {
		return err
	}
	if err := c.Commit(r.Context(), a.cfg.Files.Store, row.ID, created); err != nil {
		if created && !errors.Is(err, actorfile.ErrRaced) && r.Context().Err() == nil {
			if gone := a.cfg.Placement.Destroy(r.Context(), row.ID); gone != nil {
				a.cfg.Logger.Error("an actor whose import failed could not be removed", "actor_id", row.ID, "error", gone)
			}
		}
		return err
	}
	a.cfg.Files.Left(row.ID)
	return answer(w, copied{a.object(row), c.Summary.Pages, c.Summary.Records, c.Summary.Bytes, c.Dropped})
}

// destination creates the actor that is to be filled, or puts the one that is to be replaced to sleep.
func (a *API) destination(ctx context.Context, to *directory.Query, replace bool) (row store.Actor, created bool, err error) {
	if !replace || to.Anonymous {
		row, err = a.cfg.Directory.Create(ctx, to)
		return row, true, err
	}
	if row, created, err = a.cfg.Directory.GetOrCreate(ctx, to); err != nil || created {
		return row, created, err
	}
	return row, false, a.cfg.Placement.Sleep(ctx, row.ID)
}

// verifyActor checks an actor's database and records.
func (a *API) verifyActor(w http.ResponseWriter, r *http.Request, actor id.ID) error {
	_, v, err := a.view(r, actor)
	if err != nil {
		return err
	}
	defer v.Close() // it is read only
	report, err := actorfile.VerifyActor(r.Context(), v, a.fileOptions(""))
	if err != nil {
		return err
	}
	if report.Problems == nil {
		report.Problems = []string{}
	}
	return answer(w, struct {
		Sound    bool     `json:"sound"`
		Pages    int      `json:"pages"`
		Records  int      `json:"records"`
		Problems []string `json:"problems"`
	}{len(report.Problems) == 0, report.Pages, report.Records, report.Problems})
}
