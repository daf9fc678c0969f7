package engine

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/rivetgo/rivet/actor"
)

// Program is a program that serves actors.
type Program struct {
	// Actors are what it hosts.
	Actors []actor.Definition
	// Pages serves the paths that neither the gateway nor the control API uses, as for a web page. Nil: none.
	Pages http.Handler
}

// Main runs a program that only serves the given actors. It does not return: it exits with 0 after a graceful stop, with
// 2 when the configuration or a definition is wrong, with 1 when anything else fails.
func Main(actors ...actor.Definition) { Program{Actors: actors}.Main() }

// Main runs the program. Where RIVET_ENDPOINT (or RIVET_ENGINE) names an engine, the actors live under that one
// (actor.Serve). Else it loads the configuration from flags, environment and file, starts an engine, prints where it
// listens, and stops in good order on SIGINT or SIGTERM; a second signal ends it at once.
func (p Program) Main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	os.Exit(p.run(filepath.Base(os.Args[0]), os.Args[1:], os.Getenv, os.Stderr, signals))
}

func (p Program) run(name string, args []string, getenv func(string) string, out io.Writer, signals <-chan os.Signal) int {
	cfg, err := Load(name, args, getenv, out)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(out, err)
		return 2
	}
	if p.Pages != nil {
		cfg.Pages = p.Pages
	}
	if getenv("RIVET_ENGINE") != "" || getenv("RIVET_ENDPOINT") != "" {
		return p.join(cfg, out, signals)
	}
	return p.Run(cfg, out, signals)
}

// join runs the program as a part of the engine that the environment names, until a signal comes.
func (p Program) join(cfg Config, out io.Writer, signals <-chan os.Signal) int {
	fmt.Fprintln(out, "RIVET_ENDPOINT is set: the actors live under that engine (unset it to run them by themselves)")
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error, 1)
	go func() {
		done <- actor.ServeConfig{
			ShutdownTimeout: cfg.ShutdownTimeout, DatabaseMemory: cfg.DatabaseMemory, DatabaseIdle: cfg.DatabaseIdle,
			ExposeErrors: cfg.ExposeErrors, LogLevel: cfg.LogLevel, Log: cfg.Log,
		}.Serve(ctx, p.Actors...)
	}()
	var err error
	select {
	case err = <-done:
	case <-signals:
		fmt.Fprintln(out, "stopping: the engine moves the actors elsewhere (press Ctrl-C again to stop at once)")
		stop()
		select {
		case err = <-done:
		case <-signals:
			fmt.Fprintln(out, "stopped at once")
			return 1
		}
	}
	var wrong *DefinitionError
	switch {
	case errors.As(err, &wrong):
		fmt.Fprintln(out, err)
		return 2
	case err != nil:
		fmt.Fprintln(out, err)
		return 1
	}
	fmt.Fprintln(out, "stopped: everything acknowledged is at the engine")
	return 0
}

// Run runs the program with a configuration until a signal comes, and returns the exit code. out gets the banner and
// what goes wrong.
func (p Program) Run(cfg Config, out io.Writer, signals <-chan os.Signal) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	type started struct {
		e   *Engine
		err error
	}
	ready := make(chan started, 1)
	go func() {
		e, err := start(ctx, cfg, p.Actors)
		ready <- started{e, err}
	}()
	var e *Engine
	select {
	case s := <-ready:
		var wrong *DefinitionError
		switch {
		case errors.As(s.err, &wrong):
			fmt.Fprintln(out, s.err)
			return 2
		case s.err != nil:
			fmt.Fprintln(out, s.err)
			return 1
		}
		e = s.e
	case <-signals:
		cancel()
		if s := <-ready; s.e != nil {
			s.e.Close()
		}
		return 1
	}
	e.banner(out)
	code := 0
	select {
	case <-signals:
		fmt.Fprintln(out, "stopping: open actors finish their work (press Ctrl-C again to stop at once)")
	case <-e.Done():
		code = 1
	}
	closed := make(chan error, 1)
	go func() { closed <- e.Close() }()
	select {
	case err := <-closed:
		if err == nil {
			err = e.Err()
		}
		if err != nil {
			fmt.Fprintln(out, err)
			code = 1
		} else {
			fmt.Fprintln(out, "stopped: everything acknowledged is on disk")
		}
	case <-signals:
		fmt.Fprintln(out, "stopped at once: everything acknowledged is on disk")
		code = 1
	}
	return code
}
