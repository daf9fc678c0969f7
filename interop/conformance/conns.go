package main

import (
	"errors"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// Connections and events.
func connectionActors() []actor.Definition {
	return []actor.Definition{
		counterConn(), counterWithParams(), counterWithLifecycle(), connStates(), preflight(), connError(), rejectConnection(),
		beforeConnectTimeout(), beforeConnectReject(), beforeConnectGenericError(), requestAccess(),
	}
}

// errNoParams refuses who presented nothing at all.
var errNoParams = errors.New("the connection has no parameters")

// pingAction is ping, for actors about something else.
func pingAction[S any](d definition[S]) {
	get(d, "ping", func(*S) string { return "pong" })
}

// 30
func counterConn() actor.Definition {
	type state struct{ Connections float64 }
	type connState struct{ Count float64 }
	d := define[state]("counterConn", actor.Options{})
	newCount := rivet.NewEvent[float64](d.of, "newCount")
	var conns actor.ConnState[connState]
	actor.OnConnect(d.Spec, rivet.NewParams[none](d.of), conns, func(*state, *actor.Ctx, none) (connState, error) {
		return connState{}, nil
	})
	d.OnConnected = func(s *state, _ *actor.Ctx, _ *actor.Conn) error { s.Connections++; return nil }
	d.OnDisconnect = func(s *state, _ *actor.Ctx, _ *actor.Conn) error { s.Connections--; return nil }
	on(d, "increment", func(_ *state, c *actor.Ctx, x float64) (none, error) {
		m, _ := conns.Of(c)
		m.Count += x
		actor.Broadcast(c, newCount, m.Count)
		return none{}, nil
	})
	on(d, "setCount", func(_ *state, c *actor.Ctx, x float64) (none, error) {
		m, _ := conns.Of(c)
		m.Count = x
		actor.Broadcast(c, newCount, x)
		return none{}, nil
	})
	on(d, "getCount", func(_ *state, c *actor.Ctx, _ none) (float64, error) {
		m, _ := conns.Of(c)
		return m.Count, nil
	})
	get(d, "getConnectionCount", func(s *state) float64 { return s.Connections })
	return d
}

// 31
func counterWithParams() actor.Definition {
	type state struct {
		Count        float64
		Initializers []string
	}
	type params struct {
		Name *string `json:"name"`
	}
	type connState struct{ Name string }
	type change struct {
		Count float64 `json:"count"`
		By    string  `json:"by"`
	}
	d := define[state]("counterWithParams", actor.Options{})
	newCount := rivet.NewEvent[change](d.of, "newCount")
	var conns actor.ConnState[connState]
	actor.OnConnect(d.Spec, rivet.NewParams[*params](d.of), conns, func(_ *state, _ *actor.Ctx, p *params) (connState, error) {
		if p == nil {
			return connState{}, errNoParams
		}
		return connState{orText(p.Name, "anonymous")}, nil
	})
	d.OnConnected = func(s *state, c *actor.Ctx, conn *actor.Conn) error {
		m, _ := conns.On(c, conn)
		s.Initializers = append(s.Initializers, m.Name)
		return nil
	}
	on(d, "increment", func(s *state, c *actor.Ctx, x float64) (float64, error) {
		m, _ := conns.Of(c)
		s.Count += x
		actor.Broadcast(c, newCount, change{s.Count, m.Name})
		return s.Count, nil
	})
	get(d, "getInitializers", func(s *state) []string { return list(s.Initializers) })
	return d
}

// 32
func counterWithLifecycle() actor.Definition {
	type state struct {
		Count  float64
		Events []string
	}
	type params struct {
		TrackLifecycle bool `json:"trackLifecycle"`
	}
	type connState struct {
		JoinTime float64
		Track    bool
	}
	d := define[state]("counterWithLifecycle", actor.Options{})
	declared := rivet.NewParams[params](d.of)
	var conns actor.ConnState[connState]
	note := func(s *state, track bool, event string) error {
		if track {
			s.Events = append(s.Events, event)
		}
		return nil
	}
	tracks := func(c *actor.Ctx, conn *actor.Conn) bool {
		m, ok := conns.On(c, conn)
		return ok && m.Track
	}
	d.OnWake = func(s *state, _ *actor.Ctx) error { return note(s, true, "onWake") }
	actor.BeforeConnect(d.Spec, declared, func(s *state, _ *actor.Ctx, p params) error {
		return note(s, p.TrackLifecycle, "onBeforeConnect")
	})
	actor.OnConnect(d.Spec, declared, conns, func(_ *state, _ *actor.Ctx, p params) (connState, error) {
		return connState{now(), p.TrackLifecycle}, nil
	})
	d.OnConnected = func(s *state, c *actor.Ctx, conn *actor.Conn) error { return note(s, tracks(c, conn), "onConnect") }
	d.OnDisconnect = func(s *state, c *actor.Ctx, conn *actor.Conn) error { return note(s, tracks(c, conn), "onDisconnect") }
	get(d, "getEvents", func(s *state) []string { return list(s.Events) })
	on(d, "increment", func(s *state, _ *actor.Ctx, x float64) (float64, error) {
		s.Count += x
		return s.Count, nil
	})
	return d
}

// 33
func connStates() actor.Definition {
	type state struct {
		SharedCounter float64
		Disconnects   int
	}
	type params struct {
		Username *string `json:"username"`
		Role     *string `json:"role"`
		NoCount  bool    `json:"noCount"`
	}
	type connState struct {
		Username  string  `json:"username"`
		Role      string  `json:"role"`
		Counter   float64 `json:"counter"`
		CreatedAt float64 `json:"createdAt"`
		NoCount   bool    `json:"noCount"`
	}
	type connWithID struct {
		ID string `json:"id"`
		connState
	}
	type greeting struct {
		ID       string `json:"id"`
		Username string `json:"username"`
	}
	type arrival struct {
		ID       string `json:"id"`
		Username string `json:"username"`
		Role     string `json:"role"`
	}
	type departure struct {
		ID string `json:"id"`
	}
	type direct struct {
		From    string `json:"from"`
		Message string `json:"message"`
	}
	d := define[state]("connStateActor", actor.Options{})
	var (
		conns     actor.ConnState[connState]
		fresh     = rivet.NewEvent[greeting](d.of, "connectedFromOnConnect")
		freshByID = rivet.NewEvent[greeting](d.of, "connectedFromOnConnectConns")
		connected = rivet.NewEvent[arrival](d.of, "userConnected")
		left      = rivet.NewEvent[departure](d.of, "userDisconnected")
		message   = rivet.NewEvent[direct](d.of, "directMessage")
	)
	actor.OnConnect(d.Spec, rivet.NewParams[params](d.of), conns, func(_ *state, _ *actor.Ctx, p params) (connState, error) {
		return connState{orText(p.Username, "anonymous"), orText(p.Role, "user"), 0, now(), p.NoCount}, nil
	})
	d.OnConnected = func(_ *state, c *actor.Ctx, conn *actor.Conn) error {
		m, _ := conns.On(c, conn)
		if !conn.Transient() { // nothing can be sent to the connection of an HTTP call
			if err := actor.Send(c, conn, fresh, greeting{conn.ID(), m.Username}); err != nil {
				return err
			}
			if self := connByID(c, conn.ID()); self != nil {
				if err := actor.Send(c, self, freshByID, greeting{conn.ID(), m.Username}); err != nil {
					return err
				}
			}
		}
		actor.Broadcast(c, connected, arrival{conn.ID(), "anonymous", "user"})
		return nil
	}
	d.OnDisconnect = func(s *state, c *actor.Ctx, conn *actor.Conn) error {
		if m, ok := conns.On(c, conn); ok && !m.NoCount {
			s.Disconnects++
			actor.Broadcast(c, left, departure{conn.ID()})
		}
		return nil
	}
	on(d, "incrementConnCounter", func(_ *state, c *actor.Ctx, amount *float64) (none, error) {
		m, _ := conns.Of(c)
		m.Counter += or(amount, 1)
		return none{}, nil
	})
	on(d, "incrementSharedCounter", func(s *state, _ *actor.Ctx, amount *float64) (float64, error) {
		s.SharedCounter += or(amount, 1)
		return s.SharedCounter, nil
	})
	on(d, "getConnectionState", func(_ *state, c *actor.Ctx, _ none) (connWithID, error) {
		m, _ := conns.Of(c)
		return connWithID{c.Conn().ID(), *m}, nil
	})
	on(d, "getConnectionIds", func(_ *state, c *actor.Ctx, _ none) ([]string, error) {
		ids := []string{}
		for _, conn := range c.Conns() {
			if m, ok := conns.On(c, conn); ok && !m.NoCount {
				ids = append(ids, conn.ID())
			}
		}
		return ids, nil
	})
	get(d, "getDisconnectionCount", func(s *state) int { return s.Disconnects })
	on(d, "getAllConnectionStates", func(_ *state, c *actor.Ctx, _ none) ([]connWithID, error) {
		all := []connWithID{}
		for _, conn := range c.Conns() {
			if m, ok := conns.On(c, conn); ok {
				all = append(all, connWithID{conn.ID(), *m})
			}
		}
		return all, nil
	})
	on(d, "sendToConnection", func(_ *state, c *actor.Ctx, a rivet.Args2[string, string]) (bool, error) {
		to := connByID(c, a.A)
		if to == nil {
			return false, nil
		}
		return true, actor.Send(c, to, message, direct{c.Conn().ID(), a.B})
	})
	on(d, "updateConnection", func(_ *state, c *actor.Ctx, p params) (connState, error) {
		m, _ := conns.Of(c)
		m.Username, m.Role = orText(p.Username, m.Username), orText(p.Role, m.Role)
		return *m, nil
	})
	on(d, "disconnectSelf", func(_ *state, c *actor.Ctx, reason *string) (bool, error) {
		conn := c.Conn()
		later(c, 5*time.Millisecond, func(c *actor.Ctx) { conn.Disconnect(c, or(reason, "test.disconnect")) }) // the reply leaves first
		return true, nil
	})
	return d
}

// connByID finds a connection among those that are open.
func connByID(c *actor.Ctx, id string) *actor.Conn {
	for _, conn := range c.Conns() {
		if conn.ID() == id {
			return conn
		}
	}
	return nil
}

// 34: both hooks wait, so they run outside the turn.
func preflight() actor.Definition {
	type connectSnapshot struct {
		Label         string    `json:"label"`
		OwnVisible    bool      `json:"ownVisible"`
		VisibleLabels []*string `json:"visibleLabels"`
	}
	type disconnectSnapshot struct {
		Label       *string   `json:"label"`
		OtherLabels []*string `json:"otherLabels"`
	}
	type state struct {
		BeforeStarted       int                  `json:"beforeStarted"`
		CreateStarted       int                  `json:"createStarted"`
		BeforeVisibleLabels [][]*string          `json:"beforeVisibleLabels"`
		CreateVisibleLabels [][]*string          `json:"createVisibleLabels"`
		ConnectSnapshots    []connectSnapshot    `json:"connectSnapshots"`
		DisconnectSnapshots []disconnectSnapshot `json:"disconnectSnapshots"`
	}
	type snapshot struct {
		state
		VisibleLabels []*string `json:"visibleLabels"`
	}
	type params struct {
		Label         *string `json:"label"`
		BeforeDelayMs float64 `json:"beforeDelayMs"`
		CreateDelayMs float64 `json:"createDelayMs"`
		RejectBefore  bool    `json:"rejectBefore"`
		RejectCreate  bool    `json:"rejectCreate"`
	}
	type connState struct{ Label string }
	d := defineFrom("connPreflightVisibilityActor", actor.Options{}, func(*actor.Ctx, raw) (*state, error) {
		return &state{
			BeforeVisibleLabels: [][]*string{}, CreateVisibleLabels: [][]*string{},
			ConnectSnapshots: []connectSnapshot{}, DisconnectSnapshots: []disconnectSnapshot{},
		}, nil
	})
	declared := rivet.NewParams[params](d.of)
	var conns actor.ConnState[connState]
	labelOf := func(c *actor.Ctx, conn *actor.Conn) *string {
		if m, ok := conns.On(c, conn); ok {
			label := m.Label
			return &label
		}
		return nil
	}
	// labels are those of all connections but except.
	labels := func(c *actor.Ctx, except string) []*string {
		out := []*string{}
		for _, conn := range c.Conns() {
			if conn.ID() != except {
				out = append(out, labelOf(c, conn))
			}
		}
		return out
	}
	actor.BeforeConnectConcurrent(d.Spec, declared, func(c *actor.Ctx, self actor.Self[state], p params) error {
		err := self.Turn(func(s *state, c *actor.Ctx) error {
			s.BeforeStarted++
			s.BeforeVisibleLabels = append(s.BeforeVisibleLabels, labels(c, ""))
			return nil
		})
		if err != nil {
			return err
		}
		if err := pause(c, millis(p.BeforeDelayMs)); err != nil {
			return err
		}
		if p.RejectBefore {
			return errors.New("rejected before connect")
		}
		return nil
	})
	actor.OnConnectConcurrent(d.Spec, declared, conns, func(c *actor.Ctx, self actor.Self[state], p params) (connState, error) {
		err := self.Turn(func(s *state, c *actor.Ctx) error {
			s.CreateStarted++
			s.CreateVisibleLabels = append(s.CreateVisibleLabels, labels(c, ""))
			return nil
		})
		if err != nil {
			return connState{}, err
		}
		if err := pause(c, millis(p.CreateDelayMs)); err != nil {
			return connState{}, err
		}
		if p.RejectCreate {
			return connState{}, errors.New("rejected create conn state")
		}
		return connState{or(p.Label, "anonymous")}, nil
	})
	d.OnConnected = func(s *state, c *actor.Ctx, conn *actor.Conn) error {
		s.ConnectSnapshots = append(s.ConnectSnapshots, connectSnapshot{
			Label: or(labelOf(c, conn), ""), OwnVisible: connByID(c, conn.ID()) != nil, VisibleLabels: labels(c, ""),
		})
		return nil
	}
	d.OnDisconnect = func(s *state, c *actor.Ctx, conn *actor.Conn) error {
		s.DisconnectSnapshots = append(s.DisconnectSnapshots, disconnectSnapshot{labelOf(c, conn), labels(c, conn.ID())})
		return nil
	}
	on(d, "snapshot", func(s *state, c *actor.Ctx, _ none) (snapshot, error) { return snapshot{*s, labels(c, "")}, nil })
	return d
}

// 35
func connError() actor.Definition {
	type params struct {
		ShouldThrow bool `json:"shouldThrow"`
	}
	type connState struct{ Initialized bool }
	d := define[unusedValue]("connErrorSerializationActor", actor.Options{})
	actor.OnConnect(d.Spec, rivet.NewParams[*params](d.of), actor.ConnState[connState]{}, func(_ *unusedValue, _ *actor.Ctx, p *params) (connState, error) {
		switch {
		case p == nil:
			return connState{}, errNoParams
		case p.ShouldThrow:
			return connState{}, &rivet.Error{Group: "connection", Code: "custom_error", Message: "Test error from createConnState"}
		}
		return connState{true}, nil
	})
	get(d, "getValue", func(s *unusedValue) float64 { return s.Value })
	return d
}

// 36
func rejectConnection() actor.Definition {
	type params struct {
		Reject bool `json:"reject"`
	}
	d := define[struct{}]("rejectConnectionActor", actor.Options{})
	actor.BeforeConnectConcurrent(d.Spec, rivet.NewParams[params](d.of), func(c *actor.Ctx, _ actor.Self[struct{}], p params) error {
		if !p.Reject {
			return nil
		}
		if err := pause(c, 500*time.Millisecond); err != nil {
			return err
		}
		return &rivet.Error{Code: "rejected", Message: "Rejected connection"}
	})
	pingAction(d)
	return d
}

// 37
func beforeConnectTimeout() actor.Definition {
	d := define[struct{}]("beforeConnectTimeoutActor", actor.Options{BeforeConnectTimeout: 100 * time.Millisecond})
	actor.BeforeConnectConcurrent(d.Spec, rivet.NewParams[none](d.of), func(c *actor.Ctx, _ actor.Self[struct{}], _ none) error {
		return pause(c, 200*time.Millisecond)
	})
	pingAction(d)
	return d
}

// 38
func beforeConnectReject() actor.Definition {
	type params struct {
		ShouldReject bool `json:"shouldReject"`
	}
	type reason struct {
		Reason string `json:"reason"`
	}
	d := define[struct{}]("beforeConnectRejectActor", actor.Options{})
	actor.BeforeConnect(d.Spec, rivet.NewParams[params](d.of), func(_ *struct{}, _ *actor.Ctx, p params) error {
		if p.ShouldReject {
			return &rivet.Error{Code: "connection_rejected", Message: "Connection rejected by policy", Metadata: reason{"test"}}
		}
		return nil
	})
	pingAction(d)
	return d
}

// 39
func beforeConnectGenericError() actor.Definition {
	type params struct {
		ShouldFail bool `json:"shouldFail"`
	}
	d := define[struct{}]("beforeConnectGenericErrorActor", actor.Options{})
	actor.BeforeConnect(d.Spec, rivet.NewParams[params](d.of), func(_ *struct{}, _ *actor.Ctx, p params) error {
		if p.ShouldFail {
			return errors.New("internal failure in onBeforeConnect")
		}
		return nil
	})
	pingAction(d)
	return d
}
