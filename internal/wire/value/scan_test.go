package value_test

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rivetgo/rivet/internal/wire/value"
)

func TestValidRejects(t *testing.T) {
	for _, v := range []struct {
		item   string
		offset int
		reason string
	}{
		{"", 0, "unexpected end"},
		{"0000", 1, "bytes after the item"},
		{"18", 0, "unexpected end"},
		{"19 00", 0, "unexpected end"},
		{"1a 000000", 0, "unexpected end"},
		{"1b 00000000000000", 0, "unexpected end"},
		{"1c", 0, "reserved head"},
		{"3d", 0, "reserved head"},
		{"1f", 0, "reserved head"},
		{"df 00", 0, "reserved head"},
		{"fe", 0, "reserved head"},
		{"f8 1f", 0, "simple value is not minimal"},
		{"ff", 0, "break outside of an indefinite length"},
		{"81 ff", 1, "break outside of an indefinite length"},
		{"bf 00 ff", 2, "break outside of an indefinite length"},
		{"82 6161", 3, "unexpected end"},
		{"a1 00", 0, "count is larger than what follows"},
		{"9b ffffffffffffffff 00", 0, "count is larger than what follows"},
		{"bb 8000000000000000 0000", 0, "count is larger than what follows"},
		{"41", 0, "length is larger than what follows"},
		{"7b ffffffffffffffff 61", 0, "length is larger than what follows"},
		{"c1", 1, "unexpected end"},
		{"62 c328", 0, "string is not valid UTF-8"},
		{"7f 61c3 61a9 ff", 1, "string is not valid UTF-8"},
		{"9f 00", 2, "unexpected end"},
		{"5f 4100", 3, "unexpected end"},
		{"5f 6161 ff", 1, "chunk of another type"},
		{"5f 5f ff ff", 1, "chunk of another type"},
		{"7f 79 00", 1, "unexpected end"},
		{strings.Repeat("81", 129) + "00", 128, "nested deeper than 128 levels"},
		{strings.Repeat("c6", 129) + "00", 128, "nested deeper than 128 levels"},
		{strings.Repeat("a100", 129) + "00", 256, "nested deeper than 128 levels"},
		{strings.Repeat("9f", 129), 128, "nested deeper than 128 levels"},
	} {
		err := value.Valid(unhex(t, v.item))
		var got *value.SyntaxError
		if !errors.As(err, &got) || got.Offset != v.offset || got.Reason != v.reason {
			t.Errorf("%.40s: %v, want %q at byte %d", v.item, err, v.reason, v.offset)
		}
	}
}

// TestValidAccepts has the examples of RFC 8949, appendix A, that have a form of their own.
func TestValidAccepts(t *testing.T) {
	for _, s := range []string{
		"00", "17", "1818", "1903e8", "1a000f4240", "1b000000e8d4a51000", "1bffffffffffffffff",
		"c249010000000000000000", "3bffffffffffffffff", "c349010000000000000000", "20", "3863", "3903e7",
		"f90000", "f98000", "f93c00", "fb3ff199999999999a", "f97bff", "fa47c35000", "f90001", "f97c00", "f97e00",
		"fa7f800000", "fb7ff8000000000000", "f4", "f5", "f6", "f7", "f0", "f8ff",
		"c074323031332d30332d32315432303a30343a30305a", "c11a514b67b0", "c1fb41d452d9ec200000", "d74401020304",
		"d818456449455446", "d82076687474703a2f2f7777772e6578616d706c652e636f6d", "40", "4401020304", "60", "6161",
		"62225c", "62c3bc", "63e6b0b4", "64f0908591", "80", "83010203", "8301820203820405", "a0", "a201020304",
		"a26161016162820203", "826161a161626163", "5f42010243030405ff", "7f657374726561646d696e67ff", "9fff",
		"9f018202039f0405ffff", "83018202039f0405ff", "bf61610161629f0203ffff", "bf6346756ef563416d7421ff",
		strings.Repeat("81", 128) + "00",
	} {
		if err := value.Valid(unhex(t, s)); err != nil {
			t.Errorf("%.40s: %v", s, err)
		}
	}
}

func TestSkip(t *testing.T) {
	rest, err := value.Skip(unhex(t, "9f0102ff 6161"))
	if err != nil || hex.EncodeToString(rest) != "6161" {
		t.Errorf("Skip = %x, %v", rest, err)
	}
	if _, err := value.Skip(nil); err == nil {
		t.Error("Skip of nothing succeeded")
	}
}

func TestArrayItems(t *testing.T) {
	for item, want := range map[string][][]byte{
		"80":                 {},
		"9fff":               {},
		"83 01 820203 6161":  {{1}, {0x82, 2, 3}, {0x61, 0x61}},
		"82 01 820203":       {{1}, {0x82, 2, 3}},
		"9f 01 9fff ff":      {{1}, {0x9f, 0xff}},
		"a0":                 nil,
		"82 01":              nil,
		"9f 01":              nil,
		"8001":               nil,
		"9bffffffffffffffff": nil,
		"":                   nil,
	} {
		got, err := value.ArrayItems(unhex(t, item))
		if (err != nil) != (want == nil) || !cmp.Equal(got, want) {
			t.Errorf("%s: %x, %v, want %x", item, got, err, want)
		}
	}
}

func TestHeads(t *testing.T) {
	for _, v := range []struct {
		name string
		got  []byte
		want string
	}{
		{"uint", value.AppendUint(nil, 1<<32), "1b0000000100000000"},
		{"wide uint", value.AppendUintWide(nil, 0), "1b0000000000000000"},
		{"int", value.AppendInt(nil, -1<<63), "3b7fffffffffffffff"},
		{"positive int", value.AppendInt(nil, 500), "1901f4"},
		{"integral float", value.AppendFloat(nil, -3), "22"},
		{"float", value.AppendFloat(nil, 0.5), "fb3fe0000000000000"},
		{"bool", value.AppendBool(value.AppendBool(nil, true), false), "f5f4"},
		{"text", value.AppendText(nil, "é"), "62c3a9"},
		{"bytes", value.AppendBytes(nil, make([]byte, 24)), "5818" + strings.Repeat("00", 24)},
		{"array", value.AppendArrayHead(nil, 70000), "9a00011170"},
		{"map", value.AppendMapHead(nil, 300), "b9012c"},
		{"tag", value.AppendTag(nil, 258), "d90102"},
	} {
		if got := hex.EncodeToString(v.got); got != v.want {
			t.Errorf("%s: %s, want %s", v.name, got, v.want)
		}
	}
	if !value.IsArray([]byte{0x9f}) || value.IsArray([]byte{0xa0}) || value.IsArray(nil) {
		t.Error("IsArray is wrong")
	}
	if !value.IsNil(nil) || !value.IsNil([]byte{value.Null}) || !value.IsNil([]byte{value.Undefined}) || value.IsNil([]byte{0}) {
		t.Error("IsNil is wrong")
	}
}

func TestReader(t *testing.T) {
	r := value.NewReader(unhex(t, "a8 616e 05  6162 c24105  6166 fb41f0000000000000  6174 7f6161ff  6179 4101  617a f7  6161 9f01f5ff  01 f93e00"))
	var keys []string
	for n := r.Map(); r.More(&n); {
		if r.Kind() != value.KindText {
			if r.Kind() != value.KindInt || len(r.Raw()) != 1 || r.Kind() != value.KindFloat {
				t.Error("kinds of the last pair are wrong")
			}
			r.Raw()
			continue
		}
		key := string(r.Text())
		keys = append(keys, key)
		switch key {
		case "n", "b":
			if v := r.Uint(); v != 5 {
				t.Errorf("%s = %d", key, v)
			}
		case "f":
			if v := r.Uint(); v != 1<<32 {
				t.Errorf("f = %d", v)
			}
		case "t":
			if v := r.Text(); string(v) != "a" {
				t.Errorf("t = %q", v)
			}
		case "y":
			if v := r.Bytes(); string(v) != "\x01" {
				t.Errorf("y = %q", v)
			}
		case "z":
			if r.Kind() != value.KindNil || !r.Nil() || r.Nil() {
				t.Error("Nil is wrong")
			}
		case "a":
			n := r.Array()
			if !r.More(&n) || r.Uint() != 1 || !r.More(&n) || !r.Bool() || r.More(&n) {
				t.Error("array is wrong")
			}
		}
	}
	if err := r.Done(); err != nil {
		t.Error(err)
	}
	if got := strings.Join(keys, ""); got != "nbftyza" {
		t.Errorf("keys = %s", got)
	}
	if r.Kind() != value.KindNone {
		t.Error("Kind at the end is not KindNone")
	}
}

func TestReaderRejects(t *testing.T) {
	for _, v := range []struct {
		item   string
		read   func(*value.Reader)
		offset int
		reason string
	}{
		{"", func(r *value.Reader) { r.Map() }, 0, "unexpected end"},
		{"", func(r *value.Reader) { r.Text() }, 0, "unexpected end"},
		{"80", func(r *value.Reader) { r.Map() }, 0, "not a map"},
		{"a0", func(r *value.Reader) { r.Array() }, 0, "not an array"},
		{"a1 01", func(r *value.Reader) { r.Map() }, 1, "count is larger than what follows"},
		{"9b ffffffffffffffff", func(r *value.Reader) { r.Array() }, 9, "count is larger than what follows"},
		{"9c", func(r *value.Reader) { r.Array() }, 0, "reserved head"},
		{"00", func(r *value.Reader) { r.Text() }, 0, "not a text"},
		{"62 61", func(r *value.Reader) { r.Text() }, 0, "length is larger than what follows"},
		{"60", func(r *value.Reader) { r.Bytes() }, 0, "not a byte string"},
		{"f6", func(r *value.Reader) { r.Bool() }, 0, "not a boolean"},
		{"20", func(r *value.Reader) { r.Uint() }, 0, "not an unsigned integer of 64 bits"},
		{"c34101", func(r *value.Reader) { r.Uint() }, 0, "not an unsigned integer of 64 bits"},
		{"c249010000000000000000", func(r *value.Reader) { r.Uint() }, 0, "not an unsigned integer of 64 bits"},
		{"f93e00", func(r *value.Reader) { r.Uint() }, 0, "not an unsigned integer of 64 bits"},
		{"f9bc00", func(r *value.Reader) { r.Uint() }, 0, "not an unsigned integer of 64 bits"},
		{"00 6161", func(r *value.Reader) { r.Uint() }, 1, "bytes after the item"},
		{"00 00", func(r *value.Reader) { r.Uint(); r.Fail("unwanted"); r.Fail("later") }, 1, "unwanted"},
	} {
		r := value.NewReader(unhex(t, v.item))
		v.read(&r)
		var got *value.SyntaxError
		if err := r.Done(); !errors.As(err, &got) || got.Offset != v.offset || got.Reason != v.reason {
			t.Errorf("%s: %v, want %q at byte %d", v.item, err, v.reason, v.offset)
		}
		n := -1
		if r.Kind() != value.KindNone || r.Raw() != nil || r.Uint() != 0 || r.More(&n) {
			t.Errorf("%s: something was read after the failure", v.item)
		}
	}
}
