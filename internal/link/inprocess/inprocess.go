// Package inprocess is the link to a host in the same process: requests are handed over as they are, and commits go
// straight to the store.
package inprocess

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sort"

	"github.com/rivetgo/rivet/internal/host"
	"github.com/rivetgo/rivet/internal/link"
	"github.com/rivetgo/rivet/internal/surface"
	"github.com/rivetgo/rivet/internal/wire/actorkey"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/why"
	"github.com/rivetgo/rivet/internal/ws"
)

// Runner hosts the given definitions. Attach must be called before the first Start.
type Runner struct {
	specs    map[string]*host.Spec
	env      *host.Env
	surfaces *surface.Set
	events   link.Events
}

var _ link.Runner = (*Runner)(nil)

// New makes a runner for the given definitions. version is what actors tell as their runtime's version.
func New(specs []*host.Spec, env *host.Env, version string) *Runner {
	r := &Runner{specs: make(map[string]*host.Spec, len(specs)), env: env, surfaces: surface.NewSet(version, env.Log)}
	for _, s := range specs {
		r.specs[s.Name] = s
	}
	return r
}

// Attach says who hears what the actors want.
func (r *Runner) Attach(events link.Events) {
	r.events = events
	r.surfaces.Attach(func(actor string) {
		if parsed, err := id.Parse(actor); err == nil { // it always is one
			events.WakeWanted(parsed)
		}
	})
}

// Forget closes the sockets that an actor left open, because it was erased.
func (r *Runner) Forget(actor id.ID) { r.surfaces.Forget(actor.String()) }

// Parked is how many sockets wait for sleeping actors.
func (r *Runner) Parked() int { return r.surfaces.Held() }

// Close closes the sockets that wait for sleeping actors, and lets none wait from now on. Idempotent.
func (r *Runner) Close() { r.surfaces.Close() }

// Names lists the actor types, sorted.
func (r *Runner) Names() []link.Name {
	names := make([]link.Name, 0, len(r.specs))
	for _, s := range r.specs {
		meta := map[string]string{}
		if s.DisplayName != "" {
			meta["name"] = s.DisplayName
		}
		if s.Icon != "" {
			meta["icon"] = s.Icon
		}
		m, err := json.Marshal(meta)
		if err != nil { // strings always marshal
			panic(err)
		}
		names = append(names, link.Name{Name: s.Name, Metadata: m})
	}
	sort.Slice(names, func(i, j int) bool { return names[i].Name < names[j].Name })
	return names
}

// Start brings an actor to life.
func (r *Runner) Start(ctx context.Context, p link.Placement) (link.Actor, error) {
	spec := r.specs[p.Name]
	if spec == nil {
		return nil, fault.New("actor", "not_registered", fmt.Sprintf("Actor factory '%s' is not registered.", p.Name))
	}
	actor := p.ID.String()
	parked := r.surfaces.Parked(actor)
	resumed := make([]surface.Resumed, 0, len(p.Kept))
	for _, k := range p.Kept {
		s := r.surfaces.Resume(actor, k.Conn, k.Socket)
		resumed = append(resumed, s)
		parked = append(parked, host.Parked{ID: k.Conn.ID, Sink: s})
	}
	a, err := host.Start(ctx, spec, r.env, &owner{r.events, p.ID, p.Generation}, host.Placement{
		ID: p.ID, Namespace: p.Namespace, Name: p.Name, Key: actorkey.Parse(p.Key), KeyText: p.Key,
		Generation: p.Generation, CreatedAt: p.CreatedAt, Records: p.Records, Parked: parked,
	})
	if err != nil {
		r.surfaces.NotBegun(actor)
		return nil, err
	}
	r.surfaces.Began(actor)
	for _, s := range resumed {
		surface.Begin(s, a)
	}
	return &running{actor: a, surface: r.surfaces.New(a)}, nil
}

// owner tells the engine what one actor wants.
type owner struct {
	events     link.Events
	id         id.ID
	generation uint64
}

func (o *owner) SleepWanted()      { o.events.SleepWanted(o.id, o.generation) }
func (o *owner) DestroyWanted()    { o.events.DestroyWanted(o.id, o.generation) }
func (o *owner) Stopped(err error) { o.events.Stopped(o.id, o.generation, err) }

// running is a live actor as the engine sees it.
type running struct {
	actor   *host.Actor
	surface *surface.Surface
}

func (a *running) HTTP(w http.ResponseWriter, r *http.Request) error {
	return stopping(a.surface.ServeHTTP(w, r))
}

func (a *running) WebSocket(r *http.Request, upgrade func(kept bool) (ws.Socket, error)) error {
	return stopping(a.surface.ServeWebSocket(r, upgrade))
}

func (a *running) Why(ctx context.Context) *why.Report { return a.actor.Why(ctx) }

func (a *running) Stop(reason link.StopReason) {
	switch reason {
	case link.StopGoingAway:
		a.actor.StopAway()
	default:
		a.actor.Stop(reason == link.StopDestroy)
	}
}

// Kill ends the actor as the end of its process would: nothing more is stored or leaves. See host.Actor.Kill.
func (a *running) Kill() { a.actor.Kill() }

// Kill ends an actor that a Runner of this package started as the end of its process would; see host.Actor.Kill.
func Kill(a link.Actor) { a.(*running).Kill() }

func stopping(err error) error {
	if errors.Is(err, surface.ErrMoved) {
		return link.ErrMoved
	}
	if errors.Is(err, host.ErrStopping) {
		return link.ErrStopping
	}
	return err
}
