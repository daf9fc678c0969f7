package value

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
)

func TestDatesKeepTheirMilliseconds(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		millis := rnd.Int64N(4e12) - 1e12
		src := appendDouble(AppendTag(nil, tagDateSeconds), float64(millis)/1000)
		got, err := Import(nil, src, true)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Import(nil, got, true)
		if err != nil || string(again) != string(got) {
			t.Fatalf("%d ms: reading twice gives %x, then %x, %v", millis, got, again, err)
		}
		var at time.Time
		if err := cbor.Unmarshal(got, &at); err != nil {
			t.Fatal(err)
		}
		if millis >= 0 && at.UnixMilli() != millis {
			t.Fatalf("%d ms are read as %d", millis, at.UnixMilli())
		}
	}
}

// A client may write the seconds of a date as a bigint, which goes out to others as a plain number: a date for all of them.
func TestDateOfBigintSeconds(t *testing.T) {
	for _, src := range []string{
		"\xc1\xc2\x44\x65\x00\x00\x00",                     // shortest
		"\xc1\xc2\x49\x00\x00\x00\x00\x00\x65\x00\x00\x00", // with leading zeros
		"\xc1\xc2\x5f\x42\x65\x00\x42\x00\x00\xff",         // in pieces
		"\xc1\x1a\x65\x00\x00\x00",                         // no bigint
	} {
		got, err := ToJSON(nil, []byte(src), UndefinedEscape)
		if err != nil || string(got) != `"2023-09-12T06:06:56.000Z"` {
			t.Errorf("%x is written %s, %v", src, got, err)
		}
	}
}
