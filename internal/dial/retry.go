package dial

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"time"

	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/value"
)

const (
	// boundaryAttempts and boundaryWait bound the retries of a call that met an actor between two lives.
	boundaryAttempts = 5
	boundaryWait     = 25 * time.Millisecond

	// dynamicBudget bounds the retries of a call whose key named an actor that was starting or going away, counted
	// from the first such answer.
	dynamicBudget  = 5 * time.Second
	dynamicWait    = 100 * time.Millisecond
	dynamicWaitMax = 800 * time.Millisecond
)

// retries decides whether a failed call is repeated. It has no clock of its own: now is an input.
//
// Two kinds of answers are retried. A boundary answer comes from a gateway that lost the actor while it waited. A
// dynamic answer says that the actor behind a key is starting or on its way out, so that the same key will soon name a
// usable one; it is retried only for targets that are addressed by key. A missing actor is an answer, not a failure:
// only a target that creates retries it.
type retries struct {
	kind       kind
	boundaries int
	dynamics   int
	firstAt    time.Time // of the first dynamic answer
	refound    bool      // a remembered id was found gone and the key resolved again
}

// next returns how long to wait before the call is repeated, or false when f is final.
func (r *retries) next(f *fault.Error, now time.Time) (time.Duration, bool) {
	if isBoundary(f) {
		r.boundaries++
		if r.boundaries >= boundaryAttempts {
			return 0, false
		}
		return boundaryWait << (r.boundaries - 1), true
	}
	if r.kind == byID || !isDynamic(f, r.kind) {
		return 0, false
	}
	if r.dynamics == 0 {
		r.firstAt = now
	}
	wait := min(dynamicWait<<min(r.dynamics, 8), dynamicWaitMax)
	r.dynamics++
	if now.Add(wait).Sub(r.firstAt) > dynamicBudget {
		return 0, false
	}
	return wait, true
}

// stoppedText is how old hosts reported a stop without a code of its own.
var stoppedText = regexp.MustCompile(`^Actor [A-Za-z0-9-]+ stopped$`)

func isBoundary(f *fault.Error) bool {
	if strings.Contains(f.Message, "database accessed after actor stopped") {
		return false
	}
	switch f.Group {
	case "guard":
		switch f.Code {
		case "service_unavailable", "actor_wake_retries_exceeded", "actor_stopped_while_waiting", "tunnel_request_aborted",
			"tunnel_message_timeout", "tunnel_response_closed", "gateway_response_start_timeout":
			return true
		}
	case "actor":
		switch f.Code {
		case "restarting":
			return true
		case "internal_error":
			if f.Message == "Actor is stopping" {
				return true
			}
		case "stopping":
			if f.Message == "Actor stopping: Cannot accept new connections while actor is stopping" {
				return true
			}
		}
	}
	return stoppedText.MatchString(f.Message)
}

func isDynamic(f *fault.Error, k kind) bool {
	if f.Group != "actor" {
		return false
	}
	switch f.Code {
	case "starting", "stopping", "not_configured", "dropped_reply", "destroying":
		return true
	case "not_found":
		return k == getOrCreate && isMissingActor(f)
	}
	return strings.HasPrefix(f.Code, "destroyed_")
}

// isMissingActor tells the gateway's "no such actor" from the same code made inside an actor: for a route it does not
// have, or passed on by its handler from a call of its own.
func isMissingActor(f *fault.Error) bool {
	if f.Actor != nil {
		return false
	}
	r := value.NewReader(f.Metadata)
	if r.Kind() != value.KindMap {
		return true
	}
	for n := r.Map(); r.More(&n); {
		key, item := r.Raw(), r.Raw()
		if string(key) == "\x68resource" && string(item) == "\x65route" {
			return false
		}
	}
	return true
}

// isGone reports whether f says that an id does not name a live actor any more.
func isGone(f *fault.Error) bool {
	return f.Group == "actor" && (f.Code == "not_found" && isMissingActor(f) || f.Code == "destroying" || strings.HasPrefix(f.Code, "destroyed_"))
}

// isReconnect reports whether f, met while the first socket of a connection is opened, only says that the other side
// is going away.
func isReconnect(f *fault.Error) bool {
	return isBoundary(f) || f.Group == "actor" && f.Code == "stopped" || f.Group == "ws" && f.Code == "going_away" ||
		strings.Contains(f.Message, "WebSocket connection closed during shutdown") || strings.Contains(f.Message, "envoy shut")
}

// isTransient reports whether a connection that was open before should go on trying after f.
func isTransient(f *fault.Error, k kind) bool {
	if isReconnect(f) {
		return true
	}
	switch f.Group {
	case clientGroup:
		return f.Code != CodeClosed && f.Code != CodeInvalidTarget
	case "guard":
		return !strings.HasPrefix(f.Code, "query_") && f.Code != "missing_header" && f.Code != "invalid_header" && f.Code != "no_route"
	case "pegboard", "ws", "core", "rivetkit", "envoy":
		return true
	case "actor":
		switch f.Code {
		case "overloaded", "not_ready", "init_error", "hibernation_persist_failed", "callback_timed_out", "shutdown_timeout", "panicked":
			return true
		}
		return isDynamic(f, k)
	}
	return false
}

// isFinalClose reports whether a server that closed an open connection with f would only do so again.
func isFinalClose(f *fault.Error) bool { return f.Group == "auth" }

// jitter spreads a wait over its upper half, so that clients that failed together do not come back together.
func jitter(d time.Duration) time.Duration {
	if d <= 1 {
		return d
	}
	return d/2 + rand.N(d/2)
}

// pause waits for d. When ctx ends first, it returns an error that wraps ctx's and quotes last, the failure of the
// attempt before.
func pause(ctx context.Context, d time.Duration, last error) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w (last attempt: %v)", ctx.Err(), last)
	}
}

const (
	reconnectWait    = 250 * time.Millisecond
	reconnectWaitMax = 30 * time.Second
	// stableAfter is how long a socket must have been open for its loss to count as the first.
	stableAfter = 10 * time.Second
)

// backoff is the waiting between the attempts of a connection: none before the first, then 250 ms, doubling to 30 s.
type backoff struct{ failures int }

// lost tells that a socket was lost that had been open for so long.
func (b *backoff) lost(open time.Duration) {
	if open >= stableAfter {
		b.failures = 0
	}
}

// next returns how long to wait before the next attempt.
func (b *backoff) next() time.Duration {
	b.failures++
	if b.failures == 1 {
		return 0
	}
	return min(reconnectWait<<min(b.failures-2, 16), reconnectWaitMax)
}
