package actor

import (
	"errors"
	"fmt"
	"io/fs"
	"sort"
	"strings"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/internal/contract"
	"github.com/rivetgo/rivet/internal/host"
)

// Definition is a defined actor, ready to be hosted. Define makes them.
type Definition interface {
	compile() (*host.Spec, []error)
}

// Spec defines an actor: I is what one is created with, S its state. Its hooks are fields; nil means none. Each hook is a
// turn: an error or panic undoes what it changed.
type Spec[I, S any] struct {
	// Options are the knobs, all with defaults.
	Options Options
	// DisplayName and Icon (an emoji or an icon's name) are for dashboards.
	DisplayName string
	Icon        string

	// Migrations are the numbered migrations of the database: files named like 0001_init.sql, at any depth, as of an
	// embed.FS. At each start those that the actor's database has not seen run in order of their numbers, before every hook
	// and in one turn: at the first start together with the constructor and OnCreate. When one fails the actor stays as it
	// was, the start fails with sqlite.migration_failed, which names the statement, and the next call tries again.
	Migrations fs.FS
	// OnMigrate runs at each start right after Migrations, in the same turn, before there is a state. isNew says that the
	// actor never lived before.
	OnMigrate func(c *Ctx, isNew bool) error
	// OnCreate runs once in an actor's life, after the constructor and in the same commit. An error undoes the creation,
	// and the next call tries again.
	OnCreate func(s *S, c *Ctx, input I) error
	// OnWake runs at each start, the first included, before any call: the place to build unexported fields.
	OnWake func(s *S, c *Ctx) error
	// OnSleep runs when the actor stops and will live on.
	OnSleep func(s *S, c *Ctx) error
	// OnDestroy runs when the actor is destroyed, if it is awake; its connections are still open.
	OnDestroy func(s *S, c *Ctx) error
	// OnStateChange runs at the end of each turn that changed the state, within that turn. It must not change the state:
	// the turn would fail with actor.state_mutation_reentrant, which Self.Do returns at once in this hook.
	OnStateChange func(s *S, c *Ctx) error
	// OnConnected runs when a connection has become visible; an error refuses it, without OnDisconnect.
	OnConnected func(s *S, c *Ctx, conn *Conn) error
	// OnDisconnect runs after a connection is gone from Ctx.Conns.
	OnDisconnect func(s *S, c *Ctx, conn *Conn) error
	// BeforeResponse may replace the result of an action. It runs in the action's turn.
	BeforeResponse func(s *S, c *Ctx, action string, result rivet.Raw) (rivet.Raw, error)

	// Run is the actor's own loop: it begins with each start and runs outside turns, which it takes with self. It should
	// return when c.Stopping is closed; Receive then ends by itself. While it runs the actor does not fall asleep, unless it
	// waits for a message. A sleep waits for it up to Options.GracePeriod, a destruction does not. When it returns an error
	// it is started again, after 250 ms doubling to 30 s; when it returns nil it is done until the next start.
	Run func(c *Ctx, self Self[S]) error
	// OnRequest serves HTTP requests to /request/… of the actor; see request.go. It runs outside the turn.
	OnRequest RequestHandler[S]
	// OnWebSocket serves WebSockets of the actor's own, on every path but /connect; see websocket.go. It runs outside the turn.
	OnWebSocket WebSocketHandler[S]

	contract *contract.Contract
	at       contract.Position
	create   func(c *Ctx, input I) (*S, error)
	fields   []durableField
	bound    map[string]binding
	queues   map[string]*queueBinding[S]

	concurrentBefore, concurrentJoin bool // the next two run outside the turn

	beforeConnect func(hc *host.Call, s *S, params []byte) error
	connState     func(hc *host.Call, s *S, params []byte) (host.State, error)
	newConnState  func() host.State
	canSubscribe  map[string]func(hc *host.Call, s *S) (bool, error)
	mistakes      []error
}

type binding struct {
	at     contract.Position
	action *host.Action
}

// Define begins the definition of an actor. create makes the state of a new one from its input; it is one turn together
// with OnCreate. Zero is a create that makes an empty state.
//
// Mistakes in a definition are collected and reported, all at once, by whatever hosts it.
func Define[I, S any](a rivet.Actor[I], create func(c *Ctx, input I) (*S, error)) *Spec[I, S] {
	d := &Spec[I, S]{
		contract: a.Contract(), at: contract.Caller(0), create: create,
		fields: durableFieldsOf[S](),
		bound:  make(map[string]binding),
	}
	if create == nil {
		d.mistake(d.at, "has no constructor: give Define a function, or actor.Zero")
	}
	return d
}

// Zero makes an empty state, whatever the input.
func Zero[I, S any](*Ctx, I) (*S, error) { return new(S), nil }

func (d *Spec[I, S]) mistake(at contract.Position, format string, args ...any) {
	d.mistakes = append(d.mistakes, &MistakeError{Actor: d.contract.Name, At: at.String(), Reason: fmt.Sprintf(format, args...)})
}

// MistakeError is one mistake in a definition.
type MistakeError struct {
	Actor  string // the actor's name
	At     string // file and line to look at
	Reason string // what is wrong and what to do
}

func (e *MistakeError) Error() string {
	return fmt.Sprintf("%s: actor %q: %s", e.At, e.Actor, e.Reason)
}

func (d *Spec[I, S]) newBox(s *S) *box[S] { return &box[S]{s: s, fields: d.fields} }

func (d *Spec[I, S]) compile() (*host.Spec, []error) {
	d.check()
	options, wrong := d.Options.compile()
	for _, w := range wrong {
		d.mistake(d.at, "%s", w)
	}
	migrations, wrong := readMigrations(d.Migrations)
	for _, w := range wrong {
		d.mistake(d.at, "%s", w)
	}
	spec := &host.Spec{
		Migrations: migrations,
		Name:       d.contract.Name, Options: options, DisplayName: d.DisplayName, Icon: d.Icon,
		New: func() host.State { return d.newBox(new(S)) },
		Create: func(hc *host.Call, input []byte) (host.State, error) {
			var in I
			if err := decodeInput(input, &in); err != nil {
				return nil, err
			}
			s, err := d.create(&Ctx{hc}, in)
			if err != nil {
				return nil, wire(err)
			}
			if s == nil {
				return nil, errors.New("the constructor returned no state and no error")
			}
			return d.newBox(s), nil
		},
		Actions:       make(map[string]*host.Action, len(d.bound)),
		BeforeConnect: withParams(d.beforeConnect), ConcurrentBeforeConnect: d.concurrentBefore,
	}
	for name, b := range d.bound {
		spec.Actions[name] = b.action
	}
	spec.Queues = d.compileQueues()
	if run := d.Run; run != nil {
		spec.Run = func(hc *host.Call) error { return wire(run(&Ctx{hc}, Self[S]{hc})) }
	}
	if hook := d.OnCreate; hook != nil {
		spec.OnCreate = func(hc *host.Call, s host.State, input []byte) error {
			var in I
			if err := decodeInput(input, &in); err != nil {
				return err
			}
			return wire(hook(unbox[S](s), &Ctx{hc}, in))
		}
	}
	if hook := d.OnMigrate; hook != nil {
		spec.OnMigrate = func(hc *host.Call, isNew bool) error { return wire(hook(&Ctx{hc}, isNew)) }
	}
	spec.OnWake = stateHook(d.OnWake)
	spec.OnSleep = stateHook(d.OnSleep)
	spec.OnDestroy = stateHook(d.OnDestroy)
	spec.OnStateChange = stateHook(d.OnStateChange)
	spec.OnConnect = connHook(d.OnConnected)
	spec.OnDisconnect = connHook(d.OnDisconnect)
	if d.connState != nil {
		spec.ConnState = func(hc *host.Call, s host.State, params []byte) (host.State, error) {
			return d.connState(hc, unboxed[S](s), params)
		}
		spec.ConcurrentConnState = d.concurrentJoin
		spec.NewConnState = d.newConnState
	}
	if len(d.canSubscribe) > 0 {
		spec.CanSubscribe = make(map[string]func(*host.Call, host.State) (bool, error), len(d.canSubscribe))
		for name, may := range d.canSubscribe {
			spec.CanSubscribe[name] = func(hc *host.Call, s host.State) (bool, error) { return may(hc, unbox[S](s)) }
		}
	}
	spec.OnRequest = requestHook(d.OnRequest)
	spec.OnWebSocket = socketHook(d.OnWebSocket)
	if hook := d.BeforeResponse; hook != nil {
		spec.BeforeResponse = func(hc *host.Call, s host.State, action string, _, output []byte) ([]byte, error) {
			out, err := hook(unbox[S](s), &Ctx{hc}, action, output)
			if err != nil {
				return nil, wire(err)
			}
			return out, nil
		}
	}
	return spec, d.mistakes
}

// compileQueues lists every declared queue, with what is bound to it.
func (d *Spec[I, S]) compileQueues() map[string]*host.Queue {
	all := make(map[string]*host.Queue)
	for _, m := range d.contract.Members() {
		if m.Kind != contract.Queue {
			continue
		}
		q := &host.Queue{Check: func(body []byte) error {
			if err := m.Fits(body); err != nil {
				return invalid(fmt.Sprintf("queue `%s`: %v", m.Name, err), err)
			}
			return nil
		}}
		if b := d.queues[m.Name]; b != nil {
			if may := b.canPublish; may != nil {
				q.CanPublish = func(hc *host.Call, s host.State) (bool, error) { return may(hc, unbox[S](s)) }
			}
			if handle := b.handle; handle != nil {
				q.Handle = func(hc *host.Call, s host.State, del *host.Delivery) ([]byte, error) {
					return handle(hc, unbox[S](s), del)
				}
			}
		}
		all[m.Name] = q
	}
	return all
}

func stateHook[S any](hook func(*S, *Ctx) error) func(*host.Call, host.State) error {
	if hook == nil {
		return nil
	}
	return func(hc *host.Call, s host.State) error { return wire(hook(unbox[S](s), &Ctx{hc})) }
}

func connHook[S any](hook func(*S, *Ctx, *Conn) error) func(*host.Call, host.State, *host.Conn) error {
	if hook == nil {
		return nil
	}
	return func(hc *host.Call, s host.State, conn *host.Conn) error {
		return wire(hook(unbox[S](s), &Ctx{hc}, connOf(conn)))
	}
}

func withParams[S any](hook func(*host.Call, *S, []byte) error) func(*host.Call, host.State, []byte) error {
	if hook == nil {
		return nil
	}
	return func(hc *host.Call, s host.State, params []byte) error { return hook(hc, unboxed[S](s), params) }
}

// maxName bounds an actor's name, as the engine does.
const maxName = 64

// check compares the definition with its contract.
func (d *Spec[I, S]) check() {
	ct := d.contract
	if n := len(ct.Name); n == 0 || n > maxName {
		d.mistake(ct.At, "the name has %d bytes: NewActor takes 1 to %d", n, maxName)
	}
	if why := storable[S]("state"); why != "" {
		d.mistake(d.at, "%s", why)
	}
	seen := make(map[[2]string]contract.Position)
	for _, m := range ct.Members() {
		id := [2]string{string(m.Kind), m.Name}
		if first, twice := seen[id]; twice {
			d.mistake(m.At, "%s declared twice, first at %s: remove one", strings.TrimSpace(string(m.Kind)+" "+quoted(m)), first)
			continue
		}
		seen[id] = m.At
		if m.Kind == contract.Params {
			continue
		}
		if m.Name == "" {
			d.mistake(m.At, "an %s has no name: give New%s one", m.Kind, strings.ToUpper(string(m.Kind[:1]))+string(m.Kind[1:]))
			continue
		}
		if _, ok := d.bound[m.Name]; m.Kind == contract.Action && !ok {
			d.mistake(m.At, "action %q is declared here but has no handler: add actor.Handle to the definition at %s", m.Name, d.at)
		}
	}
}

func quoted(m contract.Member) string {
	if m.Name == "" {
		return ""
	}
	return fmt.Sprintf("%q", m.Name)
}

// DefinitionError is the list of everything that is wrong with definitions.
type DefinitionError struct{ Mistakes error }

func (e *DefinitionError) Error() string {
	return "the actors' definitions have mistakes:\n" + e.Mistakes.Error()
}

func (e *DefinitionError) Unwrap() error { return e.Mistakes }

// Compile is for the packages that host definitions: it returns what each one binds, or all mistakes of all of them.
func Compile(definitions ...Definition) ([]*host.Spec, error) {
	var specs []*host.Spec
	var mistakes []error
	names := make(map[string]bool)
	for _, d := range definitions {
		if d == nil {
			mistakes = append(mistakes, errors.New("a definition is nil: pass what actor.Define returned"))
			continue
		}
		spec, wrong := d.compile()
		mistakes = append(mistakes, wrong...)
		if names[spec.Name] {
			mistakes = append(mistakes, fmt.Errorf("actor %q is defined twice: host one definition of each name", spec.Name))
		}
		names[spec.Name] = true
		specs = append(specs, spec)
	}
	if len(mistakes) > 0 {
		sort.Slice(mistakes, func(i, j int) bool { return mistakes[i].Error() < mistakes[j].Error() })
		return nil, errors.Join(mistakes...)
	}
	return specs, nil
}
