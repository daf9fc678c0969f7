package surface

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/rivetgo/rivet/internal/callchain"
	"github.com/rivetgo/rivet/internal/host"
	"github.com/rivetgo/rivet/internal/wire/clientproto"
	"github.com/rivetgo/rivet/internal/wire/fault"
)

// movedWait is what a request remembers of a message whose sender still waits when the actor stops: the request is handed
// to the actor's next life, which must not store the message again.
type movedWait struct {
	id       uint64
	deadline time.Time
	soft     bool
}

type movedKey struct{}

// ErrMoved says that the actor stops while the sender of a message waits: the message is stored, the request knows of it
// now, and the next life goes on with the wait. It is a host.ErrStopping.
var ErrMoved = fmt.Errorf("%w while a sender waits", host.ErrStopping)

// serveQueue puts a message into a queue. It may end with ErrMoved.
func (s *Surface) serveQueue(w http.ResponseWriter, r *http.Request, name string, escaped bool) error {
	a := s.actor
	enc, version := encodingOf(r), readsVersion(r)
	fail := func(f *fault.Error) { s.writeError(w, enc, version, f) }
	if r.Method != http.MethodPost {
		s.methodNotAllowed(w, r)
		return nil
	}
	var status host.Status
	var reply []byte
	var err error
	var began movedWait
	if moved, ok := r.Context().Value(movedKey{}).(*movedWait); ok {
		began = *moved
		timeout := time.Duration(0)
		if moved.soft {
			timeout = max(time.Until(moved.deadline), time.Nanosecond)
		}
		status, reply, err = a.AwaitMessage(r.Context(), moved.id, timeout)
	} else {
		call, f := s.messageCall(r, name, escaped, enc, &version)
		if f != nil {
			fail(f)
			return nil
		}
		began = movedWait{deadline: time.Now().Add(call.Timeout), soft: call.Timeout > 0}
		conn, cerr := a.Connect(r.Context(), call.Request, call.params, call.Chain, nil)
		if cerr != nil {
			fail(asFault(cerr))
			return nil
		}
		call.Conn = conn
		status, reply, err = a.Send(r.Context(), &call.MessageCall)
		a.Disconnect(conn)
	}
	moved, isMoved := errors.AsType[*host.MovedError](err)
	switch {
	case isMoved:
		began.id = moved.ID
		*r = *r.WithContext(context.WithValue(r.Context(), movedKey{}, &began))
		clear(w.Header()) // nothing was answered
		return ErrMoved
	case r.Context().Err() != nil:
		return nil // nobody is left to be told
	case err != nil:
		fail(asFault(err))
		return nil
	}
	answer := &clientproto.QueueSendResponse{Status: clientproto.QueueCompleted, Response: reply}
	if status == host.TimedOut {
		answer.Status = clientproto.QueueTimedOut
	}
	body, err := clientproto.AppendQueueSendResponse(nil, enc, max(version, clientproto.QueueVersion), answer)
	if err != nil {
		a.Log().Error("reply of a queue cannot be encoded", "error", err)
		fail(fault.New("core", "internal_error", fault.InternalMessage))
		return nil
	}
	writeBody(w, http.StatusOK, enc, body)
	return nil
}

// incoming is a message and the parameters of the connection that it makes.
type incoming struct {
	host.MessageCall
	params []byte
}

// messageCall reads a send request.
func (s *Surface) messageCall(r *http.Request, name string, escaped bool, enc clientproto.Encoding, version *uint16) (*incoming, *fault.Error) {
	if escaped {
		plain, err := url.PathUnescape(name)
		if err != nil {
			return nil, fault.New("actor", "invalid_request", "the queue's name in the path is not properly percent-encoded")
		}
		name = plain
	}
	call := &incoming{}
	call.Queue, call.Request = name, request(r)
	var f *fault.Error
	if call.params, f = headerParams(r); f != nil {
		return nil, f
	}
	limit := s.actor.Options().MaxIncomingBytes
	body, tooLong, err := readBody(r, nil, limit)
	switch {
	case tooLong:
		return nil, s.actor.CheckIncoming(max(int(r.ContentLength), limit+1))
	case err != nil:
		return nil, fault.New("actor", "invalid_request", "the request's body ended early")
	}
	q, v, err := clientproto.DecodeQueueSendRequest(enc, body, true)
	if err != nil {
		return nil, fault.New("actor", "invalid_request", "the request's body is not a message for a queue: "+err.Error())
	}
	if v != 0 {
		*version = v
	}
	if name == "" { // the older route has the name in the body
		call.Queue = q.Name
	}
	call.Body, call.Wait = q.Body, q.Wait
	if q.HasTimeout && q.Wait {
		call.Timeout = time.Duration(min(q.TimeoutMillis, uint64(math.MaxInt64/int64(time.Millisecond)))) * time.Millisecond
		call.Timeout = max(call.Timeout, time.Nanosecond) // zero would be the default
	}
	call.Key = first(r.Header, "X-Rivet-Idempotency-Key")
	if len(call.Key) > maxKey {
		return nil, fault.New("actor", "invalid_request", "the idempotency key is longer than 256 bytes")
	}
	if text := first(r.Header, "X-Rivet-Queue-Delay"); text != "" {
		ms, err := strconv.ParseUint(text, 10, 53)
		if err != nil {
			return nil, fault.New("actor", "invalid_request", "the header x-rivet-queue-delay is not a number of milliseconds")
		}
		call.Delay = time.Duration(min(ms, uint64(math.MaxInt64/int64(time.Millisecond)))) * time.Millisecond
	}
	if outbox := first(r.Header, "X-Rivet-Outbox"); outbox != "" {
		peer, number, _ := strings.Cut(outbox, "/")
		n, err := strconv.ParseUint(number, 10, 64)
		if err != nil || peer == "" {
			return nil, fault.New("actor", "invalid_request", "the header x-rivet-outbox is not SENDER/NUMBER")
		}
		call.Peer, call.Number = peer, n
	}
	if chain := first(r.Header, callchain.Header); chain != "" {
		call.Chain = callchain.Parse(chain)
	}
	return call, nil
}

// maxKey bounds an idempotency key.
const maxKey = 256
