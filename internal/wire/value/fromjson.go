package value

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// FromJSON appends the JSON text src (RFC 8259, nothing before or after it) in canonical form. Escape arrays are
// resolved; one that is unknown or malformed is an error, since those who write them escape their own arrays.
//
// A number written without fraction and exponent stays an integer up to 64 bits, so that clients of other languages keep
// their digits. Of equal keys in an object the last one counts. Half of a surrogate pair becomes U+FFFD.
//
// Errors are *SyntaxError.
func FromJSON(dst, src []byte) ([]byte, error) {
	p := jsonParser{src: src, dst: dst}
	if err := p.document(); err != nil {
		return dst, err
	}
	return p.dst, nil
}

type jsonParser struct {
	src []byte
	pos int
	dst []byte

	// keys is a stack: for each object being read, where in dst its keys start.
	keys intStack
	// literal keeps escape arrays as they are.
	literal bool
}

func (p *jsonParser) fail(at int, reason string) error {
	return &SyntaxError{Format: "JSON", Offset: at, Reason: reason}
}

func (p *jsonParser) document() error {
	if err := p.value(0); err != nil {
		return err
	}
	if p.peek() != 0 || p.pos < len(p.src) {
		return p.fail(p.pos, "text after the value")
	}
	return nil
}

// peek passes white space and returns the next byte, 0 at the end. A 0 in the text is never valid either.
func (p *jsonParser) peek() byte {
	for p.pos < len(p.src) {
		switch c := p.src[p.pos]; c {
		case ' ', '\t', '\n', '\r':
			p.pos++
		default:
			return c
		}
	}
	return 0
}

// unexpected is the failure at the current byte.
func (p *jsonParser) unexpected() error {
	if p.pos >= len(p.src) {
		return p.fail(p.pos, reasonEnd)
	}
	return p.fail(p.pos, "unexpected "+strconv.QuoteRune(rune(p.src[p.pos])))
}

func (p *jsonParser) value(depth int) error {
	switch c := p.peek(); c {
	case '"':
		return p.str()
	case '[':
		return p.array(depth, !p.literal)
	case '{':
		return p.object(depth)
	case 't':
		return p.word("true", True)
	case 'f':
		return p.word("false", False)
	case 'n':
		return p.word("null", Null)
	default:
		if c == '-' || c >= '0' && c <= '9' {
			return p.number()
		}
	}
	return p.unexpected()
}

func (p *jsonParser) word(w string, item byte) error {
	if !bytes.HasPrefix(p.src[p.pos:], []byte(w)) {
		return p.unexpected()
	}
	p.pos += len(w)
	p.dst = append(p.dst, item)
	return nil
}

// array reads an array. pair says that an array of two may be an escape array.
func (p *jsonParser) array(depth int, pair bool) error {
	at := p.pos
	if depth >= MaxDepth {
		return p.fail(at, reasonDepth)
	}
	p.pos++
	start := len(p.dst)
	p.dst = append(p.dst, majorArray)
	if p.peek() == ']' {
		p.pos++
		return nil
	}
	count := uint64(0)
	for {
		itemStart, itemAt := len(p.dst), p.pos
		inSet := pair && count == 1 && p.peek() == '[' && startsSet(p.dst[start:])
		var err error
		if inSet {
			err = p.array(depth+1, false)
		} else {
			err = p.value(depth + 1)
		}
		if err != nil {
			return err
		}
		count++
		c := p.peek()
		if c == ']' {
			p.pos++
			break
		}
		if c != ',' {
			return p.unexpected()
		}
		p.pos++
		if inSet && p.dst[itemStart] == arrayOf2 { // more items follow, so it was an item like any other
			if err := p.resolve(itemStart, itemAt); err != nil {
				return err
			}
		}
	}
	p.dst = fixHead(p.dst, start, majorArray, count)
	if pair && count == 2 {
		return p.resolve(start, at)
	}
	return nil
}

func (p *jsonParser) resolve(start, at int) error {
	var reason string
	if p.dst, reason = resolvePair(p.dst, start); reason != "" {
		return p.fail(at, reason)
	}
	return nil
}

func (p *jsonParser) object(depth int) error {
	if depth >= MaxDepth {
		return p.fail(p.pos, reasonDepth)
	}
	p.pos++
	start := len(p.dst)
	p.dst = append(p.dst, majorMap)
	if p.peek() == '}' {
		p.pos++
		return nil
	}
	base := p.keys.n
	for {
		if p.peek() != '"' {
			return p.unexpected()
		}
		p.keys.push(len(p.dst))
		if err := p.str(); err != nil {
			return err
		}
		if p.peek() != ':' {
			return p.unexpected()
		}
		p.pos++
		if err := p.value(depth + 1); err != nil {
			return err
		}
		c := p.peek()
		if c == '}' {
			p.pos++
			break
		}
		if c != ',' {
			return p.unexpected()
		}
		p.pos++
		p.peek()
	}
	count := p.keys.n - base
	if count > 1 {
		count = p.dropRepeated(base)
	}
	p.keys.cut(base)
	p.dst = fixHead(p.dst, start, majorMap, uint64(count))
	return nil
}

// keyAt is the key at dst[at], head included, which keeps keys apart as well as the text would.
func (p *jsonParser) keyAt(at int) []byte {
	_, end := stringAt(p.dst, at)
	return p.dst[at:end]
}

// dropRepeated removes the entries of the object whose keys are those from base on that have the key of a later entry,
// and returns how many are left. It takes n log n time whatever the keys are.
func (p *jsonParser) dropRepeated(base int) int {
	var buf, orderBuf [32]int
	starts := buf[:0]
	for i := base; i < p.keys.n; i++ {
		starts = append(starts, p.keys.at(i))
	}
	n := len(starts)
	const drop = -1 // instead of a start
	repeated := false
	if n <= 8 {
		for i := range n {
			for j := i + 1; j < n; j++ {
				a, b := starts[i], starts[j]
				if p.dst[a] == p.dst[b] && bytes.Equal(p.keyAt(a), p.keyAt(b)) {
					starts[i] = drop
					repeated = true
					break
				}
			}
		}
	} else {
		order := orderBuf[:0]
		for i := range n {
			order = append(order, i)
		}
		slices.SortStableFunc(order, func(i, j int) int {
			return bytes.Compare(p.keyAt(starts[i]), p.keyAt(starts[j]))
		})
		for k := 1; k < n; k++ {
			i, j := order[k-1], order[k] // i is the earlier one if they are equal, and not looked at again
			if bytes.Equal(p.keyAt(starts[i]), p.keyAt(starts[j])) {
				starts[i] = drop
				repeated = true
			}
		}
	}
	if !repeated {
		return n
	}
	left := 0
	to := p.keys.at(base)
	for i, from := range starts {
		if from == drop {
			continue
		}
		end := len(p.dst)
		if i+1 < n {
			end = p.keys.at(base + i + 1)
		}
		to += copy(p.dst[to:], p.dst[from:end])
		left++
	}
	p.dst = p.dst[:to]
	return left
}

// intStack is a stack whose first items need no memory of their own.
type intStack struct {
	n     int
	first [24]int
	rest  []int
}

func (s *intStack) push(v int) {
	if s.n < len(s.first) {
		s.first[s.n] = v
	} else {
		s.rest = append(s.rest, v)
	}
	s.n++
}

func (s *intStack) at(i int) int {
	if i < len(s.first) {
		return s.first[i]
	}
	return s.rest[i-len(s.first)]
}

// cut drops the items from n on.
func (s *intStack) cut(n int) {
	s.n = n
	s.rest = s.rest[:max(0, n-len(s.first))]
}

// str reads a string, at whose quote the parser is.
func (p *jsonParser) str() error {
	at := p.pos
	s := p.src[at+1:]
	i := plainLen(s)
	if i == len(s) {
		return p.fail(at, "string does not end")
	}
	if s[i] == '"' {
		if !utf8.Valid(s[:i]) {
			return p.fail(at, reasonUTF8)
		}
		p.dst = append(appendHead(p.dst, majorText, uint64(i)), s[:i]...)
		p.pos += i + 2
		return nil
	}
	start := len(p.dst)
	p.pos++
	for {
		s := p.src[p.pos:]
		i := plainLen(s)
		p.dst = append(p.dst, s[:i]...)
		p.pos += i
		switch {
		case i == len(s):
			return p.fail(at, "string does not end")
		case s[i] == '"':
			p.pos++
			text := p.dst[start:]
			if !utf8.Valid(text) {
				return p.fail(at, reasonUTF8)
			}
			p.dst = insertHead(p.dst, start, majorText, uint64(len(text)))
			return nil
		case s[i] == '\\':
			if err := p.escaped(); err != nil {
				return err
			}
		default:
			return p.fail(p.pos, "control character in a string")
		}
	}
}

// plainLen is how many bytes at the front of s stand for themselves inside a string.
func plainLen(s []byte) int {
	for i, c := range s {
		if c == '"' || c == '\\' || c < ' ' {
			return i
		}
	}
	return len(s)
}

// escaped reads one escape sequence, at whose backslash the parser is.
func (p *jsonParser) escaped() error {
	s := p.src[p.pos:]
	if len(s) < 2 {
		return p.fail(p.pos, reasonEnd)
	}
	c := s[1]
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		r, ok := hex4(s[2:])
		if !ok {
			return p.fail(p.pos, "malformed escape sequence")
		}
		p.pos += 6
		if utf16.IsSurrogate(r) {
			pair := rune(utf8.RuneError)
			if s = p.src[p.pos:]; len(s) >= 2 && s[0] == '\\' && s[1] == 'u' {
				if low, ok := hex4(s[2:]); ok {
					pair = utf16.DecodeRune(r, low)
				}
			}
			if r = pair; r != utf8.RuneError {
				p.pos += 6
			}
		}
		p.dst = utf8.AppendRune(p.dst, r)
		return nil
	default:
		return p.fail(p.pos, "unknown escape sequence")
	}
	p.dst = append(p.dst, c)
	p.pos += 2
	return nil
}

func hex4(s []byte) (r rune, ok bool) {
	if len(s) < 4 {
		return 0, false
	}
	for _, c := range s[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

func (p *jsonParser) number() error {
	at := p.pos
	s := p.src[at:]
	i := 0
	negative := s[0] == '-'
	if negative {
		i++
	}
	first := i
	var v uint64
	fits := true
	for ; i < len(s) && isDigit(s[i]); i++ {
		d := uint64(s[i] - '0')
		if v > (math.MaxUint64-d)/10 {
			fits = false
		}
		v = v*10 + d
	}
	if i == first || s[first] == '0' && i > first+1 {
		return p.fail(at, "malformed number")
	}
	integer := true
	if i < len(s) && s[i] == '.' {
		integer = false
		first = i + 1
		for i = first; i < len(s) && isDigit(s[i]); i++ {
		}
		if i == first {
			return p.fail(at, "malformed number")
		}
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		integer = false
		if i++; i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		first = i
		for ; i < len(s) && isDigit(s[i]); i++ {
		}
		if i == first {
			return p.fail(at, "malformed number")
		}
	}
	p.pos += i
	switch {
	case integer && fits && negative && v > 0:
		p.dst = appendHead(p.dst, majorNegInt, v-1)
	case integer && fits:
		p.dst = appendHead(p.dst, majorUint, v)
	default:
		f, err := strconv.ParseFloat(string(s[:i]), 64)
		if err != nil {
			return p.fail(at, "number is out of range")
		}
		p.dst = AppendFloat(p.dst, f)
	}
	return nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
