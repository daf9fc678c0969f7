package record_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/rivetgo/rivet/internal/wire/record"
)

func TestSealOpen(t *testing.T) {
	for _, payload := range [][]byte{nil, {}, {1}, bytes.Repeat([]byte{7}, 1000)} {
		sealed := record.Seal(payload)
		if sealed[0] != record.Version || len(sealed) != len(payload)+1 {
			t.Errorf("Seal(%x) = %x", payload, sealed)
		}
		got, err := record.Open(record.KindState, sealed)
		if err != nil || !bytes.Equal(got, payload) {
			t.Errorf("Open = %x, %v, want %x", got, err, payload)
		}
	}
}

// TestG8_UnknownVersionIsRefused: what this program does not know it refuses to open.
func TestG8_UnknownVersionIsRefused(t *testing.T) {
	for _, v := range []struct {
		value   []byte
		version int
	}{
		{nil, -1}, {[]byte{}, -1}, {[]byte{0, 1}, 0}, {[]byte{record.Version + 1}, record.Version + 1}, {[]byte{255}, 255},
	} {
		got, err := record.Open(record.KindInput, v.value)
		var want *record.VersionError
		if got != nil || !errors.As(err, &want) || want.Version != v.version || want.Kind != record.KindInput {
			t.Errorf("Open(%x) = %x, %v, want version %d", v.value, got, err, v.version)
		}
	}
}

func TestKey(t *testing.T) {
	if got := record.Key(record.KindInput, 'a', 0); !bytes.Equal(got, []byte{0x02, 'a', 0}) {
		t.Errorf("Key = %x", got)
	}
	if got := record.Key(record.KindState); !bytes.Equal(got, []byte{0x01}) {
		t.Errorf("Key = %x", got)
	}
}

func TestSpanContains(t *testing.T) {
	bounded := record.Span{From: []byte{1}, To: []byte{3}}
	open := record.Span{From: []byte{1}}
	for _, v := range []struct {
		span record.Span
		key  []byte
		want bool
	}{
		{bounded, nil, false},
		{bounded, []byte{0, 255}, false},
		{bounded, []byte{1}, true},
		{bounded, []byte{2, 255, 255}, true},
		{bounded, []byte{3}, false},
		{bounded, []byte{3, 0}, false},
		{open, []byte{0}, false},
		{open, []byte{1}, true},
		{open, []byte{255, 255}, true},
		{record.Span{}, nil, true},
	} {
		if got := v.span.Contains(v.key); got != v.want {
			t.Errorf("%x–%x contains %x: %v", v.span.From, v.span.To, v.key, got)
		}
	}
}

func TestBatch(t *testing.T) {
	var b record.Batch
	if !b.Empty() || b.Size() != 0 {
		t.Error("the zero Batch is not empty")
	}
	for _, v := range []struct {
		add  func()
		size int
	}{
		{func() { b.Put([]byte("key"), []byte("value")) }, 8},
		{func() { b.Delete([]byte("gone")) }, 12},
		{func() { b.DeleteSpan(record.Span{From: []byte("a"), To: []byte("bc")}) }, 15},
		{func() { b.DeleteSpan(record.Span{From: []byte("x")}) }, 16},
		{func() { b.Put([]byte("k"), nil) }, 17},
	} {
		v.add()
		if b.Empty() || b.Size() != v.size {
			t.Errorf("Size = %d, Empty = %v, want %d bytes", b.Size(), b.Empty(), v.size)
		}
	}
	if len(b.Puts) != 2 || len(b.Deletes) != 1 || len(b.DeleteSpans) != 2 {
		t.Errorf("batch holds %d puts, %d deletes, %d spans", len(b.Puts), len(b.Deletes), len(b.DeleteSpans))
	}
	for _, only := range []func(*record.Batch){
		func(b *record.Batch) { b.Delete(nil) },
		func(b *record.Batch) { b.DeleteSpan(record.Span{}) },
		func(b *record.Batch) { b.Put(nil, nil) },
	} {
		var b record.Batch
		if only(&b); b.Empty() {
			t.Errorf("%+v is empty", b)
		}
	}
}
