package host

import (
	"context"
	"slices"
	"time"

	"github.com/rivetgo/rivet/internal/lifecycle"
	"github.com/rivetgo/rivet/internal/queue"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// pump handles the messages of queues with a handler, one turn each, until none is ready. It runs at most once at a time,
// and not at all while nothing is ready. The caller holds the turn.
func (a *Actor) pump() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pumping || a.ending || a.machine.Phase() >= lifecycle.Finalize {
		return // what stays in the queue is an alarm, and handled in the next life
	}
	a.pumping = true
	go a.handleAll() // ends when no message is ready, or when the actor begins to stop
}

func (a *Actor) handleAll() {
	for !a.isStopping() && a.handleOne() {
	}
	a.pumped()
}

func (a *Actor) isStopping() bool {
	select {
	case <-a.stopping:
		return true
	default:
		return false
	}
}

// pumped ends the pump. One that is about to end because nothing is ready says so within its turn, so that no message
// can come unnoticed in between; a second call does nothing.
func (a *Actor) pumped() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pumping {
		a.pumping = false
		a.settleActivity()
	}
}

// handleOne handles the next message. It reports false when there was none, or when the actor cannot go on.
func (a *Actor) handleOne() bool {
	if !a.mailbox.counted && !a.countFirst() {
		return false
	}
	var it *queue.Item
	c := &Call{actor: a}
	err := a.timedTurn(a.alive, c, "queue handler", a.spec.Options.ActionTimeout, func(c *Call) error {
		c.turn.strict = true // the message is tried again
		var d *Delivery
		err := c.turn.change(func(t *turn) error {
			got, err := a.take(c, t, Take{Names: a.handled}, true)
			if err != nil || len(got) == 0 {
				return err
			}
			d, it = got[0], got[0].item
			return nil
		})
		if err != nil {
			return err
		}
		if d == nil {
			a.pumped()
			return nil
		}
		reply, err := a.spec.Queues[d.Queue].Handle(c, a.state, d)
		if err != nil || d.decided {
			return err
		}
		return c.turn.change(func(t *turn) error { return a.complete(t, d, reply) })
	})
	switch {
	case err == nil:
		return it != nil
	case it == nil:
		if !a.gate.void() && !a.isStopping() {
			a.Log().Error("messages cannot be taken", "error", err)
		}
		return false
	}
	err = a.own(func(c *Call, _ State) error {
		return c.turn.change(func(t *turn) error {
			if a.mailbox.index.Get(it.ID) != it || it.Leased() {
				return nil // it is somebody else's by now
			}
			now := time.Now()
			t.stage.onUndo(a.mailbox.index.Mark(it))
			a.mailbox.index.Lease(it, unixMilli(now))
			return a.failed(t, it, nil, err, now)
		})
	})
	return err == nil
}

// countFirst counts the attempt of a life's first message before it is handled: one that kills the process will be first
// again, and must reach its last attempt in the end. Messages after it are only counted when they fail.
func (a *Actor) countFirst() bool {
	err := a.own(func(c *Call, _ State) error {
		return c.turn.change(func(t *turn) error {
			a.mailbox.counted = true
			it := a.mailbox.index.Next(a.handled, nil)
			if it == nil {
				return nil
			}
			if it.Attempts >= a.spec.Options.QueueMaxAttempts {
				now := time.Now()
				t.stage.onUndo(a.mailbox.index.Mark(it))
				a.mailbox.index.Lease(it, unixMilli(now))
				return a.failed(t, it, nil, errLeaseOver, now)
			}
			at := queue.Attempt{Count: it.Attempts + 1}
			t.stage.put(attemptKey(it.ID), at.Append([]byte{record.Version}))
			return nil
		})
	})
	return err == nil && a.gate.wait(context.Background(), 0) == nil
}

// handledQueues lists the queues that have a handler.
func (s *Spec) handledQueues() []string {
	var names []string
	for n, q := range s.Queues {
		if q.Handle != nil {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names
}
