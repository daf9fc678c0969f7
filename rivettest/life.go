package rivettest

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/rivetgo/rivet/actor"
	"github.com/rivetgo/rivet/engine"
	"github.com/rivetgo/rivet/internal/pipenet"
	"github.com/rivetgo/rivet/internal/rig"
	"github.com/rivetgo/rivet/internal/store/faulty"
	"github.com/rivetgo/rivet/internal/store/memory"
)

// life is one life of the process: an engine, and the store as it found it. A crash leaves the store's memory behind
// with it, so that nothing of an older life can reach what a newer one stores.
type life struct {
	memory   *memory.Store // what is durable
	faults   *faulty.Store // in front of it
	listener *pipenet.Listener
	engine   *engine.Engine
	controls rig.Controls
	dead     atomic.Bool // it logs nothing any more
}

// begin starts a life on a store.
func begin(ctx context.Context, t testing.TB, st *memory.Store, cfg engine.Config, definitions []actor.Definition) (*life, error) {
	l := &life{memory: st, faults: faulty.New(st, 0), listener: pipenet.Listen()}
	handler := slog.Handler(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: level(cfg.LogLevel)}))
	if cfg.Log != nil {
		handler = cfg.Log.Handler()
	}
	cfg.Log = slog.New(mutable{handler, &l.dead})
	e, err := engine.Start(rig.With(ctx, &rig.Rig{
		Store: l.faults, Listener: l.listener,
		Started: func(c rig.Controls) { l.controls = c },
	}), cfg, definitions...)
	if err != nil {
		l.faults.Close()
		return nil, err
	}
	l.engine = e
	return l, nil
}

// level reads a level's name; engine.Start reports a wrong one.
func level(name string) slog.Level {
	var l slog.Level
	if l.UnmarshalText([]byte(name)) != nil {
		return slog.LevelInfo
	}
	return l
}

// end ends a life in good order.
func (l *life) end() error {
	l.clear()
	return l.engine.Close()
}

// clear ends all faults.
func (l *life) clear() {
	l.faults.Clear()
	l.memory.Slow(0)
	l.memory.Resume()
}
