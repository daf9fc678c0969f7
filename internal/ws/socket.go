package ws

import "errors"

// Socket is the server side of a WebSocket as those see it who talk to its client: a Conn, or what stands for one that
// somebody else holds. The contract of each method is that of Conn's.
type Socket interface {
	ReadMessage() (Op, []byte, error)
	Send(f Frame) error
	SendMessage(op Op, payload []byte) error
	Queue(f Frame) error
	Flush()
	Close(code int, reason string)
	Done() <-chan struct{}
}

var _ Socket = (*Conn)(nil)

// Kept is a Socket whose client is held by a keeper outside this process. The keeper may be left with it, and has every
// message of the client again for whoever serves it next, until the message is settled.
type Kept interface {
	Socket
	// Origin is how the keeper names the socket.
	Origin() [8]byte
	// Index is the number of the message that ReadMessage returned last, from 1, over all who serve the socket. It belongs to
	// the reader.
	Index() uint64
	// Settle says that the message of this number need not come again. The numbers come in any order.
	Settle(index uint64)
	// Recounted says what to call when the keeper counts anew: messages that come from now on have numbers above upto, which
	// is above those of all before. It is set once, and must be quick.
	Recounted(fn func(upto uint64))
	// Leave leaves the socket to its keeper: ReadMessage fails with ErrLeft, and nothing more is sent.
	Leave()
}

// ErrLeft is what ReadMessage says of a socket that was left to its keeper.
var ErrLeft = errors.New("ws: the socket was left to its keeper")
