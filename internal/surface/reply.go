package surface

import (
	"net/http"
	"sync"

	"github.com/rivetgo/rivet/internal/wire/clientproto"
	"github.com/rivetgo/rivet/internal/wire/fault"
)

// httpReply is the answer to one HTTP action. The goroutine of the request runs the action and then waits in write, so
// normally it writes the answer. At the deadline it is still inside the handler: then Expired writes.
type httpReply struct {
	surface  *Surface
	w        http.ResponseWriter
	enc      clientproto.Encoding
	version  uint16
	output   []byte
	failure  *fault.Error
	released chan struct{} // room for one: Release never blocks

	mu      sync.Mutex // guards waiting and written between Expired and write
	waiting bool       // the request's goroutine is back from the handler
	written bool
}

func newReply(s *Surface, w http.ResponseWriter, enc clientproto.Encoding, version uint16) *httpReply {
	return &httpReply{surface: s, w: w, enc: enc, version: version, released: make(chan struct{}, 1)}
}

// Prepare keeps the outcome: encoding it is left to the request's goroutine, which writes it.
func (r *httpReply) Prepare(output []byte, failure *fault.Error) {
	r.output, r.failure = output, failure
}

// Release lets the request's goroutine go on.
func (r *httpReply) Release(failure *fault.Error) {
	if failure != nil {
		r.failure = failure
	}
	r.released <- struct{}{}
}

// Expired answers in the handler's place. The TCP connection ends with the answer: the next request on it would wait for
// the handler.
func (r *httpReply) Expired(failure *fault.Error) {
	r.expire(failure)
	r.released <- struct{}{}
}

func (r *httpReply) expire(failure *fault.Error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failure = failure
	if !r.waiting {
		r.written = true
		r.w.Header().Set("Connection", "close")
		r.flush()
		// A writer that cannot flush sends when the handler is back: late, but not lost.
		_ = http.NewResponseController(r.w).Flush()
	}
}

// write waits until the outcome may leave and writes it.
func (r *httpReply) write() {
	r.mu.Lock()
	r.waiting = true
	r.mu.Unlock()
	<-r.released // always comes: every commit ends, and so does every gate
	if !r.written {
		r.flush()
	}
}

func (r *httpReply) flush() {
	if r.failure != nil {
		r.surface.writeError(r.w, r.enc, r.version, r.failure)
		return
	}
	body, err := clientproto.AppendActionResponse(make([]byte, 0, len(r.output)+16), r.enc, r.version, r.output)
	if err != nil {
		r.surface.actor.Log().Error("result cannot be encoded", "error", err)
		r.surface.writeError(r.w, r.enc, r.version, fault.New("core", "internal_error", fault.InternalMessage))
		return
	}
	writeBody(r.w, http.StatusOK, r.enc, body)
}
