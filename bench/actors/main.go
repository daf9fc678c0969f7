// Actors serves the benchmark actors on an embedded engine, written as the README teaches it and tuned for nothing, so
// that one load program can measure it beside other systems that offer the same actors.
//
// RIVET_LISTEN and RIVETKIT_STORAGE_PATH say where; SLEEP_MS is the idle time of sleeper and planner; -mode=fast runs counter with
// the weaker durability option. One line on stdout says that it is ready.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	_ "net/http/pprof" // served by debug only
	"os"
	"os/signal"
	"runtime"
	rtdebug "runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
	"github.com/rivetgo/rivet/engine"
)

// Nothing is what all of these are created with.
type Nothing struct{}

// Brands of the actors.
type (
	Counter struct{ Nothing }
	Sleeper struct{ Nothing }
	Room    struct{ Nothing }
	Worker  struct{ Nothing }
	Planner struct{ Nothing }
)

var (
	Counters          = rivet.NewActor[Counter]("counter")
	CounterInc        = rivet.NewAction[*int64, int64](Counters, "inc")
	CounterIncDurable = rivet.NewAction[*int64, int64](Counters, "incDurable")
	CounterGet        = rivet.NewAction[rivet.None, int64](Counters, "get")
	CounterEcho       = rivet.NewAction[rivet.Raw, rivet.Raw](Counters, "echo")

	Sleepers          = rivet.NewActor[Sleeper]("sleeper")
	SleeperInc        = rivet.NewAction[*int64, int64](Sleepers, "inc")
	SleeperIncDurable = rivet.NewAction[*int64, int64](Sleepers, "incDurable")
	SleeperGet        = rivet.NewAction[rivet.None, int64](Sleepers, "get")
	SleeperEcho       = rivet.NewAction[rivet.Raw, rivet.Raw](Sleepers, "echo")
	SleeperWakes      = rivet.NewAction[rivet.None, int64](Sleepers, "wakes")

	Rooms     = rivet.NewActor[Room]("room")
	RoomShout = rivet.NewAction[rivet.Raw, bool](Rooms, "shout")
	RoomEcho  = rivet.NewAction[rivet.Raw, rivet.Raw](Rooms, "echo")
	RoomMsg   = rivet.NewEvent[rivet.Raw](Rooms, "msg")
)

// counter is the state of counter and sleeper.
type counter struct {
	N     int64
	Wakes int64
}

func (s *counter) inc(_ *actor.Ctx, by *int64) (int64, error) {
	if by == nil {
		s.N++
	} else {
		s.N += *by
	}
	return s.N, nil
}

func (s *counter) get(*actor.Ctx, rivet.None) (int64, error)         { return s.N, nil }
func (s *counter) wakes(*actor.Ctx, rivet.None) (int64, error)       { return s.Wakes, nil }
func (s *counter) echo(_ *actor.Ctx, x rivet.Raw) (rivet.Raw, error) { return x, nil }

func (s *counter) wake(*actor.Ctx) error {
	s.Wakes++
	return nil
}

type room struct{}

func (*room) shout(c *actor.Ctx, x rivet.Raw) (bool, error) {
	actor.Broadcast(c, RoomMsg, x)
	return true, nil
}

func (*room) echo(_ *actor.Ctx, x rivet.Raw) (rivet.Raw, error) { return x, nil }

const awake = 24 * time.Hour

func definitions(sleepAfter time.Duration, fast bool) []actor.Definition {
	c := actor.Define(Counters, actor.Zero[Counter, counter])
	c.Options.SleepAfter = awake
	c.Options.MayLoseAcknowledged = fast
	actor.Handle(c, CounterInc, (*counter).inc)
	actor.Handle(c, CounterIncDurable, (*counter).inc)
	actor.View(c, CounterGet, (*counter).get)
	actor.View(c, CounterEcho, (*counter).echo)

	s := actor.Define(Sleepers, actor.Zero[Sleeper, counter])
	s.Options.SleepAfter = sleepAfter
	s.OnWake = (*counter).wake
	actor.Handle(s, SleeperInc, (*counter).inc)
	actor.Handle(s, SleeperIncDurable, (*counter).inc)
	actor.View(s, SleeperGet, (*counter).get)
	actor.View(s, SleeperEcho, (*counter).echo)
	actor.View(s, SleeperWakes, (*counter).wakes)

	r := actor.Define(Rooms, actor.Zero[Room, room])
	r.Options.SleepAfter = awake
	actor.Handle(r, RoomShout, (*room).shout)
	actor.View(r, RoomEcho, (*room).echo)
	return []actor.Definition{c, s, r, workerDefinition(), plannerDefinition(sleepAfter), sqlDefinition()}
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	mode := flag.String("mode", "durable", "durable, or fast: counter may lose acknowledged turns in a crash")
	flag.Parse()
	if *mode != "durable" && *mode != "fast" {
		return fmt.Errorf("-mode=%s: use durable or fast", *mode)
	}
	sleepAfter := 200 * time.Millisecond
	if ms := os.Getenv("SLEEP_MS"); ms != "" {
		n, err := strconv.Atoi(ms)
		if err != nil || n <= 0 {
			return fmt.Errorf("SLEEP_MS=%q is not a positive number", ms)
		}
		sleepAfter = time.Duration(n) * time.Millisecond
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if os.Getenv("RIVET_ENDPOINT") != "" {
		return actor.ServeConfig{LogLevel: "warn"}.Serve(ctx, definitions(sleepAfter, *mode == "fast")...)
	}
	cfg, err := engine.Load("actors", nil, os.Getenv, os.Stderr)
	if err != nil {
		return err
	}
	cfg.LogLevel = "warn"
	if os.Getenv("BENCH_DEBUG") != "" {
		cfg.Pages = http.HandlerFunc(debug)
	}
	e, err := engine.Start(ctx, cfg, definitions(sleepAfter, *mode == "fast")...)
	if err != nil {
		return err
	}
	fmt.Printf("ready %s mode=%s\n", e.URL(), *mode)
	select {
	case <-ctx.Done():
	case <-e.Done():
	}
	return errors.Join(e.Close(), e.Err())
}

// debug tells, for bench/compare, what the process holds after a garbage collection, and how late schedules fired.
func debug(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/debug/pprof") {
		http.DefaultServeMux.ServeHTTP(w, r)
		return
	}
	if r.URL.Path == "/debug/lateness" {
		lateness.tell(w)
		return
	}
	rtdebug.FreeOSMemory() // so that what is resident is what is held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fmt.Fprintf(w, `{"heap_bytes":%d,"stack_bytes":%d,"goroutines":%d}`, m.HeapAlloc, m.StackInuse, runtime.NumGoroutine())
}
