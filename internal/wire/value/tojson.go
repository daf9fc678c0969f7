package value

import (
	"encoding/base64"
	"math"
	"strconv"
	"strings"
	"time"
)

// UndefinedForm is how ToJSON writes what older clients do not know in JSON: undefined and sets.
type UndefinedForm uint8

const (
	// UndefinedNull writes undefined as null and a set as an array. Every client reads it.
	UndefinedNull UndefinedForm = iota
	// UndefinedEscape writes ["$Undefined",0] and ["$Set",[…]], which clients before 2.2 refuse.
	UndefinedEscape
)

// ToJSON appends the item src, canonical or any other CBOR, as JSON.
//
//	byte string, Uint8Array              ["$Uint8Array","base64"]
//	bigint, integer outside of ±2^53     ["$BigInt","decimal"]
//	undefined, set                       see UndefinedForm
//	NaN, infinity, unassigned simple     null
//	date                                 its ISO 8601 text with milliseconds
//	Map                                  an object if all keys are strings, else an array of pairs
//	RegExp                               its source between slashes, and its flags
//	other typed array                    an array of numbers
//	other tag                            its content
//	map with an array, map or tag as key an array of pairs
//	other key that is no string          the string that JavaScript makes of it; base64 of bytes
//
// A float prints as JavaScript prints it, except that integral ones beyond 2^53 have an exponent: FromJSON then returns
// a float for a float. An array of two that would be taken for an escape array gets one more '$'.
//
// Errors are *SyntaxError; a bigint of more than MaxBigIntBytes is one.
func ToJSON(dst, src []byte, undefined UndefinedForm) ([]byte, error) {
	seen, err := scan(src)
	if err != nil {
		return dst, err
	}
	w := jsonWriter{src: src, dst: dst, undefined: undefined, oddKeys: seen&hasOddKey != 0, tooBig: -1}
	w.item()
	if w.tooBig >= 0 {
		return dst, &SyntaxError{Format: "CBOR", Offset: w.tooBig, Reason: "bigint is too large"}
	}
	return w.dst, nil
}

// AppendJSONString appends s as a JSON string. Invalid UTF-8 becomes U+FFFD.
func AppendJSONString(dst []byte, s string) []byte {
	return appendQuoted(dst, strings.ToValidUTF8(s, "\uFFFD"))
}

// jsonWriter writes one item that a scan found to be well-formed.
type jsonWriter struct {
	src       []byte
	pos       int
	dst       []byte
	undefined UndefinedForm
	oddKeys   bool // a map somewhere has a key that cannot be made a string
	tooBig    int  // where the first bigint is that is too large to be written; -1: none
}

func (w *jsonWriter) item() {
	at := w.pos
	major, info, arg, next := readHead(w.src, at)
	switch major {
	case majorUint, majorNegInt:
		w.pos = next
		w.integer(major, arg)
	case majorBytes:
		var content []byte
		content, w.pos = stringAt(w.src, at)
		w.bytes(content)
	case majorText:
		var content []byte
		content, w.pos = stringAt(w.src, at)
		w.dst = appendQuoted(w.dst, content)
	case majorArray:
		w.array(true)
	case majorMap:
		if w.oddKeys && !w.keys(isScalar) {
			w.pairs()
		} else {
			w.object()
		}
	case majorTag:
		w.tag()
	default:
		w.pos = next
		w.simple(info, arg)
	}
}

func (w *jsonWriter) simple(info byte, arg uint64) {
	switch {
	case info > info8:
		w.dst = appendFloat(w.dst, floatOf(info, arg))
	case arg == True&infoMask:
		w.dst = append(w.dst, "true"...)
	case arg == False&infoMask:
		w.dst = append(w.dst, "false"...)
	case arg == Undefined&infoMask && w.undefined == UndefinedEscape:
		w.dst = append(w.dst, `["$Undefined",0]`...)
	default:
		w.dst = append(w.dst, "null"...)
	}
}

func (w *jsonWriter) integer(major byte, arg uint64) {
	exact := inDouble(major, arg)
	if !exact {
		w.dst = append(w.dst, `["$BigInt","`...)
	}
	w.dst = appendInteger(w.dst, major, arg)
	if !exact {
		w.dst = append(w.dst, `"]`...)
	}
}

func appendInteger(dst []byte, major byte, arg uint64) []byte {
	if major == majorNegInt {
		return appendNegDecimal(dst, arg)
	}
	return strconv.AppendUint(dst, arg, 10)
}

func (w *jsonWriter) bytes(content []byte) {
	w.dst = append(w.dst, `["$Uint8Array","`...)
	w.dst = base64.StdEncoding.AppendEncode(w.dst, content)
	w.dst = append(w.dst, `"]`...)
}

// more reports whether an array or map has another entry; entries counts those before. It passes the break.
func (w *jsonWriter) more(info byte, n uint64, entries int) bool {
	if info != infoIndefinite {
		return uint64(entries) < n
	}
	if w.src[w.pos] == breakByte {
		w.pos++
		return false
	}
	return true
}

// array writes an array. pair says that an array of two must not look like an escape array.
func (w *jsonWriter) array(pair bool) {
	_, info, n, next := readHead(w.src, w.pos)
	w.pos = next
	start := len(w.dst)
	w.dst = append(w.dst, '[')
	count := 0
	for ; w.more(info, n, count); count++ {
		if count > 0 {
			w.dst = append(w.dst, ',')
		}
		w.item()
	}
	w.dst = append(w.dst, ']')
	if pair && count == 2 {
		w.protect(start)
	}
}

// protect adds a '$' to the array of two at dst[start:] if its first item came out as a string that starts with one.
func (w *jsonWriter) protect(start int) {
	if w.dst[start+1] == '"' && w.dst[start+2] == '$' {
		w.dst = openGap(w.dst, start+2, 1)
		w.dst[start+2] = '$'
	}
}

func (w *jsonWriter) object() {
	_, info, n, next := readHead(w.src, w.pos)
	w.pos = next
	w.dst = append(w.dst, '{')
	for count := 0; w.more(info, n, count); count++ {
		if count > 0 {
			w.dst = append(w.dst, ',')
		}
		w.key()
		w.dst = append(w.dst, ':')
		w.item()
	}
	w.dst = append(w.dst, '}')
}

// key writes a map key that is no array, map or tag.
func (w *jsonWriter) key() {
	major, info, arg, next := readHead(w.src, w.pos)
	if major == majorText {
		w.item()
		return
	}
	w.dst = append(w.dst, '"')
	switch major {
	case majorUint, majorNegInt:
		w.pos = next
		w.dst = appendInteger(w.dst, major, arg)
	case majorBytes:
		var content []byte
		content, w.pos = stringAt(w.src, w.pos)
		w.dst = base64.StdEncoding.AppendEncode(w.dst, content)
	default:
		w.pos = next
		switch v := floatOf(info, arg); {
		case info <= info8 && arg == Undefined&infoMask:
			w.dst = append(w.dst, "undefined"...)
		case info <= info8:
			w.simple(info, arg)
		case v != v:
			w.dst = append(w.dst, "NaN"...)
		case math.IsInf(v, 1):
			w.dst = append(w.dst, "Infinity"...)
		case math.IsInf(v, -1):
			w.dst = append(w.dst, "-Infinity"...)
		default:
			w.dst = appendFloat(w.dst, v)
		}
	}
	w.dst = append(w.dst, '"')
}

func (w *jsonWriter) tag() {
	at := w.pos
	_, _, tag, next := readHead(w.src, at)
	w.pos = next
	major := w.src[next] & majorMask
	switch {
	case (tag == tagBigUint || tag == tagBigNegInt) && major == majorBytes:
		var content []byte
		content, w.pos = stringAt(w.src, next)
		w.dst = append(w.dst, `["$BigInt","`...)
		var ok bool
		if w.dst, ok = appendDecimal(w.dst, tag, content); !ok && w.tooBig < 0 {
			w.tooBig = at
		}
		w.dst = append(w.dst, `"]`...)
	case tag == tagDateText && major == majorText:
		w.dateText()
	case tag == tagDateSeconds:
		w.dateSeconds()
	case tag == tagSet && major == majorArray:
		if w.undefined == UndefinedEscape {
			w.dst = append(w.dst, `["$Set",`...)
			w.array(false)
			w.dst = append(w.dst, ']')
		} else {
			w.array(true)
		}
	case tag == tagMap && major == majorMap:
		if w.keys(isText) {
			w.object()
		} else {
			w.pairs()
		}
	case tag == tagObject && w.regExp():
	case tag >= tagTypedFirst && tag <= tagTypedLast && major == majorBytes:
		content, end := stringAt(w.src, next)
		if tag == tagUint8Array || !w.typedArray(byte(tag), content) {
			w.bytes(content)
		}
		w.pos = end
	default:
		w.item()
	}
}

// keys reports whether all keys of the map at the current position are of a kind.
func (w *jsonWriter) keys(are func(Kind) bool) bool {
	r := Reader{src: w.src, pos: w.pos}
	for n := r.Map(); r.More(&n); {
		if !are(r.Kind()) {
			return false
		}
		r.Raw()
		r.Raw()
	}
	return true
}

func isText(k Kind) bool { return k == KindText }

func isScalar(k Kind) bool { return k != KindArray && k != KindMap && k != KindTag }

// pairs writes a map as an array of pairs.
func (w *jsonWriter) pairs() {
	_, info, n, next := readHead(w.src, w.pos)
	w.pos = next
	w.dst = append(w.dst, '[')
	for count := 0; w.more(info, n, count); count++ {
		if count > 0 {
			w.dst = append(w.dst, ',')
		}
		start := len(w.dst)
		w.dst = append(w.dst, '[')
		w.item()
		w.dst = append(w.dst, ',')
		w.item()
		w.dst = append(w.dst, ']')
		w.protect(start)
	}
	w.dst = append(w.dst, ']')
}

// regExp writes the regular expression whose array ["RegExp", source, flags] is at the current position. It reports
// false and writes nothing when something else is there.
func (w *jsonWriter) regExp() bool {
	r := Reader{src: w.src, pos: w.pos}
	if r.Kind() != KindArray {
		return false
	}
	var parts [3][]byte
	n := r.Array()
	for i := range parts {
		if !r.More(&n) || r.Kind() != KindText {
			return false
		}
		parts[i] = r.Text()
	}
	if r.More(&n) || r.Err() != nil || string(parts[0]) != "RegExp" {
		return false
	}
	w.pos = r.pos
	source := append(append(append([]byte("/"), parts[1]...), '/'), parts[2]...)
	w.dst = appendQuoted(w.dst, source)
	return true
}

// typedArray writes the items of an array of RFC 8746. It reports false and writes nothing when content is not a whole
// number of them or the tag is unassigned.
func (w *jsonWriter) typedArray(tag byte, content []byte) bool {
	const (
		floatBit  = 1 << 4
		signedBit = 1 << 3
		littleBit = 1 << 2
	)
	kind := tag - tagTypedFirst
	size := 1 << (kind & 3)
	if kind&floatBit != 0 {
		size *= 2
	}
	if size > 8 || len(content)%size != 0 || kind == signedBit|littleBit {
		return false
	}
	w.dst = append(w.dst, '[')
	for i := 0; i < len(content); i += size {
		if i > 0 {
			w.dst = append(w.dst, ',')
		}
		var v uint64
		for j := range size {
			if kind&littleBit != 0 && size > 1 {
				v |= uint64(content[i+j]) << (8 * j)
			} else {
				v = v<<8 | uint64(content[i+j])
			}
		}
		switch {
		case kind&floatBit != 0:
			w.dst = appendFloat(w.dst, floatOf(info16+byte(size/4), v))
		case kind&signedBit != 0 && v>>(8*size-1) != 0:
			w.integer(majorNegInt, ^v&(math.MaxUint64>>(64-8*size)))
		default:
			w.integer(majorUint, v)
		}
	}
	w.dst = append(w.dst, ']')
	return true
}

// dateText writes a date that is given as text in the form that all dates have, or as it is if it cannot be read.
func (w *jsonWriter) dateText() {
	content, end := stringAt(w.src, w.pos)
	w.pos = end
	t, err := time.Parse(time.RFC3339Nano, string(content))
	if err != nil {
		w.dst = appendQuoted(w.dst, content)
		return
	}
	w.dst = appendDate(w.dst, float64(t.UnixMilli()))
}

func (w *jsonWriter) dateSeconds() {
	major, info, arg, next := readHead(w.src, w.pos)
	if major == majorTag && (arg == tagBigUint || arg == tagBigNegInt) && w.src[next]&majorMask == majorBytes {
		content, end := stringAt(w.src, next)
		if v, ok := uint64Of(content); ok {
			major, arg, next = byte(arg-tagBigUint)<<5, v, end
		}
	}
	switch {
	case major == majorUint || major == majorNegInt:
		w.pos = next
		w.dst = appendDate(w.dst, doubleOf(major, arg)*1000)
	case major == majorSimple && info > info8:
		w.pos = next
		w.dst = appendDate(w.dst, math.Round(floatOf(info, arg)*1000))
	default:
		w.item()
	}
}

// appendDate appends the ISO 8601 text of an instant, in milliseconds since 1970, as JavaScript writes it; null if it is
// outside of what JavaScript can hold.
func appendDate(dst []byte, ms float64) []byte {
	const maxDate = 8.64e15
	if !(ms >= -maxDate && ms <= maxDate) {
		return append(dst, "null"...)
	}
	t := time.UnixMilli(int64(ms)).UTC()
	dst = append(dst, '"')
	if y := t.Year(); y >= 0 && y <= 9999 {
		dst = t.AppendFormat(dst, "2006")
	} else {
		sign := byte('+')
		if y < 0 {
			sign, y = '-', -y
		}
		dst = append(dst, sign)
		for unit := 100000; unit > 0; unit /= 10 {
			dst = append(dst, byte('0'+y/unit%10))
		}
	}
	return t.AppendFormat(dst, `-01-02T15:04:05.000Z"`)
}

// appendFloat appends the shortest decimal that reads back as v.
func appendFloat(dst []byte, v float64) []byte {
	if i, ok := exactInt(v); ok {
		return strconv.AppendInt(dst, i, 10)
	}
	if v != v || math.IsInf(v, 0) {
		return append(dst, "null"...)
	}
	abs := math.Abs(v)
	if abs >= 1e-6 && abs < maxExact {
		return strconv.AppendFloat(dst, v, 'f', -1, 64)
	}
	dst = strconv.AppendFloat(dst, v, 'e', -1, 64)
	if n := len(dst); dst[n-4] == 'e' && dst[n-2] == '0' { // e-09 is written e-9
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}

const hexDigits = "0123456789abcdef"

// appendQuoted appends s, which is valid UTF-8, as a JSON string.
func appendQuoted[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(append(dst, s[from:]...), '"')
}
