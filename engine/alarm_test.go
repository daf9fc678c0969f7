package engine

import (
	"testing"
	"time"

	"github.com/rivetgo/rivet/actor"
	"github.com/rivetgo/rivet/internal/store/embedded"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// An actor that sleeps with an alarm wakes with nobody asking for it, in another life of the process too.
func TestG4_alarms_wake_sleeping_actors(t *testing.T) {
	r := begin(t, "", actor.Options{})
	want(t, add, r.handle("a"), 1, int64(1))
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	due := time.Now().Add(200 * time.Millisecond)
	setAlarm(t, r.dir, "thing", `a`, due)

	r = begin(t, r.dir, actor.Options{SleepAfter: time.Millisecond})
	select {
	case key := <-r.probe.slept: // so it was awake
		if key != "a" || time.Now().Before(due) {
			t.Errorf("%s slept %v before it was due", key, time.Until(due))
		}
	case <-t.Context().Done():
		t.Fatal("nobody woke")
	}
}

// setAlarm sets the alarm of an actor in the store of an engine that does not run.
func setAlarm(t *testing.T, dir, name, key string, due time.Time) {
	t.Helper()
	st, err := embedded.Open(dir, embedded.Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	all, err := st.Namespaces(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	row, err := st.Lookup(t.Context(), all[0].ID, name, key)
	if err != nil {
		t.Fatal(err)
	}
	tenure, err := st.Acquire(t.Context(), row.ID)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	if err := tenure.Commit(&record.Batch{SetAlarm: true, Alarm: due.UnixMilli()}, func(err error) { done <- err }); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
