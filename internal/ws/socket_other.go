//go:build !unix

package ws

import (
	"net"
	"syscall"
)

// Where a socket cannot be read and written without waiting, it is used as any other transport.

func socketOf(net.Conn) syscall.RawConn { return nil }

type socketWriter struct{}

func (s *socketWriter) init(syscall.RawConn) {}

func (s *socketWriter) ok() bool { return false }

func (s *socketWriter) write([]byte) (n int, wait bool, err error) { panic("ws: no socket") }

type socketReader struct{}

func (s *socketReader) init(syscall.RawConn, *input) {}

func (s *socketReader) ok() bool { return false }

func (s *socketReader) read([]byte) (n int, err error) { panic("ws: no socket") }
