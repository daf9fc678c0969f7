package surface

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/rivetgo/rivet/internal/callchain"
	"github.com/rivetgo/rivet/internal/host"
	"github.com/rivetgo/rivet/internal/wire/actorkey"
	"github.com/rivetgo/rivet/internal/wire/clientproto"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/value"
)

// Set is what the surfaces of a process share. Safe for concurrent use.
type Set struct {
	version string
	log     *slog.Logger
	stalls  *stallWatch
	lot     *lot
}

// NewSet makes one. version is what GET /metadata tells.
func NewSet(version string, log *slog.Logger) *Set {
	return &Set{version: version, log: log, stalls: newStallWatch(), lot: newLot()}
}

// Attach says who wakes a sleeping actor, by its id, when one of its parked sockets needs it. It is called before the first
// actor lives, and wake must not block.
func (set *Set) Attach(wake func(actor string)) { set.lot.wake = wake }

// Parked returns the sockets that wait for a life of the actor which is about to load. Its end is told with Began or
// NotBegun.
func (set *Set) Parked(actor string) []host.Parked { return set.lot.take(actor) }

// Began lets the restored sockets begin with what waits.
func (set *Set) Began(actor string) { set.lot.started(actor) }

// NotBegun takes the sockets back.
func (set *Set) NotBegun(actor string) { set.lot.failed(actor) }

// Forget closes the parked sockets of an actor that does not exist any more.
func (set *Set) Forget(actor string) { set.lot.forget(actor) }

// Held is how many sockets are parked.
func (set *Set) Held() int { return set.lot.held() }

// Close closes all parked sockets, and those that would be parked from now on.
func (set *Set) Close() { set.lot.close() }

// Surface is the outside of one live actor. Safe for concurrent use.
type Surface struct {
	set     *Set
	actor   *host.Actor
	headers http.Header // x-rivet-actor*: the same slices on every answer
}

// New makes the outside of an actor.
func (set *Set) New(a *host.Actor) *Surface {
	s := &Surface{set: set, actor: a, headers: http.Header{
		"X-Rivet-Actor":            {a.ID()},
		"X-Rivet-Actor-Generation": {strconv.FormatUint(a.Generation(), 10)},
	}}
	if key := actorkey.HeaderValue(a.Key()); headerSafe(key) {
		s.headers["X-Rivet-Actor-Key"] = []string{key}
	}
	return s
}

// headerSafe reports whether a key can stand in a header: one with a line break is left out.
func headerSafe(s string) bool { return !strings.ContainsAny(s, "\r\n\x00") }

// ServeHTTP serves one request. host.ErrStopping means that the actor takes no calls any more and nothing was done.
func (s *Surface) ServeHTTP(w http.ResponseWriter, r *http.Request) error {
	if err := s.actor.Enter(); err != nil {
		return err
	}
	defer s.actor.Leave()
	h := w.Header()
	maps.Copy(h, s.headers)
	path := r.URL.Path
	if r.URL.RawPath != "" {
		path = r.URL.RawPath
	}
	if name, ok := strings.CutPrefix(path, "/action/"); ok && name != "" && !strings.Contains(name, "/") {
		s.serveAction(w, r, name, r.URL.RawPath != "")
		return nil
	}
	if name, ok := strings.CutPrefix(path, "/queue"); ok && (name == "" || name[0] == '/' && !strings.Contains(name[1:], "/")) {
		return s.serveQueue(w, r, strings.TrimPrefix(name, "/"), r.URL.RawPath != "")
	}
	if rest, ok := strings.CutPrefix(path, rawPrefix); ok && (rest == "" || rest[0] == '/') {
		return s.serveRaw(w, r)
	}
	switch {
	case path == "/" || path == "":
		s.serveText(w, r, fmt.Sprintf("This is a Rivet actor: %s. Call it with a client: https://rivet.dev/docs/clients\n", s.actor.Name()))
	case path == "/health":
		s.serveText(w, r, "ok")
	case path == "/metadata":
		s.serveMetadata(w, r)
	default:
		s.routeNotFound(w, r, path)
	}
	return nil
}

func (s *Surface) serveText(w http.ResponseWriter, r *http.Request, text string) {
	if !s.onlyGet(w, r) {
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, text) // a client that is gone needs no answer
}

func (s *Surface) serveMetadata(w http.ResponseWriter, r *http.Request) {
	if !s.onlyGet(w, r) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Referrer-Policy", "no-referrer")
	body := append([]byte(`{"runtime":"rivetkit","type":"local","version":`), value.AppendJSONString(nil, s.set.version)...)
	w.Write(append(body, '}'))
}

func (s *Surface) onlyGet(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	s.methodNotAllowed(w, r)
	return false
}

func (s *Surface) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	m := value.AppendMapHead(nil, 2)
	m = value.AppendText(value.AppendText(m, "method"), r.Method)
	m = value.AppendText(value.AppendText(m, "path"), r.URL.Path)
	s.writeError(w, clientproto.JSON, clientproto.MaxVersion, fault.New("actor", "method_not_allowed", "Method not allowed").With(m))
}

func (s *Surface) routeNotFound(w http.ResponseWriter, r *http.Request, path string) {
	m := value.AppendMapHead(nil, 2)
	m = value.AppendText(value.AppendText(m, "id"), path)
	m = value.AppendText(value.AppendText(m, "resource"), "route")
	s.writeError(w, encodingOf(r), clientproto.MaxVersion, fault.New("actor", "not_found", fmt.Sprintf("Actor route '%s' was not found.", path)).With(m))
}

func encodingOf(r *http.Request) clientproto.Encoding {
	enc, _ := clientproto.ParseEncoding(first(r.Header, "X-Rivet-Encoding"))
	return enc
}

func first(h http.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// readsVersion is the protocol version that a client is known to read where its messages do not say: only the official
// clients from 2.2 on resolve every escape array, and only they get one for "no result".
func readsVersion(r *http.Request) uint16 {
	ua := first(r.Header, "User-Agent")
	version, ok := strings.CutPrefix(ua, "RivetKit/")
	if ok && !strings.HasPrefix(version, "2.0") && !strings.HasPrefix(version, "2.1") {
		return clientproto.MaxVersion
	}
	if strings.HasPrefix(ua, "rivet-go/") {
		return clientproto.MaxVersion
	}
	return clientproto.FirstVersion
}

// writeError answers with an error of the actor.
func (s *Surface) writeError(w http.ResponseWriter, enc clientproto.Encoding, version uint16, f *fault.Error) {
	if f.Actor == nil {
		c := *f
		c.Actor = s.actor.Specifier()
		f = &c
	}
	body, err := clientproto.AppendError(nil, enc, version, f)
	if err != nil {
		s.actor.Log().Error("error cannot be encoded", "error", err, "what", f.Error())
		body, enc = []byte(`{"group":"core","code":"internal_error","message":"An internal error occurred"}`), clientproto.JSON
	}
	writeBody(w, f.StatusOnActor(), enc, body)
}

var (
	jsonType   = []string{"application/json"}
	binaryType = []string{"application/octet-stream"}
)

func writeBody(w http.ResponseWriter, status int, enc clientproto.Encoding, body []byte) {
	h := w.Header()
	if enc == clientproto.JSON {
		h["Content-Type"] = jsonType
	} else {
		h["Content-Type"] = binaryType
	}
	if len(body) > 2048 { // net/http counts smaller ones by itself
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	if status != http.StatusOK {
		w.WriteHeader(status)
	}
	w.Write(body) // a client that is gone needs no answer
}

// bodies keeps buffers for request bodies.
var bodies = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// readBody reads a request body of at most limit bytes into buf.
func readBody(r *http.Request, buf []byte, limit int) (body []byte, tooLong bool, err error) {
	if r.ContentLength > int64(limit) {
		return buf, true, nil
	}
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if len(buf) > limit {
			return buf, true, nil
		}
		if err == io.EOF {
			return buf, false, nil
		}
		if err != nil {
			return buf, false, err
		}
	}
}

func (s *Surface) serveAction(w http.ResponseWriter, r *http.Request, name string, escaped bool) {
	a := s.actor
	enc, version := encodingOf(r), readsVersion(r)
	fail := func(f *fault.Error) { s.writeError(w, enc, version, f) }
	if r.Method != http.MethodPost {
		s.methodNotAllowed(w, r)
		return
	}
	if escaped {
		plain, err := url.PathUnescape(name)
		if err != nil {
			fail(fault.New("actor", "invalid_request", "the action's name in the path is not properly percent-encoded"))
			return
		}
		name = plain
	}
	params, f := headerParams(r)
	if f != nil {
		fail(f)
		return
	}
	buf := bodies.Get().(*[]byte)
	defer func() {
		if cap(*buf) <= 64<<10 {
			bodies.Put(buf)
		}
	}()
	body, tooLong, err := readBody(r, (*buf)[:0], a.Options().MaxIncomingBytes)
	*buf = body[:0]
	switch {
	case tooLong:
		fail(a.CheckIncoming(max(int(r.ContentLength), a.Options().MaxIncomingBytes+1)))
		return
	case err != nil:
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			fail(a.CheckIncoming(a.Options().MaxIncomingBytes + 1))
		} else {
			fail(fault.New("actor", "invalid_request", "the request's body ended early"))
		}
		return
	}
	args, v, err := clientproto.DecodeActionRequest(enc, body, true)
	if err != nil {
		fail(fault.New("actor", "invalid_request", "the request's body is not an action request: "+err.Error()))
		return
	}
	if v != 0 {
		version = v
	}
	call := &host.ActionCall{Name: name, Args: args, Request: request(r), Gone: r.Context().Done()}
	if chain := first(r.Header, callchain.Header); chain != "" {
		call.Chain = callchain.Parse(chain)
	}
	conn, err := a.Connect(r.Context(), call.Request, params, call.Chain, nil)
	if err != nil {
		fail(asFault(err))
		return
	}
	call.Conn = conn
	reply := newReply(s, w, enc, version)
	call.Reply = reply
	a.Action(call)
	a.Disconnect(conn)
	reply.write()
}

// request is what the actor may know of the HTTP request. It lives as long as the call or the connection, so it must not
// keep the request itself alive.
func request(r *http.Request) *host.Request {
	return &host.Request{Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Header: r.Header, RemoteAddr: r.RemoteAddr}
}

// noParams is what a client that presented nothing presented.
var noParams = []byte{value.Null}

// headerParams reads the connection parameters of an HTTP call.
func headerParams(r *http.Request) ([]byte, *fault.Error) {
	text := first(r.Header, "X-Rivet-Conn-Params")
	if text == "" {
		return noParams, nil
	}
	return parseParams(text)
}

// maxParams bounds connection parameters, as the engine does.
const maxParams = 4 << 10

func parseParams(text string) ([]byte, *fault.Error) {
	if len(text) > maxParams {
		return nil, fault.New("actor", "invalid_request", fmt.Sprintf("connection parameters are %d bytes, the limit is %d", len(text), maxParams))
	}
	params, err := value.FromJSON(nil, []byte(text))
	if err != nil {
		return nil, fault.New("actor", "invalid_request", "connection parameters are not JSON: "+err.Error())
	}
	return params, nil
}

// asFault is for errors of the host that are typed already.
func asFault(err error) *fault.Error {
	if f, ok := fault.From(err); ok {
		return f
	}
	return fault.New("core", "internal_error", fault.InternalMessage)
}
