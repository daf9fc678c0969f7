package bare_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"testing"

	"github.com/rivetgo/rivet/internal/wire/bare"
)

func TestAppend(t *testing.T) {
	for _, v := range []struct {
		name string
		got  []byte
		want string
	}{
		{"uint 0", bare.AppendUint(nil, 0), "00"},
		{"uint 127", bare.AppendUint(nil, 127), "7f"},
		{"uint 128", bare.AppendUint(nil, 128), "8001"},
		{"uint max", bare.AppendUint(nil, math.MaxUint64), "ffffffffffffffffff01"},
		{"u8", bare.AppendU8(nil, 0xfe), "fe"},
		{"u16", bare.AppendU16(nil, 4), "0400"},
		{"u32", bare.AppendU32(nil, 0x01020304), "04030201"},
		{"u64", bare.AppendU64(nil, 1500), "dc05000000000000"},
		{"i64", bare.AppendI64(nil, -2), "feffffffffffffff"},
		{"bool", bare.AppendBool(bare.AppendBool(nil, true), false), "0100"},
		{"str", bare.AppendString(nil, "é"), "02c3a9"},
		{"data", bare.AppendData(nil, []byte{9}), "0109"},
		{"optional", bare.AppendOptional(bare.AppendOptional(nil, false), true), "0001"},
	} {
		if got := hex.EncodeToString(v.got); got != v.want {
			t.Errorf("%s: %s, want %s", v.name, got, v.want)
		}
	}
	for _, n := range []uint64{0, 1, 127, 128, 1<<14 - 1, 1 << 14, math.MaxUint64} {
		if got, want := bare.UintLen(n), len(bare.AppendUint(nil, n)); got != want {
			t.Errorf("UintLen(%d) = %d, want %d", n, got, want)
		}
	}
}

func TestReaderReadsWhatWasAppended(t *testing.T) {
	b := bare.AppendUint(nil, math.MaxUint64)
	b = bare.AppendU8(b, 200)
	b = bare.AppendU16(b, 60000)
	b = bare.AppendU32(b, 4e9)
	b = bare.AppendU64(b, math.MaxUint64)
	b = bare.AppendI64(b, math.MinInt64)
	b = bare.AppendBool(b, true)
	b = bare.AppendString(b, "höi")
	b = bare.AppendData(b, []byte{1, 2})
	b = bare.AppendData(b, nil)
	b = append(bare.AppendOptional(b, true), "four"...)
	b = bare.AppendUint(b, 2)
	b = bare.AppendU16(b, 1)
	b = bare.AppendU16(b, 2)

	r := bare.NewReader(b)
	if v := r.Uint(); v != math.MaxUint64 {
		t.Errorf("Uint = %d", v)
	}
	if v := r.U8(); v != 200 {
		t.Errorf("U8 = %d", v)
	}
	if v := r.U16(); v != 60000 {
		t.Errorf("U16 = %d", v)
	}
	if v := r.U32(); v != 4e9 {
		t.Errorf("U32 = %d", v)
	}
	if v := r.U64(); v != math.MaxUint64 {
		t.Errorf("U64 = %d", v)
	}
	if v := r.I64(); v != math.MinInt64 {
		t.Errorf("I64 = %d", v)
	}
	if !r.Bool() {
		t.Error("Bool = false")
	}
	if v := r.String(); v != "höi" {
		t.Errorf("String = %q", v)
	}
	if v := r.DataCopy(); !bytes.Equal(v, []byte{1, 2}) {
		t.Errorf("DataCopy = %x", v)
	}
	if v := r.Data(); v == nil || len(v) != 0 {
		t.Errorf("Data = %#v, want empty", v)
	}
	if !r.Optional() {
		t.Error("Optional = false")
	}
	if v := r.Fixed(4); string(v) != "four" {
		t.Errorf("Fixed = %q", v)
	}
	if n := r.ListLen(2); n != 2 || r.U16() != 1 || r.U16() != 2 {
		t.Errorf("list of %d", n)
	}
	if err := r.Done(); err != nil {
		t.Error(err)
	}
}

func TestReaderRejects(t *testing.T) {
	for _, v := range []struct {
		name, in string
		read     func(*bare.Reader)
		offset   int
		reason   string
	}{
		{"uint not minimal", "8000", func(r *bare.Reader) { r.Uint() }, 0, "uint is not minimal"},
		{"uint of 65 bits", "ffffffffffffffffff02", func(r *bare.Reader) { r.Uint() }, 0, "uint is larger than 64 bits"},
		{"uint of 11 bytes", "8080808080808080808001", func(r *bare.Reader) { r.Uint() }, 0, "uint is larger than 64 bits"},
		{"uint cut", "80", func(r *bare.Reader) { r.Uint() }, 0, "unexpected end"},
		{"uint missing", "", func(r *bare.Reader) { r.Uint() }, 0, "unexpected end"},
		{"u64 cut", "00000000000000", func(r *bare.Reader) { r.U64() }, 0, "unexpected end"},
		{"bool 2", "0002", func(r *bare.Reader) { r.Bool(); r.Bool() }, 1, "bool is neither 0 nor 1"},
		{"optional 2", "02", func(r *bare.Reader) { r.Optional() }, 0, "bool is neither 0 nor 1"},
		{"string too long", "0261", func(r *bare.Reader) { _ = r.String() }, 0, "length is larger than what follows"},
		{"string of the largest length", "ffffffffffffffffff0161", func(r *bare.Reader) { _ = r.String() }, 0, "length is larger than what follows"},
		{"string not UTF-8", "02c328", func(r *bare.Reader) { _ = r.String() }, 0, "string is not valid UTF-8"},
		{"fixed cut", "01", func(r *bare.Reader) { r.Fixed(2) }, 0, "unexpected end"},
		{"list too long", "020000", func(r *bare.Reader) { r.ListLen(2) }, 0, "count is larger than what follows"},
		{"list of the largest length", "ffffffffffffffffff01", func(r *bare.Reader) { r.ListLen(0) }, 0, "count is larger than what follows"},
		{"trailing bytes", "0000", func(r *bare.Reader) { r.U8() }, 1, "1 bytes too many"},
		{"first failure sticks", "020001", func(r *bare.Reader) { r.Bool(); r.U64(); r.Fail("later") }, 0, "bool is neither 0 nor 1"},
	} {
		in, err := hex.DecodeString(v.in)
		if err != nil {
			t.Fatal(err)
		}
		r := bare.NewReader(in)
		v.read(&r)
		var got *bare.SyntaxError
		if err := r.Done(); !errors.As(err, &got) || got.Offset != v.offset || got.Reason != v.reason {
			t.Errorf("%s: %v, want %q at %d", v.name, err, v.reason, v.offset)
		}
		if r.Uint() != 0 || r.Data() != nil || r.String() != "" || r.Remaining() != 0 {
			t.Errorf("%s: values were read after the failure", v.name)
		}
	}
}

func TestDataIsBorrowedAndCannotGrowIntoTheInput(t *testing.T) {
	in := []byte{1, 'a', 'b'}
	r := bare.NewReader(in)
	d := r.Data()
	if &d[0] != &in[1] {
		t.Error("Data copied")
	}
	_ = append(d, 'X')
	if in[2] != 'b' {
		t.Error("appending to borrowed data changed the input")
	}
}

// FuzzReader runs a program of reads over an input: both come from the fuzzer.
func FuzzReader(f *testing.F) {
	f.Add([]byte{0, 7, 8, 8}, []byte("\x04\x00\x00\x04echo\x07\x81\xb9\x00\x01aa\x01"))
	f.Add([]byte{0, 11, 6}, []byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, program, in []byte) {
		r := bare.NewReader(in)
		for _, op := range program {
			before := r.Offset()
			switch op % 12 {
			case 0:
				v := r.Uint()
				if r.Err() == nil && !bytes.Equal(bare.AppendUint(nil, v), in[before:r.Offset()]) {
					t.Fatalf("Uint accepted %x", in[before:r.Offset()])
				}
			case 1:
				r.U8()
			case 2:
				r.U16()
			case 3:
				r.U32()
			case 4:
				r.I64()
			case 5:
				r.Bool()
			case 6:
				if n := r.ListLen(int(op)); n > len(in) {
					t.Fatalf("ListLen = %d of %d bytes", n, len(in))
				}
			case 7:
				_ = r.String()
			case 8:
				r.Data()
			case 9:
				r.DataCopy()
			case 10:
				r.Fixed(int(op))
			case 11:
				r.Optional()
			}
			if r.Offset() < before || r.Offset() > len(in) {
				t.Fatalf("offset went from %d to %d of %d", before, r.Offset(), len(in))
			}
		}
		if r.Done() == nil && r.Offset() != len(in) {
			t.Fatal("Done accepted trailing bytes")
		}
	})
}

func BenchmarkReader(b *testing.B) {
	in := []byte("\x04\x00\x00\x00\x04echo\x07\x81\xb9\x00\x01aa\x01")
	b.ReportAllocs()
	for b.Loop() {
		r := bare.NewReader(in)
		r.U16()
		r.Uint()
		r.Uint()
		r.StringBytes()
		r.Data()
		if err := r.Done(); err != nil {
			b.Fatal(err)
		}
	}
}
