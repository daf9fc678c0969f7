// Package id is the 19-byte identifier of actors, namespaces and requests, and its 30-character text form.
//
// Byte 0 is the format version (1), bytes 1 to 16 are a random UUID (version 4), bytes 17 and 18 are the label of the
// datacenter that made the id, big-endian. The text is the 19 bytes read as one little-endian integer, in base 36 with
// the least significant digit first, padded with '0' to 30 digits of 0-9 and a-z. Clients treat it as opaque.
package id

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"math/bits"
	"sync"
)

// Size is the length of an ID in bytes, TextLen that of its text.
const (
	Size    = 19
	TextLen = 30
)

// formatVersion is the only value of byte 0 that this program knows.
const formatVersion = 1

// ID identifies one actor, namespace or request. IDs are comparable; the zero ID identifies nothing.
type ID [Size]byte

// ParseError says why a text is not an ID.
type ParseError struct {
	Reason string
}

func (e *ParseError) Error() string { return "invalid id: " + e.Reason }

// New returns a fresh random ID made in the datacenter with the given label.
func New(label uint16) ID {
	var d ID
	d[0] = formatVersion
	randomness.read(d[1:17])
	d[7] = d[7]&0x0f | 0x40
	d[9] = d[9]&0x3f | 0x80
	binary.BigEndian.PutUint16(d[17:], label)
	return d
}

// randomness hands out bytes from the system's generator, which is asked for many at once: an id is made for every
// request.
var randomness pool

type pool struct {
	mu   sync.Mutex // guards all below
	buf  [1024]byte
	left int
}

func (p *pool) read(dst []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left < len(dst) {
		rand.Read(p.buf[:]) // never fails: it ends the process rather than return an error
		p.left = len(p.buf)
	}
	from := p.buf[p.left-len(dst) : p.left]
	copy(dst, from)
	clear(from)
	p.left -= len(dst)
}

// Label is the label of the datacenter that made the ID.
func (d ID) Label() uint16 { return binary.BigEndian.Uint16(d[17:]) }

// IsZero reports whether d is the zero ID.
func (d ID) IsZero() bool { return d == ID{} }

const digits = "0123456789abcdefghijklmnopqrstuvwxyz"

// digitValue maps an ASCII byte to its digit, 0xff for bytes that are none.
var digitValue = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i := range digits {
		t[digits[i]] = byte(i)
		if i >= 10 {
			t[digits[i]-'a'+'A'] = byte(i)
		}
	}
	return t
}()

// The integer is converted in chunks of 12 digits, the most whose range (36^12) fits a uint64.
const (
	pow6  = 36 * 36 * 36 * 36 * 36 * 36
	pow12 = pow6 * pow6
)

// String returns the text of the ID.
func (d ID) String() string {
	t := d.text()
	return string(t[:])
}

// AppendText appends the text of the ID and never fails.
func (d ID) AppendText(dst []byte) ([]byte, error) {
	t := d.text()
	return append(dst, t[:]...), nil
}

// MarshalText returns the text of the ID and never fails.
func (d ID) MarshalText() ([]byte, error) { return d.AppendText(nil) }

// UnmarshalText is Parse.
func (d *ID) UnmarshalText(text []byte) error {
	v, err := parse(text)
	if err == nil {
		*d = v
	}
	return err
}

// Parse reads the text of an ID. Upper-case letters are accepted. Errors are *ParseError.
func Parse(s string) (ID, error) { return parse(s) }

func (d ID) text() (out [TextLen]byte) {
	w0 := binary.LittleEndian.Uint64(d[0:])
	w1 := binary.LittleEndian.Uint64(d[8:])
	w2 := uint64(d[16]) | uint64(d[17])<<8 | uint64(d[18])<<16
	for at := 0; at < 24; at += 12 {
		var r uint64
		w2, r = w2/pow12, w2%pow12
		w1, r = bits.Div64(r, w1, pow12)
		w0, r = bits.Div64(r, w0, pow12)
		putDigits(out[at:at+6], uint32(r%pow6))
		putDigits(out[at+6:at+12], uint32(r/pow6))
	}
	// 2^152 / 36^24 is below 36^6, so what is left fits six digits.
	putDigits(out[24:], uint32(w0))
	return out
}

func putDigits(dst []byte, v uint32) {
	for i := range dst {
		dst[i] = digits[v%36]
		v /= 36
	}
}

func parse[T string | []byte](s T) (d ID, err error) {
	if len(s) != TextLen {
		return ID{}, &ParseError{Reason: fmt.Sprintf("%d characters, want %d", len(s), TextLen)}
	}
	var chunks [3]uint64 // 12, 12 and 6 digits
	var bad byte
	for i := TextLen - 1; i >= 0; i-- {
		x := digitValue[s[i]]
		bad |= x
		chunks[i/12] = chunks[i/12]*36 + uint64(x)
	}
	if bad&0x80 != 0 {
		return ID{}, &ParseError{Reason: "a character other than 0-9 and a-z"}
	}

	// (chunks[2] * 36^12 + chunks[1]) * 36^12 + chunks[0], kept in three words. The first step fits two.
	hi, w0 := bits.Mul64(chunks[2], pow12)
	w0, carry := bits.Add64(w0, chunks[1], 0)
	w1 := hi + carry
	h0, l0 := bits.Mul64(w0, pow12)
	h1, l1 := bits.Mul64(w1, pow12)
	w0, carry = bits.Add64(l0, chunks[0], 0)
	w1, carry = bits.Add64(l1, h0, carry)
	w2 := h1 + carry
	if w2>>24 != 0 {
		return ID{}, &ParseError{Reason: "the number is larger than 19 bytes"}
	}
	if byte(w0) != formatVersion {
		return ID{}, &ParseError{Reason: fmt.Sprintf("format version %d, want %d", byte(w0), formatVersion)}
	}
	binary.LittleEndian.PutUint64(d[0:], w0)
	binary.LittleEndian.PutUint64(d[8:], w1)
	d[16], d[17], d[18] = byte(w2), byte(w2>>8), byte(w2>>16)
	return d, nil
}
