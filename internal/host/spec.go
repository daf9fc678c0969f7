package host

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/rivetgo/rivet/internal/actordb"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// Spec is an actor definition without types: what package actor compiles a definition to.
type Spec struct {
	Name    string
	Options Options
	// DisplayName and Icon are for dashboards; empty for none.
	DisplayName string
	Icon        string

	// New returns a state that holds nothing yet; Restore fills it.
	New func() State
	// Create makes the state of an actor that never lived before.
	Create func(c *Call, input []byte) (State, error)

	// Migrations change the schema of the database, in the order of their numbers, each once. OnMigrate follows them at each
	// start, in the same turn; isNew: the actor never lived before. Nil: there is none.
	Migrations []Migration
	OnMigrate  func(c *Call, isNew bool) error

	// Hooks; nil when the definition has none. Each is one turn.
	OnCreate      func(c *Call, s State, input []byte) error
	OnWake        func(c *Call, s State) error
	OnSleep       func(c *Call, s State) error
	OnDestroy     func(c *Call, s State) error
	OnStateChange func(c *Call, s State) error

	BeforeConnect func(c *Call, s State, params []byte) error
	ConnState     func(c *Call, s State, params []byte) (State, error)
	// NewConnState returns a connection state that holds nothing yet, for Restore; nil when ConnState is.
	NewConnState func() State
	// ConcurrentBeforeConnect and ConcurrentConnState let these hooks run outside the turn; s is then nil.
	ConcurrentBeforeConnect bool
	ConcurrentConnState     bool
	OnConnect               func(c *Call, s State, conn *Conn) error
	OnDisconnect            func(c *Call, s State, conn *Conn) error

	CanSubscribe   map[string]func(c *Call, s State) (bool, error)
	BeforeResponse func(c *Call, s State, action string, args, output []byte) ([]byte, error)

	// OnRequest serves raw HTTP requests, outside the turn; see Actor.ServeRequest. Nil: there are none.
	OnRequest func(c *Call, w http.ResponseWriter, r *http.Request)

	// OnWebSocket serves raw WebSockets, outside the turn; see Actor.RunSocket. Nil: there are none.
	OnWebSocket func(c *Call, ws *RawSocket) error

	Actions map[string]*Action
	Queues  map[string]*Queue

	// Run is the actor's own loop, outside turns; it should end when the actor begins to stop.
	Run func(c *Call) error
}

// ActionKind says what an action's handler may do.
type ActionKind int

const (
	TurnAction       ActionKind = iota // holds the turn, may change the state
	ViewAction                         // holds the turn, changes nothing: no encoding, no commit
	ConcurrentAction                   // runs outside the turn
)

// Action is one bound action. Run decodes the arguments (a CBOR array), calls the handler and encodes its result (one
// CBOR item). s is nil for concurrent actions.
type Action struct {
	Kind ActionKind
	// Example is arguments that fit, as the inside of a JSON array, for hints to people.
	Example string
	Run     func(c *Call, s State, args []byte) ([]byte, error)
}

// State is one actor's state as the host handles it. Only the holder of the turn calls it.
type State interface {
	// AppendTo appends the encoding of the durable part. Equal states have equal encodings.
	AppendTo(dst []byte) ([]byte, error)
	// Restore sets the durable part to what was encoded and leaves the rest alone.
	Restore(encoded []byte) error
}

// Options are the knobs of one actor definition. Zero values mean the defaults of WithDefaults.
type Options struct {
	SleepAfter           time.Duration
	NoSleep              bool
	GracePeriod          time.Duration
	ActionTimeout        time.Duration
	RequestTimeout       time.Duration // until the answer of a raw request begins; zero: ActionTimeout
	CreateTimeout        time.Duration
	WakeTimeout          time.Duration
	MigrateTimeout       time.Duration
	BeforeConnectTimeout time.Duration
	ConnStateTimeout     time.Duration
	OnConnectTimeout     time.Duration

	QueueLease       time.Duration
	QueueRetryDelay  time.Duration
	QueueMaxAttempts int
	KeepReceipts     time.Duration

	MaxQueueSize         int
	MaxQueueMessageBytes int
	MaxSchedules         int
	MaxKVKeyBytes        int
	MaxKVValueBytes      int
	MaxTurnBytes         int
	MaxDatabaseTurnBytes int
	RuntimeSocket        bool
	DatabaseCacheBytes   int
	TransactionTimeout   time.Duration

	MaxStateBytes    int
	MaxIncomingBytes int
	MaxOutgoingBytes int
	MaxWaiting       int
	MaxConnections   int

	// NoHibernation makes connections end when their actor sleeps, and keep it awake until then.
	NoHibernation bool
	// HibernateWebSockets lets raw WebSockets hibernate too.
	HibernateWebSockets bool

	// Undurable lets replies and events leave before the commit they depend on is durable.
	Undurable bool
	// IgnoreUnknownQueues drops messages to queues that the definition does not have, instead of refusing them.
	IgnoreUnknownQueues bool
	// KeepFailedTurns keeps what an action or hook changed before it failed.
	KeepFailedTurns bool
	// IgnoreSurplusArguments lets callers pass more arguments than an action takes.
	IgnoreSurplusArguments bool
}

// WithDefaults returns a copy in which every zero is replaced by its default.
func (o Options) WithDefaults() Options {
	duration := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	count := func(n *int, def int) {
		if *n == 0 {
			*n = def
		}
	}
	duration(&o.SleepAfter, 30*time.Second)
	duration(&o.GracePeriod, 15*time.Second)
	duration(&o.ActionTimeout, time.Minute)
	duration(&o.RequestTimeout, o.ActionTimeout)
	duration(&o.CreateTimeout, 5*time.Second)
	duration(&o.WakeTimeout, 30*time.Second)
	duration(&o.MigrateTimeout, 30*time.Second)
	duration(&o.BeforeConnectTimeout, 5*time.Second)
	duration(&o.ConnStateTimeout, 5*time.Second)
	duration(&o.OnConnectTimeout, 5*time.Second)
	duration(&o.QueueLease, time.Minute)
	duration(&o.QueueRetryDelay, time.Second)
	count(&o.QueueMaxAttempts, 5)
	duration(&o.KeepReceipts, 24*time.Hour)
	count(&o.MaxQueueSize, 1000)
	count(&o.MaxQueueMessageBytes, 64<<10)
	count(&o.MaxSchedules, 1000)
	count(&o.MaxKVKeyBytes, 2048)
	count(&o.MaxKVValueBytes, 128<<10)
	count(&o.MaxTurnBytes, 64<<20)
	count(&o.MaxDatabaseTurnBytes, 256<<20)
	count(&o.DatabaseCacheBytes, 2<<20)
	duration(&o.TransactionTimeout, time.Minute)
	count(&o.MaxStateBytes, 4<<20)
	count(&o.MaxIncomingBytes, 64<<10)
	count(&o.MaxOutgoingBytes, 1<<20)
	count(&o.MaxWaiting, 1024)
	count(&o.MaxConnections, 10_000)
	return o
}

// Placement is one life of one actor on this host.
type Placement struct {
	ID         id.ID
	Namespace  string
	Name       string
	Key        []string
	KeyText    string // canonical
	Generation uint64
	CreatedAt  time.Time
	Records    Records
	// Parked are the sockets that the actor's last life left open.
	Parked []Parked
}

// Records is what an actor needs of its storage. Commits are ordered, atomic and fenced; done comes once for each
// accepted commit, in order, never from inside Commit. Alarm is the instant at which the store wakes the actor, as it was
// when this life began; zero for none. Batches change it.
type Records interface {
	Hot() []record.Record
	Alarm() time.Time
	Get(ctx context.Context, key []byte) ([]byte, error)
	Range(ctx context.Context, s record.Span, reverse bool, limit int) ([]record.Record, error)
	View(ctx context.Context) (View, error)
	Commit(b *record.Batch, done func(error)) error
}

// Owner is who placed the actor here. Calls return quickly.
type Owner interface {
	SleepWanted()
	DestroyWanted()
	// Stopped is reported once, after which the host knows nothing of the actor any more.
	Stopped(err error)
}

// Env is what all actors of a process share.
type Env struct {
	Log *slog.Logger
	// Client is the typed client that handlers use to call other actors; host only carries it.
	Client any
	// Databases bounds the memory of the actors' databases.
	Databases *actordb.Pool
	// Deliver hands a message over to another actor and returns when it is durable there; nil: messages to other actors are
	// refused. A *fault.Error is the receiver's answer.
	Deliver func(ctx context.Context, out *Outgoing) error
	// ExposeErrors lets messages of untyped errors cross the wire: for development only.
	ExposeErrors bool
}

// Request is what a handler may know of the HTTP request or upgrade that caused its call.
type Request struct {
	Method     string
	Path       string
	Query      string
	Header     http.Header
	RemoteAddr string
}
