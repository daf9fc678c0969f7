package record

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"testing"
)

var someConn = Conn{
	ID: [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, Raw: true, Index: 300,
	Params: []byte{0xa0}, HasState: true, State: []byte{0xa1, 0x61, 'n', 1}, Topics: []string{"told", "shouted"},
	Method: "GET", Path: "/websocket/a", Query: "x=1", RemoteAddr: "192.0.2.1:99",
	Header: map[string][]string{"User-Agent": {"a"}, "Cookie": {"b", "c"}},
}

// The bytes of version 1: they are on disks, so a change here needs a new version.
func TestG8_connection_records_keep_their_bytes(t *testing.T) {
	for want, c := range map[string]Conn{
		"03ac0201a004a1616e010204746f6c640773686f75746564034745540c2f776562736f636b65742f6103783d310c3139322e302e322e313a39390206436f6f6b6965020162016" +
			"30a557365722d4167656e74010161": someConn,
		"000001f600000000" + "0000": {Params: []byte{0xf6}},
	} {
		if got := hex.EncodeToString(AppendConn(nil, &c)); got != want {
			t.Errorf("%+v\n is %s\nwant %s", c, got, want)
		}
	}
	if got := hex.EncodeToString(ConnKey(someConn.ID)); got != "040102030405060708090a0b0c0d0e0f10" {
		t.Errorf("key %s", got)
	}
}

func TestConnIsReadAsWritten(t *testing.T) {
	got, err := DecodeConn(ConnKey(someConn.ID), AppendConn(nil, &someConn))
	if err != nil || !reflect.DeepEqual(*got, someConn) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestDamagedConnIsRefused(t *testing.T) {
	good := AppendConn(nil, &someConn)
	key := ConnKey(someConn.ID)
	bad := map[string][2][]byte{
		"short key": {key[:9], good}, "other kind": {append([]byte{3}, key[1:]...), good},
		"unknown flag": {key, append([]byte{0x83}, good[1:]...)}, "more behind": {key, append(bytes.Clone(good), 0)},
		"endless topics": {key, []byte{0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f}},
	}
	for i := range good {
		bad["cut at "+string(rune('0'+i%10))+hex.EncodeToString([]byte{byte(i)})] = [2][]byte{key, good[:i]}
	}
	for name, b := range bad {
		var ce *ConnError
		if c, err := DecodeConn(b[0], b[1]); !errors.As(err, &ce) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

func FuzzDecodeConn(f *testing.F) {
	f.Add(AppendConn(nil, &someConn))
	f.Add(AppendConn(nil, &Conn{}))
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, err := DecodeConn(ConnKey([16]byte{}), payload)
		if err != nil {
			return
		}
		again, err := DecodeConn(ConnKey([16]byte{}), AppendConn(nil, c))
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Errorf("%+v is read back as %+v, %v", c, again, err)
		}
	})
}
