// Conformance serves one small actor for each capability of the runtime, written with the public API only; README.md
// lists them. Official clients and other test programs find them under the names they expect.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/rivetgo/rivet/actor"
	"github.com/rivetgo/rivet/engine"
)

// shutdownTimeout lets the program end within a second, although some of its actors ignore that they should.
const shutdownTimeout = 500 * time.Millisecond

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if os.Getenv("RIVET_ENDPOINT") != "" {
		os.Exit(join(signals))
	}
	os.Exit(serve(signals))
}

// definitions are all actors, chapter by chapter.
func definitions() []actor.Definition {
	return slices.Concat(
		actionActors(), failureActors(), varActors(), connectionActors(), storageActors(), observerActors(), runActors(),
		queueActors(), accessActors(), requestActors(), socketActors(), sleepActors(), hibernationActors(), sqlActors(), sqlSleepActors(),
	)
}

// join runs the actors under the engine that RIVET_ENDPOINT names until a signal comes.
func join(signals <-chan os.Signal) int {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() { // ends with the program
		<-signals
		stop()
	}()
	if err := (actor.ServeConfig{ShutdownTimeout: shutdownTimeout}).Serve(ctx, definitions()...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// serve runs the actors under an engine of this process until a signal comes.
func serve(signals <-chan os.Signal) int {
	cfg := engine.Config{
		Listen: os.Getenv("RIVET_LISTEN"), StoragePath: os.Getenv("RIVETKIT_STORAGE_PATH"),
		ShutdownTimeout: shutdownTimeout, LogLevel: os.Getenv("RIVET_LOG_LEVEL"),
	}
	if cfg.StoragePath == "" {
		dir, err := os.MkdirTemp("", "rivet-conformance-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		cfg.StoragePath = dir
	}
	e, err := engine.Start(context.Background(), cfg, definitions()...)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Fprintln(os.Stderr, "conformance: serving at", e.URL())
	select {
	case <-signals:
	case <-e.Done():
	}
	failed := e.Err()
	if err := e.Close(); err != nil { // some actors never end by themselves, as they should
		fmt.Fprintln(os.Stderr, "conformance:", err)
	}
	if failed != nil {
		fmt.Fprintln(os.Stderr, "conformance:", failed)
		return 1
	}
	return 0
}
