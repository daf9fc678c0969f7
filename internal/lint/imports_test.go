package lint

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/rivetgo/rivet"

// rule says what the packages of some rooms may import of ours, and of others.
type rule struct {
	rooms  []string // folders, from the module's root; "x/..." means x and below
	ours   []string // our packages that they may import, same notation; nil: none
	others []string // modules besides the standard library; nil: none
	why    string
}

// halves are the reasons that come up often.
const (
	pure     = "pure rooms are driven by tests and simulators: no I/O, no clock, no goroutines, the standard library only"
	userSide = "the user side knows nothing of the engine: a program that only calls actors links no engine and no database"
	engine   = "the engine side knows nothing of users' code: it hosts whatever a link offers"
)

// rules cover every package; the first that matches counts.
var rules = []rule{
	{rooms: []string{"internal/wire/..."}, ours: []string{"internal/wire/..."}, why: pure},
	{rooms: []string{"internal/lifecycle"}, why: pure},
	{rooms: []string{"internal/queue"}, ours: []string{"internal/wire/..."}, why: pure},
	{rooms: []string{"internal/actordb"}, ours: []string{"internal/actordb/page", "internal/wire/..."}, others: []string{"github.com/ncruces/go-sqlite3"}, why: "the database knows records and SQLite, not turns"},
	{rooms: []string{"internal/actordb/page"}, ours: []string{"internal/wire/record"}, others: []string{"github.com/klauspost/compress"}, why: pure + ", and a block compressor"},
	{rooms: []string{"internal/schedule"}, ours: []string{"internal/wire/..."}, others: []string{"github.com/netresearch/go-cron"}, why: pure + ", and a parser of cron expressions"},
	{rooms: []string{"internal/pagetree"}, ours: []string{"internal/wire/record"}, why: "the tree knows records and pages; whose pages they are is for others"},
	{rooms: []string{"internal/version", "internal/callchain", "internal/compiletest", "internal/contract", "internal/crash", "internal/invariants", "internal/pipenet"}, why: "small concepts stand alone"},
	{rooms: []string{"internal/codec"}, others: []string{"github.com/fxamacker/cbor/v2"}, why: "the codec is Go values and CBOR, nothing else"},
	{rooms: []string{"internal/ws"}, others: []string{"github.com/gobwas/ws", "golang.org/x/sys"}, why: "sockets know nothing of what they carry"},

	{rooms: []string{"internal/dial"}, ours: []string{"internal/wire/...", "internal/callchain"}, others: []string{"github.com/coder/websocket"}, why: userSide},
	{rooms: []string{"."}, ours: []string{"internal/dial", "internal/wire/...", "internal/codec", "internal/contract", "internal/callchain"}, why: userSide},
	{rooms: []string{"internal/sqlsocket"}, ours: []string{"internal/actordb", "internal/wire/..."}, why: "a socket knows frames and statements, not actors"},
	{rooms: []string{"internal/host"}, ours: []string{"internal/wire/...", "internal/actordb", "internal/sqlsocket", "internal/lifecycle", "internal/queue", "internal/schedule", "internal/invariants", "internal/callchain"}, others: []string{"github.com/google/uuid"}, why: "the host is written once against the interfaces that it declares, so it can live anywhere"},
	{rooms: []string{"internal/surface"}, ours: []string{"internal/host", "internal/ws", "internal/callchain", "internal/wire/..."}, why: userSide},
	{rooms: []string{"internal/deliver"}, ours: []string{"internal/dial", "internal/host", "internal/wire/..."}, why: userSide},
	{rooms: []string{"internal/runner"}, ours: []string{"internal/link", "internal/pagetree", "internal/ws", "internal/wire/..."}, others: []string{"github.com/coder/websocket", "github.com/google/uuid"}, why: userSide + "; a runner drives whatever a link hosts"},
	{rooms: []string{"actor"}, ours: []string{".", "internal/host", "internal/actordb", "internal/deliver", "internal/dial", "internal/link/inprocess", "internal/queue", "internal/runner", "internal/schedule", "internal/codec", "internal/contract", "internal/version", "internal/wire/..."}, others: []string{"github.com/google/uuid"}, why: userSide},

	{rooms: []string{"internal/store"}, ours: []string{"internal/wire/..."}, why: "the seam knows no driver"},
	{rooms: []string{"internal/store/embedded"}, ours: []string{"internal/store", "internal/wire/..."}, others: []string{"github.com/cockroachdb/pebble/v2", "golang.org/x/sys"}, why: "drivers know the seam only"},
	{rooms: []string{"internal/store/..."}, ours: []string{"internal/store", "internal/wire/..."}, others: []string{"pgregory.net/rapid", "github.com/google/go-cmp"}, why: "drivers know the seam only"},
	{rooms: []string{"internal/link"}, ours: []string{"internal/wire/...", "internal/ws"}, why: engine},
	{rooms: []string{"internal/link/inprocess"}, ours: []string{"internal/link", "internal/host", "internal/surface", "internal/ws", "internal/wire/..."}, why: "the bridge inside a process sees both ends of the link and nothing else"},
	{rooms: []string{"internal/refusal"}, ours: []string{"internal/wire/..."}, why: engine},
	{rooms: []string{"internal/actorfile"}, ours: []string{"internal/store", "internal/actordb/page", "internal/queue", "internal/schedule", "internal/wire/..."}, others: []string{"github.com/ncruces/go-sqlite3", "github.com/google/uuid"}, why: engine + "; it reads records with the codecs of the pure rooms"},
	{rooms: []string{"internal/directory"}, ours: []string{"internal/store", "internal/refusal", "internal/wire/..."}, why: engine},
	{rooms: []string{"internal/placement"}, ours: []string{"internal/store", "internal/link", "internal/lifecycle", "internal/refusal", "internal/wire/..."}, why: engine},
	{rooms: []string{"internal/alarm"}, ours: []string{"internal/store", "internal/wire/..."}, why: engine + "; the clock declares what it needs of placement"},
	{rooms: []string{"internal/gateway", "internal/api"}, ours: []string{"internal/actorfile", "internal/directory", "internal/placement", "internal/store", "internal/link", "internal/refusal", "internal/ws", "internal/wire/..."}, why: engine},

	{rooms: []string{"engine"}, ours: []string{".", "actor", "internal/..."}, why: "the one place where both halves are put together"},
	{rooms: []string{"internal/rig"}, ours: []string{"internal/store", "internal/wire/..."}, why: "what travels from rivettest to the engine is a seam, not a second engine"},
	{rooms: []string{"rivettest"}, ours: []string{".", "actor", "engine", "internal/rig", "internal/pipenet", "internal/store/...", "internal/wire/..."}, why: "users' tests get the very engine of production; only what it stands on is exchanged"},
	{rooms: []string{"internal/crash/victim"}, ours: []string{".", "actor", "engine"}, why: "what is killed is a program like those of users"},
	{rooms: []string{"bench/fill"}, ours: []string{"internal/store", "internal/store/embedded", "internal/wire/..."}, why: "it fills a store faster than calls could, and is no example of anything"},
	{rooms: []string{"cmd/...", "examples/...", "bench/..."}, ours: []string{".", "actor", "engine"}, others: []string{"github.com/alecthomas/kong", "github.com/cockroachdb/pebble/v2", "github.com/gobwas/ws", "github.com/ncruces/go-sqlite3/driver", "golang.org/x/sys"}, why: "programs use the public packages, baselines what they are"},
	{rooms: []string{"internal/lint"}, why: "rules depend on nothing that they judge"},
}

func matches(patterns []string, dir string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		if root, ok := strings.CutSuffix(p, "/..."); ok {
			return dir == root || strings.HasPrefix(dir, root+"/")
		}
		return dir == p
	})
}

func TestImportsKeepTheRooms(t *testing.T) {
	for _, p := range packages(t) {
		i := slices.IndexFunc(rules, func(r rule) bool { return matches(r.rooms, p.dir) })
		if i < 0 {
			t.Errorf("%s has no rule: say in this test what it may import, and why", p.dir)
			continue
		}
		r := rules[i]
		for _, path := range p.imports(t) {
			switch {
			case path == module:
				if !matches(r.ours, ".") {
					t.Errorf("%s imports the root package: %s", p.dir, r.why)
				}
			case strings.HasPrefix(path, module+"/"):
				if rest := strings.TrimPrefix(path, module+"/"); !matches(r.ours, rest) {
					t.Errorf("%s imports %s: %s", p.dir, rest, r.why)
				}
			case strings.Contains(strings.Split(path, "/")[0], "."):
				if !slices.ContainsFunc(r.others, func(m string) bool { return path == m || strings.HasPrefix(path, m+"/") }) {
					t.Errorf("%s imports %s: not one of its libraries: %s", p.dir, path, r.why)
				}
			}
		}
	}
}

// banned are standard packages that some rooms must not use.
var banned = []struct {
	rooms   []string
	imports []string
	why     string
}{
	{[]string{"internal/wire/...", "internal/lifecycle", "internal/schedule"}, []string{"context", "net", "net/http", "os", "io/fs"}, pure},
	{[]string{".", "actor", "engine", "internal/..."}, []string{"testing", "log"}, "production code links no testing package and logs through log/slog"},
}

func TestBannedImports(t *testing.T) {
	for _, p := range packages(t) {
		for _, b := range banned {
			if !matches(b.rooms, p.dir) || strings.HasSuffix(p.dir, "test") { // storetest, compiletest: test code
				continue
			}
			for _, path := range p.imports(t) {
				if slices.Contains(b.imports, path) {
					t.Errorf("%s imports %s: %s", p.dir, path, b.why)
				}
			}
		}
	}
}

// pkg is one package of the module, without its tests.
type pkg struct {
	dir   string // from the root, "." for the root itself
	files []string
}

func (p pkg) imports(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, f := range p.files {
		parsed, err := parser.ParseFile(token.NewFileSet(), f, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range parsed.Imports {
			path, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, path)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// root is the module's folder.
var root = filepath.Join("..", "..")
