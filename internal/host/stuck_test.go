package host

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rivetgo/rivet/internal/queue"
	"github.com/rivetgo/rivet/internal/schedule"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// keeper does what the engine does for an actor: it lets it sleep and be destroyed when it asks for that, and wakes it at
// its alarm. Nobody calls the actor.
type keeper struct {
	t         *testing.T
	spec      *Spec
	office    *postOffice
	life      *life // nil while it sleeps
	disk      *disk
	destroyed bool
}

// keep lets d pass.
func (k *keeper) keep(d time.Duration) {
	k.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end) && !k.destroyed; {
		if k.life == nil {
			at := time.UnixMilli(k.disk.alarm())
			if k.disk.alarm() == 0 || at.After(end) {
				pass(time.Until(end))
				return
			}
			pass(max(time.Until(at), 0))
			k.life = k.office.sender(k.t, k.spec, k.disk)
			k.disk = k.life.disk
		}
		select {
		case <-k.life.owner.sleep:
			k.stop(false)
		case <-k.life.owner.destroy:
			k.stop(true)
			k.destroyed = true
		case <-time.After(time.Until(end)):
		}
	}
	synctest.Wait()
}

func (k *keeper) stop(destroy bool) {
	k.life.end(destroy)
	k.disk, k.life = k.life.disk.rest(), nil
}

// Every state that is not final has a deadline or somebody who goes on with it, whatever comes between. For each state:
// how an actor gets there, and how it shows that it has left.
func TestG6_nothing_stays_as_it_is_for_ever(t *testing.T) {
	enqueue := func(q, body string, delay time.Duration) func(*life) {
		return func(l *life) {
			no(l.t, l.turn(func(c *Call, _ *tally) error { _, err := c.Enqueue(c, q, []byte(body), "", delay); return err }))
		}
	}
	sets := func(sp func() schedule.Spec) func(*life) { return func(l *life) { l.sets(sp()) } }
	none := func(kinds ...record.Kind) func(*keeper) bool {
		return func(k *keeper) bool {
			n := 0
			for _, kind := range kinds {
				n += k.disk.count(kind)
			}
			return n == 0
		}
	}
	messages, plans, sends := none(record.KindMessage, record.KindAttempt), none(record.KindSchedule), none(record.KindOutbox)
	states := map[string]struct {
		reach func(l *life)
		wait  time.Duration // until it is in the state
		left  func(k *keeper) bool
	}{
		"message: ready, for a handler":     {enqueue("h", "good", 0), 0, messages},
		"message: in the handler's hands":   {enqueue("h", "slow", 0), time.Second, messages},
		"message: fails, again and again":   {enqueue("h", "bad", 0), 2 * time.Second, messages},
		"message: ready, for the run loop":  {enqueue("a", "good", 0), 0, messages},
		"message: in the run loop's hands":  {enqueue("a", "slow", 0), time.Second, messages},
		"message: leased, and forgotten":    {enqueue("a", "forget", 0), time.Second, messages},
		"message: delayed":                  {enqueue("a", "good", 10*time.Minute), time.Second, messages},
		"message: of a run loop that fails": {enqueue("a", "break", 0), time.Second, messages},
		"schedule: planned":                 {sets(func() schedule.Spec { return after("s", 10*time.Minute, "add") }), time.Second, plans},
		"schedule: running, in a turn":      {sets(func() schedule.Spec { return after("s", time.Second, "slow turn") }), 2 * time.Second, plans},
		"schedule: running, outside":        {sets(func() schedule.Spec { return after("s", time.Second, "slow outside") }), 2 * time.Second, plans},
		"schedule: its action fails":        {sets(func() schedule.Spec { return after("s", time.Second, "fail") }), time.Second, plans},
		"outbox: on its way":                {func(l *life) { no(l.t, l.post(queue.Target{Name: "slow"}, "1")) }, 0, sends},
		"outbox: to be tried again":         {func(l *life) { no(l.t, l.post(queue.Target{Name: "down"}, "1")) }, time.Second, sends},
		"outbox: refused":                   {func(l *life) { no(l.t, l.post(queue.Target{Name: "refuses"}, "1")) }, 0, sends},
		"actor: it asked to be destroyed":   {func(l *life) { no(l.t, l.turn(func(c *Call, _ *tally) error { c.Destroy(); return nil })) }, 0, func(k *keeper) bool { return k.destroyed }},
		"run loop: asked for a time": {func(l *life) {
			no(l.t, l.turn(func(c *Call, _ *tally) error { return c.SetWakeAt(time.Now().Add(time.Minute)) }))
		}, 0, func(k *keeper) bool { return k.disk.alarm() == 0 }},
		"run loop: asked for a time, and failing": {func(l *life) {
			no(l.t, l.turn(func(c *Call, _ *tally) error { return c.SetWakeAt(time.Now()) }))
			enqueue("a", "break", 0)(l)
		}, time.Second, messages},
	}
	for name, state := range states {
		for _, event := range []string{"nothing", "crash", "sleep", "crashes"} {
			t.Run(name+", "+event, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					k := &keeper{t: t, spec: stubborn(), office: newPostOffice()}
					to := start(t, boxes(), newDisk())
					k.office.at["slow"], k.office.slow["slow"] = to, 5*time.Second
					k.office.refuse["refuses"] = queueNotFound("a")
					time.AfterFunc(5*time.Minute, func() { k.office.set(func() { k.office.at["down"] = to }) })
					k.life = k.office.sender(t, k.spec, newDisk())
					k.disk = k.life.disk
					synctest.Wait()
					state.reach(k.life)
					pass(state.wait)
					switch event {
					case "crash", "crashes":
						k.disk, k.life = k.life.crash(), nil
					case "sleep":
						k.stop(false)
					}
					if event == "crashes" {
						for range 3 {
							k.keep(1500 * time.Millisecond)
							if k.life != nil {
								k.disk, k.life = k.life.crash(), nil
							}
						}
					}
					k.keep(3 * time.Hour)
					if !state.left(k) {
						t.Errorf("it is still there; the alarm is %d", k.disk.alarm())
					}
					if k.life != nil && !k.destroyed {
						t.Error("the actor does not sleep")
						k.stop(false)
					}
					if n := k.disk.alarm(); !k.destroyed && n != 0 {
						t.Errorf("an alarm at %v remains", time.UnixMilli(n))
					}
					to.end(false)
				})
			})
		}
	}
}

// stubborn is a definition whose code makes trouble the first time, or every time.
func stubborn() *Spec {
	s := boxes()
	s.Options.SleepAfter, s.Options.GracePeriod, s.Options.QueueMaxAttempts = 5*time.Second, 3*time.Second, 6
	var mu sync.Mutex
	seen := map[string]bool{}
	first := func(what string) bool {
		mu.Lock()
		defer mu.Unlock()
		was := seen[what]
		seen[what] = true
		return !was
	}
	slow := func(c *Call) error {
		select {
		case <-time.After(10 * time.Second):
			return nil
		case <-c.Done():
			return c.Err()
		}
	}
	act := func(kind ActionKind) *Action {
		return &Action{Kind: kind, Run: func(c *Call, _ State, _ []byte) ([]byte, error) {
			if first("action") {
				return nil, slow(c)
			}
			return nil, nil
		}}
	}
	s.Actions["slow turn"], s.Actions["slow outside"] = act(TurnAction), act(ConcurrentAction)
	s.Queues["h"] = &Queue{Handle: func(c *Call, _ State, d *Delivery) ([]byte, error) {
		switch body := string(d.Body); {
		case body == "bad":
			return nil, errBroken
		case body == "slow" && first("h"):
			return nil, slow(c)
		}
		return nil, nil
	}}
	s.Run = func(c *Call) error {
		if err := c.change(func(t *turn) error { // as a loop does that has seen its time pass
			if at := c.actor.mailbox.counters.WakeAt; at != 0 && at <= unixMilli(time.Now()) {
				c.actor.count(&t.stage, func(n *queue.Counters) { n.WakeAt = 0 })
			}
			return nil
		}); err != nil {
			return err
		}
		for {
			got, err := c.WaitTake(c, Take{Names: []string{"a"}})
			if err != nil {
				return err
			}
			switch body := string(got[0].Body); {
			case body == "break" && got[0].Attempt < 3:
				return errors.New("the run loop breaks")
			case body == "forget" && first("a"):
				continue
			case body == "slow" && first("a"):
				err = slow(c)
			}
			if err := errors.Join(err, c.Complete(got[0], nil)); err != nil {
				return err
			}
		}
	}
	return s
}
