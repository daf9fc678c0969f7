package ws

import (
	"errors"
	"os"
	"time"
)

const (
	// maxChunk bounds one write call, and so what WriteTimeout is for.
	maxChunk = size256K
	// coalesceBelow is the size under which a frame is copied next to its neighbours; the copy of a larger one
	// costs more than a system call.
	coalesceBelow = size16K
	// copyBelow is the size under which QueueMessage packs payloads into shared, pooled buffers.
	copyBelow = size16K
	// inlineBytes is how much a flushing caller writes before it leaves the rest to a goroutine: others may fill the
	// queue as fast as it empties.
	inlineBytes = size256K
	// corkedBytes is how much may wait behind a Cork.
	corkedBytes = size64K
	// keepSegments is the size up to which the queue's array is kept while the queue is empty.
	keepSegments = 16
)

// segment is a run of whole frames.
type segment struct {
	b      []byte
	frames int
	// pooled means that b is a buffer from the pool which only the queue knows: it takes more frames while it has room,
	// and goes back to the pool when it is written.
	pooled bool
}

// output is the writer's side. Its fields belong to the goroutine that set Conn.writing.
type output struct {
	socket socketWriter // usable if the transport is a socket
	// batch is what the writer took from the queue; the segments before next are written, and off bytes of next.
	batch []segment
	next  int
	off   int
	// sayGoodbye means that the batch ends with the close frame.
	sayGoodbye bool
	scratch    []byte // frames put together for one write
}

// Send queues f and has a goroutine write it. It returns ErrClosed if the connection is not open, and ErrSlowReader
// if the queue was full, which ends the connection.
func (c *Conn) Send(f Frame) error {
	c.mu.Lock()
	err := c.enqueue(f)
	c.unlockAndDrain()
	return err
}

// SendMessage is Send for a message that only this connection gets: the payload is copied, and no frame is made.
func (c *Conn) SendMessage(op Op, payload []byte) error {
	c.mu.Lock()
	err := c.enqueueCopy(op, payload)
	c.unlockAndDrain()
	return err
}

// Queue is Send for a caller that will see to the writing: the frame waits for the next Flush, Send or Uncork, or
// for the reader to wait for input.
func (c *Conn) Queue(f Frame) error {
	c.mu.Lock()
	err := c.enqueue(f)
	c.unlockAfterQueue(err)
	return err
}

// QueueMessage is to SendMessage what Queue is to Send.
func (c *Conn) QueueMessage(op Op, payload []byte) error {
	c.mu.Lock()
	err := c.enqueueCopy(op, payload)
	c.unlockAfterQueue(err)
	return err
}

// Flush writes what is queued, on the caller's goroutine as long as that needs no waiting and by a goroutine from then
// on. If somebody is writing already, Flush leaves it to them.
func (c *Conn) Flush() {
	c.mu.Lock()
	mine := c.claim()
	c.mu.Unlock()
	if mine && (!c.out.socket.ok() || !c.write(false)) {
		go c.write(true)
	}
}

// Cork makes Send only queue, as Queue does, until the matching Uncork: for a caller that is about to send several
// frames, possibly through code that does not know. Others' frames wait too, so the time between must be short and
// without waiting for anything; more than 64 KiB are written at once all the same.
func (c *Conn) Cork() {
	c.mu.Lock()
	c.corked++
	c.mu.Unlock()
}

// Uncork undoes one Cork and, if it was the last, flushes.
func (c *Conn) Uncork() {
	c.mu.Lock()
	c.corked--
	left := c.corked
	c.mu.Unlock()
	if left < 0 {
		panic("ws: Uncork without Cork")
	}
	if left == 0 {
		c.Flush()
	}
}

// unlockAndDrain lets mu go after a Send.
func (c *Conn) unlockAndDrain() {
	mine := (c.corked == 0 || c.queuedBytes > corkedBytes || c.state.Load() != stateOpen) && c.claim()
	c.mu.Unlock()
	if mine {
		go c.write(true)
	}
}

// unlockAfterQueue lets mu go after a Queue. Only the end of the connection is written without being asked for.
func (c *Conn) unlockAfterQueue(err error) {
	mine := err == ErrSlowReader && c.claim()
	c.mu.Unlock()
	if mine {
		go c.write(true)
	}
}

// admit checks the bounds for a frame of n bytes. Callers hold mu.
func (c *Conn) admit(n int) error {
	if c.state.Load() != stateOpen {
		return ErrClosed
	}
	if c.queuedFrames > 0 && (c.queuedBytes+n > c.opts.MaxQueueBytes || c.queuedFrames >= c.opts.MaxQueueFrames) {
		c.cutOff()
		return ErrSlowReader
	}
	c.queuedBytes += n
	c.queuedFrames++
	return nil
}

// enqueue appends f to the queue. Callers hold mu.
func (c *Conn) enqueue(f Frame) error {
	if f.IsZero() {
		return nil
	}
	if err := c.admit(len(f.b)); err != nil {
		return err
	}
	c.queue = append(c.queue, segment{b: f.b, frames: 1})
	return nil
}

// enqueueCopy appends a frame made of payload to the queue. Callers hold mu.
func (c *Conn) enqueueCopy(op Op, payload []byte) error {
	size := headerLen(len(payload)) + len(payload)
	if err := c.admit(size); err != nil {
		return err
	}
	if size > copyBelow {
		c.queue = append(c.queue, segment{b: copyFrame(op, payload).b, frames: 1})
		return nil
	}
	last := len(c.queue) - 1
	if last < 0 || !c.queue[last].pooled || cap(c.queue[last].b)-len(c.queue[last].b) < size {
		want := size
		if last >= 0 {
			want = size16K // more will come, by the look of it
		}
		c.queue = append(c.queue, segment{b: getBuffer(want), pooled: true})
		last++
	}
	s := &c.queue[last]
	s.b = append(appendHeader(s.b, op, len(payload)), payload...)
	s.frames++
	return nil
}

// dropQueue forgets what no writer has taken. Callers hold mu.
func (c *Conn) dropQueue() {
	for i := range c.queue {
		s := &c.queue[i]
		c.queuedBytes -= len(s.b)
		c.queuedFrames -= s.frames
		s.release()
	}
	c.queue = c.queue[:0]
}

func (s *segment) release() {
	if s.pooled {
		putBuffer(s.b)
	}
	*s = segment{}
}

// claim makes the caller the writer if there is something to write and no writer. Callers hold mu.
func (c *Conn) claim() bool {
	if c.writing || !c.hasOutput() {
		return false
	}
	c.writing = true
	return true
}

// hasOutput reports whether a writer would find work. Callers hold mu.
func (c *Conn) hasOutput() bool {
	switch c.state.Load() {
	case stateOpen:
		return len(c.queue) > 0 || c.pong != nil || c.pingDue
	case stateClosing:
		return c.closing != nil
	}
	return false
}

// write is the writer's loop. It returns true when nothing is left to write and the caller is no longer the writer. If it
// must not wait and would have to, or has written its share, it returns false, and the caller is the writer still.
//
// As a goroutine it ends when the queue is empty; teardown ends a wait.
func (c *Conn) write(mayWait bool) bool {
	o := &c.out
	wait := !o.socket.ok()
	for written := 0; ; {
		if o.next == len(o.batch) && !c.takeBatch() {
			return true
		}
		chunk := o.chunk()
		var n int
		var err error
		if wait {
			n, err = c.writeWaiting(chunk)
			wait = !o.socket.ok()
		} else {
			n, wait, err = o.socket.write(chunk)
		}
		written += n
		c.advance(n)
		if err != nil {
			c.writeFailed(err)
			return true
		}
		if !mayWait && (wait || written >= inlineBytes) {
			return false
		}
	}
}

// takeBatch makes the queue the writer's batch. If there is nothing to take, the caller is no longer the writer.
func (c *Conn) takeBatch() bool {
	o := &c.out
	if o.sayGoodbye {
		o.sayGoodbye = false
		c.closeWritten()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	spare := o.batch[:0]
	if cap(spare) > keepSegments {
		spare = nil
	}
	o.batch, o.next, o.off = spare, 0, 0
	if !c.hasOutput() {
		c.writing = false
		if cap(c.queue) > keepSegments {
			c.queue = nil
		}
		if o.scratch != nil {
			putBuffer(o.scratch)
			o.scratch = nil
		}
		return false
	}
	o.batch, c.queue = c.queue, spare
	if c.pong != nil {
		o.batch = append(o.batch, segment{b: c.pong})
		c.queuedBytes += len(c.pong)
		c.pong = nil
	}
	if c.pingDue {
		o.batch = append(o.batch, segment{b: pingFrame})
		c.queuedBytes += len(pingFrame)
		c.pingDue = false
	}
	if c.closing != nil {
		o.batch = append(o.batch, segment{b: c.closing})
		c.queuedBytes += len(c.closing)
		c.closing = nil
		o.sayGoodbye = true
	}
	return true
}

var pingFrame = []byte{finBit | byte(opPing), 0}

// chunk returns the bytes for the next write call: part of a large frame, or small frames put together.
func (o *output) chunk() []byte {
	b := o.batch[o.next].b[o.off:]
	if len(b) >= coalesceBelow {
		return b[:min(len(b), maxChunk)]
	}
	size, end := len(b), o.next+1
	for ; end < len(o.batch); end++ {
		n := len(o.batch[end].b)
		if n >= coalesceBelow || size+n > size64K {
			break
		}
		size += n
	}
	if end == o.next+1 {
		return b
	}
	if cap(o.scratch) < size {
		if o.scratch != nil {
			putBuffer(o.scratch)
		}
		o.scratch = getBuffer(size)
	}
	o.scratch = append(o.scratch[:0], b...)
	for i := o.next + 1; i < end; i++ {
		o.scratch = append(o.scratch, o.batch[i].b...)
	}
	return o.scratch
}

// advance notes that n more bytes of the batch are written.
func (c *Conn) advance(n int) {
	o := &c.out
	frames := 0
	for left := n; left > 0; {
		s := &o.batch[o.next]
		rest := len(s.b) - o.off
		if left < rest {
			o.off += left
			break
		}
		left -= rest
		frames += s.frames
		s.release()
		o.next++
		o.off = 0
	}
	c.mu.Lock()
	c.queuedBytes -= n
	c.queuedFrames -= frames
	c.mu.Unlock()
}

// writeWaiting writes chunk, waiting for the peer at most WriteTimeout.
func (c *Conn) writeWaiting(chunk []byte) (int, error) {
	if err := c.nc.SetWriteDeadline(time.Now().Add(c.opts.WriteTimeout)); err != nil {
		return 0, err
	}
	n, err := c.nc.Write(chunk)
	if err == nil {
		// A deadline that passes later would fail the next direct write.
		err = c.nc.SetWriteDeadline(time.Time{})
	}
	return n, err
}

// writeFailed ends the connection and the caller's being the writer.
func (c *Conn) writeFailed(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.teardown(ErrWriteTimeout)
	} else {
		c.lost(err)
	}
	o := &c.out
	for i := o.next; i < len(o.batch); i++ {
		o.batch[i].release()
	}
	if o.scratch != nil {
		putBuffer(o.scratch)
	}
	o.batch, o.next, o.off, o.sayGoodbye, o.scratch = nil, 0, 0, false, nil
	c.mu.Lock()
	c.writing = false
	c.mu.Unlock()
}
