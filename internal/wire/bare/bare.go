// Package bare writes and reads the primitives of BARE, the binary encoding of the official protocols.
//
//	uint          LEB128, least significant group first, minimal, at most 10 bytes
//	u8…u64, i64   fixed width, little-endian, two's complement
//	bool          00 or 01
//	str, data     uint byte length, then the bytes; str is valid UTF-8
//	optional      00, or 01 and the value
//	list, map     uint count, then the items or the pairs
//	union         uint tag, then the member
//	struct        the fields in order
//
// Writers append to a slice. The Reader checks every length against the bytes that remain before anything is
// allocated, so hostile input costs no more memory than its own size times what the caller makes of an item.
package bare

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// AppendUint appends v as a uint.
func AppendUint(dst []byte, v uint64) []byte { return binary.AppendUvarint(dst, v) }

// UintLen is the number of bytes that AppendUint appends.
func UintLen(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

// AppendU8 appends v as a u8.
func AppendU8(dst []byte, v uint8) []byte { return append(dst, v) }

// AppendU16 appends v as a u16.
func AppendU16(dst []byte, v uint16) []byte { return binary.LittleEndian.AppendUint16(dst, v) }

// AppendU32 appends v as a u32.
func AppendU32(dst []byte, v uint32) []byte { return binary.LittleEndian.AppendUint32(dst, v) }

// AppendU64 appends v as a u64.
func AppendU64(dst []byte, v uint64) []byte { return binary.LittleEndian.AppendUint64(dst, v) }

// AppendI64 appends v as an i64.
func AppendI64(dst []byte, v int64) []byte { return binary.LittleEndian.AppendUint64(dst, uint64(v)) }

// AppendBool appends v as a bool.
func AppendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// AppendString appends s as a str. s must be valid UTF-8: readers reject anything else.
func AppendString(dst []byte, s string) []byte { return append(AppendUint(dst, uint64(len(s))), s...) }

// AppendData appends b as data.
func AppendData(dst, b []byte) []byte { return append(AppendUint(dst, uint64(len(b))), b...) }

// AppendOptional appends the byte in front of an optional value. When present is true the caller appends the value next.
func AppendOptional(dst []byte, present bool) []byte { return AppendBool(dst, present) }

// SyntaxError says why and where bytes are not what was expected.
type SyntaxError struct {
	Offset int // bytes from the start of the input
	Reason string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("bare: %s at byte %d", e.Reason, e.Offset) }

// Reader reads values from the front of a slice. The first failure sticks: from then on every method returns a zero
// value, so a caller reads a whole message and then asks Err or Done once. All errors are *SyntaxError. The zero Reader
// reads an empty input.
type Reader struct {
	buf []byte
	pos int
	err error
}

// NewReader returns a Reader of buf, which must not change while the Reader or anything borrowed from it is in use.
func NewReader(buf []byte) Reader { return Reader{buf: buf} }

// Err is the first failure, nil when there was none.
func (r *Reader) Err() error { return r.err }

// Offset is how many bytes were read.
func (r *Reader) Offset() int { return r.pos }

// Remaining is how many bytes were not yet read; 0 after a failure.
func (r *Reader) Remaining() int {
	if r.err != nil {
		return 0
	}
	return len(r.buf) - r.pos
}

// Done returns the first failure; bytes that were not read are one.
func (r *Reader) Done() error {
	if r.err == nil && r.pos != len(r.buf) {
		r.Fail(fmt.Sprintf("%d bytes too many", len(r.buf)-r.pos))
	}
	return r.err
}

// Fail records a failure that the caller found, an unknown union tag for example, at the current offset. An earlier
// failure stays.
func (r *Reader) Fail(reason string) { r.failAt(r.pos, reason) }

func (r *Reader) failAt(offset int, reason string) {
	if r.err == nil {
		r.err = &SyntaxError{Offset: offset, Reason: reason}
	}
}

// take returns the next n bytes, or nil after recording a failure.
func (r *Reader) take(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n > len(r.buf)-r.pos {
		r.Fail("unexpected end")
		return nil
	}
	b := r.buf[r.pos : r.pos+n : r.pos+n]
	r.pos += n
	return b
}

// Uint reads a uint. A form longer than needed is a failure.
func (r *Reader) Uint() uint64 {
	if r.err != nil {
		return 0
	}
	if r.pos < len(r.buf) && r.buf[r.pos] < 0x80 {
		r.pos++
		return uint64(r.buf[r.pos-1])
	}
	v, n := binary.Uvarint(r.buf[r.pos:])
	switch {
	case n == 0:
		// Uvarint also asks for more when ten continuation bytes have gone by, which no input can satisfy.
		if len(r.buf)-r.pos >= binary.MaxVarintLen64 {
			r.Fail("uint is larger than 64 bits")
		} else {
			r.Fail("unexpected end")
		}
		return 0
	case n < 0:
		r.Fail("uint is larger than 64 bits")
		return 0
	case r.buf[r.pos+n-1] == 0:
		r.Fail("uint is not minimal")
		return 0
	}
	r.pos += n
	return v
}

// U8 reads a u8.
func (r *Reader) U8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

// U16 reads a u16.
func (r *Reader) U16() uint16 {
	if b := r.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

// U32 reads a u32.
func (r *Reader) U32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// U64 reads a u64.
func (r *Reader) U64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// I64 reads an i64.
func (r *Reader) I64() int64 { return int64(r.U64()) }

// Bool reads a bool. A byte other than 0 and 1 is a failure.
func (r *Reader) Bool() bool {
	b := r.U8()
	if b > 1 {
		r.failAt(r.pos-1, "bool is neither 0 nor 1")
		return false
	}
	return b == 1
}

// Optional reads the byte in front of an optional value and reports whether the value follows.
func (r *Reader) Optional() bool { return r.Bool() }

// Data reads data. The slice is borrowed from the input and empty, not nil, when there are no bytes; nil after a failure.
func (r *Reader) Data() []byte {
	at := r.pos
	n := r.Uint()
	if r.err != nil {
		return nil
	}
	if n > uint64(len(r.buf)-r.pos) {
		r.failAt(at, "length is larger than what follows")
		return nil
	}
	return r.take(int(n))
}

// DataCopy reads data into memory of its own.
func (r *Reader) DataCopy() []byte {
	b := r.Data()
	if b == nil {
		return nil
	}
	return append(make([]byte, 0, len(b)), b...)
}

// String reads a str. Invalid UTF-8 is a failure.
func (r *Reader) String() string { return string(r.StringBytes()) }

// StringBytes reads a str without copying it; the slice is borrowed from the input.
func (r *Reader) StringBytes() []byte {
	at := r.pos
	b := r.Data()
	if !utf8.Valid(b) {
		r.failAt(at, "string is not valid UTF-8")
		return nil
	}
	return b
}

// Fixed reads n bytes that have no length in front. The slice is borrowed from the input.
func (r *Reader) Fixed(n int) []byte { return r.take(n) }

// ListLen reads the count of a list or a map. minItemBytes is the least an item (of a map: a pair) can take; a count
// that could not fit what remains is a failure, so the result is safe to allocate by.
func (r *Reader) ListLen(minItemBytes int) int {
	at := r.pos
	n := r.Uint()
	if r.err != nil {
		return 0
	}
	if n > uint64((len(r.buf)-r.pos)/max(minItemBytes, 1)) {
		r.failAt(at, "count is larger than what follows")
		return 0
	}
	return int(n)
}
