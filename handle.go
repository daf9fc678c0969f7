package rivet

import (
	"context"

	"github.com/rivetgo/rivet/internal/codec"
	"github.com/rivetgo/rivet/internal/dial"
	"github.com/rivetgo/rivet/internal/wire/value"
)

// Target is what an action can be called on and a message sent to: a Handle, which calls over HTTP, or a *Conn, which
// calls over its socket (messages go over HTTP).
// I says of which actor, so that the actions of one cannot be called on another.
type Target[I any] interface {
	// call sends an encoded array of arguments and returns the encoded output.
	call(ctx context.Context, action string, args []byte) ([]byte, error)
	// send puts a message into a queue.
	send(ctx context.Context, s *dial.Send) (reply []byte, timedOut bool, err error)
	// handleOf makes the targets of different actors different types.
	handleOf(I)
}

// Handle addresses one actor. It is a small value to be copied freely, safe for concurrent use, and holds no resources:
// it does not keep its actor awake, and nobody closes it.
type Handle[I any] struct {
	t      *dial.Target
	params []byte // what HTTP calls and connections present: JSON, nil for none
	err    error  // why the params cannot be presented
}

func (h Handle[I]) handleOf(I) {}

// usable reports what is wrong with the handle itself.
func (h Handle[I]) usable() error {
	if h.t == nil {
		return invalidTarget("the handle is the zero value; get one from an Actor")
	}
	return h.err
}

func (h Handle[I]) call(ctx context.Context, action string, args []byte) ([]byte, error) {
	if err := h.usable(); err != nil {
		return nil, err
	}
	return h.t.Action(ctx, action, args, h.params)
}

// Resolve returns the id of the actor; a handle from GetOrCreate creates it. A missing actor is actor.not_found. A
// handle from ByID or Create knows the id and causes no traffic.
func (h Handle[I]) Resolve(ctx context.Context) (actorID string, err error) {
	if err := h.usable(); err != nil {
		return "", err
	}
	id, err := h.t.Resolve(ctx)
	return id, fromFault(err)
}

// Delete destroys the actor with its state, whatever it is doing. It never creates one: actor.not_found says that the
// key names no live actor. Deleting an id twice is not an error.
func (h Handle[I]) Delete(ctx context.Context) error {
	if err := h.usable(); err != nil {
		return err
	}
	return fromFault(h.t.Delete(ctx))
}

// GatewayURL is the URL under which the actor's own HTTP paths are reached, with what the query needs; it holds the
// client's token, if any. There is no traffic. It is empty when the handle cannot be used, and when the key has no
// spelling in a URL and was not used yet.
func (h Handle[I]) GatewayURL() string {
	if h.usable() != nil {
		return ""
	}
	return h.t.GatewayURL()
}

// Connect opens a connection to the actor, without params unless the handle is from Params.On. See Params.Connect.
func (h Handle[I]) Connect(ctx context.Context) (*Conn[I], error) {
	if err := h.usable(); err != nil {
		return nil, err
	}
	c, err := h.t.Connect(ctx, h.params)
	if err != nil {
		return nil, fromFault(err)
	}
	return &Conn[I]{c: c}, nil
}

// Call calls the action and waits for its result. target is a Handle or a *Conn of the action's actor.
func (act Action[I, A, R]) Call(ctx context.Context, target Target[I], arg A) (R, error) {
	var result R
	args, err := codec.AppendArgs(nil, &arg)
	if err != nil {
		return result, invalidTarget("the arguments of " + act.name + " cannot be encoded: " + err.Error())
	}
	output, err := target.call(ctx, act.name, args)
	if err != nil {
		return result, fromFault(err)
	}
	if _, none := any(result).(None); none {
		return result, nil
	}
	if err := decodeResult(output, &result); err != nil {
		var zero R
		return zero, invalidResponse("the result of " + act.name + " does not fit: " + err.Error())
	}
	return result, nil
}

// On returns the handle with params: HTTP calls and connections made with it present them to the actor.
func (p Params[I, P]) On(h Handle[I], params P) Handle[I] {
	if h.err != nil {
		return h
	}
	h.params, h.err = encodeParams(params)
	return h
}

// Connect opens a connection to the actor, presents params and waits until the actor has accepted it. An actor that
// refuses it is the error that its hook returned.
//
// ctx bounds the opening only. The connection then lives until Close, or until the actor is gone for good, and gets a
// new socket whenever it loses one; see Conn.
func (p Params[I, P]) Connect(ctx context.Context, h Handle[I], params P) (*Conn[I], error) {
	return p.On(h, params).Connect(ctx)
}

// encodeParams returns params as JSON in ASCII, as headers and subprotocols want it.
func encodeParams(params any) ([]byte, error) {
	item, err := codec.AppendWire(nil, params)
	if err != nil {
		return nil, invalidTarget("the params cannot be encoded: " + err.Error())
	}
	text, err := value.ToJSON(nil, item, value.UndefinedNull)
	if err != nil {
		return nil, invalidTarget("the params cannot be encoded: " + err.Error())
	}
	return dial.ASCII(text), nil
}

// decodeResult reads a canonical item into v, a pointer; nil is undefined.
func decodeResult(item []byte, v any) error {
	if len(item) == 0 {
		item = []byte{value.Undefined}
	}
	return codec.Decode(item, v)
}

func invalidResponse(message string) *Error {
	return &Error{Group: "client", Code: dial.CodeInvalidResponse, Message: message}
}
