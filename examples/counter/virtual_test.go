package main

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/rivettest"
)

func TestCountSurvivesACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // hours pass in microseconds
		app := rivettest.Start(t, Definition())
		likes := Counters.GetOrCreate(app.Client(), rivet.Key{"likes"}, Counter{})
		if _, err := Increment.Call(t.Context(), likes, 2); err != nil {
			t.Fatal(err)
		}
		app.Crash()
		if n, err := Increment.Call(t.Context(), likes, 3); err != nil || n != 5 {
			t.Errorf("the count is %d, %v; want 5", n, err)
		}
	})
}

func TestCountSurvivesSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := rivettest.Start(t, Definition())
		likes := Counters.GetOrCreate(app.Client(), rivet.Key{"likes"}, Counter{})
		if _, err := Increment.Call(t.Context(), likes, 2); err != nil {
			t.Fatal(err)
		}
		app.Advance(time.Hour)
		if app.Awake(likes) {
			t.Error("awake after an hour without a call")
		}
		if n, err := GetCount.Call(t.Context(), likes, rivet.None{}); err != nil || n != 2 {
			t.Errorf("the count is %d, %v; want 2", n, err)
		}
	})
}

func TestAFailedCommitCountsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := rivettest.Start(t, Definition())
		likes := Counters.GetOrCreate(app.Client(), rivet.Key{"likes"}, Counter{})
		conn, err := likes.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		var seen []int64
		defer Count.On(conn, func(n int64) { seen = append(seen, n) })()
		if _, err := Increment.Call(t.Context(), conn, 1); err != nil {
			t.Fatal(err)
		}
		app.Faults().FailCommits(1, nil)
		if _, err := Increment.Call(t.Context(), likes, 100); !rivet.Is(err, "actor", "commit_failed") {
			t.Fatalf("the call whose commit failed: %v", err)
		}
		app.Advance(time.Second) // the connection comes back
		if _, err := Increment.Call(t.Context(), likes, 1); err != nil {
			t.Fatal(err)
		}
		app.Advance(0)
		if len(seen) != 2 || seen[0] != 1 || seen[1] != 2 {
			t.Errorf("events %v, want 1 and 2: the failed turn must not be seen", seen)
		}
	})
}
