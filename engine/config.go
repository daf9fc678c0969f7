package engine

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

// Config configures an engine. The zero value works: it listens on the loopback interface and keeps its data in .rivet.
type Config struct {
	// Listen is the TCP address, host:port. Port 0 picks a free one. Default "127.0.0.1:6420"; RIVET_LISTEN.
	Listen string
	// StoragePath is the directory of the embedded store, made when it does not exist. One process at a time can use it.
	// Default ".rivet" in the working directory; RIVETKIT_STORAGE_PATH.
	StoragePath string
	// AdminToken protects the control API: callers present it as "Authorization: Bearer". Without one the engine listens
	// on the loopback interface only. Default none; RIVET_ADMIN_TOKEN.
	AdminToken string
	// GatewayToken, when set, is required of every call to an actor (the clients' token option). Default none, as the
	// official engine; RIVET_GATEWAY_TOKEN.
	GatewayToken string
	// Public allows to listen on an address that other machines reach without AdminToken. Default false; RIVET_PUBLIC=1.
	Public bool
	// ShutdownTimeout bounds Close: after it, actors that still work are cut off. Default 30 s; RIVET_SHUTDOWN_TIMEOUT.
	ShutdownTimeout time.Duration
	// DatabaseMemory bounds, in MiB, what the actors' open databases hold together; beyond it those that are not in use are
	// closed, and opened again when they are needed. Default 512; RIVET_DATABASE_MEMORY.
	DatabaseMemory int
	// DatabaseIdle is after how long without use a database is closed while its actor stays awake. Default 10 s;
	// RIVET_DATABASE_IDLE.
	DatabaseIdle time.Duration
	// ExposeErrors lets messages of untyped errors reach callers: for development only. Default false;
	// RIVET_EXPOSE_ERRORS=1.
	ExposeErrors bool
	// LogLevel is used when Log is nil: "debug", "info", "warn" or "error". Default "info"; RIVET_LOG_LEVEL.
	LogLevel string
	// Pages serves the paths that neither the gateway nor the control API uses, as for a web page. Default: none.
	Pages http.Handler
	// Log gets what the engine and its actors have to say. Default: text on stderr at LogLevel.
	Log *slog.Logger
}

const (
	defaultListen      = "127.0.0.1:6420"
	defaultStoragePath = ".rivet"
	defaultShutdown    = 30 * time.Second
	defaultDBMemory    = 512
	defaultDBIdle      = 10 * time.Second
	// DefaultConfigFile is read by Load when it exists and no other file is named.
	DefaultConfigFile = "rivet.json"
)

// withDefaults fills in what is not set.
func (c Config) withDefaults() Config {
	if c.Listen == "" {
		c.Listen = defaultListen
	}
	if c.StoragePath == "" {
		c.StoragePath = defaultStoragePath
	}
	if c.ShutdownTimeout == 0 {
		c.ShutdownTimeout = defaultShutdown
	}
	if c.DatabaseMemory == 0 {
		c.DatabaseMemory = defaultDBMemory
	}
	if c.DatabaseIdle == 0 {
		c.DatabaseIdle = defaultDBIdle
	}
	if c.LogLevel == "" {
		c.LogLevel = "info"
	}
	return c
}

// validate reports everything that is wrong, with the setting to change.
func (c Config) validate() error {
	var errs []error
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		errs = append(errs, fmt.Errorf("listen address %q: %w: write host:port, as in %s (RIVET_LISTEN, -listen)", c.Listen, err, defaultListen))
	} else {
		if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
			errs = append(errs, fmt.Errorf("listen address %q: the port is not a number from 0 to 65535 (RIVET_LISTEN, -listen)", c.Listen))
		}
		if !loopback(host) && c.AdminToken == "" && !c.Public {
			errs = append(errs, fmt.Errorf("listening on %q would let other machines use the control API without a token: set RIVET_ADMIN_TOKEN (-admin-token), or allow it with RIVET_PUBLIC=1 (-public)", c.Listen))
		}
	}
	if c.ShutdownTimeout < 0 {
		errs = append(errs, errors.New("the shutdown timeout is negative (RIVET_SHUTDOWN_TIMEOUT, -shutdown-timeout)"))
	}
	if c.DatabaseMemory < 0 {
		errs = append(errs, errors.New("the memory of open databases is negative (RIVET_DATABASE_MEMORY, -database-memory)"))
	}
	if c.DatabaseIdle < 0 {
		errs = append(errs, errors.New("the time after which databases are closed is negative (RIVET_DATABASE_IDLE, -database-idle)"))
	}
	if _, err := level(c.LogLevel); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func level(name string) (slog.Level, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(name)); err != nil {
		return 0, fmt.Errorf("log level %q is not one of debug, info, warn, error (RIVET_LOG_LEVEL, -log-level)", name)
	}
	return l, nil
}

// logger is Log, or one that writes to stderr.
func (c Config) logger() *slog.Logger {
	if c.Log != nil {
		return c.Log
	}
	l, err := level(c.LogLevel)
	if err != nil {
		l = slog.LevelInfo // validate has reported it
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: l}))
}

// fileConfig is the configuration file: the same settings under their flags' names.
type fileConfig struct {
	Listen          *string `json:"listen"`
	StoragePath     *string `json:"storage-path"`
	AdminToken      *string `json:"admin-token"`
	GatewayToken    *string `json:"gateway-token"`
	Public          *bool   `json:"public"`
	ShutdownTimeout *string `json:"shutdown-timeout"`
	DatabaseMemory  *int    `json:"database-memory"`
	DatabaseIdle    *string `json:"database-idle"`
	ExposeErrors    *bool   `json:"expose-errors"`
	LogLevel        *string `json:"log-level"`
}

// Load reads a configuration: flags in args win over environment variables, those over the file (-config, else
// rivet.json if there is one), that over the defaults. usage gets the help text; flag.ErrHelp means that it was asked for.
func Load(program string, args []string, getenv func(string) string, usage io.Writer) (Config, error) {
	fs := flag.NewFlagSet(program, flag.ContinueOnError)
	fs.SetOutput(usage)
	file := fs.String("config", "", "configuration `file` (JSON); default "+DefaultConfigFile+" if it exists (RIVET_CONFIG)")
	listen := fs.String("listen", "", "TCP `address` to listen on; default "+defaultListen+" (RIVET_LISTEN)")
	storage := fs.String("storage-path", "", "`directory` of the embedded store; default "+defaultStoragePath+" (RIVETKIT_STORAGE_PATH)")
	admin := fs.String("admin-token", "", "`token` that the control API requires (RIVET_ADMIN_TOKEN)")
	gateway := fs.String("gateway-token", "", "`token` that calls to actors require (RIVET_GATEWAY_TOKEN)")
	public := fs.Bool("public", false, "allow a public address without an admin token (RIVET_PUBLIC)")
	shutdown := fs.Duration("shutdown-timeout", 0, "bound of a graceful stop; default "+defaultShutdown.String()+" (RIVET_SHUTDOWN_TIMEOUT)")
	dbMemory := fs.Int("database-memory", 0, "bound of what open databases hold, in `MiB`; default "+strconv.Itoa(defaultDBMemory)+" (RIVET_DATABASE_MEMORY)")
	dbIdle := fs.Duration("database-idle", 0, "when a database that is not used is closed; default "+defaultDBIdle.String()+" (RIVET_DATABASE_IDLE)")
	expose := fs.Bool("expose-errors", false, "let messages of untyped errors reach callers (RIVET_EXPOSE_ERRORS)")
	logLevel := fs.String("log-level", "", "debug, info, warn or error; default info (RIVET_LOG_LEVEL)")
	if err := fs.Parse(args); err != nil {
		return Config{}, err
	}
	if fs.NArg() > 0 {
		return Config{}, fmt.Errorf("unexpected argument %q: settings are flags, see -help", fs.Arg(0))
	}
	if *file == "" {
		*file = getenv("RIVET_CONFIG")
	}
	c, err := loadFile(*file)
	if err != nil {
		return Config{}, err
	}
	if err := c.fromEnv(getenv); err != nil {
		return Config{}, err
	}
	fs.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "listen":
			c.Listen = *listen
		case "storage-path":
			c.StoragePath = *storage
		case "admin-token":
			c.AdminToken = *admin
		case "gateway-token":
			c.GatewayToken = *gateway
		case "public":
			c.Public = *public
		case "shutdown-timeout":
			c.ShutdownTimeout = *shutdown
		case "database-memory":
			c.DatabaseMemory = *dbMemory
		case "database-idle":
			c.DatabaseIdle = *dbIdle
		case "expose-errors":
			c.ExposeErrors = *expose
		case "log-level":
			c.LogLevel = *logLevel
		}
	})
	c = c.withDefaults()
	return c, c.validate()
}

// loadFile reads a named file, which must exist, or the default one, which need not.
func loadFile(name string) (Config, error) {
	optional := name == ""
	if optional {
		name = DefaultConfigFile
	}
	f, err := os.Open(name)
	if optional && errors.Is(err, fs.ErrNotExist) {
		return Config{}, nil
	}
	if err != nil {
		return Config{}, fmt.Errorf("configuration file: %w", err)
	}
	defer f.Close()
	var fc fileConfig
	d := json.NewDecoder(f)
	d.DisallowUnknownFields()
	if err := d.Decode(&fc); err != nil {
		return Config{}, fmt.Errorf("configuration file %s: %w", name, err)
	}
	var c Config
	set(&c.Listen, fc.Listen)
	set(&c.StoragePath, fc.StoragePath)
	set(&c.AdminToken, fc.AdminToken)
	set(&c.GatewayToken, fc.GatewayToken)
	set(&c.Public, fc.Public)
	set(&c.ExposeErrors, fc.ExposeErrors)
	set(&c.LogLevel, fc.LogLevel)
	set(&c.DatabaseMemory, fc.DatabaseMemory)
	for setting, d := range map[string]struct {
		text *string
		dst  *time.Duration
	}{"shutdown-timeout": {fc.ShutdownTimeout, &c.ShutdownTimeout}, "database-idle": {fc.DatabaseIdle, &c.DatabaseIdle}} {
		if d.text == nil {
			continue
		}
		if *d.dst, err = time.ParseDuration(*d.text); err != nil {
			return Config{}, fmt.Errorf("configuration file %s: %s: %w", name, setting, err)
		}
	}
	return c, nil
}

func set[T any](dst *T, src *T) {
	if src != nil {
		*dst = *src
	}
}

// fromEnv takes over what the environment sets.
func (c *Config) fromEnv(getenv func(string) string) error {
	for name, dst := range map[string]*string{
		"RIVET_LISTEN": &c.Listen, "RIVETKIT_STORAGE_PATH": &c.StoragePath, "RIVET_ADMIN_TOKEN": &c.AdminToken,
		"RIVET_GATEWAY_TOKEN": &c.GatewayToken, "RIVET_LOG_LEVEL": &c.LogLevel,
	} {
		if v := getenv(name); v != "" {
			*dst = v
		}
	}
	for name, dst := range map[string]*bool{"RIVET_PUBLIC": &c.Public, "RIVET_EXPOSE_ERRORS": &c.ExposeErrors} {
		v := getenv(name)
		if v == "" {
			continue
		}
		b, err := strconv.ParseBool(v)
		if err != nil {
			return fmt.Errorf("%s=%q is not a boolean: use 1 or 0", name, v)
		}
		*dst = b
	}
	for name, dst := range map[string]*time.Duration{"RIVET_SHUTDOWN_TIMEOUT": &c.ShutdownTimeout, "RIVET_DATABASE_IDLE": &c.DatabaseIdle} {
		v := getenv(name)
		if v == "" {
			continue
		}
		d, err := time.ParseDuration(v)
		if err != nil {
			return fmt.Errorf("%s=%q is not a duration: write it as 30s", name, v)
		}
		*dst = d
	}
	if v := getenv("RIVET_DATABASE_MEMORY"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			return fmt.Errorf("RIVET_DATABASE_MEMORY=%q is not a number: write it in MiB, as 512", v)
		}
		c.DatabaseMemory = n
	}
	return nil
}
