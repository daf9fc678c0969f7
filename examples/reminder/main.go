// Reminder shows schedules: one-shots and recurring ones, which outlive sleep and crash.
//
//	go run ./examples/reminder
package main

import (
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
	"github.com/rivetgo/rivet/engine"
)

// Reminders is what somebody's reminders are created with: nothing. The key is their owner.
type Reminders struct{}

// Once asks for one reminder.
type Once struct {
	Text    string `json:"text"`
	Seconds int    `json:"seconds"` // from now
}

// Daily asks for a reminder on every day, by the clock of a place.
type Daily struct {
	Name     string `json:"name"` // another one of this name is replaced
	Text     string `json:"text"`
	Cron     string `json:"cron"`     // as in "30 8 * * 1-5"
	TimeZone string `json:"timeZone"` // as in "Europe/Berlin"
}

// Plan is a reminder that is still to come.
type Plan struct {
	ID   string    `json:"id"`
	Kind string    `json:"kind"`
	Next time.Time `json:"next"`
}

// The contract.
var (
	People   = rivet.NewActor[Reminders]("reminders")
	Remind   = rivet.NewAction[Once, string](People, "remind")
	SetDaily = rivet.NewAction[Daily, rivet.None](People, "setDaily")
	Drink    = rivet.NewAction[int, rivet.None](People, "drink") // every so many minutes
	Plans    = rivet.NewAction[rivet.None, []Plan](People, "plans")
	Cancel   = rivet.NewAction[string, bool](People, "cancel")
	History  = rivet.NewAction[string, []string](People, "history")
	Heard    = rivet.NewAction[rivet.None, []string](People, "heard")
	Ring     = rivet.NewAction[string, rivet.None](People, "ring") // what the schedules call
	Rang     = rivet.NewEvent[string](People, "rang")
)

// reminders is what one person is reminded of.
type reminders struct{ Heard []string }

func (r *reminders) remind(c *actor.Ctx, o Once) (string, error) {
	return actor.After(c, time.Duration(o.Seconds)*time.Second, Ring, o.Text)
}

func (r *reminders) setDaily(c *actor.Ctx, d Daily) (rivet.None, error) {
	return rivet.None{}, actor.Cron(c, d.Name, d.Cron, Ring, d.Text, actor.TimeZone(d.TimeZone))
}

func (r *reminders) drink(c *actor.Ctx, minutes int) (rivet.None, error) {
	interval := time.Duration(minutes) * time.Minute
	return rivet.None{}, actor.Every(c, "drink", interval, Ring, "drink water",
		actor.Missed(actor.MissedSkip), actor.KeepHistory(10))
}

// ring runs at least once for each time. What it changes and the end of its schedule are one commit.
func (r *reminders) ring(c *actor.Ctx, text string) (rivet.None, error) {
	if _, scheduled := c.Firing(); !scheduled {
		return rivet.None{}, &rivet.Error{Code: "not_a_bell", Message: "only schedules ring"}
	}
	r.Heard = append(r.Heard, text)
	actor.Broadcast(c, Rang, text)
	return rivet.None{}, nil
}

func (r *reminders) plans(c *actor.Ctx, _ rivet.None) ([]Plan, error) {
	list, err := c.Schedules().List()
	plans := make([]Plan, 0, len(list))
	for _, s := range list {
		plans = append(plans, Plan{ID: s.ID, Kind: s.Kind, Next: s.NextAt})
	}
	return plans, err
}

// cancel takes the id of a one-shot or the name of a recurring reminder.
func (r *reminders) cancel(c *actor.Ctx, which string) (bool, error) {
	if done, err := c.Schedules().Cancel(which); done || err != nil {
		return done, err
	}
	return c.Schedules().Delete(which)
}

func (r *reminders) history(c *actor.Ctx, name string) ([]string, error) {
	runs, err := c.Schedules().History(c, name, 5)
	lines := make([]string, 0, len(runs))
	for _, run := range runs {
		lines = append(lines, run.ScheduledAt.UTC().Format(time.RFC3339)+" "+run.Result)
	}
	return lines, err
}

func (r *reminders) heard(*actor.Ctx, rivet.None) ([]string, error) { return r.Heard, nil }

// Definition binds the contract.
func Definition() actor.Definition {
	d := actor.Define(People, actor.Zero[Reminders, reminders])
	actor.Handle(d, Remind, (*reminders).remind)
	actor.Handle(d, SetDaily, (*reminders).setDaily)
	actor.Handle(d, Drink, (*reminders).drink)
	actor.View(d, Plans, (*reminders).plans)
	actor.Handle(d, Cancel, (*reminders).cancel)
	actor.View(d, History, (*reminders).history)
	actor.View(d, Heard, (*reminders).heard)
	actor.Handle(d, Ring, (*reminders).ring)
	return d
}

func main() {
	engine.Main(Definition())
}
