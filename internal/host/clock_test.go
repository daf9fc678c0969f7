package host

import (
	"testing"
	"time"

	"github.com/rivetgo/rivet/internal/queue"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// A clock that is set back between the commit of an alarm and the crash after it must not make the alarm late.
func TestG4_WhatIsDueStaysDueWhenTheClockIsSetBack(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	wants := func(what string, a *Actor, asleep bool) {
		t.Helper()
		b := &record.Batch{}
		a.setAlarm(b, now, asleep)
		if back := now.Add(-24 * time.Hour); !b.SetAlarm || b.Alarm == 0 || b.Alarm > back.UnixMilli() {
			t.Errorf("%s: alarm %d (set: %v) is not due at %d", what, b.Alarm, b.SetAlarm, back.UnixMilli())
		}
	}
	message := func() *Actor {
		a := &Actor{spec: &Spec{}, handled: []string{"q"}}
		a.mailbox.index.Add(&queue.Item{ID: 1, Name: "q"}, 0, now.UnixMilli())
		return a
	}
	wants("message", message(), false)
	wants("message at sleep", message(), true)
	wants("outgoing message", &Actor{spec: &Spec{}, outbox: outbox{pending: 1, lanes: map[string]*lane{"t": {}}}}, false)
	wants("firing at sleep", &Actor{spec: &Spec{}, firing: 1}, true)
	wants("doomed", &Actor{spec: &Spec{}, doomed: true}, false)
	a := &Actor{spec: &Spec{}}
	a.mailbox.counters.WakeAt = now.UnixMilli() - 1
	b := &record.Batch{}
	if a.setAlarm(b, now, true); b.SetAlarm {
		t.Errorf("a wake that has come is wanted again, at %d", b.Alarm)
	}
	a.mailbox.counters.WakeAt = now.UnixMilli() + 5
	a.alarm.stored = 0
	if a.setAlarm(b, now, false); b.Alarm != now.UnixMilli()+5 {
		t.Errorf("alarm %d, want that of the wake", b.Alarm)
	}
}
