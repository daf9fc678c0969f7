package main

import (
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// kitchenParams is what a client of the kitchen may present; anything else is kept too.
type kitchenParams struct {
	Name   string `json:"name"`
	Refuse string `json:"refuse"`
}

type guest struct {
	Name  string `json:"name"`
	Calls int64  `json:"calls"`
}

type who struct {
	ConnID string    `json:"connId"`
	Params rivet.Raw `json:"params"`
	State  guest     `json:"state"`
}

type reason struct {
	Why string `json:"why"`
}

var (
	kitchens     = rivet.NewActor[rivet.Raw]("kitchen")
	kitchenJoins = rivet.NewParams[kitchenParams](kitchens)
	guests       actor.ConnState[guest]
	kEcho        = rivet.NewAction[rivet.Raw, rivet.Raw](kitchens, "echo")
	kShout       = rivet.NewAction[rivet.Raw, rivet.None](kitchens, "shout")
	kAdd         = rivet.NewAction[rivet.Args2[float64, float64], float64](kitchens, "add")
	kGreet       = rivet.NewAction[rivet.Args2[string, *string], string](kitchens, "greet")
	kNothing     = rivet.NewAction[rivet.None, rivet.None](kitchens, "nothing")
	kFail        = rivet.NewAction[rivet.Args3[string, string, *rivet.Raw], rivet.None](kitchens, "fail")
	kCrash       = rivet.NewAction[rivet.None, rivet.None](kitchens, "crash")
	kPanics      = rivet.NewAction[rivet.None, rivet.None](kitchens, "panics")
	kInner       = rivet.NewAction[float64, float64](kitchens, "group.inner")
	kWhoami      = rivet.NewAction[rivet.None, who](kitchens, "whoami")
	kConns       = rivet.NewAction[rivet.None, int](kitchens, "conns")
	kSendTo      = rivet.NewAction[rivet.Args2[string, string], bool](kitchens, "sendTo")
	kKick        = rivet.NewAction[string, bool](kitchens, "kick")
	kDestroyMe   = rivet.NewAction[rivet.None, rivet.None](kitchens, "destroyMe")
	kInput       = rivet.NewAction[rivet.None, rivet.Raw](kitchens, "input")
	kSleepNow    = rivet.NewAction[rivet.None, rivet.None](kitchens, "sleepNow")
	kWakes       = rivet.NewAction[rivet.None, int64](kitchens, "wakes")
	kSlow        = rivet.NewAction[int64, int64](kitchens, "slow")
	kIncrement   = rivet.NewAction[int64, int64](kitchens, "increment")
	shouted      = rivet.NewEvent[rivet.Raw](kitchens, "shouted")
	told         = rivet.NewEvent[string](kitchens, "told")
	null         = rivet.Raw{0xf6}
)

type kitchen struct {
	Input rivet.Raw
	Wakes int64
	N     int64
}

func newKitchen(_ *actor.Ctx, input rivet.Raw) (*kitchen, error) {
	if len(input) == 0 {
		input = null
	}
	return &kitchen{Input: input}, nil
}

func (k *kitchen) join(_ *actor.Ctx, p kitchenParams) (guest, error) {
	if p.Name == "" {
		p.Name = "anonymous"
	}
	return guest{Name: p.Name}, nil
}

func (k *kitchen) check(_ *actor.Ctx, p kitchenParams) error {
	if p.Refuse != "" {
		return &rivet.Error{Code: p.Refuse, Message: "refused", Metadata: reason{"asked to"}}
	}
	return nil
}

func (k *kitchen) whoami(c *actor.Ctx, _ rivet.None) (who, error) {
	g, _ := guests.Of(c)
	g.Calls++
	return who{ConnID: c.Conn().ID(), Params: c.Conn().Params(), State: *g}, nil
}

func (k *kitchen) conns(c *actor.Ctx, _ rivet.None) (int, error) {
	n := 0
	for _, conn := range c.Conns() {
		if !conn.Transient() {
			n++
		}
	}
	return n, nil
}

func (k *kitchen) sendTo(c *actor.Ctx, a rivet.Args2[string, string]) (bool, error) {
	conn, ok := openConn(c, a.A)
	if !ok {
		return false, nil
	}
	return true, actor.Send(c, conn, told, a.B)
}

func (k *kitchen) kick(c *actor.Ctx, id string) (bool, error) {
	conn, ok := openConn(c, id)
	if ok {
		conn.Disconnect(c, "kicked")
	}
	return ok, nil
}

func (k *kitchen) fail(_ *actor.Ctx, a rivet.Args3[string, string, *rivet.Raw]) (rivet.None, error) {
	e := &rivet.Error{Code: a.A, Message: a.B}
	if a.C != nil {
		e.Metadata = *a.C
	}
	return rivet.None{}, e
}

func (k *kitchen) increment(_ *actor.Ctx, by int64) (int64, error) {
	k.N += by
	return k.N, nil
}

func kitchenDefinition() actor.Definition {
	d := actor.Define(kitchens, newKitchen)
	d.Options.HibernateWebSockets = true
	d.OnRequest, d.OnWebSocket = serveKitchen, serveKitchenSocket
	d.OnWake = func(k *kitchen, _ *actor.Ctx) error { k.Wakes++; return nil }
	actor.BeforeConnect(d, kitchenJoins, (*kitchen).check)
	actor.OnConnect(d, kitchenJoins, guests, (*kitchen).join)

	actor.View(d, kEcho, func(_ *kitchen, _ *actor.Ctx, x rivet.Raw) (rivet.Raw, error) { return x, nil })
	actor.Handle(d, kShout, func(_ *kitchen, c *actor.Ctx, x rivet.Raw) (rivet.None, error) {
		actor.Broadcast(c, shouted, x)
		return rivet.None{}, nil
	})
	actor.View(d, kAdd, func(_ *kitchen, _ *actor.Ctx, a rivet.Args2[float64, float64]) (float64, error) {
		return a.A + a.B, nil
	})
	actor.View(d, kGreet, func(_ *kitchen, _ *actor.Ctx, a rivet.Args2[string, *string]) (string, error) {
		return greeting(a.A, a.B), nil
	})
	actor.View(d, kNothing, func(*kitchen, *actor.Ctx, rivet.None) (rivet.None, error) { return rivet.None{}, nil })
	actor.Handle(d, kFail, (*kitchen).fail)
	actor.Handle(d, kCrash, func(*kitchen, *actor.Ctx, rivet.None) (rivet.None, error) { return rivet.None{}, errSecret })
	actor.Handle(d, kPanics, func(*kitchen, *actor.Ctx, rivet.None) (rivet.None, error) { panic(errSecret) })
	actor.View(d, kInner, func(_ *kitchen, _ *actor.Ctx, x float64) (float64, error) { return 2 * x, nil })
	actor.Handle(d, kWhoami, (*kitchen).whoami)
	actor.View(d, kConns, (*kitchen).conns)
	actor.Handle(d, kSendTo, (*kitchen).sendTo)
	actor.Handle(d, kKick, (*kitchen).kick)
	actor.Handle(d, kDestroyMe, func(_ *kitchen, c *actor.Ctx, _ rivet.None) (rivet.None, error) {
		c.Destroy()
		return rivet.None{}, nil
	})
	actor.View(d, kInput, func(k *kitchen, _ *actor.Ctx, _ rivet.None) (rivet.Raw, error) { return k.Input, nil })
	actor.Handle(d, kSleepNow, func(_ *kitchen, c *actor.Ctx, _ rivet.None) (rivet.None, error) { c.Sleep(); return rivet.None{}, nil })
	actor.View(d, kWakes, func(k *kitchen, _ *actor.Ctx, _ rivet.None) (int64, error) { return k.Wakes, nil })
	actor.HandleConcurrent(d, kSlow, func(c *actor.Ctx, _ actor.Self[kitchen], ms int64) (int64, error) {
		select {
		case <-time.After(time.Duration(ms) * time.Millisecond):
			return ms, nil
		case <-c.Done():
			return 0, c.Err()
		}
	})
	actor.Handle(d, kIncrement, (*kitchen).increment)
	return d
}
