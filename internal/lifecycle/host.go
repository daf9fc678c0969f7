package lifecycle

// Phase is where a live actor is in its host.
type Phase uint8

const (
	Loading      Phase = iota // state and hooks of the start
	HostStarted               // serving
	SleepGrace                // told to sleep: still serving while OnSleep runs and work drains
	DestroyGrace              // told to go for good: OnDestroy runs and work drains
	Finalize                  // last save and tear-down
	Terminated                // gone; the end was reported
)

var phaseNames = [...]string{"loading", "started", "sleep-grace", "destroy-grace", "finalize", "terminated"}

func (p Phase) String() string { return phaseNames[p] }

// Kind is the kind of a stop as the host sees it: what the engine calls going away is a sleep here.
type Kind uint8

const (
	KindSleep Kind = iota
	KindDestroy
)

var kindNames = [...]string{"sleep", "destroy"}

func (k Kind) String() string { return kindNames[k] }

// HostEventKind says what happened to a live actor.
type HostEventKind uint8

const (
	Loaded        HostEventKind = iota // the start succeeded
	LoadFailed                         // the start failed; the caller of the start has the error
	StopRequested                      // the engine wants it to end for Kind
	Drained                            // nothing that a stop must wait for runs any more
	GraceOver                          // the grace budget is spent
	Broken                             // a commit failed or was fenced with Err: nothing in memory may be trusted
	Finalized                          // the final phase is over; Err says why the last save failed
)

var hostEventNames = [...]string{"loaded", "load-failed", "stop", "drained", "grace-over", "broken", "finalized"}

func (k HostEventKind) String() string { return hostEventNames[k] }

// HostEvent is one thing that happened. Kind belongs to StopRequested, Err to Broken and Finalized.
type HostEvent struct {
	Event HostEventKind
	Kind  Kind
	Err   error
}

// HostEffectKind says what the host must do. Effects are carried out in order.
type HostEffectKind uint8

const (
	BeginGrace HostEffectKind = iota // run OnSleep or OnDestroy, wait for Drained, fix the deadline of the first one
	CutOff                           // cancel whatever still runs, and remember what it was for the report
	RunFinal                         // save (unless broken), tear down, then report Finalized
	Report                           // tell the engine that the actor is gone, with Err
)

var hostEffectNames = [...]string{"begin-grace", "cut-off", "finalize", "report"}

func (k HostEffectKind) String() string { return hostEffectNames[k] }

// HostEffect is one thing to do. Kind belongs to BeginGrace and RunFinal; Save to RunFinal; Err to Report.
type HostEffect struct {
	Effect HostEffectKind
	Kind   Kind
	Save   bool
	Err    error
}

func (e HostEffect) String() string {
	switch e.Effect {
	case BeginGrace:
		return "begin-grace " + e.Kind.String()
	case RunFinal:
		if !e.Save {
			return "finalize without saving"
		}
		return "finalize " + e.Kind.String()
	case Report:
		if e.Err != nil {
			return "report: " + e.Err.Error()
		}
	}
	return e.Effect.String()
}

// Verdict says whether a live actor takes work.
type Verdict uint8

const (
	Accepts      Verdict = iota
	NotReady             // actor.not_ready: still loading
	IsStopping           // link.ErrStopping inside the system, actor.stopping for in-process code
	IsDestroying         // actor.destroying
)

// Host is the machine of one live actor in its host. The zero value is an actor that loads. Not safe for concurrent
// use. The grace budget is one for the whole stop: raising a sleep to a destroy does not renew it.
type Host struct {
	phase  Phase
	kind   Kind
	wanted bool // a stop was requested while loading
	err    error
}

// Phase returns where the actor is.
func (m *Host) Phase() Phase { return m.phase }

// Kind returns what kind of stop is under way; meaningful from the first StopRequested on.
func (m *Host) Kind() Kind { return m.kind }

// Verdict reports whether requests, messages and connections are taken now.
func (m *Host) Verdict() Verdict {
	switch m.phase {
	case Loading:
		return NotReady
	case HostStarted, SleepGrace:
		return Accepts
	case Finalize:
		if m.kind == KindSleep {
			return IsStopping
		}
	case DestroyGrace:
		return IsStopping
	}
	return IsDestroying
}

// Alarms reports whether due schedules are dispatched.
func (m *Host) Alarms() bool { return m.phase == HostStarted }

// Step takes one event and returns what to do. An event that means nothing in the present phase does nothing.
func (m *Host) Step(e HostEvent) []HostEffect {
	switch e.Event {
	case Loaded:
		if m.phase != Loading {
			return nil
		}
		m.phase = HostStarted
		if m.wanted {
			return m.grace(m.kind)
		}
	case LoadFailed:
		if m.phase == Loading {
			m.phase = Terminated
		}
	case StopRequested:
		return m.stop(e.Kind)
	case Drained:
		if m.phase == SleepGrace || m.phase == DestroyGrace {
			m.phase = Finalize
			return []HostEffect{{Effect: RunFinal, Kind: m.kind, Save: true}}
		}
	case GraceOver:
		if m.phase == SleepGrace || m.phase == DestroyGrace {
			m.phase = Finalize
			return []HostEffect{{Effect: CutOff}, {Effect: RunFinal, Kind: m.kind, Save: true}}
		}
	case Broken:
		return m.broken(e.Err)
	case Finalized:
		if m.phase != Finalize {
			return nil
		}
		m.phase = Terminated
		if m.err == nil {
			m.err = e.Err
		}
		return []HostEffect{{Effect: Report, Err: m.err}}
	}
	return nil
}

func (m *Host) stop(k Kind) []HostEffect {
	switch m.phase {
	case Loading:
		m.wanted = true
		m.kind = max(m.kind, k)
	case HostStarted:
		return m.grace(k)
	case SleepGrace:
		if k == KindDestroy {
			return m.grace(k)
		}
	case Finalize:
		// Too late for OnDestroy; the engine erases the records whatever the report says.
		m.kind = max(m.kind, k)
	}
	return nil
}

func (m *Host) grace(k Kind) []HostEffect {
	m.kind = k
	m.phase = SleepGrace
	if k == KindDestroy {
		m.phase = DestroyGrace
	}
	return []HostEffect{{Effect: BeginGrace, Kind: k}}
}

func (m *Host) broken(err error) []HostEffect {
	switch m.phase {
	case HostStarted, SleepGrace, DestroyGrace:
		m.phase, m.err = Finalize, err
		return []HostEffect{{Effect: CutOff}, {Effect: RunFinal, Kind: m.kind}}
	case Finalize:
		if m.err == nil {
			m.err = err
		}
	}
	return nil
}
