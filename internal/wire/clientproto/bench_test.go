package clientproto_test

import (
	"testing"

	"github.com/rivetgo/rivet/internal/wire/clientproto"
)

var encodings = []clientproto.Encoding{clientproto.JSON, clientproto.CBOR, clientproto.BARE}

func run(b *testing.B, f func() error) {
	b.ReportAllocs()
	for b.Loop() {
		if err := f(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkConnection(b *testing.B) {
	value := raw("a362696466726f6f6d2d3165636f756e74193039626f6bf5")
	args := append([]byte{0x81}, value...)
	for _, enc := range encodings {
		frame, err := clientproto.AppendToServer(nil, enc, &clientproto.ActionRequest{ID: 7, Name: "increment", Args: args})
		if err != nil {
			b.Fatal(err)
		}
		buf := make([]byte, 0, 1024)
		b.Run("DecodeActionRequest/"+enc.String(), func(b *testing.B) {
			run(b, func() error { _, _, err := clientproto.DecodeToServer(enc, frame, true); return err })
		})
		b.Run("AppendActionResponse/"+enc.String(), func(b *testing.B) {
			run(b, func() error {
				_, err := clientproto.AppendToClient(buf, enc, 4, &clientproto.ActionResponse{ID: 7, Output: value})
				return err
			})
		})
		b.Run("AppendEvent/"+enc.String(), func(b *testing.B) {
			run(b, func() error {
				_, err := clientproto.AppendToClient(buf, enc, 4, &clientproto.Event{Name: "changed", Args: args})
				return err
			})
		})
	}
}

func BenchmarkHTTP(b *testing.B) {
	value := raw("a362696466726f6f6d2d3165636f756e74193039626f6bf5")
	args := append([]byte{0x81}, value...)
	for _, enc := range encodings {
		body, err := clientproto.AppendActionRequest(nil, enc, args)
		if err != nil {
			b.Fatal(err)
		}
		buf := make([]byte, 0, 1024)
		b.Run("DecodeActionRequest/"+enc.String(), func(b *testing.B) {
			run(b, func() error { _, _, err := clientproto.DecodeActionRequest(enc, body, true); return err })
		})
		b.Run("AppendActionResponse/"+enc.String(), func(b *testing.B) {
			run(b, func() error { _, err := clientproto.AppendActionResponse(buf, enc, 4, value); return err })
		})
	}
}
