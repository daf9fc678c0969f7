package record

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

func TestMigrations(t *testing.T) {
	all := []Migration{{Number: 1, Name: "0001_a.sql", Sum: [32]byte{1, 31: 2}, At: 1700000000000}, {Number: 300, Name: ""}}
	b := EncodeMigrations(all)
	want := "02" + "01" + "0a" + hex.EncodeToString([]byte("0001_a.sql")) + "01" + strings.Repeat("00", 30) + "02" + "0000018bcfe56800" +
		"ac02" + "00" + strings.Repeat("00", 40)
	if hex.EncodeToString(b) != want {
		t.Errorf("%x", b)
	}
	if got, err := DecodeMigrations(b); err != nil || !slices.Equal(got, all) {
		t.Errorf("%v, %v", got, err)
	}
	for i := range b {
		if _, err := DecodeMigrations(b[:i]); err == nil {
			t.Errorf("cut after %d bytes: no error", i)
		}
	}
	if _, err := DecodeMigrations(append(b, 0)); err == nil {
		t.Error("a byte more: no error")
	}
}

func FuzzDecodeMigrations(f *testing.F) {
	f.Add(EncodeMigrations([]Migration{{Number: 7, Name: "x"}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := DecodeMigrations(b)
		if err != nil {
			return
		}
		again, err := DecodeMigrations(EncodeMigrations(all))
		if err != nil || !slices.Equal(all, again) {
			t.Errorf("%v became %v, %v", all, again, err)
		}
	})
}
