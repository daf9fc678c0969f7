package ws

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// Op is the kind of a message: OpText or OpBinary.
type Op byte

// The kinds of a message; the values are the wire's.
const (
	OpText   = Op(ws.OpText)
	OpBinary = Op(ws.OpBinary)

	opContinuation = Op(ws.OpContinuation)
	opClose        = Op(ws.OpClose)
	opPing         = Op(ws.OpPing)
	opPong         = Op(ws.OpPong)
)

func (op Op) isControl() bool { return op&0x8 != 0 }

func (op Op) isReserved() bool { return ws.OpCode(op).IsReserved() }

const (
	// headerRoom is the longest header of a server's frame: 2 bytes and a 64-bit length.
	headerRoom = 10

	maxControlPayload = 125
	maxCloseReason    = maxControlPayload - 2

	finBit  = 0x80
	rsvBits = 0x70
	maskBit = 0x80
)

// Frame is one whole message as a server sends it, header included. It is immutable, so any number of connections
// may share it, and it is as small as a slice: pass it by value. The zero Frame is no frame; sending it does nothing.
type Frame struct {
	b []byte
}

// Text returns a frame with a copy of payload, which must be UTF-8.
func Text(payload []byte) Frame { return copyFrame(OpText, payload) }

// Binary returns a frame with a copy of payload.
func Binary(payload []byte) Frame { return copyFrame(OpBinary, payload) }

// Reserve returns a buffer to append a payload of about size bytes to, for Seal. The frame then needs no other
// allocation, as long as the payload does not outgrow size, and the payload is never moved.
func Reserve(size int) []byte { return make([]byte, headerRoom, headerRoom+size) }

// Seal makes a frame of the payload that was appended to a buffer from Reserve. The buffer belongs to the frame from
// then on.
func Seal(op Op, buf []byte) Frame {
	n := len(buf) - headerRoom
	start := headerRoom - headerLen(n)
	appendHeader(buf[start:start], op, n)
	return Frame{buf[start:]}
}

// IsZero reports whether f is the zero Frame.
func (f Frame) IsZero() bool { return f.b == nil }

// Len is the number of bytes f takes on the wire.
func (f Frame) Len() int { return len(f.b) }

// Op is the kind of f.
func (f Frame) Op() Op {
	if f.b == nil {
		return 0
	}
	return Op(f.b[0] & 0x0f)
}

// Payload returns the payload of f, which must not be changed.
func (f Frame) Payload() []byte {
	if f.b == nil {
		return nil
	}
	switch f.b[1] {
	case 126:
		return f.b[4:]
	case 127:
		return f.b[10:]
	}
	return f.b[2:]
}

func copyFrame(op Op, payload []byte) Frame {
	return Seal(op, append(Reserve(len(payload)), payload...))
}

func headerLen(payload int) int {
	switch {
	case payload <= maxControlPayload:
		return 2
	case payload <= 0xffff:
		return 4
	}
	return headerRoom
}

// appendHeader appends the header of a final, unmasked frame.
func appendHeader(b []byte, op Op, payload int) []byte {
	b = append(b, finBit|byte(op))
	switch {
	case payload <= maxControlPayload:
		return append(b, byte(payload))
	case payload <= 0xffff:
		return binary.BigEndian.AppendUint16(append(b, 126), uint16(payload))
	}
	return binary.BigEndian.AppendUint64(append(b, 127), uint64(payload))
}

// The close codes that this package sends or that its users may want by name (RFC 6455 §7.4.1).
const (
	CodeNormal      = 1000
	CodeGoingAway   = 1001
	CodeProtocol    = 1002
	CodeUnsupported = 1003
	CodeNoStatus    = 1005 // never on the wire: a close frame without a code
	CodeInvalid     = 1007
	CodePolicy      = 1008
	CodeTooBig      = 1009
	CodeInternal    = 1011
)

// sendableCode reports whether a close frame may carry the code: defined and not reserved for local use, or in the
// ranges of libraries and applications.
func sendableCode(code int) bool {
	switch {
	case code >= 3000 && code <= 4999:
		return true
	case code < 1000 || code > 1014:
		return false
	}
	return code != 1004 && code != CodeNoStatus && code != 1006
}

// closeFrame encodes a close frame. CodeNoStatus and 0 send no payload at all; any other code that may not be sent
// becomes CodeInternal. The reason is made valid UTF-8 and cut to fit.
func closeFrame(code int, reason string) []byte {
	if code == CodeNoStatus || code == 0 {
		return []byte{finBit | byte(opClose), 0}
	}
	if !sendableCode(code) {
		code = CodeInternal
	}
	reason = CutReason(reason)
	b := make([]byte, 0, 4+len(reason))
	b = appendHeader(b, opClose, 2+len(reason))
	b = binary.BigEndian.AppendUint16(b, uint16(code))
	return append(b, reason...)
}

// CutReason returns the part of reason that fits a close frame (123 bytes), cut before a character rather than
// inside one; bytes that are not UTF-8 become U+FFFD.
func CutReason(reason string) string {
	reason = strings.ToValidUTF8(reason, "\uFFFD")
	if len(reason) <= maxCloseReason {
		return reason
	}
	end := maxCloseReason
	for !utf8.RuneStart(reason[end]) {
		end--
	}
	return reason[:end]
}
