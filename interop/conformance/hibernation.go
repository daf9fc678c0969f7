package main

import (
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// Connection hibernation.
func hibernationActors() []actor.Definition {
	return []actor.Definition{hibernation(), hibernationSleepWindow(), hibernationCleanup()}
}

var sleepsSooner = actor.Options{SleepAfter: 500 * time.Millisecond}

type sleepWakeCounts struct {
	SleepCount int `json:"sleepCount"`
	WakeCount  int `json:"wakeCount"`
}

func (n *sleepWakeCounts) woke() { n.WakeCount++ }

func (n *sleepWakeCounts) slept() { n.SleepCount++ }

// 89
func hibernation() actor.Definition {
	type connState struct{ Count, Connects, Disconnects int }
	type lifecycle struct {
		ConnectCount    int `json:"connectCount"`
		DisconnectCount int `json:"disconnectCount"`
	}
	d := define[sleepWakeCounts]("hibernationActor", sleepsSooner)
	var conns actor.ConnState[connState]
	countStarts(d)
	actor.OnConnect(d.Spec, rivet.NewParams[none](d.of), conns, func(*sleepWakeCounts, *actor.Ctx, none) (connState, error) {
		return connState{}, nil
	})
	d.OnConnected = func(_ *sleepWakeCounts, c *actor.Ctx, conn *actor.Conn) error {
		if m, ok := conns.On(c, conn); ok {
			m.Connects++
		}
		return nil
	}
	d.OnDisconnect = func(_ *sleepWakeCounts, c *actor.Ctx, conn *actor.Conn) error {
		if m, ok := conns.On(c, conn); ok {
			m.Disconnects++
		}
		return nil
	}
	pingAction(d)
	on(d, "connIncrement", func(_ *sleepWakeCounts, c *actor.Ctx, _ none) (int, error) {
		m, _ := conns.Of(c)
		m.Count++
		return m.Count, nil
	})
	on(d, "getConnCount", func(_ *sleepWakeCounts, c *actor.Ctx, _ none) (int, error) {
		m, _ := conns.Of(c)
		return m.Count, nil
	})
	on(d, "getConnLifecycleCounts", func(_ *sleepWakeCounts, c *actor.Ctx, _ none) (lifecycle, error) {
		m, _ := conns.Of(c)
		return lifecycle{m.Connects, m.Disconnects}, nil
	})
	on(d, "getConnectionIds", func(_ *sleepWakeCounts, c *actor.Ctx, _ none) ([]string, error) {
		ids := []string{}
		for _, conn := range c.Conns() {
			ids = append(ids, conn.ID())
		}
		return ids, nil
	})
	get(d, "getActorCounts", func(s *sleepWakeCounts) sleepWakeCounts { return *s })
	sleepAction(d)
	return d
}

// 90: OnSleep is a turn; what it waits for follows in the background, and the end of the actor waits for that.
func hibernationSleepWindow() actor.Definition {
	d := define[sleepWakeCounts]("hibernationSleepWindowActor", sleepsSooner)
	sleeping := rivet.NewEvent[none](d.of, "sleeping")
	countStarts(d)
	d.OnSleep = func(s *sleepWakeCounts, c *actor.Ctx) error {
		s.slept()
		actor.Broadcast(c, sleeping, none{})
		later(c, 500*time.Millisecond, func(*actor.Ctx) {})
		return nil
	}
	get(d, "getActorCounts", func(s *sleepWakeCounts) sleepWakeCounts { return *s })
	sleepAction(d)
	return d
}

// 91
func hibernationCleanup() actor.Definition {
	type state struct {
		sleepWakeCounts
		DisconnectWakes []int
	}
	d := define[state]("fileSystemHibernationCleanupActor", sleepsSooner)
	countStarts(d)
	d.OnDisconnect = func(s *state, _ *actor.Ctx, conn *actor.Conn) error {
		if conn.Hibernatable() {
			s.DisconnectWakes = append(s.DisconnectWakes, s.WakeCount)
		}
		return nil
	}
	pingAction(d)
	sleepAction(d)
	get(d, "getCounts", func(s *state) sleepWakeCounts { return s.sleepWakeCounts })
	get(d, "getDisconnectWakeCounts", func(s *state) []int { return list(s.DisconnectWakes) })
	return d
}
