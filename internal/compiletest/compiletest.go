// Package compiletest checks that mistakes do not compile. A program makes them, one a line, and says behind each in a
// comment what the compiler must answer:
//
//	n, err := Increment.Call(ctx, h, "five") // want `cannot use "five"`
package compiletest

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Run builds the program in dir (a path like ./testdata/compile) and compares what the compiler says with the comments of
// its main.go. Both ways: a line without a comment must compile.
func Run(t *testing.T, dir string) {
	t.Helper()
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("there is no go command")
	}
	source, err := os.ReadFile(filepath.Join(dir, "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[int]*regexp.Regexp{}
	for i, line := range strings.Split(string(source), "\n") {
		if _, text, ok := strings.Cut(line, "// want `"); ok {
			want[i+1] = regexp.MustCompile(strings.TrimSuffix(text, "`"))
		}
	}

	cmd := exec.Command(goTool, "build", "-gcflags=-e", "-o", os.DevNull, dir)
	cmd.Env = append(os.Environ(), "GOPROXY=off")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatal("the program compiles")
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		position, message, ok := strings.Cut(lines.Text(), ": ")
		if !ok || !strings.Contains(position, "main.go:") {
			continue
		}
		var line, column int
		if _, err := fmt.Sscanf(position[strings.Index(position, "main.go:"):], "main.go:%d:%d", &line, &column); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		re, ok := want[line]
		if !ok || !re.MatchString(message) {
			t.Errorf("line %d: %s", line, message)
		}
		delete(want, line)
	}
	for line, re := range want {
		t.Errorf("line %d: the compiler does not say %s", line, re)
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}
