//go:build unix

package ws

import "testing"

// A connection over a socket waits for input without a buffer.
func TestWaitsWithoutBuffer(t *testing.T) {
	c, client := tcp(t, UpgradeOptions{})
	write(t, client, rawBytes(raw{b0: textBits, payload: "1"}, raw{b0: textBits, payload: "2"}))
	for range 2 {
		if _, _, err := c.ReadMessage(); err != nil {
			t.Fatal(err)
		}
	}
	waiting := make(chan struct{}, 10)
	try := c.in.socket.try
	c.in.socket.try = func(fd uintptr) bool {
		done := try(fd)
		if !done {
			if c.in.buf != nil || c.in.msg != nil {
				t.Error("waits with a buffer")
			}
			waiting <- struct{}{}
		}
		return done
	}
	results := readAll(c)
	<-waiting
	write(t, client, raw{b0: textBits, payload: "3"}.bytes())
	if got := <-results; got.payload != "3" {
		t.Errorf("got %q %v", got.payload, got.err)
	}
	client.Close()
	end(t, results)
}
