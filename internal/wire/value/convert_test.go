package value_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/rivetgo/rivet/internal/wire/value"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wantHex checks a conversion that got dst "ab" and has to leave it in front.
func wantHex(t *testing.T, what string, got []byte, err error, want string) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	if g := hex.EncodeToString(got); g != "ab"+strings.ReplaceAll(want, " ", "") {
		t.Errorf("%s\n got %s\nwant ab%s", what, g, want)
	}
}

var prefix = []byte{0xab}

func TestFromJSON(t *testing.T) {
	for _, v := range []struct{ text, want string }{
		{`null`, "f6"},
		{` true `, "f5"},
		{"\t\r\nfalse\n", "f4"},
		{`[]`, "80"},
		{`{}`, "a0"},
		{`[ 1 , [ ] , { } ]`, "83 01 80 a0"},

		// Numbers: what is integral and exact in JavaScript is an integer, however it is written.
		{`0`, "00"},
		{`-0`, "00"},
		{`-0.0`, "00"},
		{`-1`, "20"},
		{`23`, "17"},
		{`24`, "1818"},
		{`-25`, "3818"},
		{`1.0`, "01"},
		{`1e2`, "1864"},
		{`1E+2`, "1864"},
		{`100e-2`, "01"},
		{`9007199254740992.0`, "1b0020000000000000"},
		{`1.5`, "fb3ff8000000000000"},
		{`1e20`, "fb4415af1d78b58c40"},
		{`-1e-7`, "fbbe7ad7f29abcaf48"},
		{`1e-999`, "00"},
		// Integers keep their digits up to 64 bits, for clients of other languages.
		{`9007199254740993`, "1b0020000000000001"},
		{`18446744073709551615`, "1bffffffffffffffff"},
		{`-18446744073709551615`, "3bfffffffffffffffe"},
		{`18446744073709551616`, "fb43f0000000000000"},

		// Strings.
		{`""`, "60"},
		{`"a\"\\\/\b\f\n\r\t\u0041"`, "6a 61 22 5c 2f 08 0c 0a 0d 09 41"},
		{`"é\u00e9\ud83d\ude00"`, "68 c3a9 c3a9 f09f9880"},
		{`"\ud800"`, "63 efbfbd"},
		{`"\ud800\ud83d\ude00"`, "67 efbfbd f09f9880"},
		{`"\ude00x\ud83d\u0041"`, "68 efbfbd 78 efbfbd 41"},
		{`"\u0000"`, "6100"},

		// Objects: of equal keys the last one counts.
		{`{"a":1,"b":[2],"a":{"c":3}}`, "a2 6162 8102 6161 a1 6163 03"},
		{`{"a":1,"\u0061":2}`, "a1 6161 02"},
		{`{"a":{"x":1,"x":2},"a":3,"a":4}`, "a1 6161 04"},
		{`{"0":0,"1":1,"2":2,"3":3,"4":4,"5":5,"6":6,"7":7,"8":8,"3":9,"0":10}`,
			"a9 6131 01 6132 02 6134 04 6135 05 6136 06 6137 07 6138 08 6133 09 6130 0a"},

		// Escape arrays, at every depth.
		{`["$Undefined",0]`, "f7"},
		{`["$BigInt","5"]`, "c24105"},
		{`["$BigInt","0"]`, "c240"},
		{`["$BigInt","-0"]`, "c240"},
		{`["$BigInt","-1"]`, "c340"},
		{`["$BigInt","-256"]`, "c341ff"},
		{`["$BigInt","18446744073709551615"]`, "c248ffffffffffffffff"},
		{`["$BigInt","18446744073709551616"]`, "c249010000000000000000"},
		{`["$BigInt","-18446744073709551617"]`, "c349010000000000000000"},
		{`["$Uint8Array","AQL/"]`, "430102ff"},
		{`["$Uint8Array",""]`, "40"},
		{`["$Uint8Array","AQL\/"]`, "430102ff"},
		{`["$ArrayBuffer","CQg="]`, "420908"},
		{`["$Set",[1,"a"]]`, "d90102 82 01 6161"},
		{`["$Set",[]]`, "d90102 80"},
		{`["\u0024Undefined",0]`, "f7"},
		{`{"k":[["$Undefined",0],["$BigInt","1"]]}`, "a1 616b 82 f7 c24101"},
		{`["$$foo",1]`, "82 64 24666f6f 01"},
		{`["$$$foo",1]`, "82 65 2424666f6f 01"},
		{`["$$",1]`, "82 6124 01"},
		{`["$$BigInt","7"]`, "82 67 24426967496e74 6137"},
		{`["$$a",["$BigInt","7"]]`, "82 622461 c24107"},
		// The items of a set are resolved, its array is not.
		{`["$Set",["$Undefined",0]]`, "d90102 82 6a 24556e646566696e6564 00"},
		{`["$Set",[["$Undefined",0],1]]`, "d90102 82 f7 01"},
		{`["$Set",["$Set",[1]]]`, "d90102 82 64 24536574 8101"},
		// Only arrays of two are escape arrays.
		{`["$Undefined"]`, "81 6a 24556e646566696e6564"},
		{`["$foo",1,2]`, "83 64 24666f6f 01 02"},
		{`["$Set",["$Undefined",0],1]`, "83 64 24536574 f7 01"},
		{`["$Set",[1,2],3]`, "83 64 24536574 820102 03"},
		{`[1,"$Undefined"]`, "82 01 6a 24556e646566696e6564"},
		{`{"$Undefined":0}`, "a1 6a 24556e646566696e6564 00"},
	} {
		got, err := value.FromJSON(prefix, []byte(v.text))
		wantHex(t, v.text, got, err, v.want)
	}

	// Counts and lengths whose head needs more than one byte.
	long := "[" + strings.Repeat("1,", 299) + "1]"
	got, err := value.FromJSON(prefix, []byte(long))
	wantHex(t, "300 items", got, err, "99012c"+strings.Repeat("01", 300))
	got, err = value.FromJSON(prefix, []byte(`"`+strings.Repeat(`\u0061`, 300)+`"`))
	wantHex(t, "300 escapes", got, err, "79012c"+strings.Repeat("61", 300))
	got, err = value.FromJSON(prefix, []byte(`["$$`+strings.Repeat("x", 23)+`",1]`))
	wantHex(t, "a head that does not shrink", got, err, "82 7818 24"+strings.Repeat("78", 23)+"01")
	got, err = value.FromJSON(prefix, []byte(`["$$`+strings.Repeat("x", 22)+`",1]`))
	wantHex(t, "a head that shrinks", got, err, "82 77 24"+strings.Repeat("78", 22)+"01")
}

func TestFromJSONRejects(t *testing.T) {
	for _, v := range []struct {
		text   string
		offset int
		reason string
	}{
		{``, 0, "unexpected end"},
		{` `, 1, "unexpected end"},
		{`nul`, 0, "unexpected 'n'"},
		{`1 2`, 2, "text after the value"},
		{"1\x00", 1, "text after the value"},
		{`[1,]`, 3, "unexpected ']'"},
		{`[1`, 2, "unexpected end"},
		{`[1 2]`, 3, "unexpected '2'"},
		{`{"a":1,}`, 7, "unexpected '}'"},
		{`{"a"}`, 4, "unexpected '}'"},
		{`{a:1}`, 1, "unexpected 'a'"},
		{`{"a":1`, 6, "unexpected end"},
		{`01`, 0, "malformed number"},
		{`-`, 0, "malformed number"},
		{`+1`, 0, "unexpected '+'"},
		{`.5`, 0, "unexpected '.'"},
		{`1.`, 0, "malformed number"},
		{`1e`, 0, "malformed number"},
		{`1e+`, 0, "malformed number"},
		{`-a`, 0, "malformed number"},
		{`1e999`, 0, "number is out of range"},
		{`NaN`, 0, "unexpected 'N'"},
		{`"`, 0, "string does not end"},
		{`"\n`, 0, "string does not end"},
		{`"\`, 1, "unexpected end"},
		{`"\x"`, 1, "unknown escape sequence"},
		{`"\u12g4"`, 1, "malformed escape sequence"},
		{`"\u12`, 1, "malformed escape sequence"},
		{"\"\n\"", 1, "control character in a string"},
		{"\"a\xff\"", 0, "string is not valid UTF-8"},
		{"[\"\\n\xc3\"]", 1, "string is not valid UTF-8"},
		{"\"\xed\xa0\x80\"", 0, "string is not valid UTF-8"},
		{`[1,["$foo",1]]`, 3, "unknown escape array"},
		{`["$",1]`, 0, "unknown escape array"},
		{`["$BigInt",5]`, 0, "$BigInt without a string"},
		{`["$BigInt",""]`, 0, "$BigInt without digits"},
		{`["$BigInt","-"]`, 0, "$BigInt without digits"},
		{`["$BigInt","0x5"]`, 0, "$BigInt with a character that is no digit"},
		{`["$BigInt","` + strings.Repeat("9", 9869) + `"]`, 0, "$BigInt with too many digits"},
		{`["$Uint8Array",[1]]`, 0, "$Uint8Array without a string"},
		{`["$Uint8Array","?"]`, 0, "$Uint8Array without valid base64"},
		{`["$ArrayBuffer","AQ"]`, 0, "$ArrayBuffer without valid base64"},
		{`["$Set",1]`, 0, "$Set without an array"},
		{`["$Set",["$foo",1],1]`, 8, "unknown escape array"},
		{strings.Repeat("[", 129) + strings.Repeat("]", 129), 128, "nested deeper than 128 levels"},
		{strings.Repeat(`{"a":`, 129), 640, "nested deeper than 128 levels"},
	} {
		got, err := value.FromJSON(prefix, []byte(v.text))
		var want *value.SyntaxError
		if !errors.As(err, &want) || want.Offset != v.offset || want.Reason != v.reason || want.Format != "JSON" {
			t.Errorf("%.40s: %v, want %q at byte %d", v.text, err, v.reason, v.offset)
		}
		if string(got) != string(prefix) {
			t.Errorf("%.40s: returned %x with the error", v.text, got)
		}
	}
}

func TestDepthLimitIsReachable(t *testing.T) {
	text := strings.Repeat("[", value.MaxDepth) + strings.Repeat("]", value.MaxDepth)
	item, err := value.FromJSON(nil, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	back, err := value.ToJSON(nil, item, value.UndefinedNull)
	if err != nil || string(back) != text {
		t.Errorf("came back as %s, %v", back, err)
	}
	if err := value.Valid(append([]byte{0x81}, item...)); err == nil {
		t.Error("one level more is valid")
	}
}

func TestToJSON(t *testing.T) {
	for _, v := range []struct{ item, want string }{
		{"f6", `null`},
		{"f5", `true`},
		{"f4", `false`},
		{"e0", `null`},   // unassigned simple values
		{"f8ff", `null`}, //
		{"80", `[]`},
		{"a0", `{}`},
		{"83 01 80 a0", `[1,[],{}]`},

		// Integers and bigints.
		{"00", `0`},
		{"1800", `0`},
		{"20", `-1`},
		{"1b0020000000000000", `9007199254740992`},
		{"1b0020000000000001", `["$BigInt","9007199254740993"]`},
		{"3b001fffffffffffff", `-9007199254740992`},
		{"3b0020000000000000", `["$BigInt","-9007199254740993"]`},
		{"3bffffffffffffffff", `["$BigInt","-18446744073709551616"]`},
		{"c240", `["$BigInt","0"]`},
		{"c24105", `["$BigInt","5"]`},
		{"c340", `["$BigInt","-1"]`},
		{"c348ffffffffffffffff", `["$BigInt","-18446744073709551616"]`},
		{"c249010000000000000000", `["$BigInt","18446744073709551616"]`},
		{"c349010000000000000000", `["$BigInt","-18446744073709551617"]`},
		{"c25f41014100ff", `["$BigInt","256"]`},
		{"c201", `1`},

		// Floats of every size, in the form of JavaScript.
		{"f93e00", `1.5`},
		{"f90001", `5.960464477539063e-8`},
		{"f98400", `-0.00006103515625`},
		{"f97bff", `65504`},
		{"fa3fc00000", `1.5`},
		{"fb3ff8000000000000", `1.5`},
		{"fb3fb999999999999a", `0.1`},
		{"fb8000000000000000", `0`},
		{"fb3eb0c6f7a0b5ed8d", `0.000001`},
		{"fb3e7ad7f29abcaf48", `1e-7`},
		{"fb7fefffffffffffff", `1.7976931348623157e+308`},
		{"fb0000000000000001", `5e-324`},
		{"fb4340000000000001", `9.007199254740994e+15`}, // not an integer literal: those come back as integers
		{"fb41f0000000000000", `4294967296`},
		{"f97e00", `null`},
		{"f97c00", `null`},
		{"fafF800000", `null`},
		{"fb7ff0000000000000", `null`},

		// Strings.
		{"60", `""`},
		{"6a 61 22 5c 2f 08 0c 0a 0d 09 41", `"a\"\\/\b\f\n\r\tA"`},
		{"62 001f", `"\u0000\u001f"`},
		{"65 c3a9 e282ac", `"é€"`},
		{"7f 6161 60 6162 ff", `"ab"`},
		{"40", `["$Uint8Array",""]`},
		{"430102ff", `["$Uint8Array","AQL/"]`},
		{"5f 4101 4202ff ff", `["$Uint8Array","AQL/"]`},

		// Maps.
		{"a2 6161 01 6162 80", `{"a":1,"b":[]}`},
		{"bf 6161 01 ff", `{"a":1}`},
		{"a5 01 f6 20 f6 f5 f6 f7 f6 f93e00 f6", `{"1":null,"-1":null,"true":null,"undefined":null,"1.5":null}`},
		{"a3 f97e00 01 f97c00 02 f9fc00 03", `{"NaN":1,"Infinity":2,"-Infinity":3}`},
		{"a1 420102 01", `{"AQI=":1}`},
		{"a2 8101 02 6161 03", `[[[1],2],["a",3]]`},
		{"a1 a1a001 02", `[[[[{},1]],2]]`},
		{"a1 6161 a1 c24105 02", `{"a":[[["$BigInt","5"],2]]}`},

		// Arrays that look like escape arrays.
		{"82 64 24666f6f 01", `["$$foo",1]`},
		{"9f 64 24666f6f 01 ff", `["$$foo",1]`},
		{"82 7f 6124 ff 01", `["$$",1]`},
		{"82 65 2424666f6f 01", `["$$$foo",1]`},
		{"83 64 24666f6f 01 02", `["$foo",1,2]`},
		{"81 64 24666f6f", `["$foo"]`},
		{"82 01 6124", `[1,"$"]`},
		{"82 c8 6124 01", `["$$",1]`}, // an unknown tag goes, its text stays

		// Dates.
		{"c1 1a6553f100", `"2023-11-14T22:13:20.000Z"`},
		{"c1 fb41d954fc4007df3b", `"2023-11-14T22:13:20.123Z"`},
		{"c1 20", `"1969-12-31T23:59:59.000Z"`},
		{"c1 fbbf50624dd2f1a9fc", `"1969-12-31T23:59:59.999Z"`},
		{"c1 1b000007dba8218001", `null`},
		{"c1 1b000007dba8218000", `"+275760-09-13T00:00:00.000Z"`},
		{"c1 3b000007dba8217fff", `"-271821-04-20T00:00:00.000Z"`},
		{"c1 3b0000000e7b55af7f", `"-000001-01-01T00:00:00.000Z"`},
		{"c1 fb7ff8000000000000", `null`},
		{"c1 6161", `"a"`},
		{"c0 74 323032332d31312d31345432323a31333a32305a", `"2023-11-14T22:13:20.000Z"`},
		{"c0 78 19 323032332d31312d31345432333a31333a32302b30313a3030", `"2023-11-14T22:13:20.000Z"`},
		{"c0 6161", `"a"`},
		{"c0 01", `1`},

		// Set, Map, RegExp, Error, self-described, unknown tags.
		{"d90102 82 01 6161", `[1,"a"]`},
		{"d90102 82 64 24666f6f 01", `["$$foo",1]`},
		{"d90103 a2 616b 01 616c 02", `{"k":1,"l":2}`},
		{"d90103 a2 616b 01 02 6176", `[["k",1],[2,"v"]]`},
		{"d90103 a2 6124 01 02 03", `[["$$",1],[2,3]]`},
		{"d90103 bf 01 02 ff", `[[1,2]]`},
		{"d90103 80", `[]`},
		{"d81b 83 66526567457870 64 61622b63 62 6769", `"/ab+c/gi"`},
		{"d81b 82 654572726f72 6178", `["Error","x"]`},
		{"d81b 84 66526567457870 6161 60 60", `["RegExp","a","",""]`},
		{"d81b 01", `1`},
		{"d9d9f7 01", `1`},
		{"d903e8 01", `1`},

		// Typed arrays.
		{"d840 430102ff", `["$Uint8Array","AQL/"]`},
		{"d840 01", `1`},
		{"d844 430102ff", `[1,2,255]`},
		{"d841 440001ffff", `[1,65535]`},
		{"d845 440100ffff", `[1,65535]`},
		{"d842 440000000a", `[10]`},
		{"d846 440a000000", `[10]`},
		{"d843 48 0000000000000001", `[1]`},
		{"d847 48 ffffffffffffffff", `[["$BigInt","18446744073709551615"]]`},
		{"d848 4201ff", `[1,-1]`},
		{"d849 42fffe", `[-2]`},
		{"d84d 42feff", `[-2]`},
		{"d84e 4480000000", `[128]`},
		{"d84e 4400000080", `[-2147483648]`},
		{"d84f 48 0000000000000080", `[["$BigInt","-9223372036854775808"]]`},
		{"d850 423e00", `[1.5]`},
		{"d854 42003e", `[1.5]`},
		{"d855 48 0000c03f000000c0", `[1.5,-2]`},
		{"d851 443fc00000", `[1.5]`},
		{"d856 48 000000000000f83f", `[1.5]`},
		{"d852 48 3ff8000000000000", `[1.5]`},
		{"d856 40", `[]`},
		{"d856 4101", `["$Uint8Array","AQ=="]`}, // not a whole number of items
		{"d84c 4101", `["$Uint8Array","AQ=="]`}, // unassigned
		{"d857 50 00000000000000000000000000000000", `["$Uint8Array","AAAAAAAAAAAAAAAAAAAAAA=="]`},
	} {
		got, err := value.ToJSON([]byte("x"), unhex(t, v.item), value.UndefinedNull)
		if err != nil || string(got) != "x"+v.want {
			t.Errorf("%s: %s, %v, want %s", v.item, got, err, v.want)
		}
	}
	for _, v := range []struct{ item, null, escape string }{
		{"f7", `null`, `["$Undefined",0]`},
		{"82 f7 d90102 80", `[null,[]]`, `[["$Undefined",0],["$Set",[]]]`},
		{"d90102 82 64 24666f6f 01", `["$$foo",1]`, `["$Set",["$foo",1]]`},
	} {
		for form, want := range map[value.UndefinedForm]string{value.UndefinedNull: v.null, value.UndefinedEscape: v.escape} {
			got, err := value.ToJSON(nil, unhex(t, v.item), form)
			if err != nil || string(got) != want {
				t.Errorf("%s, form %d: %s, %v, want %s", v.item, form, got, err, want)
			}
		}
	}
}

// TestBigintLimitIsTheSameBothWays: the largest bigint that can be read can be written, and the next cannot be read.
func TestBigintLimitIsTheSameBothWays(t *testing.T) {
	largest := new(big.Int).Lsh(big.NewInt(1), 8*value.MaxBigIntBytes)
	largest.Sub(largest, big.NewInt(1))
	text := `["$BigInt","` + largest.String() + `"]`
	item, err := value.FromJSON(nil, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if back, err := value.ToJSON(nil, item, value.UndefinedNull); err != nil || string(back) != text {
		t.Errorf("came back as %.30s…, %v", back, err)
	}
	text = `["$BigInt","` + largest.Add(largest, big.NewInt(1)).String() + `"]`
	if _, err := value.FromJSON(nil, []byte(text)); err == nil {
		t.Error("a larger one was accepted")
	}
}

func TestToJSONRejectsHugeBigints(t *testing.T) {
	item := append([]byte{0x81, 0xc2, 0x59, 0x10, 0x01}, make([]byte, 4097)...)
	if _, err := value.ToJSON(nil, item, value.UndefinedNull); err != nil {
		t.Errorf("leading zeros count: %v", err)
	}
	item[5] = 1
	got, err := value.ToJSON(prefix, item, value.UndefinedNull)
	var want *value.SyntaxError
	if !errors.As(err, &want) || want.Offset != 1 || string(got) != string(prefix) {
		t.Errorf("ToJSON = %.20x, %v", got, err)
	}
}

func TestAppendJSONString(t *testing.T) {
	for in, want := range map[string]string{
		"":            `""`,
		"a\"\\\n\x01": `"a\"\\\n\u0001"`,
		"\xff\xfeé":   "\"\uFFFDé\"",
	} {
		if got := value.AppendJSONString(nil, in); string(got) != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestImport(t *testing.T) {
	for _, v := range []struct{ item, want, js string }{ // js: when it differs
		// What needs no change is copied, whatever its heads are.
		{"b90001616101", "b90001616101", ""},
		{"c1fb41d954fc4007df3b", "c1fb41d954fc4007df3c", ""},
		{"f93e00", "f93e00", ""},
		{"f97e00", "f97e00", ""},
		{"d90103a2616b01026176", "d90103a2616b01026176", ""},
		{"d845440100ffff", "d845440100ffff", ""},
		{"f7", "f7", ""},

		// Integers.
		{"1800", "00", ""},
		{"3a00000001", "21", ""},
		{"1b0000000000000005", "05", "c24105"},
		{"1b0000000000000000", "00", "c240"},
		{"3b0000000000000000", "20", "c340"},
		{"3bffffffffffffffff", "3bffffffffffffffff", "c348ffffffffffffffff"},
		{"1b0020000000000001", "1b0020000000000001", "c24720000000000001"},

		// Floats that are integers in JavaScript.
		{"f93c00", "01", ""},
		{"fa4f800000", "1b0000000100000000", ""},
		{"fb8000000000000000", "00", ""},
		{"fbc1f0000000000000", "3affffffff", ""},
		{"fb4340000000000000", "1b0020000000000000", ""},
		{"fb4340000000000001", "fb4340000000000001", ""},
		{"fb427abcde00000000", "1b000001abcde00000", ""},

		// Bytes.
		{"d840 430102ff", "430102ff", ""},
		{"d840 5f 4101 ff", "4101", ""},
		{"d840 01", "d84001", ""},
		{"d9d9f7 d9d9f7 1801", "01", ""},

		// Indefinite lengths.
		{"7f 6161 6162 ff", "62 6162", ""},
		{"5f ff", "40", ""},
		{"9f 01 9f ff ff", "82 01 80", ""},
		{"bf 6161 01 ff", "a1 6161 01", ""},
		{"9f " + strings.Repeat("00", 24) + "ff", "98 18" + strings.Repeat("00", 24), ""},
		{"c2 5f 4101 ff", "c2 4101", ""},

		// Escape arrays.
		{"82 6a 24556e646566696e6564 00", "f7", ""},
		{"9f 6a 24556e646566696e6564 00 ff", "f7", ""},
		{"82 67 24426967496e74 6135", "c24105", ""},
		{"82 6b 2455696e74384172726179 64 41514c2f", "430102ff", ""},
		{"82 6c 244172726179427566666572 64 4351673d", "420908", ""},
		{"82 64 24536574 82 01 6161", "d90102 82 01 6161", ""},
		{"82 64 24536574 9f 01 82 622461 02 ff", "d90102 82 01 82 622461 02", ""},
		{"9f 64 24536574 82 6a 24556e646566696e6564 00 ff", "d90102 82 6a 24556e646566696e6564 00", ""},
		{"9f 64 24536574 82 6a 24556e646566696e6564 00 03 ff", "83 64 24536574 f7 03", ""},
		{"82 65 2424666f6f fb3ff0000000000000", "82 64 24666f6f 01", ""},
		{"a1 82 6a 24556e646566696e6564 00 00", "a1 f7 00", ""},
		{"82 d9d9f7 6a 24556e646566696e6564 00", "f7", ""},
		// The array of a native set is none, nor is one of three.
		{"d90102 82 6a 24556e646566696e6564 00", "d90102 82 6a 24556e646566696e6564 00", ""},
		{"83 6a 24556e646566696e6564 00 00", "83 6a 24556e646566696e6564 00 00", ""},
		// Clients that write plain CBOR do not escape: what fits no escape array is the user's own.
		{"82 64 24666f6f 1801", "82 64 24666f6f 01", ""},
		{"82 67 24426967496e74 05", "82 67 24426967496e74 05", ""},
		{"82 67 24426967496e74 6178", "82 67 24426967496e74 6178", ""},
		{"82 64 24536574 01", "82 64 24536574 01", ""},
		{"82 6b 2455696e74384172726179 613f", "82 6b 2455696e74384172726179 613f", ""},
	} {
		if v.js == "" {
			v.js = v.want
		}
		item := unhex(t, v.item)
		got, err := value.Import(prefix, item, false)
		wantHex(t, v.item, got, err, v.want)
		got, err = value.Import(prefix, item, true)
		wantHex(t, v.item+" from JavaScript", got, err, v.js)

		got, err = value.ImportShared(item, true)
		wantHex(t, v.item+" shared", append(prefix[:1:1], got...), err, v.js)
		if unchanged := &got[0] == &item[0]; unchanged && string(got) != string(item) {
			t.Errorf("%s: ImportShared returned its argument", v.item)
		}
	}
}

func TestExport(t *testing.T) {
	for _, v := range []struct{ item, want, escaped string }{ // escaped: when it differs
		{"b90001616101", "b90001616101", ""},
		{"1affffffff", "1affffffff", ""},
		{"3affffffff", "3affffffff", ""},
		{"1800", "1800", ""},
		{"1b0000000000000005", "05", ""},
		{"1b0000000100000000", "fb41f0000000000000", ""},
		{"3b0000000100000000", "fbc1f0000000100000", ""},
		{"1b0000018bcfe568 7b", "fb4278bcfe5687b000", ""},
		{"1b0020000000000000", "fb4340000000000000", ""},
		{"1b0020000000000001", "1b0020000000000001", ""},
		{"3b001fffffffffffff", "fbc340000000000000", ""},
		{"3b0020000000000000", "3b0020000000000000", ""},
		{"c1 1b0000000100000000", "c1 fb41f0000000000000", ""},
		{"c240", "1b0000000000000000", ""},
		{"c24105", "1b0000000000000005", ""},
		{"c340", "3b0000000000000000", ""},
		{"c2 5f 4105 ff", "1b0000000000000005", ""},
		{"c24a00000000000000000005", "1b0000000000000005", ""},
		{"c249010000000000000000", "c249010000000000000000", ""},
		{"c201", "c201", ""},
		{"7f 6161 6162 ff", "62 6162", ""},
		{"9f 01 bf 6161 80 ff ff", "82 01 a1 6161 80", ""},
		{"f7", "f7", ""},
		{"430102ff", "430102ff", ""},
		{"82 64 24666f6f 01", "82 64 24666f6f 01", "82 65 2424666f6f 01"},
		{"82 64 24666f6f 82 6124 02", "82 64 24666f6f 82 6124 02", "82 65 2424666f6f 82 622424 02"},
		{"82 77 24" + strings.Repeat("78", 22) + "01", "82 77 24" + strings.Repeat("78", 22) + "01", "82 7818 2424" + strings.Repeat("78", 22) + "01"},
		{"83 64 24666f6f 01 02", "83 64 24666f6f 01 02", ""},
		{"d90102 82 64 24666f6f 01", "d90102 82 64 24666f6f 01", ""},
	} {
		if v.escaped == "" {
			v.escaped = v.want
		}
		item := unhex(t, v.item)
		got, err := value.Export(prefix, item, false)
		wantHex(t, v.item, got, err, v.want)
		got, err = value.Export(prefix, item, true)
		wantHex(t, v.item+" escaped", got, err, v.escaped)
	}
}

// TestGolden has the inputs that the official client sent to create actors.
func TestGolden(t *testing.T) {
	for _, v := range []struct{ base64, text string }{
		{"uQACYXoBYWTBGmVT8QA=", `{"z":1,"d":"2023-11-14T22:13:20.000Z"}`},
		{"AA==", `0`},
		{"uQABYWEB", `{"a":1}`},
		{"wRplU/EA", `"2023-11-14T22:13:20.000Z"`},
	} {
		wire, err := base64.StdEncoding.DecodeString(v.base64)
		if err != nil {
			t.Fatal(err)
		}
		item, err := value.Import(nil, wire, true)
		if err != nil || !bytes.Equal(item, wire) {
			t.Errorf("%s: imported as %x, %v", v.base64, item, err)
		}
		text, err := value.ToJSON(nil, item, value.UndefinedNull)
		if err != nil || string(text) != v.text {
			t.Errorf("%s: %s, %v, want %s", v.base64, text, err, v.text)
		}
		out, err := value.Export(nil, item, true)
		if err != nil || !bytes.Equal(out, wire) {
			t.Errorf("%s: exported as %x, %v", v.base64, out, err)
		}
	}
}

func TestExportEscaped(t *testing.T) {
	for _, v := range []struct{ item, want string }{
		{"a1616101", "a1616101"},
		{"1b0000000100000000", "fb41f0000000000000"},
		{"82 64 24666f6f 01", "82 65 2424666f6f 01"},
		{"f7", "82 6a 24556e646566696e6564 00"},
		{"430102ff", "82 6b 2455696e74384172726179 64 41514c2f"},
		{"82 c24105 1b0000000100000000", "82 82 67 24426967496e74 6135 fb41f0000000000000"},
		{"d90102 81 f7", "82 64 24536574 81 82 6a 24556e646566696e6564 00"},
		{"82 6124 f7", "82 622424 82 6a 24556e646566696e6564 00"},
		{"c1 1a6553f100", "78 18 323032332d31312d31345432323a31333a32302e3030305a"},
		{"82 f7 fb43f0000000000000", "82 82 6a 24556e646566696e6564 00 fb43f0000000000000"},
	} {
		got, err := value.ExportEscaped(prefix, unhex(t, v.item))
		wantHex(t, v.item, got, err, v.want)
	}
}

func TestConversionsRejectWhatIsMalformed(t *testing.T) {
	item := []byte{0x82, 0x01}
	for name, f := range map[string]func() ([]byte, error){
		"Import":        func() ([]byte, error) { return value.Import(prefix, item, true) },
		"ImportShared":  func() ([]byte, error) { b, err := value.ImportShared(item, true); return append(prefix, b...), err },
		"Export":        func() ([]byte, error) { return value.Export(prefix, item, true) },
		"ExportEscaped": func() ([]byte, error) { return value.ExportEscaped(prefix, item) },
		"ToJSON":        func() ([]byte, error) { return value.ToJSON(prefix, item, value.UndefinedNull) },
	} {
		got, err := f()
		var want *value.SyntaxError
		if !errors.As(err, &want) || want.Format != "CBOR" || string(got) != string(prefix) {
			t.Errorf("%s = %x, %v", name, got, err)
		}
	}
}
