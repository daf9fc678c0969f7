package main

import (
	"strings"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// Room is what a chat room is created with: nothing.
type Room struct{}

// Join is what a client presents when it connects.
type Join struct {
	Name string `json:"name"`
}

// Message is one line of the conversation. Timestamp is in milliseconds since 1970.
type Message struct {
	Sender    string `json:"sender"`
	Text      string `json:"text"`
	Timestamp int64  `json:"timestamp"`
}

// The contract.
var (
	Rooms       = rivet.NewActor[Room]("chatRoom")
	Joins       = rivet.NewParams[Join](Rooms)
	SendMessage = rivet.NewAction[string, Message](Rooms, "sendMessage")
	GetHistory  = rivet.NewAction[rivet.None, []Message](Rooms, "getHistory")
	NewMessage  = rivet.NewEvent[Message](Rooms, "newMessage")
)

const (
	maxNameRunes = 40
	maxTextRunes = 2000
	keepMessages = 200
)

// room is one live chat room.
type room struct {
	Messages []Message
}

// member is what the room keeps about each connection.
type member struct{ Name string }

var members actor.ConnState[member]

// join lets everybody in; who gives no name can only read. It also runs for each call over HTTP.
func (r *room) join(_ *actor.Ctx, p Join) (member, error) {
	name := strings.TrimSpace(p.Name)
	if len([]rune(name)) > maxNameRunes {
		return member{}, &rivet.Error{Code: "name_too_long", Message: "a name has at most 40 characters"}
	}
	return member{Name: name}, nil
}

func (r *room) sendMessage(c *actor.Ctx, text string) (Message, error) {
	from, ok := members.Of(c)
	if !ok || from.Name == "" {
		return Message{}, &rivet.Error{Code: "name_required", Message: `to speak, connect with params {"name": "…"}`}
	}
	text = strings.TrimSpace(text)
	switch n := len([]rune(text)); {
	case n == 0:
		return Message{}, &rivet.Error{Code: "empty_message", Message: "a message needs a text"}
	case n > maxTextRunes:
		return Message{}, &rivet.Error{Code: "message_too_long", Message: "a message has at most 2000 characters"}
	}
	m := Message{Sender: from.Name, Text: text, Timestamp: time.Now().UnixMilli()}
	r.Messages = append(r.Messages, m)
	if over := len(r.Messages) - keepMessages; over > 0 {
		r.Messages = r.Messages[over:]
	}
	actor.Broadcast(c, NewMessage, m)
	return m, nil
}

func (r *room) getHistory(*actor.Ctx, rivet.None) ([]Message, error) {
	if r.Messages == nil {
		return []Message{}, nil // JavaScript wants a list, not null
	}
	return r.Messages, nil
}

// Definition binds the contract to the room's methods.
func Definition() actor.Definition {
	d := actor.Define(Rooms, actor.Zero[Room, room])
	d.DisplayName, d.Icon = "Chat room", "💬"
	actor.OnConnect(d, Joins, members, (*room).join)
	actor.Handle(d, SendMessage, (*room).sendMessage)
	actor.View(d, GetHistory, (*room).getHistory)
	return d
}
