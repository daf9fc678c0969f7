package alarm

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/id"
)

var epoch = time.UnixMilli(1_700_000_000_000).UTC()

// at is the moment so many milliseconds after the beginning.
func at(ms int) moment {
	return moment{wall: epoch.Add(time.Duration(ms) * time.Millisecond), up: time.Duration(ms) * time.Millisecond}
}

func actor(n int) (a id.ID) {
	copy(a[:], fmt.Sprintf("%019d", n))
	return a
}

func alarmAt(n, ms int) store.Alarm { return store.Alarm{At: at(ms).wall, Actor: actor(n)} }

// fixed makes an agenda that pauses for a second after each failure and has read everything up to the end of time.
func fixed() *agenda {
	g := newAgenda(func(int) time.Duration { return time.Second })
	g.read = store.Alarm{At: epoch.Add(1 << 60)}
	return g
}

func (g *agenda) takes(t *testing.T, now moment, want ...int) {
	t.Helper()
	var got []int
	for a, ok := g.next(now); ok; a, ok = g.next(now) {
		got = append(got, number(t, a.Actor))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("woken: %v, want %v", got, want)
	}
}

func TestAgendaHandsOutWhatIsDue(t *testing.T) {
	g := fixed()
	g.found(alarmAt(3, 20), at(0))
	g.found(alarmAt(1, 10), at(0))
	g.found(alarmAt(2, 10), at(0))
	if d := g.wait(at(0), time.Minute); d != 10*time.Millisecond {
		t.Errorf("waits %v", d)
	}
	g.takes(t, at(9))
	g.takes(t, at(10), 1, 2)
	if d := g.wait(at(10), time.Minute); d != 10*time.Millisecond {
		t.Errorf("waits %v", d)
	}
	g.takes(t, at(50), 3)
	if d := g.wait(at(50), time.Minute); d != time.Minute {
		t.Errorf("waits %v", d)
	}
}

func TestAgendaFollowsTheAlarm(t *testing.T) {
	g := fixed()
	g.found(alarmAt(1, 10), at(0))
	g.found(alarmAt(1, 30), at(0)) // later
	g.found(alarmAt(2, 30), at(0))
	g.found(alarmAt(2, 10), at(0)) // earlier
	g.found(alarmAt(3, 10), at(0))
	g.none(actor(3))
	g.none(actor(4))
	g.takes(t, at(10), 2)
	g.takes(t, at(30), 1)
}

func TestAgendaPausesAfterFailures(t *testing.T) {
	g := fixed()
	g.found(alarmAt(1, 10), at(0))
	g.takes(t, at(10), 1)
	g.found(alarmAt(1, 10), at(10)) // told while it is being woken: looked at when that is over
	g.takes(t, at(5000))
	g.finished(actor(1))
	g.found(alarmAt(1, 10), at(5000)) // it sleeps and still has it
	if n := g.failures(actor(1)); n != 1 {
		t.Errorf("%d failures", n)
	}
	g.found(alarmAt(1, 10), at(5500)) // the window is read anew meanwhile
	g.takes(t, at(5999))
	g.takes(t, at(6000), 1)
	g.finished(actor(1))
	g.found(alarmAt(1, 10), at(6000))
	if n := g.failures(actor(1)); n != 2 {
		t.Errorf("%d failures", n)
	}
	g.found(alarmAt(1, 11), at(6000)) // another alarm: no pause
	g.takes(t, at(6000), 1)
	g.skip(actor(1))
	if len(g.items) != 0 {
		t.Errorf("%d items are left", len(g.items))
	}
}

func TestAgendaTakesTurns(t *testing.T) {
	g := fixed()
	for n := range 3 {
		g.found(alarmAt(n, 0), at(0))
	}
	g.takes(t, at(0), 0, 1, 2)
	for n := range 3 {
		g.finished(actor(n))
		g.found(alarmAt(n, 0), at(n))
		g.found(alarmAt(10+n, n), at(0))
	}
	g.turn = true // the retries' turn is the second
	g.takes(t, at(2000), 10, 0, 11, 1, 12, 2)
}

func TestAgendaKeepsToItsBounds(t *testing.T) {
	g := newAgenda(func(int) time.Duration { return time.Second })
	g.bounds = bounds{page: 4, waiting: 8, backing: 2}
	g.read = alarmAt(0, 1_000_000)
	for n := range 200 {
		g.found(alarmAt(n, 1000-n), at(0)) // each earlier than all others
		if g.waiting.len() > 16 || len(g.items) > 16 {
			t.Fatalf("%d items", len(g.items))
		}
	}
	if g.read.Compare(alarmAt(0, 1_000_000)) >= 0 {
		t.Error("the window was not shortened")
	}
	g = fixed()
	g.bounds = bounds{page: 4, waiting: 8, backing: 2}
	for n := range 5 {
		g.found(alarmAt(n, 0), at(0))
	}
	g.takes(t, at(0), 0, 1, 2, 3, 4)
	for n := range 5 {
		g.finished(actor(n))
		g.found(alarmAt(n, 0), at(0))
	}
	if len(g.items) != 2 || g.retries.len() != 2 {
		t.Errorf("%d items, %d retries", len(g.items), g.retries.len())
	}
}

// TestG4_AgendaLosesNothing drives an agenda with tiny bounds through random lives of actors, with a model of the store,
// and checks after each step that whoever sleeps and is due is handed out.
func TestG4_AgendaLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const actors = 30
		g := newAgenda(func(int) time.Duration { return 50 * time.Millisecond })
		g.bounds = bounds{page: 3, waiting: 2, backing: 1000}
		now := 0
		alarms := map[int]int{} // milliseconds
		awake := map[int]bool{}
		read := func() {
			for q, ok := g.more(at(now)); ok; q, ok = g.more(at(now)) {
				var rows []store.Alarm
				for n, ms := range alarms {
					if a := alarmAt(n, ms); a.Compare(q.After) > 0 && !a.At.After(q.Until) {
						rows = append(rows, a)
					}
				}
				slices.SortFunc(rows, store.Alarm.Compare)
				rows = rows[:min(len(rows), q.Limit)]
				g.page(q, rows)
				for _, a := range rows {
					n := number(t, a.Actor)
					if !awake[n] {
						g.found(a, at(now))
					}
				}
			}
		}
		look := func(n int) {
			if awake[n] || g.busy(actor(n)) {
				return
			}
			if ms, ok := alarms[n]; ok {
				g.found(alarmAt(n, ms), at(now))
			} else {
				g.none(actor(n))
			}
		}
		// settle wakes everybody who is due and checks that nobody is left. Whom it wakes stays awake.
		settle := func() {
			for {
				read()
				a, ok := g.next(at(now))
				if !ok {
					break
				}
				n := number(t, a.Actor)
				if awake[n] {
					g.skip(a.Actor)
					continue
				}
				if ms := alarms[n]; ms > now {
					t.Fatalf("actor %d is woken at %d for %d", n, now, ms)
				}
				awake[n] = rapid.IntRange(0, 5).Draw(t, "starts") > 0
				g.finished(a.Actor)
				look(n)
			}
			for n, ms := range alarms {
				it := g.items[actor(n)]
				if !awake[n] && ms <= now && (it == nil || it.state != backing) {
					t.Fatalf("actor %d is due at %d and sleeps at %d", n, ms, now)
				}
			}
			if g.waiting.len() > 2*g.bounds.waiting {
				t.Fatalf("%d are waiting", g.waiting.len())
			}
			for _, q := range []queue{g.waiting, g.retries} {
				for i, it := range q.items {
					if it.place != i || g.items[it.Actor] != it {
						t.Fatal("the queue and the items disagree")
					}
				}
			}
		}
		who := func(t *rapid.T) int { return rapid.IntRange(0, actors-1).Draw(t, "actor") }
		t.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) { settle() },
			"sleep": func(t *rapid.T) {
				n := who(t)
				if rapid.Bool().Draw(t, "has alarm") {
					alarms[n] = now + rapid.SampledFrom([]int{-50, 0, 1, 10, 100, 1000, 14_000, 16_000, 31_000, 100_000}).Draw(t, "in")
				} else {
					delete(alarms, n)
				}
				awake[n] = false
				look(n)
			},
			"wake":    func(t *rapid.T) { awake[who(t)] = true },
			"time":    func(t *rapid.T) { now += rapid.SampledFrom([]int{1, 10, 100, 1000, 20_000}).Draw(t, "passes") },
			"restart": func(*rapid.T) { g.restart() },
		})
		// In the end everybody wakes.
		for range 2 * actors {
			now += 200_000
			settle()
		}
		for n := range alarms {
			if !awake[n] && g.items[actor(n)].state != backing {
				t.Fatalf("actor %d never woke", n)
			}
		}
	})
}

func number(t interface{ Fatal(...any) }, a id.ID) int {
	n, err := strconv.Atoi(string(a[:]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
