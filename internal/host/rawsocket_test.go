package host

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// wire is a raw socket's transport in a test.
type wire struct {
	ear
	arrived chan struct{}

	mu    sync.Mutex // guards all below
	inbox []RawMessage
	ended error
	sent  []string
}

func newWire() *wire { return &wire{arrived: make(chan struct{}, 1)} }

func (w *wire) Send(_ bool, data []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = append(w.sent, string(data))
}

func (w *wire) Arrived() <-chan struct{} { return w.arrived }

func (w *wire) Take() (RawMessage, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.inbox) == 0 {
		return RawMessage{}, false, w.ended
	}
	m := w.inbox[0]
	w.inbox = w.inbox[1:]
	return m, true, nil
}

func (w *wire) Close(code int, reason string) {
	w.ear.Close(code, reason)
	w.mu.Lock()
	if w.ended == nil {
		w.ended = &CloseError{code, reason}
	}
	w.mu.Unlock()
	w.signal()
}

func (w *wire) signal() {
	select {
	case w.arrived <- struct{}{}:
	default:
	}
}

// say is a message of the client.
func (w *wire) say(text string) {
	w.mu.Lock()
	w.inbox = append(w.inbox, RawMessage{Data: []byte(text)})
	w.mu.Unlock()
	w.signal()
}

func (w *wire) got() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.sent)
}

func withSockets(handle func(c *Call, ws *RawSocket) error) *Spec {
	s := spec()
	s.OnWebSocket = handle
	return s
}

// open opens a raw socket.
func (l *life) open() *wire {
	l.t.Helper()
	w := newWire()
	if err := l.Enter(); err != nil {
		l.t.Fatal(err)
	}
	defer l.Leave()
	conn, err := l.Connect(l.t.Context(), nil, []byte{0xf6}, nil, w)
	if err != nil {
		l.t.Fatal(err)
	}
	l.RunSocket(conn, w, nil)
	return w
}

func TestG2_what_a_raw_socket_writes_waits_for_the_commits_before_it(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		l := start(t, withSockets(func(c *Call, ws *RawSocket) error {
			for {
				m, err := ws.Read(c)
				if err != nil {
					return nil
				}
				text := string(m.Data)
				if err := ws.Write(nil, false, []byte("before "+text)); err != nil {
					t.Error(err)
				}
				err = c.Do(func(c *Call, s State) error {
					s.(*tally).N++
					if err := ws.Write(c, false, []byte("in "+text)); err != nil {
						t.Error(err)
					}
					if text == "bad" {
						return errors.New("no")
					}
					return nil
				})
				if (err != nil) != (text == "bad") {
					t.Error(err)
				}
				if err := ws.Write(nil, false, []byte("after "+text)); err != nil {
					t.Error(err)
				}
			}
		}), d)
		w := l.open()
		synctest.Wait() // the creation is durable
		d.set(func() { d.hold = true })
		w.say("a")
		w.say("bad")
		synctest.Wait()
		if got := w.got(); !slices.Equal(got, []string{"before a"}) {
			t.Errorf("before the commit is durable %q left", got)
		}
		d.flush()
		if got := w.got(); !slices.Equal(got, []string{"before a", "in a", "after a", "before bad", "after bad"}) {
			t.Errorf("%q left", got)
		}
		d.set(func() { d.hold = false })
		l.end(false)
		synctest.Wait()
		if got := w.end(); got != "actor.stopped" {
			t.Errorf("the socket ended with %q", got)
		}
	})
}

func TestARawHandlerKeepsItsActorAwakeWhileItWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, withSockets(func(c *Call, ws *RawSocket) error {
			for {
				if _, err := ws.Read(c); err != nil {
					time.Sleep(time.Hour) // what the handler does about the end counts too
					return nil
				}
				time.Sleep(time.Hour)
			}
		}), newDisk())
		w := l.open()
		w.say("work")
		synctest.Wait()
		w.Close(1000, "") // the client leaves
		l.conns.list()[0].close(1000, "")
		time.Sleep(2*time.Hour - time.Second)
		if len(l.owner.sleep) > 0 {
			t.Error("sleepy while the handler works")
		}
		time.Sleep(time.Minute)
		if len(l.owner.sleep) == 0 {
			t.Error("awake although the handler has returned")
		}
		l.end(false)
	})
}

func TestTheEndWaitsForRawHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended time.Time
		l := start(t, withSockets(func(c *Call, ws *RawSocket) error {
			if _, err := ws.Read(c); err == nil {
				t.Error("read something")
			}
			time.Sleep(2 * time.Second)
			ended = time.Now()
			return c.Do(func(_ *Call, s State) error { s.(*tally).N = 7; return nil })
		}), newDisk())
		l.open()
		synctest.Wait()
		l.end(false)
		if !ended.Equal(time.Now()) || l.disk.saved(t).N != 7 {
			t.Errorf("the end did not wait for the handler that cleans up: %+v", l.disk.saved(t))
		}
	})
}
