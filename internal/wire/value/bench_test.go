package value_test

import (
	"testing"

	"github.com/rivetgo/rivet/internal/wire/value"
)

var benchJSON = []byte(`[{"id":"room-1","count":12345,"ratio":0.25,"tags":["a","b","c"],"at":1700000000123,"nested":{"ok":true,"none":null}}]`)

func BenchmarkConvert(b *testing.B) {
	item, err := value.FromJSON(nil, benchJSON)
	if err != nil {
		b.Fatal(err)
	}
	exported, err := value.Export(nil, item, true)
	if err != nil {
		b.Fatal(err)
	}
	plain, err := value.FromJSON(nil, []byte(`[{"id":"room-1","count":12345,"ratio":0.25,"tags":["a","b","c"]}]`))
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		in   []byte
		run  func(dst, src []byte) ([]byte, error)
	}{
		{"FromJSON", benchJSON, value.FromJSON},
		{"ToJSON", item, func(dst, src []byte) ([]byte, error) { return value.ToJSON(dst, src, value.UndefinedEscape) }},
		{"Import", exported, func(dst, src []byte) ([]byte, error) { return value.Import(dst, src, true) }},
		{"ImportUnchanged", plain, func(dst, src []byte) ([]byte, error) { return value.Import(dst, src, true) }},
		{"Export", item, func(dst, src []byte) ([]byte, error) { return value.Export(dst, src, true) }},
		{"ExportUnchanged", plain, func(dst, src []byte) ([]byte, error) { return value.Export(dst, src, true) }},
		{"Valid", item, func(dst, src []byte) ([]byte, error) { return dst, value.Valid(src) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			buf := make([]byte, 0, 1024)
			b.SetBytes(int64(len(c.in)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.run(buf, c.in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
