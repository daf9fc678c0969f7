// Package refusal is the catalogue of errors that the engine half answers with: group, code, text and metadata as the
// official clients know them. Errors that an actor makes are not here.
//
// The texts and the metadata's names are wire format: clients decide by group and code, people and test suites read the
// rest.
package refusal

import (
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/value"
)

// field is one entry of metadata: a string, or a number when text is empty and number is set.
type field struct {
	name   string
	text   string
	number uint64
	isNum  bool
}

func text(name, v string) field            { return field{name: name, text: v} }
func number(name string, v uint64) field   { return field{name: name, number: v, isNum: true} }
func newError(g, c, m string) *fault.Error { return fault.New(g, c, m) }
func reason(group, code, msg, why string) *fault.Error {
	return with(newError(group, code, msg), text("reason", why))
}

// with adds metadata. Names must come in alphabetical order, which is the order in which they are answered.
func with(e *fault.Error, fields ...field) *fault.Error {
	b := value.AppendMapHead(nil, len(fields))
	for _, f := range fields {
		b = value.AppendText(b, f.name)
		if f.isNum {
			b = value.AppendUint(b, f.number)
		} else {
			b = value.AppendText(b, strings.ToValidUTF8(f.text, "\ufffd"))
		}
	}
	e.Metadata = b
	return e
}

// Internal hides cause behind the bare internal error (G9). Whoever answers with it logs cause with the request's id.
func Internal(cause error) *fault.Error {
	e := newError("core", "internal_error", fault.InternalMessage)
	e.Cause = cause
	return e
}

// Of returns err as an error that may be sent, hiding it when it is not made for that.
func Of(err error) *fault.Error {
	if e, ok := fault.From(err); ok {
		return e
	}
	return Internal(err)
}

// ActorNotFound: no such actor, or it was destroyed.
func ActorNotFound() *fault.Error {
	return newError("actor", "not_found", "The actor does not exist or was destroyed.")
}

// DestroyedWhileWaiting: the actor was destroyed while the request waited for it.
func DestroyedWhileWaiting() *fault.Error {
	return newError("actor", "destroyed_while_waiting_for_ready", "Actor was destroyed while waiting for ready state.")
}

// DuplicateKey: the key belongs to another live actor.
func DuplicateKey(key string, existing id.ID) *fault.Error {
	who := existing.String()
	return with(newError("actor", "duplicate_key", fmt.Sprintf("Actor key '%s' already in use for actor '%s'", key, who)),
		text("existing_actor_id", who), text("key", key))
}

// EmptyKey: the API was given the key "", which spells nothing; the empty list is "/".
func EmptyKey() *fault.Error { return newError("actor", "empty_key", "Key label cannot be empty.") }

// KeyTooLarge: the key or one of its parts is longer than limit bytes.
func KeyTooLarge(key string, limit int) *fault.Error {
	preview := cut(key, 64)
	return with(newError("actor", "key_too_large", fmt.Sprintf("Key label too large (max %d bytes): %s", limit, preview)),
		text("key_preview", preview), number("max_size", uint64(limit)))
}

// InputTooLarge: the creation input is longer than limit bytes.
func InputTooLarge(limit int) *fault.Error {
	return with(newError("actor", "input_too_large", fmt.Sprintf("Input too large (max %d).", limit)),
		number("max_size", uint64(limit)))
}

// NoPool: the pool is not configured in the namespace.
func NoPool(namespace, pool string) *fault.Error {
	return with(newError("actor", "no_runner_config_configured",
		fmt.Sprintf("No runner config with name '%s' are available in any datacenter for the namespace '%s'. Validate a provider is listed that matches the requested pool name.", pool, namespace)),
		text("namespace", namespace), text("pool_name", pool))
}

// DatacenterNotFound: no datacenter has that name, or the label that the id carries.
func DatacenterNotFound() *fault.Error {
	return newError("datacenter", "not_found", "The provided datacenter does not exist.")
}

// NamespaceNotFound: no namespace has that name.
func NamespaceNotFound() *fault.Error {
	return newError("namespace", "not_found", "The namespace does not exist.")
}

// NamespaceTaken: a namespace of that name exists.
func NamespaceTaken() *fault.Error {
	return newError("namespace", "name_not_unique", "Namespace name must be unique.")
}

// NamespaceInvalid: the new namespace breaks a rule.
func NamespaceInvalid(why string) *fault.Error {
	return reason("namespace", "failed_to_create", "Failed to create namespace: "+why, why)
}

// InvalidInput: the parameters of an API call contradict each other.
func InvalidInput(message string) *fault.Error {
	return with(newError("validation", "invalid_input", message), text("message", message))
}

// TooManyIDs: more ids than one call may ask for.
func TooManyIDs(limit, count int) *fault.Error {
	return with(newError("validation", "too_many_actor_ids", fmt.Sprintf("Too many actor IDs provided. Maximum is %d, got %d", limit, count)),
		number("count", uint64(count)), number("max", uint64(limit)))
}

// APINotFound: no such route.
func APINotFound() *fault.Error {
	return newError("api", "not_found", "The requested resource was not found")
}

// APIMethodNotAllowed: the route exists, but not for this method.
func APIMethodNotAllowed() *fault.Error {
	e := newError("api", "method_not_allowed", "The requested method is not allowed for this resource")
	e.HTTPStatus = http.StatusMethodNotAllowed
	return e
}

// BadRequest: the request is not what the route expects.
func BadRequest(why string) *fault.Error {
	return reason("api", "bad_request", "Request is invalid: "+why, why)
}

// Forbidden reasons.
const (
	TokenMissing = "Token not provided"
	TokenInvalid = "Invalid token"
)

// Forbidden: the token is missing or wrong.
func Forbidden(why string) *fault.Error {
	return reason("api", "forbidden", "Access denied: "+why, why)
}

// NoRoute: nothing answers at that address.
func NoRoute(host, path string) *fault.Error {
	return with(newError("guard", "no_route", fmt.Sprintf("No route found for hostname %s, path %s.", host, path)),
		text("host", host), text("path", path))
}

// MissingHeader: the request lacks a header that it needs to be routed.
func MissingHeader(header string) *fault.Error {
	return with(newError("guard", "missing_header", "Missing "+header+" header."), text("header", header))
}

// InvalidHeader: a header that routes has a value that it cannot have.
func InvalidHeader(header, detail string) *fault.Error {
	return with(newError("guard", "invalid_header", fmt.Sprintf("Invalid %s header: %s", header, detail)),
		text("detail", detail), text("header", header))
}

// WebSocketNotSupported: an upgrade where there is no WebSocket.
func WebSocketNotSupported() *fault.Error {
	return newError("guard", "websocket_not_supported", "WebSockets are not supported on this route.")
}

// BodyTooLarge: the request body is over the gateway's limit.
func BodyTooLarge() *fault.Error {
	const why = "length limit exceeded"
	return reason("guard", "invalid_request_body", "Unable to parse request body: "+why+".", why)
}

// Unavailable: the request was not carried out and may be sent again.
func Unavailable(cause error) *fault.Error {
	e := newError("guard", "service_unavailable", "Service unavailable.")
	e.HTTPStatus = http.StatusServiceUnavailable // on the API too, where it would be 400
	e.Cause = cause
	return e
}

// Moved: the request put a message into a queue and waited for it when its actor stopped, and could not go on in a next
// life. It must not be taken for one that had no effect.
func Moved(cause error) *fault.Error {
	e := newError("queue", "completion_waiter_dropped",
		"The actor stopped while the message was waited for, and does not run again for now: unless the actor was destroyed, the message stays in its queue. Send with an idempotency key to be able to ask again.")
	e.HTTPStatus = http.StatusServiceUnavailable
	e.Cause = cause
	return e
}

// ReadyTimeout: the actor did not get ready in time.
func ReadyTimeout(actor id.ID) *fault.Error {
	return with(newError("guard", "actor_ready_timeout",
		"Timed out waiting for actor to become ready. Ensure that the pool selector is accurate and there are envoys available in the namespace you created this actor."),
		text("actor_id", actor.String()))
}

// WakeRetriesExceeded: the actor stopped again and again before it took the request.
func WakeRetriesExceeded(actor id.ID, retries int) *fault.Error {
	const why = "actor_stopped_before_ready"
	who := actor.String()
	return with(newError("guard", "actor_wake_retries_exceeded",
		fmt.Sprintf("Actor %s stopped before becoming ready after %d wake retries: %s.", who, retries, why)),
		text("actor_id", who), text("reason", why), number("wake_retries", uint64(retries)))
}

// ResolveTimeout: looking the actor up took too long.
func ResolveTimeout(elapsedMS, timeoutMS int64) *fault.Error {
	return with(newError("pegboard", "route_resolve_query_timeout", fmt.Sprintf("Resolving the actor query timed out after %d ms.", timeoutMS)),
		number("elapsed_ms", uint64(elapsedMS)), number("timeout_ms", uint64(timeoutMS)))
}

// The errors of the query form of gateway paths.

// QueryInvalidParams: the parameters do not describe an actor.
func QueryInvalidParams(detail string) *fault.Error {
	return with(newError("guard", "query_invalid_params", "invalid query gateway params: "+detail), text("detail", detail))
}

// QueryDuplicateParam: a parameter comes twice.
func QueryDuplicateParam(name string) *fault.Error {
	return with(newError("guard", "query_duplicate_param", "duplicate query gateway param: "+name), text("name", name))
}

// QueryTokenSyntax: "name@token", which only ids may have.
func QueryTokenSyntax() *fault.Error {
	return newError("guard", "query_path_token_syntax", "query gateway paths must not use @token syntax")
}

// QueryGetDisallowed: a parameter of creation in a lookup.
func QueryGetDisallowed() *fault.Error {
	return newError("guard", "query_get_disallowed_params",
		"query gateway method=get does not allow rvt-input, rvt-region, rvt-crash-policy, or rvt-pool params")
}

// QueryMissingPool: a creation without a pool.
func QueryMissingPool() *fault.Error {
	return newError("guard", "query_missing_pool", "query gateway method=getOrCreate requires rvt-pool param")
}

// QueryEmptyName: no actor name.
func QueryEmptyName() *fault.Error {
	return newError("guard", "query_empty_actor_name", "query gateway actor name must not be empty")
}

// QueryBadBase64: the input is not base64url.
func QueryBadBase64() *fault.Error {
	return newError("guard", "query_invalid_base64_input", "invalid base64url in query gateway input")
}

// QueryBadCBOR: the input is not one CBOR item.
func QueryBadCBOR() *fault.Error {
	const detail = "invalid cbor"
	return with(newError("guard", "query_invalid_cbor_input", "invalid query gateway input cbor: "+detail), text("detail", detail))
}

// QueryBadPercent: a value is not UTF-8 once decoded.
func QueryBadPercent(name string) *fault.Error {
	return with(newError("guard", "query_invalid_percent_encoding", "invalid percent-encoding for query gateway param '"+name+"'"), text("name", name))
}

// cut shortens s to at most n bytes at a character's boundary.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
