package ws

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
)

// transports runs a test over a socket, which takes direct writes, and over a pipe, where every write waits.
func transports(t *testing.T, opts UpgradeOptions, f func(t *testing.T, c *Conn, client net.Conn)) {
	t.Run("tcp", func(t *testing.T) {
		c, client := tcp(t, opts)
		client.SetDeadline(time.Now().Add(soon))
		f(t, c, client)
	})
	t.Run("pipe", func(t *testing.T) {
		c, client := pipe(t, opts)
		client.SetDeadline(time.Now().Add(soon))
		f(t, c, client)
	})
}

// quiet returns when nobody is writing.
func quiet(c *Conn) {
	for busy := true; busy; runtime.Gosched() {
		c.mu.Lock()
		busy = c.writing
		c.mu.Unlock()
	}
}

func TestSendKinds(t *testing.T) {
	transports(t, UpgradeOptions{}, func(t *testing.T, c *Conn, client net.Conn) {
		c.Send(Text([]byte("send")))
		c.Send(Frame{})
		c.SendMessage(OpBinary, []byte("message"))
		wantFrame(t, client, ws.OpText, "send")
		wantFrame(t, client, ws.OpBinary, "message")

		c.Queue(Text([]byte("queue")))
		c.QueueMessage(OpBinary, []byte("copy"))
		c.Flush()
		wantFrame(t, client, ws.OpText, "queue")
		wantFrame(t, client, ws.OpBinary, "copy")

		quiet(c)
		c.Cork()
		c.Cork()
		c.Send(Text([]byte("one")))
		c.Uncork()
		c.SendMessage(OpText, []byte("two"))
		c.mu.Lock()
		queued := c.queuedFrames
		c.mu.Unlock()
		if queued != 2 {
			t.Errorf("%d frames wait behind the cork, want 2", queued)
		}
		c.Uncork()
		wantFrame(t, client, ws.OpText, "one")
		wantFrame(t, client, ws.OpText, "two")

		// The reader's wait for input is a flush.
		c.Queue(Text([]byte("three")))
		results := readAll(c)
		wantFrame(t, client, ws.OpText, "three")
		client.Close()
		end(t, results)
	})
}

// A cork holds back 64 KiB at most.
func TestCorkIsBounded(t *testing.T) {
	c, client := tcp(t, UpgradeOptions{})
	c.Cork()
	payload := strings.Repeat("x", 10_000)
	for range 7 {
		c.SendMessage(OpText, []byte(payload))
	}
	for range 7 {
		wantFrame(t, client, ws.OpText, payload)
	}
	c.Uncork()
}

// Frames of every size, from many goroutines and by every way to send, arrive whole and in the order of each sender.
func TestConcurrentSendersKeepOrder(t *testing.T) {
	const senders, each = 16, 300
	transports(t, UpgradeOptions{MaxQueueBytes: 1 << 30}, func(t *testing.T, c *Conn, client net.Conn) {
		var running sync.WaitGroup
		for s := range senders {
			running.Go(func() {
				for i := range each {
					payload := fmt.Appendf(nil, "%d %d %s", s, i, strings.Repeat("x", (s*i*37)%9000))
					var err error
					switch i % 5 {
					case 0:
						err = c.Send(Text(payload))
					case 1:
						err = c.SendMessage(OpText, payload)
					case 2:
						c.Queue(Text(payload))
						c.Flush()
					case 3:
						c.Cork()
						c.Send(Text(payload))
						c.Uncork()
					case 4:
						err = c.QueueMessage(OpText, payload)
						if i == each-1 {
							c.Flush()
						}
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		next := make([]int, senders)
		br := bufio.NewReader(client)
		for range senders * each {
			var s, i int
			f := readFrame(t, br)
			if _, err := fmt.Sscan(string(f.Payload), &s, &i); err != nil {
				t.Fatal(err)
			}
			if i != next[s] {
				t.Fatalf("sender %d: got frame %d, want %d", s, i, next[s])
			}
			next[s]++
		}
		running.Wait()
	})
}

func TestLargeFrames(t *testing.T) {
	transports(t, UpgradeOptions{}, func(t *testing.T, c *Conn, client net.Conn) {
		var want bytes.Buffer
		for _, size := range []int{100, 300_000, 5, 20_000, 9 << 20, 17, 70_000, 3} {
			f := Binary(random(size))
			want.Write(f.b)
			c.Queue(f)
		}
		c.Flush() // takes what the socket takes and leaves the rest to a goroutine
		got := make([]byte, want.Len())
		if _, err := io.ReadFull(client, got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want.Bytes()) {
			t.Error("bytes differ")
		}
	})
}

// A frame over the bound is taken when nothing else waits, so the bound does not limit the size of messages.
func TestQueueTakesOneLargeFrame(t *testing.T) {
	c, client := tcp(t, UpgradeOptions{MaxQueueBytes: 1000})
	if err := c.SendMessage(OpText, bytes.Repeat([]byte("x"), 5000)); err != nil {
		t.Fatal(err)
	}
	readFrame(t, client)
}

func TestSlowReaderIsCutOff(t *testing.T) {
	for name, opts := range map[string]UpgradeOptions{
		"bytes":  {MaxQueueBytes: 1 << 20},
		"frames": {MaxQueueFrames: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			slow, slowClient := tcp(t, opts)
			quick, quickClient := tcp(t, opts)
			slowResults, quickResults := readAll(slow), readAll(quick)
			slowClient.SetDeadline(time.Now().Add(soon))

			received := make(chan string, 1)
			go func() {
				for {
					f, err := ws.ReadFrame(quickClient)
					if err != nil {
						close(received)
						return
					}
					received <- string(f.Payload[:4])
				}
			}()

			f := Text(append([]byte("next"), bytes.Repeat([]byte("x"), 20_000)...))
			sent := 0
			for {
				if err := quick.Send(f); err != nil {
					t.Fatal(err)
				}
				if <-received != "next" {
					t.Fatal("quick reader did not get the frame")
				}
				err := slow.Send(f)
				if err == ErrSlowReader {
					break
				}
				if sent++; err != nil || sent > 100_000 {
					t.Fatal(sent, err)
				}
			}
			if err := slow.Send(f); err != ErrClosed {
				t.Errorf("Send after the cut: %v", err)
			}
			// Best effort: the client that wakes up in time gets whole frames and then the reason.
			br := bufio.NewReader(slowClient)
			for {
				f := readFrame(t, br)
				if f.Header.OpCode == ws.OpText {
					continue
				}
				if string(f.Payload) != closePayload(1008, "ws.slow_reader") {
					t.Errorf("got %x %q", f.Header.OpCode, f.Payload)
				}
				break
			}
			write(t, slowClient, raw{b0: closesBits, payload: closePayload(1008, "")}.bytes())
			if err := end(t, slowResults); err != ErrSlowReader {
				t.Errorf("reader's error is %v", err)
			}
			if err := quick.Send(f); err != nil {
				t.Errorf("quick reader: %v", err)
			}
			quick.CloseNow()
			end(t, quickResults)
			for range received {
			}
		})
	}
}

// A peer that never reads is gone after CloseTimeout from the cut, or after WriteTimeout if the queue stays in its bounds.
func TestStuckPeer(t *testing.T) {
	t.Run("over the bound", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, _ := pipe(t, UpgradeOptions{MaxQueueFrames: 2, WriteTimeout: time.Minute})
			results := readAll(c)
			start := time.Now()
			c.Send(Text([]byte("1")))
			c.Send(Text([]byte("2")))
			if err := c.Send(Text([]byte("3"))); err != ErrSlowReader {
				t.Errorf("third frame: %v", err)
			}
			<-c.Done()
			if err := end(t, results); err != ErrSlowReader || time.Since(start) != 5*time.Second {
				t.Errorf("ended with %v after %v", err, time.Since(start))
			}
		})
	})
	t.Run("within the bounds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, _ := pipe(t, UpgradeOptions{WriteTimeout: 7 * time.Second})
			results := readAll(c)
			start := time.Now()
			c.Send(Text([]byte("1")))
			if err := end(t, results); err != ErrWriteTimeout || time.Since(start) != 7*time.Second {
				t.Errorf("ended with %v after %v", err, time.Since(start))
			}
		})
	})
}

// deadlines notes the last write deadline.
type deadlines struct {
	net.Conn
	mu   sync.Mutex
	last time.Time
}

func (d *deadlines) SetWriteDeadline(at time.Time) error {
	d.mu.Lock()
	d.last = at
	d.mu.Unlock()
	return d.Conn.SetWriteDeadline(at)
}

// A write that had to wait leaves no deadline behind, which would fail a later direct write.
func TestWriteDeadlineIsLifted(t *testing.T) {
	server, client := net.Pipe()
	defer client.Close()
	nc := &deadlines{Conn: server}
	c := newConn(nc, nil, testOptions(UpgradeOptions{}))
	defer c.CloseNow()
	c.Send(Text([]byte("x")))
	wantFrame(t, client, ws.OpText, "x")
	quiet(c)
	nc.mu.Lock()
	defer nc.mu.Unlock()
	if !nc.last.IsZero() {
		t.Errorf("deadline is %v", nc.last)
	}
}

func TestWriteErrorEndsTheConnection(t *testing.T) {
	transports(t, UpgradeOptions{}, func(t *testing.T, c *Conn, client net.Conn) {
		results := readAll(c)
		client.Close()
		waiting := func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return len(c.queue) > 0
		}
		for c.SendMessage(OpText, []byte("x")) == nil {
			for waiting() { // a flood would be cut off for being read too slowly
				runtime.Gosched()
			}
		}
		if err := end(t, results); !errors.Is(err, ErrLost) {
			t.Errorf("got %v", err)
		}
		<-c.Done()
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.queue) != 0 {
			t.Error("queue is kept")
		}
	})
}

func TestSendDoesNotAllocate(t *testing.T) {
	c, client := tcp(t, UpgradeOptions{})
	go io.Copy(io.Discard, client)
	payload, f := []byte("payload"), Text([]byte("frame"))
	if n := testing.AllocsPerRun(1000, func() {
		c.QueueMessage(OpText, payload)
		c.Queue(f)
		c.Flush()
	}); n > 1 { // the race detector makes pools forget
		t.Errorf("%v allocations", n)
	}
}

func TestUncorkWithoutCork(t *testing.T) {
	c, _ := pipe(t, UpgradeOptions{})
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	c.Uncork()
}
