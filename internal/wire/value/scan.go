package value

import (
	"encoding/binary"
	"unicode/utf8"
)

// features are what one pass over an item found that some conversion has to change.
type features uint16

const (
	hasWideInt       features = 1 << iota // an integer with an argument of 8 bytes
	hasLongInt                            // an integer whose head is longer than needed
	hasIntegralFloat                      // a float that canonical form writes as an integer
	hasBignum                             // tag 2 or 3
	hasUint8Array                         // tag 64
	hasSelfDescribed                      // tag 55799
	hasIndefinite                         // any indefinite length
	hasDollarPair                         // an array that may be an escape array
	hasBytes                              // a byte string
	hasUndefined
	hasTag       // any tag
	hasOddKey    // a map key that is an array, a map or a tag
	hasFloatDate // tag 1 on a float: canonical form has whole milliseconds
)

// scanner checks that items are well-formed and collects their features. It is the only reader of untrusted CBOR: what
// comes after it may rely on the structure.
type scanner struct {
	src  []byte
	pos  int
	seen features
}

// scan checks that src is exactly one item.
func scan(src []byte) (features, error) {
	s := scanner{src: src}
	if err := s.items(1, 0); err != nil {
		return 0, err
	}
	if s.pos != len(src) {
		return 0, s.fail(s.pos, "bytes after the item")
	}
	return s.seen, nil
}

func (s *scanner) fail(at int, reason string) error {
	return &SyntaxError{Format: "CBOR", Offset: at, Reason: reason}
}

// items passes n items that are inside of depth others.
func (s *scanner) items(n uint64, depth int) error {
	src := s.src
	for ; n > 0; n-- {
		at := s.pos
		if at >= len(src) {
			return s.fail(at, reasonEnd)
		}
		b := src[at]
		s.pos++
		info := b & infoMask
		arg := uint64(info)
		if info >= info8 {
			var err error
			if arg, err = s.argument(at, b); err != nil {
				return err
			}
		}
		switch b & majorMask {
		case majorUint, majorNegInt:
			if info >= info8 {
				if info == info64 {
					s.seen |= hasWideInt
				}
				if headLen(arg) != s.pos-at {
					s.seen |= hasLongInt
				}
			}
		case majorBytes, majorText:
			if err := s.str(at, b, arg); err != nil {
				return err
			}
		case majorArray, majorMap, majorTag:
			if depth >= MaxDepth {
				return s.fail(at, reasonDepth)
			}
			if err := s.container(at, b, arg, depth); err != nil {
				return err
			}
		case majorSimple:
			switch {
			case b == Undefined:
				s.seen |= hasUndefined
			case info == info8 && arg < 32:
				return s.fail(at, "simple value is not minimal")
			case info > info8:
				if _, ok := exactInt(floatOf(info, arg)); ok {
					s.seen |= hasIntegralFloat
				}
			}
		}
	}
	return nil
}

// argument reads what follows a head byte b whose info is at least info8.
func (s *scanner) argument(at int, b byte) (uint64, error) {
	rest := s.src[s.pos:]
	switch info := b & infoMask; {
	case info == info8 && len(rest) >= 1:
		s.pos++
		return uint64(rest[0]), nil
	case info == info16 && len(rest) >= 2:
		s.pos += 2
		return uint64(binary.BigEndian.Uint16(rest)), nil
	case info == info32 && len(rest) >= 4:
		s.pos += 4
		return uint64(binary.BigEndian.Uint32(rest)), nil
	case info == info64 && len(rest) >= 8:
		s.pos += 8
		return binary.BigEndian.Uint64(rest), nil
	case info <= info64:
		return 0, s.fail(at, reasonEnd)
	case info == infoIndefinite:
		switch b & majorMask {
		case majorBytes, majorText, majorArray, majorMap:
			s.seen |= hasIndefinite
			return 0, nil
		case majorSimple:
			return 0, s.fail(at, "break outside of an indefinite length")
		}
	}
	return 0, s.fail(at, "reserved head")
}

func (s *scanner) str(at int, b byte, n uint64) error {
	major := b & majorMask
	if major == majorBytes {
		s.seen |= hasBytes
	}
	if b&infoMask != infoIndefinite {
		if n > uint64(len(s.src)-s.pos) {
			return s.fail(at, "length is larger than what follows")
		}
		end := s.pos + int(n)
		if major == majorText && !utf8.Valid(s.src[s.pos:end]) {
			return s.fail(at, reasonUTF8)
		}
		s.pos = end
		return nil
	}
	for {
		at := s.pos
		if at >= len(s.src) {
			return s.fail(at, reasonEnd)
		}
		b := s.src[at]
		s.pos++
		if b == breakByte {
			return nil
		}
		if b&majorMask != major || b&infoMask == infoIndefinite {
			return s.fail(at, "chunk of another type")
		}
		arg := uint64(b & infoMask)
		if arg >= info8 {
			var err error
			if arg, err = s.argument(at, b); err != nil {
				return err
			}
		}
		if err := s.str(at, b, arg); err != nil {
			return err
		}
	}
}

// container passes the inside of the array, map or tag whose head was read.
func (s *scanner) container(at int, b byte, arg uint64, depth int) error {
	rest := uint64(len(s.src) - s.pos)
	indefinite := b&infoMask == infoIndefinite
	switch b & majorMask {
	case majorTag:
		s.seen |= hasTag
		switch arg {
		case tagBigUint, tagBigNegInt:
			s.seen |= hasBignum
		case tagUint8Array:
			s.seen |= hasUint8Array
		case tagSelfDescribed:
			s.seen |= hasSelfDescribed
		case tagDateSeconds:
			if s.pos < len(s.src) && s.src[s.pos] > majorSimple|info8 && s.src[s.pos] <= majorSimple|info64 {
				s.seen |= hasFloatDate
			}
		}
		return s.items(1, depth+1)
	case majorArray:
		if (indefinite || arg == 2) && s.atDollar() {
			s.seen |= hasDollarPair
		}
		if !indefinite {
			if arg > rest {
				return s.fail(at, "count is larger than what follows")
			}
			return s.items(arg, depth+1)
		}
	default:
		if !indefinite {
			if arg > rest/2 {
				return s.fail(at, "count is larger than what follows")
			}
			for ; arg > 0; arg-- {
				s.noteKey()
				if err := s.items(2, depth+1); err != nil {
					return err
				}
			}
			return nil
		}
	}
	perEntry := uint64(1)
	if b&majorMask == majorMap {
		perEntry = 2
	}
	for {
		if s.pos < len(s.src) && s.src[s.pos] == breakByte {
			s.pos++
			return nil
		}
		if perEntry == 2 {
			s.noteKey()
		}
		if err := s.items(perEntry, depth+1); err != nil {
			return err
		}
	}
}

// noteKey looks at the kind of the map key that comes next.
func (s *scanner) noteKey() {
	if s.pos < len(s.src) {
		if m := s.src[s.pos] & majorMask; m == majorArray || m == majorMap || m == majorTag {
			s.seen |= hasOddKey
		}
	}
}

// atDollar reports whether the next item may be a text that starts with '$'.
func (s *scanner) atDollar() bool {
	if s.pos >= len(s.src) {
		return false
	}
	b := s.src[s.pos]
	first := s.pos + 1
	switch info := b & infoMask; {
	case b&majorMask == majorTag:
		return true // the tag may be one that is dropped
	case b&majorMask != majorText || b == majorText:
		return false
	case info == infoIndefinite:
		return true
	case info >= info8:
		first += 1 << (info - info8)
	}
	return first < len(s.src) && s.src[first] == '$'
}

// Valid reports whether src is exactly one well-formed item, nested no deeper than MaxDepth. Errors are *SyntaxError.
func Valid(src []byte) error {
	_, err := scan(src)
	return err
}

// Skip passes one item and returns what follows it, borrowed. Errors are *SyntaxError.
func Skip(src []byte) (rest []byte, err error) {
	s := scanner{src: src}
	if err := s.items(1, 0); err != nil {
		return nil, err
	}
	return src[s.pos:], nil
}

// ArrayItems splits the array src into its items, which are borrowed. The result is not nil. Errors are *SyntaxError.
func ArrayItems(src []byte) ([][]byte, error) {
	r := NewReader(src)
	n := r.Array()
	items := make([][]byte, 0, max(0, min(n, 64)))
	for r.More(&n) {
		items = append(items, r.Raw())
	}
	if err := r.Done(); err != nil {
		return nil, err
	}
	return items, nil
}

// IsArray reports whether the item src is an array, looking at its head only.
func IsArray(src []byte) bool { return len(src) > 0 && src[0]&majorMask == majorArray }

// IsNil reports whether the item src is null, undefined or missing.
func IsNil(src []byte) bool {
	return len(src) == 0 || len(src) == 1 && (src[0] == Null || src[0] == Undefined)
}

// uint64Of returns the integer of a bignum's content.
func uint64Of(content []byte) (v uint64, ok bool) {
	for len(content) > 0 && content[0] == 0 {
		content = content[1:]
	}
	if len(content) > 8 {
		return 0, false
	}
	for _, b := range content {
		v = v<<8 | uint64(b)
	}
	return v, true
}

// inDouble reports whether the integer arg or -1-arg is within ±2^53, where doubles are exact.
func inDouble(major byte, arg uint64) bool {
	if major == majorNegInt {
		return arg < maxExact
	}
	return arg <= maxExact
}

// doubleOf is the integer arg or -1-arg as a double.
func doubleOf(major byte, arg uint64) float64 {
	if major == majorNegInt {
		return -1 - float64(arg)
	}
	return float64(arg)
}
