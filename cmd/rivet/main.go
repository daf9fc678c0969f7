// Rivet is the command line: it runs programs that define actors, and an engine without any.
package main

import (
	"fmt"
	"os"
	"runtime/debug"

	"github.com/alecthomas/kong"

	"github.com/rivetgo/rivet/engine"
)

type cli struct {
	Dev     devCmd     `cmd:"" help:"Build and run a program that defines actors; build and run it again when its source changes."`
	Actor   actorCmd   `cmd:"" help:"Copy and check single actors of an engine that runs."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

func main() {
	var c cli
	ctx := kong.Parse(&c, kong.Name("rivet"), kong.Description("Rivet actors in Go."), kong.UsageOnError())
	if err := ctx.Run(&c); err != nil {
		fmt.Fprintln(os.Stderr, "rivet:", err)
		os.Exit(1)
	}
}

type versionCmd struct{}

func (versionCmd) Run() error {
	commit := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = " (" + s.Value[:min(12, len(s.Value))] + ")"
			}
		}
	}
	_, err := fmt.Printf("rivet %s%s\n", engine.Version, commit)
	return err
}
