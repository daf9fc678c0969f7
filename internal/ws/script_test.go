package ws

import (
	"io"
	"net"
	"sync"
	"time"
)

// scriptConn is a transport that has all its input from the start and drops its output.
type scriptConn struct {
	mu     sync.Mutex
	input  []byte
	step   int // most bytes of one Read; 0 for any
	closed bool
}

func (s *scriptConn) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, net.ErrClosed
	}
	if len(s.input) == 0 {
		return 0, io.EOF
	}
	if s.step > 0 {
		b = b[:min(len(b), s.step)]
	}
	n := copy(b, s.input)
	s.input = s.input[n:]
	return n, nil
}

func (s *scriptConn) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

func (s *scriptConn) Write(b []byte) (int, error)      { return len(b), nil }
func (s *scriptConn) LocalAddr() net.Addr              { return nil }
func (s *scriptConn) RemoteAddr() net.Addr             { return nil }
func (s *scriptConn) SetDeadline(time.Time) error      { return nil }
func (s *scriptConn) SetReadDeadline(time.Time) error  { return nil }
func (s *scriptConn) SetWriteDeadline(time.Time) error { return nil }
