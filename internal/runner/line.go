package runner

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/rivetgo/rivet/internal/wire/runnerproto"
)

const (
	// maxUnsent bounds what waits to be written: beyond it the connection is taken for dead.
	maxUnsent = 256 << 20
	// writeTimeout bounds one write.
	writeTimeout = 30 * time.Second
	// confirmEvery is how often the engine is asked whether it has what was sent.
	confirmEvery = 2 * time.Second
	// maxFrame bounds an incoming message.
	maxFrame = 64 << 20
)

// line is one connection to the engine, for writing: frames leave in the order of send, from a goroutine of its own.
type line struct {
	ws      *websocket.Conn
	version uint16

	wake chan struct{} // capacity 1
	done chan struct{} // closed when the writer has ended

	mu        sync.Mutex // guards all below
	queue     [][]byte
	bytes     int
	sent      uint64 // frames given to the writer, ever
	written   uint64
	confirmed uint64 // frames that the engine is known to have
	closing   bool
	code      websocket.StatusCode // of closing; 0: no handshake
	reason    string
	cause     error // why this side ended it
}

func newLine(ws *websocket.Conn, version uint16) *line {
	l := &line{ws: ws, version: version, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go l.write() // ends with the connection, or after finish
	return l
}

// send queues a message and returns its number, from 1. It does not wait.
func (l *line) send(m runnerproto.ToRivet) uint64 {
	b, err := runnerproto.AppendToRivet(nil, l.version, m)
	if err != nil {
		l.fail(fmt.Errorf("a message cannot be written: %w", err))
		return 0
	}
	return l.sendBytes(b)
}

func (l *line) sendBytes(b []byte) uint64 {
	l.mu.Lock()
	if l.closing {
		l.mu.Unlock()
		return 0
	}
	l.queue = append(l.queue, b)
	l.bytes += len(b)
	l.sent++
	n, full := l.sent, l.bytes > maxUnsent
	l.mu.Unlock()
	if full {
		l.fail(errors.New("the engine does not take what is sent to it"))
		return n
	}
	l.nudge()
	return n
}

// fail ends the connection.
func (l *line) fail(err error) {
	l.mu.Lock()
	if l.cause == nil {
		l.cause = err
	}
	l.mu.Unlock()
	l.ws.CloseNow()
}

// why is why this side ended the connection, if it did.
func (l *line) why() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}

// stop ends the writer.
func (l *line) stop() {
	l.ws.CloseNow()
	l.mu.Lock()
	l.closing = true
	l.mu.Unlock()
	l.nudge()
	<-l.done
}

func (l *line) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// finish closes the connection after what was queued before.
func (l *line) finish(code websocket.StatusCode, reason string) {
	l.mu.Lock()
	l.closing, l.code, l.reason = true, code, reason
	l.mu.Unlock()
	l.nudge()
	select {
	case <-l.done:
	case <-time.After(writeTimeout):
		l.ws.CloseNow()
	}
}

func (l *line) write() {
	defer close(l.done)
	for range l.wake {
		l.mu.Lock()
		batch, closing := l.queue, l.closing
		l.queue, l.bytes = nil, 0
		l.mu.Unlock()
		for _, b := range batch {
			ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
			err := l.ws.Write(ctx, websocket.MessageBinary, b)
			cancel()
			if err != nil {
				l.ws.CloseNow() // the reader hears of it
				l.mu.Lock()
				l.closing, l.queue = true, nil
				l.mu.Unlock()
				return
			}
			l.mu.Lock()
			l.written++
			l.mu.Unlock()
		}
		if closing {
			if l.code == 0 {
				return
			}
			l.ws.Close(l.code, l.reason)
			return
		}
	}
}

// confirm asks the engine for a sign of life until ctx ends: what was written before one has arrived. A connection that
// gives none is closed.
func (l *line) confirm(ctx context.Context, confirmed func(upto uint64)) {
	tick := time.NewTicker(confirmEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		l.mu.Lock()
		upto, known := l.written, l.confirmed
		l.mu.Unlock()
		if upto == known {
			continue
		}
		ping, cancel := context.WithTimeout(ctx, 15*time.Second)
		err := l.ws.Ping(ping)
		cancel()
		if err != nil {
			if ctx.Err() == nil {
				l.ws.CloseNow()
			}
			return
		}
		l.mu.Lock()
		l.confirmed = upto
		l.mu.Unlock()
		confirmed(upto)
	}
}
