package rivet

import "github.com/rivetgo/rivet/internal/contract"

// None stands for "nothing": an action without arguments or result, an actor without input, an event without payload.
type None = struct{}

// Actor names a type of actor. I is what one is created with (None for nothing); it also brands the handles, so that
// an action of one actor cannot be called on another: give each actor a type of its own, even an empty one. Declare it
// once, as a package-level value.
type Actor[I any] struct{ c *contract.Contract }

// NewActor declares a type of actor under the name it has on the wire: 1 to 64 bytes. A wrong name is reported when a
// definition of the actor is started.
func NewActor[I any](name string) Actor[I] {
	return Actor[I]{contract.New(name, contract.Caller(0))}
}

// Name is the name on the wire.
func (a Actor[I]) Name() string { return a.c.Name }

// Contract is for package actor.
func (a Actor[I]) Contract() *contract.Contract { return a.c }

// Action names a request with a reply: A is its argument, R its result. JavaScript callers pass positional arguments:
// a plain A is one of them, Args2[A, B] two, None none. Pointer types are optional arguments, nil when missing.
type Action[I, A, R any] struct {
	actor Actor[I]
	name  string
}

// NewAction declares an action of an actor. Names may have dots; JavaScript sees "group.inner" as a nested group.
func NewAction[A, R, I any](a Actor[I], name string) Action[I, A, R] {
	a.c.Declare(contract.Member{Kind: contract.Action, Name: name, At: contract.Caller(0)})
	return Action[I, A, R]{actor: a, name: name}
}

// Name is the name on the wire.
func (a Action[I, A, R]) Name() string { return a.name }

// Actor is the actor that the action belongs to.
func (a Action[I, A, R]) Actor() Actor[I] { return a.actor }

// Event names a message from an actor to its connections; P is its payload. Fire and forget: nobody who is not
// connected gets it later.
type Event[I, P any] struct {
	actor Actor[I]
	name  string
}

// NewEvent declares an event of an actor.
func NewEvent[P, I any](a Actor[I], name string) Event[I, P] {
	a.c.Declare(contract.Member{Kind: contract.Event, Name: name, At: contract.Caller(0)})
	return Event[I, P]{actor: a, name: name}
}

// Name is the name on the wire.
func (e Event[I, P]) Name() string { return e.name }

// Actor is the actor that the event belongs to.
func (e Event[I, P]) Actor() Actor[I] { return e.actor }

// Params names what a client presents when it connects to an actor.
type Params[I, P any] struct{ actor Actor[I] }

// NewParams declares the connection parameters of an actor: at most one declaration for each.
func NewParams[P, I any](a Actor[I]) Params[I, P] {
	a.c.Declare(contract.Member{Kind: contract.Params, At: contract.Caller(0)})
	return Params[I, P]{actor: a}
}

// Actor is the actor that the parameters belong to.
func (p Params[I, P]) Actor() Actor[I] { return p.actor }
