package value

import "math"

// Import appends the item src, as a client wrote it, in canonical form. js says that the client is JavaScript, where an
// integer of 8 bytes is a bigint; without it such integers stay integers.
//
// Escape arrays are resolved. An array that only looks like one (an unknown name, or a second item that does not fit
// the name) stays as it is: clients that write plain CBOR do not escape their own arrays.
//
// Errors are *SyntaxError.
func Import(dst, src []byte, js bool) ([]byte, error) {
	canonical, err := isCanonical(src, js)
	if err != nil {
		return dst, err
	}
	if canonical {
		return append(dst, src...), nil
	}
	t := transcoder{src: src, dst: dst, importing: true, bigints: js}
	t.item()
	return t.dst, nil
}

// ImportShared is Import into memory of its own, except that src itself is returned, borrowed, when there is nothing to
// change.
func ImportShared(src []byte, js bool) ([]byte, error) {
	canonical, err := isCanonical(src, js)
	if err != nil {
		return nil, err
	}
	if canonical {
		return src, nil
	}
	t := transcoder{src: src, dst: make([]byte, 0, len(src)), importing: true, bigints: js}
	t.item()
	return t.dst, nil
}

func isCanonical(src []byte, js bool) (bool, error) {
	seen, err := scan(src)
	changed := hasLongInt | hasIntegralFloat | hasUint8Array | hasSelfDescribed | hasIndefinite | hasDollarPair | hasFloatDate
	if js {
		changed |= hasWideInt
	}
	return seen&changed == 0, err
}

// Export appends the item src in the form that JavaScript clients read best: integers outside of ±2^32 are doubles, since
// an integer of 8 bytes would become a bigint; only those outside of ±2^53 keep their 8 bytes, and bigints that fit get
// them. Nothing has an indefinite length. With escape, arrays of two that a client would take for escape arrays are
// protected; a client that knows no escape arrays must get none.
//
// Errors are *SyntaxError.
func Export(dst, src []byte, escape bool) ([]byte, error) {
	seen, err := scan(src)
	if err != nil {
		return dst, err
	}
	changed := hasWideInt | hasBignum | hasIndefinite | hasFloatDate
	if escape {
		changed |= hasDollarPair
	}
	if seen&changed == 0 {
		return append(dst, src...), nil
	}
	t := transcoder{src: src, dst: dst, escape: escape}
	t.item()
	return t.dst, nil
}

// ExportEscaped appends the item src using only what JSON can hold, in CBOR: everything else is an escape array, or
// what ToJSON makes of it. The official actors accept nothing more in a cbor message.
//
// Errors are *SyntaxError.
func ExportEscaped(dst, src []byte) ([]byte, error) {
	seen, err := scan(src)
	if err != nil {
		return dst, err
	}
	if seen&(hasBytes|hasUndefined|hasTag) == 0 {
		return Export(dst, src, true)
	}
	text, err := ToJSON(nil, src, UndefinedEscape)
	if err != nil {
		return dst, err
	}
	p := jsonParser{src: text, literal: true}
	if err := p.document(); err != nil {
		return dst, err
	}
	return Export(dst, p.dst, false)
}

// transcoder rewrites one item that a scan found to be well-formed. What it writes has definite lengths and shortest
// heads.
type transcoder struct {
	src []byte
	pos int
	dst []byte

	importing bool
	bigints   bool // when importing: integers of 8 bytes are bigints
	escape    bool // when exporting: protect arrays that look like escape arrays
}

func (t *transcoder) item() {
	at := t.pos
	major, info, arg, next := readHead(t.src, at)
	switch major {
	case majorUint, majorNegInt:
		t.pos = next
		t.integer(major, info, arg)
	case majorBytes, majorText:
		var content []byte
		content, t.pos = stringAt(t.src, at)
		t.dst = append(appendHead(t.dst, major, uint64(len(content))), content...)
	case majorArray:
		t.array(true)
	case majorMap:
		t.mapping()
	case majorTag:
		t.tag()
	default:
		t.pos = next
		if t.importing && info > info8 {
			if i, ok := exactInt(floatOf(info, arg)); ok {
				t.dst = AppendInt(t.dst, i)
				return
			}
		}
		t.dst = append(t.dst, t.src[at:next]...)
	}
}

func (t *transcoder) integer(major, info byte, arg uint64) {
	switch {
	case t.importing && t.bigints && info == info64:
		t.dst = appendBignum(t.dst, major, arg)
	case !t.importing && arg>>32 != 0 && inDouble(major, arg):
		t.dst = appendDouble(t.dst, doubleOf(major, arg))
	default:
		t.dst = appendHead(t.dst, major, arg)
	}
}

// more reports whether an array or map has another entry; entries counts those before. It passes the break.
func (t *transcoder) more(info byte, n uint64, entries int) bool {
	if info != infoIndefinite {
		return uint64(entries) < n
	}
	if t.src[t.pos] == breakByte {
		t.pos++
		return false
	}
	return true
}

// array rewrites an array. pair says that an array of two is an escape array, or has to be protected from being one.
func (t *transcoder) array(pair bool) {
	_, info, n, next := readHead(t.src, t.pos)
	t.pos = next
	start := len(t.dst)
	t.dst = append(t.dst, 0)
	count := 0
	for t.more(info, n, count) {
		if t.importing && pair && count == 1 && t.src[t.pos]&majorMask == majorArray && startsSet(t.dst[start:]) {
			t.setItems(info, n)
		} else {
			t.item()
		}
		count++
	}
	t.dst = fixHead(t.dst, start, majorArray, uint64(count))
	switch {
	case count != 2 || !pair:
	case t.importing:
		t.dst, _ = resolvePair(t.dst, start)
	case t.escape:
		t.dst = escapePair(t.dst, start)
	}
}

// setItems rewrites the second item of an array whose first item is "$Set".
func (t *transcoder) setItems(info byte, n uint64) {
	start := len(t.dst)
	t.array(false)
	last := n == 2
	if info == infoIndefinite {
		last = t.src[t.pos] == breakByte
	}
	if !last && t.dst[start] == arrayOf2 { // more items follow, so it was an item like any other
		t.dst, _ = resolvePair(t.dst, start)
	}
}

func (t *transcoder) mapping() {
	_, info, n, next := readHead(t.src, t.pos)
	t.pos = next
	start := len(t.dst)
	t.dst = append(t.dst, 0)
	count := 0
	bigints := t.bigints
	for t.more(info, n, count) {
		t.bigints = false // an integer key is a name, as in JSON: as a bigint it would make the object a list of pairs
		t.item()
		t.bigints = bigints
		t.item()
		count++
	}
	t.dst = fixHead(t.dst, start, majorMap, uint64(count))
}

func (t *transcoder) tag() {
	_, _, tag, next := readHead(t.src, t.pos)
	t.pos = next
	major := t.src[next] & majorMask
	switch {
	case t.importing && tag == tagSelfDescribed, t.importing && tag == tagUint8Array && major == majorBytes:
		t.item()
		return
	case !t.importing && (tag == tagBigUint || tag == tagBigNegInt) && major == majorBytes:
		content, end := stringAt(t.src, next)
		if v, ok := uint64Of(content); ok {
			t.pos = end
			t.dst = appendWide(t.dst, byte(tag-tagBigUint)<<5, v)
			return
		}
	}
	t.dst = appendHead(t.dst, majorTag, tag)
	if tag == tagDateSeconds && major == majorSimple {
		if _, info, arg, end := readHead(t.src, next); info > info8 && info <= info64 {
			t.pos = end
			seconds := floatOf(info, arg)
			if t.importing {
				seconds = wholeMillis(seconds)
			} else {
				seconds = nearestMillis(seconds)
			}
			t.dst = appendDouble(t.dst, seconds)
			return
		}
	}
	if tag == tagSet && major == majorArray {
		t.array(false)
		return
	}
	bigints := t.bigints
	t.bigints = bigints && tag != tagDateSeconds // the seconds of a date are a number, however large
	t.item()
	t.bigints = bigints
}

// wholeMillis is the double for the seconds of a date that came as a double: dates have milliseconds, which a double of
// seconds only comes close to. The result is the nearest double that is not below the millisecond, so that whoever cuts
// off what is finer than a millisecond gets the right one.
func wholeMillis(seconds float64) float64 {
	millis := math.Round(seconds * 1000)
	if math.Abs(millis) > 1<<53 || math.IsNaN(millis) {
		return seconds
	}
	whole := math.Floor(millis / 1000)
	d := millis / 1000
	if (d-whole)*1e9 < (millis-whole*1000)*1e6 {
		d = math.Nextafter(d, math.Inf(1))
	}
	return d
}

// nearestMillis undoes wholeMillis, for clients that round by themselves.
func nearestMillis(seconds float64) float64 {
	if d := math.Round(seconds*1000) / 1000; wholeMillis(seconds) == seconds && math.Nextafter(d, seconds) == seconds {
		return d
	}
	return seconds
}
