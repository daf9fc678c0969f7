package host

import (
	"context"
	"slices"
	"time"

	"github.com/rivetgo/rivet/internal/callchain"
	"github.com/rivetgo/rivet/internal/wire/fault"
)

// ActionCall is a request to run an action.
type ActionCall struct {
	Name    string
	Args    []byte // a CBOR array
	Conn    *Conn
	Request *Request
	// Chain is the actors that wait for this call.
	Chain []string
	// Gone is closed when the caller has disappeared: a call that still waits for its turn is then dropped. Nil: never.
	Gone <-chan struct{}
	// Index is the number of the message that asked for it, where a keeper counts them; 0: nobody does.
	Index uint64
	// Reply gets the outcome, once.
	Reply Reply
}

// Concurrent reports whether the action runs outside the turn; false also for unknown actions.
func (a *Actor) Concurrent(name string) bool {
	act := a.spec.Actions[name]
	return act != nil && act.Kind == ConcurrentAction
}

// Action runs an action on the caller's goroutine and returns when its handler has; the outcome goes to call.Reply,
// perhaps later, when it is durable. The caller has entered.
func (a *Actor) Action(call *ActionCall) {
	act := a.spec.Actions[call.Name]
	if act == nil {
		a.answer(call.Reply, nil, actionNotFound(call.Name))
		return
	}
	now := time.Now()
	deadline := now.Add(a.spec.Options.ActionTimeout)
	run := &actionRun{call: Call{actor: a, conn: call.Conn, request: call.Request, chain: call.Chain, deadline: deadline}}
	c := &run.call
	if act.Kind == ConcurrentAction {
		a.concurrent(c, act, call)
		return
	}
	if len(call.Chain) > 0 && callchain.Closes(call.Chain, a.idText) {
		a.answer(call.Reply, nil, callCycle(call.Chain, a.idText))
		return
	}
	if !a.tryAcquire() {
		if err := a.awaitTurn(call, deadline); err != nil {
			a.answer(call.Reply, nil, err)
			return
		}
		now = time.Now()
	}
	c.turn = &run.turn
	run.turn.began = now
	run.turn.index = call.Index
	run.turn.view, run.turn.late, run.turn.outs = act.Kind == ViewAction, errTimedOut, run.room[:0]
	run.watched = watched{turn: c.turn, reply: call.Reply, deadline: deadline}
	a.watch.begin(&run.watched)
	a.runTurn(c, call.Reply, call.Name, func() ([]byte, error) {
		out, err := act.Run(c, a.state, call.Args)
		if err == nil && a.spec.BeforeResponse != nil {
			out, err = a.spec.BeforeResponse(c, a.state, call.Name, call.Args, out)
		}
		return out, err
	})
}

// actionRun is what one run of an action needs, in one piece.
type actionRun struct {
	call    Call
	turn    turn
	watched watched
	room    [2]output
}

// awaitTurn waits in line for the turn, until the deadline or until the caller is gone.
func (a *Actor) awaitTurn(call *ActionCall, deadline time.Time) error {
	ctx, cancel := context.WithDeadline(a.alive, deadline)
	defer cancel()
	if call.Gone != nil {
		stop := make(chan struct{})
		defer close(stop)
		go func() { // ends with awaitTurn
			select {
			case <-call.Gone:
				cancel()
			case <-stop:
			}
		}()
	}
	return a.acquire(ctx, true)
}

// concurrent runs an action outside the turn. Its reply waits for the commits made before it.
func (a *Actor) concurrent(c *Call, act *Action, call *ActionCall) {
	t := &turn{} // only for its fate: handler or deadline
	expiry := time.AfterFunc(time.Until(c.deadline), func() {
		if t.expire() {
			call.Reply.Expired(a.visible(call.Name, errTimedOut))
		}
	})
	out, err := a.protect(call.Name, func() ([]byte, error) { return act.Run(c, nil, call.Args) })
	if left := c.closeDB(); left != nil && err == nil {
		err = left
	}
	if err == nil && a.spec.BeforeResponse != nil {
		err = c.Do(func(c *Call, s State) error {
			out, err = a.spec.BeforeResponse(c, s, call.Name, call.Args, out)
			return err
		})
	}
	c.end()
	expiry.Stop()
	if t.fate.CompareAndSwap(fateOpen, fateDecided) {
		if c.late() {
			err = errTimedOut
		}
		a.answer(call.Reply, out, err)
	}
}

// answer sends an outcome through the gate.
func (a *Actor) answer(reply Reply, out []byte, err error) {
	var f *fault.Error
	if err != nil {
		f = a.visible("call", err)
	} else {
		f = a.checkOutgoing(len(out))
	}
	reply.Prepare(out, f)
	a.gate.push(output{reply: reply})
}

// Actions lists the names of the actions, sorted.
func (a *Actor) Actions() []string {
	names := make([]string, 0, len(a.spec.Actions))
	for n := range a.spec.Actions {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
