package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

const (
	clients    = 10 // callers of workers
	perGroup   = 5  // workers that are called at the same time
	groupLives = 10 // lives after which others are called, and these by nobody any more
)

// group names the workers that are called in a life.
type group int

func groupOf(life int) group          { return group(life / groupLives) }
func (g group) worker(i int) string   { return fmt.Sprintf("w-%d-%d", g, i%perGroup) }
func (g group) collector() string     { return fmt.Sprintf("c-%d", g) }
func idle(life, client, i int) string { return fmt.Sprintf("idle-%d-%d-%d", life, client, i) }

// includes reports whether a worker is one of the group's, whom somebody calls.
func (g group) includes(key string) bool {
	return key == g.collector() || strings.HasPrefix(key, fmt.Sprintf("w-%d-", g))
}

func isCollector(key string) bool { return strings.HasPrefix(key, "c-") }
func everybody(string) bool       { return true }

// job is a message, see victim.Job.
type job struct {
	ID     string `json:"id"`
	Takes  int    `json:"takes,omitempty"`
	Poison bool   `json:"poison,omitempty"`
	Post   string `json:"post,omitempty"`
}

// sending is how a message is sent.
type sending struct {
	wait  bool   // for its reply
	key   string // idempotency key; empty: none
	delay time.Duration
}

// keyed is a send that can be repeated.
type keyed struct {
	key, queue, idempotency string
	job                     job
}

// client uses the workers until the server is gone.
type client struct {
	s      *server
	b      *book
	life   int
	number int
	rnd    *rand.Rand
}

func (c *client) run(ctx context.Context) {
	g := groupOf(c.life)
	if k, ok := c.b.takeKept(); ok && !c.resend(ctx, k) {
		return
	}
	if c.number == 0 && !c.pulse(ctx, g.worker(c.life), g.collector()) {
		return
	}
	for i := 0; ctx.Err() == nil; i++ {
		id := fmt.Sprintf("%d-%d-%d", c.life, c.number, i)
		worker, other := g.worker(c.number+i), g.worker(c.number+i+1+c.rnd.IntN(perGroup-1))
		if c.rnd.IntN(2) == 0 {
			other = g.collector()
		}
		if !c.step(ctx, g, i, id, worker, other) {
			return // killed: whether it happened is unknown
		}
	}
}

// step asks for one thing. It reports false when there was no answer.
func (c *client) step(ctx context.Context, g group, i int, id, worker, other string) bool {
	queue := []string{"jobs", "sums"}[c.rnd.IntN(2)]
	switch c.rnd.IntN(16) {
	case 0, 1, 2, 3:
		return c.send(ctx, worker, queue, job{ID: id}, sending{})
	case 4, 5:
		return c.send(ctx, worker, queue, job{ID: id}, sending{wait: true})
	case 6, 7:
		return c.send(ctx, worker, queue, job{ID: id}, sending{wait: c.rnd.IntN(2) == 0, key: "key-" + id})
	case 8:
		return c.send(ctx, worker, queue, job{ID: id, Post: other}, sending{})
	case 9:
		if i%4 != 0 {
			return c.send(ctx, worker, queue, job{ID: id, Post: other}, sending{wait: true})
		}
		return c.send(ctx, worker, queue, job{ID: id, Poison: true, Post: other}, sending{wait: c.rnd.IntN(2) == 0})
	case 10, 11:
		return c.plan(ctx, worker, g.collector(), id, c.rnd.IntN(300))
	case 12:
		worker = idle(c.life, c.number, i)
		if c.rnd.IntN(2) == 0 {
			return c.plan(ctx, worker, g.collector(), id, c.rnd.IntN(3000))
		}
		if c.rnd.IntN(2) == 0 {
			delay := time.Duration(c.rnd.IntN(3000)) * time.Millisecond
			return c.send(ctx, worker, queue, job{ID: id, Post: g.collector()}, sending{delay: delay})
		}
		return c.send(ctx, worker, queue, job{ID: id, Takes: c.rnd.IntN(50), Post: g.collector()}, sending{})
	case 13, 14:
		return c.relay(ctx, worker, other, id, false)
	}
	return c.relay(ctx, worker, other, id, true)
}

// failed deals with an error: it reports false when there was no answer, else the answer should not have come.
func (c *client) failed(what string, err error) bool {
	var refused *refusal
	if !errors.As(err, &refused) {
		return false
	}
	c.b.complain(fmt.Errorf("%s: %w", what, err))
	return true
}

func (c *client) send(ctx context.Context, worker, queue string, j job, how sending) bool {
	done := place{worker, "m:" + j.ID}
	chain := []place{done}
	if j.Post != "" {
		chain = append(chain, place{j.Post, "p:m:" + j.ID})
	}
	c.b.message(done)
	if j.Poison {
		c.b.refuse(chain...)
		c.b.ask(c.life, done)
	} else {
		c.b.ask(c.life, chain...)
	}
	n, err := c.s.send(ctx, worker, queue, j, how)
	var refused *refusal
	switch {
	case errors.As(err, &refused) && how.wait && (j.Poison && refused.code == "poison" || refused.code == "lease_lost"):
		c.b.promise(true, done) // it is dead by now
	case err != nil:
		if how.key != "" {
			c.b.keep(keyed{worker, queue, how.key, j})
		}
		return c.failed("message "+j.ID, err)
	case j.Poison:
		if how.wait {
			c.b.complain(fmt.Errorf("message %s was completed, though handling it fails", j.ID))
		}
		c.b.promise(false, done)
	default:
		c.b.promise(how.wait, chain...)
		if how.wait {
			c.b.answer(done, n)
		}
	}
	c.b.add(1, 0, len(chain)-1)
	return true
}

// resend repeats a send whose answer was lost: it must not count twice.
func (c *client) resend(ctx context.Context, k keyed) bool {
	return c.send(ctx, k.key, k.queue, k.job, sending{wait: true, key: k.idempotency})
}

func (c *client) plan(ctx context.Context, worker, collector, id string, ms int) bool {
	chain := []place{{worker, "a:" + id}, {worker, "f:" + id}, {collector, "p:f:" + id}}
	c.b.ask(c.life, chain...)
	var n int64
	if err := c.s.action(ctx, "worker", worker, "plan", map[string]any{"id": id, "after": ms, "post": collector}, &n); err != nil {
		return c.failed("plan "+id, err)
	}
	c.b.promise(true, chain...)
	c.b.answer(chain[0], n)
	c.b.add(0, 1, 1)
	return true
}

func (c *client) relay(ctx context.Context, worker, other, id string, fail bool) bool {
	chain := []place{{worker, "r:" + id}, {other, "p:r:" + id}}
	c.b.ask(c.life, chain...)
	if fail {
		c.b.refuse(chain...)
	}
	var n int64
	err := c.s.action(ctx, "worker", worker, "relay", map[string]any{"id": id, "post": other, "fail": fail}, &n)
	var refused *refusal
	switch {
	case fail && errors.As(err, &refused) && refused.code == "poison":
		return true
	case err != nil:
		return c.failed("relay "+id, err)
	case fail:
		c.b.complain(fmt.Errorf("relay %s succeeded, though its turn fails", id))
		return true
	}
	c.b.promise(true, chain...)
	c.b.answer(chain[0], n)
	c.b.add(0, 0, 1)
	return true
}

func (c *client) pulse(ctx context.Context, worker, collector string) bool {
	var ok bool
	if err := c.s.action(ctx, "worker", worker, "planPulses", collector, &ok); err != nil {
		return c.failed("pulses of "+worker, err)
	}
	c.b.pulse(worker, collector)
	return true
}
