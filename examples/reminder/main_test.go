package main

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/rivettest"
)

func start(t *testing.T) (*rivettest.App, rivet.Handle[Reminders]) {
	t.Helper()
	app := rivettest.Start(t, Definition())
	return app, People.GetOrCreate(app.Client(), rivet.Key{"ada"}, Reminders{})
}

// must calls an action that ought to succeed.
func must[A, R any](t *testing.T, act rivet.Action[Reminders, A, R], h rivet.Handle[Reminders], arg A) R {
	t.Helper()
	r, err := act.Call(t.Context(), h, arg)
	if err != nil {
		t.Fatalf("%s: %v", act.Name(), err)
	}
	return r
}

func heard(t *testing.T, h rivet.Handle[Reminders], want ...string) {
	t.Helper()
	if got := must(t, Heard, h, rivet.None{}); !slices.Equal(got, want) {
		t.Errorf("heard %q, want %q", got, want)
	}
}

func TestG4_AReminderWakesAndSurvivesACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, ada := start(t)
		must(t, Remind, ada, Once{"call home", 3600})
		must(t, Remind, ada, Once{"go to bed", 8 * 3600})
		app.Advance(10 * time.Minute)
		if app.Awake(ada) {
			t.Error("awake with nothing to do for an hour")
		}
		app.Advance(50*time.Minute + time.Second)
		heard(t, ada, "call home")
		app.CrashFor(24 * time.Hour)
		app.Advance(time.Second) // late, but there
		heard(t, ada, "call home", "go to bed")
		if left := must(t, Plans, ada, rivet.None{}); len(left) != 0 {
			t.Errorf("plans %v: what has run is gone", left)
		}
	})
}

// Virtual time begins on Saturday, 1 January 2000, at midnight UTC.
func TestADailyReminderFollowsItsTimeZone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, ada := start(t)
		must(t, SetDaily, ada, Daily{"work", "work", "30 8 * * 1-5", "Europe/Berlin"})
		plan := must(t, Plans, ada, rivet.None{})
		want := time.Date(2000, 1, 3, 7, 30, 0, 0, time.UTC) // Monday; Berlin is an hour ahead in winter
		if len(plan) != 1 || plan[0].ID != "work" || plan[0].Kind != "cron" || !plan[0].Next.Equal(want) {
			t.Fatalf("plans %+v, want %v", plan, want)
		}
		app.Advance(7 * 24 * time.Hour)
		heard(t, ada, "work", "work", "work", "work", "work")
		if got := must(t, History, ada, "work"); len(got) != 5 || got[4] != "2000-01-03T07:30:00Z ok" {
			t.Errorf("history %q", got)
		}
		if !must(t, Cancel, ada, "work") || must(t, Cancel, ada, "work") {
			t.Error("it is cancelled once")
		}
		app.Advance(3 * 24 * time.Hour)
		heard(t, ada, "work", "work", "work", "work", "work")
	})
}

func TestG4_WaterThatWasMissedIsNotDrunkLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, ada := start(t)
		must(t, Drink, ada, 120)
		app.Advance(4*time.Hour + time.Second)
		heard(t, ada, "drink water", "drink water")
		app.CrashFor(7 * time.Hour) // three are missed, one an hour ago
		app.Advance(time.Second)
		heard(t, ada, "drink water", "drink water")
		app.Advance(time.Hour) // the distances are kept
		heard(t, ada, "drink water", "drink water", "drink water")
		if got := must(t, History, ada, "drink"); !slices.Equal(got, []string{
			"2000-01-01T12:00:00Z ok", "2000-01-01T06:00:00Z skipped", "2000-01-01T04:00:00Z ok", "2000-01-01T02:00:00Z ok",
		}) {
			t.Errorf("history %q", got)
		}
	})
}

func TestAOneShotIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, ada := start(t)
		id := must(t, Remind, ada, Once{"never mind", 60})
		if !must(t, Cancel, ada, id) {
			t.Error("it was not there")
		}
		app.Advance(time.Hour)
		heard(t, ada)
		if _, err := Ring.Call(t.Context(), ada, "by hand"); !rivet.Is(err, "user", "not_a_bell") {
			t.Errorf("Ring by hand: %v", err)
		}
	})
}

func TestWhoIsThereHears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, ada := start(t)
		conn, err := ada.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		var rang []string
		defer Rang.On(conn, func(text string) { rang = append(rang, text) })()
		must(t, Remind, ada, Once{"tea", 240})
		app.Advance(4*time.Minute + time.Second)
		if !slices.Equal(rang, []string{"tea"}) {
			t.Errorf("rang %q", rang)
		}
	})
}
