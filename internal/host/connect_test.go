package host

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rivetgo/rivet/internal/wire/fault"
)

// While a slow check runs outside the turn, the actor serves others and does not see the connection.
func TestConcurrentConnectionHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spec()
		s.ConcurrentBeforeConnect, s.ConcurrentConnState = true, true
		add := func(c *Call) error {
			return c.Do(func(_ *Call, st State) error { st.(*tally).N++; return nil })
		}
		s.BeforeConnect = func(c *Call, st State, _ []byte) error {
			if st != nil {
				t.Error("BeforeConnect got a state outside the turn")
			}
			time.Sleep(time.Second)
			return add(c)
		}
		s.ConnState = func(c *Call, _ State, _ []byte) (State, error) {
			time.Sleep(time.Second)
			return &tally{N: 7}, add(c)
		}
		l := start(t, s, newDisk())
		opened := make(chan *Conn, 1)
		go func() {
			conn, err := l.Connect(t.Context(), nil, []byte{0xf6}, nil, &ear{})
			if err != nil {
				t.Error(err)
			}
			opened <- conn
		}()
		for want := range 2 {
			time.Sleep(900 * time.Millisecond)
			if n := l.count(); n != want || len(l.Conns()) != 0 {
				t.Errorf("while connecting: count = %d, want %d; %d connections", n, want, len(l.Conns()))
			}
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
		}
		if conn := <-opened; conn.state.(*tally).N != 7 || len(l.Conns()) != 1 {
			t.Errorf("the state is %v, %d connections", conn.state, len(l.Conns()))
		}
		l.end(false)
	})
}

func TestG6_concurrent_connection_hooks_end_at_their_deadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spec()
		s.ConcurrentBeforeConnect = true
		s.Options.BeforeConnectTimeout = time.Second
		tooLate := make(chan error, 1)
		s.BeforeConnect = func(c *Call, _ State, _ []byte) error {
			time.Sleep(2 * time.Second)
			err := c.Do(func(_ *Call, st State) error { st.(*tally).N = 9; return nil })
			tooLate <- err
			return nil
		}
		l := start(t, s, newDisk())
		began := time.Now()
		_, err := l.Connect(t.Context(), nil, []byte{0xf6}, nil, &ear{})
		if f, ok := fault.From(err); !ok || f.Code != "callback_timed_out" || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if err := <-tooLate; err == nil {
			t.Error("a turn after the deadline was accepted")
		}
		if n := l.count(); n != 0 {
			t.Errorf("count = %d: a hook that timed out left something", n)
		}
		l.end(false)
	})
}

// Whoever hears of the end of a call next finds its OnDisconnect done.
func TestADisconnectTakesAFreeTurnAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spec()
		s.OnDisconnect = func(_ *Call, st State, _ *Conn) error { st.(*tally).N++; return nil }
		l := start(t, s, newDisk())
		for want := range 200 {
			conn, err := l.Connect(t.Context(), nil, []byte{0xf6}, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // the call before has left its turn
			l.Disconnect(conn)
			if n := l.count(); n != want+1 {
				t.Fatalf("count = %d right after disconnect %d", n, want+1)
			}
		}
		l.end(false)
	})
}

func TestDoInsideOnStateChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spec()
		calls := 0
		s.OnStateChange = func(c *Call, _ State) error {
			calls++
			if err := c.Do(func(*Call, State) error { return nil }); !errors.Is(err, errReentrant) {
				t.Errorf("Do inside OnStateChange: %v", err)
			}
			return nil
		}
		l := start(t, s, newDisk())
		l.must("add")
		if n := l.count(); n != 1 || calls != 1 {
			t.Errorf("count = %d after %d calls of the hook, want 1 and 1", n, calls)
		}
		l.end(false)
	})
}
