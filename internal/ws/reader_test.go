package ws

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

const (
	textBits   = 0x81
	binaryBits = 0x82
	moreBits   = 0x00 // continuation
	lastBits   = 0x80 // final continuation
	closesBits = 0x88
	pingBits   = 0x89
	pongBits   = 0x8a
)

func TestReadMessage(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 5000) // 80,000 bytes
	for name, test := range map[string]struct {
		frames []raw
		want   []result
	}{
		"text":   {[]raw{{b0: textBits, payload: "héllo"}}, []result{{op: OpText, payload: "héllo"}}},
		"binary": {[]raw{{b0: binaryBits, payload: "\xff\x00"}}, []result{{op: OpBinary, payload: "\xff\x00"}}},
		"empty":  {[]raw{{b0: textBits}, {b0: binaryBits}}, []result{{op: OpText}, {op: OpBinary}}},
		"lengths": {
			[]raw{{b0: textBits, payload: long[:125]}, {b0: textBits, payload: long[:126]}, {b0: textBits, payload: long[:2000]},
				{b0: textBits, payload: long[:readBuffer]}, {b0: textBits, payload: long[:readBuffer+1]}, {b0: textBits, payload: long}},
			[]result{{op: OpText, payload: long[:125]}, {op: OpText, payload: long[:126]}, {op: OpText, payload: long[:2000]},
				{op: OpText, payload: long[:readBuffer]}, {op: OpText, payload: long[:readBuffer+1]}, {op: OpText, payload: long}},
		},
		"fragments": {
			[]raw{{b0: 0x01, payload: "h\xc3"}, {b0: moreBits}, {b0: moreBits, payload: "\xa9ll"}, {b0: lastBits, payload: "o"}},
			[]result{{op: OpText, payload: "héllo"}},
		},
		"fragments with control frames between": {
			[]raw{{b0: 0x02, payload: "a"}, {b0: pingBits, payload: "?"}, {b0: moreBits, payload: "b"}, {b0: pongBits}, {b0: lastBits}},
			[]result{{op: OpBinary, payload: "ab"}},
		},
		"long fragments": {
			[]raw{{b0: 0x01, payload: long[:70_000]}, {b0: lastBits, payload: long[70_000:]}, {b0: textBits, payload: "x"}},
			[]result{{op: OpText, payload: long}, {op: OpText, payload: "x"}},
		},
		"unasked pong": {[]raw{{b0: pongBits, payload: "late"}, {b0: textBits, payload: "x"}}, []result{{op: OpText, payload: "x"}}},
	} {
		// However the bytes are cut on their way, the messages are the same.
		for _, step := range []int{1, 7, 1000, 1 << 20} {
			t.Run(fmt.Sprintf("%s in steps of %d", name, step), func(t *testing.T) {
				c, client := pipe(t, UpgradeOptions{})
				go io.Copy(io.Discard, client)
				results := readAll(c)
				input := rawBytes(test.frames...)
				step := max(step, len(input)/2000) // no need to take ages
				for len(input) > 0 {
					n := min(step, len(input))
					write(t, client, input[:n])
					input = input[n:]
				}
				for _, want := range test.want {
					if got := <-results; got != want {
						t.Fatalf("got %d %.40q %v, want %d %.40q", got.op, got.payload, got.err, want.op, want.payload)
					}
				}
				client.Close()
				if err := end(t, results); !errors.Is(err, ErrLost) {
					t.Errorf("got %v, want ErrLost", err)
				}
			})
		}
	}
}

func TestViolations(t *testing.T) {
	opts := UpgradeOptions{MaxMessageBytes: 1000}
	tooLong := "message.incoming_too_long"
	for name, test := range map[string]struct {
		frames []raw
		code   int
		reason string
	}{
		"not masked":                   {[]raw{{b0: textBits, payload: "x", unmasked: true}}, 1002, reasonProtocol},
		"rsv1":                         {[]raw{{b0: textBits | 0x40}}, 1002, reasonProtocol},
		"rsv2":                         {[]raw{{b0: textBits | 0x20}}, 1002, reasonProtocol},
		"rsv3 on control":              {[]raw{{b0: pingBits | 0x10}}, 1002, reasonProtocol},
		"reserved data opcode":         {[]raw{{b0: 0x83}}, 1002, reasonProtocol},
		"reserved control opcode":      {[]raw{{b0: 0x8b}}, 1002, reasonProtocol},
		"long ping":                    {[]raw{{b0: pingBits, payload: strings.Repeat("x", 126)}}, 1002, reasonProtocol},
		"fragmented ping":              {[]raw{{b0: 0x09}}, 1002, reasonProtocol},
		"fragmented close":             {[]raw{{b0: 0x08}}, 1002, reasonProtocol},
		"continuation first":           {[]raw{{b0: lastBits, payload: "x"}}, 1002, reasonProtocol},
		"continuation after message":   {[]raw{{b0: 0x01}, {b0: lastBits}, {b0: moreBits}}, 1002, reasonProtocol},
		"message inside fragments":     {[]raw{{b0: 0x01, payload: "x"}, {b0: textBits, payload: "y"}}, 1002, reasonProtocol},
		"negative length":              {[]raw{{b0: textBits, announce: 1 << 63}}, 1002, reasonProtocol},
		"close of one byte":            {[]raw{{b0: closesBits, payload: "\x03"}}, 1002, reasonProtocol},
		"close 0":                      {[]raw{{b0: closesBits, payload: closePayload(0, "")}}, 1002, reasonProtocol},
		"close 999":                    {[]raw{{b0: closesBits, payload: closePayload(999, "")}}, 1002, reasonProtocol},
		"close 1004":                   {[]raw{{b0: closesBits, payload: closePayload(1004, "")}}, 1002, reasonProtocol},
		"close 1005":                   {[]raw{{b0: closesBits, payload: closePayload(1005, "")}}, 1002, reasonProtocol},
		"close 1006":                   {[]raw{{b0: closesBits, payload: closePayload(1006, "")}}, 1002, reasonProtocol},
		"close 1015":                   {[]raw{{b0: closesBits, payload: closePayload(1015, "")}}, 1002, reasonProtocol},
		"close 2999":                   {[]raw{{b0: closesBits, payload: closePayload(2999, "")}}, 1002, reasonProtocol},
		"close 5000":                   {[]raw{{b0: closesBits, payload: closePayload(5000, "")}}, 1002, reasonProtocol},
		"close reason not UTF-8":       {[]raw{{b0: closesBits, payload: closePayload(1000, "\xff")}}, 1007, reasonUTF8},
		"text not UTF-8":               {[]raw{{b0: textBits, payload: "\xc3\x28"}}, 1007, reasonUTF8},
		"surrogate":                    {[]raw{{b0: textBits, payload: "\xed\xa0\x80"}}, 1007, reasonUTF8},
		"fragments not UTF-8 together": {[]raw{{b0: 0x01, payload: "\xc3"}, {b0: lastBits, payload: "x"}}, 1007, reasonUTF8},
		"too long":                     {[]raw{{b0: textBits, announce: 1001}}, 1011, tooLong},
		"far too long":                 {[]raw{{b0: textBits, announce: 1<<63 - 1}}, 1011, tooLong},
		"fragments too long":           {[]raw{{b0: 0x02, payload: strings.Repeat("x", 600)}, {b0: lastBits, announce: 401}}, 1011, tooLong},
	} {
		t.Run(name, func(t *testing.T) {
			c, client := tcp(t, opts)
			client.SetDeadline(time.Now().Add(soon))
			c.Queue(Text([]byte("queued before")))
			// Input that is never used must not turn the close into a reset.
			write(t, client, append(rawBytes(test.frames...), make([]byte, 100_000)...))
			_, _, err := c.ReadMessage()
			if err == nil { // what comes before is a good message
				_, _, err = c.ReadMessage()
			}
			var bad *ProtocolError
			if !errors.As(err, &bad) || bad.Code != test.code || bad.Reason != test.reason {
				t.Fatalf("got %v, want a ProtocolError %d %q", err, test.code, test.reason)
			}
			wantFrame(t, client, ws.OpText, "queued before")
			wantClose(t, client, test.code, test.reason)
			wantEnd(t, client) // although the client has not closed
			if _, _, again := c.ReadMessage(); again != err {
				t.Errorf("second error is %v", again)
			}
			if err := c.Send(Text(nil)); err != ErrClosed {
				t.Errorf("Send after the end: %v", err)
			}
			client.Close()
			<-c.Done()
		})
	}
}

func TestTooLargeIsConfigurable(t *testing.T) {
	c, client := pipe(t, UpgradeOptions{MaxMessageBytes: 10, TooLargeCode: CodeTooBig, TooLargeReason: "big"})
	results := readAll(c)
	write(t, client, raw{b0: textBits, payload: "0123456789"}.bytes())
	if got := <-results; got.payload != "0123456789" {
		t.Fatalf("a message of the limit's size: %v", got)
	}
	write(t, client, raw{b0: textBits, announce: 11}.bytes())
	wantClose(t, client, CodeTooBig, "big")
	wantEnd(t, client)
	end(t, results)
}

func TestPingsAreAnswered(t *testing.T) {
	c, client := tcp(t, UpgradeOptions{})
	results := readAll(c)
	for _, payload := range []string{"", "x", strings.Repeat("p", 125)} {
		write(t, client, raw{b0: pingBits, payload: payload}.bytes())
		wantFrame(t, client, ws.OpPong, payload)
	}
	client.Close()
	end(t, results)
}

// A peer that pings without reading the answers gets only the newest one in the end.
func TestPingFloodIsBounded(t *testing.T) {
	c, client := pipe(t, UpgradeOptions{})
	results := readAll(c)
	for i := range 10_000 {
		write(t, client, raw{b0: pingBits, payload: fmt.Sprint(i)}.bytes())
	}
	write(t, client, raw{b0: textBits, payload: "done"}.bytes())
	<-results
	c.mu.Lock()
	queued := c.queuedBytes
	c.mu.Unlock()
	if queued > 2*127 {
		t.Errorf("%d bytes of pongs are queued", queued)
	}
	// One pong was being written at most when the others came.
	if f := readFrame(t, client); string(f.Payload) != "9999" {
		wantFrame(t, client, ws.OpPong, "9999")
	}
	client.Close()
	end(t, results)
}

func TestBuffered(t *testing.T) {
	c, client := tcp(t, UpgradeOptions{})
	frames := rawBytes(raw{b0: textBits, payload: "1"}, raw{b0: textBits, payload: strings.Repeat("2", 200)}, raw{b0: textBits, payload: "3"})
	write(t, client, frames[:len(frames)-1])
	want := []bool{true, false}
	for i, want := range want {
		if _, _, err := c.ReadMessage(); err != nil {
			t.Fatal(err)
		}
		if got := c.Buffered(); got != want {
			t.Errorf("after message %d: Buffered is %v", i, got)
		}
	}
	write(t, client, frames[len(frames)-1:])
	if _, payload, err := c.ReadMessage(); string(payload) != "3" || c.Buffered() {
		t.Errorf("got %q %v", payload, err)
	}
}

// What a large message needed is given back when the reader comes for the next one.
func TestMemoryIsGivenBack(t *testing.T) {
	c, client := tcp(t, UpgradeOptions{})
	big := raw{b0: binaryBits, payload: string(random(3 << 20))}.bytes()
	go client.Write(big)
	_, payload, err := c.ReadMessage()
	if err != nil || len(payload) != 3<<20 {
		t.Fatal(len(payload), err)
	}
	if got := cap(payload); got > 8<<20 {
		t.Errorf("message took a buffer of %d bytes", got)
	}
	results := readAll(c)
	write(t, client, raw{b0: textBits, payload: "x"}.bytes())
	<-results
	c.CloseNow()
	end(t, results)
	if c.in.msg != nil || c.in.buf != nil || c.in.given != nil {
		t.Errorf("ended connection holds %d and %d bytes", cap(c.in.msg), len(c.in.buf))
	}
}

// FuzzReadMessage feeds arbitrary bytes: no panic, no message over the limit, and memory in proportion to the input.
func FuzzReadMessage(f *testing.F) {
	f.Add(rawBytes(raw{b0: textBits, payload: "hello"}, raw{b0: pingBits, payload: "x"}), uint8(3))
	f.Add(rawBytes(raw{b0: 0x01, payload: "he"}, raw{b0: pongBits}, raw{b0: lastBits, payload: "llo"}), uint8(200))
	f.Add(rawBytes(raw{b0: binaryBits, payload: strings.Repeat("x", 3000)}, raw{b0: closesBits, payload: closePayload(1000, "bye")}), uint8(0))
	f.Add(raw{b0: binaryBits, announce: 90_000}.bytes(), uint8(1))
	f.Add(raw{b0: textBits, announce: 1<<63 - 1}.bytes(), uint8(9))
	f.Add(raw{b0: textBits, payload: "\xff"}.bytes(), uint8(9))
	f.Fuzz(func(t *testing.T, input []byte, step uint8) {
		const limit = 100_000
		nc := &scriptConn{input: input, step: int(step)}
		c := newConn(nc, nil, testOptions(UpgradeOptions{MaxMessageBytes: limit, ReadBufferBytes: 256}))
		total := 0
		for {
			op, payload, err := c.ReadMessage()
			if held := cap(c.in.msg); held > max(firstGrowth, 4*len(input)) || held > size256K {
				t.Fatalf("holds %d bytes for %d of input", held, len(input))
			}
			if err != nil {
				break
			}
			if op != OpText && op != OpBinary {
				t.Fatalf("op %d", op)
			}
			if total += len(payload); len(payload) > limit || total > len(input) {
				t.Fatalf("message of %d bytes", len(payload))
			}
		}
		c.CloseNow()
	})
}
