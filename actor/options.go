package actor

import (
	"fmt"
	"time"

	"github.com/rivetgo/rivet/internal/host"
)

// Options are the knobs of one actor definition. The zero value of each field means its default.
type Options struct {
	// SleepAfter is how long an actor is idle before it sleeps: no call, no KeepAwake, no connection but those that
	// hibernate. Default 30 s.
	SleepAfter time.Duration
	// NoSleep keeps the actor awake until it is asked to sleep, destroyed, or the process ends.
	NoSleep bool
	// GracePeriod bounds the whole end of an actor: its last hook, calls under way, background work. Default 15 s.
	GracePeriod time.Duration
	// ActionTimeout bounds an action from its arrival to its reply; the wait for the turn counts. Default 60 s.
	ActionTimeout time.Duration
	// RequestTimeout bounds OnRequest until its answer begins; from then on it has no deadline. Default: ActionTimeout.
	RequestTimeout time.Duration
	// CreateTimeout bounds the constructor and OnCreate together. Default 5 s.
	CreateTimeout time.Duration
	// WakeTimeout bounds OnWake. Default 30 s.
	WakeTimeout time.Duration
	// MigrateTimeout bounds the migrations of a start and OnMigrate together. Default 30 s.
	MigrateTimeout time.Duration
	// BeforeConnectTimeout bounds BeforeConnect and CanSubscribe. Default 5 s.
	BeforeConnectTimeout time.Duration
	// ConnectTimeout bounds OnConnect. Default 5 s.
	ConnectTimeout time.Duration
	// ConnectedTimeout bounds OnConnected and OnDisconnect. Default 5 s.
	ConnectedTimeout time.Duration

	// QueueLease is how long a receiver has for a message taken outside a turn. Default 60 s.
	QueueLease time.Duration
	// QueueRetryDelay is how long a failed message waits for its second attempt; the wait doubles from then on, to an hour.
	// Default 1 s.
	QueueRetryDelay time.Duration
	// QueueMaxAttempts is after how many failed attempts a message goes to the dead letters. Default 5.
	QueueMaxAttempts int
	// KeepReceipts is how long the outcome of a message with an idempotency key is remembered. Default 24 h.
	KeepReceipts time.Duration
	// MaxQueueSize bounds the messages of all queues together, dead letters included; more are refused with queue.full. It
	// also bounds the messages on their way to other actors. Default 1,000.
	MaxQueueSize int
	// MaxQueueMessageBytes bounds a message as it is stored; a larger one is queue.message_too_large. A message from a client
	// must also fit MaxIncomingBytes. Default 65,536.
	MaxQueueMessageBytes int
	// IgnoreUnknownQueues drops messages to queues that the actor does not declare and tells the sender that they were
	// completed, as upstream's actors do. Default: they are refused with queue.not_found.
	IgnoreUnknownQueues bool
	// KeepFailedTurns keeps what an action or hook changed before it failed or ran out of time, and sends what it had sent,
	// as upstream's actors do. It gives up G1 for such turns; handlers of queues and the creation of an actor stay as they
	// are. For ports of actors that depend on it. Default: a turn that fails changes nothing.
	KeepFailedTurns bool
	// IgnoreSurplusArguments lets callers pass more arguments than an action takes, as JavaScript does. Default: they are
	// refused with actor.validation_error.
	IgnoreSurplusArguments bool
	// MaxSchedules bounds the schedules of all kinds together; more are schedule.max_schedules_exceeded. Default 1,000.
	MaxSchedules int
	// MaxKVKeyBytes and MaxKVValueBytes bound keys and values of the key-value store. Defaults 2,048 and 131,072.
	MaxKVKeyBytes   int
	MaxKVValueBytes int
	// MaxTurnBytes bounds everything that one turn stores; a larger turn fails with actor.turn_too_large. Default 64 MiB.
	MaxTurnBytes int
	// MaxDatabaseTurnBytes bounds the pages of the database that one turn changes, in bytes of 4,096-byte pages; a larger turn
	// fails with sqlite.transaction_too_large. They wait in memory for the commit. At most 1 GiB. Default 256 MiB.
	MaxDatabaseTurnBytes int
	// DatabaseCacheBytes bounds the pages that an open database keeps in memory between turns. Default 2 MiB.
	DatabaseCacheBytes int
	// TransactionTimeout bounds a transaction outside turns, which holds the turn: it is then rolled back with
	// sqlite.transaction_expired. Default 60 s.
	TransactionTimeout time.Duration
	// RuntimeSocket lets Ctx.RuntimeSocket open a Unix socket through which programs of the same user on the same machine run
	// SQL in the actor's database. Off by default.
	RuntimeSocket bool

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

	// NoHibernation makes client connections end when the actor sleeps, and keep it awake until then. By default they
	// hibernate: they stay open while the actor sleeps, and do not keep it awake.
	NoHibernation bool
	// HibernateWebSockets lets raw WebSockets hibernate too: OnWebSocket runs again after each wake.
	HibernateWebSockets bool

	// MayLoseAcknowledged lets replies and events leave before they are durable. A crash of the machine or the process can
	// then lose turns whose replies were already seen. Off by default.
	MayLoseAcknowledged bool
}

// maxDatabaseTurn is the largest Options.MaxDatabaseTurnBytes: the pages of a turn wait in memory.
const maxDatabaseTurn = 1 << 30

func (o Options) compile() (host.Options, []string) {
	var wrong []string
	check := func(name string, negative bool) {
		if negative {
			wrong = append(wrong, fmt.Sprintf("Options.%s is negative: leave it zero for the default", name))
		}
	}
	if o.MaxDatabaseTurnBytes > maxDatabaseTurn {
		wrong = append(wrong, fmt.Sprintf("Options.MaxDatabaseTurnBytes is %d: at most %d", o.MaxDatabaseTurnBytes, maxDatabaseTurn))
	}
	check("SleepAfter", o.SleepAfter < 0)
	check("GracePeriod", o.GracePeriod < 0)
	check("ActionTimeout", o.ActionTimeout < 0)
	check("RequestTimeout", o.RequestTimeout < 0)
	check("CreateTimeout", o.CreateTimeout < 0)
	check("WakeTimeout", o.WakeTimeout < 0)
	check("MigrateTimeout", o.MigrateTimeout < 0)
	check("BeforeConnectTimeout", o.BeforeConnectTimeout < 0)
	check("ConnectTimeout", o.ConnectTimeout < 0)
	check("ConnectedTimeout", o.ConnectedTimeout < 0)
	check("QueueLease", o.QueueLease < 0)
	check("QueueRetryDelay", o.QueueRetryDelay < 0)
	check("QueueMaxAttempts", o.QueueMaxAttempts < 0)
	check("KeepReceipts", o.KeepReceipts < 0)
	check("MaxQueueSize", o.MaxQueueSize < 0)
	check("MaxQueueMessageBytes", o.MaxQueueMessageBytes < 0)
	check("MaxSchedules", o.MaxSchedules < 0)
	check("MaxKVKeyBytes", o.MaxKVKeyBytes < 0)
	check("MaxKVValueBytes", o.MaxKVValueBytes < 0)
	check("MaxTurnBytes", o.MaxTurnBytes < 0)
	check("MaxDatabaseTurnBytes", o.MaxDatabaseTurnBytes < 0)
	check("DatabaseCacheBytes", o.DatabaseCacheBytes < 0)
	check("TransactionTimeout", o.TransactionTimeout < 0)
	check("MaxStateBytes", o.MaxStateBytes < 0)
	check("MaxIncomingBytes", o.MaxIncomingBytes < 0)
	check("MaxOutgoingBytes", o.MaxOutgoingBytes < 0)
	check("MaxWaiting", o.MaxWaiting < 0)
	check("MaxConnections", o.MaxConnections < 0)
	return host.Options{
		SleepAfter: o.SleepAfter, NoSleep: o.NoSleep, GracePeriod: o.GracePeriod,
		ActionTimeout: o.ActionTimeout, RequestTimeout: o.RequestTimeout, CreateTimeout: o.CreateTimeout, WakeTimeout: o.WakeTimeout, MigrateTimeout: o.MigrateTimeout,
		BeforeConnectTimeout: o.BeforeConnectTimeout, ConnStateTimeout: o.ConnectTimeout, OnConnectTimeout: o.ConnectedTimeout,
		QueueLease: o.QueueLease, QueueRetryDelay: o.QueueRetryDelay, QueueMaxAttempts: o.QueueMaxAttempts, KeepReceipts: o.KeepReceipts,
		MaxQueueSize: o.MaxQueueSize, MaxQueueMessageBytes: o.MaxQueueMessageBytes, IgnoreUnknownQueues: o.IgnoreUnknownQueues,
		KeepFailedTurns: o.KeepFailedTurns, IgnoreSurplusArguments: o.IgnoreSurplusArguments,
		MaxSchedules: o.MaxSchedules, MaxKVKeyBytes: o.MaxKVKeyBytes, MaxKVValueBytes: o.MaxKVValueBytes, MaxTurnBytes: o.MaxTurnBytes,
		MaxDatabaseTurnBytes: o.MaxDatabaseTurnBytes, DatabaseCacheBytes: o.DatabaseCacheBytes, TransactionTimeout: o.TransactionTimeout, RuntimeSocket: o.RuntimeSocket,
		MaxStateBytes: o.MaxStateBytes, MaxIncomingBytes: o.MaxIncomingBytes, MaxOutgoingBytes: o.MaxOutgoingBytes,
		MaxWaiting: o.MaxWaiting, MaxConnections: o.MaxConnections,
		NoHibernation: o.NoHibernation, HibernateWebSockets: o.HibernateWebSockets, Undurable: o.MayLoseAcknowledged,
	}.WithDefaults(), wrong
}
