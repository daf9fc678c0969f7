package host

import (
	"errors"
	"sync"

	"github.com/rivetgo/rivet/internal/sqlsocket"
	"github.com/rivetgo/rivet/internal/wire/fault"
)

// runtimeSocket is the actor's Unix socket for SQL, once it was asked for. Each of its statements, and each lease, is a turn of
// its own.
type runtimeSocket struct {
	mu     sync.Mutex // guards all below
	server *sqlsocket.Server
	call   *Call // what its statements belong to
	closed bool
}

var (
	errSocketNotEnabled  = fault.New("actor_runtime_socket", "not_enabled", "The runtime socket is not enabled for this actor: set Options.RuntimeSocket.")
	errSocketClosed      = fault.New("actor_runtime_socket", "closed", "The runtime socket is closed for this life of the actor.")
	errSocketUnsupported = fault.New("actor_runtime_socket", "unsupported", "The runtime socket is for Unix only.")
)

// RuntimeSocket is the path of the actor's Unix socket for SQL, which the first call opens. It is another one in each life.
func (c *Call) RuntimeSocket() (string, error) {
	a := c.actor
	if !a.spec.Options.RuntimeSocket {
		return "", errSocketNotEnabled
	}
	s := &a.socket
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return "", errSocketClosed
	}
	if s.server == nil {
		call := &Call{actor: a}
		server, err := sqlsocket.Listen(callScope{call}, call.BeforeSend, a.spec.Options.TransactionTimeout, a.Log())
		if errors.Is(err, sqlsocket.ErrUnsupported) {
			return "", errSocketUnsupported
		}
		if err != nil {
			return "", err
		}
		s.server, s.call = server, call
	}
	return s.server.Path(), nil
}

// closeSocket ends the socket with the actor's life, before the last turn is taken: a lease would hold it.
func (a *Actor) closeSocket() {
	s := &a.socket
	s.mu.Lock()
	s.closed = true
	server, call := s.server, s.call
	s.server, s.call = nil, nil
	s.mu.Unlock()
	if server != nil {
		server.Close()
		call.end()
	}
}
