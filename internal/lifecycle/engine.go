package lifecycle

import "fmt"

// State is where the engine believes one actor to be.
type State uint8

const (
	Asleep    State = iota // nothing runs
	Starting               // a start is under way
	Running                // requests are admitted
	Stopping               // the host was told to stop it, and has not reported the end
	Releasing              // the host has let go; the tenure is being given back
	Failed                 // the last start or erasure failed
	Erasing                // its records are being erased
	Destroyed              // erased, or it never existed
)

var stateNames = [...]string{"asleep", "starting", "running", "stopping", "releasing", "failed", "erasing", "destroyed"}

func (s State) String() string { return stateNames[s] }

// Reason is why an actor is stopped. A stop under way can only be raised to Destroy.
type Reason uint8

const (
	Sleep     Reason = iota // idle or asked to: wake on demand
	GoingAway               // the process drains
	Destroy                 // erase it afterwards
)

var reasonNames = [...]string{"sleep", "going_away", "destroy"}

func (r Reason) String() string { return reasonNames[r] }

// EventKind says what happened to an actor.
type EventKind uint8

const (
	Request       EventKind = iota // somebody wants it running; answered by Admit, Wait or Refuse
	Started                        // the start succeeded
	StartFailed                    // the start failed with Err
	StartMissing                   // there is no such actor
	SleepWanted                    // the actor is idle, or somebody asks it to sleep
	DestroyWanted                  // the actor asks to be destroyed
	Delete                         // a client asks to destroy it; answered by Wait or Refuse
	Drain                          // the process shuts down
	TurnedAway                     // the host refused a request because the actor has begun to stop
	Stopped                        // the host let go of it; Err says why when it was not told to
	Released                       // the tenure was given back
	Erased                         // the erasure is durable
	EraseFailed                    // the erasure failed with Err
	BackoffOver                    // the time announced by Backoff has passed
	Forgotten                      // the failure has been kept long enough
)

var eventNames = [...]string{
	"request", "started", "start-failed", "start-missing", "sleep-wanted", "destroy-wanted", "delete", "drain",
	"turned-away", "stopped", "released", "erased", "erase-failed", "backoff-over", "forgotten",
}

func (k EventKind) String() string { return eventNames[k] }

// Event is one thing that happened. Err belongs to StartFailed, Stopped and EraseFailed.
type Event struct {
	Kind EventKind
	Err  error
}

// EffectKind says what the shell must do. Effects are carried out in order.
type EffectKind uint8

const (
	Start   EffectKind = iota // acquire and start it; answer Started, StartFailed or StartMissing
	Abandon                   // give up the start under way; it still answers
	Stop                      // tell the host to stop it for Reason; answer Stopped
	Release                   // give the tenure back; answer Released
	Erase                     // erase its records durably; answer Erased or EraseFailed
	Backoff                   // wait, longer with every Failures, then report BackoffOver
	Linger                    // keep the failure for those who look, then report Forgotten
	Wake                      // everybody who waits asks again
	Forget                    // drop the machine
	Admit                     // answer to Request: go ahead
	Wait                      // answer to Request or Delete: wait for Wake
	Refuse                    // answer to Request or Delete: no, because of Why
)

var effectNames = [...]string{
	"start", "abandon", "stop", "release", "erase", "backoff", "linger", "wake", "forget", "admit", "wait", "refuse",
}

func (k EffectKind) String() string { return effectNames[k] }

// Why says what a refusal means.
type Why uint8

const (
	LastFailure Why = iota + 1 // the last start or erasure failed; its error is Engine.Failure
	Gone                       // the actor is destroyed, or never was
	Draining                   // the process shuts down
)

var whyNames = [...]string{"", "last_failure", "gone", "draining"}

func (w Why) String() string { return whyNames[w] }

// Effect is one thing to do.
type Effect struct {
	Kind     EffectKind
	Reason   Reason // of Stop
	Failures int    // of Backoff: failures in a row, at least 1
	Why      Why    // of Refuse
}

func (e Effect) String() string {
	switch e.Kind {
	case Stop:
		return "stop " + e.Reason.String()
	case Backoff:
		return fmt.Sprintf("backoff %d", e.Failures)
	case Refuse:
		return "refuse " + e.Why.String()
	}
	return e.Kind.String()
}

// Engine is the engine's machine of one actor. The zero value is an actor asleep. Not safe for concurrent use.
//
// Invariants: reason is meaningful in Stopping only; doomed implies that the actor ends up Destroyed unless the process
// ends first; backing implies Failed; early implies Starting.
type Engine struct {
	state    State
	reason   Reason
	doomed   bool  // it is to be destroyed as soon as it can be
	draining bool  // the process shuts down: never start it again
	sleepy   bool  // it asked to sleep before the start was known to have succeeded
	early    bool  // the end was reported before the start was known to have succeeded
	backing  bool  // the backoff of the last failure is not over
	failures int   // failures in a row
	failure  error // the last of them
}

// State returns where the actor is.
func (m *Engine) State() State { return m.state }

// Reason returns why it stops; meaningful in Stopping.
func (m *Engine) Reason() Reason { return m.reason }

// Failure returns the error of the last failed start or erasure and how many failed in a row; 0 after a success.
func (m *Engine) Failure() (err error, inARow int) { return m.failure, m.failures }

// Step takes one event and returns what to do. An event that means nothing in the present state does nothing.
func (m *Engine) Step(e Event) []Effect {
	switch e.Kind {
	case Request:
		return m.request()
	case Started:
		return m.started()
	case StartFailed:
		return m.startFailed(e.Err)
	case StartMissing:
		return m.startMissing()
	case SleepWanted:
		return m.stop(Sleep)
	case TurnedAway:
		if m.state == Running {
			return m.stop(Sleep)
		}
	case DestroyWanted:
		return m.stop(Destroy)
	case Delete:
		return m.delete()
	case Drain:
		return m.drain()
	case Stopped:
		return m.stopped()
	case Released:
		return m.released()
	case Erased:
		return m.erased()
	case EraseFailed:
		return m.eraseFailed(e.Err)
	case BackoffOver:
		return m.backoffOver()
	case Forgotten:
		if m.state == Failed && !m.backing {
			m.state = Asleep
			return effects(Forget)
		}
	}
	return nil
}

func (m *Engine) request() []Effect {
	if m.draining && m.state != Running && m.state != Destroyed {
		return []Effect{{Kind: Refuse, Why: Draining}}
	}
	switch m.state {
	case Running:
		return effects(Admit)
	case Destroyed:
		return []Effect{{Kind: Refuse, Why: Gone}}
	case Failed:
		if m.backing || m.doomed {
			return []Effect{{Kind: Refuse, Why: LastFailure}}
		}
		fallthrough
	case Asleep:
		m.state = Starting
		return effects(Start, Wait)
	}
	return effects(Wait)
}

func (m *Engine) started() []Effect {
	if m.state != Starting {
		return nil
	}
	m.state = Running
	m.failures, m.failure = 0, nil
	early, sleepy := m.early, m.sleepy
	m.early, m.sleepy = false, false
	switch {
	case early:
		return m.stopped()
	case m.doomed:
		return m.stop(Destroy)
	case m.draining:
		return m.stop(GoingAway)
	case sleepy:
		return append(effects(Wake), m.stop(Sleep)...)
	}
	return effects(Wake)
}

func (m *Engine) startFailed(err error) []Effect {
	if m.state != Starting {
		return nil
	}
	m.early, m.sleepy = false, false
	switch {
	case m.doomed:
		m.state = Erasing
		return effects(Erase)
	case m.draining:
		m.state = Asleep
		return effects(Wake, Forget)
	}
	return m.fail(err)
}

func (m *Engine) startMissing() []Effect {
	if m.state != Starting {
		return nil
	}
	m.state = Destroyed
	return effects(Wake, Forget)
}

// stop begins a stop, raises one under way, or notes that one is wanted.
func (m *Engine) stop(r Reason) []Effect {
	if r == Destroy && m.state != Destroyed {
		m.doomed = true
	}
	switch m.state {
	case Starting:
		m.sleepy = m.sleepy || r == Sleep
	case Running:
		m.state, m.reason = Stopping, r
		return []Effect{{Kind: Stop, Reason: r}}
	case Stopping:
		if r == Destroy && m.reason != Destroy {
			m.reason = Destroy
			return []Effect{{Kind: Stop, Reason: Destroy}}
		}
	}
	return nil
}

func (m *Engine) delete() []Effect {
	switch m.state {
	case Destroyed:
		return []Effect{{Kind: Refuse, Why: Gone}}
	case Failed:
		if m.backing && m.doomed {
			return []Effect{{Kind: Refuse, Why: LastFailure}}
		}
		fallthrough
	case Asleep:
		m.doomed, m.backing = true, false
		m.state = Erasing
		return effects(Erase, Wait)
	}
	return append(m.stop(Destroy), Effect{Kind: Wait})
}

func (m *Engine) drain() []Effect {
	m.draining = true
	switch m.state {
	case Asleep:
		return effects(Wake, Forget)
	case Starting:
		return effects(Abandon)
	case Running:
		return m.stop(GoingAway)
	case Failed:
		m.state, m.backing = Asleep, false
		return effects(Wake, Forget)
	}
	return nil
}

func (m *Engine) stopped() []Effect {
	switch m.state {
	case Starting:
		m.early = true
		return nil
	case Running, Stopping:
		if m.doomed {
			m.state = Erasing
			return effects(Erase)
		}
		m.state = Releasing
		return effects(Release)
	}
	return nil
}

func (m *Engine) released() []Effect {
	if m.state != Releasing {
		return nil
	}
	if m.doomed {
		m.state = Erasing
		return effects(Erase)
	}
	m.state = Asleep
	return effects(Wake, Forget)
}

func (m *Engine) erased() []Effect {
	if m.state != Erasing {
		return nil
	}
	m.state = Destroyed
	return effects(Wake, Forget)
}

func (m *Engine) eraseFailed(err error) []Effect {
	if m.state != Erasing {
		return nil
	}
	if m.draining {
		m.state = Asleep
		return effects(Wake, Forget)
	}
	return m.fail(err)
}

// fail records a failure, tells whoever waited, and keeps everybody else away for a while.
func (m *Engine) fail(err error) []Effect {
	m.state, m.backing = Failed, true
	m.failures++
	m.failure = err
	return []Effect{{Kind: Wake}, {Kind: Backoff, Failures: m.failures}}
}

func (m *Engine) backoffOver() []Effect {
	if m.state != Failed || !m.backing {
		return nil
	}
	m.backing = false
	if m.doomed {
		m.state = Erasing
		return effects(Erase)
	}
	return effects(Linger)
}

func effects(kinds ...EffectKind) []Effect {
	out := make([]Effect, len(kinds))
	for i, k := range kinds {
		out[i].Kind = k
	}
	return out
}
