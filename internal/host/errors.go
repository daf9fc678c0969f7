package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/value"
	"github.com/rivetgo/rivet/internal/wire/why"
)

// ErrStopping says that the actor has begun to stop (or never quite started) and did nothing with the call.
var ErrStopping = errors.New("host: the actor is stopping")

// errKilled is why an actor ends that was killed.
var errKilled = errors.New("host: the actor was killed")

var (
	// errVoid is what a call gets that had no effect because the actor ended: repeating it is safe.
	errVoid = &fault.Error{Group: "actor", Code: "restarting", Message: "Actor is restarting. Retry the request.", HTTPStatus: 503}
	// errUncertain is what a call gets whose commit failed under way. Clients do not repeat it on their own.
	errUncertain = &fault.Error{Group: "actor", Code: "commit_failed", Message: "The change could not be made durable, and whether it happened is unknown: read the state before repeating the call.", HTTPStatus: 503}

	errOverloaded   = &fault.Error{Group: "actor", Code: "overloaded", Message: "Too many calls wait for this actor's turn: call again later, or raise Options.MaxWaiting.", HTTPStatus: 503}
	errTooManyConns = &fault.Error{Group: "actor", Code: "overloaded", Message: "Too many connections are open on this actor: try again later, or raise Options.MaxConnections.", HTTPStatus: 503}
	errTimedOut     = fault.New("actor", "action_timed_out", "Action timed out")
	errDestroying   = fault.New("actor", "destroying", "Actor is destroying.")
	errForbidden    = fault.New("auth", "forbidden", "Forbidden")
)

func callbackTimedOut(hook string, after time.Duration) *fault.Error {
	ms := after.Milliseconds()
	f := fault.New("actor", "callback_timed_out", fmt.Sprintf("callback `%s` timed out after %d ms", hook, ms))
	m := value.AppendMapHead(nil, 2)
	m = value.AppendText(m, "callback_name")
	m = value.AppendText(m, hook)
	m = value.AppendText(m, "duration_ms")
	m = value.AppendInt(m, ms)
	return f.With(m)
}

func actionNotFound(name string) *fault.Error {
	return fault.New("actor", "action_not_found", fmt.Sprintf("Action `%s` was not found.", name))
}

func callCycle(chain []string, self string) *fault.Error {
	var text strings.Builder
	for _, id := range chain {
		text.WriteString(id + " → ")
	}
	return &fault.Error{Group: "actor", Code: "call_cycle", HTTPStatus: 409, Message: "The call comes back to an actor that waits for it and would never end: " + text.String() + self + ". Make one of the calls outside a turn (HandleConcurrent), or send instead of calling."}
}

func turnTooLarge(size, limit int) *fault.Error {
	return fault.New("actor", "turn_too_large", fmt.Sprintf("The turn would store %d bytes, the limit is %d: change less in one turn, or raise Options.MaxTurnBytes", size, limit))
}

// checkOutgoing refuses a message to a client that is over the limit.
func (a *Actor) checkOutgoing(size int) *fault.Error {
	if limit := a.spec.Options.MaxOutgoingBytes; size > limit {
		return fault.New("message", "outgoing_too_long", fmt.Sprintf("Outgoing message too long (%d bytes). Limit is %d bytes: raise Options.MaxOutgoingBytes.", size, limit))
	}
	return nil
}

// CheckIncoming refuses a message from a client that is over the limit.
func (a *Actor) CheckIncoming(size int) *fault.Error {
	if limit := a.spec.Options.MaxIncomingBytes; size > limit {
		return fault.New("message", "incoming_too_long", fmt.Sprintf("Incoming message too long (%d bytes). Limit is %d bytes: raise Options.MaxIncomingBytes.", size, limit))
	}
	return nil
}

// visible is the error as a caller may see it (G9): typed errors as they are, stamped with the actor; everything else
// is logged with an id and leaves as an internal error that carries the id.
func (a *Actor) visible(during string, err error) *fault.Error {
	if f, ok := fault.From(err); ok {
		if f.Actor == nil {
			c := *f
			c.Actor = a.specifier()
			f = &c
		}
		if f.Cause != nil {
			a.Log().Error("call failed", "during", during, "error", f.Error(), "cause", f.Cause)
		}
		return f
	}
	if a.alive.Err() != nil && errors.Is(err, context.Canceled) {
		return a.visible(during, errVoid) // the handler gave up because the actor's time is over
	}
	ref := id.New(0).String()
	attrs := []any{"during", during, "error_id", ref, "error", err}
	var p *panicError
	if errors.As(err, &p) {
		attrs = append(attrs, slog.String("stack", string(p.stack)))
	}
	a.Log().Error("handler failed", attrs...)
	a.mu.Lock()
	a.lastError = &why.Failure{At: time.Now(), During: during, Error: err.Error() + " (logged as " + ref + ")"}
	a.mu.Unlock()
	message := fault.InternalMessage
	if a.env.ExposeErrors {
		message = err.Error()
	}
	m := value.AppendMapHead(nil, 1)
	m = value.AppendText(m, "errorId")
	m = value.AppendText(m, ref)
	return &fault.Error{Group: "rivetkit", Code: "internal_error", Message: message, Metadata: m, Actor: a.specifier(), HTTPStatus: 500}
}

// specifier names this actor in errors.
func (a *Actor) specifier() *fault.Actor { return &a.named }
