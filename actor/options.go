package actor

import (
	"fmt"
	"time"

	"github.com/rivetgo/rivet/internal/host"
)

// Options are the knobs of one actor definition. The zero value of each field means its default.
type Options struct {
	// SleepAfter is how long an actor is idle before it sleeps: no call, no connection, no KeepAwake. Default 30 s.
	SleepAfter time.Duration
	// NoSleep keeps the actor awake until it is asked to sleep, destroyed, or the process ends.
	NoSleep bool
	// GracePeriod bounds the whole end of an actor: its last hook, calls under way, background work. Default 15 s.
	GracePeriod time.Duration
	// ActionTimeout bounds an action from its arrival to its reply; the wait for the turn counts. Default 60 s.
	ActionTimeout time.Duration
	// CreateTimeout bounds the constructor and OnCreate together. Default 5 s.
	CreateTimeout time.Duration
	// WakeTimeout bounds OnWake. Default 30 s.
	WakeTimeout time.Duration
	// BeforeConnectTimeout bounds BeforeConnect and CanSubscribe. Default 5 s.
	BeforeConnectTimeout time.Duration
	// ConnectTimeout bounds OnConnect. Default 5 s.
	ConnectTimeout time.Duration
	// ConnectedTimeout bounds OnConnected and OnDisconnect. Default 5 s.
	ConnectedTimeout time.Duration

	// MaxStateBytes bounds the encoded state; a turn that makes it larger fails with actor.state_too_large. Default 4 MiB.
	MaxStateBytes int
	// MaxIncomingBytes bounds the body of an action and a message on a connection. Default 65,536.
	MaxIncomingBytes int
	// MaxOutgoingBytes bounds a result and an event. Default 1,048,576.
	MaxOutgoingBytes int
	// MaxWaiting bounds the calls that wait for the turn; more fail with actor.overloaded. Default 1,024.
	MaxWaiting int
	// MaxConnections bounds the standing connections; more fail with actor.overloaded. Default 10,000.
	MaxConnections int

	// MayLoseAcknowledged lets replies and events leave before they are durable. A crash of the machine or the process can
	// then lose turns whose replies were already seen. Off by default.
	MayLoseAcknowledged bool
}

func (o Options) compile() (host.Options, []string) {
	var wrong []string
	check := func(name string, negative bool) {
		if negative {
			wrong = append(wrong, fmt.Sprintf("Options.%s is negative: leave it zero for the default", name))
		}
	}
	check("SleepAfter", o.SleepAfter < 0)
	check("GracePeriod", o.GracePeriod < 0)
	check("ActionTimeout", o.ActionTimeout < 0)
	check("CreateTimeout", o.CreateTimeout < 0)
	check("WakeTimeout", o.WakeTimeout < 0)
	check("BeforeConnectTimeout", o.BeforeConnectTimeout < 0)
	check("ConnectTimeout", o.ConnectTimeout < 0)
	check("ConnectedTimeout", o.ConnectedTimeout < 0)
	check("MaxStateBytes", o.MaxStateBytes < 0)
	check("MaxIncomingBytes", o.MaxIncomingBytes < 0)
	check("MaxOutgoingBytes", o.MaxOutgoingBytes < 0)
	check("MaxWaiting", o.MaxWaiting < 0)
	check("MaxConnections", o.MaxConnections < 0)
	return host.Options{
		SleepAfter: o.SleepAfter, NoSleep: o.NoSleep, GracePeriod: o.GracePeriod,
		ActionTimeout: o.ActionTimeout, CreateTimeout: o.CreateTimeout, WakeTimeout: o.WakeTimeout,
		BeforeConnectTimeout: o.BeforeConnectTimeout, ConnStateTimeout: o.ConnectTimeout, OnConnectTimeout: o.ConnectedTimeout,
		MaxStateBytes: o.MaxStateBytes, MaxIncomingBytes: o.MaxIncomingBytes, MaxOutgoingBytes: o.MaxOutgoingBytes,
		MaxWaiting: o.MaxWaiting, MaxConnections: o.MaxConnections, Undurable: o.MayLoseAcknowledged,
	}.WithDefaults(), wrong
}
