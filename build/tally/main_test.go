package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const recorded = `{"Action":"start","Package":"m/a"}
{"Action":"run","Package":"m/a","Test":"TestGood"}
{"Action":"output","Package":"m/a","Test":"TestGood","Output":"    a_test.go:3: kills 200, lost 0\n"}
{"Action":"pass","Package":"m/a","Test":"TestGood/sub"}
{"Action":"pass","Package":"m/a","Test":"TestGood","Elapsed":1}
{"Action":"output","Package":"m/a","Test":"TestBad/sub","Output":"    a_test.go:9: it broke\n"}
{"Action":"fail","Package":"m/a","Test":"TestBad/sub"}
{"Action":"fail","Package":"m/a","Test":"TestBad","Elapsed":1}
{"Action":"skip","Package":"m/a","Test":"TestSkipped"}
{"Action":"output","Package":"m/a","Output":"FAIL\n"}
{"Action":"fail","Package":"m/a","Elapsed":2.5}
{"Action":"pass","Package":"m/b","Elapsed":0.1}
{"Action":"skip","Package":"m/notests","Elapsed":0}
{"ImportPath":"m/c","Action":"build-output","Output":"c.go:1: syntax error\n"}
{"ImportPath":"m/c","Action":"build-fail"}
{"Action":"output","Package":"m/c","Output":"FAIL\tm/c [build failed]\n"}
{"Action":"fail","Package":"m/c","Elapsed":0}
go: a line that is not JSON
`

func TestTallyCountsTopLevelTestsAndBrokenPackages(t *testing.T) {
	file := filepath.Join(t.TempDir(), "counts")
	var out strings.Builder
	failed, err := tally(strings.NewReader(recorded), &out, file, `kills \d+`)
	if err != nil || !failed {
		t.Fatalf("failed %v, %v", failed, err)
	}
	for _, want := range []string{
		"  a_test.go:3: kills 200, lost 0\n", "FAIL  m/a TestBad\n    a_test.go:9: it broke\n", "ok    m/b 100ms\n",
		"FAIL  m/c does not build\nc.go:1: syntax error\n", "go: a line that is not JSON\n", "1 passed, 2 failed, 1 skipped\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
	if counts, err := os.ReadFile(file); err != nil || string(counts) != "1 2 1\n" {
		t.Errorf("counts %q, %v", counts, err)
	}
}

func TestTallyFailsWhenNothingRan(t *testing.T) {
	var out strings.Builder
	failed, err := tally(strings.NewReader(""), &out, "", "^$")
	if err != nil || !failed || !strings.Contains(out.String(), "0 passed, 1 failed") {
		t.Fatalf("failed %v, %v\n%s", failed, err, out.String())
	}
}

func TestSum(t *testing.T) {
	file := filepath.Join(t.TempDir(), "counts")
	if err := os.WriteFile(file, []byte("1 0 0\n40 2 0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := printSum(&out, file); err != nil || out.String() != "41 passed, 2 failed\n" {
		t.Fatalf("%q, %v", out.String(), err)
	}
}
