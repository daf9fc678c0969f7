package actor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/internal/actordb"
	"github.com/rivetgo/rivet/internal/deliver"
	"github.com/rivetgo/rivet/internal/dial"
	"github.com/rivetgo/rivet/internal/host"
	"github.com/rivetgo/rivet/internal/link/inprocess"
	"github.com/rivetgo/rivet/internal/runner"
	"github.com/rivetgo/rivet/internal/version"
)

// ServeConfig says which engine hosts the actors of this program: a Rivet engine of your own, or Rivet Cloud. The zero value
// takes everything from the environment.
type ServeConfig struct {
	// Endpoint is the engine's URL, scheme://[namespace[:token]@]host[:port][/base]. Default RIVET_ENGINE, then
	// RIVET_ENDPOINT, then http://127.0.0.1:6420.
	Endpoint string
	// Namespace is the tenant. Default RIVET_NAMESPACE, then "default". It may stand in Endpoint instead.
	Namespace string
	// Token is the engine's token. Default RIVET_TOKEN, then none. It may stand in Endpoint instead.
	Token string
	// Pool is the group of runners that clients name. Default RIVET_POOL, then "default". An engine on this machine gets it
	// made; elsewhere it must exist.
	Pool string
	// Version is the number of this deployment, at least 1: the engine places actors on the highest and has the others move
	// theirs. Default RIVET_ENVOY_VERSION, then 1.
	Version uint32
	// ShutdownTimeout bounds the end: actors that have not moved by then are cut off. Default RIVET_SHUTDOWN_TIMEOUT, then 30 s.
	ShutdownTimeout time.Duration
	// DatabaseMemory bounds, in MiB, what the actors' open databases hold together. Default RIVET_DATABASE_MEMORY, then 512.
	DatabaseMemory int
	// DatabaseIdle is after how long without use a database is closed. Default RIVET_DATABASE_IDLE, then 10 s.
	DatabaseIdle time.Duration
	// ExposeErrors lets messages of untyped errors reach callers: for development only. Default RIVET_EXPOSE_ERRORS=1.
	ExposeErrors bool
	// LogLevel is used when Log is nil: "debug", "info", "warn" or "error". Default RIVET_LOG_LEVEL, then "info".
	LogLevel string
	// Log gets what the runner and its actors have to say. Default: text on stderr at LogLevel.
	Log *slog.Logger
	// Transport carries all that is sent to the engine. Default http.DefaultTransport.
	Transport http.RoundTripper

	// PublicEndpoint and PublicToken are where clients that ask a serverless handler are sent (see Handler): the engine as
	// they reach it. Default RIVET_PUBLIC_ENDPOINT, which may carry namespace and token, and RIVET_PUBLIC_TOKEN.
	PublicEndpoint string
	PublicToken    string
}

// Serve hosts actors under the engine that the environment names (see ServeConfig) until ctx ends; then the engine moves
// them elsewhere, and Serve returns nil when none is left.
//
// Errors: *DefinitionError; a wrong setting; that another runner took this one's place. An engine that cannot be reached, or
// refuses, is none: Serve says what is wrong in the log and tries again.
func Serve(ctx context.Context, actors ...Definition) error {
	return ServeConfig{}.Serve(ctx, actors...)
}

// Serve is the function Serve with this configuration.
func (c ServeConfig) Serve(ctx context.Context, actors ...Definition) error {
	m, err := c.open(actors)
	if err != nil {
		return err
	}
	defer m.close()
	pool, stop := context.WithTimeout(ctx, poolTimeout)
	err = m.runner.EnsurePool(pool)
	stop()
	if err != nil && ctx.Err() == nil {
		m.cfg.Log.Warn("the pool of runners may not exist", "error", err)
	}
	m.runner.Start()
	select {
	case <-ctx.Done():
	case <-m.runner.Done():
		return m.runner.Err()
	}
	return m.drain()
}

// poolTimeout is how long an engine on this machine may take to come up before the runner connects anyway.
const poolTimeout = 30 * time.Second

// member is this program as a part of an engine.
type member struct {
	cfg       ServeConfig
	server    dial.Server
	names     []string
	runner    *runner.Runner
	host      *inprocess.Runner
	client    *rivet.Client
	deliverer *dial.Client
}

// open puts everything together. Nothing is sent yet.
func (c ServeConfig) open(actors []Definition) (_ *member, err error) {
	specs, err := Compile(actors...)
	if err != nil {
		return nil, &DefinitionError{err}
	}
	if err := c.fill(os.Getenv); err != nil {
		return nil, err
	}
	m := &member{cfg: c}
	for _, s := range specs {
		m.names = append(m.names, s.Name)
	}
	probe, err := dial.New(dial.Config{Endpoint: c.Endpoint, Namespace: c.Namespace, Token: c.Token, Pool: c.Pool, Getenv: os.Getenv, Log: c.Log})
	if err != nil {
		return nil, fmt.Errorf("rivet: %w (RIVET_ENDPOINT)", err)
	}
	m.server = probe.Server()
	defer probe.Close()
	proof := deliver.NewProof(m.server.Namespace, m.server.Token)
	if m.client, err = rivet.NewClient(m.server.Endpoint, &rivet.ClientOptions{
		Namespace: m.server.Namespace, Token: m.server.Token, Pool: m.server.Pool, HTTPClient: &http.Client{Transport: c.Transport},
		DisableMetadataLookup: true, Logger: c.Log,
	}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			m.client.Close()
		}
	}()
	if m.deliverer, err = dial.New(dial.Config{
		Endpoint: m.server.Endpoint, Namespace: m.server.Namespace, Token: m.server.Token, Pool: m.server.Pool,
		Transport: dial.Transport{HTTP: &http.Client{Transport: proof.Transport(c.Transport)}}, NoRedirect: true, Log: c.Log,
	}); err != nil {
		return nil, err
	}
	m.host = inprocess.New(specs, &host.Env{
		Databases: actordb.NewPool(c.DatabaseMemory<<20, c.DatabaseIdle), Log: c.Log, Client: m.client,
		Deliver: deliver.New(m.deliverer), ExposeErrors: c.ExposeErrors,
	}, version.Version)
	m.runner, err = runner.New(runner.Config{
		Endpoint: m.server.Endpoint, Token: m.server.Token, Namespace: m.server.Namespace, Pool: m.server.Pool, Version: c.Version,
		SDK: version.Version, Host: m.host, Admit: proof.Admit, Log: c.Log, Transport: c.Transport,
	})
	if err != nil {
		return nil, err
	}
	m.host.Attach(m.runner)
	return m, nil
}

// drain has the engine move the actors elsewhere.
func (m *member) drain() error {
	m.cfg.Log.Info("stopping: the engine moves the actors elsewhere", "actors", m.runner.Live())
	ctx, cancel := context.WithTimeout(context.Background(), m.cfg.ShutdownTimeout)
	defer cancel()
	if err := m.runner.Drain(ctx); err != nil {
		m.cfg.Log.Warn("actors were cut off: they had not moved within the shutdown timeout", "actors", m.runner.Live(), "timeout", m.cfg.ShutdownTimeout)
	}
	return nil
}

func (m *member) close() {
	m.runner.Close()
	m.host.Close()
	m.client.Close()
	m.deliverer.Close()
}

// fill takes from the environment what is not set, then from the defaults, and checks it.
func (c *ServeConfig) fill(getenv func(string) string) error {
	var errs []error
	number := func(name string, bits int) uint64 {
		v := getenv(name)
		if v == "" {
			return 0
		}
		n, err := strconv.ParseUint(v, 10, bits)
		if err != nil || n == 0 {
			errs = append(errs, fmt.Errorf("%s=%q is not a number of at least 1", name, v))
		}
		return n
	}
	duration := func(name string, dst *time.Duration, otherwise time.Duration) {
		if v := getenv(name); *dst == 0 && v != "" {
			d, err := time.ParseDuration(v)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s=%q is not a duration: write it as 30s", name, v))
			}
			*dst = d
		}
		if *dst == 0 {
			*dst = otherwise
		}
		if *dst < 0 {
			errs = append(errs, fmt.Errorf("a duration is negative (%s)", name))
		}
	}
	if c.Version == 0 {
		c.Version = max(1, uint32(number("RIVET_ENVOY_VERSION", 32)))
	}
	if c.DatabaseMemory == 0 {
		if c.DatabaseMemory = int(number("RIVET_DATABASE_MEMORY", 31)); c.DatabaseMemory == 0 {
			c.DatabaseMemory = 512
		}
	}
	duration("RIVET_SHUTDOWN_TIMEOUT", &c.ShutdownTimeout, 30*time.Second)
	duration("RIVET_DATABASE_IDLE", &c.DatabaseIdle, 10*time.Second)
	if v := getenv("RIVET_EXPOSE_ERRORS"); v != "" && !c.ExposeErrors {
		b, err := strconv.ParseBool(v)
		if err != nil {
			errs = append(errs, fmt.Errorf("RIVET_EXPOSE_ERRORS=%q is not a boolean: use 1 or 0", v))
		}
		c.ExposeErrors = b
	}
	text(&c.PublicEndpoint, getenv("RIVET_PUBLIC_ENDPOINT"))
	text(&c.PublicToken, getenv("RIVET_PUBLIC_TOKEN"))
	text(&c.LogLevel, getenv("RIVET_LOG_LEVEL"))
	text(&c.LogLevel, "info")
	if c.Log == nil {
		var l slog.Level
		if err := l.UnmarshalText([]byte(c.LogLevel)); err != nil {
			errs = append(errs, fmt.Errorf("log level %q is not one of debug, info, warn, error (RIVET_LOG_LEVEL)", c.LogLevel))
		}
		c.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: l}))
	}
	if c.Transport == nil {
		c.Transport = http.DefaultTransport
	}
	if c.DatabaseMemory < 0 {
		errs = append(errs, errors.New("the memory of open databases is negative (RIVET_DATABASE_MEMORY)"))
	}
	return errors.Join(errs...)
}

// text sets what is not set.
func text(dst *string, value string) {
	if *dst == "" {
		*dst = value
	}
}
