// Package value is how user values travel: CBOR inside the system, converted once at each edge.
//
// # Canonical form
//
// Between the edges a value is one CBOR item (RFC 8949) in this form:
//
//	JavaScript                   canonical CBOR
//	undefined                    f7
//	null, true, false            f6, f5, f4
//	number, integral, ≤ 2^53     integer, shortest head
//	other number                 float, as it came (half, single or double)
//	bigint                       tag 2 or 3 and a byte string
//	string                       text
//	Uint8Array, ArrayBuffer      byte string
//	Date                         tag 1 and seconds
//	Set, Map                     tag 258 and an array, tag 259 and a map
//	array, object                array, map
//	other typed arrays, RegExp   the tags that JavaScript's CBOR library gives them
//
// Integers up to 64 bits that a program wrote as integers stay integers. Nothing has an indefinite length, but the heads
// of strings, arrays, maps and tags may be longer than needed. Unknown tags are kept. FromJSON and Import produce the form; ToJSON and Export accept it and any other well-formed CBOR.
//
// # Escape arrays
//
// JSON has no undefined, bigint, bytes or sets, so the official clients write arrays of two whose first item is a string
// that starts with '$': ["$Undefined",0], ["$BigInt","5"], ["$Uint8Array","AQI="], ["$ArrayBuffer","AQI="] and
// ["$Set",[1,2]]. A user's own array of two that starts with such a string gets one more '$'. They write the same arrays
// inside CBOR.
//
// # Guarantees
//
// Every function is safe for hostile input: nesting is bounded by MaxDepth, counts are checked against the bytes that
// remain, and the output is at most a small multiple of the input. Functions named Append or taking dst append to it
// and return the extended slice; when they fail they return dst as it was. None keeps a reference to its arguments
// unless it says "borrowed".
package value

import "fmt"

// MaxDepth is how many arrays, maps and tags an item may be inside of.
const MaxDepth = 128

// MaxBigIntBytes bounds the magnitude of a bigint where it is converted from or to decimal, which takes time quadratic
// in its length.
const MaxBigIntBytes = 4096

// SyntaxError says why and where a text or an item is not what it should be.
type SyntaxError struct {
	Format string // "JSON" or "CBOR"
	Offset int    // bytes from the start of the input
	Reason string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s: %s at byte %d", e.Format, e.Reason, e.Offset)
}

const (
	reasonDepth = "nested deeper than 128 levels"
	reasonEnd   = "unexpected end"
	reasonUTF8  = "string is not valid UTF-8"
)
