package host

import (
	"context"
	"slices"
	"time"

	"github.com/rivetgo/rivet/internal/lifecycle"
	"github.com/rivetgo/rivet/internal/wire/why"
)

// lookTime bounds how long a report waits for the turn to look at what belongs to it.
const lookTime = 20 * time.Millisecond

// task is background work under way.
type task struct {
	kind, where string
	since       time.Time
}

// Why reports on the actor. It answers also while a handler holds the turn, then without what only the turn may look at.
func (a *Actor) Why(ctx context.Context) *why.Report {
	r := &why.Report{ActorID: a.idText, Name: a.place.Name, Key: slices.Clone(a.place.Key), Generation: a.place.Generation, State: why.Running}
	if r.Key == nil {
		r.Key = []string{}
	}
	if t := a.holder.Load(); t != nil {
		r.Turn = &why.Turn{What: t.what, Since: t.began}
		if t.by != nil {
			r.Turn.Conn = t.by.ID()
		}
	}
	r.Waiting = int(a.waiting.Load())
	r.PendingCommits = a.gate.pending()
	a.lookInside(ctx, r)

	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ending || a.machine.Phase() > lifecycle.HostStarted {
		r.State = why.Stopping
	} else if a.machine.Phase() == lifecycle.Loading {
		r.State = why.Starting
	}
	act := a.activity()
	r.Awake = act.blockers()
	if len(r.Awake) == 0 && r.State == why.Running {
		r.SleepsAt = a.lastActive.Add(a.spec.Options.SleepAfter)
	}
	r.Calls = a.calls
	r.Connections, r.Hibernating = a.conns.counts()
	for t := range a.tasks {
		r.Background = append(r.Background, why.Task{Kind: t.kind, Where: t.where, Since: t.since})
	}
	slices.SortFunc(r.Background, func(x, y why.Task) int { return x.Since.Compare(y.Since) })
	if a.spec.Run != nil {
		s := a.run
		if s.State == "running" && a.queueWaits > 0 {
			s.State = "waiting"
		}
		r.Run = &why.Run{State: s.State, Since: s.Since, Restarts: s.Restarts, Error: s.Error}
	}
	r.LastError = a.lastError
	return r
}

// lookInside reports on what belongs to the turn, unless that is held for long.
func (a *Actor) lookInside(ctx context.Context, r *why.Report) {
	ctx, stop := context.WithTimeout(ctx, lookTime)
	defer stop()
	c := &Call{actor: a, ctx: ctx, cancel: stop}
	if a.acquire(c, false) != nil {
		return
	}
	defer a.release()
	m := &a.mailbox
	r.Outbox = a.outbox.add(0)
	if m.index.Len()+m.counters.Dead > 0 {
		q := &why.Queue{DeadLetters: m.counters.Dead}
		q.Ready, q.Delayed, q.Leased = m.index.Counts()
		if it := m.index.Head(); it != nil {
			q.Head = &why.Message{ID: it.ID, Queue: it.Name, SentAt: time.UnixMilli(letterOf(it).SentAt), Attempts: it.Attempts, Leased: it.Leased()}
		}
		r.Queue = q
	}
	r.Schedules = a.schedules.Len()
	if at := a.alarm.armed; at != 0 {
		r.NextTimer = time.UnixMilli(at)
	}
	if at := a.alarm.stored; at != 0 {
		r.Alarm = time.UnixMilli(at)
	}
}
