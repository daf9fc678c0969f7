// Package store is the seam in front of the only durable thing in the system.
//
// A Store knows actors by id, (namespace, name, key) and generation, the records inside each actor, and the control
// plane's tables. Drivers (embedded, memory, later postgres) implement it and pass one conformance suite
// (storetest); faulty wraps any of them. This package knows no driver.
//
// What every driver must hold, and storetest checks:
//
//   - A batch is durable as a whole or not at all (G1).
//   - done(nil) is called only when the batch, and everything committed before it by the same tenure, is durable (G2).
//   - Once Acquire has returned a tenure with generation n, no commit of a tenure with a lower generation is ever
//     applied (G3). Generations of an actor only grow while anything committed under them can be read.
//   - After a failed commit every later commit of that tenure fails too, and the actor must be acquired again; what
//     Acquire then reads is what is durable, never what was merely in memory (G10). Whether the failed batch itself
//     survived is unknown to the caller.
//   - Acquire writes nothing where the driver can fence without it (embedded): waking an actor is a read.
//   - An actor's alarm is a part of its records: it is set and cleared by batches, under the same rules, and Alarms finds
//     it by its time (G4).
//   - Bytes of an unknown format version are refused when the store is opened (G8).
package store

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/record"
)

var (
	// ErrNotFound: no such actor or namespace, or the actor was destroyed.
	ErrNotFound = record.ErrNotFound
	// ErrExists: a namespace of that name exists already.
	ErrExists = errors.New("store: exists already")
	// ErrFenced: a newer generation of the actor exists, or the tenure was released or destroyed. Nothing was written.
	ErrFenced = errors.New("store: fenced: a newer generation of the actor owns its records")
	// ErrClosed: the store was closed. Nothing was written.
	ErrClosed = errors.New("store: closed")
	// ErrUnavailable: the store cannot serve now (a write failed and it is reading back what is durable, or the disk
	// is full or stuck). Nothing was written by the call that returns it. Retry later; errors.Is finds the disk's error
	// too, if there is one. From a Tenure after a failed commit it means that the tenure is dead: acquire again.
	ErrUnavailable = errors.New("store: unavailable for the moment")
)

// CommitError is given to done when a batch could not be made durable. Whether it survived is unknown: after a
// restart it may be there or not. Cause is the disk's or the database's error.
type CommitError struct{ Cause error }

func (e *CommitError) Error() string { return "store: commit failed: " + e.Cause.Error() }
func (e *CommitError) Unwrap() error { return e.Cause }

// Namespace is a tenant boundary. Name is unique.
type Namespace struct {
	ID          id.ID
	Name        string
	DisplayName string
	CreatedAt   time.Time
}

// Actor is the control plane's row of one actor. Times have millisecond precision; zero means "not so far".
type Actor struct {
	ID          id.ID
	Namespace   id.ID
	Name        string
	Key         string // canonical text (wire/actorkey); HasKey false: anonymous, found by id only
	HasKey      bool
	Pool        string
	CrashPolicy string
	CreatedAt   time.Time
	StartedAt   time.Time // first time it became reachable
	SleptAt     time.Time // when it last fell asleep; zero while it never did
	DestroyedAt time.Time
	Alarm       time.Time // the instant at which it wants to be awake; zero for none
	Generation  uint64    // newest generation that was recorded; 0 before the first commit or release
}

// NewActor describes an actor to be reserved. ID is minted by the caller; it is used only when a new one is recorded.
type NewActor struct {
	ID          id.ID
	Namespace   id.ID
	Name        string
	Key         string
	HasKey      bool
	Pool        string
	CrashPolicy string
	CreatedAt   time.Time
	Input       []byte // one CBOR item, kept as record KindInput (sealed by the store with record.Seal); nil for none
}

// ListQuery selects rows of one namespace and name, newest creation first.
type ListQuery struct {
	Namespace        id.ID
	Name             string
	IncludeDestroyed bool
	Before           time.Time // only rows created before this instant; zero for all
	Limit            int       // at most this many; below 1 none
}

// Alarm is an actor that wants to be awake at an instant, or as soon after it as can be. An actor has one alarm at most.
type Alarm struct {
	At    time.Time // millisecond precision; never zero
	Actor id.ID
}

// Compare orders alarms as Alarms does: by instant, then by the bytes of the actor's id. The zero Alarm comes first.
func (a Alarm) Compare(b Alarm) int {
	switch az, bz := a.At.IsZero(), b.At.IsZero(); {
	case az && bz:
	case az:
		return -1
	case bz:
		return 1
	}
	if c := a.At.Compare(b.At); c != 0 {
		return c
	}
	return bytes.Compare(a.Actor[:], b.Actor[:])
}

// AlarmQuery selects alarms, earliest first.
type AlarmQuery struct {
	After Alarm     // only alarms behind this one, which need not exist, in the order of Compare; zero for all
	Until time.Time // only alarms at or before this instant; zero for all
	Limit int       // at most this many; below 1 none
}

// ActorName is an actor type that a host announced, with opaque metadata (JSON).
type ActorName struct {
	Name     string
	Metadata []byte
}

// View is an actor's records as they were at one commit. Its methods may be called concurrently; Close ends it, and is
// idempotent.
type View = interface {
	Get(ctx context.Context, key []byte) ([]byte, error)
	Range(ctx context.Context, s record.Span, reverse bool, limit int) ([]record.Record, error)
	Close() error
}

// Store is the engine's durable memory. All methods may be called concurrently.
type Store interface {
	// CreateNamespace records ns durably. ErrExists when the name is taken.
	CreateNamespace(ctx context.Context, ns Namespace) error
	// Namespaces lists all namespaces by name.
	Namespaces(ctx context.Context) ([]Namespace, error)

	// PutNames records actor names of a namespace durably; known names get the new metadata. Writing what is already
	// stored writes nothing.
	PutNames(ctx context.Context, ns id.ID, names []ActorName) error
	// Names lists actor names after the given one in byte order, at most limit.
	Names(ctx context.Context, ns id.ID, after string, limit int) ([]ActorName, error)

	// Reserve returns the live actor of (namespace, name, key), or records a new one with n.ID; it is linearizable:
	// of any number of concurrent calls one creates. It returns as soon as the outcome is decided; durable is called
	// exactly once, later or before Reserve returns, when the returned row is durable (nil) or could not be made so.
	// Nothing may be told to a client before that. An actor without a key is always new. When Reserve returns an
	// error, durable is not called. durable must be quick and must not call into the store.
	//
	// The other methods and Acquire see a reservation as soon as its outcome is decided.
	Reserve(ctx context.Context, n NewActor, durable func(error)) (a Actor, created bool, err error)
	// Lookup finds the live actor of (namespace, name, key). ErrNotFound when there is none.
	Lookup(ctx context.Context, ns id.ID, name, key string) (Actor, error)
	// Actors returns the rows of the given ids that exist, destroyed ones included, in the order asked for.
	Actors(ctx context.Context, ids []id.ID) ([]Actor, error)
	// List returns rows by name.
	List(ctx context.Context, q ListQuery) ([]Actor, error)

	// Alarms returns alarms, earliest first: what it costs depends on how many it returns, not on how many there are. It
	// sees what batches have applied, durable or not, like Tenure.Get; whether their actors are awake it does not know.
	Alarms(ctx context.Context, q AlarmQuery) ([]Alarm, error)

	// View shows the records of an actor, awake or not, as they are at one commit, and its row: it acquires nothing and keeps
	// nobody from committing. Everything in it is durable when View returns. The caller closes it. ErrNotFound when the actor
	// does not exist or is destroyed.
	View(ctx context.Context, actor id.ID) (Actor, View, error)

	// Acquire makes the caller the actor's only writer with a generation above every earlier one. An older tenure that
	// still lives is fenced from now on, even when Acquire then fails. What older tenures committed is durable, or has
	// failed, when Acquire returns. ErrNotFound when the actor does not exist or is destroyed.
	Acquire(ctx context.Context, actor id.ID) (Tenure, error)

	// Close waits for commits in flight, then closes. Tenures that still live fail with ErrClosed. Idempotent.
	Close() error
}

// Tenure is one term of ownership of an actor: the right to commit under one generation. Commit must not be called
// concurrently with itself; everything else may be called concurrently. When the tenure is over (a newer one was
// acquired, or Release or Destroy was called) every method but Release returns ErrFenced.
type Tenure interface {
	// Actor is the row as it was when the tenure was acquired.
	Actor() Actor
	// Generation is the fencing number of this tenure: at least 1, above every earlier one of the actor.
	Generation() uint64
	// Hot hands over the records of kinds below record.HotEnd as they were at Acquire, by key. The tenure does not keep
	// them: a second call returns nothing. It must not be called concurrently with itself.
	Hot() []record.Record
	// Alarm is the actor's alarm as it was at Acquire; zero for none.
	Alarm() time.Time
	// Get returns one record's value, including batches committed but not yet durable. ErrNotFound when absent.
	Get(ctx context.Context, key []byte) ([]byte, error)
	// Range returns at most limit records of the span in key order (or reverse), with the same view as Get. A limit
	// below 1 returns none.
	Range(ctx context.Context, s record.Span, reverse bool, limit int) ([]record.Record, error)
	// View is the records at this moment, with the same view as Get: durable or not. The caller closes it. It outlives the
	// tenure.
	View(ctx context.Context) (View, error)
	// Commit applies b atomically, its alarm included. When it returns nil, done will be called exactly once, never from inside Commit,
	// in the order of the commits: with nil when b is durable, else with a *CommitError. done must be quick and must
	// not call into the store. When Commit returns an error (ErrFenced, ErrClosed, ErrUnavailable) nothing was
	// written, and done is not called. The same goes for a key to put that is empty or of kind 0, which the store keeps
	// for itself. Commit may block for a moment when too much waits to be durable.
	Commit(b *record.Batch, done func(error)) error
	// Release ends the tenure. asleep is the instant to show as the actor's time of falling asleep; zero leaves it as
	// it was. It may lose nothing that was committed; it need not wait for durability of the note it writes itself.
	// Idempotent.
	Release(asleep time.Time) error
	// Destroy erases the actor's records and its alarm, frees its key and marks its row destroyed, durably. The tenure is over. When
	// it fails with a *CommitError, or because ctx ended while it waited, it may have happened nevertheless.
	Destroy(ctx context.Context, at time.Time) error
}
