//go:build unix

package ws

import (
	"bytes"
	"syscall"
	"testing"
)

// idleClient makes a bare socket that has done the handshake and the round trip of one message.
func idleClient(b *testing.B, port int) int {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		b.Fatal(err)
	}
	if err := syscall.Connect(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 1024)
	talk := func(say []byte, end string) {
		if _, err := syscall.Write(fd, say); err != nil {
			b.Fatal(err)
		}
		for got := 0; !bytes.HasSuffix(buf[:got], []byte(end)); {
			n, err := syscall.Read(fd, buf[got:])
			if err != nil || n == 0 {
				b.Fatal("idle client: ", n, err)
			}
			got += n
		}
	}
	talk([]byte(goodRequest+"\r\n"), "\r\n\r\n")
	talk(raw{b0: 0x81, payload: "hello"}.bytes(), "hello")
	return fd
}

func closeIdleClient(fd int) { syscall.Close(fd) }
