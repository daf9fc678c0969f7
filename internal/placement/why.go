package placement

import (
	"context"
	"time"

	"github.com/rivetgo/rivet/internal/lifecycle"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/why"
)

// Why reports on an actor: what its host knows while it is on the runner, and what placement knows otherwise. It never
// waits for the actor.
func (p *Placement) Why(ctx context.Context, actor id.ID) *why.Report {
	e := p.find(actor)
	if e == nil {
		return &why.Report{State: why.Sleeping}
	}
	e.mu.Lock()
	state := e.machine.State()
	t := e.term
	failure, _ := e.machine.Failure()
	retryAt := e.retryAt
	e.mu.Unlock()
	if t != nil && t.actor != nil {
		r := t.actor.Why(ctx)
		r.Since = t.since
		return r
	}
	r := &why.Report{State: why.Sleeping}
	switch state {
	case lifecycle.Starting:
		r.State = why.Starting
	case lifecycle.Stopping:
		r.State = why.Stopping
	case lifecycle.Failed:
		r.State = why.Failed
		if retryAt.After(time.Now()) {
			r.RetryAt = retryAt
		}
	}
	if failure != nil {
		text := failure.Error()
		if f, ok := fault.From(failure); ok && f.Cause != nil {
			text += ": " + f.Cause.Error()
		}
		r.LastError = &why.Failure{During: "start", Error: text}
	}
	return r
}
