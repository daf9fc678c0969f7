package lint

import (
	"fmt"
	"go/ast"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// pages lists the documentation.
func pages(t *testing.T) []string {
	t.Helper()
	files := []string{filepath.Join(root, "README.md")}
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, e fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".md") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func read(t *testing.T, file string) string {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(src)
}

// A block of Go behind <!-- from FILE --> is quoted from that file: line by line, with … where lines were left out. So
// what the pages show compiles, and is run by the file's tests.
var quotation = regexp.MustCompile("(?s)<!-- from (\\S+) -->\n```go\n(.*?)\n```")

func TestPagesQuoteWhatCompiles(t *testing.T) {
	for _, page := range pages(t) {
		for _, m := range quotation.FindAllStringSubmatch(read(t, page), -1) {
			file, block := m[1], m[2]
			src := lines(read(t, filepath.Join(root, file)))
			for part := range strings.SplitSeq(block, "…") {
				want := lines(part)
				at := index(src, want)
				if at < 0 {
					t.Errorf("%s: this is not in %s (any more), behind what is quoted before it:\n%s", page, file, strings.Join(want, "\n"))
					break
				}
				src = src[at+len(want):]
			}
		}
	}
}

// lines splits a text into lines without the space around them; empty lines do not count.
func lines(text string) []string {
	var out []string
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, l)
		}
	}
	return out
}

// index finds part as a whole in all.
func index(all, part []string) int {
	for i := 0; i+len(part) <= len(all); i++ {
		if slices.Equal(all[i:i+len(part)], part) {
			return i
		}
	}
	return -1
}

var (
	guarantee = regexp.MustCompile(`\bG[1-9][0-9]*\b`)
	promised  = regexp.MustCompile(`(?m)^func Test((?:G[1-9][0-9]*_?)+)`)
)

// A promise that no test shows is none.
func TestEveryGuaranteeHasATest(t *testing.T) {
	tested := make(map[string]bool)
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && (e.Name() == "node_modules" || e.Name() == ".git") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, "_test.go") {
			for _, m := range promised.FindAllStringSubmatch(read(t, path), -1) {
				for _, id := range regexp.MustCompile(`G[1-9][0-9]*`).FindAllString(m[1], -1) {
					tested[id] = true
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	listed := read(t, filepath.Join(root, "docs", "guarantees.md"))
	for _, page := range pages(t) {
		for _, id := range guarantee.FindAllString(read(t, page), -1) {
			switch {
			case !tested[id]:
				t.Errorf("%s promises %s, of which no test bears the name", page, id)
			case !strings.Contains(listed, "| "+id+" "):
				t.Errorf("%s promises %s, which docs/guarantees.md does not list", page, id)
			}
		}
	}
}

// documented are the groups whose errors docs/errors.md lists one by one.
var documented = []string{"actor", "queue", "schedule", "kv", "message", "connection"}

func TestErrorsAreDocumented(t *testing.T) {
	page := read(t, filepath.Join(root, "docs", "errors.md"))
	found := make(map[string]string)
	for _, p := range packages(t) {
		if !matches([]string{".", "actor", "internal/host", "internal/surface", "internal/schedule", "internal/link/inprocess"}, p.dir) {
			continue
		}
		for _, file := range p.files {
			ast.Inspect(parse(t, file), func(n ast.Node) bool {
				if group, code := errorOf(n); slices.Contains(documented, group) && code != "" {
					found[group+"."+code] = file
				}
				return true
			})
		}
	}
	if len(found) < 30 {
		t.Fatalf("found %d codes only: is the way right in which errors are made?", len(found))
	}
	for _, code := range slices.Sorted(maps.Keys(found)) {
		if !strings.Contains(page, "`"+code+"`") {
			t.Errorf("docs/errors.md does not tell of %s (%s)", code, found[code])
		}
	}
}

// errorOf reads group and code where an error is made: fault.New("g", "c", …), New(group, "c", …), or a literal with
// Group and Code.
func errorOf(n ast.Node) (group, code string) {
	switch n := n.(type) {
	case *ast.CallExpr:
		if len(n.Args) < 3 {
			return "", ""
		}
		if s, ok := n.Fun.(*ast.SelectorExpr); !ok || s.Sel.Name != "New" {
			return "", ""
		}
		if id, ok := n.Args[0].(*ast.Ident); ok && id.Name == "group" {
			return "schedule", literal(n.Args[1])
		}
		return literal(n.Args[0]), literal(n.Args[1])
	case *ast.CompositeLit:
		for _, e := range n.Elts {
			kv, ok := e.(*ast.KeyValueExpr)
			if !ok {
				continue
			}
			switch fmt.Sprint(kv.Key) {
			case "Group":
				group = literal(kv.Value)
			case "Code":
				code = literal(kv.Value)
			}
		}
	}
	return group, code
}

// literal is the text of a string literal; empty when e is none.
func literal(e ast.Expr) string {
	if l, ok := e.(*ast.BasicLit); ok && l.Kind == token.STRING {
		text, _ := strconv.Unquote(l.Value)
		return text
	}
	return ""
}

func TestOptionsAreDocumented(t *testing.T) {
	page := read(t, filepath.Join(root, "docs", "configuration.md"))
	n := 0
	ast.Inspect(parse(t, filepath.Join(root, "actor", "options.go")), func(node ast.Node) bool {
		spec, ok := node.(*ast.TypeSpec)
		if !ok || spec.Name.Name != "Options" {
			return true
		}
		for _, f := range spec.Type.(*ast.StructType).Fields.List {
			for _, name := range f.Names {
				n++
				if !strings.Contains(page, "`"+name.Name+"`") {
					t.Errorf("docs/configuration.md does not tell of actor.Options.%s", name.Name)
				}
			}
		}
		return false
	})
	if n < 20 {
		t.Fatalf("found %d options only", n)
	}
}

var link = regexp.MustCompile(`\]\(([^)#\s"]+)(?:#[^)\s]*)?\)`)

func TestLinksLeadSomewhere(t *testing.T) {
	for _, page := range append(pages(t), filepath.Join(root, "CHANGELOG.md")) {
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", page, m[1])
			}
		}
	}
}
