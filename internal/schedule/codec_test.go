package schedule

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// goldenRows and goldenEntries are stored for ever: a change of their bytes is a change of the format.
var goldenRows = []struct {
	name string
	row  Row
}{
	{"one-shot, planned", Row{
		Spec:      Spec{ID: "f7f5a0c4-8d3a-4c3e-9f52-0d6f1c2b3a49", Kind: At, Action: "expire", Args: []byte{0x81, 0x05}, At: 1_793_469_660_000, MaxHistory: 100},
		CreatedAt: 1_793_469_600_000, NextAt: 1_793_469_660_000,
	}},
	{"one-shot, running for the second time", Row{
		Spec:      Spec{ID: "f7f5a0c4-8d3a-4c3e-9f52-0d6f1c2b3a49", Kind: At, Action: "expire", At: 1_793_469_660_000},
		CreatedAt: 1_793_469_600_000, LastAt: 1_793_469_700_000, Number: 2,
		Runs: []Run{{Number: 2, ScheduledAt: 1_793_469_660_000, FiredAt: 1_793_469_700_000, Attempt: 2}},
	}},
	{"cron, running, and one waits", Row{
		Spec: Spec{
			ID: "cron:täglich", Kind: Cron, Action: "report", Args: []byte{0x80}, Expression: "30 2 * * *", Timezone: "Europe/Berlin",
			MaxHistory: 1000, Overlap: OverlapQueue, Missed: MissedSkip,
		},
		CreatedAt: 1, NextAt: 1_793_496_600_000, LastAt: 1_793_410_200_001, RetryAt: 1_793_410_300_000, Number: 300,
		Runs: []Run{{Number: 300, ScheduledAt: 1_793_410_200_000, FiredAt: 1_793_410_200_001, Attempt: 1}, {ScheduledAt: 1_793_410_260_000}},
	}},
	{"every, catching up in parallel", Row{
		Spec:      Spec{ID: "cron:tick", Kind: Every, Action: "tick", Interval: 5000, Overlap: OverlapParallel, Missed: MissedAll},
		CreatedAt: 2, NextAt: 3, Late: 7,
	}},
}

var goldenEntries = []struct {
	name  string
	entry Entry
}{
	{"running", Entry{ScheduleID: "cron:a", Number: 1, Action: "tick", ScheduledAt: 1_793_469_600_000, FiredAt: 1_793_469_600_007, Result: Running}},
	{"ok", Entry{ScheduleID: "cron:a", Number: 1, Action: "tick", ScheduledAt: 1_793_469_600_000, FiredAt: 1_793_469_600_007, FinishedAt: 1_793_469_600_009, Result: OK}},
	{"error", Entry{
		ScheduleID: "cron:a", Number: 1, Action: "tick", ScheduledAt: 1_793_469_600_000, FiredAt: 1_793_469_600_007, FinishedAt: 1_793_469_600_009, Result: Failed,
		Failure: &fault.Error{Group: "user", Code: "broke", Message: "It broke.", Metadata: []byte{0xa1, 0x61, 'n', 0x01}},
	}},
	{"interrupted", Entry{ScheduleID: "cron:a", Number: 1, Action: "tick", ScheduledAt: 1, FiredAt: 2, FinishedAt: 3, Result: Failed, Failure: ErrInterrupted}},
	{"skipped", Entry{ScheduleID: "cron:a", Number: 1, Action: "tick", ScheduledAt: 1, FiredAt: 2, FinishedAt: 2, Result: Skipped}},
}

func TestG8_GoldenBytes(t *testing.T) {
	var got strings.Builder
	for _, v := range goldenRows {
		fmt.Fprintf(&got, "row    %-40s %x\n", v.name, AppendRow(nil, &v.row))
	}
	for _, v := range goldenEntries {
		fmt.Fprintf(&got, "entry  %-40s %x\n", v.name, AppendEntry(nil, &v.entry))
	}
	fmt.Fprintf(&got, "key    %-40s %x\n", "row", RowKey("cron:a"))
	fmt.Fprintf(&got, "key    %-40s %x\n", "entry", EntryKey("cron:a", 300))
	firing, err := AppendFiring([]byte{0x82, 0x61, 'x', 0x02}, Firing{ID: "a", Kind: Every, Name: "a", ScheduledAt: 1_793_469_600_000, FiredAt: 1_793_469_600_007})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&got, "args   %-40s %x\n", "every", firing)

	const file = "testdata/golden.txt"
	if *rewrite {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("stored bytes differ from %s; this program gives:\n%s", file, got.String())
	}
}

func TestStoredComesBack(t *testing.T) {
	for _, v := range goldenRows {
		b := AppendRow(nil, &v.row)
		got, err := DecodeRow(v.row.ID, b)
		if err != nil || !reflect.DeepEqual(got, v.row) {
			t.Errorf("%s: %+v, %v", v.name, got, err)
		}
		clear(b)
		if !bytes.Equal(got.Args, v.row.Args) {
			t.Errorf("%s: shares memory with the record", v.name)
		}
	}
	for _, v := range goldenEntries {
		b := AppendEntry(nil, &v.entry)
		got, err := DecodeEntry(v.entry.ScheduleID, v.entry.Number, b)
		if err != nil || !reflect.DeepEqual(got, v.entry) {
			t.Errorf("%s: %+v, %v", v.name, got, err)
		}
	}
}

func TestG8_UnknownVersionsAreRefused(t *testing.T) {
	for _, b := range [][]byte{nil, {0}, {2, 0, 0, 0}} {
		var version *record.VersionError
		if _, err := DecodeRow("x", b); !errors.As(err, &version) {
			t.Errorf("row %x: %v", b, err)
		}
		if _, err := DecodeEntry("x", 1, b); !errors.As(err, &version) {
			t.Errorf("entry %x: %v", b, err)
		}
	}
}

func TestRowsThatCannotBeAreRefused(t *testing.T) {
	base := goldenRows[2].row
	for _, v := range []struct {
		name   string
		change func(*Row)
	}{
		{"unknown kind", func(r *Row) { r.Kind = 3 }},
		{"unknown overlap", func(r *Row) { r.Overlap = 3 }},
		{"unknown missed", func(r *Row) { r.Missed = 3 }},
		{"history", func(r *Row) { r.MaxHistory = MaxHistory + 1 }},
		{"no action", func(r *Row) { r.Action = "" }},
		{"arguments", func(r *Row) { r.Args = []byte{0x01} }},
		{"interval", func(r *Row) { r.Kind, r.Interval = Every, MinInterval-1 }},
		{"negative time", func(r *Row) { r.NextAt = -1 }},
		{"late without cause", func(r *Row) { r.Late = 1 }},
		{"too late", func(r *Row) { r.Missed, r.Late = MissedAll, MaxLate+1 }},
		{"newer than newest", func(r *Row) { r.Number = 1 }},
		{"twice", func(r *Row) { r.Runs = []Run{{Number: 1}, {Number: 1}} }},
		{"too many runs", func(r *Row) { r.Runs = make([]Run, maxRuns+1) }},
	} {
		r := base
		v.change(&r)
		_, err := DecodeRow(r.ID, AppendRow(nil, &r))
		if !errors.Is(err, fault.New("schedule", "invalid_schedule_row", "")) || !strings.Contains(err.Error(), "cron:täglich") {
			t.Errorf("%s: %v", v.name, err)
		}
	}
	if _, err := DecodeRow("no prefix", AppendRow(nil, &base)); err == nil {
		t.Error("read under the id of another")
	}
	whole := AppendRow(nil, &base)
	for n := 1; n < len(whole); n++ {
		if _, err := DecodeRow(base.ID, whole[:n]); err == nil {
			t.Errorf("%d of %d bytes are a row", n, len(whole))
		}
	}
	if _, err := DecodeRow(base.ID, append(whole, 0)); err == nil {
		t.Error("bytes behind the row")
	}
}

func TestEntriesThatCannotBeAreRefused(t *testing.T) {
	base := goldenEntries[2].entry
	for _, v := range []struct {
		name   string
		change func(*Entry)
	}{
		{"unknown result", func(e *Entry) { e.Result = 4 }},
		{"failure of what went well", func(e *Entry) { e.Result = OK }},
		{"no failure", func(e *Entry) { e.Failure = nil }},
		{"metadata", func(e *Entry) { e.Failure = base.Failure.With([]byte{0xff}) }},
	} {
		e := base
		v.change(&e)
		if _, err := DecodeEntry("cron:a", 1, AppendEntry(nil, &e)); !errors.Is(err, fault.New("schedule", "invalid_schedule_row", "")) {
			t.Errorf("%s: %v", v.name, err)
		}
	}
	whole := AppendEntry(nil, &base)
	for n := 1; n < len(whole); n++ {
		if _, err := DecodeEntry("cron:a", 1, whole[:n]); err == nil {
			t.Errorf("%d of %d bytes are an entry", n, len(whole))
		}
	}
}

func TestKeys(t *testing.T) {
	for _, id := range []string{"a", "cron:a", strings.Repeat("x", MaxIDBytes)} {
		got, n, err := ParseEntryKey(EntryKey(id, 1<<40))
		if err != nil || got != id || n != 1<<40 {
			t.Errorf("%q: %q, %d, %v", id, got, n, err)
		}
	}
	whole := EntryKey("ab", 1)
	for _, bad := range [][]byte{nil, whole[:9], whole[1:], append(bytes.Clone(whole), 0), RowKey("abcdefghij")} {
		if id, n, err := ParseEntryKey(bad); err == nil {
			t.Errorf("%x is the key of %q, %d", bad, id, n)
		}
	}
	span := EntrySpan("a", 2, 10)
	for _, v := range []struct {
		key  []byte
		want bool
	}{
		{EntryKey("a", 1), false}, {EntryKey("a", 2), true}, {EntryKey("a", 9), true}, {EntryKey("a", 10), false},
		{EntryKey("a\x00\x00\x00\x00\x00\x00\x00\x05", 3), false}, {EntryKey("ab", 3), false},
	} {
		if got := span.Contains(v.key); got != v.want {
			t.Errorf("span contains %x: %t", v.key, got)
		}
	}
}

func TestCodecProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := Entry{
			ScheduleID: "s", Number: rapid.Uint64().Draw(t, "number"), Action: rapid.String().Draw(t, "action"),
			ScheduledAt: rapid.Int64().Draw(t, "scheduled"), FiredAt: rapid.Int64().Draw(t, "fired"), FinishedAt: rapid.Int64().Draw(t, "finished"),
		}
		if rapid.Bool().Draw(t, "fails") {
			e = e.Finished(e.FinishedAt, fault.New(rapid.String().Draw(t, "group"), rapid.String().Draw(t, "code"), rapid.String().Draw(t, "message")))
		}
		got, err := DecodeEntry(e.ScheduleID, e.Number, AppendEntry(nil, &e))
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Fatalf("%+v became %+v, %v", e, got, err)
		}
	})
}

func FuzzDecodeRow(f *testing.F) {
	for _, v := range goldenRows {
		f.Add(v.row.ID, AppendRow(nil, &v.row), int64(1_793_470_000_000))
	}
	f.Fuzz(func(t *testing.T, id string, b []byte, now int64) {
		r, err := DecodeRow(id, b)
		if err != nil {
			return
		}
		if again := AppendRow(nil, &r); !bytes.Equal(again, b) {
			t.Fatalf("%x became %x", b, again)
		}
		// What was read can be used, whatever it holds.
		r, _ = Recover(r, now)
		for range 3 * (MaxLate + maxRuns) {
			if !Due(r, now) {
				break
			}
			c, err := Claim(r, now)
			if err != nil {
				return
			}
			if r = c.Row; c.Fire != nil {
				if _, err := AppendFiring(c.Fire.Args, *c.Fire); err != nil {
					t.Fatal(err)
				}
				r, _ = Complete(r, c.Fire.Number)
			}
		}
		if Due(r, now) {
			t.Fatalf("still due: %+v", r)
		}
		if _, err := DecodeRow(id, AppendRow(nil, &r)); err != nil {
			t.Fatalf("%+v cannot be read again: %v", r, err)
		}
	})
}

func FuzzDecodeEntry(f *testing.F) {
	for _, v := range goldenEntries {
		f.Add(AppendEntry(nil, &v.entry))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DecodeEntry("s", 1, b)
		if err != nil {
			return
		}
		if again := AppendEntry(nil, &e); !bytes.Equal(again, b) {
			t.Fatalf("%x became %x", b, again)
		}
	})
}

func FuzzAppendFiring(f *testing.F) {
	for _, s := range []string{"", "80", "8101", "9f01ff", "980161", "a0", "9a00000001f6"} {
		b, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, args []byte) {
		out, err := AppendFiring(args, Firing{ID: "i", Kind: At})
		if err == nil {
			checkFiring(t, args, out)
		}
	})
}
