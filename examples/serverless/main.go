// Serverless hosts a counter for an engine that calls this program when there is something to do: on a platform that runs
// programs per request, or on any server.
//
//	RIVET_ENDPOINT=https://NAMESPACE:TOKEN@ENGINE PORT=8080 go run ./examples/serverless
//
// The pool of the engine is told the address of the handler: http://THIS-PROGRAM/api/rivet.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// Counter is what a counter is created with: nothing.
type Counter struct{}

// The contract.
var (
	Counters  = rivet.NewActor[Counter]("counter")
	Increment = rivet.NewAction[int64, int64](Counters, "increment")
)

type state struct{ Count int64 }

func (s *state) increment(_ *actor.Ctx, by int64) (int64, error) {
	s.Count += by
	return s.Count, nil
}

func definition() actor.Definition {
	d := actor.Define(Counters, actor.Zero[Counter, state])
	actor.Handle(d, Increment, (*state).increment)
	return d
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	actors, err := actor.Handler(definition())
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/api/rivet/", actors)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "the rest of the program") })

	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	server := &http.Server{Addr: ":" + port, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	// The engine moves the actors elsewhere first: their requests end with it, and then the server has nothing left.
	err = actors.Shutdown(context.Background())
	return errors.Join(err, server.Shutdown(context.Background()))
}
