package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// seenRequest is what the kitchen's echo route answers.
type seenRequest struct {
	Method string      `json:"method"`
	Path   string      `json:"path"`
	Query  string      `json:"query"`
	Header http.Header `json:"header"`
	Body   string      `json:"body"`
}

// serveKitchen is the kitchen's own HTTP.
func serveKitchen(c *actor.Ctx, _ actor.Self[kitchen], w http.ResponseWriter, r *http.Request) {
	flush := http.NewResponseController(w).Flush
	switch {
	case r.URL.Path == "/echo" || strings.HasPrefix(r.URL.Path, "/echo/"):
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client is gone
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Answer", "echo")
		w.WriteHeader(http.StatusCreated)
		if err := json.NewEncoder(w).Encode(seenRequest{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.Header, string(body)}); err != nil {
			return // the client is gone
		}
	case r.URL.Path == "/stream":
		n, _ := strconv.Atoi(r.URL.Query().Get("n")) // none: no lines
		for i := range n {
			fmt.Fprintln(w, i)
			if flush() != nil {
				return // the client is gone
			}
		}
	case r.URL.Path == "/sse":
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			if flush() != nil {
				return
			}
		}
		select { // the answer goes on until somebody ends it
		case <-c.Done():
		case <-c.Stopping():
		}
	default:
		http.NotFound(w, r)
	}
}

// serveKitchenSocket is the kitchen's own WebSocket: an echo with a few commands.
func serveKitchenSocket(c *actor.Ctx, _ actor.Self[kitchen], ws *actor.WebSocket) error {
	for {
		m, err := ws.Read(c)
		if err != nil {
			return err
		}
		switch string(m.Data) {
		case "close":
			ws.Close(4001, "custom reason")
		case "error":
			return &rivet.Error{Code: "asked_to", Message: "you asked for it"}
		case "where":
			req, _ := c.Request()
			m.Data = []byte(req.Path + "?" + req.Query)
			fallthrough
		default:
			if err := ws.Write(c, m); err != nil {
				return err
			}
		}
	}
}
