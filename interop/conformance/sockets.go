package main

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"
	"unicode/utf16"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// Raw WebSockets.
func socketActors() []actor.Definition {
	return []actor.Definition{rawBinary(), rawAsyncOpen(), rawConnContext(), rawSocket()}
}

var errNoRequest = errors.New("the connection has no request")

// typed is a frame that only says what it is.
type typed struct {
	Type string `json:"type"`
}

// sendJSON sends a text frame of JSON. With the Ctx of a turn it is part of that turn.
func sendJSON(ctx context.Context, ws *actor.WebSocket, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return ws.WriteText(ctx, string(text))
}

// frames hands every frame of the client to handle, until the socket has ended or handle fails.
func frames(c *actor.Ctx, ws *actor.WebSocket, handle func(m actor.Frame) error) error {
	for {
		m, err := ws.Read(c)
		if err != nil {
			return err
		}
		if err := handle(m); err != nil {
			return err
		}
	}
}

func ignoreFrames(c *actor.Ctx, ws *actor.WebSocket) error {
	return frames(c, ws, func(actor.Frame) error { return nil })
}

// background runs what outlives a socket: it keeps the actor awake, and a stop waits for it.
func background[S any](c *actor.Ctx, fn func(c *actor.Ctx, self actor.Self[S]) error) {
	c.KeepAwake(func(c *actor.Ctx) error { return fn(c, actor.SelfOf[S](c, nil)) })
}

// atClose changes the state when a socket has ended.
func atClose[S any](c *actor.Ctx, change func(s *S)) {
	background(c, func(_ *actor.Ctx, self actor.Self[S]) error { return self.Do(change) })
}

// 68
func rawBinary() actor.Definition {
	d := define[struct{}]("rawWebSocketBinaryActor", actor.Options{})
	d.OnWebSocket = func(c *actor.Ctx, _ actor.Self[struct{}], ws *actor.WebSocket) error {
		return frames(c, ws, func(m actor.Frame) error {
			if !m.Binary {
				return nil
			}
			slices.Reverse(m.Data)
			return ws.WriteBinary(c, m.Data)
		})
	}
	return d
}

// 69
func rawAsyncOpen() actor.Definition {
	type state struct{ Opened int }
	type open struct {
		Type      string `json:"type"`
		OpenCount int    `json:"openCount"`
	}
	d := define[state]("rawWebSocketAsyncOpenActor", actor.Options{GracePeriod: 2 * time.Second})
	d.OnWebSocket = func(c *actor.Ctx, self actor.Self[state], ws *actor.WebSocket) error {
		var count int
		if err := self.Do(func(s *state) { s.Opened++; count = s.Opened }); err != nil {
			return err
		}
		if err := pause(c, 10*time.Millisecond); err != nil {
			return nil // the client has left
		}
		if err := sendJSON(c, ws, open{"async-open", count}); err != nil {
			return err
		}
		return ignoreFrames(c, ws)
	}
	get(d, "getOpenCount", func(s *state) int { return s.Opened })
	return d
}

// 70: in Go a connection has a state only if the actor declares one.
func rawConnContext() actor.Definition {
	type connState struct {
		Opened bool   `json:"opened"`
		ConnID string `json:"connId"`
	}
	type frame struct {
		Type   string    `json:"type"`
		ConnID string    `json:"connId"`
		State  connState `json:"state"`
	}
	d := define[struct{}]("rawWebSocketConnContextActor", actor.Options{})
	var conns actor.ConnState[connState]
	actor.OnConnect(d.Spec, rivet.NewParams[none](d.of), conns, func(*struct{}, *actor.Ctx, none) (connState, error) {
		return connState{}, nil
	})
	d.OnWebSocket = func(c *actor.Ctx, self actor.Self[struct{}], ws *actor.WebSocket) error {
		id := ws.Conn().ID()
		err := self.Turn(func(_ *struct{}, c *actor.Ctx) error {
			m, _ := conns.On(c, ws.Conn())
			*m = connState{true, id}
			return sendJSON(c, ws, frame{"conn-context", id, *m})
		})
		if err != nil {
			return err
		}
		return ignoreFrames(c, ws)
	}
	return d
}

// 71
func rawSocket() actor.Definition {
	type state struct {
		Connections int
		Messages    int
		Order       []uint64
	}
	type stats struct {
		ConnectionCount int `json:"connectionCount"`
		MessageCount    int `json:"messageCount"`
	}
	type in struct {
		Type    string          `json:"type"`
		Payload json.RawMessage `json:"payload"`
		Probe   bool            `json:"__rivetkitTestHibernatableAckStateV1"`
	}
	type ackState struct {
		Probe         bool     `json:"__rivetkitTestHibernatableAckStateV1"`
		LastSentIndex uint64   `json:"lastSentIndex"`
		LastAcked     uint64   `json:"lastAckedIndex"`
		Pending       []uint64 `json:"pendingIndexes"`
	}
	type object = map[string]any
	d := define[state]("rawWebSocketActor", actor.Options{HibernateWebSockets: true, NoSleep: true})

	// answer is what one frame of the client gets, as part of the turn that it is.
	answer := func(s *state, c *actor.Ctx, ws *actor.WebSocket, m actor.Frame, f in) error {
		s.Messages++
		switch {
		case m.Binary:
			return ws.WriteBinary(c, m.Data)
		case f.Type == "ping":
			return sendJSON(c, ws, object{"type": "pong", "timestamp": time.Now().UnixMilli()})
		case f.Type == "getStats":
			return sendJSON(c, ws, object{"type": "stats", "connectionCount": s.Connections, "messageCount": s.Messages})
		case f.Type == "getRequestInfo":
			return sendJSON(c, ws, requestInfo(ws.Conn()))
		case f.Type == "indexedEcho":
			s.Order = append(s.Order, m.Index)
			return sendJSON(c, ws, object{"type": "indexedEcho", "payload": f.Payload, "rivetMessageIndex": m.Index})
		case f.Type == "indexedAckProbe":
			s.Order = append(s.Order, m.Index)
			return sendJSON(c, ws, object{"type": "indexedAckProbe", "rivetMessageIndex": m.Index, "payloadSize": jsLength(f.Payload)})
		case f.Type == "getIndexedMessageOrder":
			return sendJSON(c, ws, object{"type": "indexedMessageOrder", "order": list(s.Order)})
		case f.Type == "scheduleSleep":
			later(c, 25*time.Millisecond, (*actor.Ctx).Sleep)
			return sendJSON(c, ws, typed{"sleepScheduled"})
		}
		return ws.WriteText(c, string(m.Data))
	}
	d.OnWebSocket = func(c *actor.Ctx, self actor.Self[state], ws *actor.WebSocket) error {
		err := self.Turn(func(s *state, c *actor.Ctx) error {
			s.Connections++
			return sendJSON(c, ws, object{"type": "welcome", "connectionCount": s.Connections})
		})
		if err != nil {
			return err
		}
		var handled uint64 // the last index that was
		err = frames(c, ws, func(m actor.Frame) error {
			var f in
			if m.Binary || json.Unmarshal(m.Data, &f) != nil {
				f = in{}
			}
			if f.Probe {
				return sendJSON(c, ws, ackState{true, handled, handled, []uint64{}})
			}
			defer func() { handled = m.Index }()
			return self.Turn(func(s *state, c *actor.Ctx) error { return answer(s, c, ws, m, f) })
		})
		if !rivet.Is(err, "actor", "sleeping") { // else the socket stays open
			atClose(c, func(s *state) { s.Connections-- })
		}
		return err
	}
	on(d, "triggerSleep", func(_ *state, c *actor.Ctx, _ none) (bool, error) {
		c.Sleep()
		return true, nil
	})
	get(d, "getStats", func(s *state) stats { return stats{s.Connections, s.Messages} })
	return d
}

func requestInfo(conn *actor.Conn) any {
	type info struct {
		Type     string `json:"type"`
		URL      string `json:"url"`
		Pathname string `json:"pathname"`
		Search   string `json:"search"`
	}
	r, ok := conn.Request()
	if !ok {
		return info{"requestInfo", "ws://actor/websocket", "/websocket", ""}
	}
	search := ""
	if r.Query != "" {
		search = "?" + r.Query
	}
	return info{"requestInfo", urlOf(r.Path, r.Query), r.Path, search}
}

// jsLength is the length that JavaScript gives a JSON string; 0 for other values.
func jsLength(payload json.RawMessage) int {
	var text string
	if json.Unmarshal(payload, &text) != nil {
		return 0
	}
	return len(utf16.Encode([]rune(text)))
}
