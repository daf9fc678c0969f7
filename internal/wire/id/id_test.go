package id_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/rivetgo/rivet/internal/wire/id"
)

// vectors were made by the official engine.
var vectors = []struct {
	text, uuid string
	label      uint16
}{
	{"lj0p34xpfp80zjm72hrqnjqj8oal00", "92f12095b4aa405a99200f346e0b8a17", 1},
	{"9m6yycoaw3qhyul63uj3vuc0itcl00", "68c3a4f7473d412b9a9dbd04094610cf", 1},
	{"1wwq7ih3xetwtt00dksplnhphbdl00", "e819f3892f5f4b0fa9f8d2d262acccf9", 1},
}

func TestGolden(t *testing.T) {
	for _, v := range vectors {
		d, err := id.Parse(v.text)
		if err != nil {
			t.Errorf("Parse(%s): %v", v.text, err)
			continue
		}
		if got := hex.EncodeToString(d[1:17]); d[0] != 1 || got != v.uuid || d.Label() != v.label {
			t.Errorf("Parse(%s) = version %d, uuid %s, label %d", v.text, d[0], got, d.Label())
		}
		if got := d.String(); got != v.text {
			t.Errorf("String() = %s, want %s", got, v.text)
		}
		if up, err := id.Parse(strings.ToUpper(v.text)); err != nil || up != d {
			t.Errorf("Parse of upper case = %v, %v", up, err)
		}
	}
}

func TestNew(t *testing.T) {
	a, b := id.New(0xabcd), id.New(0xabcd)
	if a == b {
		t.Errorf("two new ids are equal: %v", a)
	}
	if a.IsZero() || !(id.ID{}).IsZero() {
		t.Error("IsZero is wrong")
	}
	if a[0] != 1 || a.Label() != 0xabcd || a[7]>>4 != 4 || a[9]>>6 != 2 {
		t.Errorf("New = %x: not version 1 with a UUID of version 4 and label abcd", a)
	}
}

func TestParseRejects(t *testing.T) {
	good := vectors[0].text
	for name, s := range map[string]string{
		"empty":         "",
		"short":         good[:29],
		"long":          good + "0",
		"character":     good[:10] + "-" + good[11:],
		"not ASCII":     good[:10] + "é" + good[12:],
		"version 0":     strings.Repeat("0", 30),
		"version 2":     "2" + strings.Repeat("0", 29),
		"over 19 bytes": strings.Repeat("z", 30),
	} {
		d, err := id.Parse(s)
		var want *id.ParseError
		if !errors.As(err, &want) || !d.IsZero() {
			t.Errorf("%s: Parse(%q) = %v, %v", name, s, d, err)
		}
	}
}

func TestText(t *testing.T) {
	d := id.New(7)
	b, err := json.Marshal(map[string]id.ID{"id": d})
	if err != nil {
		t.Fatal(err)
	}
	var back map[string]id.ID
	if err := json.Unmarshal(b, &back); err != nil || back["id"] != d {
		t.Errorf("%s came back as %v, %v", b, back, err)
	}
	if err := json.Unmarshal([]byte(`{"id":"x"}`), &back); err == nil {
		t.Error("a malformed id was accepted")
	}
}

// slowText is the definition of the text form, digit by digit.
func slowText(d id.ID) string {
	be := slices.Clone(d[:])
	slices.Reverse(be)
	digits := []byte(new(big.Int).SetBytes(be).Text(36))
	slices.Reverse(digits)
	return string(digits) + strings.Repeat("0", id.TextLen-len(digits))
}

func FuzzText(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte(strings.Repeat("\xff", 18)))
	f.Add([]byte(strings.Repeat("\x00", 17) + "\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := id.ID{1}
		copy(d[1:], b)
		s := d.String()
		if want := slowText(d); s != want {
			t.Fatalf("String() = %s, want %s", s, want)
		}
		if back, err := id.Parse(s); err != nil || back != d {
			t.Fatalf("Parse(%s) = %v, %v", s, back, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, v := range vectors {
		f.Add(v.text)
	}
	f.Add(strings.Repeat("z", 30))
	f.Fuzz(func(t *testing.T, s string) {
		d, err := id.Parse(s)
		if err != nil {
			return
		}
		if got := d.String(); got != strings.ToLower(s) {
			t.Fatalf("Parse(%q).String() = %q", s, got)
		}
	})
}

func BenchmarkString(b *testing.B) {
	d := id.New(1)
	b.ReportAllocs()
	for b.Loop() {
		_ = d.String()
	}
}

func BenchmarkParse(b *testing.B) {
	s := id.New(1).String()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := id.Parse(s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_ = id.New(1)
	}
}
