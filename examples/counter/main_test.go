package main

import (
	"testing"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/engine"
)

func TestCounter(t *testing.T) {
	dir := t.TempDir()
	start := func() *engine.Engine {
		t.Helper()
		e, err := engine.Start(t.Context(), engine.Config{Listen: "127.0.0.1:0", StoragePath: dir, LogLevel: "error"}, Definition())
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	e := start()
	likes := Counters.GetOrCreate(e.Client(), rivet.Key{"likes"}, Counter{})
	conn, err := likes.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	events := Count.Listen(t.Context(), conn)
	for i := range int64(3) {
		if n, err := Increment.Call(t.Context(), conn, 1); err != nil || n != i+1 {
			t.Fatalf("increment = %d, %v; want %d", n, err, i+1)
		}
	}
	want := int64(1)
	for n, err := range events {
		if err != nil || n != want {
			t.Fatalf("event %d, %v; want %d", n, err, want)
		}
		if want++; want > 3 {
			break
		}
	}
	conn.Close()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}

	e = start() // the count is durable
	defer e.Close()
	likes = Counters.GetOrCreate(e.Client(), rivet.Key{"likes"}, Counter{})
	if n, err := GetCount.Call(t.Context(), likes, rivet.None{}); err != nil || n != 3 {
		t.Errorf("after a restart the count is %d, %v; want 3", n, err)
	}
}
