package ws

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testOptions returns opts with the defaults filled in and without pings, unless opts asks for them.
func testOptions(opts UpgradeOptions) *UpgradeOptions {
	if opts.PingEvery == 0 {
		opts.PingEvery = -1
	}
	opts.withDefaults()
	return &opts
}

// pipe returns a connection over an in-memory transport without any buffer, and the client's end of it.
func pipe(t testing.TB, opts UpgradeOptions) (*Conn, net.Conn) {
	server, client := net.Pipe()
	c := newConn(server, nil, testOptions(opts))
	t.Cleanup(func() { c.CloseNow(); client.Close() })
	return c, client
}

// tcp returns a connection over loopback TCP and the client's end of it.
func tcp(t testing.TB, opts UpgradeOptions) (*Conn, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := newConn(server, nil, testOptions(opts))
	t.Cleanup(func() { c.CloseNow(); client.Close() })
	return c, client.(*net.TCPConn)
}

var testMask = [4]byte{0x11, 0x22, 0x33, 0x44}

// raw is a client's frame with every bit under control. It is encoded here, not by the code under test.
type raw struct {
	b0       byte // fin, rsv, opcode
	payload  string
	unmasked bool
	announce uint64 // length in the header, if not that of payload
}

func (f raw) bytes() []byte {
	n := uint64(len(f.payload))
	if f.announce != 0 {
		n = f.announce
	}
	mask := byte(0x80)
	if f.unmasked {
		mask = 0
	}
	b := []byte{f.b0}
	switch {
	case n < 126:
		b = append(b, mask|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, mask|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, mask|127), n)
	}
	if f.unmasked {
		return append(b, f.payload...)
	}
	b = append(b, testMask[:]...)
	for i := range len(f.payload) {
		b = append(b, f.payload[i]^testMask[i%4])
	}
	return b
}

func rawBytes(frames ...raw) []byte {
	var b []byte
	for _, f := range frames {
		b = append(b, f.bytes()...)
	}
	return b
}

func closePayload(code int, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(code))) + reason
}

// readFrame reads a server's frame with another implementation than ours.
func readFrame(t testing.TB, r io.Reader) ws.Frame {
	t.Helper()
	f, err := ws.ReadFrame(r)
	if err != nil {
		t.Fatalf("reading a frame of the server: %v", err)
	}
	if f.Header.Masked || !f.Header.Fin || f.Header.Rsv != 0 {
		t.Fatalf("server's frame has header %+v", f.Header)
	}
	return f
}

func wantFrame(t testing.TB, r io.Reader, op ws.OpCode, payload string) {
	t.Helper()
	f := readFrame(t, r)
	if f.Header.OpCode != op || string(f.Payload) != payload {
		t.Fatalf("got frame %x %q, want %x %q", f.Header.OpCode, f.Payload, op, payload)
	}
}

func wantClose(t testing.TB, r io.Reader, code int, reason string) {
	t.Helper()
	wantFrame(t, r, ws.OpClose, closePayload(code, reason))
}

// wantEnd checks that the server closed the transport.
func wantEnd(t testing.TB, r io.Reader) {
	t.Helper()
	if n, err := io.Copy(io.Discard, r); n != 0 || err != nil && !errors.Is(err, net.ErrClosed) {
		t.Fatalf("after the close frame: %d bytes, %v", n, err)
	}
}

type result struct {
	op      Op
	payload string
	err     error
}

// readAll reads in a goroutine until the connection ends; the channel is closed after the error.
func readAll(c *Conn) <-chan result {
	results := make(chan result, 1024)
	go func() {
		defer close(results)
		for {
			op, payload, err := c.ReadMessage()
			results <- result{op, string(payload), err}
			if err != nil {
				return
			}
		}
	}()
	return results
}

// end returns the error that ended the connection, and fails on a message.
func end(t testing.TB, results <-chan result) error {
	t.Helper()
	r := <-results
	if r.err == nil {
		t.Fatalf("unexpected message %q", r.payload)
	}
	return r.err
}

func write(t testing.TB, w io.Writer, b []byte) {
	t.Helper()
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
}

func random(n int) []byte {
	b := bytes.Repeat([]byte{0}, n)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

const soon = 20 * time.Second // for what must happen; long, because machines are busy
