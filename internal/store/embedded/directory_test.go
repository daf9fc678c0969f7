package embedded

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/store/storetest"
	"github.com/rivetgo/rivet/internal/wire/id"
)

func TestG8_UnknownFormatIsRefused(t *testing.T) {
	for name, content := range map[string]string{
		"newer":   `{"store":"rivet","format":4}`,
		"zero":    `{"store":"rivet","format":0}`,
		"foreign": `{"format":1}`,
		"garbage": "\x00\x01",
		"empty":   "",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "FORMAT"), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Open(dir, Options{Logger: quiet})
			var fe *FormatError
			if !errors.As(err, &fe) || fe.Dir != dir || fe.Known != formatVersion {
				t.Fatal(err)
			}
			if name == "newer" && (fe.Found != 4 || !strings.Contains(err.Error(), "version 4") || !strings.Contains(err.Error(), "version 3")) {
				t.Fatal(err)
			}
			if !strings.Contains(err.Error(), StorageVariable) {
				t.Fatal(err)
			}
			entries, err := os.ReadDir(dir)
			if err != nil || len(entries) != 1 {
				t.Fatalf("the directory was touched: %v, %v", entries, err)
			}
		})
	}
}

// A directory of an older format, which had no alarms or no databases, is read, and raised before anything new is written.
func TestG8_OlderFormatIsRaised(t *testing.T) {
	for older := oldestFormat; older < formatVersion; older++ {
		t.Run(strconv.Itoa(older), func(t *testing.T) { testRaised(t, older) })
	}
}

func testRaised(t *testing.T, older int) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	ledger := storetest.NewLedger()
	actor, err := ledger.Reserve(t.Context(), s, "k") // writes what format 1 has as well
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	format := filepath.Join(dir, "FORMAT")
	if err := os.WriteFile(format, fmt.Appendf(nil, `{"store":"rivet","format":%d}`+"\n", older), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, Options{})
	defer s.Close()
	if got, err := os.ReadFile(format); err != nil || string(got) != `{"store":"rivet","format":3}`+"\n" {
		t.Fatalf("%q, %v", got, err)
	}
	if _, err := storetest.Check(t.Context(), s, ledger.Acked()); err != nil {
		t.Fatal(err)
	}
	if err := ledger.Work(t.Context(), s, actor, 3, 10); err != nil {
		t.Fatal(err)
	}
	if _, err := storetest.Check(t.Context(), s, ledger.Acked()); err != nil {
		t.Fatal(err)
	}
}

func TestG8_DataWithoutFormatIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := open(t, dir, Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "FORMAT")); err != nil {
		t.Fatal(err)
	}
	var fe *FormatError
	if _, err := Open(dir, Options{Logger: quiet}); !errors.As(err, &fe) || fe.Found != 0 {
		t.Fatal(err)
	}
}

func TestG8_UnknownValueVersionIsRefused(t *testing.T) {
	r := row{name: "n"}.encode()
	for _, b := range [][]byte{nil, append([]byte{layoutVersion + 1}, r[1:]...)} {
		var fe *FormatError
		if _, err := decodeRow(b); !errors.As(err, &fe) {
			t.Fatal(err)
		}
		if _, err := decodeFence(b); !errors.As(err, &fe) {
			t.Fatal(err)
		}
		if _, err := decodeNamespace("n", b); !errors.As(err, &fe) {
			t.Fatal(err)
		}
		if _, err := decodeID("id", b); !errors.As(err, &fe) {
			t.Fatal(err)
		}
		if _, err := decodeAlarm(b); !errors.As(err, &fe) {
			t.Fatal(err)
		}
	}
}

func TestSecondOpenIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	defer s.Close()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for _, spelling := range []string{dir, dir + "/", filepath.Join(dir, "..", filepath.Base(dir)) + "/.", link} {
		_, err := Open(spelling, Options{Logger: quiet})
		var le *LockedError
		if !errors.As(err, &le) || le.PID != os.Getpid() {
			t.Fatalf("%s: %v", spelling, err)
		}
		if msg := err.Error(); !strings.Contains(msg, dir) || !strings.Contains(msg, StorageVariable) {
			t.Fatal(msg)
		}
	}
	if err := s.CreateNamespace(t.Context(), store.Namespace{ID: id.New(1), Name: "n"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, Options{})
	defer s.Close()
	if all, err := s.Namespaces(t.Context()); err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
}

// TestSecondProcessIsRefused runs this test binary as the holder of a directory, and kills it.
func TestSecondProcessIsRefused(t *testing.T) {
	if dir := os.Getenv("STORE_HOLDER_DIR"); dir != "" {
		s := open(t, dir, Options{})
		defer s.Close()
		if err := s.CreateNamespace(t.Context(), store.Namespace{ID: id.New(1), Name: "n"}); err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("holding\n")
		select {} // until killed
	}
	dir := t.TempDir()
	holder := exec.Command(os.Args[0], "-test.run", "^TestSecondProcessIsRefused$")
	holder.Env = append(os.Environ(), "STORE_HOLDER_DIR="+dir)
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "holding\n" {
		t.Fatal(line, err)
	}
	_, err = Open(dir, Options{Logger: quiet})
	var le *LockedError
	if !errors.As(err, &le) || le.PID != holder.Process.Pid {
		t.Fatal(err)
	}
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait()
	s := open(t, dir, Options{}) // no repair step after a kill
	defer s.Close()
	if all, err := s.Namespaces(t.Context()); err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
}

func TestOpenErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file, Options{Logger: quiet}); err == nil || !strings.Contains(err.Error(), file) {
		t.Fatal(err)
	}
	if s, err := Open(filepath.Join(t.TempDir(), "a", "b"), Options{Logger: quiet}); err != nil {
		t.Fatal(err)
	} else if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRowsRoundTrip(t *testing.T) {
	for _, r := range []row{
		{},
		{namespace: id.New(1), name: "n", key: "k", hasKey: true, pool: "p", crashPolicy: "c", createdMs: 1, destroyedMs: -1},
		{name: strings.Repeat("x", 70_000)},
	} {
		b := r.encode()
		got, err := decodeRow(b)
		if err != nil || got != r {
			t.Fatalf("%+v, %v", got, err)
		}
		for i := 1; i < min(len(b), 200); i++ {
			if _, err := decodeRow(b[:i]); err == nil {
				t.Fatalf("row cut at %d was taken", i)
			}
		}
		if _, err := decodeRow(append(b, 0)); err == nil {
			t.Fatal("row with a tail was taken")
		}
	}
	for _, ms := range []int64{-1 << 63, -1, 1, 1<<63 - 1} {
		if got, err := decodeAlarm(encodeAlarm(ms)); err != nil || got != ms {
			t.Fatal(got, err)
		}
		actor := id.New(1)
		if got, err := decodeAlarmKey(alarmKey(ms, actor)); err != nil || got.Actor != actor || !got.At.Equal(time.UnixMilli(ms)) {
			t.Fatal(got, err)
		}
	}
	if _, err := decodeAlarmKey(alarmKey(1, id.ID{})[1:]); err == nil {
		t.Fatal("alarm key that is too short was taken")
	}
	f := fence{generation: 1<<63 + 1, startedMs: 2, sleptMs: -3}
	if got, err := decodeFence(f.appendTo(nil)); err != nil || got != f {
		t.Fatalf("%+v, %v", got, err)
	}
}

// The bytes of docs/storage.md.
func TestAlarmBytes(t *testing.T) {
	actor := id.ID([]byte("0123456789abcdefghi"))
	for ms, want := range map[int64]string{
		1_700_000_000_000: "05 8000018bcfe56800 30313233343536373839616263646566676869",
		-1:                "05 7fffffffffffffff 30313233343536373839616263646566676869",
	} {
		if got := fmt.Sprintf("%x", alarmKey(ms, actor)); got != strings.ReplaceAll(want, " ", "") {
			t.Errorf("key of %d is %s", ms, got)
		}
	}
	if got := fmt.Sprintf("%x %x", ownKey(actor, ownAlarm), encodeAlarm(1_700_000_000_000)); got != "10303132333435363738396162636465666768690002 010000018bcfe56800" {
		t.Errorf("alarm of an actor is %s", got)
	}
}
