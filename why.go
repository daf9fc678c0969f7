package rivet

import (
	"context"

	"github.com/rivetgo/rivet/internal/wire/why"
)

// Why is the answer to why an actor is as it is: awake, asleep, starting, slow or blocked. Summary says it in one
// sentence; the other fields are what it rests on, and are left zero where they do not apply.
type Why = why.Report

// Why asks the engine why the actor is awake or asleep, what it is doing, who holds its turn and since when, and what went
// wrong last. It answers within milliseconds, also while the actor's code blocks it, and neither creates nor wakes the
// actor; a missing one is actor.not_found. Where the engine wants a token for its API the client's must be that.
func (h Handle[I]) Why(ctx context.Context) (*Why, error) {
	if err := h.usable(); err != nil {
		return nil, err
	}
	r, err := h.t.Why(ctx)
	return r, fromFault(err)
}
