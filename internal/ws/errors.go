package ws

import (
	"errors"
	"fmt"
	"net/http"
)

// Why a connection ended, or would not take a frame. ReadMessage reports the first cause.
var (
	// ErrClosed means that this side closed the connection.
	ErrClosed = errors.New("ws: connection is closed")
	// ErrSlowReader means that the peer did not read and its queue went over a bound.
	ErrSlowReader = errors.New("ws: peer reads too slowly")
	// ErrWriteTimeout means that the peer took no bytes for WriteTimeout.
	ErrWriteTimeout = errors.New("ws: peer takes no bytes")
	// ErrSilent means that nothing arrived from the peer for DeadAfter, not even an answer to pings.
	ErrSilent = errors.New("ws: peer is silent")
	// ErrLost means that the transport failed or ended without a close frame; the cause is wrapped beside it.
	ErrLost = errors.New("ws: connection is lost")
)

// CloseError is the end of a connection by the peer's close frame.
type CloseError struct {
	// Code is CodeNoStatus when the peer's frame had none.
	Code   int
	Reason string
}

func (e *CloseError) Error() string {
	return fmt.Sprintf("ws: closed by peer: %d %q", e.Code, e.Reason)
}

// ProtocolError is the end of a connection because of what the peer sent. The peer was told Code and Reason.
type ProtocolError struct {
	Code   int
	Reason string
	// Detail says what was wrong, for logs.
	Detail string
}

func (e *ProtocolError) Error() string {
	return fmt.Sprintf("ws: %s (closed with %d %q)", e.Detail, e.Code, e.Reason)
}

// HandshakeError says that a request is not a proper upgrade. Nothing has been answered; the caller answers with
// Status and the headers of Header, which may be nil.
type HandshakeError struct {
	Status int
	Header http.Header
	Detail string
}

func (e *HandshakeError) Error() string { return "ws: " + e.Detail }
