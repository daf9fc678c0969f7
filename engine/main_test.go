package engine

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rivetgo/rivet/actor"
)

func errorsAs(err error, target any) bool { return errors.As(err, target) }

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		http.DefaultClient.CloseIdleConnections()
		os.Exit(code)
	}))
}

// launch runs a program in the background; its exit code comes on the channel.
func launch(t *testing.T, p Program, env map[string]string, args ...string) (*buffer, chan os.Signal, chan int) {
	t.Helper()
	out, signals, code := &buffer{mark: "JavaScript", seen: make(chan struct{})}, make(chan os.Signal, 2), make(chan int, 1)
	go func() {
		code <- p.run("program", args, func(k string) string { return env[k] }, out, signals)
	}()
	return out, signals, code
}

func TestProgramSaysHowToCallItAndStopsInGoodOrder(t *testing.T) {
	dir := t.TempDir()
	p := newProbe()
	program := Program{
		Actors: []actor.Definition{p.definition(actor.Options{})},
		Pages:  http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("page")) }),
	}
	out, signals, code := launch(t, program, map[string]string{
		"RIVET_LISTEN": "127.0.0.1:0", "RIVETKIT_STORAGE_PATH": dir, "RIVET_LOG_LEVEL": "error",
	})
	<-out.seen
	banner := out.String()
	for _, part := range []string{"address", "http://127.0.0.1:", dir, "curl -X POST", "createClient", "thing"} {
		if !strings.Contains(banner, part) {
			t.Errorf("the banner lacks %q:\n%s", part, banner)
		}
	}
	_, rest, _ := strings.Cut(banner, "address     ")
	url, _, _ := strings.Cut(rest, "\n")
	resp, err := http.Get(url + "/some/page")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("the page: %s", resp.Status)
	}
	signals <- syscall.SIGTERM
	if c := <-code; c != 0 {
		t.Errorf("exit code %d:\n%s", c, out)
	}
	if !strings.Contains(out.String(), "stopped: everything acknowledged is on disk") {
		t.Errorf("last words:\n%s", out)
	}
}

func TestProgramRefusesWrongSettings(t *testing.T) {
	for want, c := range map[string]struct {
		env  map[string]string
		args []string
	}{
		"RIVET_ADMIN_TOKEN":   {env: map[string]string{"RIVET_LISTEN": "0.0.0.0:1"}},
		"not a boolean":       {env: map[string]string{"RIVET_PUBLIC": "maybe"}},
		"not a duration":      {env: map[string]string{"RIVET_SHUTDOWN_TIMEOUT": "soon"}},
		"unexpected argument": {args: []string{"what"}},
		"no-such-file":        {args: []string{"-config", "no-such-file.json"}},
	} {
		out, _, code := launch(t, Program{}, c.env, c.args...)
		if n := <-code; n != 2 || !strings.Contains(out.String(), want) {
			t.Errorf("%v: exit code %d, said %q, want %q", c, n, out, want)
		}
	}
	out, _, code := launch(t, Program{}, nil, "-help")
	if n := <-code; n != 0 || !strings.Contains(out.String(), "RIVETKIT_STORAGE_PATH") {
		t.Errorf("-help: exit code %d, said %q", n, out)
	}
}

func TestPrecedenceOfSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.json")
	if err := os.WriteFile(file, []byte(`{"listen":"127.0.0.1:1","storage-path":"from-file","log-level":"warn","shutdown-timeout":"5s"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"RIVET_CONFIG": file, "RIVETKIT_STORAGE_PATH": "from-env", "RIVET_LOG_LEVEL": "error"}
	c, err := Load("p", []string{"-log-level", "debug"}, func(k string) string { return env[k] }, &buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != "127.0.0.1:1" || c.StoragePath != "from-env" || c.LogLevel != "debug" || c.ShutdownTimeout != 5*time.Second {
		t.Errorf("%+v", c)
	}
	if err := os.WriteFile(file, []byte(`{"lisen":"x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load("p", nil, func(k string) string { return env[k] }, &buffer{}); err == nil || !strings.Contains(err.Error(), "lisen") {
		t.Errorf("an unknown key: %v", err)
	}
}
