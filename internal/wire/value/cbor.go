package value

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// Items that are one byte.
const (
	False     = 0xf4
	True      = 0xf5
	Null      = 0xf6
	Undefined = 0xf7
)

// The first byte of an item: three bits of major type, five of info, which is the argument itself below 24.
const (
	majorMask = 0xe0
	infoMask  = 0x1f

	majorUint   = 0 << 5
	majorNegInt = 1 << 5 // the argument n stands for -1-n
	majorBytes  = 2 << 5
	majorText   = 3 << 5
	majorArray  = 4 << 5
	majorMap    = 5 << 5
	majorTag    = 6 << 5
	majorSimple = 7 << 5

	info8          = 24
	info16         = 25
	info32         = 26
	info64         = 27
	infoIndefinite = 31

	breakByte = 0xff
	float64Of = majorSimple | info64
	arrayOf2  = majorArray | 2
)

// The tags that mean something to us.
const (
	tagDateText      = 0
	tagDateSeconds   = 1
	tagBigUint       = 2
	tagBigNegInt     = 3
	tagObject        = 27 // a class of JavaScript: its name and what it was made from
	tagTypedFirst    = 64 // RFC 8746, up to tagTypedLast
	tagUint8Array    = 64
	tagTypedLast     = 87
	tagSet           = 258
	tagMap           = 259
	tagSelfDescribed = 55799
)

// maxExact is the largest integer up to which JavaScript numbers are exact.
const maxExact = 1 << 53

// AppendUint appends the integer v.
func AppendUint(dst []byte, v uint64) []byte { return appendHead(dst, majorUint, v) }

// AppendUintWide appends the integer v in 8 bytes even if it needs fewer, which JavaScript reads as a bigint.
func AppendUintWide(dst []byte, v uint64) []byte { return appendWide(dst, majorUint, v) }

// AppendInt appends the integer v.
func AppendInt(dst []byte, v int64) []byte {
	if v < 0 {
		return appendHead(dst, majorNegInt, ^uint64(v))
	}
	return appendHead(dst, majorUint, uint64(v))
}

// AppendFloat appends the number v in canonical form: an integer when v is one and its magnitude is at most 2^53, else a
// double.
func AppendFloat(dst []byte, v float64) []byte {
	if i, ok := exactInt(v); ok {
		return AppendInt(dst, i)
	}
	return appendDouble(dst, v)
}

// AppendBool appends true or false.
func AppendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, True)
	}
	return append(dst, False)
}

// AppendText appends a text, which must be valid UTF-8.
func AppendText(dst []byte, s string) []byte {
	return append(appendHead(dst, majorText, uint64(len(s))), s...)
}

// AppendBytes appends a byte string.
func AppendBytes(dst, b []byte) []byte {
	return append(appendHead(dst, majorBytes, uint64(len(b))), b...)
}

// AppendArrayHead appends the head of an array; its n items follow.
func AppendArrayHead(dst []byte, n int) []byte { return appendHead(dst, majorArray, uint64(n)) }

// AppendMapHead appends the head of a map; its n keys and values follow, alternating.
func AppendMapHead(dst []byte, n int) []byte { return appendHead(dst, majorMap, uint64(n)) }

// AppendTag appends a tag; its content follows.
func AppendTag(dst []byte, tag uint64) []byte { return appendHead(dst, majorTag, tag) }

func appendDouble(dst []byte, v float64) []byte {
	if v != v {
		v = math.NaN() // one bit pattern, whatever the payload was
	}
	return binary.BigEndian.AppendUint64(append(dst, float64Of), math.Float64bits(v))
}

// appendBignum appends the integer arg or -1-arg as a JavaScript bigint.
func appendBignum(dst []byte, major byte, arg uint64) []byte {
	tag := byte(tagBigUint)
	if major == majorNegInt {
		tag = tagBigNegInt
	}
	n := (bits.Len64(arg) + 7) / 8
	dst = append(dst, majorTag|tag, majorBytes|byte(n))
	for n--; n >= 0; n-- {
		dst = append(dst, byte(arg>>(8*n)))
	}
	return dst
}

// exactInt converts a float that is an integer of magnitude at most 2^53. Negative zero becomes 0.
func exactInt(v float64) (int64, bool) {
	if !(v >= -maxExact && v <= maxExact) {
		return 0, false
	}
	i := int64(v)
	return i, float64(i) == v
}

func headLen(arg uint64) int {
	switch {
	case arg < info8:
		return 1
	case arg <= math.MaxUint8:
		return 2
	case arg <= math.MaxUint16:
		return 3
	case arg <= math.MaxUint32:
		return 5
	}
	return 9
}

func appendHead(dst []byte, major byte, arg uint64) []byte {
	switch {
	case arg < info8:
		return append(dst, major|byte(arg))
	case arg <= math.MaxUint8:
		return append(dst, major|info8, byte(arg))
	case arg <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, major|info16), uint16(arg))
	case arg <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, major|info32), uint32(arg))
	}
	return binary.BigEndian.AppendUint64(append(dst, major|info64), arg)
}

// appendWide appends a head of 9 bytes whatever arg is.
func appendWide(dst []byte, major byte, arg uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, major|info64), arg)
}

// putHead writes a head of headLen(arg) bytes over the front of dst.
func putHead(dst []byte, major byte, arg uint64) { appendHead(dst[:0], major, arg) }

// insertHead puts a head in front of dst[at:].
func insertHead(dst []byte, at int, major byte, arg uint64) []byte {
	dst = openGap(dst, at, headLen(arg))
	putHead(dst[at:], major, arg)
	return dst
}

// fixHead turns the one byte at dst[at], which was kept free, into a head, moving what follows if one byte is too short.
func fixHead(dst []byte, at int, major byte, arg uint64) []byte {
	dst = openGap(dst, at+1, headLen(arg)-1)
	putHead(dst[at:], major, arg)
	return dst
}

// openGap moves dst[at:] up by n bytes.
func openGap(dst []byte, at, n int) []byte {
	if n == 0 {
		return dst
	}
	var gap [9]byte
	end := len(dst)
	dst = append(dst, gap[:n]...)
	copy(dst[at+n:], dst[at:end])
	return dst
}

// readHead reads the head at src[pos]. src must be well-formed there. For floats and simple values of two bytes arg
// holds the bits; for indefinite lengths it is meaningless.
func readHead(src []byte, pos int) (major, info byte, arg uint64, next int) {
	b := src[pos]
	major, info = b&majorMask, b&infoMask
	switch info {
	case info8:
		return major, info, uint64(src[pos+1]), pos + 2
	case info16:
		return major, info, uint64(binary.BigEndian.Uint16(src[pos+1:])), pos + 3
	case info32:
		return major, info, uint64(binary.BigEndian.Uint32(src[pos+1:])), pos + 5
	case info64:
		return major, info, binary.BigEndian.Uint64(src[pos+1:]), pos + 9
	}
	return major, info, uint64(info), pos + 1
}

// floatOf is the number that a float's head holds.
func floatOf(info byte, arg uint64) float64 {
	switch info {
	case info16:
		return halfFloat(uint16(arg))
	case info32:
		return float64(math.Float32frombits(uint32(arg)))
	}
	return math.Float64frombits(arg)
}

func halfFloat(h uint16) float64 {
	exp, mant := int(h>>10&0x1f), float64(h&0x3ff)
	var v float64
	switch exp {
	case 0:
		v = math.Ldexp(mant, -24)
	case 31:
		if mant != 0 {
			return math.NaN()
		}
		v = math.Inf(1)
	default:
		v = math.Ldexp(mant+1024, exp-25)
	}
	if h&0x8000 != 0 {
		return -v
	}
	return v
}

// stringAt returns the content of the text or byte string at src[pos], which must be well-formed, and where it ends.
// The content is borrowed unless the string has an indefinite length.
func stringAt(src []byte, pos int) (content []byte, next int) {
	_, info, n, next := readHead(src, pos)
	if info != infoIndefinite {
		return src[next : next+int(n)], next + int(n)
	}
	content = []byte{}
	for src[next] != breakByte {
		var chunk []byte
		chunk, next = stringAt(src, next)
		content = append(content, chunk...)
	}
	return content, next + 1
}
