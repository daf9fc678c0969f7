package value

// Reader pulls items from the front of a slice, for messages whose shape is known beforehand. The first failure sticks:
// from then on every method returns a zero value, so a caller reads a whole message and then asks Done once. All errors
// are *SyntaxError.
type Reader struct {
	src []byte
	pos int
	err error
}

// NewReader returns a Reader of src, which must not change while anything borrowed from the Reader is in use.
func NewReader(src []byte) Reader { return Reader{src: src} }

// Kind is what an item is.
type Kind uint8

// The kinds of items. KindNone is what Kind returns at the end of the input and after a failure.
const (
	KindNone   Kind = iota
	KindInt         // an integer, also a negative one
	KindBytes       // a byte string
	KindText        // a text
	KindArray       // an array
	KindMap         // a map
	KindTag         // a tagged item
	KindBool        // true or false
	KindNil         // null or undefined
	KindFloat       // a float
	KindSimple      // any other simple value
)

// Err is the first failure, nil when there was none.
func (r *Reader) Err() error { return r.err }

// Done returns the first failure; bytes that were not read are one.
func (r *Reader) Done() error {
	if r.err == nil && r.pos != len(r.src) {
		r.Fail("bytes after the item")
	}
	return r.err
}

// Fail records a failure that the caller found at the current offset. An earlier failure stays.
func (r *Reader) Fail(reason string) {
	if r.err == nil {
		r.err = &SyntaxError{Format: "CBOR", Offset: r.pos, Reason: reason}
	}
}

// Kind is the kind of the next item. It reads nothing.
func (r *Reader) Kind() Kind {
	if r.err != nil || r.pos >= len(r.src) {
		return KindNone
	}
	switch b := r.src[r.pos]; b & majorMask {
	case majorUint, majorNegInt:
		return KindInt
	case majorBytes:
		return KindBytes
	case majorText:
		return KindText
	case majorArray:
		return KindArray
	case majorMap:
		return KindMap
	case majorTag:
		return KindTag
	default:
		switch {
		case b == True || b == False:
			return KindBool
		case b == Null || b == Undefined:
			return KindNil
		case b == breakByte:
			return KindNone
		case b&infoMask > info8:
			return KindFloat
		}
		return KindSimple
	}
}

// head reads a head of one major type.
func (r *Reader) head(major byte, otherwise string) (info byte, arg uint64) {
	if r.err != nil {
		return 0, 0
	}
	if r.pos >= len(r.src) {
		r.Fail(reasonEnd)
		return 0, 0
	}
	b := r.src[r.pos]
	if b&majorMask != major {
		r.Fail(otherwise)
		return 0, 0
	}
	info = b & infoMask
	if info < info8 {
		r.pos++
		return info, uint64(info)
	}
	s := scanner{src: r.src, pos: r.pos + 1}
	arg, r.err = s.argument(r.pos, b)
	r.pos = s.pos
	return info, arg
}

// Array reads the head of an array and returns how many items follow, for More.
func (r *Reader) Array() int {
	info, n := r.head(majorArray, "not an array")
	return r.count(info, n, 1)
}

// Map reads the head of a map and returns how many pairs follow, for More.
func (r *Reader) Map() int {
	info, n := r.head(majorMap, "not a map")
	return r.count(info, n, 2)
}

// count is what Array and Map return: -1 stands for an indefinite length.
func (r *Reader) count(info byte, n, itemsPerEntry uint64) int {
	if r.err == nil && info == infoIndefinite {
		return -1
	}
	if n > uint64(len(r.src)-r.pos)/itemsPerEntry {
		r.Fail("count is larger than what follows")
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}

// More reports whether another item or pair follows and counts it. n comes from Array or Map:
//
//	for n := r.Map(); r.More(&n); {
//		key := r.Text()
//		value := r.Raw()
//	}
func (r *Reader) More(n *int) bool {
	switch {
	case r.err != nil || *n == 0:
		return false
	case *n > 0:
		*n--
		return true
	case r.pos < len(r.src) && r.src[r.pos] == breakByte:
		r.pos++
		*n = 0
		return false
	}
	return true
}

// Raw reads one item of any kind. It is borrowed, well-formed and nested no deeper than MaxDepth.
func (r *Reader) Raw() []byte {
	if r.err != nil {
		return nil
	}
	at := r.pos
	s := scanner{src: r.src, pos: r.pos}
	r.err = s.items(1, 0)
	r.pos = s.pos
	if r.err != nil {
		return nil
	}
	return r.src[at:s.pos:s.pos]
}

// Text reads a text. It is borrowed unless it has an indefinite length.
func (r *Reader) Text() []byte {
	if r.Kind() != KindText {
		r.failKind("not a text")
		return nil
	}
	item := r.Raw()
	if item == nil {
		return nil
	}
	content, _ := stringAt(item, 0)
	return content
}

// Bytes reads a byte string. It is borrowed unless it has an indefinite length.
func (r *Reader) Bytes() []byte {
	if r.Kind() != KindBytes {
		r.failKind("not a byte string")
		return nil
	}
	item := r.Raw()
	if item == nil {
		return nil
	}
	content, _ := stringAt(item, 0)
	return content
}

// Bool reads true or false.
func (r *Reader) Bool() bool {
	if r.Kind() != KindBool {
		r.failKind("not a boolean")
		return false
	}
	r.pos++
	return r.src[r.pos-1] == True
}

// Nil reports whether the next item is null or undefined, and reads it if so.
func (r *Reader) Nil() bool {
	if r.Kind() != KindNil {
		return false
	}
	r.pos++
	return true
}

// Uint reads an integer that is not negative and fits 64 bits, in any form: also a bigint, and a float that is exact,
// which is how JavaScript writes a number beyond 32 bits.
func (r *Reader) Uint() uint64 {
	const reason = "not an unsigned integer of 64 bits"
	kind := r.Kind()
	if kind != KindTag && kind != KindFloat {
		_, arg := r.head(majorUint, reason)
		return arg
	}
	at := r.pos
	item := r.Raw()
	if item == nil {
		return 0
	}
	_, info, arg, next := readHead(item, 0)
	if kind == KindFloat {
		if v, ok := exactInt(floatOf(info, arg)); ok && v >= 0 {
			return uint64(v)
		}
	} else if arg == tagBigUint && item[next]&majorMask == majorBytes {
		content, _ := stringAt(item, next)
		if v, ok := uint64Of(content); ok {
			return v
		}
	}
	r.pos = at
	r.Fail(reason)
	return 0
}

func (r *Reader) failKind(reason string) {
	if r.err == nil && r.pos >= len(r.src) {
		reason = reasonEnd
	}
	r.Fail(reason)
}
