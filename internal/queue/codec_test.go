package queue

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/rivetgo/rivet/internal/wire/value"
)

// Rewrite the golden bytes with -rewrite, and only commit the change if you understand what caused it.
var rewrite = flag.Bool("rewrite", false, "write the golden bytes of this program into testdata")

var failure = Failure{Group: "user", Code: "broke", Message: "It broke.", Metadata: []byte{0xa1, 0x61, 'n', 0x01}}

// golden values are stored for ever: a change of their bytes is a change of the format.
var golden = []struct {
	name  string
	value interface{ Append([]byte) []byte }
}{
	{"message", &Message{Name: "jobs", Body: []byte{0x05}, SentAt: 1_793_469_600_000}},
	{"message, delayed, with a key, awaited", &Message{Name: "aufträge", Body: []byte{0x61, 'x'}, SentAt: 1_793_469_600_000, ReadyAt: 1_793_469_660_000, Key: "k", Waited: true}},
	{"attempt", &Attempt{Count: 3, ReadyAt: 1_793_469_660_000}},
	{"receipt, pending", &Receipt{ID: 7, Name: "jobs", At: 1_793_469_600_000}},
	{"receipt, completed", &Receipt{ID: 7, Name: "jobs", Outcome: Completed, At: 1_793_469_600_000, Reply: []byte{0x18, 0x2a}}},
	{"receipt, failed", &Receipt{ID: 7, Name: "jobs", Outcome: Failed, At: 1_793_469_600_000, Failure: failure}},
	{"dead", &Dead{Message: Message{Name: "jobs", Body: []byte{0x05}, SentAt: 1}, Attempts: 5, FailedAt: 2, Failure: failure}},
	{"dead, to another actor", &Dead{Message: Message{Name: "jobs", Body: []byte{0x05}, SentAt: 1}, Attempts: 1, FailedAt: 2, Failure: failure, Target: []byte{0x01}}},
	{"target, by id", &Target{ID: "abc"}},
	{"target, by key", &Target{Name: "chat", Key: []string{"a", "b/c"}, Create: true, Input: []byte{0xf6}, HasInput: true, Params: []byte(`{"t":1}`)}},
	{"outgoing", &Outgoing{Target: []byte{0x87}, Queue: "jobs", Body: []byte{0x05}, SentAt: 3}},
	{"counters", &Counters{NextMessage: 300, NextSend: 1, WakeAt: 1_793_469_660_000, Dead: 2}},
}

// again decodes what a value of the same type has appended.
func again(v any, b []byte) (any, error) {
	switch v.(type) {
	case *Message:
		m, err := DecodeMessage(b)
		return &m, err
	case *Attempt:
		a, err := DecodeAttempt(b)
		return &a, err
	case *Receipt:
		rc, err := DecodeReceipt(b)
		return &rc, err
	case *Dead:
		d, err := DecodeDead(b)
		return &d, err
	case *Target:
		t, err := DecodeTarget(b)
		return &t, err
	case *Outgoing:
		o, err := DecodeOutgoing(b)
		return &o, err
	case *Counters:
		c, err := DecodeCounters(b)
		return &c, err
	}
	panic("unknown type")
}

func TestG8_GoldenBytes(t *testing.T) {
	var got strings.Builder
	for _, g := range golden {
		b := g.value.Append(nil)
		fmt.Fprintf(&got, "%-40s %x\n", g.name, b)
		back, err := again(g.value, b)
		if err != nil {
			t.Errorf("%s: %v", g.name, err)
		} else if b2 := back.(interface{ Append([]byte) []byte }).Append(nil); !bytes.Equal(b, b2) {
			t.Errorf("%s: %x became %x", g.name, b, b2)
		}
	}
	fmt.Fprintf(&got, "%-40s %x\n%-40s %x\n", "number", Number(300), "hash of a key", KeyHash("k"))
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
		t.Errorf("the bytes are\n%swant\n%s", &got, want)
	}
}

// What is cut off, too long, or of another shape is refused.
func TestG8_decoders_refuse_what_they_do_not_know(t *testing.T) {
	for _, g := range golden {
		b := g.value.Append(nil)
		for n := range b {
			if v, err := again(g.value, b[:n]); err == nil {
				t.Errorf("%s: the first %d of %d bytes are %+v", g.name, n, len(b), v)
			}
		}
		if _, err := again(g.value, append(bytes.Clone(b), 0)); err == nil {
			t.Errorf("%s: a byte more is not noticed", g.name)
		}
		more := append([]byte{b[0] + 1}, b[1:]...)
		if _, err := again(g.value, append(more, 0)); err == nil {
			t.Errorf("%s: a field more is not noticed", g.name)
		}
	}
	huge := value.AppendUint(value.AppendUint(value.AppendArrayHead(nil, 2), 1), math.MaxUint64)
	if a, err := DecodeAttempt(huge); err == nil {
		t.Errorf("a time beyond all time became %+v", a)
	}
	many := value.AppendUint(value.AppendUint(value.AppendArrayHead(nil, 2), math.MaxUint64), 1)
	if a, err := DecodeAttempt(many); err == nil {
		t.Errorf("2^64-1 attempts became %+v", a)
	}
	keys := value.AppendArrayHead(value.AppendText(value.AppendText(value.AppendArrayHead(nil, 7), ""), ""), 1<<30)
	if _, err := DecodeTarget(keys); err == nil {
		t.Error("a key of 2^30 parts that are not there")
	}
}

// fuzz checks that what a decoder takes is the same after being written and read again, and that nothing panics.
func fuzz(f *testing.F, sample any) {
	for _, g := range golden {
		if reflect.TypeOf(g.value) == reflect.TypeOf(sample) {
			f.Add(g.value.Append(nil))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := again(sample, b)
		if err != nil {
			return
		}
		once := v.(interface{ Append([]byte) []byte }).Append(nil)
		w, err := again(sample, once)
		if err != nil {
			t.Fatalf("%x became %x, which is refused: %v", b, once, err)
		}
		if twice := w.(interface{ Append([]byte) []byte }).Append(nil); !bytes.Equal(once, twice) {
			t.Fatalf("%x became %x and then %x", b, once, twice)
		}
	})
}

func FuzzDecodeMessage(f *testing.F)  { fuzz(f, &Message{}) }
func FuzzDecodeAttempt(f *testing.F)  { fuzz(f, &Attempt{}) }
func FuzzDecodeReceipt(f *testing.F)  { fuzz(f, &Receipt{}) }
func FuzzDecodeDead(f *testing.F)     { fuzz(f, &Dead{}) }
func FuzzDecodeTarget(f *testing.F)   { fuzz(f, &Target{}) }
func FuzzDecodeOutgoing(f *testing.F) { fuzz(f, &Outgoing{}) }
func FuzzDecodeCounters(f *testing.F) { fuzz(f, &Counters{}) }
