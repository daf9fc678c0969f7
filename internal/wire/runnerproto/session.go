package runnerproto

// Metadata is the first message of a runner. Names are the actor types that it hosts; nil leaves what the engine knows.
type Metadata struct {
	Names    []ActorName
	HasNames bool
	JSON     *string
}

// ActorName is an actor type with its metadata, a JSON object.
type ActorName struct{ Name, Metadata string }

func (n ActorName) name() string { return n.Name }

func (*Metadata) toRivet()       {}
func (*Metadata) variant() uint8 { return 0 }
func (m *Metadata) layout(c *coder) {
	if m.HasNames = c.present(m.HasNames); m.HasNames {
		dict(c, &m.Names, 2, func(n *ActorName) { c.str(&n.Name); c.str(&n.Metadata) })
	}
	opt(c, &m.JSON, c.str)
}

// Checkpoint is a place in the sequence of the commands, or of the events, of one generation of an actor.
type Checkpoint struct {
	Actor      string
	Generation uint32
	Index      int64
}

func (p *Checkpoint) layout(c *coder) {
	c.str(&p.Actor)
	c.u32(&p.Generation)
	c.i64(&p.Index)
}

func checkpoints(c *coder, p *[]Checkpoint) {
	list(c, p, 13, func(p *Checkpoint) { p.layout(c) })
}

// Events are what actors of the runner tell the engine, each once in the sequence of its actor's generation.
type Events struct{ List []Event }

// Event is one of them. Exactly one of Intent, State and Alarm is set.
type Event struct {
	At     Checkpoint
	Intent *Intent
	State  *State
	Alarm  *Alarm
}

// Intent is what an actor wants of the engine.
type Intent uint8

const (
	IntentSleep Intent = iota
	IntentStop
)

// State is where an actor is: it runs, or it has stopped.
type State struct {
	Stopped bool
	Failed  bool    // of a stopped one
	Message *string // of a stopped one
}

// Alarm is when the engine wakes a sleeping actor.
type Alarm struct{ At *int64 } // milliseconds since 1970; nil: never

func (*Events) toRivet()       {}
func (*Events) variant() uint8 { return 1 }
func (m *Events) layout(c *coder) {
	list(c, &m.List, 15, func(e *Event) { e.layout(c) })
}

func (e *Event) layout(c *coder) {
	e.At.layout(c)
	var tag uint8
	switch {
	case e.State != nil:
		tag = 1
	case e.Alarm != nil:
		tag = 2
	}
	c.enum(&tag, 3, "event")
	if c.failed() {
		return
	}
	switch tag {
	case 0:
		if !c.writing {
			e.Intent = new(Intent)
		} else if e.Intent == nil {
			c.fail("an event without content")
			return
		}
		c.enum((*uint8)(e.Intent), 2, "intent")
	case 1:
		if !c.writing {
			e.State = &State{}
		}
		c.bool(&e.State.Stopped)
		if e.State.Stopped {
			c.bool(&e.State.Failed)
			opt(c, &e.State.Message, c.str)
		}
	case 2:
		if !c.writing {
			e.Alarm = &Alarm{}
		}
		opt(c, &e.Alarm.At, c.i64)
	}
}

// AckCommands says up to where commands were carried out: the engine need not send them again.
type AckCommands struct{ Upto []Checkpoint }

func (*AckCommands) toRivet()          {}
func (*AckCommands) variant() uint8    { return 2 }
func (m *AckCommands) layout(c *coder) { checkpoints(c, &m.Upto) }

// Stopping says that the runner is about to leave: the engine moves its actors.
type Stopping struct{}

func (*Stopping) toRivet()       {}
func (*Stopping) variant() uint8 { return 3 }
func (*Stopping) layout(*coder)  {}

// Pong answers a Ping with its time.
type Pong struct{ TS int64 }

func (*Pong) toRivet()          {}
func (*Pong) variant() uint8    { return 4 }
func (m *Pong) layout(c *coder) { c.i64(&m.TS) }

// Init is the first message of the engine. The thresholds are milliseconds.
type Init struct {
	EnvoyLostThreshold     int64
	ActorStopThreshold     int64
	MaxResponsePayloadSize uint64
}

func (*Init) toEnvoy()       {}
func (*Init) variant() uint8 { return 0 }
func (m *Init) layout(c *coder) {
	c.i64(&m.EnvoyLostThreshold)
	c.i64(&m.ActorStopThreshold)
	c.u64(&m.MaxResponsePayloadSize)
}

// Commands are what the engine wants of the runner, each once in the sequence of its actor's generation.
type Commands struct{ List []Command }

// Command is one of them. Exactly one of Start and Stop is set.
type Command struct {
	At    Checkpoint
	Start *Start
	Stop  *StopReason
}

// Start is the command to bring an actor to life.
type Start struct {
	Name      string
	Key       *string
	CreateTS  int64  // of this allocation, not of the actor; milliseconds since 1970
	Input     []byte // nil: none
	Sockets   []Tunnel
	Preloaded *PreloadedKV
}

// PreloadedKV are keys and values that come with a start.
type PreloadedKV struct {
	Entries  []KVEntry
	Keys     [][]byte
	Prefixes [][]byte
}

// KVEntry is a key of the engine's key-value storage with its value.
type KVEntry struct {
	Key, Value []byte
	Metadata   KVMetadata
}

// StopReason is why an actor is to stop.
type StopReason uint8

const (
	StopSleep StopReason = iota
	StopIntent
	StopDestroy
	StopGoingAway
	StopLost
)

func (r StopReason) String() string {
	return [...]string{"sleep_intent", "stop_intent", "destroy", "going_away", "lost"}[r]
}

func (*Commands) toEnvoy()       {}
func (*Commands) variant() uint8 { return 1 }
func (m *Commands) layout(c *coder) {
	list(c, &m.List, 15, func(cmd *Command) { cmd.layout(c) })
}

func (m *Command) layout(c *coder) {
	m.At.layout(c)
	var tag uint8
	if m.Stop != nil {
		tag = 1
	}
	c.enum(&tag, 2, "command")
	switch {
	case c.failed():
	case tag == 0:
		if !c.writing {
			m.Start = &Start{}
		} else if m.Start == nil {
			c.fail("a command without content")
			return
		}
		m.Start.layout(c)
	default:
		if !c.writing {
			m.Stop = new(StopReason)
		}
		c.enum((*uint8)(m.Stop), 5, "stop reason")
	}
}

func (m *Start) layout(c *coder) {
	c.str(&m.Name)
	opt(c, &m.Key, c.str)
	c.i64(&m.CreateTS)
	c.optData(&m.Input)
	list(c, &m.Sockets, 8, func(t *Tunnel) { t.layout(c) })
	opt(c, &m.Preloaded, func(p *PreloadedKV) {
		list(c, &p.Entries, 11, func(e *KVEntry) { c.data(&e.Key); c.data(&e.Value); e.Metadata.layout(c) })
		list(c, &p.Keys, 1, c.data)
		list(c, &p.Prefixes, 1, c.data)
	})
}

// AckEvents says up to where events were processed: the runner need not send them again.
type AckEvents struct{ Upto []Checkpoint }

func (*AckEvents) toEnvoy()          {}
func (*AckEvents) variant() uint8    { return 2 }
func (m *AckEvents) layout(c *coder) { checkpoints(c, &m.Upto) }

// Ping asks for a Pong.
type Ping struct{ TS int64 }

func (*Ping) toEnvoy()          {}
func (*Ping) variant() uint8    { return 5 }
func (m *Ping) layout(c *coder) { c.i64(&m.TS) }
