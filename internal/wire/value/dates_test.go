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
