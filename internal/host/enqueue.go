package host

import (
	"context"
	"slices"
	"time"

	"github.com/rivetgo/rivet/internal/queue"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// MessageCall is a message from outside the actor.
type MessageCall struct {
	Queue   string
	Body    []byte // one CBOR item
	Conn    *Conn
	Request *Request
	Chain   []string
	// Key makes the send safe to repeat: of all messages with one key the first counts, and the others get its outcome.
	Key   string
	Delay time.Duration
	// Wait says that the sender waits until the message is completed, at most for Timeout; zero: Options.ActionTimeout,
	// and then the outcome is an error.
	Wait    bool
	Timeout time.Duration
	// Peer and Number are set for messages from another actor's outbox: they come in order, and again until acknowledged.
	Peer   string
	Number uint64
}

// Status is how a send ended.
type Status int

// The ways a send ends without an error.
const (
	Sent     Status = iota // durable, or completed when the sender waits for that
	TimedOut               // the message is in the queue, and was not completed in time
)

// MovedError says that the actor stops while a sender waits for message ID, which is durable: the wait goes on with
// AwaitMessage in the actor's next life.
type MovedError struct{ ID uint64 }

func (e *MovedError) Error() string { return "host: the actor stops while a sender waits" }

// sender waits for the outcome of one send.
type sender struct {
	done  chan struct{}
	reply []byte
	err   *fault.Error
}

func newSender() *sender { return &sender{done: make(chan struct{})} }

func (w *sender) Prepare(out []byte, err *fault.Error) { w.reply, w.err = out, err }

func (w *sender) Release(failure *fault.Error) {
	if failure != nil {
		w.err = failure
	}
	close(w.done)
}

func (w *sender) Expired(err *fault.Error) { w.Release(err) }

// Send puts a message into a queue and returns when it is durable or, if asked to wait, completed. The caller has
// entered.
func (a *Actor) Send(ctx context.Context, call *MessageCall) (Status, []byte, error) {
	q := a.spec.Queues[call.Queue]
	if q == nil {
		if a.spec.Options.IgnoreUnknownQueues {
			a.Log().Warn("message to an unknown queue was dropped", "queue", call.Queue)
			return Sent, nil, nil
		}
		return 0, nil, a.visible("queue "+call.Queue, queueNotFound(call.Queue))
	}
	if q.Check != nil {
		if err := q.Check(call.Body); err != nil {
			return 0, nil, a.visible("queue "+call.Queue, err)
		}
	}
	limit := call.Timeout
	if limit == 0 || limit > a.spec.Options.ActionTimeout {
		limit = a.spec.Options.ActionTimeout
	}
	began := time.Now()
	if !a.tryAcquire() { // a context with a deadline costs as much as the turn: only who waits needs it
		wait, stop := context.WithDeadline(ctx, began.Add(a.spec.Options.ActionTimeout))
		err := a.acquire(wait, true)
		stop()
		if err != nil {
			return 0, nil, a.visible("queue "+call.Queue, err)
		}
	}
	w := newSender()
	var id uint64
	c := &Call{actor: a, conn: call.Conn, request: call.Request, chain: call.Chain, deadline: began.Add(a.spec.Options.ActionTimeout), turn: &turn{late: errTimedOut, strict: true, internal: q.CanPublish == nil}}
	err := a.runTurn(c, nil, "queue "+call.Queue, func() ([]byte, error) {
		if q.CanPublish != nil && call.Peer == "" {
			ok, err := q.CanPublish(c, a.state)
			if err != nil {
				return nil, err
			}
			if !ok {
				return nil, errForbidden
			}
		}
		return nil, c.turn.change(func(t *turn) (err error) {
			id, err = a.accept(ctx, t, call, w)
			return err
		})
	})
	if err != nil {
		// The refusal may tell of a state that is not durable yet (G2).
		if gerr := a.gate.wait(ctx, 0); gerr != nil {
			return 0, nil, a.visible("queue "+call.Queue, gerr)
		}
		return 0, nil, err
	}
	if call.Wait && id != 0 {
		// From here on it is known to be in the queue, whatever becomes of this life (G2).
		if err := a.durable(ctx); err != nil {
			a.mailbox.leave(id, w)
			return 0, nil, a.visible("queue "+call.Queue, err)
		}
		return a.await(ctx, id, w, began.Add(limit), call.Timeout != 0)
	}
	<-w.done // always comes: every commit ends, and so does every gate
	return Sent, w.reply, asError(w.err)
}

// durable waits for every commit so far, unless the definition does without.
func (a *Actor) durable(ctx context.Context) error {
	if a.spec.Options.Undurable {
		return nil
	}
	return a.gate.wait(ctx, 0)
}

func asError(f *fault.Error) error {
	if f == nil {
		return nil
	}
	return f
}

// accept stages a message unless it was sent before, and arranges for w to hear: of the completion when the sender waits,
// else of durability. It returns the number of the message that is waited for, 0 when its outcome is known.
func (a *Actor) accept(ctx context.Context, t *turn, call *MessageCall, w *sender) (uint64, error) {
	s := &t.stage
	now := time.Now()
	heard := func(reply []byte, f *fault.Error) { // once what this turn saw is durable
		w.Prepare(reply, f)
		t.emit(output{reply: w, uncertain: true, durable: call.Peer != ""})
	}
	if call.Peer != "" {
		fresh, err := a.fromPeer(ctx, s, call.Peer, call.Number)
		if err != nil {
			return 0, err
		}
		if !fresh {
			heard(nil, nil)
			return 0, nil
		}
	}
	if call.Key != "" {
		payload, ok, err := a.staged(ctx, s, receiptKey(call.Key))
		if err != nil {
			return 0, err
		}
		var rc queue.Receipt
		if ok {
			if rc, err = queue.DecodeReceipt(payload); err != nil {
				return 0, err
			}
		}
		if ok && !a.outdated(&rc, now) {
			switch {
			case rc.Name != call.Queue:
				return 0, fault.New("queue", "idempotency_conflict", "The idempotency key was used for a message to queue `"+rc.Name+"`: use another key.")
			case rc.Outcome == queue.Pending && call.Wait:
				a.listen(s, rc.ID, w)
				return rc.ID, nil
			case rc.Outcome == queue.Failed && call.Wait:
				heard(nil, faultOf(rc.Failure))
			default:
				heard(slices.Clone(rc.Reply), nil)
			}
			return 0, nil
		}
		a.sweepReceipts(ctx, s, now)
	}
	msg := queue.Message{Name: call.Queue, Body: slices.Clone(call.Body), SentAt: unixMilli(now), Key: call.Key, Waited: call.Wait}
	if call.Delay > 0 {
		msg.ReadyAt = unixMilli(now.Add(call.Delay))
	}
	it, err := a.admit(s, msg, now)
	if err != nil {
		return 0, err
	}
	if call.Key != "" {
		rc := queue.Receipt{ID: it.ID, Name: msg.Name, At: msg.SentAt}
		s.put(receiptKey(call.Key), rc.Append([]byte{record.Version}))
	}
	if call.Wait {
		a.listen(s, it.ID, w)
	} else {
		heard(nil, nil)
	}
	return it.ID, nil
}

// staged reads a record as a turn sees it.
func (a *Actor) staged(ctx context.Context, s *stage, key []byte) (payload []byte, ok bool, err error) {
	if v, decided := s.get(key); decided {
		if v == nil {
			return nil, false, nil
		}
		payload, err = record.Open(record.Kind(key[0]), v)
		return payload, err == nil, err
	}
	return a.read(ctx, key)
}

// fromPeer remembers the number of a message from another actor's outbox. It reports false when it came before.
func (a *Actor) fromPeer(ctx context.Context, s *stage, peer string, number uint64) (bool, error) {
	key := record.Key(record.KindPeer, []byte(peer)...)
	payload, ok, err := a.staged(ctx, s, key)
	if err != nil {
		return false, err
	}
	if ok && len(payload) == 8 && number <= numberOf(append([]byte{0}, payload...)) {
		return false, nil
	}
	s.put(key, record.Seal(queue.Number(number)))
	return true, nil
}

// listen makes w hear of a message's completion, within a turn.
func (a *Actor) listen(s *stage, id uint64, w *sender) {
	m := &a.mailbox
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.senders == nil {
		m.senders = make(map[uint64][]*sender)
	}
	m.senders[id] = append(m.senders[id], w)
	s.onUndo(func() { m.leave(id, w) })
	if it := m.index.Get(id); it != nil {
		letterOf(it).Waited = true // should it go away with this life, it asks again in the next
	}
}

// leave makes w hear of nothing any more. It reports false when the outcome is on its way.
func (m *mailbox) leave(id uint64, w *sender) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := m.senders[id]
	i := slices.Index(list, w)
	if i < 0 {
		return false
	}
	if len(list) == 1 {
		delete(m.senders, id)
	} else {
		m.senders[id] = slices.Delete(slices.Clone(list), i, i+1)
	}
	return true
}

// await waits for a completion until the deadline. soft says that its passing is a status, not an error.
func (a *Actor) await(ctx context.Context, id uint64, w *sender, deadline time.Time, soft bool) (Status, []byte, error) {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	var status Status
	var err error
	select {
	case <-w.done:
		return Sent, w.reply, asError(w.err)
	case <-timer.C:
		status = TimedOut
		if !soft {
			err = a.visible("queue", errTimedOut)
		}
	case <-ctx.Done():
		err = ctx.Err()
	case <-a.stopping:
		err = &MovedError{ID: id}
	case <-a.alive.Done():
		err = &MovedError{ID: id}
	}
	if !a.mailbox.leave(id, w) {
		<-w.done // the outcome is on its way: it waits for its commit only
		return Sent, w.reply, asError(w.err)
	}
	return status, nil, err
}

// AwaitMessage goes on waiting for a message that was sent in an earlier life. The caller has entered.
func (a *Actor) AwaitMessage(ctx context.Context, id uint64, timeout time.Duration) (Status, []byte, error) {
	limit, soft := timeout, timeout != 0
	if limit == 0 || limit > a.spec.Options.ActionTimeout {
		limit = a.spec.Options.ActionTimeout
	}
	began := time.Now()
	w := newSender()
	known := false
	c := &Call{actor: a, deadline: began.Add(a.spec.Options.ActionTimeout)}
	defer c.end()
	err := a.doTurn(c, &turn{late: errTimedOut, internal: true}, func(c *Call, _ State) error {
		return c.turn.change(func(t *turn) error {
			if a.mailbox.index.Get(id) != nil {
				a.listen(&t.stage, id, w)
				return nil
			}
			known = true
			payload, ok, err := a.staged(ctx, &t.stage, receiptKey(waitedKey(id)))
			if err != nil {
				return err
			}
			if !ok {
				return &fault.Error{Group: "queue", Code: "completion_waiter_dropped", HTTPStatus: 400, Message: "The message was handled while the actor restarted, and its reply was not kept: send with an idempotency key to be able to ask again."}
			}
			rc, err := queue.DecodeReceipt(payload)
			if err != nil {
				return err
			}
			t.stage.delete(receiptKey(waitedKey(id)))
			if rc.Outcome == queue.Failed {
				w.Prepare(nil, faultOf(rc.Failure))
			} else {
				w.Prepare(slices.Clone(rc.Reply), nil)
			}
			t.emit(output{reply: w, uncertain: true})
			return nil
		})
	})
	switch {
	case err != nil:
		return 0, nil, err
	case known:
		<-w.done
		return Sent, w.reply, asError(w.err)
	}
	return a.await(ctx, id, w, began.Add(limit), soft)
}

// waitedKey stands in for the idempotency key of a message that has none and whose sender waits.
func waitedKey(id uint64) string { return "#" + string(queue.Number(id)) }

// sweepReceipts removes a few receipts whose time is over: whoever adds one pays for more.
func (a *Actor) sweepReceipts(ctx context.Context, s *stage, now time.Time) {
	m := &a.mailbox
	from := m.sweep
	if from == nil {
		from = []byte{byte(record.KindReceipt)}
	}
	recs, err := a.records.Range(ctx, record.Span{From: from, To: span(record.KindReceipt).To}, false, 3)
	if err != nil {
		return // the send itself will meet the error, if it matters
	}
	if len(recs) < 3 {
		m.sweep = nil
	} else {
		m.sweep = append(slices.Clone(recs[2].Key), 0)
	}
	for _, r := range recs {
		payload, err := record.Open(record.KindReceipt, r.Value)
		if err != nil {
			continue
		}
		rc, err := queue.DecodeReceipt(payload)
		if _, staged := s.get(r.Key); err == nil && !staged && a.outdated(&rc, now) {
			s.delete(r.Key)
		}
	}
}

// outdated reports whether an outcome has been kept for long enough.
func (a *Actor) outdated(rc *queue.Receipt, now time.Time) bool {
	return rc.Outcome != queue.Pending && rc.At < unixMilli(now.Add(-a.spec.Options.KeepReceipts))
}

func faultOf(f queue.Failure) *fault.Error {
	return &fault.Error{Group: f.Group, Code: f.Code, Message: f.Message, Metadata: slices.Clone(f.Metadata)}
}

func failureOf(f *fault.Error) queue.Failure {
	return queue.Failure{Group: f.Group, Code: f.Code, Message: f.Message, Metadata: f.Metadata}
}

// Enqueue puts a message into one of the actor's own queues, as part of the call's turn; outside one it is a turn of its
// own. It returns the message's number.
func (c *Call) Enqueue(ctx context.Context, name string, body []byte, key string, delay time.Duration) (id uint64, err error) {
	q := c.actor.spec.Queues[name]
	if q == nil {
		return 0, queueNotFound(name)
	}
	if q.Check != nil {
		if err := q.Check(body); err != nil {
			return 0, err
		}
	}
	err = c.change(func(t *turn) error {
		id, err = c.actor.accept(ctx, t, &MessageCall{Queue: name, Body: body, Key: key, Delay: delay}, newSender())
		return err
	})
	return id, err
}
