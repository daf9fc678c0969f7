// Tally reads the output of go test -json on its standard input and prints what a person wants of it: a line for each
// package, the whole output of what failed, and the lines asked for by -show. It counts top-level tests.
//
//	go test -json ./... | tally -counts FILE [-show REGEXP]
//	tally -sum FILE
//
// The first form appends one line of counts to FILE and exits with 1 when anything failed, be it only a package that
// does not compile. The second prints the sum of all such lines, "N passed, N failed".
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"
)

func main() {
	counts := flag.String("counts", "", "file that the counts are added to")
	sum := flag.String("sum", "", "print the sum of this file's counts, and read no input")
	show := flag.String("show", "^$", "also print output lines that match")
	flag.Parse()
	var err error
	failed := false
	if *sum != "" {
		err = printSum(os.Stdout, *sum)
	} else {
		failed, err = tally(os.Stdin, os.Stdout, *counts, *show)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tally:", err)
		os.Exit(2)
	}
	if failed {
		os.Exit(1)
	}
}

// event is one line of go test -json, as test2json documents it.
type event struct {
	Action     string
	Package    string
	ImportPath string // instead of Package in the output of a build
	Test       string
	Output     string
	Elapsed    float64 // seconds
}

// count is how top-level tests ended.
type count struct{ passed, failed, skipped int }

func (c count) String() string {
	s := fmt.Sprintf("%d passed, %d failed", c.passed, c.failed)
	if c.skipped > 0 {
		s += fmt.Sprintf(", %d skipped", c.skipped)
	}
	return s
}

func tally(in io.Reader, out io.Writer, file, show string) (failed bool, err error) {
	wanted, err := regexp.Compile(show)
	if err != nil {
		return false, err
	}
	t := &tallier{out: out, wanted: wanted, output: map[string]*strings.Builder{}, failures: map[string]int{}}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			t.line(line)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return false, err
		}
	}
	if t.packages == 0 && t.total.failed == 0 {
		t.total.failed++
		fmt.Fprintln(out, "no package was tested")
	}
	fmt.Fprintln(out, t.total)
	if file == "" {
		return t.total.failed > 0, nil
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return false, err
	}
	fmt.Fprintln(f, t.total.passed, t.total.failed, t.total.skipped)
	return t.total.failed > 0, f.Close()
}

type tallier struct {
	out      io.Writer
	wanted   *regexp.Regexp
	total    count
	packages int
	output   map[string]*strings.Builder // of each running top-level test, and of each package under "package/"
	failures map[string]int              // failed tests of each package
}

func (t *tallier) line(line []byte) {
	var e event
	if json.Unmarshal(line, &e) != nil {
		fmt.Fprintf(t.out, "%s", line) // not of the test, for example of the go command
		return
	}
	pkg := cmp.Or(e.Package, e.ImportPath)
	top, _, nested := strings.Cut(e.Test, "/")
	key := pkg + "/" + top
	switch e.Action {
	case "output", "build-output":
		if t.output[key] == nil {
			t.output[key] = &strings.Builder{}
		}
		t.output[key].WriteString(e.Output)
		if t.wanted.MatchString(strings.TrimSpace(e.Output)) {
			fmt.Fprintf(t.out, "  %s\n", strings.TrimSpace(e.Output))
		}
	case "build-fail":
		fmt.Fprintf(t.out, "FAIL  %s does not build\n%s", pkg, t.take(key))
	case "pass", "fail", "skip":
		if nested {
			return
		}
		if e.Test == "" {
			t.packageEnds(e, pkg, key)
			return
		}
		t.testEnds(e, pkg, key)
	}
}

func (t *tallier) testEnds(e event, pkg, key string) {
	output := t.take(key)
	switch e.Action {
	case "pass":
		t.total.passed++
	case "skip":
		t.total.skipped++
		fmt.Fprintf(t.out, "skip  %s %s\n%s", pkg, e.Test, output)
	case "fail":
		t.total.failed++
		t.failures[pkg]++
		fmt.Fprintf(t.out, "FAIL  %s %s\n%s", pkg, e.Test, output)
	}
}

func (t *tallier) packageEnds(e event, pkg, key string) {
	output := t.take(key)
	took := time.Duration(e.Elapsed * float64(time.Second)).Round(100 * time.Millisecond)
	switch e.Action {
	case "pass":
		t.packages++
		fmt.Fprintf(t.out, "ok    %s %s\n", pkg, took)
	case "fail":
		t.packages++
		if t.failures[pkg] == 0 { // it did not compile, crashed outside a test, or ran out of time
			t.total.failed++
			fmt.Fprint(t.out, output)
			// What was running when it ended tells why.
			for running, text := range t.output {
				if strings.HasPrefix(running, pkg+"/") {
					fmt.Fprint(t.out, text)
					delete(t.output, running)
				}
			}
		}
		fmt.Fprintf(t.out, "FAIL  %s %s\n", pkg, took)
	}
}

// take returns and forgets what was printed under a key.
func (t *tallier) take(key string) string {
	b := t.output[key]
	delete(t.output, key)
	if b == nil {
		return ""
	}
	return b.String()
}

func printSum(out io.Writer, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	var sum count
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var c count
		if _, err := fmt.Sscan(lines.Text(), &c.passed, &c.failed, &c.skipped); err != nil {
			return fmt.Errorf("%s: %q: %w", file, lines.Text(), err)
		}
		sum.passed += c.passed
		sum.failed += c.failed
		sum.skipped += c.skipped
	}
	_, err = fmt.Fprintln(out, sum)
	return err
}
