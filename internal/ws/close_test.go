package ws

import (
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
)

func TestCloseByPeer(t *testing.T) {
	for name, test := range map[string]struct {
		payload string
		code    int
		reason  string
		answer  string
	}{
		"normal":      {closePayload(1000, "Disposed"), 1000, "Disposed", closePayload(1000, "")},
		"application": {closePayload(4321, "é"), 4321, "é", closePayload(4321, "")},
		"no code":     {"", CodeNoStatus, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			transports(t, UpgradeOptions{}, func(t *testing.T, c *Conn, client net.Conn) {
				results := readAll(c)
				write(t, client, raw{b0: closesBits, payload: test.payload}.bytes())
				wantFrame(t, client, ws.OpClose, test.answer)
				wantEnd(t, client) // the server closes the transport first
				err := end(t, results)
				if got, ok := err.(*CloseError); !ok || got.Code != test.code || got.Reason != test.reason {
					t.Errorf("got %v", err)
				}
				<-c.Done()
			})
		})
	}
}

func TestCloseByUs(t *testing.T) {
	transports(t, UpgradeOptions{}, func(t *testing.T, c *Conn, client net.Conn) {
		results := readAll(c)
		c.Queue(Text([]byte("before")))
		c.Close(1000, "bye")
		c.Close(1001, "again")
		if err := c.Send(Text([]byte("after"))); err != ErrClosed {
			t.Errorf("Send after Close: %v", err)
		}
		wantFrame(t, client, ws.OpText, "before")
		wantClose(t, client, 1000, "bye")
		// What the peer says before it answers is dropped, pings get no answer.
		write(t, client, rawBytes(raw{b0: textBits, payload: "late"}, raw{b0: pingBits},
			raw{b0: closesBits, payload: closePayload(1000, "bye")}))
		wantEnd(t, client)
		if err := end(t, results); err != ErrClosed {
			t.Errorf("got %v", err)
		}
		<-c.Done()
	})
}

func TestCloseBothAtOnce(t *testing.T) {
	transports(t, UpgradeOptions{}, func(t *testing.T, c *Conn, client net.Conn) {
		c.Close(1000, "ours")
		if client, ok := client.(*net.TCPConn); ok { // a pipe has no room for it yet
			write(t, client, raw{b0: closesBits, payload: closePayload(4000, "theirs")}.bytes())
			client.CloseWrite()
		}
		results := readAll(c)
		wantClose(t, client, 1000, "ours")
		if _, ok := client.(*net.TCPConn); !ok {
			write(t, client, raw{b0: closesBits, payload: closePayload(4000, "theirs")}.bytes())
		}
		wantEnd(t, client)
		if err := end(t, results); err != ErrClosed {
			t.Errorf("got %v", err)
		}
	})
}

// The peer gets CloseTimeout from the moment the close frame is written, and WriteTimeout until then.
func TestCloseTimeouts(t *testing.T) {
	t.Run("no answer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, client := pipe(t, UpgradeOptions{})
			results := readAll(c)
			start := time.Now()
			c.Close(1000, "")
			time.Sleep(3 * time.Second)
			wantClose(t, client, 1000, "")
			if err := end(t, results); err != ErrClosed || time.Since(start) != 8*time.Second {
				t.Errorf("ended with %v after %v", err, time.Since(start))
			}
		})
	})
	t.Run("no reader on either side", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, _ := pipe(t, UpgradeOptions{})
			start := time.Now()
			c.Close(1000, "")
			<-c.Done()
			if time.Since(start) != 30*time.Second {
				t.Errorf("ended after %v", time.Since(start))
			}
			if _, _, err := c.ReadMessage(); err != ErrClosed {
				t.Errorf("ReadMessage: %v", err)
			}
		})
	})
	t.Run("answer cannot be written", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, client := pipe(t, UpgradeOptions{})
			results := readAll(c)
			start := time.Now()
			write(t, client, raw{b0: closesBits}.bytes())
			if _, ok := end(t, results).(*CloseError); !ok || time.Since(start) != 0 {
				t.Error("the reader had to wait")
			}
			<-c.Done()
			if time.Since(start) != 5*time.Second {
				t.Errorf("ended after %v", time.Since(start))
			}
		})
	})
}

func TestCloseNow(t *testing.T) {
	transports(t, UpgradeOptions{}, func(t *testing.T, c *Conn, client net.Conn) {
		results := readAll(c)
		select {
		case <-c.Done():
			t.Fatal("done too early")
		default:
		}
		for range 3 {
			c.CloseNow()
		}
		wantEnd(t, client)
		if err := end(t, results); err != ErrClosed {
			t.Errorf("got %v", err)
		}
		<-c.Done()
		if err := c.Send(Text(nil)); err != ErrClosed {
			t.Errorf("Send: %v", err)
		}
		c.Close(1000, "")
		c.Flush()
	})
}

// Everybody closes at once while others send: the race detector watches, and all goroutines end.
func TestCloseRaces(t *testing.T) {
	for range 50 {
		transports(t, UpgradeOptions{}, func(t *testing.T, c *Conn, client net.Conn) {
			results := readAll(c)
			var running sync.WaitGroup
			for i := range 8 {
				running.Go(func() {
					for c.SendMessage(OpText, []byte("x")) == nil {
						runtime.Gosched()
					}
				})
				running.Go(func() {
					switch i % 4 {
					case 0:
						c.Close(1000, "")
					case 1:
						c.CloseNow()
					case 2:
						client.Write(raw{b0: closesBits}.bytes())
					case 3:
						<-c.Done()
					}
				})
			}
			for range results {
			}
			running.Wait()
			<-c.Done()
		})
	}
}

func TestKeepalive(t *testing.T) {
	opts := UpgradeOptions{PingEvery: 30 * time.Second, DeadAfter: 90 * time.Second}

	t.Run("silent peer is dead at DeadAfter", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, client := pipe(t, opts)
			results := readAll(c)
			time.Sleep(10 * time.Second)
			write(t, client, raw{b0: textBits, payload: "hello"}.bytes())
			<-results
			start := time.Now()
			pings := 0
			for {
				f, err := ws.ReadFrame(client)
				if err != nil {
					break
				}
				if f.Header.OpCode != ws.OpPing {
					t.Fatalf("got opcode %x", f.Header.OpCode)
				}
				pings++
			}
			if err := end(t, results); err != ErrSilent || time.Since(start) != 90*time.Second {
				t.Errorf("ended with %v after %v", err, time.Since(start))
			}
			if pings < 2 || pings > 4 {
				t.Errorf("%d pings", pings)
			}
			<-c.Done()
		})
	})

	t.Run("half-open peer does not even read", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			opts := opts
			opts.WriteTimeout = time.Hour
			c, _ := pipe(t, opts)
			results := readAll(c)
			start := time.Now()
			if err := end(t, results); err != ErrSilent || time.Since(start) != 90*time.Second {
				t.Errorf("ended with %v after %v", err, time.Since(start))
			}
		})
	})

	t.Run("answers keep it alive", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, client := pipe(t, opts)
			results := readAll(c)
			start, last := time.Now(), time.Now()
			for time.Since(start) < time.Hour {
				wantFrame(t, client, ws.OpPing, "")
				if gap := time.Since(last); gap > 30*time.Second {
					t.Fatalf("no ping for %v", gap)
				}
				last = time.Now()
				write(t, client, raw{b0: pongBits}.bytes())
			}
			c.CloseNow()
			end(t, results)
		})
	})

	t.Run("a talking peer is not asked", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, client := pipe(t, opts)
			results := readAll(c)
			for range 100 {
				time.Sleep(10 * time.Second)
				// One byte of a frame is enough.
				write(t, client, raw{b0: pongBits}.bytes()[:1])
				time.Sleep(4 * time.Second)
				write(t, client, raw{b0: pongBits}.bytes()[1:])
			}
			c.mu.Lock()
			if c.writing || c.pingDue {
				t.Error("a ping is being written")
			}
			c.mu.Unlock()
			c.CloseNow()
			end(t, results)
		})
	})

	t.Run("off", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, _ := pipe(t, UpgradeOptions{PingEvery: -1})
			results := readAll(c)
			time.Sleep(24 * time.Hour)
			c.CloseNow()
			end(t, results)
		})
	})

	t.Run("pings without an end", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, client := pipe(t, UpgradeOptions{PingEvery: time.Minute, DeadAfter: -1})
			results := readAll(c)
			for range 100 {
				wantFrame(t, client, ws.OpPing, "")
			}
			c.CloseNow()
			end(t, results)
		})
	})
}
