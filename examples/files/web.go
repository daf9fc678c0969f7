package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/rivetgo/rivet/actor"
)

// server answers one HTTP request of a folder. It runs beside the folder's turns.
type server struct {
	c    *actor.Ctx
	self actor.Self[folder]
}

func serve(c *actor.Ctx, self actor.Self[folder], w http.ResponseWriter, r *http.Request) {
	s := server{c, self}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /files/{name}", s.put)
	mux.HandleFunc("GET /files/{name}", s.get)
	mux.HandleFunc("GET /changes", s.changes)
	mux.ServeHTTP(w, r)
}

// partBytes fits into a value of the key-value store, see actor.Options.MaxKVValueBytes.
const partBytes = 64 << 10

// put stores a file part by part as it comes. It takes its place when it is complete.
func (s server) put(w http.ResponseWriter, r *http.Request) {
	whole := file{Type: r.Header.Get("Content-Type")}
	if err := s.self.Do(func(f *folder) { whole.Upload = f.begin() }); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	err := s.store(&whole, r.Body)
	if err == nil {
		name := r.PathValue("name")
		err = s.self.Turn(func(f *folder, c *actor.Ctx) error { return f.finish(c, name, whole) })
		if err == nil {
			err = s.self.Do(func(f *folder) { f.tell(name) })
		}
	}
	if err != nil {
		gone := s.self.Turn(func(f *folder, c *actor.Ctx) error { return f.giveUp(c, whole.Upload) })
		if gone != nil {
			s.c.Log().Warn("an upload that failed is removed at the next start", "upload", whole.Upload, "error", gone)
		}
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusCreated) // leaves when the file is durable
}

// store writes the parts of an upload.
func (s server) store(whole *file, body io.Reader) error {
	for n := 0; ; n++ {
		var part bytes.Buffer
		_, err := io.CopyN(&part, body, partBytes) // unlike io.ReadFull it tells an end from a body that broke off
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if part.Len() > 0 {
			if err := s.c.KV().Put(partKey(whole.Upload, n), part.Bytes()); err != nil {
				return err
			}
			whole.Size += int64(part.Len())
		}
		if err != nil {
			return nil
		}
	}
}

// get sends a file part by part: a slow reader holds this request and nobody else.
func (s server) get(w http.ResponseWriter, r *http.Request) {
	var stored file
	var ok bool
	if err := s.self.Do(func(f *folder) { stored, ok = f.Files[r.PathValue("name")] }); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", stored.Type)
	w.Header().Set("Content-Length", fmt.Sprint(stored.Size))
	for n := 0; int64(n)*partBytes < stored.Size; n++ {
		part, ok, err := s.c.KV().Get(r.Context(), partKey(stored.Upload, n))
		if err != nil || !ok { // another upload has taken its place
			panic(http.ErrAbortHandler) // the client must not take a part for the whole
		}
		if _, err := w.Write(part); err != nil {
			return // the client has left
		}
	}
}

// changes sends the names of files as they change, as server-sent events, until the client leaves or the folder sleeps.
func (s server) changes(w http.ResponseWriter, r *http.Request) {
	names := make(chan string, 16)
	if err := s.self.Do(func(f *folder) { f.watchers[names] = struct{}{} }); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer func() { _ = s.self.Do(func(f *folder) { delete(f.watchers, names) }) }()
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w).Flush
	for flush() == nil {
		select {
		case name := <-names:
			fmt.Fprintf(w, "data: %s\n\n", name)
		case <-r.Context().Done():
			return
		case <-s.c.Stopping():
			return
		}
	}
}

// echo sends every message back as it came.
func echo(c *actor.Ctx, _ actor.Self[folder], ws *actor.WebSocket) error {
	for {
		m, err := ws.Read(c)
		if err != nil {
			return err // the client has left, or the folder goes to sleep
		}
		if err := ws.Write(c, m); err != nil {
			return err
		}
	}
}
