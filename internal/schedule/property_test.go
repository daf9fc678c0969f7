package schedule

import (
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// world drives one row as a host would, with a clock that jumps and a process that dies, and checks what the package
// promises at each step.
type world struct {
	t       *rapid.T
	row     Row
	now     int64
	first   int64              // the first trigger
	running map[uint64]*Firing // claimed and not completed, in this life
	fired   map[int64]int      // trigger → the newest attempt
	number  uint64
}

func drawSpec(t *rapid.T) Spec {
	s := Spec{
		Kind: Kind(rapid.IntRange(0, 2).Draw(t, "kind")), ID: RecurringID("job"), Action: "act", MaxHistory: 3,
		Overlap: Overlap(rapid.IntRange(0, 2).Draw(t, "overlap")),
		Missed:  Missed(rapid.IntRange(0, 2).Draw(t, "missed")),
	}
	switch s.Kind {
	case At:
		s.ID, s.At = "one", rapid.Int64Range(-10, epoch+3_600_000).Draw(t, "at")
	case Cron:
		s.Expression = rapid.SampledFrom([]string{"* * * * *", "*/7 * * * *", "30 1 * * *", "15 */2 * * *"}).Draw(t, "expression")
		s.Timezone = rapid.SampledFrom([]string{"", "America/New_York", "Australia/Lord_Howe"}).Draw(t, "zone")
	case Every:
		s.Interval = rapid.Int64Range(MinInterval, 7_200_000).Draw(t, "interval")
	}
	return s
}

// epoch is 2026-10-31T18:00Z, hours before New York sets its clock back.
const epoch = 1_793_469_600_000

func TestG4_NothingFiresTwiceOrDrifts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, now: epoch, running: map[uint64]*Firing{}, fired: map[int64]int{}}
		row, err := First(drawSpec(t), w.now)
		if err != nil {
			t.Fatal(err)
		}
		w.row, w.first = row, row.NextAt
		t.Repeat(map[string]func(*rapid.T){
			"soon":        func(t *rapid.T) { w.now += rapid.Int64Range(1, 90_000).Draw(t, "ms") },
			"later":       func(t *rapid.T) { w.now += rapid.Int64Range(60_000, 40*3_600_000).Draw(t, "ms") },
			"set back":    func(t *rapid.T) { w.now -= rapid.Int64Range(1, 5*3_600_000).Draw(t, "ms") },
			"to its time": func(*rapid.T) { w.now = max(w.now, w.row.WakeAt()) },
			"claim":       func(*rapid.T) { w.claim() },
			"complete":    w.complete,
			"crash":       func(*rapid.T) { w.crash() },
			"set again":   w.replace,
			"":            func(*rapid.T) { w.check() },
		})
		w.settle()
	})
}

func (w *world) claim() {
	for n := 0; Due(w.row, w.now); n++ {
		if n > MaxLate+2*MaxParallel+2 {
			w.t.Fatalf("%d claims at one time", n)
		}
		before := w.row
		c, err := Claim(w.row, w.now)
		if err != nil {
			w.t.Fatal(err)
		}
		w.row = c.Row
		if reflect.DeepEqual(before, w.row) {
			w.t.Fatal("a claim changed nothing")
		}
		if w.row.NextAt != 0 && w.row.NextAt < before.NextAt {
			w.t.Fatalf("the plan went back from %d to %d", before.NextAt, w.row.NextAt)
		}
		if s := c.Skipped; s != nil {
			w.numbered(s.Number)
			w.claimed(s.ScheduledAt, 1)
			if w.row.NextAt != 0 && w.row.NextAt <= s.ScheduledAt {
				w.t.Fatalf("skipped %d, next %d", s.ScheduledAt, w.row.NextAt)
			}
		}
		if f := c.Fire; f != nil {
			w.fire(f)
		}
	}
	if again, err := Claim(w.row, w.now); err != nil || !reflect.DeepEqual(again, Claimed{Row: w.row}) {
		w.t.Fatalf("a claim of what is not due: %+v, %v", again, err)
	}
}

func (w *world) fire(f *Firing) {
	w.numbered(f.Number)
	w.claimed(f.ScheduledAt, f.Attempt)
	switch {
	case f.FiredAt != w.now || w.row.LastAt != w.now:
		w.t.Fatalf("fired at %d, now %d", f.FiredAt, w.now)
	case f.Attempt == 1 && f.ScheduledAt > w.now && w.row.Overlap != OverlapQueue: // what waited may see the clock set back
		w.t.Fatalf("%d fired early, at %d", f.ScheduledAt, w.now)
	case w.row.NextAt != 0 && w.row.NextAt <= f.ScheduledAt:
		w.t.Fatalf("fired %d, next %d", f.ScheduledAt, w.row.NextAt)
	case w.row.Missed == MissedSkip && w.row.Kind != At && w.row.Overlap != OverlapQueue && f.Attempt == 1 && w.now-f.ScheduledAt > LateAfter:
		w.t.Fatalf("fired %d ms late", w.now-f.ScheduledAt)
	case w.row.Kind == Every && (f.ScheduledAt-w.first)%w.row.Interval != 0:
		w.t.Fatalf("%d drifted from %d by %d", f.ScheduledAt, w.first, w.row.Interval)
	}
	w.running[f.Number] = f
	if w.row.Overlap != OverlapParallel && len(w.running) > 1 || len(w.running) > MaxParallel {
		w.t.Fatalf("%d runs at once", len(w.running))
	}
}

func (w *world) numbered(n uint64) {
	if w.number++; n != w.number {
		w.t.Fatalf("entry %d after %d", n, w.number-1)
	}
}

// claimed checks that attempts of a trigger follow one another.
func (w *world) claimed(trigger int64, attempt int) {
	if w.fired[trigger] != attempt-1 {
		w.t.Fatalf("attempt %d of trigger %d after %d", attempt, trigger, w.fired[trigger])
	}
	w.fired[trigger] = attempt
}

func (w *world) complete(t *rapid.T) {
	for n := range w.running {
		row, ok := Complete(w.row, n)
		if !ok {
			t.Fatalf("run %d is unknown", n)
		}
		w.row = row
		delete(w.running, n)
		if again, ok := Complete(w.row, n); ok || !reflect.DeepEqual(again, w.row) {
			t.Fatalf("run %d completed twice", n)
		}
		return
	}
}

// crash loses the memory: what is stored comes back.
func (w *world) crash() {
	row, err := DecodeRow(w.row.ID, AppendRow(nil, &w.row))
	if err != nil {
		w.t.Fatal(err)
	}
	if !reflect.DeepEqual(row, w.row) {
		w.t.Fatalf("stored %+v, read %+v", w.row, row)
	}
	var entries []Entry
	w.row, entries = Recover(row, w.now)
	if len(entries) != len(w.running) {
		w.t.Fatalf("%d runs were interrupted, entries tell of %d", len(w.running), len(entries))
	}
	for _, e := range entries {
		if w.running[e.Number] == nil || e.Failure.Code != "interrupted" {
			w.t.Fatalf("unexpected entry %+v", e)
		}
	}
	clear(w.running)
}

// replace sets the schedule again with its own cadence.
func (w *world) replace(t *rapid.T) {
	s := w.row.Spec
	s.MaxHistory = rapid.IntRange(0, 5).Draw(t, "history")
	row, err := Replace(w.row, s, w.now)
	if err != nil {
		t.Fatal(err)
	}
	if row.NextAt != w.row.NextAt {
		t.Fatalf("the plan moved from %d to %d", w.row.NextAt, row.NextAt)
	}
	w.row = row
}

func (w *world) check() {
	if err := w.row.valid(); err != nil {
		w.t.Fatal(err)
	}
	if len(w.running) == 0 && w.row.WakeAt() == 0 && !w.row.Spent() {
		w.t.Fatalf("stuck: %+v", w.row)
	}
}

// settle shows that every claim ends, and that a one-shot has run.
func (w *world) settle() {
	for range 3 * (MaxLate + maxRuns) {
		for len(w.running) > 0 {
			w.complete(w.t)
		}
		w.now = max(w.now, w.row.WakeAt())
		if w.row.Spent() {
			break
		}
		w.claim()
	}
	if w.row.Kind == At && (!w.row.Spent() || w.fired[w.row.At] == 0) {
		w.t.Fatalf("a one-shot did not run: %+v", w.row)
	}
	if w.row.Kind != At && w.row.Late > MaxLate {
		w.t.Fatalf("late %d", w.row.Late)
	}
}

func TestG4_MissedAllIsBounded(t *testing.T) {
	for _, kind := range []Spec{
		{Kind: Every, Interval: MinInterval},
		{Kind: Cron, Expression: "* * * * *"},
	} {
		t.Run(fmt.Sprint(kind.Kind), func(t *testing.T) {
			kind.ID, kind.Action, kind.Missed = RecurringID("job"), "act", MissedAll
			row, err := First(kind, epoch)
			if err != nil {
				t.Fatal(err)
			}
			now := int64(epoch + 365*24*3_600_000)
			fired, skipped := 0, 0
			for Due(row, now) {
				c, err := Claim(row, now)
				if err != nil {
					t.Fatal(err)
				}
				row = c.Row
				if c.Skipped != nil {
					skipped++
				}
				if c.Fire != nil {
					fired++
					row, _ = Complete(row, c.Fire.Number)
				}
			}
			if fired != MaxLate || skipped != 1 || row.NextAt <= now || row.Late != 0 {
				t.Errorf("fired %d, skipped %d, next %d, late %d", fired, skipped, row.NextAt-now, row.Late)
			}
		})
	}
}

// TestOverlapReplacedWhileRunning: a stored row is readable whatever the policies were when its runs began.
func TestOverlapReplacedWhileRunning(t *testing.T) {
	s := Spec{ID: RecurringID("job"), Kind: Every, Interval: MinInterval, Action: "act", Overlap: OverlapParallel, Missed: MissedAll}
	row, err := First(s, epoch)
	if err != nil {
		t.Fatal(err)
	}
	now := int64(epoch)
	claim := func() (fired int) {
		for Due(row, now) {
			c, err := Claim(row, now)
			if err != nil {
				t.Fatal(err)
			}
			if row = c.Row; c.Fire != nil {
				fired++
			}
		}
		if row, err = DecodeRow(row.ID, AppendRow(nil, &row)); err != nil {
			t.Fatal(err)
		}
		return fired
	}
	now += 40 * MinInterval
	if n := claim(); n != MaxParallel {
		t.Fatalf("%d runs in parallel", n)
	}
	s.Overlap, s.Missed = OverlapQueue, MissedOnce
	if row, err = Replace(row, s, now); err != nil {
		t.Fatal(err)
	}
	if n := claim(); n != 0 || len(row.Runs) != maxRuns {
		t.Fatalf("%d fired, %d runs", n, len(row.Runs))
	}
	row, _ = Recover(row, now)
	if n := claim(); n != 1 {
		t.Fatalf("%d runs beside one another", n)
	}
	s.Overlap = OverlapParallel
	if row, err = Replace(row, s, now); err != nil {
		t.Fatal(err)
	}
	if n := claim(); n != MaxParallel-1 {
		t.Fatalf("%d more runs", n)
	}
}
