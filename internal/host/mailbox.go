package host

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/rivetgo/rivet/internal/queue"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/record"
	"github.com/rivetgo/rivet/internal/wire/value"
)

// Queue is one declared queue of a definition.
type Queue struct {
	// Check refuses a body that does not fit; nil takes any.
	Check func(body []byte) error
	// CanPublish says whether a sender from outside may send; nil: anybody may. It is part of the send's turn.
	CanPublish func(c *Call, s State) (bool, error)
	// Handle handles one message in one turn and returns its reply, one CBOR item; nil: messages wait for Receive.
	Handle func(c *Call, s State, d *Delivery) ([]byte, error)
}

// maxHeldBodies bounds the bodies of waiting messages that an actor keeps in memory; others are read when they are taken.
const maxHeldBodies = 1 << 20

// mailbox is an actor's queues, all of them in one.
type mailbox struct {
	// Guarded by the turn.
	index    queue.Index
	counters queue.Counters
	held     int    // bytes of bodies in memory
	sweep    []byte // key of the receipt after which the next search for old ones begins
	counted  bool   // this life has counted its first handled message
	left     bool   // a receiver left a message because the actor stops

	mu      sync.Mutex // guards all below; never held while anything waits
	senders map[uint64][]*sender
	waiters []*waiter
}

// letter is what the index keeps of a message.
type letter struct {
	queue.Message
	kept   bool      // the body is in memory
	holder *Delivery // who has it, while it is leased
	tried  bool      // there is, or may be, a record of its attempts
}

func letterOf(it *queue.Item) *letter { return it.Data.(*letter) }

// waiter is a receiver that found nothing.
type waiter struct {
	names []string
	ready chan struct{} // closed when a message of these names may be there
}

// wait adds a receiver that found nothing. The turn in which it looked is still held, so that it misses nothing.
func (m *mailbox) wait(w *waiter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waiters = append(m.waiters, w)
}

// unwait removes a receiver, unless it was woken.
func (m *mailbox) unwait(w *waiter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waiters = slices.DeleteFunc(m.waiters, func(o *waiter) bool { return o == w })
}

// wake makes the receivers look again that may take messages of a queue.
func (m *mailbox) wake(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waiters = slices.DeleteFunc(m.waiters, func(w *waiter) bool {
		if len(w.names) > 0 && !slices.Contains(w.names, name) {
			return false
		}
		close(w.ready)
		return true
	})
}

func unixMilli(t time.Time) int64 { return t.UnixMilli() }

func messageKey(id uint64) []byte { return record.Key(record.KindMessage, queue.Number(id)...) }
func attemptKey(id uint64) []byte { return record.Key(record.KindAttempt, queue.Number(id)...) }
func deadKey(id uint64) []byte    { return record.Key(record.KindDead, queue.Number(id)...) }
func receiptKey(of string) []byte { return record.Key(record.KindReceipt, queue.KeyHash(of)...) }

var countersKey = record.Key(record.KindCounters)

// span is all records of a kind.
func span(k record.Kind) record.Span {
	return record.Span{From: []byte{byte(k)}, To: []byte{byte(k) + 1}}
}

// loadMailbox reads the queues of an actor that ever had a message. Leases do not survive: what was taken is ready again.
func (a *Actor) loadMailbox(ctx context.Context, counters []byte) error {
	m := &a.mailbox
	m.counters = queue.Counters{NextMessage: 1, NextSend: 1}
	if counters == nil {
		return nil
	}
	var err error
	if m.counters, err = queue.DecodeCounters(counters); err != nil {
		return fmt.Errorf("counters: %w", err)
	}
	if m.counters.NextMessage == 1 {
		return nil
	}
	attempts := make(map[uint64]queue.Attempt)
	err = a.each(ctx, record.KindAttempt, func(id uint64, payload []byte) error {
		at, err := queue.DecodeAttempt(payload)
		attempts[id] = at
		return err
	})
	if err != nil {
		return err
	}
	now := unixMilli(time.Now())
	return a.each(ctx, record.KindMessage, func(id uint64, payload []byte) error {
		msg, err := queue.DecodeMessage(payload)
		if err != nil {
			return err
		}
		l := &letter{Message: msg}
		m.keep(l)
		if !l.kept {
			l.Body = nil
		} else {
			l.Body = slices.Clone(l.Body)
		}
		_, l.tried = attempts[id]
		it := &queue.Item{ID: id, Name: msg.Name, Attempts: attempts[id].Count, Data: l}
		m.index.Add(it, max(msg.ReadyAt, attempts[id].ReadyAt), now)
		return nil
	})
}

// each calls fn with every record of a kind whose keys are numbers.
func (a *Actor) each(ctx context.Context, k record.Kind, fn func(id uint64, payload []byte) error) error {
	const page = 256
	s := span(k)
	for {
		recs, err := a.records.Range(ctx, s, false, page)
		if err != nil {
			return err
		}
		for _, r := range recs {
			payload, err := record.Open(k, r.Value)
			if err != nil {
				return err
			}
			if len(r.Key) != 9 {
				return fmt.Errorf("record of kind 0x%02x has a key of %d bytes", byte(k), len(r.Key))
			}
			if err := fn(numberOf(r.Key), payload); err != nil {
				return fmt.Errorf("record of kind 0x%02x: %w", byte(k), err)
			}
		}
		if len(recs) < page {
			return nil
		}
		s.From = append(slices.Clone(recs[len(recs)-1].Key), 0)
	}
}

func numberOf(key []byte) (n uint64) {
	for _, b := range key[1:] {
		n = n<<8 | uint64(b)
	}
	return n
}

// keep decides whether a message's body stays in memory.
func (m *mailbox) keep(l *letter) {
	if l.kept = m.held+len(l.Body) <= maxHeldBodies; l.kept {
		m.held += len(l.Body)
	}
}

// drop forgets the body of a message that leaves.
func (m *mailbox) drop(l *letter) {
	if l.kept {
		m.held -= len(l.Body)
	}
}

// count changes the counters within a turn.
func (a *Actor) count(s *stage, fn func(c *queue.Counters)) {
	m := &a.mailbox
	was := m.counters
	s.onUndo(func() { m.counters = was })
	fn(&m.counters)
	s.put(countersKey, m.counters.Append([]byte{record.Version}))
}

// admit takes a message in, within a turn.
func (a *Actor) admit(s *stage, msg queue.Message, now time.Time) (*queue.Item, error) {
	m, o := &a.mailbox, &a.spec.Options
	if have := m.index.Len() + m.counters.Dead; have >= o.MaxQueueSize {
		return nil, queueFull(o.MaxQueueSize, m.counters.Dead)
	}
	enc := msg.Append([]byte{record.Version})
	if size := len(enc); size > o.MaxQueueMessageBytes {
		return nil, messageTooLarge(size, o.MaxQueueMessageBytes)
	}
	id := m.counters.NextMessage
	a.count(s, func(c *queue.Counters) { c.NextMessage++ })
	s.put(messageKey(id), enc)
	l := &letter{Message: msg}
	m.keep(l)
	s.onUndo(func() { m.drop(l) })
	if !l.kept {
		l.Body = nil
	}
	it := &queue.Item{ID: id, Name: msg.Name, Data: l}
	s.onUndo(m.index.Mark(it))
	m.index.Add(it, msg.ReadyAt, unixMilli(now))
	s.onApplied(func() { a.queueChanged(it.Name) })
	return it, nil
}

// queueChanged follows a turn after which a message of the name may be ready: receivers look again. The turn is held.
func (a *Actor) queueChanged(name string) {
	a.mailbox.wake(name)
	if q := a.spec.Queues[name]; q != nil && q.Handle != nil {
		a.pump()
	}
	a.rearm()
}

// body returns a message's body, read back if it is not in memory.
func (a *Actor) body(ctx context.Context, it *queue.Item) ([]byte, error) {
	l := letterOf(it)
	if l.kept {
		return l.Body, nil
	}
	payload, ok, err := a.read(ctx, messageKey(it.ID))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("message %d of queue %q is not stored", it.ID, it.Name)
	}
	msg, err := queue.DecodeMessage(payload)
	return msg.Body, err
}

func queueNotFound(name string) *fault.Error {
	m := value.AppendMapHead(nil, 1)
	m = value.AppendText(value.AppendText(m, "name"), name)
	return (&fault.Error{Group: "queue", Code: "not_found", HTTPStatus: 404,
		Message: fmt.Sprintf("The actor has no queue `%s`: declare it with rivet.NewQueue, or set Options.IgnoreUnknownQueues to drop such messages.", name)}).With(m)
}

// queueFull is in upstream's words, which name no knob: it is Options.MaxQueueSize.
func queueFull(limit, dead int) *fault.Error {
	m := value.AppendMapHead(nil, 1)
	m = value.AppendInt(value.AppendText(m, "limit"), int64(limit))
	text := fmt.Sprintf("Queue is full. Limit is %d messages.", limit)
	if dead > 0 {
		text += fmt.Sprintf(" %d of them are dead letters: replay or drop them.", dead)
	}
	return (&fault.Error{Group: "queue", Code: "full", Message: text, HTTPStatus: 400}).With(m)
}

func messageTooLarge(size, limit int) *fault.Error {
	m := value.AppendMapHead(nil, 2)
	m = value.AppendInt(value.AppendText(m, "limit"), int64(limit))
	m = value.AppendInt(value.AppendText(m, "size"), int64(size))
	return (&fault.Error{Group: "queue", Code: "message_too_large", HTTPStatus: 400,
		Message: fmt.Sprintf("Queue message too large (%d bytes). Limit is %d bytes: raise Options.MaxQueueMessageBytes.", size, limit)}).With(m)
}

// retryDelay is how long a message waits before the next attempt: it doubles from the first delay to an hour.
func retryDelay(first time.Duration, attempts int) time.Duration {
	d := float64(first) * math.Pow(2, float64(max(attempts-1, 0)))
	return time.Duration(min(d, float64(time.Hour)))
}
