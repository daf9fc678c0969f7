package main

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/rivettest"
)

func start(t *testing.T) (*rivettest.App, rivet.Handle[Notebook]) {
	t.Helper()
	app := rivettest.Start(t, Definition())
	return app, Notebooks.GetOrCreate(app.Client(), rivet.Key{"ada"}, Notebook{})
}

// must calls an action that ought to succeed.
func must[A, R any](t *testing.T, act rivet.Action[Notebook, A, R], h rivet.Handle[Notebook], arg A) R {
	t.Helper()
	r, err := act.Call(t.Context(), h, arg)
	if err != nil {
		t.Fatalf("%s: %v", act.Name(), err)
	}
	return r
}

// agree checks that state and database count the same.
func agree(t *testing.T, h rivet.Handle[Notebook], want int) {
	t.Helper()
	if n := must(t, Count, h, rivet.None{}); n != want {
		t.Errorf("the state counts %d notes, want %d", n, want)
	}
	if found := must(t, Search, h, "engine OR looms OR poem"); len(found) != want {
		t.Errorf("%d notes are found, want %d", len(found), want)
	}
}

func TestG1_RowsAndCountsAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, ada := start(t)
		id := must(t, Write, ada, Draft{"Engine", "an engine that weaves algebraic patterns"})
		added := must(t, Import, ada, []Draft{{"Looms", "just as looms weave flowers"}, {"", "a poem without a title"}, {"Poem", "of numbers"}})
		if added != 2 {
			t.Errorf("%d were added", added)
		}
		agree(t, ada, 3)
		if _, err := Remove.Call(t.Context(), ada, 99); !rivet.Is(err, "user", "no_note") {
			t.Errorf("%v", err)
		}
		agree(t, ada, 3)
		app.Faults().FailCommits(1, nil)
		if _, err := Write.Call(t.Context(), ada, Draft{"Engine", "lost"}); !rivet.Is(err, "actor", "commit_failed") {
			t.Errorf("%v", err)
		}
		agree(t, ada, 3)
		must(t, Remove, ada, id)
		app.Crash()
		agree(t, ada, 2)
	})
}

func TestSearch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, ada := start(t)
		must(t, Write, ada, Draft{"Engine", "an engine that weaves algebraic patterns"})
		app.Advance(time.Hour) // it sleeps
		found := must(t, Search, ada, "weaves")
		if len(found) != 1 || found[0].Title != "Engine" || found[0].Excerpt != "an engine that [weaves] algebraic patterns" || !found[0].Written.Equal(time.Now().Add(-time.Hour)) {
			t.Errorf("%+v", found)
		}
		if n := must(t, Words, ada, rivet.None{}); n != 6 {
			t.Errorf("%d words", n)
		}
	})
}
