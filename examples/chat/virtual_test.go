package main

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/rivettest"
)

func TestTheRoomRemembersAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := rivettest.Start(t, Definition())
		lobby := Rooms.GetOrCreate(app.Client(), rivet.Key{"lobby"}, Room{})
		ada, err := Joins.Connect(t.Context(), lobby, Join{"Ada"})
		if err != nil {
			t.Fatal(err)
		}
		defer ada.Close()
		var heard []Message
		defer NewMessage.On(ada, func(m Message) { heard = append(heard, m) })()
		if _, err := SendMessage.Call(t.Context(), ada, "before"); err != nil {
			t.Fatal(err)
		}
		app.CrashFor(time.Minute)
		app.Advance(time.Minute) // Ada's client finds the room again, under the same name
		if _, err := SendMessage.Call(t.Context(), ada, "after"); err != nil {
			t.Fatal(err)
		}
		app.Advance(0)
		if len(heard) != 2 || heard[1].Sender != "Ada" || heard[1].Text != "after" {
			t.Errorf("Ada heard %+v", heard)
		}
		history, err := GetHistory.Call(t.Context(), lobby, rivet.None{})
		if err != nil || len(history) != 2 || history[0].Text != "before" {
			t.Errorf("history %+v, %v", history, err)
		}
		// Time is virtual for the room too.
		if pause := history[1].Timestamp - history[0].Timestamp; pause != (2 * time.Minute).Milliseconds() {
			t.Errorf("%d ms between the messages, want two minutes", pause)
		}
	})
}

func TestTheRoomStaysAwakeForItsMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := rivettest.Start(t, Definition())
		lobby := Rooms.GetOrCreate(app.Client(), rivet.Key{"lobby"}, Room{})
		ada, err := Joins.Connect(t.Context(), lobby, Join{"Ada"})
		if err != nil {
			t.Fatal(err)
		}
		app.Advance(24 * time.Hour)
		if s := ada.Status(); s != rivet.ConnConnected {
			t.Errorf("after a quiet day the connection is %v", s)
		}
		ada.Close()
		app.Advance(time.Minute)
		if app.Awake(lobby) {
			t.Error("an empty room is awake")
		}
	})
}
