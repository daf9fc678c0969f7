package host

import (
	"context"
	"sync"

	"github.com/rivetgo/rivet/internal/wire/fault"
)

// Reply answers one call, exactly once: either Expired, or Prepare followed by Release.
type Reply interface {
	// Prepare encodes the outcome. It runs on the goroutine that ran the handler.
	Prepare(output []byte, err *fault.Error)
	// Release lets the prepared outcome leave; with a failure, that leaves in its place. It must not block.
	Release(failure *fault.Error)
	// Expired answers a call whose handler is still running at its deadline, from another goroutine.
	Expired(err *fault.Error)
}

// output is something that may leave the actor once the commit it depends on is durable. Exactly one group of fields
// is set.
type output struct {
	after uint64
	// uncertain: the turn behind it handed a commit to the storage. If that fails, whether it happened is unknown.
	uncertain bool

	reply Reply
	event *Event
	to    []*Conn
	act   func() // a disconnect, the wish to sleep or to be destroyed
	// durable: it waits for the commit although the gate is open. What is numbered must not leave and then be forgotten.
	durable bool
}

// leave lets the output go.
func (o *output) leave() {
	switch {
	case o.reply != nil:
		o.reply.Release(nil)
	case o.event != nil:
		for _, c := range o.to {
			c.sink.Event(o.event)
		}
	case o.act != nil:
		o.act()
	}
}

// void ends the output of an actor that failed: callers are told, events and acts never happened.
func (o *output) void() {
	if o.reply == nil {
		return
	}
	if o.uncertain {
		o.reply.Release(errUncertain)
	} else {
		o.reply.Release(errVoid)
	}
}

// gate is an actor's ordered queue of outputs (G2). Commits are numbered from 1 in the order of Commit calls; an output
// leaves when every commit up to the one it depends on is durable, and after all outputs queued before it.
//
// Invariant: durable <= issued. Once failed is set, durable never grows again and the queue is empty.
type gate struct {
	mu      sync.Mutex // guards all below; held while outputs leave, so that they leave in order
	issued  uint64
	durable uint64
	failed  bool
	queue   []output
	waiters []durableWaiter
	open    bool // outputs do not wait for durability (Options.Undurable)
}

type durableWaiter struct {
	upTo uint64
	ch   chan struct{}
}

// issue numbers the next commit. It reports false when nothing can become durable any more.
func (g *gate) issue() (uint64, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failed {
		return 0, false
	}
	g.issued++
	return g.issued, true
}

// retract takes back the newest number: its commit was refused before anything was written.
func (g *gate) retract() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.issued--
}

// push queues outputs behind every commit issued so far, and lets those leave that may.
func (g *gate) push(outs ...output) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failed {
		for i := range outs {
			outs[i].void()
		}
		return
	}
	free := len(g.queue) == 0 && g.durable == g.issued
	for _, o := range outs {
		if free || g.open && !o.durable {
			o.leave()
			continue
		}
		o.after = g.issued
		g.queue = append(g.queue, o)
	}
}

// complete records that the commit with this number is durable, and lets outputs leave.
func (g *gate) complete(number uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failed {
		return
	}
	g.durable = number
	n := 0
	for n < len(g.queue) && g.queue[n].after <= number {
		g.queue[n].leave()
		g.queue[n] = output{}
		n++
	}
	if n == len(g.queue) {
		// Keep the array for the next burst, unless it was a large one.
		g.queue = g.queue[:0]
		if cap(g.queue) > 64 {
			g.queue = nil
		}
	} else {
		g.queue = g.queue[n:]
	}
	g.wake()
}

// fail voids everything that waits. It reports whether it was the first.
func (g *gate) fail() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failed {
		return false
	}
	g.failed = true
	for i := range g.queue {
		g.queue[i].void()
	}
	g.queue = nil
	g.wake()
	return true
}

// wake ends the waits that are over. The caller holds mu.
func (g *gate) wake() {
	kept := g.waiters[:0]
	for _, w := range g.waiters {
		if g.failed || w.upTo <= g.durable {
			close(w.ch)
		} else {
			kept = append(kept, w)
		}
	}
	clear(g.waiters[len(kept):])
	g.waiters = kept
}

// void reports whether a commit failed: nothing can become durable any more.
func (g *gate) void() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.failed
}

// pending is the number of commits that are not durable yet.
func (g *gate) pending() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.issued - g.durable
}

// wait returns when every commit issued so far, except the newest `slack`, is durable.
func (g *gate) wait(ctx context.Context, slack uint64) error {
	g.mu.Lock()
	if g.failed {
		g.mu.Unlock()
		return errUncertain
	}
	if g.issued-g.durable <= slack {
		g.mu.Unlock()
		return nil
	}
	w := durableWaiter{upTo: g.issued - slack, ch: make(chan struct{})}
	g.waiters = append(g.waiters, w)
	g.mu.Unlock()
	select {
	case <-w.ch:
		if g.void() {
			return errUncertain
		}
		return nil
	case <-ctx.Done():
		return ctx.Err() // the waiter stays until the commit ends, which it always does
	}
}
