package host

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// jumpy is a wall clock that is set while time passes.
type jumpy struct{ off atomic.Int64 }

func (j *jumpy) now() time.Time { return time.Now().Add(time.Duration(j.off.Load())) }

func TestG4_ATimerFollowsTheWallClock(t *testing.T) {
	for _, tt := range []struct {
		name  string
		jumps map[time.Duration]time.Duration // when the clock is set, and by how much
		want  time.Duration                   // when a timer for an hour from the beginning fires
	}{
		{"that_runs_as_time_passes", nil, time.Hour},
		{"set_forward_beyond_the_instant", map[time.Duration]time.Duration{10*time.Minute + time.Second: 2 * time.Hour}, 10*time.Minute + 10*time.Second},
		{"set_forward", map[time.Duration]time.Duration{10 * time.Minute: 20 * time.Minute}, 40 * time.Minute},
		{"set_back", map[time.Duration]time.Duration{10 * time.Minute: -24 * time.Hour}, 25 * time.Hour},
		{"set_back_just_before_it_fires", map[time.Duration]time.Duration{time.Hour - time.Millisecond: -time.Minute}, time.Hour + time.Minute},
		{"set_back_and_forward", map[time.Duration]time.Duration{10 * time.Minute: -2 * time.Hour, 30 * time.Minute: 2 * time.Hour}, time.Hour},
		{"set_forward_and_back_between_two_looks", map[time.Duration]time.Duration{61 * time.Second: 2 * time.Hour, 62 * time.Second: -2 * time.Hour}, time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				clock := &jumpy{}
				var fired []time.Duration
				w := &wallTimer{now: clock.now, fn: func() { fired = append(fired, time.Since(began)) }}
				w.set(began.Add(time.Hour).UnixMilli())
				var moments []time.Duration
				for at := range tt.jumps {
					moments = append(moments, at)
				}
				slices.Sort(moments)
				for _, at := range moments {
					time.Sleep(time.Until(began.Add(at)))
					clock.off.Add(int64(tt.jumps[at]))
				}
				time.Sleep(50 * time.Hour)
				synctest.Wait()
				if !slices.Equal(fired, []time.Duration{tt.want}) {
					t.Errorf("fired %v, want %v", fired, tt.want)
				}
			})
		})
	}
}

func TestAWallTimerIsSetAgainAndStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		at := func(s int) int64 { return began.Add(time.Duration(s) * time.Second).UnixMilli() }
		pass := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		var fired []time.Duration
		w := &wallTimer{fn: func() { fired = append(fired, time.Since(began)) }}
		w.stop() // never set
		w.set(at(100))
		w.set(at(25))
		pass(30 * time.Second)
		w.set(at(20)) // past
		pass(time.Second)
		w.set(at(40))
		w.set(at(50)) // later
		pass(30 * time.Second)
		w.set(at(70))
		w.stop()
		pass(time.Hour)
		if want := []time.Duration{25 * time.Second, 30 * time.Second, 50 * time.Second}; !slices.Equal(fired, want) {
			t.Errorf("fired %v, want %v", fired, want)
		}
	})
}
