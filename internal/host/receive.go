package host

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/rivetgo/rivet/internal/queue"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// Take says which messages a receiver wants.
type Take struct {
	Names []string                         // none: any
	Fits  func(name string, b []byte) bool // nil: all; it must be quick
	Max   int                              // at most this many; below 1 one
	Lease time.Duration                    // zero: Options.QueueLease
}

// Delivery is a message in a receiver's hands.
//
// Taken outside a turn it is leased: until Complete or Fail, or until the lease is over and somebody else may get it.
// Taken inside a turn it belongs to that turn: when the turn succeeds it is completed without a reply, unless Complete,
// Fail or Hold said otherwise; when the turn fails it was never taken.
type Delivery struct {
	ID      uint64
	Queue   string
	Body    []byte // one CBOR item
	SentAt  time.Time
	Attempt int // 1 for the first

	actor *Actor
	item  *queue.Item
	lease time.Duration

	decided bool // guarded by the turn: Complete, Fail, Release or Hold was called
}

var (
	errLeaseLost = fault.New("queue", "lease_lost", "The lease of the message is over: somebody else may have it. Finish earlier, call Extend, or raise Options.QueueLease.")
	errCompleted = &fault.Error{Group: "queue", Code: "already_completed", Message: "Queue message was already completed", HTTPStatus: 400}
	errNoWait    = fault.New("queue", "wait_in_turn", "Waiting for a message inside a turn would keep the message out: use TryNext, or wait in Run or in a handler bound with HandleConcurrent.")
	errAborted   = fault.New("actor", "aborted", "Actor aborted")
)

// TryTake takes messages that are there; it may return none.
func (c *Call) TryTake(ctx context.Context, want Take) (got []*Delivery, err error) {
	inTurn := c.inTurn() != nil
	err = c.change(func(t *turn) error {
		got, err = c.actor.take(ctx, t, want, inTurn)
		return err
	})
	return got, err
}

// WaitTake takes messages, and waits until there is at least one. It must not be called inside a turn. While it waits a
// run loop does not keep its actor awake; when the actor stops it takes nothing any more and ends with actor.aborted.
func (c *Call) WaitTake(ctx context.Context, want Take) ([]*Delivery, error) {
	if c.inTurn() != nil {
		return nil, errNoWait
	}
	a := c.actor
	for {
		var got []*Delivery
		w := &waiter{names: want.Names, ready: make(chan struct{})}
		stopping := a.isStopping()
		err := c.change(func(t *turn) (err error) {
			if stopping {
				return a.leave(ctx, want)
			}
			if got, err = a.take(ctx, t, want, false); err == nil && len(got) == 0 {
				a.mailbox.wait(w)
				t.stage.onUndo(func() { a.mailbox.unwait(w) })
			}
			return err
		})
		switch {
		case stopping:
			return nil, errAborted
		case err != nil || len(got) > 0:
			return got, err
		}
		if err := c.waitQueue(ctx, w); err != nil {
			return nil, err
		}
	}
}

// leave notes whether there is something that a receiver would have taken if the actor did not stop: that is for the next
// life, which begins as soon as this one has ended.
func (a *Actor) leave(ctx context.Context, want Take) error {
	fits, failed := a.fitting(ctx, want)
	if it := a.mailbox.index.Next(want.Names, fits); it != nil || *failed != nil {
		a.mailbox.left = true
	}
	return nil
}

// waitQueue waits until a message may be there, or the actor stops.
func (c *Call) waitQueue(ctx context.Context, w *waiter) error {
	a := c.actor
	if c.loop {
		a.queueWait(+1)
		defer a.queueWait(-1)
	}
	defer a.mailbox.unwait(w)
	select {
	case <-w.ready:
		return nil
	case <-a.stopping:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-a.alive.Done():
		return errAborted
	}
}

// fitting is what Index.Next asks of a message; what it fails with is found behind the pointer.
func (a *Actor) fitting(ctx context.Context, want Take) (fits func(*queue.Item) bool, failed *error) {
	failed = new(error)
	if want.Fits == nil {
		return nil, failed
	}
	return func(it *queue.Item) bool {
		b, err := a.body(ctx, it)
		if err != nil {
			*failed = err
			return false
		}
		return want.Fits(it.Name, b)
	}, failed
}

// take leases what fits, within a turn. own says that the receiver is the turn's handler.
func (a *Actor) take(ctx context.Context, t *turn, want Take, own bool) ([]*Delivery, error) {
	now := time.Now()
	a.ripen(t, now)
	if want.Lease == 0 {
		want.Lease = a.spec.Options.QueueLease
	}
	fits, failed := a.fitting(ctx, want)
	var got []*Delivery
	for len(got) < max(want.Max, 1) {
		it := a.mailbox.index.Next(want.Names, fits)
		if *failed != nil {
			return nil, *failed
		}
		if it == nil {
			break
		}
		if it.Attempts >= a.spec.Options.QueueMaxAttempts { // the last one ended with its process
			if err := a.failed(t, it, nil, errLeaseOver, now); err != nil {
				return nil, err
			}
			continue
		}
		d, err := a.lease(ctx, t, it, want.Lease, own)
		if err != nil {
			return nil, err
		}
		got = append(got, d)
	}
	return got, nil
}

// lease hands one message out.
func (a *Actor) lease(ctx context.Context, t *turn, it *queue.Item, lease time.Duration, own bool) (*Delivery, error) {
	m, s, l := &a.mailbox, &t.stage, letterOf(it)
	body, err := a.body(ctx, it)
	if err != nil {
		return nil, err
	}
	until := int64(math.MaxInt64) // what belongs to the turn is its own for as long as it runs
	if !own {
		until = unixMilli(time.Now().Add(lease))
	}
	s.onUndo(m.index.Mark(it))
	m.index.Lease(it, until)
	d := &Delivery{ID: it.ID, Queue: it.Name, Body: body, SentAt: time.UnixMilli(l.SentAt), Attempt: it.Attempts, actor: a, item: it, lease: lease}
	a.hand(s, l, d)
	if own {
		s.onEnding(func() error {
			if d.decided || a.holds(d) != nil {
				return nil
			}
			return a.complete(t, d, nil)
		})
		return d, nil
	}
	// Counted before it is handled: a message that kills its process must not do so for ever.
	a.writeAttempt(s, it, queue.Attempt{Count: it.Attempts})
	s.onApplied(a.rearm)
	return d, nil
}

// hand notes who has a message.
func (a *Actor) hand(s *stage, l *letter, d *Delivery) {
	was := l.holder
	s.onUndo(func() { l.holder = was })
	l.holder = d
}

// giveBack ends a lease without ending the message.
func (a *Actor) giveBack(s *stage, it *queue.Item, readyAt, now int64) {
	s.onUndo(a.mailbox.index.Mark(it))
	a.mailbox.index.Release(it, readyAt, now)
	a.hand(s, letterOf(it), nil)
	s.onApplied(func() { a.queueChanged(it.Name) })
}

// holds checks that the delivery still has the message.
func (a *Actor) holds(d *Delivery) error {
	switch it := a.mailbox.index.Get(d.ID); {
	case it == nil && d.decided:
		return errCompleted
	case it != d.item || !it.Leased() || letterOf(it).holder != d:
		return errLeaseLost
	}
	return nil
}

// Complete ends a message with a reply, one CBOR item or nothing, within the call's turn or as one of its own.
func (c *Call) Complete(d *Delivery, reply []byte) error {
	return c.change(func(t *turn) error {
		if err := d.actor.holds(d); err != nil {
			return err
		}
		return d.actor.complete(t, d, reply)
	})
}

// CompleteByID ends a message of which only the number is known, whoever holds it.
func (c *Call) CompleteByID(id uint64, reply []byte) error {
	a := c.actor
	return c.change(func(t *turn) error {
		it := a.mailbox.index.Get(id)
		if it == nil {
			return errCompleted
		}
		return a.complete(t, &Delivery{ID: id, Queue: it.Name, item: it, actor: a}, reply)
	})
}

// Fail gives a message back with an error: it is tried again after a while, or moved to the dead letters when it was
// tried Options.QueueMaxAttempts times.
func (c *Call) Fail(d *Delivery, cause error) error {
	return c.change(func(t *turn) error {
		if err := d.actor.holds(d); err != nil {
			return err
		}
		return d.actor.failed(t, d.item, d, cause, time.Now())
	})
}

// Release gives a message back as if it had not been taken, for somebody else to take at once.
func (c *Call) Release(d *Delivery) error {
	return c.change(func(t *turn) error {
		if err := d.actor.holds(d); err != nil {
			return err
		}
		d.actor.decide(&t.stage, d)
		d.actor.giveBack(&t.stage, d.item, 0, unixMilli(time.Now()))
		d.item.Attempts--
		d.actor.putAttempt(&t.stage, d.item, 0)
		return nil
	})
}

// Hold keeps a message that was taken inside a turn leased beyond it.
func (c *Call) Hold(d *Delivery) error {
	return c.change(func(t *turn) error {
		if err := d.actor.holds(d); err != nil {
			return err
		}
		d.actor.decide(&t.stage, d)
		t.stage.onUndo(d.actor.mailbox.index.Mark(d.item))
		d.actor.mailbox.index.Extend(d.item, unixMilli(time.Now().Add(d.lease)))
		d.actor.putAttempt(&t.stage, d.item, 0)
		t.stage.onApplied(d.actor.rearm)
		return nil
	})
}

// Extend moves the end of a lease to the given time from now.
func (c *Call) Extend(d *Delivery, by time.Duration) error {
	return c.change(func(t *turn) error {
		if err := d.actor.holds(d); err != nil {
			return err
		}
		t.stage.onUndo(d.actor.mailbox.index.Mark(d.item))
		d.actor.mailbox.index.Extend(d.item, unixMilli(time.Now().Add(by)))
		t.stage.onApplied(d.actor.rearm)
		return nil
	})
}

// decide marks a delivery as settled by this turn.
func (a *Actor) decide(s *stage, d *Delivery) {
	d.decided = true
	s.onUndo(func() { d.decided = false })
}

// putAttempt records how often a message was tried.
func (a *Actor) putAttempt(s *stage, it *queue.Item, readyAt int64) {
	if it.Attempts == 0 && readyAt == 0 {
		s.delete(attemptKey(it.ID))
		return
	}
	a.writeAttempt(s, it, queue.Attempt{Count: it.Attempts, ReadyAt: readyAt})
}

func (a *Actor) writeAttempt(s *stage, it *queue.Item, at queue.Attempt) {
	letterOf(it).tried = true // also when the turn fails: then forget deletes what is not there
	s.put(attemptKey(it.ID), at.Append([]byte{record.Version}))
}

// forget removes a message from the queue.
func (a *Actor) forget(s *stage, it *queue.Item) {
	m := &a.mailbox
	s.onUndo(m.index.Mark(it))
	m.index.Remove(it)
	l := letterOf(it)
	m.drop(l)
	s.onUndo(func() {
		if l.kept {
			m.held += len(l.Body)
		}
	})
	s.delete(messageKey(it.ID))
	if l.tried { // most messages are handled at the first attempt, which leaves no record
		s.delete(attemptKey(it.ID))
	}
	s.onApplied(a.rearm)
}

// complete removes a message and answers whoever waits for it.
func (a *Actor) complete(t *turn, d *Delivery, reply []byte) error {
	a.decide(&t.stage, d)
	a.forget(&t.stage, d.item)
	a.settleSenders(t, d.item, &queue.Receipt{ID: d.ID, Name: d.Queue, Outcome: queue.Completed, Reply: reply})
	return nil
}

// failed deals with a message whose handling failed, or whose lease is over (d is nil then).
func (a *Actor) failed(t *turn, it *queue.Item, d *Delivery, cause error, now time.Time) error {
	s, o := &t.stage, &a.spec.Options
	if d != nil {
		a.decide(s, d)
	}
	if it.Attempts < o.QueueMaxAttempts {
		readyAt := unixMilli(now.Add(retryDelay(o.QueueRetryDelay, it.Attempts)))
		a.giveBack(s, it, readyAt, unixMilli(now))
		a.putAttempt(s, it, readyAt)
		a.Log().Warn("message failed: it will be tried again", "queue", it.Name, "message", it.ID, "attempt", it.Attempts, "error", cause)
		return nil
	}
	body, err := a.body(a.alive, it)
	if err != nil {
		return err
	}
	f := a.visible("queue "+it.Name, cause)
	l := letterOf(it)
	dead := queue.Dead{Message: l.Message, Attempts: it.Attempts, FailedAt: unixMilli(now), Failure: failureOf(f)}
	dead.Body = body
	a.forget(s, it)
	a.count(s, func(c *queue.Counters) { c.Dead++ })
	s.put(deadKey(it.ID), dead.Append([]byte{record.Version}))
	a.settleSenders(t, it, &queue.Receipt{ID: it.ID, Name: it.Name, Outcome: queue.Failed, Failure: dead.Failure})
	a.Log().Error("message failed for good: it is among the dead letters now", "queue", it.Name, "message", it.ID, "attempts", it.Attempts, "error", cause)
	return nil
}

// settleSenders tells senders who wait, once this turn is durable, and keeps the outcome for those who may ask later.
func (a *Actor) settleSenders(t *turn, it *queue.Item, rc *queue.Receipt) {
	m, s := &a.mailbox, &t.stage
	l := letterOf(it)
	put := func(s *stage, key string) {
		now := time.Now()
		rc.At = unixMilli(now)
		s.put(receiptKey(key), rc.Append([]byte{record.Version}))
		if key != l.Key {
			a.sweepReceipts(a.alive, s, now)
		}
	}
	if l.Key != "" {
		put(s, l.Key)
	}
	away := l.Waited && !m.heard(it.ID)
	if away {
		put(s, waitedKey(it.ID))
	}
	s.onApplied(func() {
		list := m.hear(it.ID)
		for _, w := range list {
			if rc.Outcome == queue.Failed {
				w.Prepare(nil, faultOf(rc.Failure))
			} else {
				w.Prepare(rc.Reply, nil)
			}
			t.emit(output{reply: w, uncertain: true})
		}
		if len(list) == 0 && l.Waited && !away { // it went away between the two looks, and may ask again
			a.spawn("receipt", "", false, func(c *Call) error {
				return c.change(func(t *turn) error { put(&t.stage, waitedKey(it.ID)); return nil })
			})
		}
	})
}

// heard reports whether somebody waits for a message's outcome.
func (m *mailbox) heard(id uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.senders[id]) > 0
}

// hear returns those who wait for a message's outcome: it is on its way to them.
func (m *mailbox) hear(id uint64) []*sender {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := m.senders[id]
	delete(m.senders, id)
	return list
}

// retryTaking is when a message is looked at again that could not be read.
const retryTaking = time.Second

// fillsTurn reports whether a turn holds so much that the actor's own work should go on in the next.
func (a *Actor) fillsTurn(t *turn) bool { return t.stage.size > a.spec.Options.MaxTurnBytes/2 }

// ripen makes delayed messages ready and takes leases back that are over.
func (a *Actor) ripen(t *turn, now time.Time) {
	for _, it := range a.mailbox.index.Ripen(unixMilli(now)) {
		if a.fillsTurn(t) {
			return // they are over still: the timer looks again at once
		}
		if err := a.failed(t, it, nil, errLeaseOver, now); err != nil {
			a.Log().Error("lease cannot be taken back now", "message", it.ID, "error", err)
			a.mailbox.index.Extend(it, unixMilli(now.Add(retryTaking)))
		}
	}
}

var errLeaseOver = fault.New("queue", "lease_lost", "The receiver neither completed nor failed the message before its lease was over.")

// isAborted reports whether a receiver's wait ended because the actor stops.
func isAborted(err error) bool {
	f, ok := fault.From(err)
	return ok && f.Group == "actor" && f.Code == "aborted" || errors.Is(err, context.Canceled)
}
