// Package rig is how rivettest starts an engine on parts of its own and takes hold of it. A Rig travels in the context
// given to engine.Start: so the engine is put together by the same code as in production, and neither package engine
// nor any other public one has a door for tests.
//
// Only rivettest makes a Rig. An engine that is started without one must not behave differently in anything for this
// package's sake.
package rig

import (
	"context"
	"net"

	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/id"
)

// Rig is what an engine uses in place of its own. Both parts are required; the engine closes them, also when its start
// fails after the definitions and settings were found good.
type Rig struct {
	Store    store.Store  // in place of the embedded store in a directory
	Listener net.Listener // in place of a TCP address
	// Started gets the controls of an engine that serves, once, before Start returns.
	Started func(Controls)
}

// Controls are what a test may do to a running engine. All may be called concurrently.
type Controls struct {
	// Wake makes an actor run and returns when it does.
	Wake func(ctx context.Context, actor id.ID) error
	// Sleep makes an actor sleep in good order and returns when it does.
	Sleep func(ctx context.Context, actor id.ID) error
	// Awake reports whether an actor runs.
	Awake func(actor id.ID) bool
	// Kill ends the engine as the death of its process would, as far as that can be had inside a living one: it takes
	// nobody in any more, no hook begins, nothing is committed, no reply leaves. It returns at once; rest waits for what
	// is left of the engine's own, and must be called. Code of actors that does not heed its context goes on until it
	// returns. Close does nothing after Kill.
	Kill func() (rest func())
}

type key struct{}

// With returns a context that carries a rig to engine.Start.
func With(ctx context.Context, r *Rig) context.Context { return context.WithValue(ctx, key{}, r) }

// From returns the rig that ctx carries, nil for none.
func From(ctx context.Context) *Rig {
	r, _ := ctx.Value(key{}).(*Rig)
	return r
}
