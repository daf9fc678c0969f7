package actor

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/internal/codec"
	"github.com/rivetgo/rivet/internal/contract"
	"github.com/rivetgo/rivet/internal/dial"
	"github.com/rivetgo/rivet/internal/host"
	"github.com/rivetgo/rivet/internal/queue"
)

// Message is one message of a queue in the hands of a receiver.
//
// Taken outside a turn it is leased, for Options.QueueLease: end it with Complete, Fail or Release, or Extend the lease;
// when the lease is over it counts as failed and may go to somebody else. Taken inside a turn, its removal is part of that
// turn: it is completed when the turn succeeds, unless Fail, Release or Hold said otherwise, and was never taken when the
// turn fails.
type Message[B, R any] struct {
	ID      uint64 // numbers of an actor's messages only grow, over all its queues
	Queue   string
	Body    B
	SentAt  time.Time // to the millisecond
	Attempt int       // 1 for the first

	d *host.Delivery
}

// Complete ends the message with a reply, which goes to the sender if it waits. With the Ctx of a turn it is part of that
// turn, so that the message's effects and its end are durable together; otherwise it is a turn of its own.
//
// Errors: queue.lease_lost when the lease is over, queue.already_completed.
func (m *Message[B, R]) Complete(c *Ctx, reply R) error {
	out, err := encodeReply(m.Queue, &reply)
	if err != nil {
		return err
	}
	return local(c.call.Complete(m.d, out))
}

// Fail gives the message back: it is tried again after Options.QueueRetryDelay, doubled with each attempt, and moved to
// the dead letters after Options.QueueMaxAttempts, when a waiting sender gets cause. It counts as Complete does.
func (m *Message[B, R]) Fail(c *Ctx, cause error) error {
	if cause == nil {
		cause = errors.New("Fail was called without an error")
	}
	return local(c.call.Fail(m.d, wire(cause)))
}

// Release gives the message back for somebody else to take at once; the attempt does not count.
func (m *Message[B, R]) Release(c *Ctx) error { return local(c.call.Release(m.d)) }

// Hold keeps a message that was taken inside a turn leased beyond it.
func (m *Message[B, R]) Hold(c *Ctx) error { return local(c.call.Hold(m.d)) }

// Extend lets the lease end the given time from now.
func (m *Message[B, R]) Extend(c *Ctx, by time.Duration) error { return local(c.call.Extend(m.d, by)) }

func encodeReply[R any](name string, reply *R) ([]byte, error) {
	if _, none := any(*reply).(rivet.None); none {
		return nil, nil
	}
	out, err := codec.AppendWire(nil, reply)
	if err != nil {
		return nil, fmt.Errorf("encode the reply of queue %s: %w", name, err)
	}
	return out, nil
}

// HandleQueue binds a queue to a handler that holds the turn: receiving a message, what the handler changes and sends,
// the message's removal and its reply are one turn, so its effects are exactly-once. Messages come in order, one at a
// time, whenever the actor is not busy with something else; a message wakes a sleeping actor. An error undoes the turn
// and counts as a failed attempt, see Message.Fail.
func HandleQueue[I, S, B, R any](d *Spec[I, S], q rivet.Queue[I, B, R], handler func(s *S, c *Ctx, m *Message[B, R]) (R, error)) {
	at := contract.Caller(0)
	if handler == nil {
		d.mistake(at, "the handler of queue %q is nil", q.Name())
		return
	}
	if !d.knowsQueue(q.Actor().Contract(), q.Name(), at) {
		return
	}
	b := d.queue(q.Name())
	if b.handle != nil {
		d.mistake(at, "queue %q has a handler already: remove one", q.Name())
		return
	}
	b.handle = func(hc *host.Call, s *S, del *host.Delivery) ([]byte, error) {
		m, err := messageOf[B, R](del)
		if err != nil {
			return nil, err
		}
		reply, err := handler(s, &Ctx{hc}, m)
		if err != nil {
			return nil, wire(err)
		}
		return encodeReply(q.Name(), &reply)
	}
}

// CanPublish binds a check of who may send to a queue from outside: false refuses with auth.forbidden. It is part of the
// turn that stores the message.
func CanPublish[I, S, B, R any](d *Spec[I, S], q rivet.Queue[I, B, R], may func(s *S, c *Ctx) (bool, error)) {
	at := contract.Caller(0)
	if may == nil {
		d.mistake(at, "the function given to CanPublish is nil")
		return
	}
	if !d.knowsQueue(q.Actor().Contract(), q.Name(), at) {
		return
	}
	b := d.queue(q.Name())
	if b.canPublish != nil {
		d.mistake(at, "CanPublish is bound twice for queue %q: remove one", q.Name())
		return
	}
	b.canPublish = func(hc *host.Call, s *S) (bool, error) {
		ok, err := may(s, &Ctx{hc})
		return ok, wire(err)
	}
}

// queueBinding is what a definition says of one queue.
type queueBinding[S any] struct {
	canPublish func(hc *host.Call, s *S) (bool, error)
	handle     func(hc *host.Call, s *S, d *host.Delivery) ([]byte, error)
}

func (d *Spec[I, S]) queue(name string) *queueBinding[S] {
	if d.queues == nil {
		d.queues = make(map[string]*queueBinding[S])
	}
	b := d.queues[name]
	if b == nil {
		b = &queueBinding[S]{}
		d.queues[name] = b
	}
	return b
}

func (d *Spec[I, S]) knowsQueue(of *contract.Contract, name string, at contract.Position) bool {
	if of != d.contract {
		d.mistake(at, "queue %q belongs to actor %q: bind it in that actor's definition", name, of.Name)
		return false
	}
	return true
}

func decodeBody(name string, body []byte, v any) error {
	if _, none := v.(*rivet.None); none {
		return nil
	}
	if err := codec.DecodeValue(body, v); err != nil {
		return invalid(fmt.Sprintf("queue `%s`: %v", name, err), err)
	}
	return nil
}

func messageOf[B, R any](d *host.Delivery) (*Message[B, R], error) {
	m := &Message[B, R]{ID: d.ID, Queue: d.Queue, SentAt: d.SentAt, Attempt: d.Attempt, d: d}
	return m, decodeBody(d.Queue, d.Body, &m.Body)
}

// ReceiveOption narrows what a receiver takes.
type ReceiveOption func(*host.Take)

// AtMost lets NextBatch take up to n messages; below 1 is 1.
func AtMost(n int) ReceiveOption { return func(t *host.Take) { t.Max = n } }

// Lease sets how long the receiver has for each message. Default Options.QueueLease.
func Lease(d time.Duration) ReceiveOption { return func(t *host.Take) { t.Lease = d } }

// Where takes only messages whose body fits; others stay in line for other receivers. It runs within a turn: it must
// be quick and must not use a Ctx. A body that is not a B does not fit.
func Where[B any](fits func(body B) bool) ReceiveOption {
	return func(t *host.Take) {
		t.Fits = func(name string, body []byte) bool {
			var b B
			return decodeBody(name, body, &b) == nil && fits(b)
		}
	}
}

func takeOf(names []string, options []ReceiveOption) host.Take {
	t := host.Take{Names: names}
	for _, o := range options {
		o(&t)
	}
	return t
}

// Receive takes messages one after another, waiting for each. It must not be called inside a turn. It ends, without an
// error, when the actor begins to stop; messages that are left wait for the next start. Any other end is an error, yielded
// last.
//
//	for m, err := range actor.Receive(c, Jobs) {
//		if err != nil {
//			return err
//		}
//		…
//	}
//
// While it waits a run loop does not keep its actor awake.
func Receive[I, B, R any](c *Ctx, q rivet.Queue[I, B, R], options ...ReceiveOption) iter.Seq2[*Message[B, R], error] {
	return func(yield func(*Message[B, R], error) bool) {
		for {
			m, err := Next(c, q, options...)
			if rivet.Is(err, "actor", "aborted") {
				return
			}
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

// Next takes the next message and waits until there is one. It must not be called inside a turn, see TryNext. When the
// actor begins to stop the error is actor.aborted; a context of yours, see NextContext, ends the wait with its own.
func Next[I, B, R any](c *Ctx, q rivet.Queue[I, B, R], options ...ReceiveOption) (*Message[B, R], error) {
	return NextContext(c, c, q, options...)
}

// NextContext is Next with a context that bounds the wait.
func NextContext[I, B, R any](ctx context.Context, c *Ctx, q rivet.Queue[I, B, R], options ...ReceiveOption) (*Message[B, R], error) {
	want := takeOf([]string{q.Name()}, options)
	want.Max = 1
	for {
		got, err := c.call.WaitTake(ctx, want)
		if err != nil {
			return nil, local(err)
		}
		if m := typed[B, R](c, got); len(m) == 1 {
			return m[0], nil
		}
	}
}

// NextBatch takes up to AtMost messages and waits until there is at least one.
func NextBatch[I, B, R any](ctx context.Context, c *Ctx, q rivet.Queue[I, B, R], options ...ReceiveOption) ([]*Message[B, R], error) {
	for {
		got, err := c.call.WaitTake(ctx, takeOf([]string{q.Name()}, options))
		if err != nil {
			return nil, local(err)
		}
		if batch := typed[B, R](c, got); len(batch) > 0 {
			return batch, nil
		}
	}
}

// TryNext takes the next message if there is one; nil means that there is none. Inside a turn the message belongs to it.
func TryNext[I, B, R any](c *Ctx, q rivet.Queue[I, B, R], options ...ReceiveOption) (*Message[B, R], error) {
	want := takeOf([]string{q.Name()}, options)
	want.Max = 1
	for {
		got, err := c.call.TryTake(c, want)
		if err != nil || len(got) == 0 {
			return nil, local(err)
		}
		if m := typed[B, R](c, got); len(m) == 1 {
			return m[0], nil
		}
	}
}

// TryBatch takes up to AtMost messages that are there.
func TryBatch[I, B, R any](c *Ctx, q rivet.Queue[I, B, R], options ...ReceiveOption) ([]*Message[B, R], error) {
	got, err := c.call.TryTake(c, takeOf([]string{q.Name()}, options))
	return typed[B, R](c, got), local(err)
}

// typed decodes what was taken; a message that does not fit its type fails its attempt.
func typed[B, R any](c *Ctx, got []*host.Delivery) []*Message[B, R] {
	var out []*Message[B, R]
	for _, d := range got {
		m, err := messageOf[B, R](d)
		if err == nil {
			out = append(out, m)
			continue
		}
		if err := c.call.Fail(d, err); err != nil {
			c.Log().Error("message that does not fit cannot be failed", "queue", d.Queue, "message", d.ID, "error", err)
		}
	}
	return out
}

// NextOf takes the next message of several queues, in order of arrival over all of them, and waits until there is one; no
// name means any queue. Use As to give it its type.
func NextOf(ctx context.Context, c *Ctx, queues []string, options ...ReceiveOption) (*Message[rivet.Raw, rivet.Raw], error) {
	want := takeOf(queues, options)
	want.Max = 1
	got, err := c.call.WaitTake(ctx, want)
	if err != nil {
		return nil, local(err)
	}
	return messageOf[rivet.Raw, rivet.Raw](got[0])
}

// TryNextOf is NextOf that does not wait; nil means that there is none.
func TryNextOf(c *Ctx, queues []string, options ...ReceiveOption) (*Message[rivet.Raw, rivet.Raw], error) {
	want := takeOf(queues, options)
	want.Max = 1
	got, err := c.call.TryTake(c, want)
	if err != nil || len(got) == 0 {
		return nil, local(err)
	}
	return messageOf[rivet.Raw, rivet.Raw](got[0])
}

// NextBatchOf is NextBatch over several queues, in order of arrival over all of them; no name means any queue.
func NextBatchOf(ctx context.Context, c *Ctx, queues []string, options ...ReceiveOption) ([]*Message[rivet.Raw, rivet.Raw], error) {
	got, err := c.call.WaitTake(ctx, takeOf(queues, options))
	if err != nil {
		return nil, local(err)
	}
	return typed[rivet.Raw, rivet.Raw](c, got), nil
}

// TryBatchOf is NextBatchOf that takes only what is there.
func TryBatchOf(c *Ctx, queues []string, options ...ReceiveOption) ([]*Message[rivet.Raw, rivet.Raw], error) {
	got, err := c.call.TryTake(c, takeOf(queues, options))
	return typed[rivet.Raw, rivet.Raw](c, got), local(err)
}

// As gives a message of NextOf its type; ok is false when it is of another queue. A body that does not fit is an error.
func As[I, B, R any](m *Message[rivet.Raw, rivet.Raw], q rivet.Queue[I, B, R]) (typed *Message[B, R], ok bool, err error) {
	if m.Queue != q.Name() {
		return nil, false, nil
	}
	typed, err = messageOf[B, R](m.d)
	return typed, true, err
}

// CompleteByID ends a message of which only the number was kept, whoever holds it, as Message.Complete does.
func CompleteByID[I, B, R any](c *Ctx, q rivet.Queue[I, B, R], id uint64, reply R) error {
	out, err := encodeReply(q.Name(), &reply)
	if err != nil {
		return err
	}
	return local(c.call.CompleteByID(id, out))
}

// Enqueue puts a message into one of the actor's own queues, as part of the turn; outside a turn it is one of its own. It
// returns the message's number.
func Enqueue[I, B, R any](c *Ctx, q rivet.Queue[I, B, R], body B, options ...rivet.SendOption) (id uint64, err error) {
	if owner := q.Actor().Name(); owner != c.Name() {
		return 0, fmt.Errorf("actor: queue %q belongs to actor %q: use Post with a handle", q.Name(), owner)
	}
	item, s, err := encodeBody(q, body, options)
	if err != nil {
		return 0, err
	}
	id, err = c.call.Enqueue(c, q.Name(), item, s.Key, s.Delay)
	return id, local(err)
}

// Post sends a message to a queue of another actor as part of the turn: when the turn succeeds the message arrives
// exactly once, however often either side crashes; when it fails, never. It does not wait. Outside a turn it is a turn of
// its own. Messages from one actor to another keep their order, as long as all of them name it by its key, or all by its
// id. An actor that is destroyed delivers what it sent within Options.GracePeriod; what is left then is lost with it.
//
// A message that the receiver refuses for good (an unknown queue, a body that does not fit, no such actor) is logged and
// moved to this actor's dead letters. A message that cannot be delivered for the moment is tried again until it can.
func Post[I, B, R any](c *Ctx, to rivet.Handle[I], q rivet.Queue[I, B, R], body B) error {
	item, _, err := encodeBody(q, body, nil)
	if err != nil {
		return err
	}
	a, err := to.Address()
	if err != nil {
		return err
	}
	return local(c.call.Post(queue.Target{ID: a.ID, Name: a.Name, Key: a.Key, Create: a.Create, Input: a.Input, HasInput: a.Input != nil, Params: a.Params}, q.Name(), item))
}

func encodeBody[I, B, R any](q rivet.Queue[I, B, R], body B, options []rivet.SendOption) ([]byte, *dial.Send, error) {
	s := &dial.Send{}
	for _, o := range options {
		o(s)
	}
	item, err := codec.AppendWire(nil, &body)
	if err != nil {
		return nil, nil, fmt.Errorf("actor: a message for queue %s cannot be encoded: %w", q.Name(), err)
	}
	return item, s, nil
}

// DeadLetter is a message that failed for good.
type DeadLetter struct {
	ID       uint64
	Queue    string
	Body     rivet.Raw
	SentAt   time.Time
	FailedAt time.Time
	Attempts int
	Err      *rivet.Error // what it failed with at last
	Outgoing bool         // it was meant for another actor, see Post
}

// DeadLetters lists at most limit dead letters, oldest first. They count toward Options.MaxQueueSize until they are
// replayed or dropped.
func DeadLetters(c *Ctx, limit int) ([]DeadLetter, error) {
	dead, err := c.call.DeadLetters(c, limit)
	out := make([]DeadLetter, 0, len(dead))
	for _, d := range dead {
		e := &rivet.Error{Group: d.Failure.Group, Code: d.Failure.Code, Message: d.Failure.Message}
		if len(d.Failure.Metadata) > 0 {
			e.Metadata = rivet.Raw(d.Failure.Metadata)
		}
		out = append(out, DeadLetter{
			ID: d.ID, Queue: d.Name, Body: d.Body, SentAt: time.UnixMilli(d.SentAt), FailedAt: time.UnixMilli(d.FailedAt),
			Attempts: d.Attempts, Err: e, Outgoing: len(d.Target) > 0,
		})
	}
	return out, local(err)
}

// Replay puts a dead letter back into its queue, behind what is there, with its attempts counted anew.
func Replay(c *Ctx, id uint64) error { return local(c.call.Replay(c, id)) }

// DropDeadLetter removes a dead letter for good.
func DropDeadLetter(c *Ctx, id uint64) error { return local(c.call.DropDeadLetter(c, id)) }
