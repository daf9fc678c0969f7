package ws

import (
	"encoding/binary"
	"math"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

const (
	// readBuffer is the size of the pooled buffer that a connection over a socket has while input arrives, and while
	// part of a frame has arrived. A payload that fits is returned where it was read.
	readBuffer = size16K
	// maxClientHeader is 2 bytes, a 64-bit length and a mask.
	maxClientHeader = 14
	// firstGrowth bounds the memory a frame gets on the strength of its header alone.
	firstGrowth = size16K

	reasonProtocol = "ws.protocol_error"
	reasonUTF8     = "message.invalid_utf8"
)

// input is the reader's side.
type input struct {
	socket socketReader // usable if the transport is a socket

	buf   []byte // bytes r to w are read and not yet used; nil when the connection waits without a buffer
	r, w  int
	size  int    // of the read buffer to come, if the transport is not a socket
	msg   []byte // pooled; a message that did not fit buf or came in fragments
	given []byte // payload that the caller holds
	err   error  // what ReadMessage returned in the end
}

func (in *input) init(early []byte, size int) {
	in.size = size
	if in.socket.ok() {
		in.size = readBuffer
	}
	if len(early) > 0 {
		in.size = max(in.size, len(early))
		in.w = copy(in.free(), early)
	}
}

// free returns the part of the read buffer that may be read into, and provides one if there is none.
func (in *input) free() []byte {
	if in.buf == nil {
		if in.socket.ok() {
			b := getBuffer(in.size)
			in.buf = b[:cap(b)]
		} else {
			in.buf = make([]byte, in.size)
		}
	}
	return in.buf[in.w:]
}

// giveBack parts with the read buffer if it is pooled and there is nothing in it.
func (in *input) giveBack() {
	if in.socket.ok() && in.buf != nil && in.r == in.w {
		putBuffer(in.buf)
		in.buf, in.r, in.w = nil, 0, 0
	}
}

// header is the header of a client's frame.
type header struct {
	fin  bool
	op   Op
	n    int
	mask [4]byte
}

// ReadMessage returns the next message. The payload may be changed, and is valid until the next call. Before it waits for
// input, ReadMessage flushes what is queued.
//
// Pings are answered meanwhile. The error says why the connection ended and is the same from then on: *CloseError
// when the peer closed it, *ProtocolError when the peer broke the protocol or a bound, or one of ErrClosed,
// ErrSlowReader, ErrWriteTimeout, ErrSilent and ErrLost (to be asked with errors.Is). Then nothing is left for the
// caller to do.
func (c *Conn) ReadMessage() (Op, []byte, error) {
	in := &c.in
	if in.err != nil {
		return 0, nil, in.err
	}
	in.recycle()
	op, payload, err := c.readMessage()
	if err != nil {
		in.err = err
		in.recycle()
		in.r = in.w
		in.giveBack()
		return 0, nil, err
	}
	in.given = payload
	return op, payload, nil
}

// Buffered reports whether the next message is in the read buffer already, so that ReadMessage would not wait for it.
func (c *Conn) Buffered() bool {
	in := &c.in
	have := in.w - in.r
	if in.err != nil || have < 6 {
		return false
	}
	b0, b1 := in.buf[in.r], in.buf[in.r+1]
	if b0&finBit == 0 || Op(b0&0x0f).isControl() {
		return false
	}
	switch n := int(b1 &^ maskBit); n {
	case 126:
		return have >= 8 && have >= 8+int(binary.BigEndian.Uint16(in.buf[in.r+2:]))
	case 127:
		return false
	default:
		return have >= 6+n
	}
}

func (c *Conn) readMessage() (Op, []byte, error) {
	in := &c.in
	var op Op // of the message whose fragments are in in.msg; 0 for none
	for {
		h, err := c.readHeader()
		if err != nil {
			return 0, nil, err
		}
		if h.op.isControl() {
			if err := c.control(h); err != nil {
				return 0, nil, err
			}
			continue
		}

		first := op == 0
		switch {
		case first && h.op == opContinuation:
			return 0, nil, c.violate(CodeProtocol, reasonProtocol, "continuation without a beginning")
		case !first && h.op != opContinuation:
			return 0, nil, c.violate(CodeProtocol, reasonProtocol, "message inside a fragmented message")
		case h.n > c.opts.MaxMessageBytes-len(in.msg):
			return 0, nil, c.violate(c.opts.TooLargeCode, c.opts.TooLargeReason, "message is too large")
		}
		if first {
			op = h.op
		}
		var payload []byte
		if first && h.fin && h.n <= len(in.buf) {
			payload, err = c.take(h)
		} else {
			err = c.appendPayload(h)
			payload = in.msg
		}
		if err != nil {
			return 0, nil, err
		}
		if !h.fin {
			continue
		}
		if c.state.Load() != stateOpen {
			// Closing: the caller has said that it wants no more.
			op = 0
			in.recycle()
			continue
		}
		if op == OpText && !utf8.Valid(payload) {
			return 0, nil, c.violate(CodeInvalid, reasonUTF8, "text is not UTF-8")
		}
		return op, payload, nil
	}
}

// readHeader reads and checks the header of one frame (RFC 6455 §5.2). It leaves out what depends on the message.
func (c *Conn) readHeader() (h header, err error) {
	in := &c.in
	if err := c.need(2); err != nil {
		return h, err
	}
	b0, b1 := in.buf[in.r], in.buf[in.r+1]
	h.fin, h.op = b0&finBit != 0, Op(b0&0x0f)
	length := b1 &^ maskBit

	bad := func(detail string) (header, error) {
		return h, c.violate(CodeProtocol, reasonProtocol, detail)
	}
	switch {
	case b0&rsvBits != 0:
		return bad("reserved bit is set")
	case h.op.isReserved():
		return bad("opcode is reserved")
	case b1&maskBit == 0:
		return bad("frame is not masked")
	case h.op.isControl() && length > maxControlPayload:
		return bad("control frame is too long")
	case h.op.isControl() && !h.fin:
		return bad("control frame is fragmented")
	}

	size := 6
	switch length {
	case 126:
		size = 8
	case 127:
		size = maxClientHeader
	}
	if err := c.need(size); err != nil {
		return h, err
	}
	b := in.buf[in.r : in.r+size]
	switch length {
	case 126:
		h.n = int(binary.BigEndian.Uint16(b[2:]))
	case 127:
		n := binary.BigEndian.Uint64(b[2:])
		if n>>63 != 0 {
			return bad("length is negative")
		}
		h.n = int(min(n, math.MaxInt)) // more is too large anyhow
	default:
		h.n = int(length)
	}
	copy(h.mask[:], b[size-4:])
	in.r += size
	return h, nil
}

// control handles a control frame whose header was read.
func (c *Conn) control(h header) error {
	payload, err := c.take(h)
	if err != nil {
		return err
	}
	switch h.op {
	case opPing:
		c.mu.Lock()
		if c.state.Load() == stateOpen {
			// A ping that arrives before the last was answered replaces it (RFC 6455 §5.5.3), so nobody can fill the queue with
			// pongs.
			c.pong = append(appendHeader(c.pong[:0], opPong, len(payload)), payload...)
		}
		c.mu.Unlock()
		c.Flush()
	case opClose:
		switch {
		case len(payload) == 0:
			return c.peerClose(CodeNoStatus, "")
		case len(payload) == 1:
			return c.violate(CodeProtocol, reasonProtocol, "close code is cut short")
		}
		code, reason := int(binary.BigEndian.Uint16(payload)), payload[2:]
		if !sendableCode(code) {
			return c.violate(CodeProtocol, reasonProtocol, "close code is not allowed")
		}
		if !utf8.Valid(reason) {
			return c.violate(CodeInvalid, reasonUTF8, "close reason is not UTF-8")
		}
		return c.peerClose(code, string(reason))
	}
	return nil
}

// take returns the payload of a frame in place, unmasked. It must fit the read buffer.
func (c *Conn) take(h header) ([]byte, error) {
	if err := c.need(h.n); err != nil {
		return nil, err
	}
	in := &c.in
	payload := in.buf[in.r : in.r+h.n : in.r+h.n]
	in.r += h.n
	ws.Cipher(payload, h.mask, 0)
	return payload, nil
}

// appendPayload reads the payload of a frame to the end of in.msg. Memory grows with what has arrived, not with what
// was announced.
func (c *Conn) appendPayload(h header) error {
	in := &c.in
	for got := 0; got < h.n; {
		if len(in.msg) == cap(in.msg) {
			in.growMessage(h.n-got, c.opts.MaxMessageBytes)
		}
		room := in.msg[len(in.msg):min(cap(in.msg), len(in.msg)+h.n-got)]
		n := copy(room, in.buf[in.r:in.w])
		in.r += n
		if n == 0 {
			var err error
			if n, err = c.read(room); err != nil {
				return err
			}
		}
		ws.Cipher(room[:n], h.mask, got)
		in.msg = in.msg[:len(in.msg)+n]
		got += n
	}
	return nil
}

// growMessage makes room in in.msg for some of the more bytes that are announced.
func (in *input) growMessage(more, limit int) {
	size := min(len(in.msg)+more, limit)
	if len(in.msg) == 0 {
		size = min(size, firstGrowth)
	} else {
		size = min(size, 2*len(in.msg))
	}
	b := append(getBuffer(size), in.msg...)
	if in.msg != nil {
		putBuffer(in.msg)
	}
	in.msg = b
}

// need waits until n bytes are in the read buffer, which must have room for them.
func (c *Conn) need(n int) error {
	for c.in.w-c.in.r < n {
		if err := c.fill(n); err != nil {
			return err
		}
	}
	return nil
}

// fill reads once into the read buffer, which gets room for n bytes.
func (c *Conn) fill(n int) error {
	in := &c.in
	if in.r == in.w {
		in.r, in.w = 0, 0
	} else if in.r+n > len(in.buf) {
		in.w = copy(in.buf, in.buf[in.r:in.w])
		in.r = 0
	}
	m, err := c.read(nil)
	in.w += m
	return err
}

// read reads once into dst, or into the free part of the read buffer when dst is nil. It flushes what is queued first.
func (c *Conn) read(dst []byte) (n int, err error) {
	c.Flush()
	if c.in.socket.ok() {
		n, err = c.in.socket.read(dst)
	} else {
		if dst == nil {
			dst = c.in.free()
		}
		n, err = c.nc.Read(dst)
	}
	if n > 0 {
		c.lastRead.Store(c.now())
		return n, nil
	}
	if err == nil {
		return 0, nil
	}
	return 0, c.lost(err)
}

// recycle takes back what the caller of ReadMessage had.
func (in *input) recycle() {
	poison(in.given)
	in.given = nil
	if in.msg != nil {
		putBuffer(in.msg)
		in.msg = nil
	}
}
