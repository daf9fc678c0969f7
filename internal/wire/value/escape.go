package value

import (
	"encoding/base64"
	"math/big"
	"strconv"
)

const (
	escUndefined   = "$Undefined"
	escBigInt      = "$BigInt"
	escUint8Array  = "$Uint8Array"
	escArrayBuffer = "$ArrayBuffer"
	escSet         = "$Set"
)

// startsSet reports whether array, the part of an array in canonical form that was written so far, is a head of one byte
// and the text "$Set". The second item of such an array is not itself looked at as an escape array.
func startsSet(array []byte) bool {
	return len(array) == 2+len(escSet) && array[1] == majorText|byte(len(escSet)) && string(array[2:]) == escSet
}

// resolvePair replaces dst[start:], an array of two in canonical form, by what it stands for. An array that is no escape
// array stays as it is. reason says why an array that starts like one cannot be resolved; dst is then unchanged.
func resolvePair(dst []byte, start int) (out []byte, reason string) {
	if dst[start+1]&majorMask != majorText {
		return dst, ""
	}
	name, second := stringAt(dst, start+1)
	if len(name) == 0 || name[0] != '$' {
		return dst, ""
	}
	kind := dst[second] & majorMask
	switch string(name) {
	case escUndefined:
		return append(dst[:start], Undefined), ""
	case escBigInt:
		if kind != majorText {
			return dst, "$BigInt without a string"
		}
		decimal, _ := stringAt(dst, second)
		return resolveBigInt(dst, start, decimal)
	case escUint8Array, escArrayBuffer:
		if kind != majorText {
			return dst, string(name) + " without a string"
		}
		encoded, end := stringAt(dst, second)
		dst, err := base64.StdEncoding.AppendDecode(dst, encoded)
		if err != nil {
			return dst[:end], string(name) + " without valid base64"
		}
		n := len(dst) - end
		head := headLen(uint64(n))
		copy(dst[start+head:], dst[end:])
		putHead(dst[start:], majorBytes, uint64(n))
		return dst[:start+head+n], ""
	case escSet:
		if kind != majorArray {
			return dst, "$Set without an array"
		}
		head := headLen(tagSet)
		n := copy(dst[start+head:], dst[second:])
		putHead(dst[start:], majorTag, tagSet)
		return dst[:start+head+n], ""
	}
	if len(name) > 1 && name[1] == '$' {
		n := len(name) - 1
		head := headLen(uint64(n))
		moved := copy(dst[start+1+head:], dst[second-n:])
		putHead(dst[start+1:], majorText, uint64(n))
		return dst[:start+1+head+moved], ""
	}
	return dst, "unknown escape array"
}

// resolveBigInt replaces dst[start:] by the bigint that decimal, which lies inside of it, spells.
func resolveBigInt(dst []byte, start int, decimal []byte) (out []byte, reason string) {
	digits, negative := decimal, false
	if len(digits) > 0 && digits[0] == '-' {
		digits, negative = digits[1:], true
	}
	if len(digits) == 0 {
		return dst, "$BigInt without digits"
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return dst, "$BigInt with a character that is no digit"
		}
	}
	if len(digits) < len("18446744073709551615") {
		var v uint64
		for _, c := range digits {
			v = v*10 + uint64(c-'0')
		}
		if negative && v > 0 {
			return appendBignum(dst[:start], majorNegInt, v-1), ""
		}
		return appendBignum(dst[:start], majorUint, v), ""
	}
	if len(digits) > maxBigIntDigits {
		return dst, "$BigInt with too many digits"
	}
	v, _ := new(big.Int).SetString(string(digits), 10)
	tag := byte(tagBigUint)
	if negative && v.Sign() > 0 {
		tag = tagBigNegInt
		v.Sub(v, big.NewInt(1))
	}
	if v.BitLen() > 8*MaxBigIntBytes {
		return dst, "$BigInt with too many digits"
	}
	return AppendBytes(append(dst[:start], majorTag|tag), v.Bytes()), ""
}

// maxBigIntDigits is at least the number of digits that a bigint of MaxBigIntBytes can have.
const maxBigIntDigits = MaxBigIntBytes*2409/1000 + 1

// appendDecimal appends the bigint that a bignum tag and its content stand for, in decimal. ok is false when it is larger
// than MaxBigIntBytes.
func appendDecimal(dst []byte, tag uint64, content []byte) (out []byte, ok bool) {
	if v, ok := uint64Of(content); ok {
		if tag == tagBigUint {
			return strconv.AppendUint(dst, v, 10), true
		}
		return appendNegDecimal(dst, v), true
	}
	if len(content) > MaxBigIntBytes {
		return dst, false
	}
	v := new(big.Int).SetBytes(content)
	if tag == tagBigNegInt {
		v.Not(v)
	}
	return v.Append(dst, 10), true
}

// appendNegDecimal appends -1-arg in decimal.
func appendNegDecimal(dst []byte, arg uint64) []byte {
	if arg+1 == 0 {
		return append(dst, "-18446744073709551616"...)
	}
	return strconv.AppendUint(append(dst, '-'), arg+1, 10)
}

// escapePair adds a '$' to the first item of dst[start:], an array of two in canonical form, when that is a text that
// starts with one.
func escapePair(dst []byte, start int) []byte {
	if dst[start+1]&majorMask != majorText {
		return dst
	}
	name, second := stringAt(dst, start+1)
	if len(name) == 0 || name[0] != '$' {
		return dst
	}
	n := len(name)
	at := second - n
	dst = openGap(dst, at, 1)
	dst[at] = '$'
	if grow := headLen(uint64(n+1)) - (at - start - 1); grow > 0 {
		dst = openGap(dst, at, grow)
	}
	putHead(dst[start+1:], majorText, uint64(n+1))
	return dst
}
