package engine

import (
	"context"
	"fmt"
	"net"

	"github.com/rivetgo/rivet/internal/link/inprocess"
	"github.com/rivetgo/rivet/internal/rig"
	"github.com/rivetgo/rivet/internal/store/embedded"
	"github.com/rivetgo/rivet/internal/wire/id"
)

// open opens what the engine stands on: an address and a directory, or what a rig has in their place.
func (e *Engine) open(ctx context.Context, r *rig.Rig) (err error) {
	if r != nil {
		e.listener, e.store = r.Listener, r.Store
		return nil
	}
	// The address first: it is the quickest to fail, and nobody is served before Serve.
	if e.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", e.cfg.Listen); err != nil {
		return fmt.Errorf("cannot listen: %w: choose another address with RIVET_LISTEN or -listen", err)
	}
	st, err := embedded.Open(e.cfg.StoragePath, embedded.Options{Logger: e.log})
	if err != nil {
		return err
	}
	e.store = st
	return nil
}

// controls are what a rig may do to the engine.
func (e *Engine) controls() rig.Controls {
	return rig.Controls{
		Wake:  e.placement.Wake,
		Sleep: e.placement.Sleep,
		Awake: func(actor id.ID) bool { return e.placement.Status(actor).Running },
		Kill:  e.kill,
	}
}

// kill ends the engine without waiting for anybody; rest waits. Actors end first, so that none takes what happens next
// for a reason to stop in good order.
func (e *Engine) kill() (rest func()) {
	rest = func() {}
	e.closeOnce.Do(func() {
		e.listener.Close()
		e.inside.Close()
		e.killActors()
		rest = func() {
			e.alarms.Close()
			e.server.Close()
			e.insideServer.Close()
			e.client.Close()
			e.deliverer.Close()
			e.stopReaper()
			e.placement.Close()
			e.killActors() // those that were starting
			e.store.Close()
			e.ended()
		}
	})
	return rest
}

func (e *Engine) killActors() {
	for _, a := range e.placement.Live() {
		inprocess.Kill(a)
	}
}
