package rivettest_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"testing"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
	"github.com/rivetgo/rivet/rivettest"
)

// Counter is what a counter is created with: nothing.
type Counter struct{}

var (
	Counters  = rivet.NewActor[Counter]("counter")
	Increment = rivet.NewAction[int, int](Counters, "increment")
)

type counter struct{ Count int }

func (s *counter) increment(_ *actor.Ctx, by int) (int, error) {
	s.Count += by
	return s.Count, nil
}

func counterDefinition() actor.Definition {
	d := actor.Define(Counters, actor.Zero[Counter, counter])
	actor.Handle(d, Increment, (*counter).increment)
	return d
}

// A count survives the crash of its process, but not what was not acknowledged before.
func ExampleApp_Crash() {
	t, end := example() // in a test: its own t
	defer end()

	app := rivettest.Start(t, counterDefinition())
	likes := Counters.GetOrCreate(app.Client(), rivet.Key{"likes"}, Counter{})
	n, err := Increment.Call(t.Context(), likes, 2)
	fmt.Println(n, err)

	app.Faults().FailCommits(1, nil)
	_, err = Increment.Call(t.Context(), likes, 100)
	fmt.Println(rivet.Is(err, "actor", "commit_failed"))

	app.Crash()
	n, err = Increment.Call(t.Context(), likes, 3)
	fmt.Println(n, err)
	// Output:
	// 2 <nil>
	// true
	// 5 <nil>
}

// example stands in for the *testing.T that examples do not have.
func example() (t testing.TB, end func()) {
	e := &exampleTB{}
	ctx, cancel := context.WithCancel(context.Background())
	e.ctx = ctx
	return e, func() {
		cancel()
		for _, f := range slices.Backward(e.cleanups) {
			f()
		}
	}
}

type exampleTB struct {
	testing.TB
	ctx      context.Context
	cleanups []func()
}

func (e *exampleTB) Helper()                           {}
func (e *exampleTB) Context() context.Context          { return e.ctx }
func (e *exampleTB) Output() io.Writer                 { return io.Discard }
func (e *exampleTB) Cleanup(f func())                  { e.cleanups = append(e.cleanups, f) }
func (e *exampleTB) Errorf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
func (e *exampleTB) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
