package engine

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
	"github.com/rivetgo/rivet/internal/actordb"
	"github.com/rivetgo/rivet/internal/actorfile"
	"github.com/rivetgo/rivet/internal/host"
	"github.com/rivetgo/rivet/internal/wire/id"
)

// TryMigrations tries the migrations of the given definitions, and their OnMigrate, on a copy of the actor in a file that
// `rivet actor export` wrote. The file and the actor stay as they are, and no other hook runs; Ctx.Client is nil. ran names
// the migrations that the actor has not seen. The error is the one that the actor's start would fail with, as
// sqlite.migration_failed, which names the statement; or it says what is wrong with the file.
func TryMigrations(ctx context.Context, file string, actors ...actor.Definition) (ran []string, err error) {
	specs, err := actor.Compile(actors...)
	if err != nil {
		return nil, &DefinitionError{Mistakes: err}
	}
	name, remove, err := scratchCopy(file)
	if err != nil {
		return nil, err
	}
	defer remove()
	c, err := actorfile.ReadFile(ctx, name, false, actorfile.Options{})
	if err != nil {
		return nil, err
	}
	env := &host.Env{Log: slog.New(slog.DiscardHandler), Databases: actordb.NewPool(1<<30, time.Minute), ExposeErrors: true}
	for _, spec := range specs {
		if spec.Name != c.Meta.Name {
			continue
		}
		key := rivet.ParseKey(c.Meta.Key)
		return host.TryMigrations(ctx, spec, env, host.Placement{ID: id.New(0), Namespace: c.Meta.Namespace, Name: spec.Name, Key: key, KeyText: c.Meta.Key, Generation: 1}, c.View())
	}
	return nil, fmt.Errorf("the file holds an actor of type %q, which is not among the definitions", c.Meta.Name)
}

// scratchCopy copies a file to where it can be changed.
func scratchCopy(file string) (name string, remove func(), err error) {
	src, err := os.Open(file)
	if err != nil {
		return "", nil, err
	}
	defer src.Close() // it is read only
	dst, err := os.CreateTemp("", "rivet-try-*.sqlite")
	if err != nil {
		return "", nil, err
	}
	remove = func() { _ = os.Remove(dst.Name()) }
	_, err = io.Copy(dst, src)
	if closed := dst.Close(); err == nil {
		err = closed
	}
	if err != nil {
		remove()
		return "", nil, err
	}
	return dst.Name(), remove, nil
}
