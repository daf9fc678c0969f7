package host

import (
	"bytes"
	"fmt"
	"math"
	"slices"

	"github.com/google/uuid"

	"github.com/rivetgo/rivet/internal/lifecycle"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// Hibernator is a Sink whose socket can outlive its actor's life.
type Hibernator interface {
	Sink
	// Restored tells, while the next life loads, which connection the socket belongs to now. Messages of the client wait.
	Restored(c *Conn)
	// Park takes the socket back from the life that ends: what the client sends from now on waits for the next one.
	Park()
}

// Parked is a socket between two lives.
type Parked struct {
	ID   [16]byte // of its connection
	Sink Hibernator
}

// errAsleep is what the handler of a hibernating raw socket gets when its actor stops.
var errAsleep = fault.New("actor", "sleeping", "The actor goes to sleep: return. The socket stays open, and its handler runs again when the actor wakes.")

// Why the client of a parked socket is cut off that cannot come back.
const (
	reasonNoRecord    = "ws.meta_not_found_during_restore"
	reasonCannotFit   = "ws.restore_error"
	reasonStopped     = "actor.stopped"
	reasonNotDurable  = "actor.restarting"
	maxConnStateBytes = 1 << 20
)

// mayHibernate reports whether a connection on this sink may outlive the actor's life.
func (a *Actor) mayHibernate(sink Sink) bool {
	if _, ok := sink.(Hibernator); !ok {
		return false
	}
	_, raw := sink.(RawSink)
	return a.Hibernation(raw)
}

// Hibernation reports whether connections, or raw sockets, may outlive the actor's life.
func (a *Actor) Hibernation(raw bool) bool {
	if raw {
		return a.spec.Options.HibernateWebSockets
	}
	return !a.spec.Options.NoHibernation
}

// HasDisconnectHook reports whether the definition wants to know when connections end.
func (a *Actor) HasDisconnectHook() bool { return a.spec.OnDisconnect != nil }

// parking reports whether an end is under way, or over, that leaves hibernating connections open. The caller holds mu.
func (a *Actor) parking() bool {
	return a.machine.Phase() >= lifecycle.SleepGrace && a.machine.Kind() == lifecycle.KindSleep && !a.away
}

// Parks reports whether the connection will be parked by the end that is under way.
func (a *Actor) Parks(c *Conn) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return c.hibernates && a.parking()
}

// EnterOn is EnterOpen for a message of a connection. ErrStopping: nothing was done, and the message is for the next life.
func (a *Actor) EnterOn(c *Conn) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.hibernates && a.parking() {
		return ErrStopping
	}
	if a.refusal != nil {
		return a.refusal
	}
	a.calls++
	return nil
}

// mark notes that a connection's record is not what it is. The caller holds mu.
func (t *connTable) mark(c *Conn) {
	if !c.hibernates {
		return
	}
	if t.touched == nil {
		t.touched = make(map[*Conn]struct{})
	}
	t.touched[c] = struct{}{}
}

// erase notes that a record belongs to no connection any more. The caller holds mu.
func (t *connTable) erase(c *Conn) { t.erased = append(t.erased, c.Key()) }

// Key is the id as bytes.
func (c *Conn) Key() [16]byte { return uuid.MustParse(c.ID()) }

// newState is the state of a connection as a turn left it.
type newState struct {
	conn    *Conn
	encoded []byte
}

// newStates compares the connections whose state the turn may have changed with what it was.
func (t *turn) newStates() ([]newState, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []newState
	for _, d := range t.touched {
		if !d.conn.hibernates {
			continue
		}
		after, err := d.conn.state.AppendTo(nil)
		if err != nil {
			return nil, fmt.Errorf("encode the state of a connection: %w", err)
		}
		if len(after) > maxConnStateBytes {
			return nil, fault.New("actor", "state_too_large", fmt.Sprintf("The state of a connection would be %d bytes, the limit is %d: keep less in it", len(after), maxConnStateBytes))
		}
		if !bytes.Equal(after, d.before) {
			out = append(out, newState{d.conn, after})
		}
	}
	return out, nil
}

// takeChanges adds to a batch what the records of connections are behind by. states are what the turn changed. The
// caller holds the turn, or nobody ever will, and calls storedBy when the batch was handed over.
func (t *connTable) takeChanges(b *record.Batch, states []newState) (written []*Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range states {
		s.conn.encoded = s.encoded
		if s.conn.listed {
			t.mark(s.conn)
		}
	}
	for c := range t.touched {
		key := record.ConnKey(c.Key())
		b.Put(key, record.Seal(c.record()))
		c.stored, c.storedBy = true, math.MaxUint64 // until it has a number
		written = append(written, c)
	}
	t.touched = nil
	for _, id := range t.erased {
		b.Delete(record.ConnKey(id))
	}
	t.erased = nil
	return written
}

// storedBy notes the number of the commit that has the records of connections.
func (t *connTable) storedBy(written []*Conn, number uint64) {
	if len(written) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range written {
		c.storedBy = number
	}
}

// record encodes the connection. The caller holds the table's mu.
func (c *Conn) record() []byte {
	r := record.Conn{Raw: c.Raw(), Params: c.params, HasState: c.state != nil, State: c.encoded, Topics: c.topics}
	c.keep(&r)
	if q := c.request; q != nil {
		r.Method, r.Path, r.Query, r.RemoteAddr, r.Header = q.Method, q.Path, q.Query, q.RemoteAddr, storedHeader(q.Header)
	}
	return record.AppendConn(nil, &r)
}

// storedHeader leaves out what belongs to the handshake, and what must not lie on a disk.
func storedHeader(h map[string][]string) map[string][]string {
	out := make(map[string][]string, len(h))
	for name, values := range h {
		switch name {
		case "Connection", "Upgrade", "Sec-Websocket-Key", "Sec-Websocket-Version", "Sec-Websocket-Extensions", "Sec-Websocket-Protocol", "X-Rivet-Token":
			continue
		}
		out[name] = values
	}
	return out
}

// isStored reports whether the connection's record is durable and says what the connection is.
func (a *Actor) isStored(c *Conn) bool {
	durable := a.gate.durableUpTo()
	a.conns.mu.Lock()
	defer a.conns.mu.Unlock()
	_, changed := a.conns.touched[c]
	return c.listed && c.stored && !changed && c.storedBy <= durable
}

// durableUpTo is the number of the newest commit that is durable.
func (g *gate) durableUpTo() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.durable
}

// hangUp ends the connections of an actor that is gone: those that may are parked, the others are closed.
func (a *Actor) hangUp(orderly bool) {
	for _, c := range a.conns.end() {
		switch {
		case a.Parks(c) && a.isStored(c):
			if !c.gone.Swap(true) {
				c.sink.(Hibernator).Park()
			}
		case orderly && !a.Parks(c):
			c.close(closeNormal, reasonStopped)
		default:
			c.close(closeInternal, reasonNotDurable)
		}
	}
}

// restore makes the connections of the last life visible again, those whose sockets were parked. It returns the others,
// which are gone.
func (a *Actor) restore(records []record.Record) (lost []*Conn, err error) {
	parked := make(map[[16]byte]Hibernator, len(a.place.Parked))
	for _, p := range a.place.Parked {
		parked[p.ID] = p.Sink
	}
	for _, r := range records {
		payload, err := record.Open(record.KindConn, r.Value)
		if err != nil {
			return nil, err
		}
		stored, err := record.DecodeConn(r.Key, payload)
		if err != nil {
			a.Log().Error("stored connection is not readable", "error", err)
			continue // its socket is closed below
		}
		c := a.revive(stored)
		sink := parked[stored.ID]
		delete(parked, stored.ID)
		switch fits := a.fits(c, stored); {
		case fits != nil:
			a.Log().Error("stored connection does not fit the definition any more: it is closed", "error", fits)
			c.gone.Store(true)
			a.conns.forget(c)
			if sink != nil {
				sink.Close(closeInternal, reasonCannotFit)
			}
		case sink == nil:
			lost = append(lost, c)
		default:
			c.sink, c.hibernates = sink, true
			a.conns.restore(c, stored.Topics)
			sink.Restored(c)
		}
	}
	for _, sink := range parked {
		sink.Close(closeNormal, reasonNoRecord)
	}
	return lost, nil
}

// revive makes a connection from its record. The record's memory is the storage's.
func (a *Actor) revive(r *record.Conn) *Conn {
	return &Conn{
		actor: a, id: uuid.UUID(r.ID).String(), params: bytes.Clone(r.Params), stored: true, encoded: bytes.Clone(r.State),
		index: r.Index, floor: r.Index,
		request: &Request{Method: r.Method, Path: r.Path, Query: r.Query, Header: r.Header, RemoteAddr: r.RemoteAddr},
	}
}

// fits restores a connection's state, and says why it cannot be.
func (a *Actor) fits(c *Conn, r *record.Conn) error {
	if r.HasState != (a.spec.ConnState != nil) {
		return fmt.Errorf("stored with a state: %t; the definition has OnConnect: %t", r.HasState, a.spec.ConnState != nil)
	}
	if r.Raw && a.spec.OnWebSocket == nil {
		return fmt.Errorf("the definition has no handler for raw WebSockets any more")
	}
	if !r.HasState {
		return nil
	}
	c.state = a.spec.NewConnState()
	return c.state.Restore(r.State)
}

// restore adds a connection of an earlier life with its subscriptions.
func (t *connTable) restore(c *Conn, topics []string) {
	if t.add(c, math.MaxInt) != nil {
		return // the actor has failed, and its start with it
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, topic := range topics {
		if slices.Contains(c.topics, topic) {
			continue
		}
		c.topics = append(c.topics, topic)
		if t.topics == nil {
			t.topics = make(map[string][]*Conn)
		}
		t.topics[topic] = append(t.topics[topic], c)
	}
}

// forget notes that the record of a connection that is not in the table is to be erased.
func (t *connTable) forget(c *Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.erase(c)
}

// mourn ends connections whose sockets did not live to see their actor again.
func (a *Actor) mourn(lost []*Conn) {
	for _, c := range lost {
		c.gone.Store(true)
		a.conns.forget(c)
		a.disconnected(c)
	}
}
