package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/rivetgo/rivet/internal/link"
	"github.com/rivetgo/rivet/internal/wire/actorkey"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/runnerproto"
)

// slot is one generation of one actor.
//
//	starting ──► running ──Stop command──► stopping ──► over
//	    └── start failed, commit failed, lost ──────────► over
type slot struct {
	r          *Runner
	actor      string
	id         id.ID
	generation uint32
	start      *runnerproto.Start
	begun      chan struct{} // closed when the start is over, either way
	gone       chan struct{} // closed when the slot is over

	ctx    context.Context // ends when the life is over or lost: nothing is stored any more
	cancel context.CancelCauseFunc

	// Guarded by the runner's mu.
	lastCommand int64
	nextEvent   int64
	unacked     []runnerproto.Event
	live        link.Actor // nil while starting, and after a start that failed
	stop        *runnerproto.StopReason
	doomed      bool      // it asked to be destroyed
	leftAt      time.Time // when a socket was left to the gateway last
	over        bool
	alarm       int64 // what the engine was told; -1: nothing yet
	alarmIs     int64 // what is stored
	orphans     map[runnerproto.Tunnel]struct{}
	refusal     *fault.Error // why the actor did not start, while those who wait for it are told
}

// maxEndText bounds what the engine is told of why a life ended.
const maxEndText = 4 << 10

var errOvertaken = errors.New("a newer generation of the actor was started")

// commands carries out what the engine wants. Those that came before are only acknowledged.
func (r *Runner) commands(l *line, list []runnerproto.Command) {
	ack := &runnerproto.AckCommands{}
	for i := range list {
		r.command(&list[i])
		ack.Upto = append(ack.Upto, list[i].At)
	}
	l.send(ack)
}

func (r *Runner) command(c *runnerproto.Command) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.slots[c.At.Actor]
	if c.Start != nil {
		switch {
		case s != nil && s.generation >= c.At.Generation:
			return // it came before, or is older than what lives here
		case s != nil && !s.over:
			go s.lose(errOvertaken) // ends soon
		}
		r.begin(c)
		return
	}
	if s == nil || s.generation != c.At.Generation || c.At.Index <= s.lastCommand {
		return
	}
	s.lastCommand = c.At.Index
	s.log().Debug("the engine stops an actor", "reason", c.Stop.String())
	if *c.Stop == runnerproto.StopLost {
		go s.lose(errors.New("the engine took this runner for lost")) // ends soon
		return
	}
	s.stopLocked(*c.Stop)
}

// begin makes a slot and starts its actor. The caller holds mu.
func (r *Runner) begin(c *runnerproto.Command) {
	s := &slot{
		r: r, actor: c.At.Actor, generation: c.At.Generation, start: c.Start, lastCommand: c.At.Index, alarm: -1,
		begun: make(chan struct{}), gone: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancelCause(r.ctx)
	if old := r.slots[s.actor]; old != nil {
		delete(r.byID, old.id)
	}
	r.slots[s.actor] = s
	r.live++
	s.log().Debug("the engine starts an actor")
	close(r.begins)
	r.begins = make(chan struct{})
	parsed, err := id.Parse(s.actor)
	if err != nil {
		close(s.begun)
		s.endLocked(fmt.Errorf("the engine's id for the actor is not one: %w", err))
		return
	}
	s.id = parsed
	r.byID[s.id] = s
	go s.run() // ends when the start is over
}

// log is the runner's log with who the slot is of. What the engine has it do, and its end, are there at the debug level.
func (s *slot) log() *slog.Logger {
	key := ""
	if s.start.Key != nil {
		key = *s.start.Key
	}
	return s.r.log.With("actor", s.start.Name, "key", key, "actor_id", s.actor, "generation", s.generation)
}

// run starts the actor.
func (s *slot) run() {
	r := s.r
	sockets, live, err := s.bring()
	if err == nil {
		sockets.open()
	}
	r.mu.Lock()
	over := s.over
	switch {
	case over:
	case err != nil:
		s.log().Warn("actor did not start", "error", err)
		s.refuseLocked(err)
	default:
		s.live = live
		s.emitLocked(runnerproto.Event{State: &runnerproto.State{}})
		s.alarmLocked(s.alarmIs)
		if s.stop != nil {
			s.stopLocked(*s.stop)
		}
		if s.doomed {
			go live.Stop(link.StopDestroy) // as in stopLocked
		}
	}
	r.mu.Unlock()
	close(s.begun)
	if over || err != nil {
		sockets.drop()
	}
	if over && err == nil {
		kill(live)
	}
}

// tellFor is how long those who wait for an actor that did not start are told why.
const tellFor = 500 * time.Millisecond

// refuseLocked ends a start that failed. The engine would have its callers wait, start the actor again a few times, and tell
// them of a timeout; so it is told that the actor runs, for long enough to answer them.
func (s *slot) refuseLocked(err error) {
	f, typed := fault.From(err)
	if !typed || s.stop != nil {
		s.endLocked(err)
		return
	}
	s.refusal = f
	s.emitLocked(runnerproto.Event{State: &runnerproto.State{}})
	time.AfterFunc(tellFor, func() {
		s.r.mu.Lock()
		defer s.r.mu.Unlock()
		if !s.over {
			s.endLocked(err)
		}
	})
}

// kill ends an actor without a word.
func kill(a link.Actor) {
	if k, ok := a.(interface{ Kill() }); ok {
		k.Kill()
	}
}

// bring loads the actor's records and starts it.
func (s *slot) bring() (sockets *restored, live link.Actor, err error) {
	ctx, cancel := context.WithTimeout(s.ctx, startTimeout)
	defer cancel()
	records, err := openRecords(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	s.r.mu.Lock()
	s.alarmIs = records.alarm
	s.r.mu.Unlock()
	sockets = s.restore(records.hot)
	key := ""
	if s.start.Key != nil {
		key = *s.start.Key
	}
	live, err = s.r.cfg.Host.Start(ctx, link.Placement{
		ID: s.id, Namespace: s.r.cfg.Namespace, Name: s.start.Name, Key: actorkey.Format(actorkey.Parse(key)),
		Generation: uint64(s.generation), CreatedAt: records.created, Records: records, Kept: sockets.kept,
	})
	return sockets, live, err
}

// await returns the actor when it runs. Else it may say why it does not.
func (s *slot) await(ctx context.Context) (link.Actor, *fault.Error) {
	select {
	case <-s.begun:
	case <-ctx.Done():
		return nil, nil
	}
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	if s.over {
		return nil, s.refusal
	}
	return s.live, s.refusal
}

// stopReason is what a command means to the host. Sockets stay open at the gateway whenever the actor comes back.
func stopReason(r runnerproto.StopReason) link.StopReason {
	switch r {
	case runnerproto.StopIntent, runnerproto.StopDestroy:
		return link.StopDestroy
	default:
		return link.StopSleep
	}
}

// stopLocked stops the actor, now or when its start is over.
func (s *slot) stopLocked(reason runnerproto.StopReason) {
	s.stop = &reason
	if s.live != nil && !s.over {
		go s.live.Stop(stopReason(reason)) // returns at once; what it says to clients needs the runner's mu
	}
}

// intendLocked tells the engine what the actor wants. For a sleep the engine says when. To be destroyed is final: the caller
// stops the actor that comes back, so that it takes no more calls, whose effects would be lost; the engine hears of its end
// behind the wish.
func (s *slot) intendLocked(intent runnerproto.Intent) (doomed link.Actor) {
	if s.stop != nil && intent == runnerproto.IntentSleep {
		return nil // it stops already
	}
	s.emitLocked(runnerproto.Event{Intent: &intent})
	if intent == runnerproto.IntentSleep {
		return nil
	}
	s.doomed = true
	return s.live // nil while it starts: then the start's end stops it
}

// alarmLocked tells the engine when to wake the actor, if that is not what it knows.
func (s *slot) alarmLocked(at int64) {
	if s.alarm == at || s.over {
		return
	}
	s.alarm = at
	e := &runnerproto.Alarm{}
	if at != 0 {
		e.At = &at
	}
	s.emitLocked(runnerproto.Event{Alarm: e})
}

// alarmEarlier tells the engine of an alarm that is about to be stored, if it is earlier than what it knows; alarmStored of
// one that is.
func (s *slot) alarmEarlier(at int64) {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	if at != 0 && (s.alarm <= 0 || at < s.alarm) {
		s.alarmLocked(at)
	}
}

func (s *slot) alarmStored(at int64) {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	s.alarmIs = at
	if s.live != nil { // else it is told with the start's end
		s.alarmLocked(at)
	}
}

// emitLocked tells the engine something, now and after every reconnect until it is acknowledged.
func (s *slot) emitLocked(e runnerproto.Event) {
	e.At = runnerproto.Checkpoint{Actor: s.actor, Generation: s.generation, Index: s.nextEvent}
	s.nextEvent++
	s.unacked = append(s.unacked, e)
	if l := s.r.line; l != nil {
		l.send(&runnerproto.Events{List: []runnerproto.Event{e}})
	}
}

// stopped is called when the host has no such actor any more.
func (s *slot) stopped(err error) {
	<-s.begun
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	if s.over {
		return
	}
	if err == nil && s.stop == nil && !s.doomed {
		err = errors.New("the actor ended without being asked to") // told as an orderly end it would be destroyed
	}
	if wait := time.Until(s.leftAt.Add(noteFor)); wait > 0 && !s.leftAt.IsZero() {
		time.AfterFunc(wait, func() {
			s.r.mu.Lock()
			defer s.r.mu.Unlock()
			if !s.over {
				s.endLocked(err)
			}
		})
		return
	}
	s.endLocked(err)
}

// lose ends the life at once: another may have begun elsewhere. What it has not stored is gone.
func (s *slot) lose(why error) {
	s.cancel(why)
	s.r.mu.Lock()
	live := s.live
	if !s.over {
		s.endLocked(why)
	}
	s.r.mu.Unlock()
	if live != nil {
		kill(live)
	}
}

// endLocked ends the slot and tells the engine. The host has the actor no more, or will not have it for long.
func (s *slot) endLocked(err error) {
	r := s.r
	s.over = true
	s.log().Debug("an actor has ended", "error", err)
	if err == nil {
		err = errors.New("the actor has stopped")
		s.emitLocked(runnerproto.Event{State: &runnerproto.State{Stopped: true}})
	} else {
		text := err.Error()
		if f, ok := fault.From(err); ok {
			text = f.Group + "." + f.Code + ": " + f.Message
		}
		// What the protocol cannot carry would end the connection of all actors, again after each reconnect.
		text = strings.ToValidUTF8(text[:min(len(text), maxEndText)], "\uFFFD")
		s.emitLocked(runnerproto.Event{State: &runnerproto.State{Stopped: true, Failed: true, Message: &text}})
	}
	s.cancel(err)
	close(s.gone)
	s.live, s.orphans = nil, nil // what is kept of it are its events
	select {
	case <-s.begun:
		s.start.Input, s.start.Sockets = nil, nil
	default: // the start still reads them
	}
	r.slotTunnelsEnded(s)
	r.live--
	if r.draining && r.live == 0 {
		close(r.idle)
		r.idle = make(chan struct{}) // a second end, of an actor started meanwhile, closes another
	}
	time.AfterFunc(keepEnded, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.slots[s.actor] == s {
			delete(r.slots, s.actor)
		}
		if r.byID[s.id] == s {
			delete(r.byID, s.id)
		}
	})
}

// eventsAcked forgets what the engine has processed.
func (r *Runner) eventsAcked(upto []runnerproto.Checkpoint) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range upto {
		s := r.slots[c.Actor]
		if s == nil || s.generation != c.Generation {
			continue
		}
		for len(s.unacked) > 0 && s.unacked[0].At.Index <= c.Index {
			s.unacked = s.unacked[1:]
		}
	}
}

// resendEvents says everything again that the engine has not acknowledged. The caller holds mu.
func (r *Runner) resendEvents(l *line) {
	m := &runnerproto.Events{}
	for _, s := range r.slots {
		m.List = append(m.List, s.unacked...)
	}
	if len(m.List) > 0 {
		l.send(m)
	}
}
