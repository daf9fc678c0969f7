package rivet

import (
	"errors"

	"github.com/rivetgo/rivet/internal/codec"
	"github.com/rivetgo/rivet/internal/wire/fault"
)

// Error is a failure that crosses the wire: return one from a handler and the caller, in Go or JavaScript, gets it as it
// is. Any other error stays in the actor's log; its caller gets "internal error" and the id under which it was logged.
//
// Errors that the system itself makes have the groups actor, guard, message, auth, namespace, core and others;
// docs/errors.md lists them. Test for one with errors.Is(err, &rivet.Error{Group: "actor", Code: "not_found"}) or Is.
type Error struct {
	// Group names the part of the program that the error belongs to; "user" when empty.
	Group string
	// Code names the error within its group, in snake_case; "user_error" when empty.
	Code string
	// Message is for people.
	Message string
	// Metadata is any encodable value for the caller's program; nil for none. On received errors it is a Raw.
	Metadata any
	// ActorID is the actor that made a received error; empty when it came from the gateway or the API.
	ActorID string
	// Ray is the id of the request that failed, as the server logs it; only on received errors.
	Ray string

	cause error // of errors that the client makes: what happened below
}

func (e *Error) Error() string {
	s := e.group() + "." + e.code()
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

func (e *Error) group() string {
	if e.Group == "" {
		return "user"
	}
	return e.Group
}

func (e *Error) code() string {
	if e.Code == "" {
		return "user_error"
	}
	return e.Code
}

// Unwrap returns what is below an error that the client made, such as a network error or the reason of a lost
// connection; nil on all others.
func (e *Error) Unwrap() error { return e.cause }

// Is makes errors.Is compare group and code.
func (e *Error) Is(target error) bool {
	var t *Error
	return errors.As(target, &t) && t.group() == e.group() && t.code() == e.code()
}

// Is reports whether err is an Error of this group and code.
func Is(err error, group, code string) bool {
	return errors.Is(err, &Error{Group: group, Code: code})
}

// DecodeMetadata reads the metadata of a received error into v, a pointer.
func (e *Error) DecodeMetadata(v any) error {
	raw, ok := e.Metadata.(Raw)
	if !ok || len(raw) == 0 {
		return errors.New("rivet: the error has no metadata")
	}
	return codec.Decode(raw, v)
}

// Fault is for package actor: the wire form of the error.
func (e *Error) Fault() (*fault.Error, error) {
	f := fault.New(e.group(), e.code(), e.Message)
	if e.Metadata == nil {
		return f, nil
	}
	m, err := codec.AppendWire(nil, e.Metadata)
	if err != nil {
		return nil, err
	}
	return f.With(m), nil
}

// fromFault turns a wire error into an Error; other errors pass through.
func fromFault(err error) error {
	f, ok := fault.From(err)
	if !ok {
		return err
	}
	e := &Error{Group: f.Group, Code: f.Code, Message: f.Message, Ray: f.Ray}
	if len(f.Metadata) > 0 {
		e.Metadata = Raw(f.Metadata)
	}
	if f.Actor != nil {
		e.ActorID = f.Actor.ID
	}
	if f.Cause != nil {
		e.cause = fromFault(f.Cause)
	}
	return e
}
