package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/engine"
)

func room1(t *testing.T) rivet.Handle[Room] {
	t.Helper()
	e, err := engine.Start(t.Context(), engine.Config{Listen: "127.0.0.1:0", StoragePath: t.TempDir(), LogLevel: "error"}, Definition())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return Rooms.GetOrCreate(e.Client(), rivet.Key{"lobby"}, Room{})
}

func TestEverybodyHearsEverybody(t *testing.T) {
	h := room1(t)
	ada, err := Joins.Connect(t.Context(), h, Join{"Ada"})
	if err != nil {
		t.Fatal(err)
	}
	defer ada.Close()
	bob, err := Joins.Connect(t.Context(), h, Join{" Bob "})
	if err != nil {
		t.Fatal(err)
	}
	defer bob.Close()
	heard := NewMessage.Listen(t.Context(), ada)
	if _, err := GetHistory.Call(t.Context(), ada, rivet.None{}); err != nil {
		t.Fatal(err)
	}
	sent, err := SendMessage.Call(t.Context(), bob, "hello")
	if err != nil || sent.Sender != "Bob" || sent.Text != "hello" || sent.Timestamp == 0 {
		t.Fatalf("sent %+v, %v", sent, err)
	}
	for m, err := range heard {
		if err != nil || m != sent {
			t.Errorf("Ada heard %+v, %v; want %+v", m, err, sent)
		}
		break
	}
	history, err := GetHistory.Call(t.Context(), h, rivet.None{})
	if err != nil || len(history) != 1 || history[0] != sent {
		t.Errorf("history %+v, %v", history, err)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	h := room1(t)
	ada := Joins.On(h, Join{"Ada"})
	for i := range keepMessages + 5 {
		if _, err := SendMessage.Call(t.Context(), ada, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	history, err := GetHistory.Call(t.Context(), h, rivet.None{})
	if err != nil || len(history) != keepMessages || history[0].Text != "5" {
		t.Errorf("%d messages from %q, %v", len(history), history[0].Text, err)
	}
}

func TestWhatTheRoomRefuses(t *testing.T) {
	h := room1(t)
	for code, call := range map[string]func() error{
		"name_required": func() error { _, err := SendMessage.Call(t.Context(), h, "hi"); return err },
		"empty_message": func() error { _, err := SendMessage.Call(t.Context(), Joins.On(h, Join{"Ada"}), "  "); return err },
		"message_too_long": func() error {
			_, err := SendMessage.Call(t.Context(), Joins.On(h, Join{"Ada"}), strings.Repeat("x", maxTextRunes+1))
			return err
		},
		"name_too_long": func() error {
			_, err := Joins.Connect(t.Context(), h, Join{strings.Repeat("x", maxNameRunes+1)})
			return err
		},
	} {
		if err := call(); !rivet.Is(err, "user", code) {
			t.Errorf("%v, want user.%s", err, code)
		}
	}
}
