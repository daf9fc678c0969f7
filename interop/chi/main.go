// Chi mounts actors in a router of github.com/go-chi/chi, beside its other routes and behind its middleware.
//
//	RIVET_ENDPOINT=https://NAMESPACE:TOKEN@ENGINE PORT=8080 go run ./chi
package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// Counter is what a counter is created with: nothing.
type Counter struct{}

var (
	counters  = rivet.NewActor[Counter]("counter")
	increment = rivet.NewAction[int64, int64](counters, "increment")
)

type state struct{ Count int64 }

func definition() actor.Definition {
	d := actor.Define(counters, actor.Zero[Counter, state])
	actor.Handle(d, increment, func(s *state, _ *actor.Ctx, by int64) (int64, error) {
		s.Count += by
		return s.Count, nil
	})
	return d
}

func router() (http.Handler, error) {
	actors, err := actor.Handler(definition())
	if err != nil {
		return nil, err
	}
	r := chi.NewRouter()
	r.Use(middleware.RequestID, middleware.Recoverer)
	r.Mount("/backend/rivet", actors)
	r.Get("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "the rest of the program") })
	return r, nil
}

func main() {
	r, err := router()
	if err == nil {
		server := &http.Server{Addr: ":" + os.Getenv("PORT"), Handler: r, ReadHeaderTimeout: 10 * time.Second}
		err = server.ListenAndServe()
	}
	if !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
