package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// Queues.
func queueActors() []actor.Definition {
	return []actor.Definition{queues(), queueLimited(), manyQueueChild(), manyQueueActionParent(), manyQueueRunParent()}
}

type (
	rawMessage = actor.Message[raw, raw]
	rawQueue   = rivet.Queue[raw, raw, raw]
)

// delivery is what an actor tells of a message.
type delivery struct {
	Name string `json:"name"`
	Body raw    `json:"body"`
}

// receive takes up to count messages of the named queues, all queues when there is no name. No timeout means to wait; none
// come when it is over. Whoever receives so has to complete or release what came.
func receive(ctx context.Context, c *actor.Ctx, names []string, count int, timeout *float64) ([]*rawMessage, error) {
	if timeout != nil && *timeout <= 0 {
		return actor.TryBatchOf(c, names, actor.AtMost(count))
	}
	if timeout != nil {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, millis(*timeout))
		defer stop()
	}
	got, err := actor.NextBatchOf(ctx, c, names, actor.AtMost(count))
	if errors.Is(err, context.DeadlineExceeded) && c.Err() == nil {
		return nil, nil
	}
	return got, err
}

// consume is receive of messages that are gone once they were received, as upstream's plain receive has it.
func consume(ctx context.Context, c *actor.Ctx, names []string, count int, timeout *float64) ([]delivery, error) {
	got, err := receive(ctx, c, names, count, timeout)
	out := []delivery{}
	for _, m := range got {
		if err := m.Complete(c, nil); err != nil {
			return nil, err
		}
		out = append(out, delivery{m.Queue, m.Body})
	}
	return out, err
}

// first is the first of a list, nil when there is none.
func first[T any](all []T, err error) (*T, error) {
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return &all[0], nil
}

// completable takes messages by upstream's rule for those that their receiver completes: no other is taken before. What
// was not completed is there again for others when the action ends.
type completable struct {
	c       *actor.Ctx
	current *rawMessage
}

// take waits for the next message of a queue; nil when the timeout is over.
func (r *completable) take(name string, timeout *float64) (*rawMessage, error) {
	if r.current != nil {
		return nil, &rivet.Error{Group: "queue", Code: "previous_message_not_completed", Message: "Previous completable queue message is not completed. Call `message.complete(...)` before receiving the next message."}
	}
	got, err := receive(r.c, r.c, []string{name}, 1, timeout)
	if err != nil || len(got) == 0 {
		return nil, err
	}
	r.current = got[0]
	return r.current, nil
}

func (r *completable) complete(m *rawMessage, reply raw) error {
	r.current = nil
	return m.Complete(r.c, reply)
}

// close gives back what was not completed.
func (r *completable) close() {
	if r.current == nil {
		return
	}
	if err := r.current.Release(r.c); err != nil {
		r.c.Log().Warn("message cannot be given back", "message", r.current.ID, "error", err)
	}
}

// withCompletable binds an action that takes a message which it completes, or not.
func withCompletable[S, R any](d definition[S], name string, handler func(c *actor.Ctx, r *completable, queue string) (R, error)) {
	waits(d, name, func(c *actor.Ctx, _ actor.Self[S], queue string) (R, error) {
		r := &completable{c: c}
		defer r.close()
		return handler(c, r, queue)
	})
}

// outcome is an answer that says how something went.
type outcome struct {
	OK     *bool  `json:"ok,omitempty"`
	Reason string `json:"reason,omitempty"`
	Group  string `json:"group,omitempty"`
	Code   string `json:"code,omitempty"`
}

func wentWell(ok bool, reason string) outcome { return outcome{OK: &ok, Reason: reason} }

func wentWrong(err error) outcome {
	n := nameOf(err)
	return outcome{Group: n.Group, Code: n.Code}
}

// okReply is the CBOR of {ok: true}.
var okReply = raw{0xa1, 0x62, 'o', 'k', 0xf5}

// echoReply is the CBOR of {echo: body}.
func echoReply(body raw) raw { return append(raw{0xa1, 0x64, 'e', 'c', 'h', 'o'}, body...) }

// 56
func queues() actor.Definition {
	type options struct {
		Names   []string `json:"names"`
		Count   *float64 `json:"count"`
		Timeout *float64 `json:"timeout"`
	}
	d := define[struct{}]("queueActor", actor.Options{})
	byName := make(map[string]rawQueue)
	for _, name := range []string{"greeting", "self", "a", "b", "c", "one", "two", "missing", "abort", "tasks", "timeout", "nowait", "twice"} {
		byName[name] = rivet.NewQueue[raw, raw](d.of, name)
	}
	abort := []string{"abort"}
	tenSeconds := 10_000.0
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()

	waits(d, "receiveOne", func(c *actor.Ctx, _ actor.Self[struct{}], a rivet.Args2[string, *options]) (*delivery, error) {
		return first(consume(c, c, []string{a.A}, 1, or(a.B, options{}).Timeout))
	})
	waits(d, "receiveMany", func(c *actor.Ctx, _ actor.Self[struct{}], a rivet.Args2[[]string, *options]) ([]delivery, error) {
		o := or(a.B, options{})
		return consume(c, c, a.A, int(or(o.Count, 1)), o.Timeout)
	})
	waits(d, "receiveRequest", func(c *actor.Ctx, _ actor.Self[struct{}], p *options) ([]delivery, error) {
		o := or(p, options{})
		return consume(c, c, o.Names, int(or(o.Count, 1)), o.Timeout)
	})
	waits(d, "tryReceiveMany", func(c *actor.Ctx, _ actor.Self[struct{}], p *options) ([]delivery, error) {
		o, zero := or(p, options{}), 0.0
		return consume(c, c, o.Names, int(or(o.Count, 1)), &zero)
	})
	iterate := func(ctx context.Context, c *actor.Ctx, names []string) (*delivery, error) {
		got, err := first(consume(ctx, c, names, 1, nil))
		if err != nil && nameOf(err).Code == "aborted" {
			return nil, nil // an iteration ends without an error
		}
		return got, err
	}
	waits(d, "receiveWithIterator", func(c *actor.Ctx, _ actor.Self[struct{}], name string) (*delivery, error) {
		return iterate(c, c, []string{name})
	})
	waits(d, "receiveWithAsyncIterator", func(c *actor.Ctx, _ actor.Self[struct{}], _ none) (*delivery, error) {
		return iterate(c, c, nil)
	})
	waits(d, "sendToSelf", func(c *actor.Ctx, _ actor.Self[struct{}], a rivet.Args2[string, raw]) (bool, error) {
		q, ok := byName[a.A]
		if !ok {
			return true, nil // as upstream, which drops what goes to an unknown queue
		}
		return true, q.Send(c, d.of.ByID(c.Client(), c.ActorID()), a.B)
	})

	// The three ways to end a wait.
	destroySoon := func(c *actor.Ctx) { later(c, 10*time.Millisecond, (*actor.Ctx).Destroy) }
	waits(d, "waitForAbort", func(c *actor.Ctx, _ actor.Self[struct{}], _ none) (bool, error) {
		destroySoon(c)
		_, err := consume(c, c, abort, 1, &tenSeconds)
		return true, err
	})
	waits(d, "waitForSignalAbort", func(c *actor.Ctx, _ actor.Self[struct{}], _ none) (outcome, error) {
		if _, err := consume(cancelled, c, abort, 1, nil); err != nil {
			return wentWrong(err), nil
		}
		return wentWell(false, ""), nil
	})
	waits(d, "waitForActorAbortWithSignal", func(c *actor.Ctx, _ actor.Self[struct{}], _ none) (outcome, error) {
		ctx, stop := context.WithCancel(c)
		defer stop()
		destroySoon(c)
		if _, err := consume(ctx, c, abort, 1, &tenSeconds); err != nil {
			return wentWrong(err), nil
		}
		return wentWell(false, ""), nil
	})
	waits(d, "iterWithSignalAbort", func(c *actor.Ctx, _ actor.Self[struct{}], _ none) (outcome, error) {
		_, err := iterate(cancelled, c, abort)
		return wentWell(true, ""), err
	})

	withCompletable(d, "receiveAndComplete", func(_ *actor.Ctx, r *completable, name string) (*delivery, error) {
		m, err := r.take(name, nil)
		if m == nil {
			return nil, err
		}
		return &delivery{m.Queue, m.Body}, r.complete(m, echoReply(m.Body))
	})
	withCompletable(d, "receiveWithoutComplete", func(_ *actor.Ctx, r *completable, name string) (*delivery, error) {
		m, err := r.take(name, nil)
		if m == nil {
			return nil, err
		}
		return &delivery{m.Queue, m.Body}, nil
	})
	withCompletable(d, "receiveManualThenNextWithoutComplete", func(c *actor.Ctx, r *completable, name string) (outcome, error) {
		m, err := r.take(name, nil)
		if m == nil {
			return wentWell(false, "no_message"), err
		}
		zero := 0.0
		_, err = r.take(name, &zero)
		c.Destroy()
		if err != nil {
			return wentWrong(err), nil
		}
		return wentWell(false, "next_succeeded"), nil
	})
	withCompletable(d, "receiveAndCompleteTwice", func(c *actor.Ctx, r *completable, name string) (*outcome, error) {
		m, err := r.take(name, nil)
		if m == nil {
			return nil, err
		}
		if err := r.complete(m, okReply); err != nil {
			return nil, err
		}
		out := wentWell(false, "")
		if err := r.complete(m, okReply); err != nil {
			out = wentWrong(err)
		}
		return &out, nil
	})
	type method struct {
		HasComplete bool `json:"hasComplete"`
	}
	withCompletable(d, "receiveWithoutCompleteMethod", func(_ *actor.Ctx, r *completable, name string) (method, error) {
		m, err := r.take(name, nil)
		return method{m != nil}, err
	})
	return d
}

// 57
func queueLimited() actor.Definition {
	d := define[struct{}]("queueLimitedActor", actor.Options{MaxQueueSize: 1, MaxQueueMessageBytes: 64})
	rivet.NewQueue[raw, none](d.of, "message")
	rivet.NewQueue[raw, none](d.of, "oversize")
	return d
}

var manyQueueChildren = rivet.NewActor[raw]("manyQueueChildActor")

// 58
func manyQueueChild() actor.Definition {
	type state struct {
		Label     raw      `json:"label,omitempty"`
		Started   bool     `json:"started"`
		Processed []string `json:"processed"`
	}
	type command struct {
		Index float64 `json:"index"`
	}
	type done struct {
		OK    bool    `json:"ok"`
		Index float64 `json:"index"`
	}
	type pong struct {
		Label raw  `json:"label,omitempty"`
		Pong  bool `json:"pong"`
	}
	d := defineOf(manyQueueChildren, actor.Options{}, func(_ *actor.Ctx, input raw) (*state, error) {
		return &state{Label: input, Processed: []string{}}, nil
	})
	commands := make(map[string]rivet.Queue[raw, command, done])
	var names []string
	for i := range 32 {
		q := rivet.NewQueue[command, done](d.of, fmt.Sprintf("cmd.%d", i))
		commands[q.Name()] = q
		names = append(names, q.Name())
	}
	d.Run = func(c *actor.Ctx, self actor.Self[state]) error {
		if err := self.Do(func(s *state) { s.Started = true }); err != nil {
			return err
		}
		for {
			any, err := actor.NextOf(c, c, names)
			if rivet.Is(err, "actor", "aborted") {
				return nil
			}
			if err != nil {
				return err
			}
			m, _, err := actor.As(any, commands[any.Queue])
			if err != nil {
				return err
			}
			err = self.Turn(func(s *state, c *actor.Ctx) error {
				s.Processed = append(s.Processed, m.Queue)
				return m.Complete(c, done{true, m.Body.Index})
			})
			if err != nil {
				return err
			}
		}
	}
	get(d, "ping", func(s *state) pong { return pong{s.Label, true} })
	get(d, "getSnapshot", func(s *state) state { return *s })
	return d
}

// lazyChild makes a handle and uses it for nothing: no actor comes of it.
func lazyChild(c *actor.Ctx, key string) {
	_ = manyQueueChildren.GetOrCreate(c.Client(), rivet.Key{key}, text(key))
}

// text is the CBOR of a short text.
func text(s string) raw {
	n := len(s)
	switch {
	case n < 24:
		return append(raw{0x60 | byte(n)}, s...)
	case n < 256:
		return append(raw{0x78, byte(n)}, s...)
	}
	return append(raw{0x79, byte(n >> 8), byte(n)}, s...)
}

type spawnedKey struct {
	Key string `json:"key"`
}

// 59
func manyQueueActionParent() actor.Definition {
	type state struct{ Spawned []string }
	d := define[state]("manyQueueActionParentActor", actor.Options{})
	on(d, "spawnChild", func(s *state, c *actor.Ctx, key string) (spawnedKey, error) {
		lazyChild(c, key)
		s.Spawned = append(s.Spawned, key)
		return spawnedKey{key}, nil
	})
	get(d, "getSpawned", func(s *state) []string { return list(s.Spawned) })
	return d
}

// 60
func manyQueueRunParent() actor.Definition {
	type state struct{ Spawned []string }
	type done struct {
		OK bool `json:"ok"`
	}
	type queued struct {
		Queued bool `json:"queued"`
	}
	d := define[state]("manyQueueRunParentActor", actor.Options{})
	spawn := rivet.NewQueue[spawnedKey, done](d.of, "spawn")
	d.Run = func(c *actor.Ctx, self actor.Self[state]) error {
		for m, err := range actor.Receive(c, spawn) {
			if err != nil {
				return err
			}
			lazyChild(c, m.Body.Key)
			err = self.Turn(func(s *state, c *actor.Ctx) error {
				s.Spawned = append(s.Spawned, m.Body.Key)
				return m.Complete(c, done{true})
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	waits(d, "queueSpawn", func(c *actor.Ctx, _ actor.Self[state], key string) (queued, error) {
		_, err := spawn.Request(c, d.of.ByID(c.Client(), c.ActorID()), spawnedKey{key}, rivet.WaitAtMost(10*time.Second))
		return queued{true}, err
	})
	get(d, "getSpawned", func(s *state) []string { return list(s.Spawned) })
	return d
}
