package value_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/rivetgo/rivet/internal/wire/value"
)

// randomItem appends a random item in canonical form. With js it holds only what survives JSON and JavaScript: no
// integer outside of ±2^53, no date, Map or other tag.
func randomItem(r *rand.Rand, dst []byte, depth int, js bool) []byte {
	kinds := 12
	if depth == 0 {
		kinds = 8
	}
	switch r.IntN(kinds) {
	case 0:
		return append(dst, []byte{value.Null, value.Undefined, value.True, value.False}[r.IntN(4)])
	case 1:
		return value.AppendInt(dst, r.Int64N(600)-300)
	case 2:
		v := r.Int64() >> r.IntN(63)
		if js && (v > 1<<53 || v < -1<<53) {
			v >>= 12
		}
		if r.IntN(2) == 0 {
			v = -v
		}
		return value.AppendInt(dst, v)
	case 3:
		f := math.Float64frombits(r.Uint64())
		if math.IsNaN(f) || math.IsInf(f, 0) {
			f = 0.1
		}
		return value.AppendFloat(dst, f)
	case 4:
		return value.AppendFloat(dst, float64(r.IntN(1e6))/1000)
	case 5:
		return value.AppendText(dst, randomText(r))
	case 6:
		b := make([]byte, r.IntN(40))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return value.AppendBytes(dst, b)
	case 7:
		v := new(big.Int).SetUint64(r.Uint64())
		v.Rsh(v, uint(r.IntN(64)))
		if r.IntN(3) == 0 {
			v.Mul(v, v)
		}
		return value.AppendBytes(value.AppendTag(dst, 2+r.Uint64N(2)), v.Bytes())
	case 8, 9:
		n := r.IntN(4)
		if r.IntN(10) == 0 {
			n = 20 + r.IntN(10)
		}
		dst = value.AppendArrayHead(dst, n)
		for range n {
			dst = randomItem(r, dst, depth-1, js)
		}
		return dst
	case 10:
		n := r.IntN(4)
		if r.IntN(10) == 0 {
			n = 20 + r.IntN(10)
		}
		dst = value.AppendMapHead(dst, n)
		for i := range n {
			dst = value.AppendText(dst, fmt.Sprint(i, randomText(r)))
			dst = randomItem(r, dst, depth-1, js)
		}
		return dst
	default:
		if js || r.IntN(2) == 0 {
			n := r.IntN(4)
			dst = value.AppendArrayHead(value.AppendTag(dst, 258), n)
			for range n {
				dst = randomItem(r, dst, depth-1, js)
			}
			return dst
		}
		return value.AppendFloat(value.AppendTag(dst, 1), float64(r.Int64N(1e13))/1000)
	}
}

func randomText(r *rand.Rand) string {
	const letters = `$$$ab"\/` + "\n\x01é€😀\u2028"
	runes := []rune(letters)
	s := make([]rune, r.IntN(6))
	if r.IntN(10) == 0 {
		s = make([]rune, 20+r.IntN(10))
	}
	for i := range s {
		s[i] = runes[r.IntN(len(runes))]
	}
	return string(s)
}

func forRandom(t *testing.T, f func(t *testing.T, r *rand.Rand)) {
	t.Helper()
	for seed := range uint64(1000) {
		f(t, rand.New(rand.NewPCG(seed, 0)))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func TestJSONKeepsEveryValue(t *testing.T) {
	forRandom(t, func(t *testing.T, r *rand.Rand) {
		item := randomItem(r, nil, 4, true)
		text, err := value.ToJSON(nil, item, value.UndefinedEscape)
		if err != nil {
			t.Fatalf("ToJSON(%x): %v", item, err)
		}
		if !json.Valid(text) {
			t.Fatalf("ToJSON(%x) = %s, which is no JSON", item, text)
		}
		back, err := value.FromJSON(nil, text)
		if err != nil || !bytes.Equal(back, item) {
			t.Fatalf("%x\n%s\n%x, %v", item, text, back, err)
		}
	})
}

func TestExportIsUndoneByImport(t *testing.T) {
	forRandom(t, func(t *testing.T, r *rand.Rand) {
		item := randomItem(r, nil, 4, true)
		for name, export := range map[string]func(dst, src []byte) ([]byte, error){
			"Export":        func(dst, src []byte) ([]byte, error) { return value.Export(dst, src, true) },
			"ExportEscaped": value.ExportEscaped,
		} {
			out, err := export(nil, item)
			if err != nil {
				t.Fatalf("%s(%x): %v", name, item, err)
			}
			back, err := value.Import(nil, out, true)
			if err != nil || !bytes.Equal(back, item) {
				t.Fatalf("%s\n%x\n%x\n%x, %v", name, item, out, back, err)
			}
		}
	})
}

// decode reads an item with another decoder, into a form in which equal values of JavaScript are equal.
func decode(t *testing.T, item []byte) any {
	t.Helper()
	mode, err := cbor.DecOptions{MaxNestedLevels: 300, BigIntDec: cbor.BigIntDecodePointer}.DecMode()
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := mode.Unmarshal(item, &v); err != nil {
		t.Fatalf("%x: %v", item, err)
	}
	return normal(v)
}

func normal(v any) any {
	switch v := v.(type) {
	case uint64:
		return new(big.Int).SetUint64(v).String()
	case int64:
		return big.NewInt(v).String()
	case *big.Int:
		return v.String()
	case float64:
		if v == math.Trunc(v) {
			i, _ := big.NewFloat(v).Int(nil)
			return i.String()
		}
		return v
	case time.Time:
		return v.Round(time.Millisecond).UnixMilli()
	case []any:
		for i := range v {
			v[i] = normal(v[i])
		}
	case map[any]any:
		out := make(map[any]any)
		for k, e := range v {
			out[normal(k)] = normal(e)
		}
		return out
	case cbor.Tag:
		v.Content = normal(v.Content)
		return v
	}
	return v
}

func TestConversionsAgreeWithAnotherDecoder(t *testing.T) {
	forRandom(t, func(t *testing.T, r *rand.Rand) {
		item := randomItem(r, nil, 4, false)
		want := decode(t, item)
		out, err := value.Export(nil, item, false)
		if err != nil {
			t.Fatalf("Export(%x): %v", item, err)
		}
		if d := cmp.Diff(want, decode(t, out)); d != "" {
			t.Fatalf("Export(%x) = %x\n%s", item, out, d)
		}
		escaped, err := value.Export(nil, item, true)
		if err != nil {
			t.Fatalf("Export(%x): %v", item, err)
		}
		for _, js := range []bool{false, true} {
			in, err := value.Import(nil, escaped, js)
			if err != nil {
				t.Fatalf("Import(%x): %v", escaped, err)
			}
			if d := cmp.Diff(want, decode(t, in)); d != "" {
				t.Fatalf("Import(%x, %v) = %x\n%s", escaped, js, in, d)
			}
		}
	})
}

// TestImportReadsOtherEncoders feeds what a Go program's CBOR library writes.
func TestImportReadsOtherEncoders(t *testing.T) {
	type inner struct {
		F32 float32
		U   uint64
		S   []string
	}
	v := map[string]any{
		"i": int64(-1 << 40), "u": uint64(math.MaxUint64), "f": 2.5, "g": float32(3), "b": []byte{1, 2},
		"n": nil, "in": inner{1.25, 7, []string{"a", "$b"}}, "big": new(big.Int).Lsh(big.NewInt(1), 70),
	}
	for name, opts := range map[string]cbor.EncOptions{
		"default":   {},
		"canonical": cbor.CanonicalEncOptions(),
		"shortest":  {ShortestFloat: cbor.ShortestFloat16},
	} {
		mode, err := opts.EncMode()
		if err != nil {
			t.Fatal(err)
		}
		item, err := mode.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		in, err := value.Import(nil, item, false)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := cmp.Diff(decode(t, item), decode(t, in)); d != "" {
			t.Errorf("%s:\n%s", name, d)
		}
	}
}
