package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/rivetgo/rivet/engine"
)

// devCmd runs a user's program while it is being written.
type devCmd struct {
	Package string   `arg:"" optional:"" default:"." help:"Package of the program, as for go run."`
	Args    []string `arg:"" optional:"" passthrough:"" help:"Flags of the program, after --."`

	Listen      string `placeholder:"HOST:PORT" env:"RIVET_LISTEN" help:"Address to listen on."`
	StoragePath string `placeholder:"DIR" env:"RIVETKIT_STORAGE_PATH" help:"Directory of the embedded store."`
	NoWatch     bool   `help:"Do not look for changes."`
}

// Run builds and runs the program until a signal comes. In a folder without a program it runs an engine without actors.
func (d *devCmd) Run() error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	name, dir, err := describe(d.Package)
	if err != nil {
		return err
	}
	if name != "main" {
		if d.Package != "." {
			return fmt.Errorf("%s is not a program (its package is %q): name a package main, as in rivet dev ./examples/counter", d.Package, name)
		}
		return d.bare(signals)
	}
	tmp, err := os.MkdirTemp("", "rivet-dev-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	p := &program{pkg: d.Package, binary: filepath.Join(tmp, "program"), args: d.Args, env: d.environ()}
	return p.loop(signals, watch(dir, d.NoWatch))
}

// environ is the environment of the program: flags win over what is set.
func (d *devCmd) environ() []string {
	env := os.Environ()
	if d.Listen != "" {
		env = append(env, "RIVET_LISTEN="+d.Listen)
	}
	if d.StoragePath != "" {
		env = append(env, "RIVETKIT_STORAGE_PATH="+d.StoragePath)
	}
	return env
}

// bare runs an engine without actors: its API and its store can be looked at.
func (d *devCmd) bare(signals <-chan os.Signal) error {
	env := d.environ()
	cfg, err := engine.Load("rivet dev", nil, func(name string) string { return lookup(env, name) }, os.Stderr)
	if err != nil {
		return err
	}
	if code := (engine.Program{}).Run(cfg, os.Stderr, signals); code != 0 {
		os.Exit(code)
	}
	return nil
}

// lookup finds a variable; the last setting of it counts.
func lookup(env []string, name string) string {
	value := ""
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			value = v
		}
	}
	return value
}

// describe asks the go command for a package's name and the folder of its module. A folder without Go files has no name.
func describe(pkg string) (name, dir string, err error) {
	cmd := exec.Command("go", "list", "-e", "-f", "{{.Name}}\n{{with .Module}}{{.Dir}}{{end}}\n{{.Dir}}", pkg)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			if pkg == "." && strings.Contains(string(exit.Stderr), "go.mod file not found") {
				return "", "", nil // not a folder of Go code at all
			}
			return "", "", fmt.Errorf("go list %s: %s", pkg, strings.TrimSpace(string(exit.Stderr)))
		}
		return "", "", fmt.Errorf("the go command is needed to build %s: %w", pkg, err)
	}
	lines := strings.Split(string(out), "\n")
	if len(lines) < 3 {
		return "", "", fmt.Errorf("go list %s: unexpected answer %q", pkg, out)
	}
	if lines[1] == "" {
		lines[1] = lines[2]
	}
	return lines[0], lines[1], nil
}

// program is the user's program: at most one process of it runs.
type program struct {
	pkg, binary string
	args, env   []string
}

// loop builds and runs the program, again after each change, until a signal comes or it ends by itself.
func (p *program) loop(signals <-chan os.Signal, changes <-chan struct{}) error {
	for {
		if err := p.build(); err != nil {
			fmt.Fprintln(os.Stderr, "rivet dev: the program does not build; waiting for a change")
			select {
			case <-changes:
				continue
			case <-signals:
				return nil
			}
		}
		again, err := p.run(signals, changes)
		if !again {
			return err
		}
		fmt.Fprintln(os.Stderr, "rivet dev: source changed, building again")
	}
}

func (p *program) build() error {
	began := time.Now()
	slow := time.AfterFunc(time.Second, func() { fmt.Fprintln(os.Stderr, "rivet dev: building", p.pkg, "…") })
	defer slow.Stop()
	next := p.binary + ".next"
	cmd := exec.Command("go", "build", "-o", next, p.pkg)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return err
	}
	if took := time.Since(began); took > time.Second {
		fmt.Fprintf(os.Stderr, "rivet dev: built in %.1f s\n", took.Seconds())
	}
	return os.Rename(next, p.binary)
}

// run runs the program once. again says that it was stopped because its source changed and builds.
func (p *program) run(signals <-chan os.Signal, changes <-chan struct{}) (again bool, err error) {
	cmd := exec.Command(p.binary, p.args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = os.Stdin, os.Stdout, os.Stderr, p.env
	// A group of its own: a Ctrl-C reaches the program once, from here.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return false, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // ends with the process
	stop := func(sig os.Signal) {
		_ = cmd.Process.Signal(sig) // it may have ended in the meantime, which ended tells
	}
	for {
		select {
		case err := <-ended:
			return false, err
		case sig := <-signals:
			stop(sig)
			select {
			case err := <-ended:
				return false, err
			case sig := <-signals:
				stop(sig)
				return false, <-ended
			}
		case <-changes:
			if err := p.build(); err != nil {
				fmt.Fprintln(os.Stderr, "rivet dev: the change does not build; the program goes on as it is")
				continue
			}
			stop(syscall.SIGTERM)
			<-ended
			return true, nil
		}
	}
}
