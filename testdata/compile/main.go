// Command compile must not compile: each comment says what the compiler answers to its line. See compile_test.go.
package main

import (
	"context"

	"github.com/rivetgo/rivet"
)

type Counter struct{}

type Room struct{}

type Join struct{}

var (
	Counters  = rivet.NewActor[Counter]("counter")
	Increment = rivet.NewAction[int64, int64](Counters, "increment")
	Changed   = rivet.NewEvent[int64](Counters, "changed")

	Rooms  = rivet.NewActor[Room]("room")
	Joins  = rivet.NewParams[Join](Rooms)
	Posted = rivet.NewEvent[string](Rooms, "posted")
)

func main() {
	ctx := context.Background()
	c, _ := rivet.NewClient("", nil)
	likes := Counters.Get(c, rivet.Key{"likes"})
	lobby := Rooms.Get(c, rivet.Key{"lobby"})

	// A program that is right, so that the errors below are the only ones.
	n, _ := Increment.Call(ctx, likes, 1)
	conn, _ := likes.Connect(ctx)
	n, _ = Increment.Call(ctx, conn, n)
	for n, err := range Changed.Listen(ctx, conn) {
		_, _ = n+1, err
	}

	Increment.Call(ctx, likes, "five")                    // want `cannot use "five" \(untyped string constant\) as int64 value in argument to Increment.Call`
	Increment.Call(ctx, lobby, 1)                         // want `cannot use lobby \(variable of struct type rivet.Handle\[Room\]\) as rivet.Target\[Counter\] value in argument to Increment.Call: rivet.Handle\[Room\] does not implement rivet.Target\[Counter\]`
	Posted.Listen(ctx, conn)                              // want `cannot use conn \(variable of type \*rivet.Conn\[Counter\]\) as \*rivet.Conn\[Room\] value in argument to Posted.Listen`
	Changed.On(conn, func(s string) {})                   // want `cannot use func\(s string\) \{\} \(value of type func\(s string\)\) as func\(int64\) value in argument to Changed.On`
	Joins.Connect(ctx, likes, Join{})                     // want `cannot use likes \(variable of struct type rivet.Handle\[Counter\]\) as rivet.Handle\[Room\] value in argument to Joins.Connect`
	Joins.Connect(ctx, lobby, "me")                       // want `cannot use "me" \(untyped string constant\) as Join value in argument to Joins.Connect`
	Counters.GetOrCreate(c, rivet.Key{"likes"}, Room{})   // want `cannot use Room\{\} \(value of struct type Room\) as Counter value in argument to Counters.GetOrCreate`
	var text string = must(Increment.Call(ctx, likes, 1)) // want `cannot use must\(Increment.Call\(ctx, likes, 1\)\) \(value of type int64\) as string value in variable declaration`
	_ = text
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
