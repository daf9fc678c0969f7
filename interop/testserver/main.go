// Testserver serves the actors that the interop tests call; README.md says what each does.
package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
	"github.com/rivetgo/rivet/engine"
)

func main() {
	engine.Main(counterDefinition(), chatDefinition(), kitchenDefinition(), workerDefinition(), ledgerDefinition())
}

// Brands of the actors.
type (
	counterInput struct{}
	chatInput    struct{}
)

var (
	counters  = rivet.NewActor[counterInput]("counter")
	increment = rivet.NewAction[int64, int64](counters, "increment")
	getCount  = rivet.NewAction[rivet.None, int64](counters, "getCount")
	count     = rivet.NewEvent[int64](counters, "count")
)

type counter struct{ Count int64 }

func counterDefinition() actor.Definition {
	d := actor.Define(counters, actor.Zero[counterInput, counter])
	actor.Handle(d, increment, func(s *counter, c *actor.Ctx, by int64) (int64, error) {
		s.Count += by
		actor.Broadcast(c, count, s.Count)
		return s.Count, nil
	})
	actor.View(d, getCount, func(s *counter, _ *actor.Ctx, _ rivet.None) (int64, error) { return s.Count, nil })
	return d
}

type join struct {
	Name string `json:"name"`
}

type message struct {
	Sender    string `json:"sender"`
	Text      string `json:"text"`
	Timestamp int64  `json:"timestamp"`
}

var (
	rooms       = rivet.NewActor[chatInput]("chatRoom")
	joins       = rivet.NewParams[join](rooms)
	sendMessage = rivet.NewAction[string, message](rooms, "sendMessage")
	getHistory  = rivet.NewAction[rivet.None, []message](rooms, "getHistory")
	newMessage  = rivet.NewEvent[message](rooms, "newMessage")
	members     actor.ConnState[join]
)

type room struct{ Messages []message }

func chatDefinition() actor.Definition {
	d := actor.Define(rooms, actor.Zero[chatInput, room])
	actor.OnConnect(d, joins, members, func(_ *room, _ *actor.Ctx, p join) (join, error) {
		if p.Name == "" {
			return join{}, &rivet.Error{Code: "name_required", Message: "a name is required"}
		}
		return p, nil
	})
	actor.Handle(d, sendMessage, func(r *room, c *actor.Ctx, text string) (message, error) {
		if text == "" {
			return message{}, &rivet.Error{Code: "empty_message", Message: "a message needs a text"}
		}
		from, _ := members.Of(c)
		m := message{Sender: from.Name, Text: text, Timestamp: time.Now().UnixMilli()}
		r.Messages = append(r.Messages, m)
		actor.Broadcast(c, newMessage, m)
		return m, nil
	})
	actor.View(d, getHistory, func(r *room, _ *actor.Ctx, _ rivet.None) ([]message, error) {
		return append([]message{}, r.Messages...), nil
	})
	return d
}

// errSecret must not be seen by any client.
var errSecret = errors.New("the secret is swordfish")

// openConn finds a standing connection.
func openConn(c *actor.Ctx, id string) (*actor.Conn, bool) {
	for _, conn := range c.Conns() {
		if conn.ID() == id && !conn.Transient() {
			return conn, true
		}
	}
	return nil, false
}

func greeting(name string, with *string) string {
	hello := "Hello"
	if with != nil {
		hello = *with
	}
	return fmt.Sprintf("%s, %s!", hello, name)
}
