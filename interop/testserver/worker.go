package main

import (
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

type workerInput struct{}

type job struct {
	N    float64 `json:"n"`
	Fail string  `json:"fail,omitempty"`
}

type tripled struct {
	Result float64   `json:"result"`
	Extra  rivet.Raw `json:"extra"`
}

var (
	workers   = rivet.NewActor[workerInput]("worker")
	wJobs     = rivet.NewQueue[job, tripled](workers, "jobs")         // taken by the run loop
	wSums     = rivet.NewQueue[float64, float64](workers, "sums")     // handled in turns
	wIdle     = rivet.NewQueue[rivet.Raw, rivet.Raw](workers, "idle") // nobody takes these
	wGuarded  = rivet.NewQueue[rivet.Raw, rivet.None](workers, "guarded")
	wSeen     = rivet.NewAction[rivet.None, []float64](workers, "seen")
	wSum      = rivet.NewAction[rivet.None, float64](workers, "sum")
	wTake     = rivet.NewAction[rivet.None, rivet.Raw](workers, "take")
	wLater    = rivet.NewAction[rivet.Args2[float64, string], string](workers, "later")
	wFire     = rivet.NewAction[rivet.Args2[string, *rivet.Raw], rivet.None](workers, "fire")
	wFired    = rivet.NewAction[rivet.None, []firedAt](workers, "fired")
	wSleepNow = rivet.NewAction[rivet.None, rivet.None](workers, "sleepNow")
	wLives    = rivet.NewAction[rivet.None, float64](workers, "lives")
)

type firedAt struct {
	Name string    `json:"name"`
	Info rivet.Raw `json:"info"`
}

type worker struct {
	Seen  []float64
	Sum   float64
	Fired []firedAt
	Lives float64
}

func workerDefinition() actor.Definition {
	d := actor.Define(workers, actor.Zero[workerInput, worker])
	d.Options = actor.Options{MaxQueueSize: 50, MaxQueueMessageBytes: 4096, QueueMaxAttempts: 2, QueueRetryDelay: 5 * time.Millisecond}
	d.OnWake = func(w *worker, _ *actor.Ctx) error { w.Lives++; return nil }
	d.Run = func(c *actor.Ctx, self actor.Self[worker]) error {
		for m, err := range actor.Receive(c, wJobs) {
			if err != nil {
				return err
			}
			if m.Body.Fail != "" {
				if err := m.Fail(c, &rivet.Error{Code: m.Body.Fail, Message: "as asked"}); err != nil {
					return err
				}
				continue
			}
			err := self.Turn(func(w *worker, c *actor.Ctx) error {
				w.Seen = append(w.Seen, m.Body.N)
				return m.Complete(c, tripled{Result: 3 * m.Body.N, Extra: null})
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	actor.HandleQueue(d, wSums, func(w *worker, _ *actor.Ctx, m *actor.Message[float64, float64]) (float64, error) {
		w.Sum += m.Body
		return w.Sum, nil
	})
	actor.CanPublish(d, wGuarded, func(*worker, *actor.Ctx) (bool, error) { return false, nil })
	actor.View(d, wSeen, func(w *worker, _ *actor.Ctx, _ rivet.None) ([]float64, error) {
		return append([]float64{}, w.Seen...), nil
	})
	actor.View(d, wSum, func(w *worker, _ *actor.Ctx, _ rivet.None) (float64, error) { return w.Sum, nil })
	actor.View(d, wLives, func(w *worker, _ *actor.Ctx, _ rivet.None) (float64, error) { return w.Lives, nil })
	actor.View(d, wFired, func(w *worker, _ *actor.Ctx, _ rivet.None) ([]firedAt, error) {
		return append([]firedAt{}, w.Fired...), nil
	})
	actor.Handle(d, wTake, func(_ *worker, c *actor.Ctx, _ rivet.None) (rivet.Raw, error) {
		m, err := actor.TryNext(c, wIdle)
		if err != nil || m == nil {
			return null, err
		}
		return m.Body, nil
	})
	actor.Handle(d, wLater, func(_ *worker, c *actor.Ctx, a rivet.Args2[float64, string]) (string, error) {
		return c.Schedules().AtName(time.Now().Add(time.Duration(a.A)*time.Millisecond), "fire", a.B)
	})
	actor.Handle(d, wFire, func(w *worker, _ *actor.Ctx, a rivet.Args2[string, *rivet.Raw]) (rivet.None, error) {
		info := null
		if a.B != nil {
			info = *a.B
		}
		w.Fired = append(w.Fired, firedAt{a.A, info})
		return rivet.None{}, nil
	})
	actor.Handle(d, wSleepNow, func(_ *worker, c *actor.Ctx, _ rivet.None) (rivet.None, error) {
		c.Sleep()
		return rivet.None{}, nil
	})
	return d
}
