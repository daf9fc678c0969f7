package host

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/rivetgo/rivet/internal/wire/fault"
)

// ErrCutOff says that an answer ended in the middle: whoever holds the transport must not let it look whole.
var ErrCutOff = errors.New("host: the answer was cut off")

// errRequestCut is what a request gets that the end of its actor's grace period met before its answer began.
var errRequestCut = &fault.Error{Group: "actor", Code: "stopping", HTTPStatus: 503,
	Message: "The actor stopped before the request was answered, and what the request did by then stays: look before repeating it, or raise Options.GracePeriod."}

// RawRequest is an HTTP request for the actor's own handler.
type RawRequest struct {
	Conn    *Conn
	Request *Request
	Chain   []string // the actors that wait for the answer
	// W and R are the client's; R.URL is what the handler sees.
	W http.ResponseWriter
	R *http.Request
	// Fail answers with an error. It is called at most once, and only while nothing of an answer was written.
	Fail func(f *fault.Error)
}

// HandlesRequests reports whether the definition has a handler for raw HTTP requests.
func (a *Actor) HandlesRequests() bool { return a.spec.OnRequest != nil }

// ServeRequest runs the actor's handler of raw HTTP requests, outside the turn, on the caller's goroutine. The caller has
// entered. The handler has Options.RequestTimeout to begin its answer and then as long as it wants; the end of the
// actor's grace period cuts it off. ErrCutOff: the answer has begun and is not whole. A handler that panics with
// http.ErrAbortHandler makes ServeRequest do so.
func (a *Actor) ServeRequest(q *RawRequest) error {
	c := &Call{actor: a, conn: q.Conn, request: q.Request, chain: q.Chain}
	c.ctx, c.cancel = context.WithCancel(q.R.Context()) // ends when the client is gone
	w := &heldWriter{actor: a, call: c, to: q.W, fail: q.Fail, header: http.Header{}}
	deadline := time.AfterFunc(a.spec.Options.RequestTimeout, func() { w.expire(errTimedOut) })
	letGo := context.AfterFunc(a.alive, func() { w.cut() })
	_, err := a.protect("OnRequest", func() ([]byte, error) {
		a.spec.OnRequest(c, w, q.R.WithContext(c))
		return nil, nil
	})
	if p, ok := errors.AsType[*panicError](err); ok && p.aborts() {
		deadline.Stop()
		letGo()
		c.end()
		w.settle()
		panic(http.ErrAbortHandler)
	}
	err = w.finish(err)
	deadline.Stop()
	letGo()
	c.end()
	w.settle()
	return err
}

// aborts reports whether the handler asked to break the answer off.
func (e *panicError) aborts() bool {
	err, ok := e.value.(error)
	return ok && errors.Is(err, http.ErrAbortHandler)
}

// heldWriter is the ResponseWriter of a raw request. Whatever goes through it waits for the commits made before (G2). Its
// header is its own until the head is written, because an answer in the handler's place may come from another goroutine.
//
//	open ──handler writes──► begun ──grace over──► torn
//	  └──deadline, grace over──► replaced
type heldWriter struct {
	actor  *Actor
	call   *Call
	to     http.ResponseWriter
	fail   func(f *fault.Error)
	header http.Header
	lost   error // why the head could not be written; belongs to the handler's goroutine

	mu    sync.Mutex // guards all below, and to while state is open
	state headState
	hints []string // header names that a 1xx answer left in to
}

type headState uint8

const (
	headOpen     headState = iota // nothing is written
	headBegun                     // the handler's answer has begun
	headTorn                      // it has begun, and was cut off
	headReplaced                  // an error was answered in the handler's place
)

var _ interface {
	http.ResponseWriter
	FlushError() error
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
	EnableFullDuplex() error
} = (*heldWriter)(nil)

// Header is what the head will hold; changing it afterwards only matters for trailers.
func (w *heldWriter) Header() http.Header { return w.header }

// held waits for the commits made so far.
func (w *heldWriter) held() error { return w.call.BeforeSend(w.actor.alive) }

// WriteHeader writes the head. A 1xx status may come any number of times before.
func (w *heldWriter) WriteHeader(status int) {
	if status < 100 || status > 199 || status == http.StatusSwitchingProtocols {
		if err := w.begin(status); err != nil {
			w.lost = err
		}
		return
	}
	if w.held() != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state != headOpen {
		return
	}
	for name, values := range w.header {
		w.to.Header()[name] = values
		w.hints = append(w.hints, name)
	}
	w.to.WriteHeader(status)
}

// begin writes the head unless it is written.
func (w *heldWriter) begin(status int) error {
	if state := w.now(); state != headOpen {
		return state.err()
	}
	if err := w.held(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state != headOpen {
		return w.state.err()
	}
	w.state = headBegun
	h := w.to.Header()
	for _, name := range w.hints {
		delete(h, name)
	}
	maps.Copy(h, w.header)
	w.to.WriteHeader(status)
	return nil
}

func (w *heldWriter) now() headState {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state
}

// err is what a write gets.
func (s headState) err() error {
	switch s {
	case headTorn:
		return ErrCutOff
	case headReplaced:
		return http.ErrHandlerTimeout
	}
	return nil
}

// Write writes a part of the body, after the head. It waits for the commits made before it, and for the client.
func (w *heldWriter) Write(p []byte) (int, error) {
	if err := w.ready(); err != nil {
		return 0, err
	}
	return w.to.Write(p)
}

// ready makes sure that the head is written and a piece of the body may follow.
func (w *heldWriter) ready() error {
	if err := w.begin(http.StatusOK); err != nil {
		return err
	}
	return w.held()
}

// Flush implements http.Flusher.
func (w *heldWriter) Flush() { _ = w.FlushError() } // who wants the error calls FlushError

// FlushError sends what was written so far.
func (w *heldWriter) FlushError() error {
	if err := w.ready(); err != nil {
		return err
	}
	return http.NewResponseController(w.to).Flush()
}

// SetReadDeadline is for http.ResponseController.
func (w *heldWriter) SetReadDeadline(t time.Time) error {
	return http.NewResponseController(w.to).SetReadDeadline(t)
}

// SetWriteDeadline is for http.ResponseController.
func (w *heldWriter) SetWriteDeadline(t time.Time) error {
	return http.NewResponseController(w.to).SetWriteDeadline(t)
}

// EnableFullDuplex is for http.ResponseController.
func (w *heldWriter) EnableFullDuplex() error {
	return http.NewResponseController(w.to).EnableFullDuplex()
}

// expire answers in the handler's place, if its answer has not begun.
func (w *heldWriter) expire(f *fault.Error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state != headOpen {
		return
	}
	w.state = headReplaced
	// The next request on this connection would wait for the handler.
	w.to.Header().Set("Connection", "close")
	w.fail(w.actor.visible("OnRequest", f))
	rc := http.NewResponseController(w.to)
	_ = rc.Flush()                     // a writer that cannot flush sends when the handler is back: late, but not lost
	_ = rc.SetReadDeadline(time.Now()) // a handler that waits for the body need not any longer
	w.call.end()
}

// cut ends the request because the actor's time is over.
func (w *heldWriter) cut() {
	why := errRequestCut
	if w.actor.broken() {
		why = errUncertain
	}
	w.expire(why)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state == headBegun {
		w.state = headTorn
		rc := http.NewResponseController(w.to)
		_ = rc.SetWriteDeadline(time.Now()) // transports without deadlines end with the client
		_ = rc.SetReadDeadline(time.Now())
	}
	w.call.end()
}

// finish ends the answer when the handler is back; failure is its panic.
func (w *heldWriter) finish(failure error) error {
	if failure == nil {
		if err := w.begin(http.StatusOK); err != nil {
			w.lost = err
		}
		if failure = w.lost; errors.Is(failure, context.Canceled) {
			failure = errRequestCut // the wait for the commits was given up at the end of the actor
		}
	} else {
		failure = w.actor.visible("OnRequest", failure)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch w.state {
	case headOpen:
		w.state = headReplaced
		w.fail(w.actor.visible("OnRequest", failure))
	case headBegun:
		if failure != nil {
			return ErrCutOff
		}
		maps.Copy(w.to.Header(), w.header) // trailers; net/http looks at nothing else now
	case headTorn:
		return ErrCutOff
	}
	return nil
}

// settle waits for an answer in the handler's place that is being written.
func (w *heldWriter) settle() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state == headOpen {
		w.state = headReplaced // nothing may be written any more
	}
}

// WriteString is Write.
func (w *heldWriter) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

var _ io.StringWriter = (*heldWriter)(nil)
