package actor

import (
	"errors"
	"strings"
	"testing"

	"github.com/rivetgo/rivet"
)

type nothing struct{}

type empty struct{}

func ok(*empty, *Ctx, rivet.None) (rivet.None, error) { return rivet.None{}, nil }

// mistakes compiles definitions and returns what is wrong with them.
func mistakes(t *testing.T, ds ...Definition) string {
	t.Helper()
	_, err := Compile(ds...)
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestDefinitionMistakesNameTheActorAndTheLine(t *testing.T) {
	a := rivet.NewActor[nothing]("a")
	b := rivet.NewActor[nothing]("b")
	declared := rivet.NewAction[rivet.None, rivet.None](a, "declared")
	twice := rivet.NewAction[rivet.None, rivet.None](a, "twice")
	foreign := rivet.NewAction[rivet.None, rivet.None](b, "foreign")

	d := Define(a, Zero[nothing, empty])
	Handle(d, twice, ok)
	Handle(d, twice, ok)
	Handle(d, foreign, ok)
	d.Options.SleepAfter = -1
	d.Options.MaxDatabaseTurnBytes = 2 << 30
	got := mistakes(t, d)
	for _, want := range []string{
		`actor "a": action "declared" is declared here but has no handler: add actor.Handle to the definition at definition_test.go:`,
		`actor "a": action "twice" has a handler already, bound at definition_test.go:`,
		`actor "a": action "foreign" belongs to actor "b"`,
		`Options.SleepAfter is negative`,
		`Options.MaxDatabaseTurnBytes is 2147483648: at most 1073741824`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("not reported: %s\nreported:\n%s", want, got)
		}
	}
	if !strings.Contains(got, "definition_test.go:") || declared.Name() != "declared" {
		t.Errorf("no position in:\n%s", got)
	}
	var m *MistakeError
	if _, err := Compile(d); !errors.As(err, &m) || m.Actor != "a" {
		t.Errorf("the mistakes are not MistakeErrors: %v", err)
	}
}

func TestMoreDefinitionMistakes(t *testing.T) {
	type bad struct{ C chan int }
	long := strings.Repeat("x", 65)
	for want, make := range map[string]func() Definition{
		"takes 1 to 64":       func() Definition { return Define(rivet.NewActor[nothing](""), Zero[nothing, empty]) },
		"the name has 65":     func() Definition { return Define(rivet.NewActor[nothing](long), Zero[nothing, empty]) },
		"has no constructor":  func() Definition { return Define[nothing, empty](rivet.NewActor[nothing]("a"), nil) },
		"cannot be stored":    func() Definition { return Define(rivet.NewActor[nothing]("a"), Zero[nothing, bad]) },
		"is not a struct":     func() Definition { return Define(rivet.NewActor[nothing]("a"), Zero[nothing, int]) },
		"a definition is nil": func() Definition { return nil },
		"declared twice": func() Definition {
			a := rivet.NewActor[nothing]("a")
			act := rivet.NewAction[rivet.None, rivet.None](a, "x")
			rivet.NewAction[rivet.None, rivet.None](a, "x")
			d := Define(a, Zero[nothing, empty])
			Handle(d, act, ok)
			return d
		},
		"the handler of action \"x\" is nil": func() Definition {
			a := rivet.NewActor[nothing]("a")
			act := rivet.NewAction[rivet.None, rivet.None](a, "x")
			d := Define(a, Zero[nothing, empty])
			Handle[nothing, empty](d, act, nil)
			return d
		},
		"OnConnect is bound twice": func() Definition {
			a := rivet.NewActor[nothing]("a")
			p := rivet.NewParams[rivet.None](a)
			d := Define(a, Zero[nothing, empty])
			join := func(*empty, *Ctx, rivet.None) (empty, error) { return empty{}, nil }
			OnConnect(d, p, ConnState[empty]{}, join)
			OnConnect(d, p, ConnState[empty]{}, join)
			return d
		},
	} {
		if got := mistakes(t, make()); !strings.Contains(got, want) {
			t.Errorf("want %q, reported: %s", want, got)
		}
	}
	same := func() Definition { return Define(rivet.NewActor[nothing]("a"), Zero[nothing, empty]) }
	if got := mistakes(t, same(), same()); !strings.Contains(got, `actor "a" is defined twice`) {
		t.Errorf("reported: %s", got)
	}
	if got := mistakes(t, same()); got != "" {
		t.Errorf("a good definition has mistakes: %s", got)
	}
}

func TestG1_restoring_leaves_what_is_not_stored_alone(t *testing.T) {
	type inner struct{ X, Y int }
	type Embedded struct{ E int }
	type state struct {
		Embedded
		N       int
		P       *inner
		M       map[string]int
		Skipped int `cbor:"-"`
		cache   int
	}
	b := &box[state]{s: &state{Embedded: Embedded{1}, N: 2, P: &inner{3, 4}, M: map[string]int{"a": 1}, Skipped: 5, cache: 6}, fields: durableFieldsOf[state]()}
	enc, err := b.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := b.s
	s.E, s.N, s.P.X, s.Skipped, s.cache = 100, 100, 100, 7, 8
	s.M["b"] = 2
	if err := b.Restore(enc); err != nil {
		t.Fatal(err)
	}
	if s.E != 1 || s.N != 2 || s.P.X != 3 || s.P.Y != 4 || len(s.M) != 1 {
		t.Errorf("durable fields: %+v %+v", s, s.P)
	}
	if s.Skipped != 7 || s.cache != 8 {
		t.Errorf("fields that are not stored were touched: %+v", s)
	}
	if b.s != s {
		t.Error("the struct moved: pointers to it are stale")
	}
}
