// Package fault is the wire form of a failure: group, code, message, metadata, and which HTTP status it has.
//
// Inside the system a failure that may cross the wire is a *Error; anything else is logged with an id and leaves as
// a bare internal error that carries the id (G9, see Mask). The public package rivet has its own Error for users; the
// shells convert.
package fault

import "errors"

// HTTP statuses, as net/http names them: this room is pure.
const (
	statusBadRequest            = 400
	statusUnauthorized          = 401
	statusForbidden             = 403
	statusNotFound              = 404
	statusMethodNotAllowed      = 405
	statusRequestTimeout        = 408
	statusRequestEntityTooLarge = 413
	statusTooManyRequests       = 429
	statusInternalServerError   = 500
	statusBadGateway            = 502
	statusServiceUnavailable    = 503
	statusGatewayTimeout        = 504
)

// Error is a failure that may cross the wire.
type Error struct {
	Group   string
	Code    string
	Message string
	// Metadata is one CBOR item, or nil for none.
	Metadata []byte
	// Actor names the actor that made the error; nil for errors of the gateway and the API.
	Actor *Actor
	// Ray is the id of the request as the peer reported it; only set on errors received by a client.
	Ray string
	// HTTPStatus overrides the status that the group and code imply; 0 for none.
	HTTPStatus int
	// Cause is logged and never sent.
	Cause error
}

// Actor identifies the actor an error came from.
type Actor struct {
	ID         string
	Generation uint64
	Key        string
	HasKey     bool
}

// New returns an error without metadata.
func New(group, code, message string) *Error {
	return &Error{Group: group, Code: code, Message: message}
}

func (e *Error) Error() string { return e.Group + "." + e.Code + ": " + e.Message }

func (e *Error) Unwrap() error { return e.Cause }

// Is makes errors.Is compare group and code only.
func (e *Error) Is(target error) bool {
	var t *Error
	return errors.As(target, &t) && t.Group == e.Group && t.Code == e.Code
}

// With returns a copy that carries metadata (one CBOR item).
func (e *Error) With(metadata []byte) *Error {
	c := *e
	c.Metadata = metadata
	return &c
}

// From returns err as a *Error when it is or wraps one.
func From(err error) (*Error, bool) {
	var e *Error
	ok := errors.As(err, &e)
	return e, ok
}

// InternalMessage is the message of every error whose details stay in the log.
const InternalMessage = "An internal error occurred"

// StatusOnActor is the HTTP status of an error on an actor's own routes.
func (e *Error) StatusOnActor() int {
	if e.HTTPStatus != 0 {
		return e.HTTPStatus
	}
	switch e.Group {
	case "auth":
		if e.Code == "forbidden" {
			return statusForbidden
		}
	case "message", "queue", "user":
		return statusBadRequest
	case "actor":
		switch e.Code {
		case "not_found", "action_not_found":
			return statusNotFound
		case "method_not_allowed":
			return statusMethodNotAllowed
		case "action_timed_out":
			return statusRequestTimeout
		case "invalid_request", "validation_error":
			return statusBadRequest
		}
	}
	return statusInternalServerError
}

// StatusOnGateway is the HTTP status of an error made by the gateway.
func (e *Error) StatusOnGateway() int {
	if e.HTTPStatus != 0 {
		return e.HTTPStatus
	}
	switch e.Group + "." + e.Code {
	case "api.not_found", "guard.no_route", "actor.not_found":
		return statusNotFound
	case "api.unauthorized":
		return statusUnauthorized
	case "api.forbidden":
		return statusForbidden
	case "guard.rate_limit":
		return statusTooManyRequests
	case "guard.invalid_request_body":
		return statusRequestEntityTooLarge
	case "guard.upstream_error", "guard.routing_error", "guard.retry_attempts_exceeded", "guard.invalid_response_body":
		return statusBadGateway
	case "guard.service_unavailable", "guard.actor_stopped_while_waiting", "guard.tunnel_request_aborted",
		"guard.tunnel_response_closed", "guard.actor_ready_timeout", "guard.actor_wake_retries_exceeded":
		return statusServiceUnavailable
	case "guard.request_timeout", "guard.tunnel_message_timeout", "guard.gateway_response_start_timeout",
		"pegboard.route_resolve_query_timeout":
		return statusGatewayTimeout
	case "core.internal_error":
		return statusInternalServerError
	}
	return statusBadRequest
}

// StatusOnAPI is the HTTP status of an error on the control API.
func (e *Error) StatusOnAPI() int {
	if e.HTTPStatus != 0 {
		return e.HTTPStatus
	}
	switch e.Group + "." + e.Code {
	case "api.not_found":
		return statusNotFound
	case "api.unauthorized":
		return statusUnauthorized
	case "api.forbidden":
		return statusForbidden
	case "core.internal_error":
		return statusInternalServerError
	}
	return statusBadRequest
}
