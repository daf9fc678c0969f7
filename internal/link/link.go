// Package link is the seam between the two halves of the system: the engine half (gateway, directory, placement,
// store), which decides where an actor lives, and the actor half (host), which runs it.
//
//	          Start(Placement) ─────────────►
//	engine    Actor.HTTP, Actor.WebSocket ──►   host of actors (Runner)
//	half      Actor.Stop(reason) ───────────►
//	          ◄───────────── Events: SleepWanted, DestroyWanted, Stopped, WakeWanted
//	          ◄───────────── Placement.Records: commits, fenced by the generation
//
// The verbs are few on purpose. Everything an actor is asked by a client is an HTTP request or a WebSocket; what the
// engine asks is to start and to stop; what the actor asks back is to sleep or to be destroyed. Who implements it:
//
//   - link/inprocess: the host lives in this process. HTTP gets the very *http.Request and ResponseWriter of the
//     client, WebSocket the upgraded socket, Records is the store's own tenure: nothing is encoded or copied.
//   - over a WebSocket: a Runner whose Start sends the start command of the runner protocol and waits for the running
//     event, whose HTTP and WebSocket send tunnel messages, and which serves the runner's storage requests from
//     Records. The engine half does not notice the difference.
//   - A host under a foreign engine needs no Runner at all: the other side of the runner protocol calls the host with
//     the same Placement, its Records being the protocol's storage requests. The host declares the interfaces that it
//     consumes itself, so it never sees this package.
//
// What must never happen: two Actors of one id with the same generation; a request handed to an actor that has
// begun to stop without the answer ErrStopping (then nothing of it was done and the engine places it anew); Stopped
// reported before the last commit of that actor is durable or has failed.
package link

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/record"
	"github.com/rivetgo/rivet/internal/wire/why"
	"github.com/rivetgo/rivet/internal/ws"
)

// ErrStopping says that the actor has begun to stop and did nothing with the request: place it again.
var ErrStopping = errors.New("link: the actor is stopping")

// ErrMoved is an ErrStopping of a request that has had an effect: it may only be handed to the same actor's next life, and
// must not be answered as if nothing had happened.
var ErrMoved = fmt.Errorf("%w: the request goes on in its next life", ErrStopping)

// Name is an actor type that a runner can host.
type Name struct {
	Name     string
	Metadata []byte // JSON object for dashboards: {"name": display name, "icon": …}
}

// Placement is one term of one actor on one runner.
type Placement struct {
	ID         id.ID
	Namespace  string
	Name       string
	Key        string // canonical text (wire/actorkey)
	Generation uint64
	CreatedAt  time.Time
	Records    Records
	// Kept are the sockets that the actor's last life, which may have been in another process, left to their keeper.
	Kept []Kept
}

// Kept is a socket that was left to its keeper, with the record of its connection.
type Kept struct {
	Conn   *record.Conn
	Socket ws.Kept
}

// View is an actor's records as they were at one commit.
type View = interface {
	Get(ctx context.Context, key []byte) ([]byte, error)
	Range(ctx context.Context, s record.Span, reverse bool, limit int) ([]record.Record, error)
	Close() error
}

// Records is what the host needs of the actor's storage. Its method set is a part of store.Tenure's, where each
// method's contract is written.
type Records interface {
	Hot() []record.Record
	Alarm() time.Time
	Get(ctx context.Context, key []byte) ([]byte, error)
	Range(ctx context.Context, s record.Span, reverse bool, limit int) ([]record.Record, error)
	View(ctx context.Context) (View, error)
	Commit(b *record.Batch, done func(error)) error
}

// Runner hosts actors. All methods may be called concurrently.
type Runner interface {
	// Names lists the actor types it can host.
	Names() []Name
	// Start brings the actor to the point where it serves requests: state loaded or created, wake hooks run. A
	// *fault.Error says what its hooks or its definition refused. Start does not report Stopped when it fails.
	// Cancelling ctx abandons the start.
	Start(ctx context.Context, p Placement) (Actor, error)
	// Forget says that a sleeping actor was erased: sockets that it left open are closed. It returns quickly.
	Forget(actor id.ID)
}

// Actor is a running actor as the engine sees it. All methods may be called concurrently.
type Actor interface {
	// HTTP serves one request. r.URL.Path is the actor's own path ("/action/increment"); gateway parameters are gone.
	// ErrStopping: nothing was done and nothing was written to w. ErrMoved: nothing was written to w.
	HTTP(w http.ResponseWriter, r *http.Request) error
	// WebSocket serves one socket. upgrade is called once the actor takes it, and completes the handshake; kept says that
	// the socket may outlive the actor's sleep. ErrStopping: upgrade was not called. The call returns when the actor has
	// taken the socket over, not when it ends.
	WebSocket(r *http.Request, upgrade func(kept bool) (ws.Socket, error)) error
	// Why reports on the actor, within milliseconds, also while it stops or its code blocks it.
	Why(ctx context.Context) *why.Report
	// Stop begins to stop the actor and returns at once; Events.Stopped tells the end. Idempotent: a second Stop can
	// only turn a sleep into a destroy.
	Stop(reason StopReason)
}

// StopReason says why an actor is stopped.
type StopReason int

const (
	StopSleep     StopReason = iota // idle, or asked to: keep everything, hibernating sockets too, wake on demand
	StopGoingAway                   // the process shuts down or drains: as sleep, but every socket is closed
	StopDestroy                     // erase it: OnDestroy runs, the engine erases the records after Stopped
)

func (r StopReason) String() string {
	switch r {
	case StopSleep:
		return "sleep"
	case StopGoingAway:
		return "going_away"
	case StopDestroy:
		return "destroy"
	}
	return "unknown"
}

// Events is what an actor tells the engine. Calls return quickly and may come from any goroutine.
type Events interface {
	// SleepWanted: the actor is idle, or its code asked to sleep. The engine answers with Stop.
	SleepWanted(actor id.ID, generation uint64)
	// DestroyWanted: the actor's code asked to be destroyed. The engine answers with Stop(StopDestroy).
	DestroyWanted(actor id.ID, generation uint64)
	// Stopped: the actor is gone from the runner; reported exactly once for each successful Start. err is nil for an
	// orderly stop, otherwise why it ended on its own (a failed or fenced commit).
	Stopped(actor id.ID, generation uint64, err error)
	// WakeWanted: a client said something on a socket that a sleeping actor left open. The engine starts the actor, as for
	// a request; if that fails, the runner asks again.
	WakeWanted(actor id.ID)
}
