package main

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/rivetgo/rivet/actor"
)

// Raw HTTP.
func requestActors() []actor.Definition {
	return []actor.Definition{rawHTTP(), rawHTTPNoHandler(), rawHTTPVoid(), rawHTTPRouter(), rawHTTPProperties()}
}

// 63
func rawHTTP() actor.Definition {
	type state struct{ Requests int }
	d := define[state]("rawHttpActor", actor.Options{})
	d.OnRequest = func(c *actor.Ctx, self actor.Self[state], w http.ResponseWriter, r *http.Request) {
		var count int
		if err := self.Do(func(s *state) { s.Requests++; count = s.Requests }); err != nil {
			internalError(c, w, err)
			return
		}
		switch {
		case r.URL.Path == "/api/hello":
			writeJSON(w, http.StatusOK, map[string]string{"message": "Hello from actor!"})
		case r.URL.Path == "/api/echo" && r.Method == http.MethodPost:
			echo(w, r)
		case r.URL.Path == "/api/state":
			writeJSON(w, http.StatusOK, map[string]int{"requestCount": count})
		case r.URL.Path == "/api/headers":
			writeJSON(w, http.StatusOK, headersOf(r.Header))
		default:
			notFound(w)
		}
	}
	return d
}

// hopByHop are headers of one connection, which an echo must not repeat.
var hopByHop = []string{"Connection", "Content-Length", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Host"}

func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the client is gone
	}
	h := r.Header.Clone()
	for _, name := range hopByHop {
		h.Del(name)
	}
	maps.Copy(w.Header(), h)
	w.WriteHeader(http.StatusOK)
	w.Write(body)
}

// 64
func rawHTTPNoHandler() actor.Definition {
	return define[struct{}]("rawHttpNoHandlerActor", actor.Options{})
}

// 65: a Go handler that writes nothing answers 200; upstream's has to return something.
func rawHTTPVoid() actor.Definition {
	d := define[struct{}]("rawHttpVoidReturnActor", actor.Options{})
	d.OnRequest = func(c *actor.Ctx, _ actor.Self[struct{}], w http.ResponseWriter, _ *http.Request) {
		internalError(c, w, errors.New("onRequest handler must return a Response"))
	}
	return d
}

// 66
func rawHTTPRouter() actor.Definition {
	type state struct{ router *http.ServeMux }
	d := define[state]("rawHttpHonoActor", actor.Options{})
	d.OnWake = func(s *state, _ *actor.Ctx) error {
		s.router = usersRouter()
		return nil
	}
	d.OnRequest = func(c *actor.Ctx, self actor.Self[state], w http.ResponseWriter, r *http.Request) {
		var router *http.ServeMux
		if err := self.Do(func(s *state) { router = s.router }); err != nil {
			internalError(c, w, err)
			return
		}
		router.ServeHTTP(w, r)
	}
	return d
}

func usersRouter() *http.ServeMux {
	type user struct {
		ID   *int   `json:"id"`
		Name string `json:"name"`
	}
	one, two := 1, 2
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"message": "Welcome to Hono actor!"})
	})
	mux.HandleFunc("GET /users", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, []user{{&one, "Alice"}, {&two, "Bob"}})
	})
	mux.HandleFunc("GET /users/{id}", func(w http.ResponseWriter, r *http.Request) {
		u := user{leadingInt(r.PathValue("id")), "Bob"}
		if r.PathValue("id") == "1" {
			u.Name = "Alice"
		}
		writeJSON(w, http.StatusOK, u)
	})
	withBody := func(w http.ResponseWriter, r *http.Request, status int, id *int) {
		out := map[string]any{"id": id}
		if err := json.NewDecoder(r.Body).Decode(&out); err != nil {
			writeText(w, http.StatusInternalServerError, "Internal Server Error") // as upstream's router
			return
		}
		writeJSON(w, status, out)
	}
	mux.HandleFunc("POST /users", func(w http.ResponseWriter, r *http.Request) {
		three := 3
		withBody(w, r, http.StatusCreated, &three)
	})
	mux.HandleFunc("PUT /users/{id}", func(w http.ResponseWriter, r *http.Request) {
		withBody(w, r, http.StatusOK, leadingInt(r.PathValue("id")))
	})
	mux.HandleFunc("DELETE /users/{id}", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"message": "User " + r.PathValue("id") + " deleted"})
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusNotFound, "404 Not Found") })
	return mux
}

// leadingInt is the integer that a text begins with, nil when it begins with none.
func leadingInt(s string) *int {
	end := 0
	for end < len(s) && (s[end] >= '0' && s[end] <= '9' || end == 0 && s[end] == '-') {
		end++
	}
	n, err := strconv.Atoi(s[:end])
	if err != nil {
		return nil
	}
	return &n
}

// 67
func rawHTTPProperties() actor.Definition {
	type properties struct {
		URL          string            `json:"url"`
		Pathname     string            `json:"pathname"`
		Search       string            `json:"search"`
		SearchParams map[string]string `json:"searchParams"`
		Hash         string            `json:"hash"`
		Method       string            `json:"method"`
		Headers      map[string]string `json:"headers"`
		Body         any               `json:"body"`
		BodyText     any               `json:"bodyText"`
		Cache        string            `json:"cache"`
		Credentials  string            `json:"credentials"`
		Mode         string            `json:"mode"`
		Redirect     string            `json:"redirect"`
		Referrer     string            `json:"referrer"`
	}
	d := define[struct{}]("rawHttpRequestPropertiesActor", actor.Options{})
	d.OnRequest = func(_ *actor.Ctx, _ actor.Self[struct{}], w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodHead:
			return
		case http.MethodOptions:
			w.WriteHeader(http.StatusNoContent)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler) // the client is gone
		}
		p := properties{
			URL: urlOf(r.URL.EscapedPath(), r.URL.RawQuery), Pathname: r.URL.EscapedPath(),
			SearchParams: lastOfEach(r.URL.RawQuery), Method: r.Method, Headers: headersOf(r.Header),
			Cache: "default", Credentials: "same-origin", Mode: "cors", Redirect: "follow", Referrer: "about:client",
		}
		if r.URL.RawQuery != "" {
			p.Search = "?" + r.URL.RawQuery
		}
		p.Body, p.BodyText = bodyOf(body, r.Header.Get("Content-Type"))
		writeJSON(w, http.StatusOK, p)
	}
	return d
}

// bodyOf is a request's body as JavaScript would look at it.
func bodyOf(body []byte, contentType string) (seen, text any) {
	switch {
	case len(body) == 0:
		return nil, nil
	case !strings.Contains(contentType, "application/json"):
		return string(body), string(body)
	}
	var v any
	if err := json.Unmarshal(body, &v); err != nil || v == nil {
		return nil, ""
	}
	if s, ok := v.(string); ok {
		return v, s
	}
	return v, nil
}

// lastOfEach reads a query; of repeated names the last counts.
func lastOfEach(query string) map[string]string {
	out := make(map[string]string)
	for part := range strings.SplitSeq(query, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		out[unescape(name)] = unescape(value)
	}
	return out
}

func unescape(s string) string {
	plain, err := url.QueryUnescape(s)
	if err != nil {
		return s
	}
	return plain
}
