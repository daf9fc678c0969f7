package host

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rivetgo/rivet/internal/lifecycle"
	"github.com/rivetgo/rivet/internal/wire/actorkey"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/record"
	"github.com/rivetgo/rivet/internal/wire/why"
)

// Actor is one life of one actor on this host. All exported methods may be called concurrently.
type Actor struct {
	spec    *Spec
	env     *Env
	owner   Owner
	records Records
	place   Placement
	idText  string
	named   fault.Actor // how errors name this actor

	// alive ends when the actor's time is over: after an orderly stop, at the end of the grace period, on failure.
	alive context.Context
	cut   context.CancelFunc
	// stopping is closed when the actor begins to stop.
	stopping chan struct{}
	stopOnce sync.Once

	slot    chan struct{} // the turn: whoever put the token in holds it
	waiting atomic.Int32  // calls that wait for the turn
	holder  atomic.Pointer[turn]

	// Guarded by the turn.
	state     State
	encoded   []byte // what the state is, or will be once the commits under way are durable
	scratch   []byte
	mailbox   mailbox
	schedules scheduleTable
	alarm     alarm
	doomed    bool // it asked to be destroyed

	sql     database
	socket  runtimeSocket
	handled []string // queues with a handler
	outbox  outbox

	gate  gate
	watch watch
	conns connTable

	mu            sync.Mutex // guards all below; never held while anything waits
	machine       lifecycle.Host
	ending        bool         // the grace has begun
	away          bool         // the process ends: nothing is parked
	refusal       *fault.Error // why calls on open connections are refused; nil: they are not
	calls         int          // see activity
	sockets       int          // handlers of raw sockets, those that wait for a message included
	hungUp        bool         // raw sockets are closed: their handlers are waited for
	keepAwake     int
	waitUntil     int
	disconnecting int
	pumping       bool // see pump
	firing        int  // scheduled actions under way
	queueWaits    int  // receivers of the run loop that wait for a message
	leased        int  // messages that receivers hold
	run           RunStatus
	runActive     bool
	tasks         map[*task]struct{}
	runAgain      time.Time     // when a run loop that failed is started again
	lastError     *why.Failure  // for people who ask what is wrong
	quiet         chan struct{} // closed when nothing is under way; nil unless a stop waits for it
	lastActive    time.Time
	idle          *time.Timer
	failure       error

	logOnce sync.Once
	log     *slog.Logger
}

// Start brings an actor to life: it loads the state, or creates it and runs OnCreate, all in one commit, then runs
// OnWake. The error of a hook comes back as callers may see it. ctx bounds the start.
func Start(ctx context.Context, spec *Spec, env *Env, owner Owner, p Placement) (*Actor, error) {
	a := newActor(spec, env, owner, p)
	if err := a.load(ctx); err != nil {
		a.happen(lifecycle.HostEvent{Event: lifecycle.LoadFailed})
		a.gate.fail()
		a.closeSocket()
		a.closeDatabase()
		a.cut()
		return nil, err
	}
	a.mu.Lock()
	if a.failure != nil {
		a.mu.Unlock()
		a.closeSocket()
		return nil, errVoid // a commit of the start failed before anybody was told of the actor
	}
	defer a.mu.Unlock()
	a.machine.Step(lifecycle.HostEvent{Event: lifecycle.Loaded}) // nobody can have asked for a stop yet
	a.lastActive = time.Now()
	a.idle = time.AfterFunc(spec.Options.SleepAfter, a.checkIdle)
	doomed, waiting := false, true
	if a.tryAcquire() { // else something that the hooks started is busy
		doomed, waiting = a.doomed, a.mailbox.index.Len() > 0 || a.schedules.Len() > 0
		a.release()
	}
	if waiting || doomed || spec.Run != nil || a.outbox.waiting() {
		go a.begin(doomed, waiting) // ends soon
	}
	return a, nil
}

// newActor makes an actor that has loaded nothing.
func newActor(spec *Spec, env *Env, owner Owner, p Placement) *Actor {
	a := &Actor{
		spec: spec, env: env, owner: owner, records: p.Records, place: p,
		idText:   p.ID.String(),
		stopping: make(chan struct{}),
		slot:     make(chan struct{}, 1),
		handled:  spec.handledQueues(),
	}
	a.alive, a.cut = context.WithCancel(context.Background())
	a.gate.open = spec.Options.Undurable
	a.alarm.timer.fn = a.tick
	a.watch.expired = func(w *watched) { w.reply.Expired(a.visible("action", errTimedOut)) }
	a.named = fault.Actor{ID: a.idText, Generation: p.Generation, Key: p.KeyText, HasKey: true}
	return a
}

// begin sets going what an actor does without being asked. waiting says that there may be messages or schedules.
func (a *Actor) begin(doomed, waiting bool) {
	if doomed { // a crash came between the wish and its fulfilment
		a.refuse(errDestroying)
		a.startOutbox()
		a.owner.DestroyWanted()
		return
	}
	a.startRun()
	a.startOutbox()
	if waiting {
		a.tick()
	}
}

// load runs the start up to the point where calls are accepted.
func (a *Actor) load(ctx context.Context) error {
	var stored, input, counters []byte
	var conns []record.Record
	found := false
	for _, r := range a.records.Hot() {
		kind := record.Kind(r.Key[0])
		if kind == record.KindConn {
			conns = append(conns, r)
			continue
		}
		payload, err := record.Open(kind, r.Value)
		if err != nil {
			return err
		}
		switch kind {
		case record.KindState:
			stored, found = payload, true
		case record.KindInput:
			input = payload
		case record.KindCounters:
			counters = payload
		case record.KindSchedule:
			if err := a.schedules.load(r.Key, r.Value); err != nil {
				return err
			}
		case record.KindDoomed:
			a.doomed = true
		}
	}
	if t := a.records.Alarm(); !t.IsZero() {
		a.alarm.stored = unixMilli(t)
	}
	if err := a.loadMailbox(ctx, counters); err != nil {
		return err
	}
	if err := a.loadOutbox(ctx); err != nil {
		return err
	}
	if found {
		a.encoded = stored
		a.state = a.spec.New()
		if err := a.state.Restore(stored); err != nil {
			a.Log().Error("stored state does not fit the definition", "error", err)
			return fault.New("actor", "state_unreadable", "The stored state does not fit the actor's definition any more: see the log of the actor's process.")
		}
		if err := a.migrateAwake(ctx); err != nil {
			return err
		}
	} else {
		limit := a.spec.Options.CreateTimeout
		if a.migrates() {
			limit += a.spec.Options.MigrateTimeout
		}
		err := a.timedTurn(ctx, &Call{actor: a}, "OnCreate", limit, func(c *Call) error {
			if err := a.migrate(c, true); err != nil {
				return err
			}
			s, err := a.spec.Create(c, input)
			if err != nil {
				return err
			}
			a.state = s
			if a.spec.OnCreate != nil {
				return a.spec.OnCreate(c, s, input)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	lost, err := a.restore(conns)
	if err != nil {
		return err
	}
	if a.spec.OnWake != nil {
		err := a.timedTurn(ctx, &Call{actor: a}, "OnWake", a.spec.Options.WakeTimeout, func(c *Call) error {
			return a.spec.OnWake(c, a.state)
		})
		if err != nil && !a.doomed {
			return err
		}
		if err != nil { // its end must not depend on a good start
			a.Log().Warn("hook failed", "hook", "OnWake", "error", err)
		}
	}
	a.mourn(lost)
	return nil
}

// ID is the actor's id as text.
func (a *Actor) ID() string { return a.idText }

// Name is the actor's type.
func (a *Actor) Name() string { return a.place.Name }

// Key is the actor's key.
func (a *Actor) Key() []string { return a.place.Key }

// KeyText is the key's canonical text.
func (a *Actor) KeyText() string { return a.place.KeyText }

// Generation is the fencing number of this life.
func (a *Actor) Generation() uint64 { return a.place.Generation }

// CreatedAt is when the actor was created.
func (a *Actor) CreatedAt() time.Time { return a.place.CreatedAt }

// Namespace is the name of the actor's namespace.
func (a *Actor) Namespace() string { return a.place.Namespace }

// Options are the definition's knobs, defaults filled in.
func (a *Actor) Options() Options { return a.spec.Options }

// Env is what the actor shares with the others of its process.
func (a *Actor) Env() *Env { return a.env }

// Specifier names the actor in errors.
func (a *Actor) Specifier() *fault.Actor { return &a.named }

// Log is the actor's logger; it names the actor in every line.
func (a *Actor) Log() *slog.Logger {
	a.logOnce.Do(func() { // most actors never log
		a.log = a.env.Log.With("actor", a.place.Name, "key", actorkey.Format(a.place.Key), "actor_id", a.idText, "generation", a.place.Generation)
	})
	return a.log
}

// Enter announces a call, so that the actor neither sleeps nor ends under it; every Enter that succeeds is paired with
// a Leave. ErrStopping: the actor takes no new calls.
func (a *Actor) Enter() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.machine.Phase() != lifecycle.HostStarted {
		return ErrStopping
	}
	a.calls++
	return nil
}

// EnterOpen is Enter for a call on a connection that exists already: it is accepted until the connection is closed.
func (a *Actor) EnterOpen() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.refusal != nil {
		return a.refusal
	}
	a.calls++
	return nil
}

// Leave ends what Enter began.
func (a *Actor) Leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls--
	a.settleActivity()
}

// settleActivity notes that something ended. The caller holds mu.
func (a *Actor) settleActivity() {
	if a.calls == 0 {
		a.lastActive = time.Now()
	}
	if a.quiet != nil && a.underWay() == 0 {
		close(a.quiet)
		a.quiet = nil
	}
}

// underWay is how much an end must wait for. A run loop is waited for when the actor sleeps, messages to other actors when
// it is destroyed. The caller holds mu.
func (a *Actor) underWay() int {
	n := a.calls + a.keepAwake + a.waitUntil + a.disconnecting + a.firing
	if a.pumping {
		n++
	}
	switch {
	case a.machine.Kind() == lifecycle.KindDestroy:
		n += a.outbox.add(0)
	case a.runActive:
		n++
	}
	if a.hungUp {
		n += a.sockets
	}
	return n
}

// refuse makes calls on open connections fail with f from now on.
func (a *Actor) refuse(f *fault.Error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.refusal == nil {
		a.refusal = f
	}
}

// broken reports whether the actor ended because a commit failed.
func (a *Actor) broken() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failure != nil
}

// spawn runs fn on a goroutine that the actor owns: it ends with fn, whose context ends with the actor.
func (a *Actor) spawn(what, where string, awake bool, fn func(c *Call) error) {
	count := &a.waitUntil
	if awake {
		count = &a.keepAwake
	}
	a.mu.Lock()
	if a.machine.Phase() >= lifecycle.Finalize {
		a.mu.Unlock()
		a.Log().Warn("background work was dropped: the actor is gone", "kind", what)
		return
	}
	*count++
	t := &task{kind: what, where: where, since: time.Now()}
	if a.tasks == nil {
		a.tasks = make(map[*task]struct{})
	}
	a.tasks[t] = struct{}{}
	a.mu.Unlock()
	go func() {
		c := &Call{actor: a}
		_, err := a.protect(what, func() ([]byte, error) { return nil, fn(c) })
		c.end()
		if _, typed := fault.From(err); typed {
			a.Log().Error("background work failed", "kind", what, "error", err)
		} else if err != nil && !errors.Is(err, context.Canceled) {
			a.visible(what, err) // logs it, with the stack of a panic
		}
		a.mu.Lock()
		*count--
		delete(a.tasks, t)
		a.settleActivity()
		a.mu.Unlock()
	}()
}

// own runs fn, which does not touch the state, as a turn of the actor's own, for nobody's sake.
func (a *Actor) own(fn func(c *Call, s State) error) error {
	c := &Call{actor: a}
	defer c.end()
	return a.doTurn(c, &turn{late: errTimedOut, internal: true}, fn)
}

// do runs fn as a turn for long-lived code.
func (a *Actor) do(outer *Call, fn func(c *Call, s State) error) error {
	return a.doTurn(outer, &turn{late: errTimedOut}, fn)
}

func (a *Actor) doTurn(outer *Call, t *turn, fn func(c *Call, s State) error) error {
	return a.doTurnIn(outer, outer, t, fn)
}

// doTurnIn is doTurn that waits for the turn until ctx ends.
func (a *Actor) doTurnIn(ctx context.Context, outer *Call, t *turn, fn func(c *Call, s State) error) error {
	if err := a.acquireFor(ctx, outer); err != nil {
		return err
	}
	c := &Call{actor: a, conn: outer.conn, request: outer.request, chain: outer.chain, deadline: outer.deadline, turn: t}
	return a.runTurn(c, nil, "do", func() ([]byte, error) { return nil, fn(c, a.state) })
}
