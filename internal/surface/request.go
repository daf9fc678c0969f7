package surface

import (
	"net/http"
	"strings"

	"github.com/rivetgo/rivet/internal/callchain"
	"github.com/rivetgo/rivet/internal/host"
	"github.com/rivetgo/rivet/internal/wire/clientproto"
	"github.com/rivetgo/rivet/internal/wire/fault"
)

// rawPrefix is where an actor's own HTTP handler begins. The handler does not see it.
const rawPrefix = "/request"

// serveRaw lets the actor's own handler serve a request. An error says that the answer was cut off.
func (s *Surface) serveRaw(w http.ResponseWriter, r *http.Request) error {
	a := s.actor
	if !a.HandlesRequests() {
		w.WriteHeader(http.StatusNotFound)
		return nil
	}
	fail := func(f *fault.Error) { s.writeError(w, clientproto.JSON, clientproto.MaxVersion, f) }
	params, f := headerParams(r)
	if f != nil {
		fail(f)
		return nil
	}
	seen := withoutPrefix(r)
	q := &host.RawRequest{Request: request(seen), W: w, R: seen, Fail: fail}
	if chain := first(r.Header, callchain.Header); chain != "" {
		q.Chain = callchain.Parse(chain)
	}
	conn, err := a.Connect(r.Context(), q.Request, params, q.Chain, nil)
	if err != nil {
		fail(asFault(err))
		return nil
	}
	defer a.Disconnect(conn)
	q.Conn = conn
	return a.ServeRequest(q)
}

// withoutPrefix is the request as the handler sees it.
func withoutPrefix(r *http.Request) *http.Request {
	seen, u := *r, *r.URL
	cut := func(path string) string {
		if path = strings.TrimPrefix(path, rawPrefix); path == "" {
			return "/"
		}
		return path
	}
	u.Path = cut(u.Path)
	if u.RawPath != "" {
		u.RawPath = cut(u.RawPath)
	}
	seen.URL = &u
	seen.RequestURI = u.RequestURI()
	return &seen
}
