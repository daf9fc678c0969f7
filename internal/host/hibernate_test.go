package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rivetgo/rivet/internal/wire/record"
)

// bed is the sink of a connection that may hibernate.
type bed struct {
	ear
	mu     sync.Mutex // guards all below
	conn   *Conn
	parked int
}

func (b *bed) Restored(c *Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conn = c
}

func (b *bed) Park() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.parked++
}

func (b *bed) parks() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.parked
}

// badge is the state of a connection in tests.
type badge struct{ Visits int }

func (s *badge) AppendTo(dst []byte) ([]byte, error) {
	b, err := json.Marshal(s)
	return append(dst, b...), err
}

func (s *badge) Restore(encoded []byte) error {
	*s = badge{}
	return json.Unmarshal(encoded, s)
}

// lodging is a definition whose connections have states and whose hooks write to a journal.
func lodging(j *journal) *Spec {
	s := spec()
	s.ConnState = func(*Call, State, []byte) (State, error) { j.add("ConnState"); return &badge{}, nil }
	s.NewConnState = func() State { return &badge{} }
	s.OnConnect = func(*Call, State, *Conn) error { j.add("OnConnect"); return nil }
	s.OnDisconnect = func(c *Call, _ State, conn *Conn) error {
		j.add(fmt.Sprintf("OnDisconnect %d", c.ConnState(conn).(*badge).Visits))
		return nil
	}
	s.OnWake = func(c *Call, _ State) error {
		j.add(fmt.Sprintf("OnWake with %d", len(c.Actor().Conns())))
		return nil
	}
	s.Actions["visit"] = &Action{Run: func(c *Call, s State, args []byte) ([]byte, error) {
		b := c.ConnState(c.Conn()).(*badge)
		b.Visits++
		return []byte{byte(b.Visits)}, nil
	}}
	s.Actions["bad visit"] = &Action{Run: func(c *Call, s State, args []byte) ([]byte, error) {
		c.ConnState(c.Conn()).(*badge).Visits += 100
		return nil, errors.New("no")
	}}
	return s
}

// on calls an action on a connection.
func (l *life) on(conn *Conn, action string) outcome {
	l.t.Helper()
	if err := l.EnterOn(conn); err != nil {
		l.t.Fatalf("enter: %v", err)
	}
	defer l.Leave()
	c := newCaller()
	l.Action(&ActionCall{Name: action, Args: []byte{0x80}, Conn: conn, Reply: c})
	return <-c.ch
}

// lodge opens a connection that may hibernate.
func (l *life) lodge(topics ...string) (*bed, *Conn) {
	l.t.Helper()
	b := &bed{}
	conn, err := l.Connect(l.t.Context(), &Request{Path: "/connect", Header: map[string][]string{"User-Agent": {"x"}, "X-Rivet-Token": {"secret"}}}, []byte{0x61, 'p'}, nil, b)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, topic := range topics {
		if err := l.Subscribe(l.t.Context(), conn, topic, true); err != nil {
			l.t.Fatal(err)
		}
	}
	return b, conn
}

// conns is how many connections are stored.
func (d *disk) conns() int { return d.count(record.KindConn) }

// made is how many commits there were.
func (d *disk) made() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.commits
}

func TestConnectionLivesOnInTheNextLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		d := newDisk()
		l := start(t, lodging(j), d)
		b, conn := l.lodge("told")
		if !conn.Hibernates() {
			t.Fatal("the connection does not hibernate")
		}
		l.on(conn, "visit")
		time.Sleep(time.Minute)
		if len(l.owner.sleep) == 0 {
			t.Error("a connection that hibernates keeps its actor awake")
		}
		l.end(false)
		if b.parks() != 1 || b.end() != "" || d.conns() != 1 {
			t.Fatalf("parked %d times, closed with %q, %d records", b.parks(), b.end(), d.conns())
		}
		if conn.Open() {
			t.Error("the old life still has the connection")
		}
		j.take()

		before := d.made()
		l = start(t, lodging(j), d, Parked{conn.Key(), b})
		if got := j.take(); !slices.Equal(got, []string{"OnWake with 1"}) {
			t.Errorf("hooks of the wake: %q", got)
		}
		again := b.conn
		req := again.Request()
		if again.ID() != conn.ID() || !bytes.Equal(again.Params(), conn.Params()) || !again.Hibernates() || again == conn || req.Path != "/connect" || req.Header.Get("User-Agent") != "x" || req.Header.Get("X-Rivet-Token") != "" {
			t.Errorf("restored %+v, request %+v", again, req)
		}
		l.end(false)
		if d.made() != before {
			t.Errorf("an idle wake wrote %d commits", d.made()-before)
		}

		l = start(t, lodging(j), d, Parked{conn.Key(), b})
		if o := l.on(b.conn, "visit"); o.err != nil || o.out[0] != 2 {
			t.Errorf("the state of the connection is lost: %v", o)
		}
		l.must("tell")
		if got := b.heard(); !slices.Equal(got, []string{"told"}) {
			t.Errorf("events after the wake: %q", got)
		}
		l.Disconnect(b.conn)
		l.end(false)
		if got := j.take(); !slices.Contains(got, "OnDisconnect 2") || d.conns() != 0 {
			t.Errorf("%q, %d records", got, d.conns())
		}
	})
}

func TestG1_the_state_of_a_connection_is_part_of_the_turn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		l := start(t, lodging(&journal{}), d)
		b, conn := l.lodge()
		synctest.Wait()
		d.set(func() { d.hold = true })
		done := make(chan outcome, 1)
		go func() { done <- l.on(conn, "visit") }()
		synctest.Wait()
		if len(done) > 0 {
			t.Fatal("a reply left before the state of its connection was durable")
		}
		d.set(func() { d.hold = false })
		d.flush()
		if o := <-done; o.err != nil {
			t.Fatal(o.err)
		}
		if o := l.on(conn, "bad visit"); o.err == nil {
			t.Error("the visit that fails succeeded")
		}
		if o := l.on(conn, "visit"); o.err != nil || o.out[0] != 2 {
			t.Errorf("after a failed turn: %v", o)
		}
		l.end(false)
		l = start(t, lodging(&journal{}), d, Parked{conn.Key(), b})
		if o := l.on(b.conn, "visit"); o.err != nil || o.out[0] != 3 {
			t.Errorf("stored: %v", o)
		}
		l.end(false)
	})
}

func TestConnectionWithoutSocketIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		d := newDisk()
		l := start(t, lodging(j), d)
		_, conn := l.lodge("told")
		l.on(conn, "visit")
		l.end(false)
		j.take()
		l = start(t, lodging(j), d) // its socket did not outlive the process
		synctest.Wait()
		if got := j.take(); !slices.Equal(got, []string{"OnWake with 0", "OnDisconnect 1"}) {
			t.Errorf("hooks: %q", got)
		}
		l.end(false)
		if d.conns() != 0 {
			t.Error("its record is still there")
		}
		l = start(t, lodging(j), d)
		l.end(false)
		if got := j.take(); !slices.Equal(got, []string{"OnWake with 0"}) {
			t.Errorf("hooks: %q", got)
		}
	})
}

func TestSocketThatCannotComeBackIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		l := start(t, lodging(&journal{}), d)
		b, conn := l.lodge()
		l.end(false)
		other := &bed{}
		plain := spec() // a new program whose connections have no state
		l = start(t, plain, d, Parked{conn.Key(), b}, Parked{[16]byte{1}, other})
		if b.end() != reasonCannotFit || other.end() != reasonNoRecord {
			t.Errorf("closed with %q and %q", b.end(), other.end())
		}
		l.end(false)
		if d.conns() != 0 {
			t.Error("the record that does not fit is still there")
		}
	})
}

func TestWhatAFailedActorParks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		l := start(t, spec(), d)
		kept, _ := l.lodge("told")
		changed, c := l.lodge()
		l.must("add") // both are stored now
		l.lodge()
		fresh, _ := l.lodge()
		if err := l.Subscribe(t.Context(), c, "told", true); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		d.set(func() { d.lose = errors.New("disk is on fire") })
		if o := l.call("add"); o.err == nil || o.err.Code != "commit_failed" {
			t.Errorf("got %v", o.err)
		}
		if err := <-l.owner.stopped; err == nil {
			t.Error("an orderly end")
		}
		if kept.parks() != 1 || kept.end() != "" {
			t.Errorf("a stored connection ended with %q", kept.end())
		}
		if changed.end() != "actor.restarting" || fresh.end() != "actor.restarting" {
			t.Errorf("others ended with %q and %q", changed.end(), fresh.end())
		}
	})
}

func TestWhatDoesNotPark(t *testing.T) {
	for name, c := range map[string]struct {
		spec func(s *Spec)
		end  func(l *life)
	}{
		"hibernation is off": {func(s *Spec) { s.Options.NoHibernation = true }, func(l *life) { l.Stop(false) }},
		"destroyed":          {func(*Spec) {}, func(l *life) { l.Stop(true) }},
		"the process ends":   {func(*Spec) {}, func(l *life) { l.StopAway() }},
		"a sleep becomes a destroy": {func(s *Spec) {
			s.OnSleep = func(*Call, State) error { time.Sleep(time.Second); return nil }
		}, func(l *life) { l.Stop(false); l.Stop(true) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := spec()
				c.spec(s)
				l := start(t, s, newDisk())
				b, _ := l.lodge()
				c.end(l)
				if err := <-l.owner.stopped; err != nil {
					t.Error(err)
				}
				if b.parks() != 0 || b.end() != "actor.stopped" {
					t.Errorf("parked %d times, closed with %q", b.parks(), b.end())
				}
			})
		})
	}
}

func TestMessagesOfAHibernatingConnectionAreForTheNextLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spec()
		s.OnSleep = func(*Call, State) error { time.Sleep(time.Second); return nil }
		l := start(t, s, newDisk())
		_, conn := l.lodge()
		_, standing := l.listen("told")
		l.Stop(false)
		synctest.Wait()
		if err := l.EnterOn(conn); !errors.Is(err, ErrStopping) {
			t.Errorf("entered during OnSleep: %v", err)
		}
		if err := l.EnterOn(standing); err != nil {
			t.Errorf("a connection that ends with the actor is refused: %v", err)
		} else {
			l.Leave()
		}
		<-l.owner.stopped
	})
}
