package host

import (
	"slices"
	"time"

	"github.com/rivetgo/rivet/internal/lifecycle"
	"github.com/rivetgo/rivet/internal/queue"
	"github.com/rivetgo/rivet/internal/wire/fault"
)

// pump handles the messages of queues with a handler, one turn each, until none is ready. It runs at most once at a time,
// and not at all while nothing is ready. The caller holds the turn.
func (a *Actor) pump() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pumping || a.ending || a.machine.Phase() != lifecycle.HostStarted {
		return // the start looks when its hooks have run; what stays at an end is an alarm, and handled in the next life
	}
	a.pumping = true
	go a.handleAll() // ends when no message is ready, or when the actor begins to stop
}

func (a *Actor) handleAll() {
	for !a.isStopping() {
		switch more, err := a.handleOne(); {
		case err != nil:
			if a.alive.Err() == nil {
				a.Log().Error("messages cannot be handled now", "again_in", retryTaking, "error", err)
			}
			timer := time.NewTimer(retryTaking)
			select {
			case <-timer.C:
			case <-a.stopping:
			case <-a.alive.Done():
				timer.Stop()
				a.pumped()
				return
			}
			timer.Stop()
		case !more:
			return // pumped was called within the turn
		}
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
// can come unnoticed in between, and is no pump any more from there on.
func (a *Actor) pumped() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pumping = false
	a.settleActivity()
}

// handleOne handles the next message. It reports false when there was none: then the pump has ended. An error says that
// there may be one that could not be taken, or not be given back.
func (a *Actor) handleOne() (more bool, err error) {
	if !a.mailbox.counted {
		if err := a.countFirst(); err != nil {
			return true, err
		}
	}
	var it *queue.Item
	more = true
	err = a.handlerTurn(func(c *Call) error {
		var d *Delivery
		err := c.turn.change(func(t *turn) error {
			got, err := a.take(c, t, Take{Names: a.handled}, true)
			if err != nil || len(got) == 0 {
				return err
			}
			d = got[0]
			it = d.item
			return nil
		})
		if err != nil {
			return err
		}
		if d == nil {
			more = false
			a.pumped()
			return nil
		}
		reply, err := a.spec.Queues[d.Queue].Handle(c, a.state, d)
		if err != nil || d.decided {
			return err
		}
		return c.turn.change(func(t *turn) error {
			if a.holds(d) != nil {
				return nil // the handler ended it by its number
			}
			return a.complete(t, d, reply)
		})
	})
	if err == nil || it == nil {
		return more, err
	}
	return true, a.own(func(c *Call, _ State) error {
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
}

// handlerTurn runs fn, which handles a message, as a turn on the pump's own goroutine: nobody waits for its outcome, so it
// needs no goroutine that could be left behind at the deadline, and no timer of its own.
func (a *Actor) handlerTurn(fn func(c *Call) error) error {
	if err := a.acquire(a.alive, false); err != nil {
		return err
	}
	deadline := time.Now().Add(a.spec.Options.ActionTimeout)
	// strict: the message is tried again.
	c := &Call{actor: a, deadline: deadline, turn: &turn{late: errHandlerLate, strict: true}}
	a.watch.begin(&watched{turn: c.turn, reply: lateHandler{a}, deadline: deadline})
	return a.runTurn(c, nil, "queue handler", func() ([]byte, error) { return nil, fn(c) })
}

var errHandlerLate = fault.New("actor", "callback_timed_out", "The queue's handler was not done within Options.ActionTimeout: do less in one turn, take messages in Run, or raise it.")

// lateHandler hears when a handler of a queue still runs at its deadline, or when its actor ends.
type lateHandler struct{ actor *Actor }

func (lateHandler) Prepare([]byte, *fault.Error) {}
func (lateHandler) Release(*fault.Error)         {}

func (l lateHandler) Expired(err *fault.Error) {
	l.actor.Log().Error("queue handler is given up while it runs; its turn will change nothing", "error", err)
}

// countFirst counts the attempt of a life's first message before it is handled: one that kills the process will be first
// again, and must reach its last attempt in the end. Messages after it are only counted when they fail.
func (a *Actor) countFirst() error {
	err := a.own(func(c *Call, _ State) error {
		return c.turn.change(func(t *turn) error {
			it := a.mailbox.index.Next(a.handled, nil)
			t.stage.onApplied(func() { a.mailbox.counted = true })
			if it == nil {
				return nil
			}
			if it.Attempts >= a.spec.Options.QueueMaxAttempts {
				return a.failed(t, it, nil, errLeaseOver, time.Now())
			}
			a.writeAttempt(&t.stage, it, queue.Attempt{Count: it.Attempts + 1})
			return nil
		})
	})
	if err != nil {
		return err
	}
	return a.gate.wait(a.alive, 0)
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
