package engine

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rivetgo/rivet/internal/pipenet"
)

func TestG6_connections_that_send_no_request_are_closed(t *testing.T) {
	l := pipenet.Listen()
	working, finish := make(chan struct{}), make(chan struct{})
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(working)
			<-finish
		}
		io.WriteString(w, "ok")
	})}
	r := newReaper(10*time.Second, time.Minute)
	r.attach(s)
	idling := make(chan struct{}, 10)
	note := s.ConnState
	s.ConnState = func(c net.Conn, state http.ConnState) {
		note(c, state)
		if state == http.StateIdle {
			idling <- struct{}{}
		}
	}
	go s.Serve(l)
	defer s.Close()
	defer l.Close()
	dial := func(send string) net.Conn {
		t.Helper()
		c, err := l.Dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, send); err != nil {
			t.Fatal(err)
		}
		return c
	}
	half := dial("GET /x HTTP/1.1\r\nHost: ")
	idle := dial("GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := idle.Read(make([]byte, 4096)); err != nil {
		t.Fatal(err)
	}
	<-idling
	slow := dial("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
	<-working

	now := time.Now()
	r.reap(now.Add(5 * time.Second))
	r.reap(now.Add(30 * time.Second))
	if _, err := half.Read(make([]byte, 1)); err == nil {
		t.Error("half a request: the connection is open after 30 s")
	}
	if _, err := io.WriteString(idle, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Errorf("an idle connection was closed after 30 s: %v", err)
	}
	if _, err := idle.Read(make([]byte, 4096)); err != nil {
		t.Errorf("an idle connection was closed after 30 s: %v", err)
	}
	<-idling
	r.reap(now.Add(time.Hour))
	if _, err := idle.Read(make([]byte, 1)); err == nil {
		t.Error("an idle connection is open after an hour")
	}
	close(finish)
	if _, err := slow.Read(make([]byte, 4096)); err != nil {
		t.Errorf("a request under way was cut: %v", err)
	}
}

// A handler that has returned leaves its connection active for a moment, with an answer that is not written yet.
func TestALongRequestThatJustEndedIsNotCut(t *testing.T) {
	r := newReaper(10*time.Second, time.Minute)
	c, peer := net.Pipe()
	defer peer.Close()
	defer c.Close()
	now := time.Now()
	r.note(c, http.StateActive)
	r.of(c).serving.Add(1)
	r.reap(now.Add(time.Hour))
	r.of(c).serving.Add(-1)
	r.reap(now.Add(time.Hour + 5*time.Second))
	if err := c.SetDeadline(time.Time{}); err != nil {
		t.Errorf("closed: %v", err)
	}
	r.reap(now.Add(time.Hour + 15*time.Second))
	if err := c.SetDeadline(time.Time{}); err == nil {
		t.Error("open although no request follows")
	}
}

func TestTheReaperRestsWithoutConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReaper(10*time.Second, time.Minute)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go r.run(ctx)
		for range 3 {
			time.Sleep(time.Hour)
			c, peer := net.Pipe()
			defer peer.Close()
			r.note(c, http.StateNew)
			time.Sleep(9 * time.Second)
			if err := c.SetDeadline(time.Time{}); err != nil {
				t.Errorf("closed after 9 s: %v", err)
			}
			time.Sleep(7 * time.Second)
			if err := c.SetDeadline(time.Time{}); err == nil {
				t.Error("open after 16 s without a request")
			}
			r.note(c, http.StateClosed)
		}
	})
}
