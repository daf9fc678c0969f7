//go:build unix

package ws

import (
	"io"
	"net"
	"syscall"
)

// A RawConn's callback is made a func value once per connection, so that reads and writes do not allocate.

// socketOf returns the socket under nc, or nil. Only the net package's own types qualify: a wrapper that embeds one
// of them may do more in its Read and Write.
func socketOf(nc net.Conn) syscall.RawConn {
	var sc syscall.Conn
	switch nc := nc.(type) {
	case *net.TCPConn:
		sc = nc
	case *net.UnixConn:
		sc = nc
	default:
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// socketWriter writes to a socket without ever waiting for it. It belongs to the writer of the connection.
type socketWriter struct {
	raw syscall.RawConn
	try func(fd uintptr) bool

	b   []byte
	n   int
	err error
}

func (s *socketWriter) init(raw syscall.RawConn) {
	if raw != nil {
		s.raw, s.try = raw, s.tryWrite
	}
}

func (s *socketWriter) ok() bool { return s.raw != nil }

// write writes as much of b as the kernel takes now; wait says that it took less than all.
func (s *socketWriter) write(b []byte) (n int, wait bool, err error) {
	s.b, s.n, s.err = b, 0, nil
	if err = s.raw.Write(s.try); err == nil {
		err = s.err
	}
	s.b = nil
	n = max(s.n, 0)
	if err == syscall.EAGAIN {
		err = nil
	}
	return n, n < len(b), err
}

// tryWrite always reports true: RawConn must not wait for the socket.
func (s *socketWriter) tryWrite(fd uintptr) bool {
	for {
		s.n, s.err = syscall.Write(int(fd), s.b)
		if s.err != syscall.EINTR {
			return true
		}
	}
}

// socketReader waits for a socket without a buffer and takes one from in only when it reads. It belongs to the reader of
// the connection.
type socketReader struct {
	raw syscall.RawConn
	try func(fd uintptr) bool
	in  *input

	dst []byte
	n   int
	err error
}

func (s *socketReader) init(raw syscall.RawConn, in *input) {
	if raw != nil {
		s.raw, s.try, s.in = raw, s.tryRead, in
	}
}

func (s *socketReader) ok() bool { return s.raw != nil }

// read reads once into dst, or into the free part of the read buffer when dst is nil.
func (s *socketReader) read(dst []byte) (n int, err error) {
	s.dst, s.n, s.err = dst, 0, nil
	if err = s.raw.Read(s.try); err == nil {
		err = s.err
	}
	s.dst = nil
	return s.n, err
}

// tryRead reports false to be called again when the socket has input.
func (s *socketReader) tryRead(fd uintptr) bool {
	dst := s.dst
	if dst == nil {
		dst = s.in.free()
	}
	for {
		n, err := syscall.Read(int(fd), dst)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			s.in.giveBack()
			return false
		case err != nil:
			s.err = err
		case n == 0:
			s.err = io.EOF
		default:
			s.n = n
		}
		return true
	}
}
