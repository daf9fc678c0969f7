package ws

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// bareEcho is the shortest loop over gobwas/ws that echoes: a small reader, one write a frame, no bounds and no checks.
func bareEcho(nc net.Conn) {
	br := bufio.NewReaderSize(nc, 1024)
	buf := make([]byte, 64<<10)
	for {
		h, err := ws.ReadHeader(br)
		if err != nil {
			return
		}
		payload := buf[headerRoom : headerRoom+int(h.Length)]
		if _, err := io.ReadFull(br, payload); err != nil {
			return
		}
		ws.Cipher(payload, h.Mask, 0)
		start := headerRoom - headerLen(len(payload))
		appendHeader(buf[start:start], Op(h.OpCode), len(payload))
		if _, err := nc.Write(buf[start : headerRoom+len(payload)]); err != nil {
			return
		}
	}
}

// echoBy returns an echo loop that answers with send.
func echoBy(send func(c *Conn, op Op, payload []byte)) func(net.Conn) {
	return func(nc net.Conn) {
		c := newConn(nc, nil, testOptions(UpgradeOptions{PingEvery: 30 * time.Second}))
		for {
			op, payload, err := c.ReadMessage()
			if err != nil {
				return
			}
			send(c, op, payload)
		}
	}
}

var echoes = []struct {
	name string
	loop func(net.Conn)
}{
	{"gobwas", bareEcho},
	{"QueueMessage", echoBy(func(c *Conn, op Op, payload []byte) { c.QueueMessage(op, payload) })},
	{"QueueFrame", echoBy(func(c *Conn, op Op, payload []byte) { c.Queue(Binary(payload)) })},
	{"Flush", echoBy(func(c *Conn, op Op, payload []byte) { c.QueueMessage(op, payload); c.Flush() })},
	{"Send", echoBy(func(c *Conn, op Op, payload []byte) { c.SendMessage(op, payload) })},
}

func loopback(b *testing.B) (server, client net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		b.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		b.Fatal(err)
	}
	return server, client
}

// BenchmarkEcho is the round trip of one message at a time (depth 1) and of bursts, client included.
func BenchmarkEcho(b *testing.B) {
	for _, size := range []int{64, 4096} {
		for _, depth := range []int{1, 64} {
			for _, e := range echoes {
				b.Run(fmt.Sprintf("size=%d/depth=%d/%s", size, depth, e.name), func(b *testing.B) {
					server, client := loopback(b)
					var running sync.WaitGroup
					running.Go(func() { e.loop(server); server.Close() })
					var burst []byte
					for range depth {
						burst = append(burst, raw{b0: 0x82, payload: string(random(size))}.bytes()...)
					}
					answer := make([]byte, depth*(headerLen(size)+size))
					b.ReportAllocs()
					b.ResetTimer()
					for n := 0; n < b.N; n += depth {
						if depth > 1 {
							go client.Write(burst)
						} else if _, err := client.Write(burst); err != nil {
							b.Fatal(err)
						}
						if _, err := io.ReadFull(client, answer); err != nil {
							b.Fatal(err)
						}
					}
					b.StopTimer()
					client.Close()
					running.Wait()
				})
			}
		}
	}
}

// BenchmarkFanOut is one frame of 200 bytes to 1,000 connections, until each client has it.
func BenchmarkFanOut(b *testing.B) {
	const conns = 1000
	payload := random(200)
	size := headerLen(len(payload)) + len(payload)
	for _, way := range []struct {
		name string
		send func(conns []*Conn, nets []net.Conn)
	}{
		{"gobwas", func(_ []*Conn, nets []net.Conn) {
			frame := ws.MustCompileFrame(ws.NewBinaryFrame(payload))
			for _, nc := range nets {
				nc.Write(frame)
			}
		}},
		{"Send", func(conns []*Conn, _ []net.Conn) {
			f := Binary(payload)
			for _, c := range conns {
				c.Send(f)
			}
		}},
		{"QueueFlush", func(conns []*Conn, _ []net.Conn) {
			f := Binary(payload)
			for _, c := range conns {
				c.Queue(f)
				c.Flush()
			}
		}},
	} {
		b.Run(way.name, func(b *testing.B) {
			var cs []*Conn
			var nets, clients []net.Conn
			var running sync.WaitGroup
			var received atomic.Int64
			all := make(chan struct{})
			for range conns {
				server, client := loopback(b)
				c := newConn(server, nil, testOptions(UpgradeOptions{}))
				nets, cs, clients = append(nets, server), append(cs, c), append(clients, client)
				running.Go(func() {
					buf := make([]byte, size)
					for {
						if _, err := io.ReadFull(client, buf); err != nil {
							return
						}
						if received.Add(1)%conns == 0 {
							all <- struct{}{}
						}
					}
				})
			}
			b.ReportAllocs()
			b.ResetTimer()
			var calling time.Duration
			for b.Loop() {
				start := time.Now()
				way.send(cs, nets)
				calling += time.Since(start)
				<-all
			}
			b.StopTimer()
			b.ReportMetric(float64(calling.Microseconds())/float64(b.N), "µs-in-call/op")
			for i := range cs {
				cs[i].CloseNow()
				nets[i].Close()
				clients[i].Close()
			}
			running.Wait()
		})
	}
}

// BenchmarkIdle is the memory of an idle connection after its handshake and one message each way.
//
//	conn       what this package holds: Conn, options, read buffer, timer
//	server     all of it, on a net/http server: also the net.Conn, its poll descriptor and the parked reader's stack
//
// The clients are bare sockets, which hold no memory of ours.
func BenchmarkIdle(b *testing.B) {
	b.Run("conn", func(b *testing.B) {
		const conns = 20_000
		for b.Loop() {
			kept := make([]*Conn, conns)
			nc := &scriptConn{}
			before := memory()
			for i := range kept {
				kept[i] = newConn(nc, nil, testOptions(UpgradeOptions{PingEvery: time.Hour}))
			}
			b.ReportMetric(float64(memory()-before)/conns/1024, "KiB/conn")
			for _, c := range kept {
				c.CloseNow()
			}
		}
	})

	const conns = 5000
	gobwas := func(w http.ResponseWriter, r *http.Request) (net.Conn, func(net.Conn)) {
		nc, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			b.Error(err)
		}
		return nc, bareEcho512
	}
	ours := func(w http.ResponseWriter, r *http.Request) (net.Conn, func(net.Conn)) {
		c, err := Upgrade(w, r, UpgradeOptions{})
		if err != nil {
			b.Error(err)
		}
		return c.nc, func(net.Conn) { echo(c); c.CloseNow() }
	}
	for name, upgrade := range map[string]func(http.ResponseWriter, *http.Request) (net.Conn, func(net.Conn)){
		"server": ours, "server-gobwas": gobwas,
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				var running sync.WaitGroup
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					b.Fatal(err)
				}
				s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					nc, loop := upgrade(w, r)
					running.Go(func() { loop(nc); nc.Close() })
				})}
				go s.Serve(l)
				before := memory()
				fds := make([]int, conns)
				for i := range fds {
					fds[i] = idleClient(b, l.Addr().(*net.TCPAddr).Port)
				}
				b.ReportMetric(float64(memory()-before)/conns/1024, "KiB/conn")
				for _, fd := range fds {
					closeIdleClient(fd)
				}
				s.Close()
				running.Wait()
			}
		})
	}
}

// bareEcho512 is bareEcho with as little memory as a loop can do with.
func bareEcho512(nc net.Conn) {
	br := bufio.NewReaderSize(nc, 512)
	for {
		h, err := ws.ReadHeader(br)
		if err != nil {
			return
		}
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(br, payload); err != nil {
			return
		}
		ws.Cipher(payload, h.Mask, 0)
		if _, err := nc.Write(copyFrame(Op(h.OpCode), payload).b); err != nil {
			return
		}
	}
}

// memory is what heap and stacks hold after garbage collection.
func memory() int64 {
	for range 3 {
		runtime.GC() // pools need two to be empty
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// BenchmarkReadMessage is the cost of the reader alone: no socket, no answer.
func BenchmarkReadMessage(b *testing.B) {
	for _, size := range []int{64, 4096, 65_536} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			frame := raw{b0: 0x82, payload: string(random(size))}.bytes()
			c := newConn(&endless{frame: frame}, nil, testOptions(UpgradeOptions{}))
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := c.ReadMessage(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// endless is a transport on which the same frame arrives for ever.
type endless struct {
	scriptConn
	frame []byte
	at    int
}

func (e *endless) Read(b []byte) (n int, err error) {
	for n < len(b) {
		m := copy(b[n:], e.frame[e.at:])
		n += m
		e.at = (e.at + m) % len(e.frame)
	}
	return n, nil
}
