package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/rivetgo/rivet"
)

// actorCmd is about single actors of an engine that runs.
type actorCmd struct {
	Endpoint string `placeholder:"URL" env:"RIVET_ENDPOINT" help:"The engine. Default http://127.0.0.1:6420."`
	Token    string `placeholder:"TOKEN" env:"RIVET_TOKEN" help:"Token of the engine's API, if it wants one."`

	Export exportCmd `cmd:"" help:"Write an actor as one SQLite file, without stopping or waking it."`
	Import importCmd `cmd:"" help:"Make an actor of a file that export wrote."`
	Clone  cloneCmd  `cmd:"" help:"Make a second actor of one, under another key."`
	Verify verifyCmd `cmd:"" help:"Check an actor's data, without stopping or waking it."`
}

// address is NAMESPACE/NAME/KEY; a key of several parts has them separated by slashes.
type address struct {
	namespace, name string
	key             rivet.Key
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *address) UnmarshalText(text []byte) error {
	namespace, rest, ok := strings.Cut(string(text), "/")
	name, key, ok2 := strings.Cut(rest, "/")
	if !ok || !ok2 || namespace == "" || name == "" || key == "" {
		return fmt.Errorf("%q is not NAMESPACE/NAME/KEY, as default/counter/likes", text)
	}
	*a = address{namespace, name, rivet.ParseKey(key)}
	return nil
}

func (a address) String() string { return a.namespace + "/" + a.name + "/" + a.key.String() }

// work connects to the engine and does something there until it is done or a signal comes.
func (c *actorCmd) work(namespace string, do func(ctx context.Context, client *rivet.Client) error) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	client, err := rivet.NewClient(c.Endpoint, &rivet.ClientOptions{Namespace: namespace, Token: c.Token, DisableMetadataLookup: true})
	if err != nil {
		return err
	}
	defer client.Close() // every call is over
	return do(ctx, client)
}

type exportCmd struct {
	Actor  address `arg:"" help:"NAMESPACE/NAME/KEY."`
	Output string  `short:"o" placeholder:"FILE" help:"Where to write. Default: standard output."`
}

// Run writes to a temporary file beside the one that is asked for, so that what has its name is whole.
func (e *exportCmd) Run(c *cli) error {
	return c.Actor.work(e.Actor.namespace, func(ctx context.Context, client *rivet.Client) error {
		h := rivet.NewActor[rivet.None](e.Actor.name).Get(client, e.Actor.key)
		p := newProgress("exported")
		if e.Output == "" {
			if isTerminal(os.Stdout) {
				return errors.New("the file would go to the terminal: add > FILE, or -o FILE")
			}
			return p.end(h.Export(ctx, os.Stdout, p.report))
		}
		f, err := os.CreateTemp(filepath.Dir(e.Output), ".rivet-export-*")
		if err != nil {
			return err
		}
		defer os.Remove(f.Name()) // fails when it has its name
		err = h.Export(ctx, f, p.report)
		if closed := f.Close(); err == nil {
			err = closed
		}
		if err := p.end(err); err != nil {
			return err
		}
		return os.Rename(f.Name(), e.Output)
	})
}

type importCmd struct {
	Actor   address `arg:"" help:"NAMESPACE/NAME/KEY of the actor to be."`
	File    string  `arg:"" optional:"" default:"-" help:"The file. Default: standard input."`
	Replace bool    `help:"Put the file in the place of an actor that has the key; its data is lost."`
	Foreign bool    `help:"Take a SQLite database that is no export: its tables become those of a new actor."`
}

// Run imports a file.
func (i *importCmd) Run(c *cli) error {
	return c.Actor.work(i.Actor.namespace, func(ctx context.Context, client *rivet.Client) error {
		var file io.Reader = os.Stdin
		p := newProgress("sent")
		o := &rivet.ImportOptions{Replace: i.Replace, Foreign: i.Foreign, Progress: p.report}
		if i.File != "-" {
			f, err := os.Open(i.File)
			if err != nil {
				return err
			}
			defer f.Close() // it is read only
			if info, err := f.Stat(); err == nil {
				o.Size = info.Size()
			}
			file = f
		}
		_, copied, err := rivet.NewActor[rivet.None](i.Actor.name).Import(ctx, client, i.Actor.key, file, o)
		if err := p.end(err); err != nil {
			return err
		}
		return tell(i.Actor, copied)
	})
}

// tell says on standard output what was taken over.
func tell(a address, c *rivet.Copy) error {
	text := fmt.Sprintf("%s: %d pages, %d records", a, c.Pages, c.Records)
	if c.DroppedMessages > 0 {
		text += fmt.Sprintf("; %d messages on their way to other actors were left to the original", c.DroppedMessages)
	}
	_, err := fmt.Println(text)
	return err
}

type cloneCmd struct {
	From address `arg:"" help:"NAMESPACE/NAME/KEY of the actor to clone."`
	Key  string  `arg:"" help:"Key of the clone; parts are separated by slashes."`
}

// Run clones an actor.
func (l *cloneCmd) Run(c *cli) error {
	return c.Actor.work(l.From.namespace, func(ctx context.Context, client *rivet.Client) error {
		to := address{l.From.namespace, l.From.name, rivet.ParseKey(l.Key)}
		_, copied, err := rivet.NewActor[rivet.None](l.From.name).Get(client, l.From.key).Clone(ctx, to.key)
		if err != nil {
			return err
		}
		return tell(to, copied)
	})
}

type verifyCmd struct {
	Actor address `arg:"" help:"NAMESPACE/NAME/KEY."`
}

// Run checks an actor; an unsound one is an error.
func (v *verifyCmd) Run(c *cli) error {
	return c.Actor.work(v.Actor.namespace, func(ctx context.Context, client *rivet.Client) error {
		r, err := rivet.NewActor[rivet.None](v.Actor.name).Get(client, v.Actor.key).Verify(ctx)
		if err != nil {
			return err
		}
		if !r.Sound {
			return fmt.Errorf("%s is damaged:\n  %s", v.Actor, strings.Join(r.Problems, "\n  "))
		}
		_, err = fmt.Printf("%s is sound: %d pages, %d records\n", v.Actor, r.Pages, r.Records)
		return err
	})
}

// progress writes to the terminal how far a copy is, now and then.
type progress struct {
	what  string
	shown time.Time
	on    bool
	any   bool
}

func newProgress(what string) *progress {
	return &progress{what: what, on: isTerminal(os.Stderr), shown: time.Now()}
}

func (p *progress) report(done, all int64) {
	if !p.on || time.Since(p.shown) < 200*time.Millisecond {
		return
	}
	p.shown, p.any = time.Now(), true
	if all > 0 {
		fmt.Fprintf(os.Stderr, "\r%s %.1f of %.1f MiB (%d %%) ", p.what, mib(done), mib(all), 100*done/all)
	} else {
		fmt.Fprintf(os.Stderr, "\r%s %.1f MiB ", p.what, mib(done))
	}
}

// end ends the line, and returns err.
func (p *progress) end(err error) error {
	if p.any {
		fmt.Fprintln(os.Stderr)
	}
	return err
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
