package main

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// writeJSON answers with compact JSON.
func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(body) // a client that is gone needs no answer
}

// writeText answers with plain text.
func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain;charset=UTF-8")
	w.WriteHeader(status)
	w.Write([]byte(text))
}

// internalError answers as the runtime does when a handler fails.
func internalError(c *actor.Ctx, w http.ResponseWriter, err error) {
	c.Log().Error("request failed", "error", err)
	writeJSON(w, http.StatusInternalServerError, map[string]string{
		"group": "rivetkit", "code": "internal_error", "message": "An internal error occurred",
	})
}

func notFound(w http.ResponseWriter) { writeText(w, http.StatusNotFound, "Not Found") }

// headersOf flattens headers as JavaScript has them: lower-case names, values joined.
func headersOf(h http.Header) map[string]string {
	out := make(map[string]string, len(h))
	for name, values := range h {
		out[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	return out
}

// origin is the scheme and host that actors see in request URLs.
const origin = "http://127.0.0.1"

func urlOf(path, query string) string {
	if query != "" {
		path += "?" + query
	}
	return origin + path
}

// requestRecord is what an actor keeps of a request.
type requestRecord struct {
	HasRequest     bool              `json:"hasRequest"`
	RequestURL     *string           `json:"requestUrl"`
	RequestMethod  *string           `json:"requestMethod"`
	RequestHeaders map[string]string `json:"requestHeaders"`
}

func emptyRecord() requestRecord { return requestRecord{RequestHeaders: map[string]string{}} }

func recordOf(r actor.Request) requestRecord {
	url := urlOf(r.Path, r.Query)
	return requestRecord{true, &url, &r.Method, headersOf(r.Header)}
}

// 40
func requestAccess() actor.Definition {
	type state struct {
		OnBeforeConnect requestRecord `json:"onBeforeConnect"`
		CreateConnState requestRecord `json:"createConnState"`
		OnRequest       requestRecord `json:"onRequest"`
		OnWebSocket     requestRecord `json:"onWebSocket"`
	}
	type params struct {
		TrackRequest bool `json:"trackRequest"`
	}
	type connState struct {
		TrackRequest bool
		Info         *requestRecord
	}
	d := defineFrom("requestAccessActor", actor.Options{}, func(*actor.Ctx, raw) (*state, error) {
		return &state{emptyRecord(), emptyRecord(), emptyRecord(), emptyRecord()}, nil
	})
	declared := rivet.NewParams[params](d.of)
	var conns actor.ConnState[connState]
	actor.BeforeConnect(d.Spec, declared, func(s *state, c *actor.Ctx, p params) error {
		if !p.TrackRequest {
			return nil
		}
		if r, ok := c.Request(); ok {
			s.OnBeforeConnect = recordOf(r)
		} else {
			s.OnBeforeConnect.HasRequest = false
		}
		return nil
	})
	actor.OnConnect(d.Spec, declared, conns, func(_ *state, c *actor.Ctx, p params) (connState, error) {
		m := connState{TrackRequest: p.TrackRequest}
		if r, ok := c.Request(); ok && p.TrackRequest {
			info := recordOf(r)
			m.Info = &info
		}
		return m, nil
	})
	d.OnConnected = func(s *state, c *actor.Ctx, conn *actor.Conn) error {
		if m, ok := conns.On(c, conn); ok && m.Info != nil {
			s.CreateConnState = *m.Info
		}
		return nil
	}
	d.OnRequest = func(c *actor.Ctx, self actor.Self[state], w http.ResponseWriter, r *http.Request) {
		rec := recordOf(actor.Request{Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Header: r.Header})
		if err := self.Do(func(s *state) { s.OnRequest = rec }); err != nil {
			internalError(c, w, err)
			return
		}
		writeJSON(w, http.StatusOK, rec)
	}
	d.OnWebSocket = func(c *actor.Ctx, self actor.Self[state], ws *actor.WebSocket) error {
		r, ok := ws.Conn().Request()
		if !ok {
			return errNoRequest
		}
		rec := recordOf(r)
		if err := self.Do(func(s *state) { s.OnWebSocket = rec }); err != nil {
			return err
		}
		if err := sendJSON(c, ws, rec); err != nil {
			return err
		}
		for {
			m, err := ws.Read(c)
			if err != nil {
				return err
			}
			if err := ws.Write(c, m); err != nil {
				return err
			}
		}
	}
	pingAction(d)
	get(d, "getRequestInfo", func(s *state) state { return *s })
	return d
}
