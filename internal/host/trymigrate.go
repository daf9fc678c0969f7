package host

import (
	"context"
	"time"

	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// TryMigrations runs what a start would run of the definition's migrations, and OnMigrate, on an actor as a view shows it,
// and throws the result away. ran names the migrations that the actor has not seen; the error is that of the start.
func TryMigrations(ctx context.Context, spec *Spec, env *Env, p Placement, v View) (ran []string, err error) {
	p.Records = &scratch{v}
	a := newActor(spec, env, nobody{}, p)
	defer func() {
		a.gate.fail() // nothing is committed any more
		a.cut()
		a.closeDatabase()
	}()
	applied, err := a.applied(ctx)
	if err != nil {
		return nil, err
	}
	todo, err := pending(applied, spec.Migrations)
	if err != nil {
		return nil, err
	}
	state, isNew := State(nil), true
	payload, found, err := a.read(ctx, stateKey)
	if err != nil {
		return nil, err
	}
	if found {
		state, isNew = spec.New(), false
		if err := state.Restore(payload); err != nil {
			return nil, fault.New("actor", "state_unreadable", "The stored state does not fit the actor's definition any more: "+err.Error())
		}
		a.state, a.encoded = state, payload
	}
	err = a.timedTurn(ctx, &Call{actor: a}, "OnMigrate", spec.Options.MigrateTimeout, func(c *Call) error {
		c.turn.strict = true
		c.turn.internal = true // there may be no state to store
		return a.migrate(c, isNew)
	})
	if err != nil {
		return nil, err
	}
	for _, m := range todo {
		ran = append(ran, m.Name)
	}
	return ran, nil
}

// scratch is records whose commits are forgotten.
type scratch struct{ shown View }

func (s *scratch) Hot() []record.Record               { return nil }
func (s *scratch) Alarm() time.Time                   { return time.Time{} }
func (s *scratch) View(context.Context) (View, error) { return unclosed{s.shown}, nil }

func (s *scratch) Get(ctx context.Context, key []byte) ([]byte, error) { return s.shown.Get(ctx, key) }

func (s *scratch) Range(ctx context.Context, span record.Span, reverse bool, limit int) ([]record.Record, error) {
	return s.shown.Range(ctx, span, reverse, limit)
}

func (s *scratch) Commit(_ *record.Batch, done func(error)) error {
	go done(nil) // never from inside
	return nil
}

// unclosed is a view that its borrowers do not close.
type unclosed struct{ View }

func (unclosed) Close() error { return nil }

// nobody owns an actor that is only tried out.
type nobody struct{}

func (nobody) SleepWanted()   {}
func (nobody) DestroyWanted() {}
func (nobody) Stopped(error)  {}
