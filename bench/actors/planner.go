package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// Plan asks for schedules at random times of a span.
type Plan struct {
	Count  int   `json:"count"`
	From   int64 `json:"from"`   // milliseconds since 1970
	Spread int64 `json:"spread"` // milliseconds
}

var (
	Planners    = rivet.NewActor[Planner]("planner")
	PlannerPlan = rivet.NewAction[Plan, bool](Planners, "plan")
	PlannerFire = rivet.NewAction[rivet.None, rivet.None](Planners, "fire")
)

// planner is the state of planner.
type planner struct{ Fired int64 }

func (s *planner) plan(c *actor.Ctx, p Plan) (bool, error) {
	for range p.Count {
		at := time.UnixMilli(p.From + rand.Int64N(max(p.Spread, 1)))
		if _, err := actor.At(c, at, PlannerFire, rivet.None{}); err != nil {
			return false, err
		}
	}
	return true, nil
}

func (s *planner) fire(c *actor.Ctx, _ rivet.None) (rivet.None, error) {
	f, ok := c.Firing()
	if !ok {
		return rivet.None{}, errors.New("fire is for schedules")
	}
	lateness.add(time.Since(f.ScheduledAt))
	s.Fired++
	return rivet.None{}, nil
}

func plannerDefinition(sleepAfter time.Duration) actor.Definition {
	d := actor.Define(Planners, actor.Zero[Planner, planner])
	d.Options.SleepAfter = sleepAfter
	actor.Handle(d, PlannerPlan, (*planner).plan)
	actor.Handle(d, PlannerFire, (*planner).fire)
	return d
}

// lateness is how late the process's schedules fired: asking the actors would wake them.
var lateness record

type record struct {
	mu   sync.Mutex // guards late
	late []time.Duration
}

func (r *record) add(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.late = append(r.late, d)
}

func (r *record) tell(w http.ResponseWriter) {
	r.mu.Lock()
	late := slices.Clone(r.late)
	r.mu.Unlock()
	slices.Sort(late)
	at := func(p float64) int64 {
		if len(late) == 0 {
			return 0
		}
		return late[int(float64(len(late)-1)*p)].Microseconds()
	}
	fmt.Fprintf(w, `{"count":%d,"p50_us":%d,"p99_us":%d,"max_us":%d}`, len(late), at(0.5), at(0.99), at(1))
}
