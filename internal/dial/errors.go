package dial

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/rivetgo/rivet/internal/wire/fault"
)

// clientGroup is the group of the errors that are made here and not by a server.
const clientGroup = "client"

// Codes of the group client.
const (
	// CodeConnectionLost: the socket of a connection was lost before the reply to an action came. The action may have
	// run.
	CodeConnectionLost = "connection_lost"
	// CodeConnectionFailed: a connection could not be opened.
	CodeConnectionFailed = "connection_failed"
	// CodeRequestFailed: an HTTP request was not answered. It may have run, unless the server could not be reached.
	CodeRequestFailed = "request_failed"
	// CodeInvalidResponse: an answer could not be read. The request may have run.
	CodeInvalidResponse = "invalid_response"
	// CodeInvalidTarget: the handle, its key or its input cannot be expressed; nothing was sent.
	CodeInvalidTarget = "invalid_target"
	// CodeSlowConsumer: a subscription ended because its events were not read fast enough.
	CodeSlowConsumer = "slow_consumer"
	// CodeClosed: the client or the connection was closed on this side.
	CodeClosed = "closed"
)

func failure(code, message string, cause error) *fault.Error {
	return &fault.Error{Group: clientGroup, Code: code, Message: message, Cause: cause}
}

var (
	errClientClosed = failure(CodeClosed, "the client is closed", nil)
	errConnClosed   = failure(CodeClosed, "the connection is closed", nil)
	errUnsubscribed = failure(CodeClosed, "the subscription was ended", nil)
)

// IsClosed reports whether f only says that this side ended something.
func IsClosed(f *fault.Error) bool { return f.Group == clientGroup && f.Code == CodeClosed }

// transportError is what a failed round trip becomes: the context's error when the context ended, else a failure
// without the URL, which may hold a token.
func transportError(ctx context.Context, code, what string, err error) error {
	if e := ctx.Err(); e != nil {
		return fmt.Errorf("%s: %w", what, e)
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return failure(code, what+": "+err.Error(), err)
}
