package host

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rivetgo/rivet/internal/lifecycle"
	"github.com/rivetgo/rivet/internal/queue"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// Outgoing is a message from one actor to another's queue, on its way. Sender and Number let the receiver recognise what
// it has: for each sender numbers only grow. An actor is two senders: one to those that it names by their key, and one to
// those that it names by their id, since it cannot know which of them are the same.
type Outgoing struct {
	Sender string
	Number uint64
	Target queue.Target
	Queue  string
	Body   []byte // one CBOR item
}

// Bounds of the time between two tries to deliver.
const (
	minSendDelay = 100 * time.Millisecond
	maxSendDelay = time.Minute
)

// outbox is the messages that left the actor's turns and are not acknowledged by their receivers. A message is a record of
// the turn that sent it, so both happen or neither; it is handed over when that turn is durable, again and again until it
// is taken or refused for good, and then removed. Messages to one address go one after another (a lane), whatever else
// their targets say, so that the receiver needs to remember one number for each sender to take each message once.
//
// What is left when the actor sleeps is delivered in its next life. An actor that is destroyed has none, so it goes on
// delivering for as long as its end may take.
type outbox struct {
	mu      sync.Mutex // guards all below; never held while anything waits
	pending int        // messages that are not removed yet
	lanes   map[string]*lane
	active  int  // lanes that deliver right now
	last    bool // the actor is about to be destroyed
	closed  bool
}

type lane struct {
	waiting []sending
	active  bool
	tries   int
	retryAt int64 // when a lane that failed goes on
	timer   *time.Timer
}

type sending struct {
	number uint64
	to     queue.Target
	queue.Outgoing
}

// address names a target's lane: all that may be the same actor, as far as that shows, is one.
func address(t *queue.Target) string {
	if t.ID != "" {
		return "id " + t.ID
	}
	key := queue.Target{Name: t.Name, Key: t.Key}
	return "key " + string(key.Append(nil))
}

// byID is what marks the sender of messages to actors that are named by their id.
const byID = ".id"

func outboxKey(n uint64) []byte { return record.Key(record.KindOutbox, queue.Number(n)...) }

// Post sends a message to another actor's queue with the call's turn: it leaves when the turn is durable, and not at all
// when the turn fails. Outside a turn it is a turn of its own.
func (c *Call) Post(target queue.Target, name string, body []byte) error {
	a := c.actor
	if a.env.Deliver == nil {
		return fault.New("queue", "no_outbox", "This actor's process cannot reach other actors.")
	}
	out := queue.Outgoing{Target: target.Append(nil), Queue: name, Body: body, SentAt: unixMilli(time.Now())}
	enc := out.Append([]byte{record.Version})
	if limit := a.spec.Options.MaxQueueMessageBytes + 4096; len(enc) > limit {
		return messageTooLarge(len(enc), limit)
	}
	return c.change(func(t *turn) error { return a.post(t, target, out, enc) })
}

// post stages a message to another actor.
func (a *Actor) post(t *turn, to queue.Target, out queue.Outgoing, enc []byte) error {
	s := &t.stage
	if have, dead := a.outbox.add(1), a.mailbox.counters.Dead; have+dead > a.spec.Options.MaxQueueSize {
		a.outbox.add(-1)
		text := fmt.Sprintf("%d messages to other actors wait to be delivered, which is the limit: send later, or raise Options.MaxQueueSize.", have-1)
		if dead > 0 {
			text = fmt.Sprintf("%d messages to other actors wait to be delivered and %d are dead letters, which is the limit: replay or drop those, send later, or raise Options.MaxQueueSize.", have-1, dead)
		}
		return &fault.Error{Group: "queue", Code: "outbox_full", HTTPStatus: 503, Message: text}
	}
	s.onUndo(func() { a.outbox.add(-1) })
	n := a.mailbox.counters.NextSend
	a.count(s, func(c *queue.Counters) { c.NextSend++ })
	s.put(outboxKey(n), enc)
	t.emit(output{durable: true, act: func() { a.deliverSoon(sending{n, to, out}) }})
	return nil
}

func (o *outbox) add(n int) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pending += n
	return o.pending
}

// waiting reports whether there are messages that are not removed yet.
func (o *outbox) waiting() bool { return o.add(0) > 0 }

// loadOutbox reads what earlier lives could not deliver.
func (a *Actor) loadOutbox(ctx context.Context) error {
	if a.mailbox.counters.NextSend == 1 {
		return nil
	}
	return a.each(ctx, record.KindOutbox, func(n uint64, payload []byte) error {
		out, err := queue.DecodeOutgoing(slices.Clone(payload))
		if err != nil {
			return err
		}
		to, err := queue.DecodeTarget(out.Target)
		if err != nil {
			return err
		}
		a.outbox.pending++
		a.outbox.lane(address(&to)).push(sending{n, to, out})
		return nil
	})
}

// lane returns the lane of an address. The caller holds mu, or is alone.
func (o *outbox) lane(address string) *lane {
	if o.lanes == nil {
		o.lanes = make(map[string]*lane)
	}
	l := o.lanes[address]
	if l == nil {
		l = &lane{}
		o.lanes[address] = l
	}
	return l
}

func (l *lane) push(s sending) { l.waiting = append(l.waiting, s) }

// deliverSoon takes over a message that is durable now. It does not block.
func (a *Actor) deliverSoon(s sending) {
	o := &a.outbox
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.lane(address(&s.to))
	l.push(s)
	a.startLane(l)
}

// startOutbox delivers what was loaded.
func (a *Actor) startOutbox() {
	o := &a.outbox
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, l := range o.lanes {
		a.startLane(l)
	}
}

// lastDeliveries keeps deliveries going while the actor is being destroyed.
func (a *Actor) lastDeliveries() {
	a.outbox.mu.Lock()
	a.outbox.last = true
	a.outbox.mu.Unlock()
	a.startOutbox()
}

// startLane lets a lane deliver, unless it does or waits for its next try. The caller holds outbox.mu.
func (a *Actor) startLane(l *lane) {
	if l.active || l.timer != nil || a.outbox.closed || len(l.waiting) == 0 || a.isStopping() && !a.outbox.last {
		return
	}
	l.active = true
	a.outbox.active++
	go a.deliver(l) // ends when the lane is empty or a try fails, or when the actor stops
}

// deliver hands a lane's messages over, one after another.
func (a *Actor) deliver(l *lane) {
	o := &a.outbox
	for {
		o.mu.Lock()
		if len(l.waiting) == 0 || a.isStopping() && !o.last || a.alive.Err() != nil {
			l.active = false
			o.active--
			if len(l.waiting) == 0 {
				for t, other := range o.lanes {
					if other == l {
						delete(o.lanes, t)
					}
				}
			}
			o.mu.Unlock()
			a.activityEnded()
			return
		}
		s := l.waiting[0]
		o.mu.Unlock()
		err := a.handOver(s)
		o.mu.Lock()
		if err == nil {
			l.waiting, l.tries = l.waiting[1:], 0
			o.mu.Unlock()
			continue
		}
		l.tries++
		d := min(minSendDelay<<min(l.tries-1, 20), maxSendDelay)
		l.active = false
		o.active--
		if !o.closed {
			l.retryAt = unixMilli(time.Now().Add(d))
			l.timer = time.AfterFunc(d, func() {
				o.mu.Lock()
				defer o.mu.Unlock()
				l.timer = nil
				a.startLane(l)
			})
		}
		o.mu.Unlock()
		a.Log().Warn("message to another actor cannot be delivered now: it will be tried again", "queue", s.Queue, "after", d, "error", err)
		a.activityEnded()
		return
	}
}

// handOver delivers one message and removes it from the outbox. An error says that it must be tried again.
func (a *Actor) handOver(s sending) error {
	sender := a.idText
	if s.to.ID != "" {
		sender += byID
	}
	ctx, stop := context.WithTimeout(a.alive, a.spec.Options.ActionTimeout)
	err := a.env.Deliver(ctx, &Outgoing{Sender: sender, Number: s.number, Target: s.to, Queue: s.Queue, Body: s.Body})
	stop()
	f, typed := fault.From(err)
	if err != nil && (!typed || !final(f)) {
		return err
	}
	if done := a.sent(s, f); done != nil || f == nil {
		return done
	}
	// The next of the lane must not make the receiver take this one for old, should the refusal be forgotten.
	return a.gate.wait(a.alive, 0)
}

// sent removes a message from the outbox; one that was refused goes to the dead letters.
func (a *Actor) sent(s sending, f *fault.Error) error {
	return a.own(func(c *Call, _ State) error {
		return c.turn.change(func(t *turn) error {
			st := &t.stage
			st.delete(outboxKey(s.number))
			a.outbox.add(-1)
			st.onUndo(func() { a.outbox.add(1) })
			if f == nil {
				return nil
			}
			a.Log().Error("message to another actor was refused for good: it is among the dead letters now", "queue", s.Queue, "error", f)
			id := a.mailbox.counters.NextMessage
			a.count(st, func(c *queue.Counters) { c.NextMessage++; c.Dead++ })
			dead := queue.Dead{
				Message:  queue.Message{Name: s.Queue, Body: s.Body, SentAt: s.SentAt},
				Attempts: 1, FailedAt: unixMilli(time.Now()), Failure: failureOf(f), Target: s.Target,
			}
			st.put(deadKey(id), dead.Append([]byte{record.Version}))
			return nil
		})
	})
}

// final reports whether a receiver's refusal will not change by waiting.
func final(f *fault.Error) bool {
	switch f.Group {
	case "guard", "core", "client", "ws", "rivetkit":
		return false
	case "actor":
		return slices.Contains([]string{"not_found", "validation_error", "not_registered", "invalid_request", "destroyed"}, f.Code)
	case "queue":
		return f.Code != "full"
	}
	return true // auth, message, user: what the receiver's code decided
}

// nextTime is when the actor should be awake for its outbox; ok is false when that is empty.
func (o *outbox) nextTime(now int64) (at int64, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.pending == 0 {
		return 0, false
	}
	left := o.pending
	for _, l := range o.lanes {
		if left -= len(l.waiting); l.retryAt <= now {
			return now, true
		}
		if at == 0 || l.retryAt < at {
			at = l.retryAt
		}
	}
	if left > 0 {
		return now, true // the rest waits for its commit
	}
	return max(at, 1), true
}

// delivering is how many lanes deliver right now.
func (o *outbox) delivering() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.active
}

// close ends deliveries: what is left is delivered in the next life.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	for _, l := range o.lanes {
		if l.timer != nil {
			l.timer.Stop()
		}
	}
}

// activityEnded notes that something ended that may have kept the actor awake.
func (a *Actor) activityEnded() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.machine.Phase() >= lifecycle.Terminated {
		return
	}
	a.settleActivity()
}
