package main

import (
	"errors"
	"sync"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// Job is a message; without V it counts 1.
type Job struct {
	V *int64 `json:"v,omitempty"`
}

var (
	Workers    = rivet.NewActor[Worker]("worker")
	WorkerGet  = rivet.NewAction[rivet.None, int64](Workers, "get")
	WorkerEcho = rivet.NewAction[rivet.Raw, rivet.Raw](Workers, "echo")
	WorkerFill = rivet.NewAction[int64, bool](Workers, "fill")
	WorkerPour = rivet.NewAction[int64, bool](Workers, "pour")
	Jobs       = rivet.NewQueue[Job, rivet.None](Workers, "jobs")    // taken by the run loop
	Handled    = rivet.NewQueue[Job, rivet.None](Workers, "handled") // handled in turns
)

// worker is the state of worker.
type worker struct{ N int64 }

func (s *worker) get(*actor.Ctx, rivet.None) (int64, error)         { return s.N, nil }
func (s *worker) echo(_ *actor.Ctx, x rivet.Raw) (rivet.Raw, error) { return x, nil }

func (s *worker) add(j Job) {
	if j.V == nil {
		s.N++
	} else {
		s.N += *j.V
	}
}

func (s *worker) handle(_ *actor.Ctx, m *actor.Message[Job, rivet.None]) (rivet.None, error) {
	s.add(m.Body)
	return rivet.None{}, nil
}

// fill sends messages to the actor's own queue, each durable before the next.
func fill(c *actor.Ctx, _ actor.Self[worker], k int64) (bool, error) {
	one := int64(1)
	self := Workers.Get(c.Client(), c.Key())
	for range k {
		if err := Jobs.Send(c, self, Job{V: &one}); err != nil {
			return false, err
		}
	}
	return true, nil
}

// pour sends messages to the actor's own handled queue, as 64 senders that have no HTTP in between.
func pour(c *actor.Ctx, _ actor.Self[worker], k int64) (bool, error) {
	const senders = 64
	one := int64(1)
	var wg sync.WaitGroup
	errs := make([]error, senders)
	for n := range senders {
		wg.Go(func() {
			for range k / senders {
				if _, err := actor.Enqueue(c, Handled, Job{V: &one}); err != nil {
					errs[n] = err
					return
				}
			}
		})
	}
	wg.Wait()
	return true, errors.Join(errs...)
}

func workerDefinition() actor.Definition {
	d := actor.Define(Workers, actor.Zero[Worker, worker])
	d.Options.SleepAfter = awake
	d.Options.MaxQueueSize = 1_000_000
	d.Run = func(c *actor.Ctx, self actor.Self[worker]) error {
		for m, err := range actor.Receive(c, Jobs) {
			if err != nil {
				return err
			}
			err := self.Turn(func(s *worker, c *actor.Ctx) error {
				s.add(m.Body)
				return m.Complete(c, rivet.None{})
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	actor.HandleQueue(d, Handled, (*worker).handle)
	actor.View(d, WorkerGet, (*worker).get)
	actor.View(d, WorkerEcho, (*worker).echo)
	actor.HandleConcurrent(d, WorkerFill, fill)
	actor.HandleConcurrent(d, WorkerPour, pour)
	return d
}
