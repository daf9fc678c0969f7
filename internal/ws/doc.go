// Package ws is the server side of a WebSocket (RFC 6455), made for many idle sockets and for fan-out.
//
// A Conn reads with one goroutine (the caller of ReadMessage) and writes through a bounded queue that a goroutine
// drains only while there is something to write. So an idle socket costs one parked reader and a few KiB, a
// broadcast encodes its frame once (Frame) and every recipient only keeps a reference, and nobody ever waits for a
// slow reader: a queue over its bound ends the connection (G7).
//
// # Use
//
// The HTTP handler upgrades, starts a goroutine that reads, and returns, so that net/http can let go of what it
// holds for the request. The reader's loop is also the path of lowest latency:
//
//	for {
//		op, payload, err := c.ReadMessage() // writes what is queued before it waits for input
//		if err != nil {
//			return // says why the connection ended
//		}
//		c.QueueMessage(op, answer(payload))
//	}
//
// Whoever is not the reader uses Send, which leaves the write to a goroutine, or Queue and then Flush, which writes
// on the caller's own goroutine as far as the kernel takes the bytes without waiting. A broadcast is
//
//	buf := ws.Reserve(n)       // room for the header, then n bytes
//	buf = encode(buf, event)   // append
//	f := ws.Seal(ws.OpText, buf)
//	for _, c := range subscribers {
//		c.Send(f)
//	}
//
// # Writing
//
// At most one goroutine is the writer of a connection at any time; a flag says so, no lock is held while it writes.
// The writer takes the whole queue, puts small frames together in one buffer, and tries a write that does not block
// (TCP and Unix sockets). When the kernel's buffer is full, a flushing caller hands the rest to a goroutine, which
// waits at most WriteTimeout for each chunk. Over other transports (TLS, pipes) every write may wait, so that
// goroutine makes them all.
//
// # States
//
//	open ──Close, violation, slow reader, peer's close──▶ closing ──close frame written──▶ close sent
//	  │                                                      │                               │
//	  │ CloseNow, peer silent or lost                        │ time limit    peer's close, time limit
//	  └──────────────────────────────────────────────────────┴──────────▶ closed ◀───────────┘
//
// A connection whose peer closed first skips the wait in close sent. Only an open connection takes frames. One timer
// per connection sends pings while it is open and is the time limit of the later states.
//
// # Memory
//
// A connection over a socket waits for input without any buffer: it borrows one when the socket has something to
// read. What an idle one holds is its Conn with options and timer; all buffers come from pools while bytes move.
// BenchmarkIdle with Go 1.26 on amd64: 0.9 KiB for that, 5.8 KiB for all of a connection on a net/http server, which is
// mostly the reader's stack. A peer that stops in the middle of a message pins 16 KiB, or up to four times what it has
// sent of the message.
package ws
