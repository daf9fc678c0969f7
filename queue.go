package rivet

import (
	"context"
	"time"

	"github.com/rivetgo/rivet/internal/codec"
	"github.com/rivetgo/rivet/internal/contract"
	"github.com/rivetgo/rivet/internal/dial"
)

// Queue names a durable mailbox of an actor: B is a message's body, R what whoever handles it replies (None for
// nothing). A message that was sent is kept until it is handled, in order of arrival, across sleep, crash and upgrade.
type Queue[I, B, R any] struct {
	actor Actor[I]
	name  string
}

// NewQueue declares a queue of an actor.
func NewQueue[B, R, I any](a Actor[I], name string) Queue[I, B, R] {
	a.c.Declare(contract.Member{Kind: contract.Queue, Name: name, At: contract.Caller(0), Fits: fits[B]})
	return Queue[I, B, R]{actor: a, name: name}
}

// fits says why an item is not a B.
func fits[B any](item []byte) error {
	var b B
	if _, none := any(b).(None); none {
		return nil
	}
	return codec.DecodeValue(item, &b)
}

// Name is the name on the wire.
func (q Queue[I, B, R]) Name() string { return q.name }

// Actor is the actor that the queue belongs to.
func (q Queue[I, B, R]) Actor() Actor[I] { return q.actor }

// SendOption configures one send.
type SendOption func(*dial.Send)

// IdempotencyKey makes a send safe to repeat: of all messages sent to an actor with the same key the first counts, and
// the others get its outcome. Keys are visible ASCII; the actor remembers one for Options.KeepReceipts after its message
// was handled, by default a day.
func IdempotencyKey(key string) SendOption { return func(s *dial.Send) { s.Key = key } }

// Delay keeps the message from being handled before this much time has passed. It is durable at once.
func Delay(d time.Duration) SendOption { return func(s *dial.Send) { s.Delay = d } }

// WaitAtMost bounds how long Request waits for the reply; when it is over the message stays in the queue. It is capped by
// the actor's Options.ActionTimeout, which is also the default.
func WaitAtMost(d time.Duration) SendOption { return func(s *dial.Send) { s.Timeout = d } }

// Send puts a message into the queue and returns when it is durable. It wakes the actor. target is a Handle or a *Conn of
// the queue's actor.
//
// Errors: queue.full, queue.message_too_large, queue.not_found (the actor does not know this queue), auth.forbidden (its
// CanPublish refused), actor.validation_error. After client.request_failed the message may be in the queue: repeat the
// send with an IdempotencyKey to be sure.
func (q Queue[I, B, R]) Send(ctx context.Context, target Target[I], body B, options ...SendOption) error {
	_, _, err := q.send(ctx, target, body, false, options)
	return err
}

// Request puts a message into the queue and waits for the reply of whoever handles it, across sleep and restart of the
// actor. A message that fails for good is the error that it failed with; queue.timed_out says that nobody handled it in
// time, see WaitAtMost.
func (q Queue[I, B, R]) Request(ctx context.Context, target Target[I], body B, options ...SendOption) (R, error) {
	var result R
	reply, timedOut, err := q.send(ctx, target, body, true, options)
	if err != nil {
		return result, err
	}
	if timedOut {
		return result, &Error{Group: "queue", Code: "timed_out", Message: "Nobody handled the message in time; it stays in the queue."}
	}
	if _, none := any(result).(None); none {
		return result, nil
	}
	if err := decodeResult(reply, &result); err != nil {
		var zero R
		return zero, invalidResponse("the reply of " + q.name + " does not fit: " + err.Error())
	}
	return result, nil
}

func (q Queue[I, B, R]) send(ctx context.Context, target Target[I], body B, wait bool, options []SendOption) ([]byte, bool, error) {
	item, err := codec.AppendWire(nil, &body)
	if err != nil {
		return nil, false, invalidTarget("the message for " + q.name + " cannot be encoded: " + err.Error())
	}
	s := &dial.Send{Queue: q.name, Body: item, Wait: wait}
	for _, o := range options {
		o(s)
	}
	reply, timedOut, err := target.send(ctx, s)
	return reply, timedOut, fromFault(err)
}

func (h Handle[I]) send(ctx context.Context, s *dial.Send) ([]byte, bool, error) {
	if err := h.usable(); err != nil {
		return nil, false, err
	}
	s.Params = h.params
	return h.t.Send(ctx, s)
}

// send goes over HTTP: a socket carries actions and events only.
func (c *Conn[I]) send(ctx context.Context, s *dial.Send) ([]byte, bool, error) {
	return c.c.Send(ctx, s)
}

// Address is for package actor: what the handle leads to, for a message that outlives the process.
func (h Handle[I]) Address() (a Address, err error) {
	if err := h.usable(); err != nil {
		return a, err
	}
	a.ID, a.Name, a.Key, a.Create, a.Input, err = h.t.Address()
	a.Params = h.params
	return a, fromFault(err)
}

// Address is what a handle leads to.
type Address struct {
	ID     string // empty: by name and key
	Name   string
	Key    []string
	Create bool   // when there is none
	Input  []byte // for Create, one CBOR item; nil: none
	Params []byte // JSON; nil: none
}
