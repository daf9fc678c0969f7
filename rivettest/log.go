package rivettest

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// mutable passes log records on until the process that writes them is dead: what is left of it in this one has nothing
// to say any more, and must not write to a test that is over.
type mutable struct {
	slog.Handler
	dead *atomic.Bool
}

// Enabled implements slog.Handler.
func (m mutable) Enabled(ctx context.Context, l slog.Level) bool {
	return !m.dead.Load() && m.Handler.Enabled(ctx, l)
}

// Handle implements slog.Handler.
func (m mutable) Handle(ctx context.Context, r slog.Record) error {
	if m.dead.Load() {
		return nil
	}
	return m.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (m mutable) WithAttrs(attrs []slog.Attr) slog.Handler {
	return mutable{m.Handler.WithAttrs(attrs), m.dead}
}

// WithGroup implements slog.Handler.
func (m mutable) WithGroup(name string) slog.Handler {
	return mutable{m.Handler.WithGroup(name), m.dead}
}
