// Package why is the answer to why an actor is as it is: awake, asleep, starting, slow or blocked. It is JSON on the
// wire, made by the actor's host and completed by the engine, for people first: Summary says it in one sentence.
package why

import (
	"fmt"
	"strings"
	"time"
)

// The states of an actor.
const (
	Sleeping = "sleeping"
	Starting = "starting"
	Running  = "running"
	Stopping = "stopping"
	Failed   = "failed" // the last start failed; the next call after RetryAt tries again
)

// Report is what is known of one actor at one moment. Fields that do not apply are left out.
type Report struct {
	ActorID    string    `json:"actorId"`
	Name       string    `json:"name"`
	Key        []string  `json:"key"`
	Generation uint64    `json:"generation,omitempty"`
	State      string    `json:"state"`
	Since      time.Time `json:"since,omitzero"` // when it became so
	Summary    string    `json:"summary"`

	// Awake is what keeps it awake, the first that counts first; empty while it may fall asleep.
	Awake []string `json:"awake,omitempty"`
	// SleepsAt is when it falls asleep if nothing happens.
	SleepsAt time.Time `json:"sleepsAt,omitzero"`

	Turn           *Turn  `json:"turn,omitempty"` // who holds the turn; absent while nobody does
	Waiting        int    `json:"waiting,omitempty"`
	PendingCommits uint64 `json:"pendingCommits,omitempty"` // turns that are not durable yet

	Calls       int    `json:"calls,omitempty"`
	Connections int    `json:"connections,omitempty"`
	Hibernating int    `json:"hibernating,omitempty"` // those among them that stay open while it sleeps
	Background  []Task `json:"background,omitempty"`

	Queue  *Queue `json:"queue,omitempty"` // absent also while the turn is held for long
	Outbox int    `json:"outbox,omitempty"`

	Schedules int       `json:"schedules,omitempty"`
	NextTimer time.Time `json:"nextTimer,omitzero"` // the next thing that it does unasked
	Alarm     time.Time `json:"alarm,omitzero"`     // when the engine wakes it; may be early
	Run       *Run      `json:"run,omitempty"`

	LastError *Failure  `json:"lastError,omitempty"`
	RetryAt   time.Time `json:"retryAt,omitzero"`
}

// Turn is a turn under way.
type Turn struct {
	What  string    `json:"what"` // the action or hook
	Conn  string    `json:"conn,omitempty"`
	Since time.Time `json:"since"`
}

// Task is background work.
type Task struct {
	Kind  string    `json:"kind"`
	Where string    `json:"where,omitempty"` // the function
	Since time.Time `json:"since"`
}

// Queue is the state of an actor's queues, all together.
type Queue struct {
	Ready       int      `json:"ready"`
	Delayed     int      `json:"delayed"`
	Leased      int      `json:"leased"`
	DeadLetters int      `json:"deadLetters"`
	Head        *Message `json:"head,omitempty"`
}

// Message is the oldest message of a queue.
type Message struct {
	ID       uint64    `json:"id"`
	Queue    string    `json:"queue"`
	SentAt   time.Time `json:"sentAt"`
	Attempts int       `json:"attempts"`
	Leased   bool      `json:"leased"`
}

// Run is the state of the run loop.
type Run struct {
	State    string    `json:"state"` // running, waiting, finished, failed, stopped
	Since    time.Time `json:"since"`
	Restarts int       `json:"restarts,omitempty"`
	Error    string    `json:"error,omitempty"`
}

// Failure is the last error that nobody but the log heard of, or that a start ended with.
type Failure struct {
	At     time.Time `json:"at,omitzero"`
	During string    `json:"during,omitempty"`
	Error  string    `json:"error"`
}

// Summarise sets Summary from the rest.
func (r *Report) Summarise(now time.Time) {
	ago := func(t time.Time) string { return now.Sub(t).Round(time.Millisecond).String() }
	var s []string
	switch r.State {
	case Running:
		switch {
		case len(r.Awake) > 0:
			s = append(s, "awake because of "+strings.Join(r.Awake, ", "))
		case !r.SleepsAt.IsZero():
			s = append(s, "awake and idle, falls asleep in "+r.SleepsAt.Sub(now).Round(time.Millisecond).String())
		default:
			s = append(s, "awake")
		}
	case Sleeping:
		s = append(s, "asleep: a call, a message or an alarm wakes it")
	case Failed:
		s = append(s, "not running: its last start failed")
	default:
		s = append(s, r.State)
	}
	if r.Turn != nil {
		s = append(s, fmt.Sprintf("%s has held the turn for %s", r.Turn.What, ago(r.Turn.Since)))
		if r.Waiting > 0 {
			s = append(s, fmt.Sprintf("%d calls wait for it", r.Waiting))
		}
	}
	if r.PendingCommits > 0 {
		s = append(s, fmt.Sprintf("%d commits are not durable yet", r.PendingCommits))
	}
	if r.Run != nil && r.Run.State == "failed" {
		s = append(s, "its run loop failed: "+r.Run.Error)
	}
	if q := r.Queue; q != nil && q.Head != nil {
		s = append(s, fmt.Sprintf("the oldest message has waited for %s in queue %s", ago(q.Head.SentAt), q.Head.Queue))
	}
	if !r.Alarm.IsZero() && r.State == Sleeping {
		s = append(s, "the next alarm is at "+r.Alarm.UTC().Format(time.RFC3339))
	}
	if r.LastError != nil {
		s = append(s, "last error: "+r.LastError.Error)
	}
	r.Summary = strings.Join(s, "; ")
}
