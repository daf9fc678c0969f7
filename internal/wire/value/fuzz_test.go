package value_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/rivetgo/rivet/internal/wire/value"
)

// growth is the most that a conversion can add per byte: one undefined becomes ["$Undefined",0] and a comma.
const growth = 20

func mustBeValid(t *testing.T, what string, src, item []byte) {
	t.Helper()
	if err := value.Valid(item); err != nil {
		t.Fatalf("%s of %x is %x: %v", what, src, item, err)
	}
	if len(item) > growth*len(src)+growth {
		t.Fatalf("%s made %d bytes of %d", what, len(item), len(src))
	}
}

func FuzzFromJSON(f *testing.F) {
	for _, s := range []string{
		`{"a":[1,2,{"b":["$Undefined",0]}],"big":[["$BigInt","1"]],"dollar":["$$foo",1],"nul":null}`,
		`["$Set",[1,"a"]]`, `["$Uint8Array","AQL/"]`, `["$ArrayBuffer","CQg="]`, `["$Set",["$Undefined",0],1]`,
		`[1e20,-0.5,12345678901234567890,"\ud83d\ude00\ud800"]`, `{"a":1,"a":{"b":2,"b":3}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		item, err := value.FromJSON(nil, src)
		if err != nil {
			return
		}
		if !json.Valid(src) {
			t.Fatalf("%q was accepted", src)
		}
		mustBeValid(t, "FromJSON", src, item)
		text, err := value.ToJSON(nil, item, value.UndefinedEscape)
		if err != nil {
			t.Fatalf("ToJSON(%x): %v", item, err)
		}
		if !json.Valid(text) {
			t.Fatalf("ToJSON(%x) = %q, which is no JSON", item, text)
		}
		back, err := value.FromJSON(nil, text)
		if err != nil {
			return // an escape array needs a level that the value did not
		}
		// The first pass makes bigints of integers beyond 2^53; after that nothing changes any more.
		again, err := value.ToJSON(nil, back, value.UndefinedEscape)
		if err != nil || !bytes.Equal(again, text) {
			t.Fatalf("%q became %q, %v", text, again, err)
		}
	})
}

func FuzzCBOR(f *testing.F) {
	for _, s := range []string{
		"81b90001616101", "82617802", "826a24556e646566696e656400", "826724426967496e74743132333435363738393031323334353637383930",
		"826b2455696e743841727261796441514c2f", "826c244172726179427566666572644351673d", "c1fb41d954fc4007df3b",
		"82642453657482016161", "d90103a2616b01026176", "d855480000c03f000000c0", "d8484201ff",
		"d81b83665265674578706461622b63626769", "d81b82654572726f726e616e206572726f722076616c7565",
		"fb7ff8000000000000", "fb3ff8000000000000", "fb41f0000000000000", "f93e00", "9f018202039f0405ffff", "7f61616162ff",
		"bf61610161629f0203ffff", "c24105", "c349010000000000000000", "d840430102ff", "d9d9f701", "a18101f7",
		"9f6424536574826a24556e646566696e65640003ff", "c1c3490000000008df7e7e01",
	} {
		b, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	wellformed, err := cbor.DecOptions{MaxNestedLevels: 256, MaxArrayElements: 1 << 30, MaxMapPairs: 1 << 30}.DecMode()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		_, _ = value.Skip(src)
		_, _ = value.ArrayItems(src)
		valid := value.Valid(src)
		if valid == nil && wellformed.Wellformed(src) != nil {
			t.Fatalf("%x is valid for us, but not well-formed: %v", src, wellformed.Wellformed(src))
		}
		for _, js := range []bool{false, true} {
			item, err := value.Import(nil, src, js)
			if (err == nil) != (valid == nil) {
				t.Fatalf("Import(%x): %v, Valid: %v", src, err, valid)
			}
			shared, sharedErr := value.ImportShared(src, js)
			if (err == nil) != (sharedErr == nil) || !bytes.Equal(shared, item) {
				t.Fatalf("ImportShared(%x) = %x, %v, Import %x, %v", src, shared, sharedErr, item, err)
			}
			if err != nil {
				continue
			}
			mustBeValid(t, "Import", src, item)
			checkExports(t, item)
		}
		if valid == nil {
			for _, escape := range []bool{false, true} {
				out, err := value.Export(nil, src, escape)
				if err != nil {
					t.Fatalf("Export(%x): %v", src, err)
				}
				mustBeValid(t, "Export", src, out)
			}
		}
	})
}

// checkExports checks that a canonical item means the same after it went to a JavaScript client and came back.
func checkExports(t *testing.T, item []byte) {
	t.Helper()
	text, err := value.ToJSON(nil, item, value.UndefinedEscape)
	if err != nil {
		return // a huge bigint
	}
	if !json.Valid(text) || len(text) > growth*len(item)+growth {
		t.Fatalf("ToJSON(%x) = %q", item, text)
	}
	out, err := value.Export(nil, item, true)
	if err != nil {
		t.Fatalf("Export(%x): %v", item, err)
	}
	back, err := value.Import(nil, out, true)
	if err != nil {
		t.Fatalf("Import(%x): %v", out, err)
	}
	again, err := value.ToJSON(nil, back, value.UndefinedEscape)
	if err != nil || !bytes.Equal(text, again) {
		t.Fatalf("%x went out as %x and came back as %x:\n%s\n%s, %v", item, out, back, text, again, err)
	}

	// The other way out goes through JSON, where equal keys become one.
	want, err := value.FromJSON(nil, text)
	if err != nil {
		return // an escape array needs a level that the item did not
	}
	if out, err = value.ExportEscaped(nil, item); err != nil {
		t.Fatalf("ExportEscaped(%x): %v", item, err)
	}
	mustBeValid(t, "ExportEscaped", item, out)
	if back, err = value.Import(nil, out, true); err != nil {
		t.Fatalf("Import(%x): %v", out, err)
	}
	if again, err = value.ToJSON(nil, back, value.UndefinedEscape); err != nil {
		t.Fatalf("ToJSON(%x): %v", back, err)
	}
	if back, err = value.FromJSON(nil, again); err != nil || !bytes.Equal(back, want) {
		t.Fatalf("%x went out as %x and came back as %x, %v, want %x", item, out, back, err, want)
	}
}

// FuzzReader pulls items by a program that the fuzzer makes.
func FuzzReader(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3}, []byte("\xa1\x64body\xa2\x63tag\x65Event"))
	f.Fuzz(func(t *testing.T, program, src []byte) {
		r := value.NewReader(src)
		n := 0
		for _, op := range program {
			switch op % 9 {
			case 0:
				n = r.Map()
			case 1:
				n = r.Array()
			case 2:
				r.Text()
			case 3:
				r.Bytes()
			case 4:
				r.Uint()
			case 5:
				r.Bool()
			case 6:
				r.Nil()
			case 7:
				if item := r.Raw(); item != nil && value.Valid(item) != nil {
					t.Fatalf("Raw returned %x", item)
				}
			case 8:
				r.More(&n)
			}
			if n > len(src) {
				t.Fatalf("count %d of %d bytes", n, len(src))
			}
		}
		_ = r.Done()
	})
}
