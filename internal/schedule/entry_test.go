package schedule

import (
	"bytes"
	"testing"

	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/value"
)

// checkFiring checks that out is args with one item more.
func checkFiring(t *testing.T, args, out []byte) {
	t.Helper()
	if err := value.Valid(out); err != nil {
		t.Fatalf("%x became %x: %v", args, out, err)
	}
	var before [][]byte
	if len(args) > 0 {
		var err error
		if before, err = value.ArrayItems(args); err != nil {
			t.Fatal(err)
		}
	}
	after, err := value.ArrayItems(out)
	if err != nil || len(after) != len(before)+1 {
		t.Fatalf("%x became %x: %v", args, out, err)
	}
	for i := range before {
		if !bytes.Equal(before[i], after[i]) {
			t.Fatalf("argument %d of %x changed in %x", i, args, out)
		}
	}
}

func TestAppendFiring(t *testing.T) {
	const id = "f7f5a0c4-8d3a-4c3e-9f52-0d6f1c2b3a49"
	for _, v := range []struct {
		args []byte
		spec Spec
		want string
	}{
		{nil, Spec{ID: id, Kind: At}, `[{"kind":"at","id":"` + id + `","scheduledAt":1793469600000,"firedAt":1793469600007}]`},
		{[]byte{0x80}, Spec{ID: id, Kind: At}, `[{"kind":"at","id":"` + id + `","scheduledAt":1793469600000,"firedAt":1793469600007}]`},
		{[]byte{0x82, 0x61, 'x', 0x02}, Spec{ID: "cron:n", Kind: Cron}, `["x",2,{"kind":"cron","id":"n","name":"n","scheduledAt":1793469600000,"firedAt":1793469600007}]`},
		{[]byte{0x9f, 0x61, 'x', 0x02, 0xff}, Spec{ID: "cron:cron:", Kind: Every}, `["x",2,{"kind":"every","id":"cron:","name":"cron:","scheduledAt":1793469600000,"firedAt":1793469600007}]`},
		{[]byte{0x98, 0x01, 0x80}, Spec{ID: "cron:n", Kind: Every}, `[[],{"kind":"every","id":"n","name":"n","scheduledAt":1793469600000,"firedAt":1793469600007}]`},
	} {
		out, err := AppendFiring(v.args, Firing{
			ID: v.spec.PublicID(), ScheduleID: v.spec.ID, Kind: v.spec.Kind, Name: v.spec.Name(),
			ScheduledAt: 1_793_469_600_000, FiredAt: 1_793_469_600_007,
		})
		if err != nil {
			t.Fatal(err)
		}
		checkFiring(t, v.args, out)
		json, err := value.ToJSON(nil, out, value.UndefinedNull)
		if err != nil || string(json) != v.want {
			t.Errorf("%x: %s, %v; want %s", v.args, json, err, v.want)
		}
	}
	many := value.AppendArrayHead(nil, 23)
	many = append(many, make([]byte, 23)...) // zeros
	out, err := AppendFiring(many, Firing{})
	if err != nil {
		t.Fatal(err)
	}
	checkFiring(t, many, out)
	for _, bad := range [][]byte{{0x01}, {0x81}, {0x80, 0x80}, {0xa0}, {0x9f}} {
		if out, err := AppendFiring(bad, Firing{}); err == nil {
			t.Errorf("%x became %x", bad, out)
		}
	}
}

func TestEntryOfARun(t *testing.T) {
	f := Firing{ID: "n", ScheduleID: "cron:n", Kind: Cron, Action: "a", Number: 4, ScheduledAt: 1, FiredAt: 2}
	running := f.Entry()
	if running.ScheduleID != "cron:n" || running.Number != 4 || running.Action != "a" || running.Result.String() != "running" ||
		running.ScheduledAt != 1 || running.FiredAt != 2 || running.FinishedAt != 0 || running.Failure != nil {
		t.Errorf("running %+v", running)
	}
	if ok := running.Finished(3, nil); ok.Result.String() != "ok" || ok.FinishedAt != 3 || ok.Failure != nil {
		t.Errorf("finished %+v", ok)
	}
	failure := fault.New("user", "broke", "It broke.")
	if failed := running.Finished(3, failure); failed.Result.String() != "error" || failed.Failure != failure {
		t.Errorf("failed %+v", failed)
	}
}
