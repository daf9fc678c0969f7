package interop

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"
)

// scriptTimeout bounds one script; the slowest waits for a client that retries a missing actor for seconds.
const scriptTimeout = 3 * time.Minute

// runScript runs a script of js/ with Node's test runner and these variables on top of the environment.
func runScript(t *testing.T, script string, env map[string]string) {
	t.Helper()
	if _, err := os.Stat("node_modules"); err != nil {
		t.Fatal("the packages are not installed: run npm ci --ignore-scripts in interop, or make interop in the root")
	}
	ctx, cancel := context.WithTimeout(t.Context(), scriptTimeout)
	defer cancel()
	// No --test-force-exit: a script that leaves connections open hangs and fails here.
	cmd := exec.CommandContext(ctx, "node", "--test", "--test-reporter=spec", "--test-timeout=120000", "js/"+script)
	cmd.Env = os.Environ()
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.CombinedOutput()
	switch {
	case ctx.Err() != nil:
		t.Fatalf("%s does not end within %s\n%s", script, scriptTimeout, out)
	case err != nil:
		t.Fatalf("%s: %v\n%s", script, err, out)
	default:
		t.Logf("%s\n%s", script, out)
	}
}

// chromium returns the path of the browser. Without one the test is skipped, or fails where CI is set.
func chromium(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("CHROMIUM"); path != "" {
		return path
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	const missing = "no Chromium: apt-get install -y chromium, or set CHROMIUM"
	if os.Getenv("CI") != "" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}
