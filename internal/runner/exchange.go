package runner

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/rivetgo/rivet/internal/link"
	"github.com/rivetgo/rivet/internal/wire/clientproto"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/runnerproto"
)

const (
	// chunkMax is the largest part of a streamed body in one frame.
	chunkMax = 64 << 10
	// window is how much of a streamed body may be on its way.
	window = 1 << 20
)

// exchange is one HTTP request. Its body and response are whole, or streamed when the gateway offers that.
type exchange struct {
	r      *Runner
	name   runnerproto.Tunnel
	slot   *slot
	ctx    context.Context
	cancel context.CancelCauseFunc
	stream bool // the response may be streamed
	head   bool
	limit  int // of a response that is not streamed

	// Of the goroutine that serves it:
	header  http.Header
	status  int
	body    []byte // that waits to be sent
	started bool   // the response's head has left
	tooLong bool

	sendMu sync.Mutex // keeps frames in the order of their numbers
	index  uint16

	mu       sync.Mutex // guards all below
	next     uint16     // number of the gateway's next frame
	in       bytes.Buffer
	inDone   bool // all of the body is there
	inFailed error
	taken    uint64 // of the request's body
	told     uint64 // what the gateway knows of that
	sent     uint64 // of the response's body
	consumed uint64 // what its client has
	changed  chan struct{}
	over     bool
	muted    bool                    // another has taken its place
	follows  bool                    // it has had an effect, and goes on in the actor's next life
	final    *runnerproto.FromRunner // of one that follows: its whole answer
}

func newExchange(r *Runner, name runnerproto.Tunnel, s *slot, k *runnerproto.RequestStart) *exchange {
	x := &exchange{
		r: r, name: name, slot: s, stream: k.ResponseStream, head: k.Method == http.MethodHead,
		header: make(http.Header), next: 1, changed: make(chan struct{}),
	}
	x.in.Write(k.Body)
	x.inDone = !k.Stream
	x.ctx, x.cancel = context.WithCancelCause(context.Background())
	r.mu.Lock()
	x.limit = maxTunnelPayload
	if n := r.init.MaxResponsePayloadSize; n > 0 {
		x.limit = min(x.limit, int(min(n, 1<<30)))
	}
	r.mu.Unlock()
	return x
}

func (x *exchange) owner() *slot { return x.slot }

var (
	errGatewayLost = errors.New("the connection to the gateway was lost")
	errAborted     = errors.New("the client is gone")
	errOutOfOrder  = errors.New("a part of the request is missing")
)

// serve runs the request. It ends when the actor has answered.
func (x *exchange) serve(k *runnerproto.RequestStart) {
	defer x.end()
	ctx, cancel := context.WithTimeout(x.ctx, awaitTimeout)
	var actor link.Actor
	var refusal *fault.Error
	if x.slot != nil {
		actor, refusal = x.slot.await(ctx)
	}
	cancel()
	if refusal != nil {
		x.explain(k, refusal)
		return
	}
	if actor == nil { // the gateway looks for it again
		x.abort(runnerproto.AbortInternal, "the actor does not live here")
		return
	}
	req, err := x.request(k)
	if err != nil {
		x.refuse(http.StatusBadRequest, "guard.invalid_request", err.Error())
		return
	}
	if admit := x.r.cfg.Admit; admit != nil {
		if err := admit(req.Header); err != nil {
			x.refuse(http.StatusForbidden, "actor.forbidden", err.Error())
			return
		}
	}
	err = x.run(actor, req)
	for errors.Is(err, link.ErrMoved) && !x.started { // what it did is known to the next life only
		if actor = x.follow(); actor == nil {
			x.refuse(http.StatusInternalServerError, errReplyLost.Group+"."+errReplyLost.Code, errReplyLost.Message)
			return
		}
		err = x.run(actor, req)
	}
	switch {
	case errors.Is(err, link.ErrStopping) && !x.started: // the gateway brings it to the next life
		x.abort(runnerproto.AbortInternal, "the actor is stopping")
	case err != nil:
		x.r.log.Warn("request failed", "actor_id", x.slot.actor, "path", k.Path, "error", err)
		x.abort(runnerproto.AbortHandler, "the request's handler failed")
	default:
		x.finish()
	}
}

// errReplyLost ends a request that has had an effect and whose answer is another process's to give.
var errReplyLost = fault.New("actor", "reply_lost", "The request took effect, but its answer was lost: the actor went to sleep before there was one, and did not come back here.")

// followTimeout bounds the wait for an actor's next life.
const followTimeout = 5 * time.Minute

// follow waits for the actor's next life in this process; nil when there is none.
func (x *exchange) follow() link.Actor {
	ctx, cancel := context.WithTimeout(x.ctx, followTimeout)
	defer cancel()
	x.mu.Lock()
	x.follows = true
	x.mu.Unlock()
	s := x.r.next(ctx, x.slot)
	if s == nil {
		return nil
	}
	x.r.mu.Lock()
	x.slot = s
	x.r.mu.Unlock()
	actor, _ := s.await(ctx)
	return actor
}

// run lets the actor answer. A handler that panics has not answered.
func (x *exchange) run(actor link.Actor, req *http.Request) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return actor.HTTP(x, req)
}

// request makes the request that the actor gets.
func (x *exchange) request(k *runnerproto.RequestStart) (*http.Request, error) {
	header, host := headers(k.Headers)
	u, err := url.ParseRequestURI(k.Path)
	if err != nil {
		return nil, fmt.Errorf("the path is not one: %w", err)
	}
	req := &http.Request{
		Method: k.Method, URL: u, RequestURI: k.Path, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Host: host, RemoteAddr: remote(header), Body: http.NoBody,
	}
	switch {
	case k.Stream:
		req.ContentLength, req.Body = -1, (*requestBody)(x)
	case len(k.Body) > 0:
		req.ContentLength, req.Body = int64(len(k.Body)), (*requestBody)(x)
	}
	return req.WithContext(x.ctx), nil
}

// headers makes a header of what a frame has.
func headers(list []runnerproto.Header) (h http.Header, host string) {
	h = make(http.Header, len(list))
	for _, e := range list {
		if e.Name == "host" {
			host = e.Value
			continue
		}
		name := textproto.CanonicalMIMEHeaderKey(e.Name)
		h[name] = append(h[name], e.Value)
	}
	return h, host
}

// remote is the client's address as proxies tell it.
func remote(h http.Header) string {
	first, _, _ := strings.Cut(h.Get("X-Forwarded-For"), ",")
	return strings.TrimSpace(first)
}

// notify wakes whoever waits. The caller holds mu.
func (x *exchange) notify() {
	close(x.changed)
	x.changed = make(chan struct{})
}

// receive implements tunnel.
func (x *exchange) receive(index uint16, k runnerproto.GatewayKind) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return
	}
	if index != x.next && x.stream { // older gateways do not count
		x.failLocked(errOutOfOrder)
		return
	}
	x.next = index + 1
	switch k := k.(type) {
	case *runnerproto.RequestChunk:
		if x.in.Len()+len(k.Body) > 2*window {
			x.failLocked(errors.New("the gateway sends more of the body than was asked for"))
			return
		}
		x.in.Write(k.Body)
		x.inDone = x.inDone || k.Finish
		x.notify()
	case *runnerproto.RequestAbort:
		x.failLocked(errAborted)
	case *runnerproto.ResponseWindow:
		x.consumed = max(x.consumed, min(k.Consumed, x.sent))
		x.notify()
	}
}

// failLocked ends the request early.
func (x *exchange) failLocked(err error) {
	if x.inFailed == nil {
		x.inFailed = err
	}
	x.notify()
	x.cancel(err)
}

func (x *exchange) fail(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.over {
		x.failLocked(err)
	}
}

// cut implements tunnel. A response that has begun cannot go on: parts of it may be missing. One that has not still can be
// given.
func (x *exchange) cut() {
	x.mu.Lock()
	begun := x.sent > 0 || !x.inDone
	x.mu.Unlock()
	if begun {
		x.fail(errGatewayLost)
	}
}

// again is called when the gateway sends the request once more, because its actor has stopped. It reports whether the request
// goes on as it is: else this one is silent from now on, and another takes its place.
func (x *exchange) again() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.final != nil {
		go x.r.send(x.final, 0, true) // the gateway had given up on it when it came first
		return true
	}
	if x.follows {
		x.next = 1
		return true
	}
	x.muted = true
	return false
}

// abandoned implements tunnel: the host ends the handler and answers.
func (x *exchange) abandoned() {}

// keepFinal is how long the answer of a request that the gateway may send again is kept.
const keepFinal = time.Minute

// end forgets what came for the request.
func (x *exchange) end() {
	x.mu.Lock()
	if x.final == nil {
		x.r.drop(x.name, x)
	} else {
		time.AfterFunc(keepFinal, func() { x.r.drop(x.name, x) })
	}
	x.over = true
	x.in = bytes.Buffer{}
	x.notify()
	x.mu.Unlock()
	x.cancel(nil)
}

// emit sends a frame with the next number.
func (x *exchange) emit(k runnerproto.RunnerKind, size int, whole bool) {
	x.sendMu.Lock()
	defer x.sendMu.Unlock()
	x.mu.Lock()
	muted := x.muted
	m := &runnerproto.FromRunner{Tunnel: x.name, Index: x.index, Kind: k}
	if _, answer := k.(*runnerproto.ResponseStart); answer && whole && x.follows {
		x.final = m
	}
	x.mu.Unlock()
	if muted {
		return
	}
	x.r.send(m, size, whole)
	x.index++
}

// refuse answers in the actor's place.
func (x *exchange) refuse(status int, code, text string) {
	x.emit(&runnerproto.ResponseStart{
		Status: uint16(status), Body: []byte(text),
		Headers: []runnerproto.Header{{Name: "content-type", Value: "text/plain; charset=utf-8"}, {Name: "x-rivet-error", Value: code}},
	}, len(text), true)
}

// explain answers with an error, as the client reads it.
func (x *exchange) explain(k *runnerproto.RequestStart, f *fault.Error) {
	h, _ := headers(k.Headers)
	enc, _ := clientproto.ParseEncoding(h.Get("X-Rivet-Encoding"))
	body, err := clientproto.AppendError(nil, enc, clientproto.MaxVersion, f)
	if err != nil {
		x.refuse(http.StatusInternalServerError, f.Group+"."+f.Code, f.Message)
		return
	}
	contentType := "application/octet-stream"
	if enc == clientproto.JSON {
		contentType = "application/json"
	}
	x.emit(&runnerproto.ResponseStart{
		Status: uint16(f.StatusOnActor()), Body: body,
		Headers: []runnerproto.Header{{Name: "content-type", Value: contentType}},
	}, len(body), true)
}

// abort ends the response early.
func (x *exchange) abort(kind runnerproto.AbortKind, detail string) {
	x.emit(&runnerproto.ResponseAbort{Reason: runnerproto.Abort{Kind: kind, Detail: &detail}}, 0, true)
}

// Header implements http.ResponseWriter.
func (x *exchange) Header() http.Header { return x.header }

// WriteHeader implements http.ResponseWriter.
func (x *exchange) WriteHeader(status int) {
	if x.status == 0 && status >= 200 { // what comes before an answer is not passed on
		x.status = status
	}
}

// bodyless reports whether the response has no body.
func (x *exchange) bodyless() bool {
	return x.head || x.status == http.StatusNoContent || x.status == http.StatusNotModified
}

// Write implements http.ResponseWriter.
func (x *exchange) Write(p []byte) (int, error) {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	if x.bodyless() {
		if x.head {
			return len(p), nil
		}
		return 0, http.ErrBodyNotAllowed
	}
	if !x.stream && len(x.body)+len(p) > x.limit {
		x.tooLong = true
		return 0, fmt.Errorf("the response is longer than %d bytes, which is all that the engine takes", x.limit)
	}
	x.body = append(x.body, p...)
	if x.stream && len(x.body) >= chunkMax {
		return len(p), x.push(false)
	}
	return len(p), nil
}

// FlushError implements what http.ResponseController wants. A response that cannot be streamed leaves as a whole.
func (x *exchange) FlushError() error {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	if !x.stream || x.bodyless() {
		return nil
	}
	return x.push(false)
}

// Flush implements http.Flusher.
func (x *exchange) Flush() { _ = x.FlushError() }

// push sends what waits of a streamed response, and with last its end.
func (x *exchange) push(last bool) error {
	if !x.started {
		x.started = true
		x.emit(&runnerproto.ResponseStart{Status: uint16(x.status), Headers: x.headers(), Stream: true}, 512, false)
	}
	for len(x.body) > 0 || last {
		part := x.body[:min(len(x.body), chunkMax)]
		if err := x.awaitWindow(len(part)); err != nil {
			return err
		}
		x.body = x.body[len(part):]
		finish := last && len(x.body) == 0
		x.emit(&runnerproto.ResponseChunk{Body: part, Finish: finish}, len(part), false)
		if finish {
			return nil
		}
	}
	x.body = nil
	return nil
}

// awaitWindow waits until the client has taken enough for n bytes more.
func (x *exchange) awaitWindow(n int) error {
	for {
		x.mu.Lock()
		if x.inFailed != nil {
			defer x.mu.Unlock()
			return x.inFailed
		}
		if x.sent-x.consumed+uint64(n) <= window {
			x.sent += uint64(n)
			x.mu.Unlock()
			return nil
		}
		changed := x.changed
		x.mu.Unlock()
		<-changed
	}
}

// finish sends what is left of the response.
func (x *exchange) finish() {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	if x.tooLong {
		x.refuse(http.StatusInternalServerError, "message.outgoing_too_long", fmt.Sprintf("The response is longer than %d bytes, which is all that the engine takes: answer with less, or in parts.", x.limit))
		return
	}
	if x.started {
		if err := x.push(true); err != nil && !errors.Is(err, errAborted) {
			x.abort(runnerproto.AbortInternal, err.Error())
		}
		return
	}
	body := x.body
	if x.stream && len(body) > window {
		if err := x.push(true); err != nil && !errors.Is(err, errAborted) {
			x.abort(runnerproto.AbortInternal, err.Error())
		}
		return
	}
	k := &runnerproto.ResponseStart{Status: uint16(x.status), Headers: x.headers()}
	if len(body) > 0 {
		k.Body = body
	}
	x.emit(k, len(body), true)
}

// headers is the response's header as a frame has it: one value for each name.
func (x *exchange) headers() []runnerproto.Header {
	if len(x.body) > 0 && len(x.header["Content-Type"]) == 0 {
		x.header.Set("Content-Type", http.DetectContentType(x.body))
	}
	out := make([]runnerproto.Header, 0, len(x.header))
	for name, values := range x.header { // a handler may have written names of any case into the map
		switch http.CanonicalHeaderKey(name) {
		case "Content-Length", "Connection", "Transfer-Encoding", "Trailer", "Upgrade", "Keep-Alive":
			continue
		}
		if len(values) > 0 && utf8.ValidString(name) {
			out = append(out, runnerproto.Header{Name: strings.ToLower(name), Value: strings.ToValidUTF8(strings.Join(values, ", "), "\uFFFD")})
		}
	}
	slices.SortFunc(out, func(a, b runnerproto.Header) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Value, b.Value))
	})
	one := out[:0]
	for _, h := range out {
		if n := len(one); n > 0 && one[n-1].Name == h.Name {
			one[n-1].Value += ", " + h.Value
		} else {
			one = append(one, h)
		}
	}
	return one
}

// requestBody is the request's body as the actor reads it.
type requestBody exchange

// Read implements io.Reader.
func (b *requestBody) Read(p []byte) (int, error) {
	x := (*exchange)(b)
	for {
		x.mu.Lock()
		switch {
		case x.inFailed != nil:
			defer x.mu.Unlock()
			return 0, x.inFailed
		case x.in.Len() > 0:
			n, err := x.in.Read(p)
			x.taken += uint64(n)
			tell := uint64(0)
			// Window updates cost a frame each: one for every chunk is enough.
			if x.stream && !x.inDone && (x.taken-x.told >= chunkMax || x.in.Len() == 0) {
				tell, x.told = x.taken, x.taken
			}
			x.mu.Unlock()
			if tell > 0 {
				x.emit(&runnerproto.RequestWindow{Consumed: tell}, 16, false)
			}
			return n, err
		case x.inDone, x.over:
			x.mu.Unlock()
			return 0, io.EOF
		}
		changed := x.changed
		x.mu.Unlock()
		<-changed
	}
}

// Close implements io.Closer.
func (b *requestBody) Close() error { return nil }
