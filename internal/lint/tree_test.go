package lint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// packages lists the module's packages. Nested modules, test data and hidden folders are not among them.
func packages(t *testing.T) []pkg {
	t.Helper()
	byDir := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			name := e.Name()
			if path == root {
				return nil
			}
			if strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules" {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil {
				return filepath.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			dir, err := filepath.Rel(root, filepath.Dir(path))
			if err != nil {
				return err
			}
			byDir[filepath.ToSlash(dir)] = append(byDir[filepath.ToSlash(dir)], path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var out []pkg
	for dir, files := range byDir {
		out = append(out, pkg{dir, files})
	}
	slices.SortFunc(out, func(a, b pkg) int { return strings.Compare(a.dir, b.dir) })
	if len(out) < 10 {
		t.Fatalf("found %d packages only: is the root right?", len(out))
	}
	return out
}

func parse(t *testing.T, file string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range packages(t) {
		said := false
		for _, file := range p.files {
			said = said || parse(t, file).Doc.Text() != ""
		}
		if !said {
			t.Errorf("%s has no package comment: say in a few lines what it is and what must never happen", p.dir)
		}
	}
}

func TestExportedNamesOfPublicPackagesAreDocumented(t *testing.T) {
	for _, p := range packages(t) {
		if p.dir != "." && p.dir != "actor" && p.dir != "engine" && p.dir != "rivettest" {
			continue
		}
		for _, file := range p.files {
			for _, d := range parse(t, file).Decls {
				switch d := d.(type) {
				case *ast.FuncDecl:
					if d.Name.IsExported() && d.Doc.Text() == "" && (d.Recv == nil || receiverExported(d)) && d.Name.Name != "Error" && d.Name.Name != "Unwrap" {
						t.Errorf("%s: %s has no comment", file, d.Name.Name)
					}
				case *ast.GenDecl:
					for _, s := range d.Specs {
						if ts, ok := s.(*ast.TypeSpec); ok && ts.Name.IsExported() && d.Doc.Text() == "" && ts.Doc.Text() == "" {
							t.Errorf("%s: type %s has no comment", file, ts.Name.Name)
						}
					}
				}
			}
		}
	}
}

func receiverExported(d *ast.FuncDecl) bool {
	e := d.Recv.List[0].Type
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.IndexListExpr:
			e = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}

// junk are names that say nothing of what is inside.
var junk = []string{"util", "utils", "common", "misc", "base", "helpers", "manager", "impl", "shared"}

func TestNoJunkDrawers(t *testing.T) {
	for _, p := range packages(t) {
		if slices.Contains(junk, filepath.Base(p.dir)) {
			t.Errorf("%s: name the room for the idea in it", p.dir)
		}
	}
}

var sleeps = regexp.MustCompile(`\btime\.Sleep\(`)

func TestTestsDoNotSleepOutsideVirtualTime(t *testing.T) {
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && (e.Name() == "node_modules" || (strings.HasPrefix(e.Name(), ".") && path != root)) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, "tree_test.go") {
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if sleeps.Match(src) && !strings.Contains(string(src), `"testing/synctest"`) {
			t.Errorf("%s sleeps: wait for the event itself, or run in a synctest bubble", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
