// Package codec turns Go values into the CBOR that travels, and back.
//
// Two forms exist. The wire form is read by JavaScript too: times are dates, void is undefined, object keys are the
// names in json or cbor tags. The stored form is ours alone: times keep nanoseconds and zone, map keys are sorted so
// that equal states have equal bytes.
//
// Arguments travel as one CBOR array. A value is sent as an array of one, a positional tuple (rivet.Args2, Args3, …)
// as its items, struct{} as no arguments at all.
package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"sync"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
)

// maxNesting bounds how deep a received value may nest. Values from outside were already held to the same bound.
const maxNesting = 128

var (
	wireEnc   = must(encMode(cbor.EncOptions{Time: cbor.TimeUnixDynamic, TimeTag: cbor.EncTagRequired, NilContainers: cbor.NilContainerAsNull, BigIntConvert: cbor.BigIntConvertNone, OmitEmpty: cbor.OmitEmptyGoValue}))
	storedEnc = must(encMode(cbor.EncOptions{Sort: cbor.SortBytewiseLexical, Time: cbor.TimeRFC3339Nano, TimeTag: cbor.EncTagRequired, BigIntConvert: cbor.BigIntConvertNone, OmitEmpty: cbor.OmitEmptyGoValue}))
	dec       = must(cbor.DecOptions{
		MaxNestedLevels: maxNesting, MaxArrayElements: 1 << 27, MaxMapPairs: 1 << 27,
		IntDec: cbor.IntDecConvertSignedOrBigInt, DefaultMapType: reflect.TypeFor[map[string]any](),
		BigIntDec: cbor.BigIntDecodePointer, UTF8: cbor.UTF8RejectInvalid,
	}.DecMode())
)

func encMode(o cbor.EncOptions) (cbor.UserBufferEncMode, error) { return o.UserBufferEncMode() }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // the options above are constants
	}
	return v
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func appendWith(dst []byte, m cbor.UserBufferEncMode, v any) ([]byte, error) {
	b := buffers.Get().(*bytes.Buffer)
	b.Reset()
	err := m.MarshalToBuffer(v, b)
	if err == nil {
		dst = append(dst, b.Bytes()...)
	}
	if b.Cap() <= 64<<10 { // a large value must not stay in the pool
		buffers.Put(b)
	}
	return dst, err
}

// AppendStored appends the stored form of v.
func AppendStored(dst []byte, v any) ([]byte, error) { return appendWith(dst, storedEnc, v) }

// AppendWire appends the wire form of v, a value or a pointer to one; struct{} becomes undefined.
func AppendWire(dst []byte, v any) ([]byte, error) {
	switch p := v.(type) {
	case struct{}, *struct{}:
		return append(dst, undefined), nil
	case *int64: // frequent, and cheap to do without reflection
		return appendInt(dst, *p), nil
	case *bool:
		if *p {
			return append(dst, 0xf5), nil
		}
		return append(dst, 0xf4), nil
	}
	return appendWith(dst, wireEnc, v)
}

func appendInt(dst []byte, n int64) []byte {
	major, u := byte(0), uint64(n)
	if n < 0 {
		major, u = 1<<5, uint64(-1-n)
	}
	switch {
	case u < 24:
		return append(dst, major|byte(u))
	case u <= math.MaxUint8:
		return append(dst, major|24, byte(u))
	case u <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, major|25), uint16(u))
	case u <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, major|26), uint32(u))
	}
	return binary.BigEndian.AppendUint64(append(dst, major|27), u)
}

// Decode reads one CBOR item of either form into v, a pointer.
func Decode(src []byte, v any) error {
	if len(src) == 0 {
		return io.ErrUnexpectedEOF
	}
	return dec.Unmarshal(src, v)
}

const (
	undefined = 0xf7
	null      = 0xf6
)

// Positional is implemented by tuples whose items are the arguments themselves. Pointers returns a pointer to each
// item, in order.
type Positional interface{ Pointers() []any }

// AppendArgs appends the CBOR array of arguments that v, a pointer to a value, a Positional or a *struct{}, stands for.
func AppendArgs(dst []byte, v any) ([]byte, error) {
	switch t := v.(type) {
	case *struct{}:
		return append(dst, 0x80), nil
	case Positional:
		items := t.Pointers()
		dst = append(dst, 0x80|byte(len(items)))
		var err error
		for _, p := range items {
			if dst, err = AppendWire(dst, p); err != nil {
				return dst, err
			}
		}
		return dst, nil
	}
	return AppendWire(append(dst, 0x81), v)
}

// ArgsError says why arguments do not fit what is declared. Its text is meant for the caller.
type ArgsError struct{ Reason string }

func (e *ArgsError) Error() string { return e.Reason }

// DecodeArgs reads a CBOR array of arguments into v, a pointer to a value, to a Positional or to struct{}. An argument
// that is missing or undefined leaves a pointer or an empty interface nil; for any other type it is an error. More
// arguments than declared are an error too. Errors are *ArgsError.
func DecodeArgs(args []byte, v any) error {
	if len(args) > 1 && args[0] == 0x81 { // one argument, the most frequent case, needs no list
		if _, tuple := v.(Positional); !tuple && decodePlain(args[1:], v) {
			return nil
		}
	}
	var items []cbor.RawMessage
	if err := dec.Unmarshal(args, &items); err != nil {
		return &ArgsError{Reason: "arguments are not a list"}
	}
	var targets []any
	switch t := v.(type) {
	case *struct{}:
	case Positional:
		targets = t.Pointers()
	default:
		targets = []any{v}
	}
	if len(items) > len(targets) {
		return &ArgsError{Reason: fmt.Sprintf("takes %s, got %d", arguments(len(targets)), len(items))}
	}
	for i, p := range targets {
		missing := i >= len(items) || (len(items[i]) == 1 && items[i][0] == undefined)
		if missing {
			if optional(p) {
				continue // an undefined item too: undefined is what the zero value stands for
			}
			if i >= len(items) {
				return &ArgsError{Reason: fmt.Sprintf("takes %s, got %d", arguments(len(targets)), len(items))}
			}
			return &ArgsError{Reason: fmt.Sprintf("argument %d is undefined, want %s", i+1, typeName(p))}
		}
		if len(items[i]) == 1 && items[i][0] == null && !nullable(p) {
			return &ArgsError{Reason: fmt.Sprintf("argument %d is null, want %s", i+1, typeName(p))}
		}
		if err := dec.Unmarshal(items[i], p); err != nil {
			return &ArgsError{Reason: fmt.Sprintf("argument %d does not fit %s: %s", i+1, typeName(p), reason(err))}
		}
	}
	return nil
}

// TrimArgs returns a CBOR array of arguments without those that v does not take; args itself when there are none.
func TrimArgs(args []byte, v any) []byte {
	takes := 1
	switch t := v.(type) {
	case *struct{}:
		takes = 0
	case Positional:
		takes = len(t.Pointers())
	}
	var items []cbor.RawMessage
	if err := dec.Unmarshal(args, &items); err != nil || len(items) <= takes {
		return args
	}
	out := []byte{0x80 | byte(takes)} // no tuple has more than a handful
	for _, item := range items[:takes] {
		out = append(out, item...)
	}
	return out
}

// decodePlain decodes the types that most actions take without reflection. It reports false for everything else, which
// includes whatever does not fit.
func decodePlain(item []byte, v any) bool {
	switch p := v.(type) {
	case *int64:
		n, ok := plainInt(item)
		if ok {
			*p = n
		}
		return ok
	case **int64:
		n, ok := plainInt(item)
		if ok {
			*p = &n
		}
		return ok
	case *string:
		if len(item) > 0 && item[0] >= 0x60 && item[0] < 0x78 && len(item) == 1+int(item[0]&0x1f) && utf8.Valid(item[1:]) {
			*p = string(item[1:])
			return true
		}
	}
	return false
}

// plainInt reads an integer of up to 32 bits.
func plainInt(item []byte) (int64, bool) {
	if len(item) == 0 {
		return 0, false
	}
	var n int64
	switch info := item[0] & 0x1f; {
	case info < 24 && len(item) == 1:
		n = int64(info)
	case info == 24 && len(item) == 2:
		n = int64(item[1])
	case info == 25 && len(item) == 3:
		n = int64(binary.BigEndian.Uint16(item[1:]))
	case info == 26 && len(item) == 5:
		n = int64(binary.BigEndian.Uint32(item[1:]))
	default:
		return 0, false
	}
	switch item[0] >> 5 {
	case 0:
		return n, true
	case 1:
		return -1 - n, true
	}
	return 0, false
}

func arguments(n int) string {
	switch n {
	case 0:
		return "no arguments"
	case 1:
		return "1 argument"
	}
	return fmt.Sprintf("%d arguments", n)
}

func typeName(p any) string { return reflect.TypeOf(p).Elem().String() }

// optional reports whether an argument may be missing: pointers, empty interfaces, and types that read CBOR themselves.
func optional(p any) bool {
	if _, ok := p.(cbor.Unmarshaler); ok {
		return true
	}
	switch reflect.TypeOf(p).Elem().Kind() {
	case reflect.Pointer, reflect.Interface:
		return true
	}
	return false
}

func nullable(p any) bool {
	if _, ok := p.(cbor.Unmarshaler); ok {
		return true
	}
	switch reflect.TypeOf(p).Elem().Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice:
		return true
	}
	return false
}

// DecodeValue reads one value from outside into v, a pointer. Undefined and null leave v as it is, unless it reads CBOR
// itself: it then tells null from undefined. Errors are *ArgsError.
func DecodeValue(src []byte, v any) error {
	if len(src) == 1 && (src[0] == undefined || src[0] == null) {
		if _, reads := v.(cbor.Unmarshaler); !reads || src[0] == undefined {
			return nil
		}
	}
	if err := dec.Unmarshal(src, v); err != nil {
		return &ArgsError{Reason: fmt.Sprintf("does not fit %s: %s", typeName(v), reason(err))}
	}
	return nil
}

// reason shortens a decoder's error to what the caller can act on.
func reason(err error) string {
	var te *cbor.UnmarshalTypeError
	if errors.As(err, &te) {
		if te.StructFieldName != "" {
			return fmt.Sprintf("field %s: got %s, want %s", te.StructFieldName, te.CBORType, te.GoType)
		}
		return fmt.Sprintf("got %s", te.CBORType)
	}
	return err.Error()
}
