package actor

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/internal/codec"
	"github.com/rivetgo/rivet/internal/contract"
	"github.com/rivetgo/rivet/internal/host"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/value"
)

// Handle binds an action to a handler that holds the turn: it may change the state, and nothing else of the actor runs
// meanwhile.
func Handle[I, S, A, R any](d *Spec[I, S], action rivet.Action[I, A, R], handler func(s *S, c *Ctx, arg A) (R, error)) {
	bindTurn(d, action, handler, host.TurnAction)
}

// View binds an action to a handler that only reads the state. It holds the turn, but nothing is encoded or stored. A
// View that changes the state all the same is a bug, which test runs with -race report.
func View[I, S, A, R any](d *Spec[I, S], action rivet.Action[I, A, R], handler func(s *S, c *Ctx, arg A) (R, error)) {
	bindTurn(d, action, handler, host.ViewAction)
}

// HandleConcurrent binds an action to a handler that runs outside the turn, at the same time as everything else: for
// slow work. It takes turns with self.
func HandleConcurrent[I, S, A, R any](d *Spec[I, S], action rivet.Action[I, A, R], handler func(c *Ctx, self Self[S], arg A) (R, error)) {
	if !d.bind(action.Actor().Contract(), action.Name(), handler == nil, contract.Caller(0)) {
		return
	}
	d.bound[action.Name()] = binding{contract.Caller(0), &host.Action{
		Kind: host.ConcurrentAction, Example: example[A](),
		Run: func(hc *host.Call, _ host.State, args []byte) ([]byte, error) {
			return run(hc, action.Name(), args, func(arg A) (R, error) { return handler(&Ctx{hc}, Self[S]{hc}, arg) })
		},
	}}
}

func bindTurn[I, S, A, R any](d *Spec[I, S], action rivet.Action[I, A, R], handler func(s *S, c *Ctx, arg A) (R, error), kind host.ActionKind) {
	if !d.bind(action.Actor().Contract(), action.Name(), handler == nil, contract.Caller(1)) {
		return
	}
	d.bound[action.Name()] = binding{contract.Caller(1), &host.Action{
		Kind: kind, Example: example[A](),
		Run: func(hc *host.Call, s host.State, args []byte) ([]byte, error) {
			return run(hc, action.Name(), args, func(arg A) (R, error) { return handler(unbox[S](s), &Ctx{hc}, arg) })
		},
	}}
}

// bind checks one binding and reports whether it can be made.
func (d *Spec[I, S]) bind(of *contract.Contract, name string, missing bool, at contract.Position) bool {
	switch {
	case of != d.contract:
		d.mistake(at, "action %q belongs to actor %q: bind it in that actor's definition", name, of.Name)
	case missing:
		d.mistake(at, "the handler of action %q is nil", name)
	default:
		if first, twice := d.bound[name]; twice {
			d.mistake(at, "action %q has a handler already, bound at %s: remove one", name, first.at)
			return false
		}
		return true
	}
	return false
}

// example is arguments of type A for hints to people: the inside of a JSON array.
func example[A any]() string {
	var zero A
	targets := []any{&zero}
	switch t := any(&zero).(type) {
	case *rivet.None:
		return ""
	case codec.Positional:
		targets = t.Pointers()
	}
	var out []string
	for _, p := range targets {
		switch t := reflect.TypeOf(p).Elem(); t.Kind() {
		case reflect.String:
			out = append(out, `"hello"`)
		case reflect.Bool:
			out = append(out, "true")
		case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8,
			reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
			out = append(out, "1")
		default:
			text, err := json.Marshal(p)
			if err != nil {
				text = []byte("null")
			}
			out = append(out, string(text))
		}
	}
	return strings.Join(out, ",")
}

// noArgs is an empty CBOR array.
var noArgs = value.AppendArrayHead(nil, 0)

// run is the typed edge of an action: decode, handle, encode.
func run[A, R any](hc *host.Call, name string, args []byte, handler func(A) (R, error)) ([]byte, error) {
	var arg A
	if hc.Actor().Options().IgnoreSurplusArguments {
		args = codec.TrimArgs(args, &arg)
	}
	err := codec.DecodeArgs(args, &arg)
	if f := hc.Firing(); err != nil && f != nil { // the handler has no argument for why it runs, see Ctx.Firing
		var plain A
		arg = plain
		args = f.Args
		if len(args) == 0 {
			args = noArgs
		}
		err = codec.DecodeArgs(args, &arg)
	}
	if err != nil {
		return nil, invalid(fmt.Sprintf("action `%s`: %v", name, err), err)
	}
	result, err := handler(arg)
	if err != nil {
		return nil, wire(err)
	}
	out, err := codec.AppendWire(nil, &result)
	if err != nil {
		return nil, fmt.Errorf("encode the result of action %s: %w", name, err)
	}
	return out, nil
}

// invalid is what a caller gets whose values do not fit the declared types.
func invalid(message string, cause error) *fault.Error {
	f := fault.New("actor", "validation_error", message)
	var ae *codec.ArgsError
	if !errors.As(cause, &ae) {
		f.Cause = cause
	}
	return f
}

func decodeInput(input []byte, v any) error {
	if len(input) == 0 {
		return nil // created without input: the zero value
	}
	if _, none := v.(*rivet.None); none {
		return nil
	}
	if err := codec.DecodeValue(input, v); err != nil {
		return invalid(fmt.Sprintf("creation input: %v", err), err)
	}
	return nil
}

func decodeParams(params []byte, v any) error {
	if _, none := v.(*rivet.None); none {
		return nil
	}
	if err := codec.DecodeValue(params, v); err != nil {
		return invalid(fmt.Sprintf("connection params: %v", err), err)
	}
	return nil
}
