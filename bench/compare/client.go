package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
)

// httpConn sends prepared HTTP/1.1 requests over one TCP connection: a lean client leaves the machine to the server.
type httpConn struct {
	nc net.Conn
	r  *bufio.Reader
}

func dialHTTP(addr string) (*httpConn, error) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &httpConn{nc, bufio.NewReaderSize(nc, 4096)}, nil
}

// request prepares a POST.
func request(addr, path, body string) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, addr, len(body), body)
}

// action prepares a call of an action by key.
func action(addr, name, key, act, args string) []byte {
	return actionIn(addr, "default", name, key, act, args)
}

// actionIn is action for an actor of a pool.
func actionIn(addr, pool, name, key, act, args string) []byte {
	return request(addr, "/gateway/"+name+"/action/"+act+"?rvt-namespace=default&rvt-method=getOrCreate&rvt-runner="+pool+"&rvt-key="+key+"&rvt-crash-policy=sleep", `{"args":[`+args+`]}`)
}

// do sends a request and reads the whole answer, which must be 200.
func (c *httpConn) do(req []byte) error {
	if _, err := c.nc.Write(req); err != nil {
		return err
	}
	status, err := c.r.ReadSlice('\n')
	if err != nil {
		return err
	}
	ok := bytes.HasPrefix(status, []byte("HTTP/1.1 200"))
	text := ""
	if !ok {
		text = string(status)
	}
	length := -1
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		const name = "content-length: "
		if len(line) > len(name) && bytes.EqualFold(line[:len(name)], []byte(name)) {
			v := line[len(name):]
			if length, err = strconv.Atoi(string(bytes.TrimSpace(v))); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return errors.New("answer without Content-Length")
	}
	if ok {
		_, err = c.r.Discard(length)
		return err
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(c.r, body); err != nil {
		return err
	}
	return fmt.Errorf("%s%s", text, body)
}

// wsConn is a WebSocket client that writes prepared frames.
type wsConn struct {
	nc net.Conn
	r  *bufio.Reader
}

func dialWS(addr, path string) (*wsConn, error) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(nc, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: rivet, rivet_encoding.json\r\n\r\n", path, addr)
	c := &wsConn{nc, bufio.NewReaderSize(nc, 4096)}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, fmt.Errorf("upgrade: %s", resp.Status)
	}
	return c, nil
}

// connect opens a connection to an actor and reads Init.
func connect(addr, name, key string) (*wsConn, error) { return connectIn(addr, "default", name, key) }

// connectIn is connect for an actor of a pool.
func connectIn(addr, pool, name, key string) (*wsConn, error) {
	c, err := dialWS(addr, "/gateway/"+name+"/connect?rvt-namespace=default&rvt-method=getOrCreate&rvt-runner="+pool+"&rvt-key="+key+"&rvt-crash-policy=sleep")
	if err != nil {
		return nil, err
	}
	return c, c.skip()
}

// frame prepares a masked text frame.
func frame(text string) []byte {
	b, err := ws.CompileFrame(ws.MaskFrame(ws.NewTextFrame([]byte(text))))
	if err != nil {
		panic(err) // a text frame always compiles
	}
	return b
}

// skip reads one frame and drops it; a close frame is an error.
func (c *wsConn) skip() error {
	h, err := ws.ReadHeader(c.r)
	if err != nil {
		return err
	}
	if h.OpCode == ws.OpClose {
		b := make([]byte, h.Length)
		_, _ = io.ReadFull(c.r, b)
		return fmt.Errorf("closed: %q", b)
	}
	_, err = c.r.Discard(int(h.Length))
	return err
}

// percentile of sorted durations.
func percentile(d []time.Duration, p int) time.Duration { return d[len(d)*p/100] }

// sequential times n runs of op one after another and returns the sorted durations.
func sequential(n int, op func(i int) error) ([]time.Duration, error) {
	out := make([]time.Duration, n)
	for i := range out {
		began := time.Now()
		if err := op(i); err != nil {
			return nil, err
		}
		out[i] = time.Since(began)
	}
	sortDurations(out)
	return out, nil
}

// throughput runs op on n goroutines for a span and returns completions per second. op returns how many it completed.
func throughput(n int, span time.Duration, op func(worker int) (int, error)) (float64, error) {
	var total atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, n)
	began := time.Now()
	until := began.Add(span)
	for w := range n {
		wg.Go(func() {
			done := 0
			for time.Now().Before(until) {
				k, err := op(w)
				if err != nil {
					errs <- err
					break
				}
				done += k
			}
			total.Add(int64(done))
		})
	}
	wg.Wait()
	took := time.Since(began)
	select {
	case err := <-errs:
		return 0, err
	default:
	}
	return float64(total.Load()) / took.Seconds(), nil
}
