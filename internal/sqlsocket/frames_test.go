package sqlsocket

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"reflect"
	"testing"

	"github.com/rivetgo/rivet/internal/wire/bare"
)

func fromHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGoldenAnswers(t *testing.T) {
	last := int64(2)
	for want, got := range map[string][]byte{
		"00000007" + "0100" + "00" + "00000002":        helloOK(32 << 20),
		"00000003" + "0100" + "01":                     helloRejected(),
		"00000008" + "0100" + "00" + "07000000" + "00": response(7, done{opExec}),
		"00000008" + "0100" + "00" + "07000000" + "02": response(7, done{opBegin}),
		"00000008" + "0100" + "00" + "07000000" + "04": response(7, done{opRollback}),
		"00000027" + "0100" + "00" + "01000000" + "01" + "0101" + "61" + "01" + "01" + "01" + "0500000000000000" + "0100000000000000" + "01" + "0200000000000000": response(1, queried{[]string{"a"}, [][]any{{int64(5)}}, 1, &last}),
		"00000012" + "0100" + "00" + "01000000" + "05" + "13000000" + "01000000" + "01" + "78":                                                                    response(1, sqlError{19, 1, "x"}),
		"00000008" + "0100" + "00" + "01000000" + "06":                                                                                                            response(1, endpointClosed{}),
		"0000000e" + "0100" + "00" + "01000000" + "07" + "01" + "72" + "80000000":                                                                                 response(1, queueFull{"r", 128}),
		"00000012" + "0100" + "00" + "01000000" + "09" + "3200000000000000" + "01" + "6d":                                                                         response(1, leaseExpired{50, "m"}),
		"00000004" + "0100" + "01" + "00":                                                                                                                         goAway(errFrameTooLarge),
		"00000004" + "0100" + "01" + "01":                                                                                                                         goAway(errMalformed),
	} {
		if !bytes.Equal(got, fromHex(t, want)) {
			t.Errorf("%x, want %s", got, want)
		}
	}
}

func TestGoldenRequests(t *testing.T) {
	key, ms := "k", uint64(50)
	for text, want := range map[string]request{
		"00" + "01000000" + "00" + "00" + "0131": {id: 1, op: opExec, sql: "1"},
		"00" + "02000000" + "01" + "016b" + "01" + "0131" + "05" + "00" + "010500000000000000" + "02000000000000f03f" + "030161" + "0401ff": {id: 2, lease: &key, op: opQuery, sql: "1", params: []any{nil, int64(5), 1.0, "a", []byte{255}}},
		"00" + "03000000" + "00" + "02" + "016b" + "01" + "3200000000000000":                                                                {id: 3, op: opBegin, key: "k", timeout: &ms},
		"00" + "03000000" + "00" + "02" + "016b" + "00":                                                                                     {id: 3, op: opBegin, key: "k"},
		"00" + "04000000" + "00" + "03" + "016b":                                                                                            {id: 4, op: opCommit, key: "k"},
		"00" + "05000000" + "00" + "04" + "016b":                                                                                            {id: 5, op: opRollback, key: "k"},
	} {
		got, err := readRequest(fromHex(t, text))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "01", "0001000000", "000100000000" + "05", "000100000000" + "000131" + "00", "0001000000" + "02" + "000131"} {
		if q, err := readRequest(fromHex(t, bad)); err == nil {
			t.Errorf("%s: %+v", bad, q)
		}
	}
}

func TestFrames(t *testing.T) {
	for text, want := range map[string]error{
		"00000002" + "0100": nil,
		"00000001" + "01":   errMalformed,
		"00000002" + "0200": errVersion,
		"00000401" + "0100": errFrameTooLarge,
		"ffffffff":          errFrameTooLarge,
	} {
		if _, err := readFrame(bytes.NewReader(fromHex(t, text)), 1024); !errors.Is(err, want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzRequest(f *testing.F) {
	for _, s := range []string{"00010000000000" + "0131", "0002000000" + "01016b" + "01" + "0131" + "0200030161", "0003000000" + "00" + "02016b" + "013200000000000000"} {
		f.Add(fromHex(f, s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		q, err := readRequest(body)
		if err != nil {
			return
		}
		for _, v := range q.params {
			r := bare.NewReader(appendValue(nil, v))
			again := readValue(&r)
			if x, ok := v.(float64); ok && math.IsNaN(x) {
				continue
			}
			if r.Done() != nil || !reflect.DeepEqual(v, again) {
				t.Fatalf("%v became %v", v, again)
			}
		}
	})
}
