package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// Words that every chapter uses. All actors share one brand: creation input is whatever comes.
type (
	none = rivet.None
	raw  = rivet.Raw
)

// null is CBOR's null, which JavaScript tells from undefined, an empty raw.
var null = raw{0xf6}

// definition is an actor on its way to be defined. S is its state: exported fields are durable, the others are what the
// catalogue calls vars.
type definition[S any] struct {
	*actor.Spec[raw, S]
	of rivet.Actor[raw]
}

// define begins an actor with an empty state. Every actor of the catalogue follows upstream's looser rules: what a turn
// changed before it failed stays, surplus arguments and unknown queues are ignored.
func define[S any](name string, o actor.Options) definition[S] {
	return defineFrom(name, o, actor.Zero[raw, S])
}

// defineFrom is define with a function that makes the state from the creation input.
func defineFrom[S any](name string, o actor.Options, create func(c *actor.Ctx, input raw) (*S, error)) definition[S] {
	return defineOf(rivet.NewActor[raw](name), o, create)
}

// defineOf is defineFrom for an actor that others know too.
func defineOf[S any](of rivet.Actor[raw], o actor.Options, create func(c *actor.Ctx, input raw) (*S, error)) definition[S] {
	o.KeepFailedTurns, o.IgnoreSurplusArguments, o.IgnoreUnknownQueues = true, true, true
	d := definition[S]{Spec: actor.Define(of, create), of: of}
	d.Options = o
	return d
}

// on binds an action that runs in a turn.
func on[S, A, R any](d definition[S], name string, handler func(s *S, c *actor.Ctx, arg A) (R, error)) rivet.Action[raw, A, R] {
	action := rivet.NewAction[A, R](d.of, name)
	actor.Handle(d.Spec, action, handler)
	return action
}

// get binds an action without arguments that returns what read says.
func get[S, R any](d definition[S], name string, read func(s *S) R) {
	actor.Handle(d.Spec, rivet.NewAction[none, R](d.of, name), func(s *S, _ *actor.Ctx, _ none) (R, error) { return read(s), nil })
}

// do binds an action without arguments and result.
func do[S any](d definition[S], name string, act func(s *S, c *actor.Ctx)) {
	on(d, name, func(s *S, c *actor.Ctx, _ none) (none, error) {
		act(s, c)
		return none{}, nil
	})
}

// waits binds an action that waits for something: it runs outside the turn, at the same time as everything else.
func waits[S, A, R any](d definition[S], name string, handler func(c *actor.Ctx, self actor.Self[S], arg A) (R, error)) {
	actor.HandleConcurrent(d.Spec, rivet.NewAction[A, R](d.of, name), handler)
}

// sleepAction is triggerSleep, which many actors have.
func sleepAction[S any](d definition[S]) {
	do(d, "triggerSleep", func(_ *S, c *actor.Ctx) { c.Sleep() })
}

// destroyAction is destroy, which several actors have.
func destroyAction[S any](d definition[S]) {
	do(d, "destroy", func(_ *S, c *actor.Ctx) { c.Destroy() })
}

// pause waits, or fails with the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stopping reports whether the actor has begun to stop.
func stopping(c *actor.Ctx) bool {
	select {
	case <-c.Stopping():
		return true
	default:
		return false
	}
}

// later does something after the turn it is called in, soon.
func later(c *actor.Ctx, d time.Duration, fn func(c *actor.Ctx)) {
	c.WaitUntil(func(c *actor.Ctx) error {
		time.Sleep(d)
		fn(c)
		return nil
	})
}

// now is the time as JavaScript has it: milliseconds since 1970. It is a float since 8-byte integers are bigints there.
func now() float64 { return float64(time.Now().UnixMilli()) }

func millis(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

// keyPath is an actor's key as the catalogue writes it.
func keyPath(c *actor.Ctx) string { return strings.Join(c.Key(), "/") }

func or[T any](p *T, value T) T {
	if p == nil {
		return value
	}
	return *p
}

// orText is or for texts, where an empty one counts as missing.
func orText(p *string, value string) string {
	if p == nil || *p == "" {
		return value
	}
	return *p
}

// list is a slice that is an empty array, not null, while it has nothing.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func random(n int) int { return rand.IntN(n) }

// named is what JavaScript sees of an error: its group and code.
type named struct {
	Group string `json:"group"`
	Code  string `json:"code"`
}

// nameOf names an error that an actor caught. The end of a wait's own context is upstream's actor.aborted.
func nameOf(err error) named {
	if e, ok := errors.AsType[*rivet.Error](err); ok {
		return named{e.Group, e.Code}
	}
	if errors.Is(err, context.Canceled) {
		return named{"actor", "aborted"}
	}
	return named{"rivetkit", "internal_error"}
}
