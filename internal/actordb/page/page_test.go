package page

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/rivetgo/rivet/internal/wire/record"
)

func TestSealOpen(t *testing.T) {
	zeros := make([]byte, Size)
	noise := make([]byte, Size)
	src := rand.NewChaCha8([32]byte{1})
	src.Read(noise)
	for name, content := range map[string][]byte{"zeros": zeros, "noise": noise} {
		v := Seal(7, content)
		if len(v) > Size+6 {
			t.Errorf("%s: the record has %d bytes", name, len(v))
		}
		got := make([]byte, Size)
		if err := Open(got, 7, v); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: Open: %v, equal %v", name, err, bytes.Equal(got, content))
		}
		var corrupt *CorruptError
		if err := Open(got, 8, v); !errors.As(err, &corrupt) || corrupt.Page != 8 {
			t.Errorf("%s: page 7 in the place of page 8: %v", name, err)
		}
		for _, i := range []int{0, 1, 2, 5, 6, len(v) / 2, len(v) - 1} {
			bad := bytes.Clone(v)
			bad[i] ^= 1
			if err := Open(got, 7, bad); !errors.As(err, &corrupt) {
				t.Errorf("%s: byte %d changed: %v", name, i, err)
			}
			if err := Open(got, 7, v[:i]); !errors.As(err, &corrupt) {
				t.Errorf("%s: cut after %d bytes: %v", name, i, err)
			}
		}
	}
}

// The bytes are durable: see docs/storage.md.
func TestGolden(t *testing.T) {
	content := make([]byte, Size)
	copy(content, "SQLite format 3")
	for _, c := range []struct{ name, got, want string }{
		{"key", hex.EncodeToString(Key(258)), "4900000102"},
		{"head", hex.EncodeToString(Head{Pages: 300, TxID: 5}.Seal()), "018020ac0205"},
		{"head key", hex.EncodeToString(HeadKey), "48"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s, want %s", c.name, c.got, c.want)
		}
	}
	if v := Seal(1, content); v[0] != record.Version || v[1] != snap || hex.EncodeToString(v[2:6]) != "b2932437" {
		t.Errorf("page: % x", v[:6])
	}
}

func TestHead(t *testing.T) {
	for _, h := range []Head{{}, {Pages: 1, TxID: 1}, {Pages: 1<<32 - 1, TxID: 1<<64 - 1}} {
		if got, err := OpenHead(h.Seal()); err != nil || got != h {
			t.Errorf("%+v: %+v, %v", h, got, err)
		}
	}
	for _, bad := range []string{"", "02802001", "01", "0180", "01802001", "0180200101ff", "01ff200101"} {
		b, _ := hex.DecodeString(bad)
		var corrupt *CorruptError
		if _, err := OpenHead(b); !errors.As(err, &corrupt) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestAbove(t *testing.T) {
	s := Above(2)
	for no, want := range map[uint32]bool{1: false, 2: false, 3: true, 1<<32 - 1: true} {
		if s.Contains(Key(no)) != want {
			t.Errorf("page %d: %v", no, !want)
		}
	}
	if Above(1<<32 - 1).Contains(Key(1<<32 - 1)) {
		t.Error("nothing is above the last number")
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(uint32(1), Seal(1, make([]byte, Size)))
	f.Add(uint32(9), Head{Pages: 3, TxID: 2}.Seal())
	f.Fuzz(func(t *testing.T, no uint32, value []byte) {
		dst, again := make([]byte, Size), make([]byte, Size)
		if Open(dst, no, value) == nil {
			if err := Open(again, no, Seal(no, dst)); err != nil || !bytes.Equal(dst, again) {
				t.Errorf("what was read cannot be written and read again: %v", err)
			}
		}
		if h, err := OpenHead(value); err == nil {
			if again, err := OpenHead(h.Seal()); err != nil || again != h {
				t.Errorf("%+v became %+v, %v", h, again, err)
			}
		}
	})
}
