package codec

import (
	"errors"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

type pair struct {
	A string
	B *int
}

func (p *pair) Pointers() []any { return []any{&p.A, &p.B} }

func args(t *testing.T, v any) []byte {
	t.Helper()
	b, err := AppendArgs(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestArgumentsTravel(t *testing.T) {
	n := 7
	var s string
	if err := DecodeArgs(args(t, &[]string{"x"}[0]), &s); err != nil || s != "x" {
		t.Errorf("one argument: %q, %v", s, err)
	}
	var p pair
	if err := DecodeArgs(args(t, &pair{"a", &n}), &p); err != nil || p.A != "a" || *p.B != 7 {
		t.Errorf("two arguments: %+v, %v", p, err)
	}
	if err := DecodeArgs([]byte{0x80}, &struct{}{}); err != nil {
		t.Errorf("no arguments: %v", err)
	}
}

func TestMissingAndUndefinedArguments(t *testing.T) {
	for _, in := range [][]byte{{0x81, 0x61, 'a'}, {0x82, 0x61, 'a', 0xf7}} {
		var p pair
		if err := DecodeArgs(in, &p); err != nil || p.B != nil {
			t.Errorf("%x: %+v, %v", in, p, err)
		}
	}
}

func TestWrongArgumentsSayWhatIsWrong(t *testing.T) {
	var s string
	var n int64
	for _, c := range []struct {
		in   []byte
		v    any
		want string
	}{
		{[]byte{0x80}, &s, "takes 1 argument, got 0"},
		{[]byte{0x82, 1, 2}, &s, "takes 1 argument, got 2"},
		{[]byte{0x81, 1}, &struct{}{}, "takes no arguments, got 1"},
		{[]byte{0x81, 0x61, 'a'}, &n, "argument 1 does not fit int64"},
		{[]byte{0x81, 0xf6}, &n, "argument 1 is null, want int64"},
		{[]byte{0x81, 0xf7}, &n, "argument 1 is undefined, want int64"},
		{[]byte{0x01}, &n, "not a list"},
	} {
		err := DecodeArgs(c.in, c.v)
		var ae *ArgsError
		if !errors.As(err, &ae) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%x into %T: %v, want %q", c.in, c.v, err, c.want)
		}
	}
}

func TestNumbersFit(t *testing.T) {
	var n int64
	bigOne := []byte{0x81, 0xc2, 0x41, 5} // a JavaScript bigint
	if err := DecodeArgs(bigOne, &n); err != nil || n != 5 {
		t.Errorf("bigint into int64: %d, %v", n, err)
	}
	var v any
	if err := DecodeArgs(bigOne, &v); err != nil || v.(*big.Int).Int64() != 5 {
		t.Errorf("bigint into any: %v, %v", v, err)
	}
	out, err := AppendWire(nil, v)
	if err != nil || out[0] != 0xc2 {
		t.Errorf("a bigint must stay one: %x, %v", out, err)
	}
	var f float64
	if err := DecodeArgs([]byte{0x81, 0x05}, &f); err != nil || f != 5 {
		t.Errorf("integer into float64: %v, %v", f, err)
	}
}

func TestStoredFormIsDeterministicAndExact(t *testing.T) {
	type state struct {
		M map[string]int
		T time.Time
		B []byte
		U uint64
	}
	in := state{map[string]int{"z": 1, "a": 2, "m": 3}, time.Date(2026, 3, 4, 5, 6, 7, 8, time.FixedZone("x", 3600)), []byte{1}, 1<<64 - 1}
	first, err := AppendStored(nil, &in)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		again, err := AppendStored(nil, &in)
		if err != nil || string(again) != string(first) {
			t.Fatal("equal states have different bytes")
		}
	}
	var out state
	if err := Decode(first, &out); err != nil {
		t.Fatal(err)
	}
	if !in.T.Equal(out.T) || !reflect.DeepEqual(in.M, out.M) || out.U != in.U {
		t.Errorf("read back %+v, want %+v", out, in)
	}
}

func TestNothingIsUndefined(t *testing.T) {
	out, err := AppendWire(nil, &struct{}{})
	if err != nil || len(out) != 1 || out[0] != 0xf7 {
		t.Errorf("%x, %v", out, err)
	}
}

// The short ways for frequent types must do what the long way does.
func TestShortWaysAgreeWithTheLongWay(t *testing.T) {
	for _, n := range []int64{0, 1, 23, 24, 255, 256, 65535, 65536, 1<<32 - 1, 1 << 32, 1<<63 - 1, -1, -24, -25, -256, -257, -65537, -1 << 32, -1 << 63} {
		short, err := AppendWire(nil, &n)
		if err != nil {
			t.Fatal(err)
		}
		long, err := appendWith(nil, wireEnc, n)
		if err != nil || string(short) != string(long) {
			t.Errorf("%d is written %x, want %x, %v", n, short, long, err)
		}
		var back int64
		if err := DecodeArgs(append([]byte{0x81}, short...), &back); err != nil || back != n {
			t.Errorf("%d is read as %d, %v", n, back, err)
		}
		var opt *int64
		if err := DecodeArgs(append([]byte{0x81}, short...), &opt); err != nil || *opt != n {
			t.Errorf("%d is read as %v, %v", n, opt, err)
		}
	}
	for _, s := range []string{"", "a", "23 bytes of text, right", "longer than what fits the short way", "é"} {
		enc, err := appendWith(nil, wireEnc, s)
		if err != nil {
			t.Fatal(err)
		}
		var back string
		if err := DecodeArgs(append([]byte{0x81}, enc...), &back); err != nil || back != s {
			t.Errorf("%q is read as %q, %v", s, back, err)
		}
	}
	var s string
	if err := DecodeArgs([]byte{0x81, 0x61, 0xff}, &s); err == nil {
		t.Error("a text that is no UTF-8 was accepted")
	}
	var n int64
	if err := DecodeArgs([]byte{0x81, 0x01, 0x02}, &n); err == nil {
		t.Error("bytes after the argument were accepted")
	}
}

// item keeps what it read, as rivet.Raw does.
type item []byte

func (r *item) UnmarshalCBOR(b []byte) error { *r = append((*r)[:0], b...); return nil }

func TestNullReachesTypesThatReadCBOR(t *testing.T) {
	for _, src := range []struct{ in, want []byte }{{[]byte{0xf6}, []byte{0xf6}}, {[]byte{0xf7}, nil}, {[]byte{0x01}, []byte{0x01}}} {
		var got item
		if err := DecodeValue(src.in, &got); err != nil || !slices.Equal(got, src.want) {
			t.Errorf("%x: got %x, %v, want %x", src.in, got, err, src.want)
		}
	}
	n := 5
	if err := DecodeValue([]byte{0xf6}, &n); err != nil || n != 5 {
		t.Errorf("null changed a number: %d, %v", n, err)
	}
}
